/** What the search box looks through: guides first, then pages, then the API. */
import MiniSearch from 'minisearch';

export interface Entry {
  readonly kind: 'guide' | 'page' | 'api';
  /** Of the page; of the API its name. */
  readonly title: string;
  /** Heading within the page; of the API what it is (function, class). */
  readonly section: string;
  /** Below the site's root. */
  readonly url: string;
  readonly text: string;
}

/** How the index is made and read: the page has to use the same. */
export const SEARCH = {
  fields: ['title', 'section', 'text'],
  storeFields: ['kind', 'title', 'section', 'url'],
  /** `getLinearScheduleWithWarmup` is found by its words, too. */
  tokenize(text: string): string[] {
    const words = text.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
    return words.flatMap((word) => {
      const parts = word.split(/(?<=[a-z])(?=[A-Z])/);
      return parts.length > 1 ? [word, ...parts] : [word];
    });
  },
};

export function searchIndex(entries: readonly Entry[]): string {
  const search = new MiniSearch<Entry & { id: number }>(SEARCH);
  search.addAll(entries.map((entry, id) => ({ ...entry, id })));
  return JSON.stringify(search);
}
