/**
 * A run that is cut in the middle and goes on from its file, against one that is not.
 *
 *   npx tsx docs/examples/resume.ts
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Adafactor, getCosineScheduleWithWarmup, Parameter, toBfloat16 } from 'tensorless';
import { loadTrainingState, saveTrainingState } from 'tensorless/node';

function build() {
  const weight = new Parameter(toBfloat16(Float32Array.from({ length: 600 }, (_, k) => Math.sin(k))), [20, 30], {
    dtype: 'bfloat16',
    name: 'weight',
  });
  const optimizer = new Adafactor([weight], {
    lr: 0.05,
    relativeStep: false,
    scaleParameter: false,
    rounding: 'stochastic',
  });
  const scheduler = getCosineScheduleWithWarmup(optimizer, { numWarmupSteps: 10, numTrainingSteps: 100 });
  const train = (from: number, to: number): void => {
    for (let step = from; step < to; step++) {
      weight.grad = Float32Array.from({ length: 600 }, (_, k) => Math.cos(k * 3 + step));
      optimizer.step();
      scheduler.step();
    }
  };
  return { weight, parts: { parameters: [weight], optimizer, scheduler }, train };
}

const folder = await mkdtemp(join(tmpdir(), 'resume-'));
const path = join(folder, 'run.safetensors');

const whole = build();
whole.train(0, 100);

const first = build();
first.train(0, 37);
await saveTrainingState(path, { ...first.parts, extra: { step: 37 } });

const second = build();
const { step } = (await loadTrainingState(path, second.parts)) as { step: number };
second.train(step, 100);

const same = second.weight.data.every((bits, k) => bits === whole.weight.data[k]);
console.log(`cut after step ${step}, continued to 100: the same bits as without the cut: ${same}`);
await rm(folder, { recursive: true });
