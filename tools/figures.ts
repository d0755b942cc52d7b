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
const TABLE = /(?<=<!-- figures[^>]*-->\n)[\s\S]*?(?=<!-- end of figures -->)/;
const LINE = /(?<=<!-- speed -->)[\s\S]*?(?=<!-- end of speed -->)/;

/** The first number of a row, in the section of a heading. */
function figure(page: string, heading: string, row: string): string {
  const from = page.indexOf(`\n### ${heading}\n`);
  const section = page.slice(from, page.indexOf('\n#', from + 4));
  const line = section.split('\n').find((text) => text.startsWith(`| ${row} |`));
  if (from < 0 || line === undefined) throw new Error(`docs/performance.md has no row "${row}" under "${heading}"`);
  return line.split('|')[2]!.trim();
}

const PLACE = '1024 × 1024';
const OWN = ['', ', SIMD', ', SIMD, float32 level', ', SIMD, 2 threads'] as const;

/** The table, as docs/performance.md has the figures. */
function table(page: string): string {
  const row = (name: string, peers: readonly (readonly [row: string, shown: string])[]): string => {
    const own = OWN.map((how) => figure(page, `${name}, ${PLACE}`, `tensorless${how}`));
    const others = peers.map(([peer, shown]) => `${figure(page, `${name}, ${PLACE}`, peer)} (${shown})`);
    return `| ${name} | ${own.join(' | ')} | ${others.join(', ')} |`;
  };
  const head = [`ns per weight, float32, ${PLACE}`, 'TypeScript', ...OWN.slice(1).map((how) => how.slice(2))];
  return `| ${[...head, 'PyTorch, 1 thread'].join(' | ')} |
| --- | --- | --- | --- | --- | --- |
${row('Adafactor', [['transformers Adafactor, best', 'transformers']])}
${row('AdamW', [
  ['torch AdamW foreach, best', 'foreach'],
  ['torch AdamW fused', 'fused'],
])}
`;
}

/** The same in a line. */
function line(page: string): string {
  const [plain, simd, torch] = ['tensorless', 'tensorless, SIMD', 'transformers Adafactor, best'].map((row) =>
    figure(page, `Adafactor, ${PLACE}`, row),
  );
  return `${plain} ns a weight in TypeScript, ${simd} with SIMD, ${torch} in PyTorch`;
}

/** A README with its figures replaced. */
export function renewed(readme: string, page: string): string {
  if (!TABLE.test(readme) || !LINE.test(readme)) throw new Error('README.md has no place for the figures');
  return readme.replace(TABLE, table(page)).replace(LINE, line(page));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(README, renewed(readFileSync(README, 'utf8'), readFileSync(PERFORMANCE, 'utf8')));
}
