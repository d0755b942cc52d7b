/** Models of TensorFlow.js saved with their optimizer, and loaded again. */
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import {
  Adafactor,
  AdamW,
  getCosineScheduleWithWarmup,
  Lion,
  type LRScheduler,
  type Parameter,
  SGD,
  weightDecayGroups,
} from 'tensorless';
import { simdKernels } from 'tensorless/simd';
import { TfOptimizer, tfOptimizer } from 'tensorless/tfjs';
import { beforeEach, describe, expect, it } from 'vitest';

const numbers = (length: number, salt: number): Float32Array =>
  Float32Array.from({ length }, (_, k) => (((k + 1) * salt) % 101) / 101 - 0.5);

const start = (seed: number): ReturnType<typeof layers.initializers.glorotUniform> =>
  layers.initializers.glorotUniform({ seed });

interface Task {
  model: layers.LayersModel;
  x: tf.Tensor;
  y: tf.Tensor;
  loss: string;
}

const tasks: Record<string, () => Task> = {
  dense: () => ({
    model: layers.sequential({
      layers: [
        layers.layers.dense({ units: 5, activation: 'tanh', inputShape: [4], kernelInitializer: start(1) }),
        layers.layers.dense({ units: 2, kernelInitializer: start(2) }),
      ],
    }),
    x: tf.tensor(numbers(40, 37), [10, 4]),
    y: tf.tensor(numbers(20, 53), [10, 2]),
    loss: 'meanSquaredError',
  }),
  'convolution, batch normalization': () => ({
    model: layers.sequential({
      layers: [
        layers.layers.conv2d({ filters: 2, kernelSize: 3, inputShape: [5, 5, 1], kernelInitializer: start(3) }),
        layers.layers.batchNormalization(),
        layers.layers.flatten(),
        layers.layers.dense({ units: 1, kernelInitializer: start(4) }),
      ],
    }),
    x: tf.tensor(numbers(10 * 25, 37), [10, 5, 5, 1]),
    y: tf.tensor(numbers(10, 53), [10, 1]),
    loss: 'meanSquaredError',
  }),
  'embedding, lstm': () => ({
    model: layers.sequential({
      layers: [
        layers.layers.embedding({ inputDim: 7, outputDim: 3, inputLength: 4, embeddingsInitializer: start(5) }),
        layers.layers.lstm({ units: 3, kernelInitializer: start(6), recurrentInitializer: start(7) }),
        layers.layers.dense({ units: 1, kernelInitializer: start(8) }),
      ],
    }),
    x: tf.tensor(
      Int32Array.from({ length: 40 }, (_, k) => (k * 5) % 7),
      [10, 4],
      'int32',
    ),
    y: tf.tensor(numbers(10, 53), [10, 1]),
    loss: 'meanSquaredError',
  }),
};

const makers: Record<string, (params: Parameter[]) => Adafactor | AdamW | Lion | SGD> = {
  Adafactor: (params) => new Adafactor(params, { beta1: 0.9 }),
  AdamW: (params) => new AdamW(params, { lr: 0.02, amsgrad: true }),
  Lion: (params) => new Lion(params, { lr: 0.005, weightDecay: 0.1 }),
  SGD: (params) => new SGD(params, { lr: 0.05, momentum: 0.9, nesterov: true }),
};

/** What a file would hold: texts are JSON, as file handlers write them. */
async function saved(model: layers.LayersModel): Promise<tf.io.ModelArtifacts> {
  let kept: tf.io.ModelArtifacts | undefined;
  const handler = tf.io.withSaveHandler(async (artifacts) => {
    kept = artifacts;
    return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
  });
  await model.save(handler, { includeOptimizer: true });
  const { weightData, ...texts } = kept!;
  return { ...(JSON.parse(JSON.stringify(texts)) as tf.io.ModelArtifacts), weightData: weightData! };
}

const loaded = async (artifacts: tf.io.ModelArtifacts): Promise<layers.LayersModel> =>
  layers.loadLayersModel(tf.io.fromMemory(artifacts));

const train = (model: layers.LayersModel, { x, y }: Task, callbacks: object = {}): Promise<unknown> =>
  model.fit(x, y, { epochs: 2, batchSize: 5, shuffle: false, verbose: 0, callbacks });

const weightsOf = (model: layers.LayersModel): number[][] => model.getWeights().map((one) => [...one.dataSync()]);
const optimizerOf = (model: layers.LayersModel): TfOptimizer => model.optimizer as TfOptimizer;

beforeEach(async () => {
  await tf.setBackend('cpu');
});

