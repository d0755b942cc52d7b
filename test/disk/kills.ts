/**
 * `npm run test:kills [-- COUNT]`: a process that saves checkpoints is killed at random moments,
 * 200 times. After every kill the newest checkpoint must be whole, and not older than the last one
 * that was reported as saved.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Parameter } from 'tensorless';
import { CheckpointManager } from 'tensorless/node';

const kills = Number(process.argv[2] ?? 200);
const root = fileURLToPath(new URL('../..', import.meta.url));
const writer = fileURLToPath(new URL('_endless-manager.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tensorless-kills-'));
const LENGTH = 1_000_000;
const temporary = (): number => readdirSync(folder).filter((name) => name.endsWith('.tmp')).length;

const begun = performance.now();
let saved = 0;
let abandoned = 0;
for (let kill = 1; kill <= kills; kill++) {
  const child = spawn(process.execPath, ['--import', 'tsx', writer, folder, String(LENGTH)], { cwd: root });
  let out = '';
  let err = '';
  child.stderr.on('data', (chunk) => (err += chunk));
  const closed = new Promise((resolve) => child.once('close', resolve));
  await Promise.race([closed, new Promise((resolve) => child.stdout.on('data', (chunk) => resolve((out += chunk))))]);
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 120));
  child.kill('SIGKILL');
  await closed;
  if (err !== '') throw new Error(`the writer failed: ${err}`);
  for (const [, step] of out.matchAll(/saved (\d+)\n/g)) saved = Math.max(saved, Number(step));
  abandoned = Math.max(abandoned, temporary());
  const parameters = [new Parameter(new Float32Array(LENGTH), [LENGTH], { name: 'w' })];
  const found = await new CheckpointManager(folder).loadLatest({ parameters });
  const step = found?.step ?? 0;
  const whole = parameters[0]!.data.every((x) => x === step);
  if (step < saved || !whole || (found?.skipped.length ?? 0) > 0) {
    console.log(`kill ${kill}: step ${step} found, ${saved} was saved, whole: ${whole}, skipped: ${found?.skipped}`);
    process.exit(1);
  }
  if (kill % 50 === 0) console.log(`  ${kill} kills, step ${step}, ${readdirSync(folder).length} files`);
}
await new CheckpointManager(folder).save(saved + 1000, { extra: 1 });
const left = temporary();
console.log(
  `${kills} kills in ${((performance.now() - begun) / 1000).toFixed(0)} s: ${saved} checkpoints, none lost; at ` +
    `most ${abandoned} temporary files at a time, ${left} after the next save`,
);
rmSync(folder, { recursive: true });
process.exit(left === 0 && abandoned <= 1 ? 0 : 1);
