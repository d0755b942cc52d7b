/**
 * The README's figures, taken from docs/performance.md, so that they are measured in one place:
 *
 *   npx tsx tools/figures.ts
 *
 * test/readme.test.ts compares.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const README: string = fileURLToPath(new URL('../README.md', import.meta.url));
const PERFORMANCE: string = fileURLToPath(new URL('../docs/performance.md', import.meta.url));
const PLACE = /(?<=<!-- figures[^>]*-->\n)[\s\S]*?(?=<!-- end of figures -->)/;

/** The first number of a row, in the section of a heading. */
function figure(page: string, heading: string, row: string): string {
  const from = page.indexOf(`\n### ${heading}\n`);
  const section = page.slice(from, page.indexOf('\n#', from + 4));
  const line = section.split('\n').find((text) => text.startsWith(`| ${row} |`));
  if (from < 0 || line === undefined) throw new Error(`docs/performance.md has no row "${row}" under "${heading}"`);
  return line.split('|')[2]!.trim();
}

/** The table, as docs/performance.md has the figures. */
export function figures(page: string): string {
  const place = '1024 × 1024';
  const row = (name: string, peers: readonly (readonly [row: string, shown: string])[]): string => {
    const own = ['', ', SIMD', ', SIMD, 2 threads'].map((how) => figure(page, `${name}, ${place}`, `tensorless${how}`));
    const others = peers.map(([peer, shown]) => `${figure(page, `${name}, ${place}`, peer)} (${shown})`);
    return `| ${name} | ${own.join(' | ')} | ${others.join(', ')} |`;
  };
  return `| ns per weight, float32, ${place} | TypeScript | SIMD | SIMD, 2 threads | PyTorch, 1 thread |
| --- | --- | --- | --- | --- |
${row('Adafactor', [['transformers Adafactor, best', 'transformers']])}
${row('AdamW', [
  ['torch AdamW foreach, best', 'foreach'],
  ['torch AdamW fused', 'fused'],
])}
`;
}

/** A README with its figures replaced. */
export function renewed(readme: string, page: string): string {
  if (!PLACE.test(readme)) throw new Error('README.md has no place for the figures');
  return readme.replace(PLACE, figures(page));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(README, renewed(readFileSync(README, 'utf8'), readFileSync(PERFORMANCE, 'utf8')));
}
