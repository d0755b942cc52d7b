/**
 * `npm run test:fuzz [-- --files N] [-- --seed S] [-- --only I]`: hostile files by the hundred
 * thousand. Every failure must be a CheckpointError that says what and where, within 100 ms on a
 * machine as usual, without allocating much more than the file's size, and without polluting a
 * prototype.
 */
import { parseArgs } from 'node:util';
import { slowness } from '../_yardstick.ts';
import { judge, SLOWEST, trial } from './mutate.ts';

const { values } = parseArgs({
  options: { files: { type: 'string', default: '120000' }, seed: { type: 'string' }, only: { type: 'string' } },
});
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
const files = Number(values.files);
if (values.only !== undefined) {
  const { bytes, decode } = trial(seed, Number(values.only));
  console.log(`${bytes.length} bytes`);
  console.log(decode(bytes));
  process.exit();
}
console.log(`${files} files, seed ${seed} (again: npm run test:fuzz -- --seed ${seed})`);
let refused = 0;
let slowest = 0;
const problems: string[] = [];
const begun = performance.now();
for (let index = 0; index < files && problems.length < 20; index++) {
  const made = trial(seed, index);
  let result = judge(made);
  // A pause of the machine or the collector is not the file's fault: the best of three counts.
  for (let again = 0; again < 2 && result.milliseconds > SLOWEST; again++) {
    const next = judge(made);
    if (next.milliseconds < result.milliseconds) result = next;
  }
  const problem =
    result.problem ??
    (result.milliseconds > SLOWEST && result.milliseconds > slowness() * SLOWEST
      ? `took ${result.milliseconds.toFixed(0)} ms`
      : undefined);
  slowest = Math.max(slowest, result.milliseconds);
  if (result.refused) refused++;
  if (problem !== undefined) problems.push(`--seed ${seed} --only ${index}: ${problem}`);
  if ((index + 1) % 20000 === 0)
    console.log(
      `  ${index + 1} files, ${refused} refused, slowest ${slowest.toFixed(1)} ms, ` +
        `${((performance.now() - begun) / 1000).toFixed(0)} s`,
    );
}
for (const problem of problems) console.log(problem);
console.log(
  problems.length === 0
    ? `No problem: ${refused} of ${files} refused, the rest read; slowest ${slowest.toFixed(1)} ms`
    : `${problems.length} problems`,
);
process.exit(problems.length === 0 ? 0 : 1);
