/**
 * Bounds of memory: beside the live arrays nothing as large as the run, or one copy where that is
 * said.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tensorless-memory-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, 'run.safetensors');
const MIB = 2 ** 20;
const PAYLOAD = 480 * MIB;
/** What the engine and the collector take; the contract has 256 MiB. */
const SLACK = 160 * MIB;

function run(what: string): { beside: number; value: number; step?: number } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--expose-gc', '--import', 'tsx', join(root, 'test/_disk-memory.ts'), what, String(PAYLOAD), path],
    { cwd: root, encoding: 'utf8' },
  );
  expect([status, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as ReturnType<typeof run>;
}

it.each([
  ['save', 0],
  ['save snapshot', 1],
  ['load in place', 0],
  ['load', 1],
  // The optimizer's arrays are made by the load: two thirds of the run are not there before.
  ['load fresh', 1 + 2 / 3],
  ['encode', 1],
  ['decode', 0],
])('%s takes at most %d times the run beside it', (what, times) => {
  const { beside, value, step } = run(what);
  console.log(`${what}: ${(beside / MIB).toFixed(0)} MiB beside a run of ${PAYLOAD / MIB} MiB`);
  expect(beside).toBeLessThan(times * PAYLOAD + SLACK);
  expect(value).toBeCloseTo(8, 1);
  expect(step).toBe(1);
});
