/** The guides, grouped by what a reader comes for. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ROOT: string = fileURLToPath(new URL('../..', import.meta.url));

const GROUPS: readonly (readonly [title: string, pages: readonly string[]])[] = [
  ['Start', ['quick-start', 'optimizers', 'choosing-a-schedule', 'porting']],
  [
    'Guides',
    [
      'adafactor',
      't5',
      'low-precision',
      'accumulation',
      'checkpoints',
      'pytorch',
      'tensorflow-js',
      'jax-js',
      'simd',
      'parallel',
      'webgpu',
      'bundlers',
    ],
  ],
  ['Reference', ['schedules', 'command-line', 'performance', 'evidence', 'CHANGELOG']],
  ['For contributors', ['CONTRIBUTING', 'architecture', 'mutation', 'SECURITY']],
];

export interface Guide {
  /** Where it comes from, below the project's root: `docs/simd.md`. */
  readonly source: string;
  /** Where it goes, below the site's: `guides/simd.html`. */
  readonly url: string;
  readonly title: string;
  readonly markdown: string;
}

export interface Group {
  readonly title: string;
  readonly guides: readonly Guide[];
}

const sourceOf = (name: string): string => (name === name.toUpperCase() ? `${name}.md` : `docs/${name}.md`);

function guide(name: string): Guide {
  const source = sourceOf(name);
  const markdown = readFileSync(ROOT + source, 'utf8');
  const title = /^# (.*)$/m.exec(markdown)?.[1];
  if (title === undefined) throw new Error(`${source} has no title: begin it with "# Title".`);
  return { source, url: `guides/${name.toLowerCase()}.html`, title: title.replaceAll('`', ''), markdown };
}

/** All groups; a page of docs/ that no group names stands at the end of the guides. */
export function groups(): Group[] {
  const named = new Set(GROUPS.flatMap(([, pages]) => pages));
  const others = readdirSync(`${ROOT}docs`)
    .filter((name) => name.endsWith('.md'))
    .map((name) => name.slice(0, -3))
    .filter((name) => !named.has(name));
  return GROUPS.map(([title, pages]) => ({
    title,
    guides: [...pages, ...(title === 'Guides' ? others : [])]
      .filter((name) => existsSync(ROOT + sourceOf(name)))
      .map(guide),
  }));
}
