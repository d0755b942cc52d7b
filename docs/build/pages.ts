/** The guides' pages, and the files they link to. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, extname } from 'node:path';
import { type Group, groups, ROOT } from './guides.ts';
import { coloured, type Met, type Rendered, rendered } from './markdown.ts';
import type { Entry } from './search-index.ts';
import { escaped, shell, up } from './shell.ts';
import { themed } from './themed.ts';

/** What a snippet's bare imports mean in a page. */
const LIBRARY = ['', '/checkpoint', '/parallel', '/safetensors', '/simd', '/torch', '/webgpu'];

function write(site: string, url: string, text: string): void {
  mkdirSync(dirname(site + url), { recursive: true });
  writeFileSync(site + url, text);
}

/** The guides by groups, the current one marked. */
function sidebar(all: readonly Group[], url: string): string {
  const list = all.map(({ title, guides }) => {
    const links = guides.map((guide) => {
      const current = guide.url === url ? ' aria-current="page"' : '';
      return `<li><a href="${up(url)}${guide.url}"${current}>${escaped(guide.title)}</a></li>`;
    });
    return `<h2>${title}</h2><ul>${links.join('')}</ul>`;
  });
  return `<button type="button" class="sidebar-open" aria-expanded="false" aria-controls="sidebar">All guides</button>
<nav id="sidebar" class="sidebar" aria-label="Guides">${list.join('')}</nav>`;
}

/** The sections of a long page. */
function contents({ sections }: Rendered): string {
  const links = sections
    .filter(({ level }) => level === 2 || level === 3)
    .map(({ level, id, text }) => `<li class="level-${level}"><a href="#${id}">${escaped(text)}</a></li>`);
  if (links.length < 2) return '<div class="contents"></div>';
  return `<nav class="contents" aria-labelledby="contents"><h2 id="contents">On this page</h2><ul>${links.join('')}</ul></nav>`;
}

/** Before and after, in the order of the sidebar. */
function neighbours(all: readonly Group[], url: string): string {
  const guides = all.flatMap((group) => group.guides);
  const at = guides.findIndex((guide) => guide.url === url);
  const link = (i: number, word: string): string => {
    const guide = guides[i];
    if (guide === undefined) return '<span></span>';
    return `<a href="${up(url)}${guide.url}"><small>${word}</small>${escaped(guide.title)}</a>`;
  };
  return `<nav class="neighbours" aria-label="Other guides">${link(at - 1, 'Before')}${link(at + 1, 'Next')}</nav>`;
}

const importMap = (url: string): string =>
  `\n<script type="importmap">${JSON.stringify({
    imports: Object.fromEntries(
      LIBRARY.map((path) => [`tensorless${path}`, `${up(url)}lib/${path.slice(1) || 'index'}.js`]),
    ),
  })}</script>`;

/** Writes all guides, and `sources` beside those that they link to; returns what the search finds in them. */
export async function writeGuides(site: string, sources: readonly string[]): Promise<Entry[]> {
  const all = groups();
  const guides = all.flatMap((group) => group.guides);
  const met: Met = { pictures: new Set(), sources: new Set(sources) };
  const entries: Entry[] = [];
  for (const guide of guides) {
    const page = await rendered(guide, guides, met);
    const { url, title } = guide;
    const more = `${page.formulas ? `\n<link rel="stylesheet" href="${up(url)}assets/math.css">` : ''}${
      page.runs ? importMap(url) : ''
    }`;
    const body = `<div class="columns">
<div class="side">${sidebar(all, url)}</div>
<main id="main" class="prose">${page.html}${neighbours(all, url)}</main>
${contents(page)}
</div>`;
    write(site, url, shell({ url, title, description: page.lead }, body, more, 'guide'));
    for (const { level, id, text, body: words } of page.sections) {
      const [address, section] = level === 1 ? [url, ''] : [`${url}#${id}`, text];
      entries.push({ kind: 'guide', title, section, url: address, text: words });
    }
  }
  for (const source of met.sources) {
    const url = `source/${source}.html`;
    const code = await coloured(readFileSync(ROOT + source, 'utf8'), extname(source).slice(1) || 'text');
    const body = `<main id="main" class="prose wide"><h1><code>${escaped(source)}</code></h1>${code.replace(
      '<pre ',
      '<pre role="group" aria-label="Source" ',
    )}</main>`;
    write(site, url, shell({ url, title: source, description: `The file ${source} of tensorless.` }, body));
  }
  for (const picture of met.pictures) {
    const text = readFileSync(ROOT + picture);
    mkdirSync(dirname(`${site}pictures/${picture}`), { recursive: true });
    writeFileSync(`${site}pictures/${picture}`, picture.endsWith('.svg') ? themed(text.toString()) : text);
  }
  return entries;
}
