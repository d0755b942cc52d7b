/**
 * One operation on a run of argv[3] bytes at argv[4]; prints how much memory it took beside the run
 * (test/disk-memory.slow.ts).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { AdamW, Parameter } from 'tensorless';
import { decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { loadTrainingState, saveTrainingState } from 'tensorless/node';

const [, , what, bytes, path] = process.argv as [string, string, string, string, string];
const count = Math.floor(Number(bytes) / 12 / 8);
const parameters = Array.from({ length: 8 }, (_, i) => {
  return new Parameter(new Float32Array(count).fill(i + 1), [count], { name: `p${i}` });
});
const optimizer = new AdamW(parameters);
const step = (): void => {
  for (const parameter of parameters) {
    parameter.grad = new Float32Array(count).fill(1);
    optimizer.stepParameter(parameter);
    parameter.grad = null;
    (globalThis as { gc?: () => void }).gc!();
  }
};
if (what !== 'load fresh') step();
const parts = { parameters, optimizer };
/** Highest resident memory so far. */
const peak = (): number => process.resourceUsage().maxRSS * 1024;
const file = what.startsWith('decode') ? new Uint8Array(readFileSync(path)) : null;
const before = peak();
let result: unknown;
if (what === 'save') await saveTrainingState(path, parts, { snapshot: false });
else if (what === 'save snapshot') await saveTrainingState(path, parts);
else if (what === 'load in place') await loadTrainingState(path, parts, { inPlace: true });
else if (what.startsWith('load')) await loadTrainingState(path, parts);
else if (what === 'encode') writeFileSync(path, (result = encodeTrainingState(parts)) as Uint8Array);
else if (what === 'decode') decodeTrainingState(file!, parts);
else throw new Error(what);
void result;
console.log(
  JSON.stringify({
    beside: peak() - before,
    value: parameters[7]!.data[count - 1],
    step: optimizer.stateDict().state[7]?.step,
  }),
);
