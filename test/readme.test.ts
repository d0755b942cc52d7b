/** The front page: its figures and picture come from where they were seen, its links are packed. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { MODELS, stateNumbers } from '../bench/t5.ts';
import { picture, RECORD, type Story, TARGET } from '../docs/story/picture.ts';
import { renewed } from '../tools/figures.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(`${root}${path}`, 'utf8');
const readme = read('README.md');
const story = JSON.parse(readFileSync(RECORD, 'utf8')) as Story;

it('has the figures of the performance page (npx tsx tools/figures.ts renews them)', () => {
  expect(renewed(readme, read('docs/performance.md'))).toBe(readme);
});

it('has the picture of the recorded run (npx tsx docs/story/picture.ts draws it)', () => {
  expect(readFileSync(TARGET, 'utf8') === picture(story)).toBe(true);
});

it('shows runs in one go, killed, and in a browser that ended with one hash', () => {
  expect(story.hashes.length).toBe(3);
  expect(new Set(story.hashes.map(({ hash }) => hash)).size).toBe(1);
  expect(story.saved).toBeLessThan(story.killed);
  expect(story.bytes.adafactor).toBe(3492);
});

it('says of T5-base what is counted', () => {
  const { weights, adafactor, adamw } = stateNumbers(MODELS['T5-base']!);
  const [million, mega, giga] = [weights / 1e6, (4 * adafactor) / 1e6, (4 * adamw) / 1e9];
  const row = `| T5-base | ${million.toFixed(0)} M | ${mega.toFixed(2)} MB | ${giga.toFixed(1)} GB |`;
  expect(read('docs/t5.md')).toContain(row);
  expect(readme).toContain('1.9 MB with Adafactor, 1.8 GB with AdamW');
});

it('names the least versions that are tested', () => {
  const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
  const { dependencies } = JSON.parse(read('test/least/package.json')) as { dependencies: { typescript: string } };
  expect(engines.node).toBe('>=20');
  expect(readme).toContain('Node 20 or later');
  expect(readme).toContain(`TypeScript ${dependencies.typescript.split('.').slice(0, 2).join('.')}.`);
});

it('links, like every packed page, to files that are in the package', () => {
  const said = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
  });
  const [{ files, size }] = JSON.parse(said.slice(said.indexOf('['))) as [{ files: { path: string }[]; size: number }];
  const packed = new Set(files.map(({ path }) => path));
  const dead = [...packed]
    .filter((path) => path.endsWith('.md'))
    .flatMap((page) => {
      const text = read(page).replace(/^```[\s\S]*?^```$/gm, '');
      const links = [...text.matchAll(/\]\(([^)#\s]+)(#[^)]*)?\)/g)].map(([, path]) => path!);
      const own = links.filter((path) => !/^https?:/.test(path) && !packed.has(join(dirname(page), path)));
      return own.map((path) => `${page}: ${path}`);
    });
  expect(packed).toContain('README.md');
  expect(packed).toContain('docs/evidence.md');
  expect(dead).toEqual([]);
  console.log(`packed: ${(size / 1000).toFixed(0)} kB, ${files.length} files`);
  expect(size).toBeLessThan(1_200_000);
});
