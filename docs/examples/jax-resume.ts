/**
 * jax-js computes the gradients, AdamW from this library does the updates, with a schedule; the run
 * is saved in the middle and goes on from the file, against one without the cut.
 *
 *   npx tsx docs/examples/jax-resume.ts
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Array as JaxArray, jit, numpy as np, tree, valueAndGrad } from '@jax-js/jax';
import { AdamW, getCosineScheduleWithWarmup, type LRScheduler, type Parameter, weightDecayGroups } from 'tensorless';
import { jaxOptimizer } from 'tensorless/jax';
import { loadTrainingState, saveTrainingState } from 'tensorless/node';

const STEPS = 60;

type Layer = { weight: JaxArray; bias: JaxArray };
type Model = { layers: Layer[] };

const array = (shape: [number, number], salt: number): JaxArray =>
  np.array(
    Float32Array.from({ length: shape[0] * shape[1] }, (_, k) => (((k + 1) * salt) % 101) / 101 - 0.5),
    { shape },
  );

// Each use of an array takes it: `.ref` keeps it for the next one.
const x = array([64, 4], 37);
const y = np.sin(x.ref.sum(1, { keepdims: true }));
const gradients = valueAndGrad(
  jit(({ layers: [first, second] }: { layers: [Layer, Layer] }, inputs: JaxArray, targets: JaxArray) => {
    const hidden = np.tanh(np.matmul(inputs, first.weight).add(first.bias));
    return np.mean(np.square(np.matmul(hidden, second.weight).add(second.bias).sub(targets)));
  }),
);

async function build() {
  const params: Model = {
    layers: [
      { weight: array([4, 16], 29), bias: array([1, 16], 31) },
      { weight: array([16, 1], 43), bias: array([1, 1], 47) },
    ],
  };
  let scheduler: LRScheduler | undefined;
  const optimizer = await jaxOptimizer((parameters: Parameter[]) => {
    const adamw = new AdamW(weightDecayGroups(parameters, { weightDecay: 0.01 }), { lr: 0.05 });
    scheduler = getCosineScheduleWithWarmup(adamw, { numWarmupSteps: 5, numTrainingSteps: STEPS });
    return adamw;
  }).build(tree.ref(params));
  const run = { params, optimizer, scheduler: scheduler!, parts, train };
  function parts() {
    return { parameters: optimizer.parameters, optimizer: optimizer.optimizer, scheduler: scheduler! };
  }
  async function train(steps: number): Promise<number> {
    let last = 0;
    for (let step = 0; step < steps; step++) {
      const [loss, grads] = gradients(tree.ref(run.params) as { layers: [Layer, Layer] }, x.ref, y.ref);
      run.params = await optimizer.update(run.params, grads as Model);
      scheduler!.step();
      last = await loss.item();
    }
    return last;
  }
  return run;
}

const folder = await mkdtemp(join(tmpdir(), 'jax-resume-'));
const path = join(folder, 'run.safetensors');

const whole = await build();
const before = await whole.train(1);
await whole.train(19);
await saveTrainingState(path, { ...whole.parts(), extra: { step: 20 } });
const after = await whole.train(STEPS - 20);
console.log(`loss ${before.toFixed(3)} at the first step, ${after.toFixed(4)} at the last`);

const resumed = await build();
const { step } = await loadTrainingState<{ step: number }>(path, resumed.parts());
resumed.params = resumed.optimizer.weights(resumed.params);
await resumed.train(STEPS - step);

const leaves = ({ layers }: Model): JaxArray[] => layers.flatMap(({ weight, bias }) => [weight, bias]);
const bits = async (model: Model): Promise<string> =>
  (await Promise.all(leaves(model).map((leaf) => leaf.data()))).join('; ');
const same = (await bits(resumed.params)) === (await bits(whole.params));
console.log(`cut after step ${step}, continued to ${STEPS}: the same bits as without the cut: ${same}`);
await rm(folder, { recursive: true });
