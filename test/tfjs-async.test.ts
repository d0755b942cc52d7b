/** The adapter on a backend that cannot read tensors synchronously, as WebGPU's cannot. */
import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { Adafactor, AdamW, getLinearScheduleWithWarmup, type LRScheduler, type Parameter } from 'tensorless';

import { simdKernels } from 'tensorless/simd';
import { type TfOptimizer, tfOptimizer } from 'tensorless/tfjs';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parallelKernels } from './_parallel.ts';

/** Counts what is read, and reads nothing synchronously. */
class Deaf extends MathBackendCPU {
  reads = 0;

  override async read(dataId: object): Promise<tf.backend_util.TypedArray> {
    this.reads++;
    await new Promise((resolve) => setTimeout(resolve, 1));
    return super.readSync(dataId) as tf.backend_util.TypedArray;
  }

  /** Kernels of the cpu read by it. */
  override bufferSync<R extends tf.Rank, D extends tf.DataType>(info: tf.TensorInfo): tf.TensorBuffer<R, D> {
    const { values: held } = this.data.get(info.dataId);
    return tf.buffer(info.shape as tf.ShapeMap[R], info.dtype as D, held as tf.DataTypeMap[D]);
  }
}
Deaf.prototype.readSync = tf.KernelBackend.prototype.readSync as never;

const backend = new Deaf();
beforeAll(() => {
  tf.copyRegisteredKernels('cpu', 'deaf');
  tf.registerBackend('deaf', () => backend);
});
beforeEach(async () => {
  await tf.setBackend('deaf');
});
afterEach(() => tf.disposeVariables());

const numbers = (length: number, salt: number): Float32Array =>
  Float32Array.from({ length }, (_, k) => (((k + 1) * salt) % 101) / 101 - 0.5);

const make = (params: Parameter[]): Adafactor => new Adafactor(params, { beta1: 0.9 });

/** A linear model with two variables and its loss. */
function problem(): { variables: tf.Variable[]; loss: () => tf.Scalar } {
  const x = tf.tensor(numbers(40, 37), [10, 4]);
  const y = tf.tensor(numbers(30, 53), [10, 3]);
  const weight = tf.variable(tf.tensor(numbers(12, 29), [4, 3]));
  const bias = tf.variable(tf.tensor(numbers(3, 31), [3]));
  return { variables: [weight, bias], loss: () => tf.mean(tf.square(tf.sub(tf.add(tf.matMul(x, weight), bias), y))) };
}

const values = (variables: readonly tf.Tensor[]): Promise<number[][]> =>
  Promise.all(variables.map(async (one) => [...(await one.data())]));

/** What the cpu backend makes of as many steps. */
async function expected(steps: number): Promise<number[][]> {
  await tf.setBackend('cpu');
  const { variables, loss } = problem();
  const optimizer = tfOptimizer(make);
  for (let step = 0; step < steps; step++) optimizer.minimize(loss, false, variables);
  const after = values(variables);
  await tf.setBackend('deaf');
  return after;
}

it('the synchronous calls refuse, and say what to await; nothing is left behind', async () => {
  const { variables, loss } = problem();
  const optimizer = tfOptimizer(make);
  const before = await values(variables);
  const { numTensors } = tf.memory();
  const message = 'tensors of the backend "deaf" cannot be read synchronously; await optimizer.';
  expect(() => optimizer.minimize(loss, false, variables)).toThrow(`minimize: ${message}minimizeAsync(...), or give`);
  const gradient = tf.ones([4, 3]);
  expect(() => optimizer.applyGradients({ [variables[0]!.name]: gradient })).toThrow(
    'callbacks: optimizer.callbacks()',
  );
  gradient.dispose();
  expect(() => optimizer.build(variables)).toThrow(`build: ${message}buildAsync(...)`);
  await optimizer.buildAsync(variables);
  expect(() => optimizer.readWeights()).toThrow(`readWeights: ${message}readWeightsAsync(...)`);
  expect(tf.memory().numTensors).toBe(numTensors);
  expect(await values(variables)).toEqual(before);
  expect(optimizer.iterations).toBe(0);
});

