/** The search box: an index that is fetched when it is first opened. */
import MiniSearch, { type SearchResult } from 'minisearch';
import { SEARCH } from '../build/search-index.ts';

const KINDS = [
  ['guide', 'Guides'],
  ['page', 'Pages'],
  ['api', 'API'],
] as const;
const MOST: Readonly<Record<string, number>> = { guide: 7, page: 3, api: 8 };

let index: Promise<MiniSearch> | undefined;

function load(root: string): Promise<MiniSearch> {
  index ??= fetch(`${root}assets/search.json`)
    .then((response) => response.text())
    .then((text) => MiniSearch.loadJSON(text, SEARCH));
  return index;
}

function link(result: SearchResult, root: string): HTMLLIElement {
  const item = document.createElement('li');
  const a = document.createElement('a');
  a.href = root + result.url;
  a.textContent = result.section && result.kind === 'guide' ? result.section : result.title;
  const small = document.createElement('small');
  small.textContent = result.kind === 'guide' && result.section ? result.title : result.section;
  if (small.textContent) a.append(small);
  item.append(a);
  return item;
}

function show(results: readonly SearchResult[], list: HTMLElement, root: string): void {
  list.replaceChildren();
  for (const [kind, title] of KINDS) {
    const own = results.filter((result) => result.kind === kind).slice(0, MOST[kind]);
    if (own.length === 0) continue;
    const head = document.createElement('li');
    head.className = 'kind';
    head.textContent = title;
    list.append(head, ...own.map((result) => link(result, root)));
  }
}

function makeDialog(root: string): HTMLDialogElement {
  const dialog = document.createElement('dialog');
  dialog.id = 'search';
  dialog.setAttribute('aria-label', 'Search');
  dialog.innerHTML = `<form method="dialog"><input type="search" id="search-input" placeholder="Guides and API"
aria-label="Search guides and API" autocomplete="off" spellcheck="false"><button>Close</button></form>
<ul id="found"></ul><p id="search-status" class="visually-hidden" role="status"></p>`;
  document.body.append(dialog);
  const input = dialog.querySelector('input')!;
  const list = dialog.querySelector<HTMLElement>('#found')!;
  const status = dialog.querySelector<HTMLElement>('#search-status')!;
  input.addEventListener('input', async () => {
    const search = await load(root);
    const query = input.value.trim();
    const results = search.search(query, {
      prefix: true,
      fuzzy: (term) => (term.length > 4 ? 0.2 : false),
      combineWith: 'AND',
      boost: { title: 4, section: 2 },
      // A guide itself stands before its sections.
      boostDocument: (_, __, stored) => (stored?.section === '' ? 1.6 : 1),
    });
    show(results, list, root);
    status.textContent = query === '' ? '' : `${results.length} results`;
    if (query !== '' && results.length === 0) list.innerHTML = '<li class="kind">Nothing found</li>';
  });
  dialog.addEventListener('keydown', (event) => {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    event.preventDefault();
    const stops = [input, ...list.querySelectorAll<HTMLElement>('a')];
    const at = stops.indexOf(document.activeElement as HTMLInputElement);
    stops[(at + (event.key === 'ArrowDown' ? 1 : stops.length - 1)) % stops.length]!.focus();
  });
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    list.querySelector('a')?.click();
  });
  list.addEventListener('click', (event) => {
    if ((event.target as HTMLElement).closest('a') !== null) dialog.close();
  });
  return dialog;
}

let dialog: HTMLDialogElement | undefined;

export function openSearch(root: string): void {
  dialog ??= makeDialog(root);
  void load(root);
  if (!dialog.open) dialog.showModal();
  dialog.querySelector('input')!.select();
}
