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