describe.each(Object.keys(tasks))('%s', (name) => {
  it.each(Object.entries(makers))('goes on with %s as if it had never been saved', async (kind, make) => {
    const task = tasks[name]!();
    task.model.compile({ optimizer: tfOptimizer(make), loss: task.loss, metrics: ['mse'] });
    await train(task.model, task);
    const artifacts = await saved(task.model);
    await train(task.model, task);
    const model = await loaded(artifacts);
    expect([model.optimizer instanceof TfOptimizer, tf.train.sgd(1) instanceof TfOptimizer]).toEqual([true, false]);
    expect(optimizerOf(model).iterations).toBe(4);
    await train(model, task);
    expect(weightsOf(model)).toEqual(weightsOf(task.model));
    expect(optimizerOf(model).optimizer.constructor.name).toBe(kind);
    const dicts = [model, task.model].map((one) => optimizerOf(one).optimizer.stateDict());
    expect(dicts[0]!.state).toEqual(dicts[1]!.state);
  });
});

it('keeps groups and their options, also where they reorder the variables, and learning rates of a schedule', async () => {
  const task = tasks.dense!();
  const make = (params: Parameter[]): AdamW =>
    new AdamW(weightDecayGroups(params, { weightDecay: 0.3, noDecay: ({ shape }) => shape.length > 1 }), {
      lr: 0.02,
      betas: [0.8, 0.99],
    });
  let scheduler: LRScheduler | undefined;
  const schedule = { numWarmupSteps: 2, numTrainingSteps: 8 };
  const optimizer = tfOptimizer((params) => {
    const adamw = make(params);
    scheduler = getCosineScheduleWithWarmup(adamw, schedule);
    return adamw;
  });
  task.model.compile({ optimizer, loss: task.loss });
  await train(task.model, task, { onBatchEnd: () => scheduler!.step() });
  const artifacts = await saved(task.model);
  await train(task.model, task, { onBatchEnd: () => scheduler!.step() });

  const model = await loaded(artifacts);
  const second = optimizerOf(model).build(model.trainableWeights);
  const [decay, rest] = second.optimizer.paramGroups as AdamW['paramGroups'];
  expect([decay!.weightDecay, rest!.weightDecay, decay!.betas]).toEqual([0.3, 0, [0.8, 0.99]]);
  const resumed = getCosineScheduleWithWarmup(second.optimizer, { ...schedule, lastEpoch: second.iterations - 1 });
  await train(model, task, { onBatchEnd: () => resumed.step() });
  expect(weightsOf(model)).toEqual(weightsOf(task.model));
  expect(resumed.getLastLr()).toEqual(scheduler!.getLastLr());
});

it('finds make again by className, with kernels and all', async () => {
  const task = tasks.dense!();
  const made: Adafactor[] = [];
  const make = (params: Parameter[]): Adafactor => {
    made.push(new Adafactor(params, { lr: 0.02, relativeStep: false, scaleParameter: false, kernels: simdKernels() }));
    return made.at(-1)!;
  };
  task.model.compile({ optimizer: tfOptimizer(make, { className: 'FastAdafactor' }), loss: task.loss });
  await train(task.model, task);
  made[0]!.paramGroups[0]!.lr = 0.01;
  const artifacts = await saved(task.model);
  await train(task.model, task);
  expect((artifacts.trainingConfig!.optimizer_config as { class_name: string }).class_name).toBe('FastAdafactor');
  const model = await loaded(artifacts);
  await train(model, task);
  expect(made.length).toBe(2);
  expect(made[1]!.paramGroups[0]!.lr).toBe(0.01);
  expect(weightsOf(model)).toEqual(weightsOf(task.model));
});

it('loses nothing when what was loaded is saved again before a step', async () => {
  const task = tasks.dense!();
  task.model.compile({ optimizer: tfOptimizer(makers.AdamW!), loss: task.loss });
  await train(task.model, task);
  const again = await saved(await loaded(await saved(task.model)));
  await train(task.model, task);
  const model = await loaded(again);
  await train(model, task);
  expect(weightsOf(model)).toEqual(weightsOf(task.model));
});

it('a model saved before its first step loads; training it says what to do, unless it has a className', async () => {
  const task = tasks.dense!();
  task.model.compile({ optimizer: tfOptimizer(makers.AdamW!), loss: task.loss });
  const model = await loaded(await saved(task.model));
  await expect(train(model, task)).rejects.toThrow("saved before the optimizer's first step");
  task.model.compile({ optimizer: tfOptimizer(makers.AdamW!, { className: 'Named' }), loss: task.loss });
  const named = await loaded(await saved(task.model));
  await Promise.all([train(named, task), train(task.model, task)]);
  expect(weightsOf(named)).toEqual(weightsOf(task.model));
});