it('minimizeAsync steps with the bits of minimize, leaks nothing, and reads weights once', async () => {
  const { variables, loss } = problem();
  const optimizer = tfOptimizer(make);
  const cost = await optimizer.minimizeAsync(loss, true, variables);
  expect(cost!.shape).toEqual([]);
  cost!.dispose();
  const { numTensors } = tf.memory();
  const { reads } = backend;
  for (let step = 0; step < 4; step++) expect(await optimizer.minimizeAsync(loss, false, variables)).toBeNull();
  expect(tf.memory().numTensors).toBe(numTensors);
  // Two gradients a step: the weights were written here.
  expect(backend.reads - reads).toBe(8);
  expect(optimizer.iterations).toBe(5);
  expect(await values(variables)).toEqual(await expected(5));
});

it('weights that somebody else assigns are read', async () => {
  const { variables, loss } = problem();
  const optimizer = await tfOptimizer((params) => new AdamW(params, { lr: 0.5 })).buildAsync(variables);
  await optimizer.minimizeAsync(loss, false, variables);
  const other = tf.fill([4, 3], 100);
  variables[0]!.assign(other);
  await optimizer.minimizeAsync(loss, false, variables);
  expect(Math.min(...(await values([variables[0]!]))[0]!)).toBeGreaterThan(90);
  variables[0]!.assign(other);
  await optimizer.readWeightsAsync();
  expect(optimizer.parameters[0]!.data[0]).toBe(100);
});

it('one thing at a time: what comes meanwhile is refused', async () => {
  const { variables, loss } = problem();
  const optimizer = tfOptimizer(make);
  const first = optimizer.minimizeAsync(loss, false, variables);
  await expect(optimizer.minimizeAsync(loss, false, variables)).rejects.toThrow('is under way; await it first');
  expect(() => optimizer.dispose()).toThrow('is under way');
  await expect(optimizer.getWeights()).rejects.toThrow('is under way');
  await first;
  expect(await values(variables)).toEqual(await expected(1));
});

it('a refused step changes nothing, and leaks nothing', async () => {
  const { variables } = problem();
  const optimizer = await tfOptimizer(make).buildAsync(variables);
  const before = await values(variables);
  const { numTensors } = tf.memory();
  const bad = (): tf.Scalar => tf.mul(Number.NaN, tf.sum(variables[0]!));
  await expect(optimizer.minimizeAsync(bad, true, variables)).rejects.toThrow(/gradient of .* is NaN/);
  expect(tf.memory().numTensors).toBe(numTensors);
  expect(await values(variables)).toEqual(before);
  expect(optimizer.iterations).toBe(0);
});

it('kernels with threads are used', async () => {
  const kernels = await parallelKernels({ threads: 2 });
  const { variables, loss } = problem();
  const optimizer = tfOptimizer((params) => new Adafactor(params, { beta1: 0.9, kernels }));
  for (let step = 0; step < 3; step++) await optimizer.minimizeAsync(loss, false, variables);
  expect(await values(variables)).toEqual(await expected(3));
  optimizer.dispose();
  await kernels.close();
});

