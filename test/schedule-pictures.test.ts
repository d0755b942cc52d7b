import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SchedulerType } from 'tensorless';
import { expect, it } from 'vitest';
import { pictures } from '../docs/schedules/pictures.ts';

const folder = fileURLToPath(new URL('../docs/schedules/', import.meta.url));
const page = readFileSync(`${folder}../schedules.md`, 'utf8');
const drawn = pictures();

it('the pictures are what the code draws (npx tsx docs/schedules/pictures.ts)', () => {
  expect(readdirSync(folder).filter((name) => name.endsWith('.svg'))).toEqual(
    [...drawn.keys()].sort().map((name) => `${name}.svg`),
  );
  for (const [name, svg] of drawn) expect(readFileSync(`${folder}${name}.svg`, 'utf8') === svg, name).toBe(true);
});

it('every schedule has a picture, and every picture a place on the page', () => {
  for (const name of Object.values(SchedulerType)) expect([...drawn.keys()]).toContain(name);
  for (const name of drawn.keys()) expect(page).toContain(`(schedules/${name}.svg)`);
});

it('every curve of PyTorch has recorded cases, a section, sliders and a row in the porting table', () => {
  const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
  const curves = read('src/schedules/decays.ts').matchAll(/^export const (\w+): CurveKind/gm);
  const names = [...curves].map(([, name]) => name!);
  const cases = readdirSync(new URL('vectors/curves/', import.meta.url)).map((file) =>
    read(`test/vectors/curves/${file}`),
  );
  expect(names.length).toBeGreaterThan(4);
  for (const name of names) {
    expect(
      cases.some((text) => text.includes(`"curve":"${name}"`)),
      `a recorded case of ${name}`,
    ).toBe(true);
    expect(page, 'a section of docs/schedules.md').toContain(`### ${name}\n`);
    expect(read('docs/explorer/schedules.ts'), 'sliders').toContain(`curve: ${name},`);
    expect(read('docs/porting.md'), 'a row of docs/porting.md').toMatch(new RegExp(`\\b${name}\\(`));
  }
});