it.each([
  ['frozen when it was saved', false, true],
  ['frozen after it was loaded', true, false],
])('state finds its layer where one was %s', async (_, first, second) => {
  const task = tasks.dense!();
  const setTrainable = (model: layers.LayersModel, trainable: boolean): void => {
    model.layers[0]!.trainable = trainable;
    model.compile({ optimizer: model.optimizer, loss: task.loss });
  };
  task.model.compile({ optimizer: tfOptimizer(makers.AdamW!), loss: task.loss });
  setTrainable(task.model, first);
  await train(task.model, task);
  const model = await loaded(await saved(task.model));
  // In the second round all are trained: what was left aside in the first goes on where it was.
  for (const trainable of [second, true]) {
    for (const one of [task.model, model]) {
      setTrainable(one, trainable);
      await train(one, task);
    }
    expect(weightsOf(model)).toEqual(weightsOf(task.model));
  }
  const [mine, theirs] = [model, task.model].map((one) => optimizerOf(one).optimizer);
  expect(Object.keys(mine!.stateDict().state)).toEqual(Object.keys(theirs!.stateDict().state));
});

it('saving, loading and disposing leave no tensor behind', async () => {
  const task = tasks.dense!();
  const before = tf.memory().numTensors;
  const optimizer = tfOptimizer(makers.Adafactor!);
  task.model.compile({ optimizer, loss: task.loss });
  await train(task.model, task);
  expect(tf.memory().numTensors).toBe(before);
  await saved(task.model);
  const once = tf.memory().numTensors;
  const artifacts = await saved(task.model);
  expect(tf.memory().numTensors).toBe(once);
  optimizer.dispose();
  optimizer.dispose();
  expect(tf.memory().numTensors).toBe(before);
  const model = await loaded(artifacts);
  await train(model, task);
  model.dispose();
  optimizerOf(model).dispose();
  expect(tf.memory().numTensors).toBe(before);
  await expect(train(task.model, task)).rejects.toThrow('this optimizer was disposed');
});

describe('setWeights', () => {
  const variables = (): tf.Variable[] => [
    tf.variable(tf.tensor(numbers(6, 29), [2, 3])),
    tf.variable(tf.tensor([0.5])),
  ];
  const step = (optimizer: TfOptimizer, of: tf.Variable[], some: tf.Variable[] = of): void => {
    optimizer.minimize(() => tf.addN(some.map((one) => tf.sum(tf.square(one)))) as tf.Scalar, false, of);
  };

  it('goes by position, with a variable that has no gradient yet among them', async () => {
    const [a, b] = [variables(), variables()];
    const [first, second] = [tfOptimizer(makers.AdamW!), tfOptimizer(makers.AdamW!)];
    step(first, a, [a[1]!]);
    step(first, a, [a[1]!]);
    const weights = await first.getWeights();
    expect(weights.map(({ name }) => name.slice(name.indexOf('/') + 1))).toEqual([
      'iter',
      'stateless',
      'step',
      'exp_avg',
      'exp_avg_sq',
      'max_exp_avg_sq',
    ]);
    await second.setWeights(weights);
    for (const [i, one] of b.entries()) one.assign(a[i]!);
    step(first, a);
    step(second, b);
    expect(b.map((one) => [...one.dataSync()])).toEqual(a.map((one) => [...one.dataSync()]));
    expect(second.iterations).toBe(3);
  });

  it('refuses what does not fit, and goes on refusing', async () => {
    const [a, b] = [variables(), [tf.variable(tf.tensor([1, 2])), tf.variable(tf.tensor([3]))]];
    const [first, second] = [tfOptimizer(makers.AdamW!), tfOptimizer(makers.AdamW!)];
    step(first, a);
    await second.setWeights(await first.getWeights());
    for (let i = 0; i < 2; i++) expect(() => step(second, b)).toThrow(/exp_avg/);
    expect([...b[0]!.dataSync()]).toEqual([1, 2]);
    const third = tfOptimizer(makers.AdamW!);
    await third.setWeights(await first.getWeights());
    expect(() => third.build([b[0]!])).toThrow('the state is of 2 variables');
    await expect(third.setWeights([])).rejects.toThrow('must begin with the number of steps');
    expect(() => TfOptimizer.fromConfig(TfOptimizer, { settings: '{}' })).toThrow('the text that getConfig wrote');
    const unknown = '{"kind":"Sophia","defaults":{},"names":["a"],"groups":[{"params":[0],"options":{}}]}';
    const strange = TfOptimizer.fromConfig<TfOptimizer>(TfOptimizer, { settings: unknown });
    expect(() => strange.build([b[0]!])).toThrow('"Sophia" is no optimizer of this version');
  });
});