describe('a Layers model', () => {
  const x = (): tf.Tensor => tf.tensor(numbers(80, 37), [20, 4]);
  const y = (): tf.Tensor => tf.tensor(numbers(40, 53), [20, 2]);
  const modelOf = (optimizer: TfOptimizer): layers.LayersModel => {
    const start = (seed: number): ReturnType<typeof layers.initializers.glorotUniform> =>
      layers.initializers.glorotUniform({ seed });
    const model = layers.sequential({
      layers: [
        layers.layers.dense({ units: 5, activation: 'tanh', inputShape: [4], kernelInitializer: start(1) }),
        layers.layers.dense({ units: 2, kernelInitializer: start(2) }),
      ],
    });
    model.compile({ optimizer, loss: 'meanSquaredError' });
    return model;
  };
  const args = { epochs: 3, batchSize: 7, shuffle: false, verbose: 0 as const };
  const scheduled = (): { optimizer: TfOptimizer; step: () => void; last: () => number[] } => {
    let scheduler: LRScheduler | undefined;
    const optimizer = tfOptimizer((params) => {
      const adamw = new AdamW(params, { lr: 0.05 });
      scheduler = getLinearScheduleWithWarmup(adamw, { numWarmupSteps: 2, numTrainingSteps: 9 });
      return adamw;
    });
    return { optimizer, step: () => scheduler!.step(), last: () => scheduler!.getLastLr() };
  };

  it('fits with the callbacks as with a synchronous backend, a schedule after them', async () => {
    const losses: unknown[] = [];
    const weights: number[][][] = [];
    for (const name of ['cpu', 'deaf']) {
      await tf.setBackend(name);
      const { optimizer, step, last } = scheduled();
      const model = modelOf(optimizer);
      const callbacks =
        name === 'cpu' ? { onBatchEnd: step } : [optimizer.callbacks(), { onBatchEnd: async () => step() }];
      const [inputs, targets] = [x(), y()];
      const { numTensors } = tf.memory();
      const { history } = await model.fit(inputs, targets, { ...args, callbacks });
      expect(tf.memory().numTensors).toBe(numTensors);
      expect(optimizer.iterations).toBe(9);
      expect(last()).toEqual([0]);
      losses.push(history.loss);
      weights.push(await values(model.getWeights()));
    }
    expect(losses[1]).toEqual(losses[0]);
    expect(weights[1]).toEqual(weights[0]);
  });

  it('without the callbacks fit refuses', async () => {
    const model = modelOf(tfOptimizer(make));
    await expect(model.fit(x(), y(), args)).rejects.toThrow('callbacks: optimizer.callbacks()');
  });

  it('the callbacks go with callbacks of classes, in trainOnBatch, and after a step that failed', async () => {
    const optimizer = tfOptimizer((params) => new AdamW(params, { lr: 0.05 }));
    const model = modelOf(optimizer);
    const stopping = layers.callbacks.earlyStopping({ monitor: 'loss', patience: 0, minDelta: 1e6 });
    const callbacks = [new layers.CustomCallback(optimizer.callbacks()), stopping];
    await model.fit(x(), y(), { ...args, callbacks });
    // It stopped after the second epoch.
    expect(optimizer.iterations).toBe(6);
    const batch = optimizer.callbacks();
    await batch.onBatchBegin();
    await model.trainOnBatch(x(), y());
    await batch.onBatchEnd();
    expect(optimizer.iterations).toBe(7);
    const before = await values(model.getWeights());
    await batch.onBatchBegin();
    await model.trainOnBatch(x(), tf.fill([20, 2], Number.NaN));
    await expect(batch.onBatchEnd()).rejects.toThrow('is NaN');
    expect(await values(model.getWeights())).toEqual(before);
    await expect(model.trainOnBatch(x(), y())).rejects.toThrow('cannot be read synchronously');
  });

  it('is saved and loaded with its optimizer', async () => {
    const { optimizer, step } = scheduled();
    const model = modelOf(optimizer);
    const [inputs, targets] = [x(), y()];
    await model.fit(inputs, targets, {
      ...args,
      epochs: 1,
      callbacks: [optimizer.callbacks(), { onBatchEnd: async () => step() }],
    });
    let artifacts: tf.io.ModelArtifacts | undefined;
    await model.save(
      tf.io.withSaveHandler(async (kept) => {
        artifacts = kept;
        return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
      }),
      { includeOptimizer: true },
    );
    const copy = await layers.loadLayersModel(tf.io.fromMemory(artifacts!));
    const second = await (copy.optimizer as TfOptimizer).buildAsync(copy.trainableWeights);
    const resumed = getLinearScheduleWithWarmup(second.optimizer, {
      numWarmupSteps: 2,
      numTrainingSteps: 9,
      lastEpoch: second.iterations - 1,
    });
    await model.fit(inputs, targets, {
      ...args,
      callbacks: [optimizer.callbacks(), { onBatchEnd: async () => step() }],
    });
    await copy.fit(inputs, targets, {
      ...args,
      callbacks: [second.callbacks(), { onBatchEnd: async () => resumed.step() }],
    });
    expect(await values(copy.getWeights())).toEqual(await values(model.getWeights()));
  });
});

