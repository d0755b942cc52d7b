// first.safetensors: a training state as version 0.1.0 wrote it before names were escaped and listed (commit 67c488e).
// node make_first.mjs PATH-OF-THAT-VERSIONS-DIST
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const dist = pathToFileURL(`${resolve(process.argv[2])}/`);
const { AdamW, GradientAccumulator, getLinearScheduleWithWarmup, Parameter } = await import(new URL('index.js', dist));
const { encodeTrainingState } = await import(new URL('checkpoint.js', dist));

const weight = new Parameter(Float32Array.of(1, 2, 3, 4), [2, 2], { name: 'layer/weight' });
const bias = new Parameter(Float32Array.of(5, 6), [2], { name: 'bias' });
const optimizer = new AdamW([weight, bias], { lr: 0.5, amsgrad: true });
const scheduler = getLinearScheduleWithWarmup(optimizer, { numWarmupSteps: 1, numTrainingSteps: 8 });
const accumulator = new GradientAccumulator([bias, weight]);
for (let step = 1; step <= 2; step++) {
  weight.grad = Float32Array.of(0.5, -1, step, 0);
  bias.grad = Float32Array.of(step, -0.25);
  accumulator.add();
  optimizer.step();
  scheduler.step();
}
const table = { dtype: 'int64', shape: [2], data: BigInt64Array.of(7n, -8n) };
const extra = { epoch: 3, bad: [Number.NaN, -0], 'a/b': { c: table }, $own: null };
const url = new URL('first.safetensors', import.meta.url);
writeFileSync(url, encodeTrainingState({ parameters: [weight, bias], optimizer, scheduler, accumulator, extra }));
