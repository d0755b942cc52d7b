/** What all pages have in common: the head, the header with its links, the footer. */

export const NAME = 'tensorless';

/** Places of the header, in order, and how their addresses begin. */
const PLACES: readonly (readonly [label: string, url: string, begins: string])[] = [
  ['Guides', 'guides/quick-start.html', 'guides/'],
  ['Explorer', 'explorer/', 'explorer/'],
  ['Live demo', 'live-demo/', 'live-demo/'],
  ['Why Adafactor', 'why-adafactor/', 'why-adafactor/'],
  ['Same bits', 'same-bits/', 'same-bits/'],
  ['API', 'api/', 'api/'],
];

export interface Page {
  /** Its address below the site's root. */
  readonly url: string;
  readonly title: string;
  readonly description: string;
}

export const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** From a page's folder to the site's root: '' or '../'. */
export const up = (url: string): string => '../'.repeat(url.split('/').length - 1);

const ICONS = {
  search: '<circle cx="7" cy="7" r="4.5"/><path d="m10.5 10.5 3.5 3.5"/>',
  menu: '<path d="M2 4.5h12M2 8h12M2 11.5h12"/>',
  theme: '<circle cx="8" cy="8" r="5.5"/><path d="M8 2.5a5.5 5.5 0 0 1 0 11z" fill="currentColor"/>',
} as const;

const icon = (name: keyof typeof ICONS): string =>
  `<svg viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.5" ` +
  `stroke-linecap="round" aria-hidden="true">${ICONS[name]}</svg>`;

const LOGO =
  '<svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true"><rect width="32" height="32" rx="7" ' +
  'fill="var(--accent)"/><path d="M5 25 10 8c3 11 8 15 17 16" fill="none" stroke="var(--paper)" stroke-width="3" ' +
  'stroke-linecap="round" stroke-linejoin="round"/></svg>';

/** The part of the head that every page has, its title and description included. */
export function head({ url, title, description }: Page): string {
  const to = up(url);
  const full = title === NAME ? `${NAME}: train in JavaScript` : `${title} · ${NAME}`;
  return `<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(full)}</title>
<meta name="description" content="${escaped(description)}">
<meta property="og:title" content="${escaped(full)}">
<meta property="og:description" content="${escaped(description)}">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="${to}assets/favicon.svg" type="image/svg+xml">
<script>document.documentElement.dataset.theme = localStorage.getItem('tsd-theme') ?? 'os'</script>
<link rel="stylesheet" href="${to}assets/site.css">
<script type="module" src="${to}assets/site.js"></script>`;
}

export function header({ url }: Page): string {
  const to = up(url);
  const links = PLACES.map(([label, target, begins]) => {
    const current = url.startsWith(begins) ? ` aria-current="${url === target ? 'page' : 'true'}"` : '';
    return `<a href="${to}${target}"${current}>${label}</a>`;
  });
  return `<a class="skip" href="#main">Skip to the content</a>
<header class="site-header" data-root="${to || './'}">
<a class="home" href="${to || './'}">${LOGO}<span>${NAME}</span></a>
<nav id="places" aria-label="Site">${links.join('')}</nav>
<button type="button" id="search-open" class="quiet" aria-keyshortcuts="/" aria-label="Search">${icon('search')}<span>Search</span><kbd>/</kbd></button>
<button type="button" id="theme" class="quiet" aria-label="Colours: as the system" title="Colours: as the system">${icon('theme')}</button>
<button type="button" id="menu" class="quiet" aria-controls="places" aria-expanded="false" aria-label="Menu">${icon('menu')}</button>
</header>`;
}

export const FOOTER = `<footer class="site-footer"><p>${NAME} is free software under the MIT license. Everything on this site runs in your browser; nothing is sent anywhere.</p></footer>`;

/** A whole page around what stands between header and footer. */
export function shell(page: Page, body: string, more = '', className = ''): string {
  return `<!doctype html>
<html lang="en">
<head>
${head(page)}${more}
</head>
<body${className && ` class="${className}"`}>
${header(page)}
${body}
${FOOTER}
</body>
</html>
`;
}