it('gradients of other kinds, none, and of another shape', async () => {
  for (const name of ['cpu', 'deaf']) {
    await tf.setBackend(name);
    const { variables } = problem();
    const [weight, bias] = variables as [tf.Variable, tf.Variable];
    const optimizer = tfOptimizer((params) => new AdamW(params, { lr: 1 }));
    const apply = async (gradients: Parameters<TfOptimizer['applyGradients']>[0]): Promise<void> =>
      name === 'cpu' ? optimizer.applyGradients(gradients) : optimizer.applyGradientsAsync(gradients);
    bias.assign(tf.tensor([0, 0, 0]));
    const counter = tf.variable(tf.scalar(3, 'int32'), false, `counter ${name}`);
    await apply([
      { name: bias.name, tensor: tf.tensor([1, -2, 0], [3], 'int32') },
      { name: weight.name, tensor: null as never },
      { name: counter.name, tensor: undefined as never },
    ]);
    const [after] = await values([bias]);
    expect(after!.map((value) => Math.sign(value))).toEqual([-1, 1, 0]);
    await apply({ [bias.name]: tf.tensor([true, false, true], [3], 'bool') });
    await expect(apply({ [bias.name]: tf.complex([1, 1, 1], [0, 0, 0]) })).rejects.toThrow(
      'must be float32, got complex64',
    );
    await expect(apply({ [bias.name]: tf.ones([3, 1]) })).rejects.toThrow(
      "must have the variable's shape [3], got [3, 1]",
    );
    await expect(apply({ [counter.name]: tf.scalar(1) })).rejects.toThrow('must be float32 to be trained, got int32');
    await expect(apply({ nowhere: tf.scalar(1) })).rejects.toThrow('there is no variable "nowhere"');
    expect(optimizer.parameters.map(({ name: of }) => of)).toEqual([bias.name, weight.name]);
  }
});

it('a variable that takes the place of one that is gone goes on; one of another shape is refused', async () => {
  await tf.setBackend('cpu');
  const optimizer = tfOptimizer((params) => new AdamW(params, { lr: 0.1 }));
  const first = tf.variable(tf.tensor([1, 2]), true, 'place');
  optimizer.applyGradients({ place: tf.tensor([1, 1]) });
  first.dispose();
  const second = tf.variable(tf.tensor([5, 6]), true, 'place');
  optimizer.applyGradients({ place: tf.tensor([1, 1]) });
  expect(second.dataSync()[0]).toBeCloseTo(4.895);
  expect(optimizer.optimizer.stateDict().state[0]!.step).toBe(2);
  second.dispose();
  tf.variable(tf.tensor([5, 6, 7]), true, 'place');
  expect(() => optimizer.applyGradients({ place: tf.tensor([1, 1, 1]) })).toThrow('had shape [2] before');
});

it('what it is given, and what make returns, is looked at', async () => {
  const other = { kernels: simdKernels() as never };
  expect(() => tfOptimizer(make, other)).toThrow('must be those of webgpuKernels(tf.backend().device)');
  expect(() => tfOptimizer(make, { classname: 'A' } as never)).toThrow('unknown option');
  await tf.setBackend('cpu');
  const { variables, loss } = problem();
  const promised = tfOptimizer((async (params: Parameter[]) => new AdamW(params)) as never);
  expect(() => promised.minimize(loss, false, variables)).toThrow('make must return an optimizer of this library');
  const half = tfOptimizer(([first]) => new AdamW([first!], { lr: 0.1 }));
  half.minimize(loss, false, variables);
  const weights = await half.getWeights();
  expect(weights.at(-1)!.name.endsWith('/stateless')).toBe(true);
  await half.setWeights(weights);
  half.minimize(loss, false, variables);
  expect(half.optimizer.stateDict().state[0]!.step).toBe(2);
});
