/** The script of every page: menus, colours, search, snippets, what scrolls. */
import { enliven } from './snippets.ts';

const root = document.querySelector<HTMLElement>('.site-header')!.dataset.root!;

function opens(button: Element | null): void {
  const target = document.getElementById(button?.getAttribute('aria-controls') ?? '');
  button?.addEventListener('click', () => {
    const open = target?.classList.toggle('open') === true;
    button.setAttribute('aria-expanded', String(open));
  });
}
opens(document.getElementById('menu'));
opens(document.querySelector('.sidebar-open'));

const THEMES = ['os', 'light', 'dark'] as const;
const SAID = { os: 'as the system', light: 'light', dark: 'dark' } as const;
const theme = document.getElementById('theme')!;
function showTheme(): void {
  const name = document.documentElement.dataset.theme as keyof typeof SAID;
  const label = `Colours: ${SAID[name] ?? SAID.os}`;
  theme.setAttribute('aria-label', label);
  theme.title = label;
}
theme.addEventListener('click', () => {
  const { dataset } = document.documentElement;
  const next = THEMES[(THEMES.indexOf(dataset.theme as 'os') + 1) % THEMES.length]!;
  dataset.theme = next;
  localStorage.setItem('tsd-theme', next);
  showTheme();
});
showTheme();

const search = async (): Promise<void> => (await import('./search.ts')).openSearch(root);
document.getElementById('search-open')!.addEventListener('click', () => void search());
addEventListener('keydown', (event) => {
  const typing = (event.target as HTMLElement).closest?.('input, select, textarea, [contenteditable]') != null;
  const slash = event.key === '/' && !typing && !event.ctrlKey && !event.metaKey;
  const k = event.key === 'k' && (event.ctrlKey || event.metaKey);
  if (!slash && !k) return;
  event.preventDefault();
  void search();
});

for (const snippet of document.querySelectorAll<HTMLElement>('.snippet')) enliven(snippet);

/** What scrolls sideways can be reached by keyboard; what does not is no stop on the way. */
const scrolling = document.querySelectorAll<HTMLElement>('.table, .formula, pre');
function stops(): void {
  for (const element of scrolling) {
    if (element.scrollWidth > element.clientWidth) {
      element.tabIndex = 0;
      if (!element.hasAttribute('role')) element.setAttribute('role', 'group');
      if (!element.hasAttribute('aria-label')) element.setAttribute('aria-label', 'Scrolls sideways');
    } else element.removeAttribute('tabindex');
  }
}
// Also of contents that come later.
const sizes = new ResizeObserver(stops);
for (const element of scrolling) {
  sizes.observe(element);
  if (element.firstElementChild !== null) sizes.observe(element.firstElementChild);
}

// The current page's entry in view, without moving the page.
const current = document.querySelector<HTMLElement>('.sidebar [aria-current="page"]');
const side = current?.closest<HTMLElement>('.side');
if (current != null && side != null && current.offsetTop > side.clientHeight)
  side.scrollTop = current.offsetTop - side.clientHeight / 2;

// Which section is being read.
const links = new Map(
  [...document.querySelectorAll<HTMLAnchorElement>('.contents a[href^="#"]')].map((a) => [a.hash.slice(1), a]),
);
if (links.size > 0) {
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        for (const a of links.values()) a.removeAttribute('aria-current');
        links.get(target.id)?.setAttribute('aria-current', 'true');
      }
    },
    { rootMargin: '-64px 0px -70% 0px' },
  );
  for (const id of links.keys()) {
    const heading = document.getElementById(id);
    if (heading !== null) seen.observe(heading);
  }
}
