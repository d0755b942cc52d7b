/** The adapter on real TensorFlow.js, on two of its backends. */
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { Adafactor, AdamW, getLinearScheduleWithWarmup, type LRScheduler, type Parameter } from 'tensorless';
import { decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { type TfOptimizer, tfOptimizer } from 'tensorless/tfjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const make = {
  adafactor: (params: Parameter[]) => new Adafactor(params, { lr: 0.05, relativeStep: false, scaleParameter: false }),
  adamw: (params: Parameter[]) => new AdamW(params, { lr: 0.05, weightDecay: 0 }),
};

const numbers = (length: number, salt: number): Float32Array =>
  Float32Array.from({ length }, (_, k) => (((k + 1) * salt) % 101) / 101 - 0.5);

describe.each(['cpu', 'wasm'])('tfOptimizer on the %s backend', (backend) => {
  beforeEach(async () => {
    await tf.setBackend(backend);
  });
  afterEach(() => tf.disposeVariables());

  /** A linear model with two variables and its loss. */
  function problem(names: string[] = []): { variables: tf.Variable[]; loss: () => tf.Scalar } {
    const x = tf.tensor(numbers(40, 37), [10, 4]);
    const y = tf.tensor(numbers(30, 53), [10, 3]);
    const weight = tf.variable(tf.tensor(numbers(12, 29), [4, 3]), true, names[0]);
    const bias = tf.variable(tf.tensor(numbers(3, 31), [3]), true, names[1]);
    return { variables: [weight, bias], loss: () => tf.mean(tf.square(tf.sub(tf.add(tf.matMul(x, weight), bias), y))) };
  }
  const values = (variables: tf.Variable[]): number[] => variables.flatMap((variable) => [...variable.dataSync()]);

  it.each(['adafactor', 'adamw'] as const)('%s lowers the loss, and leaks no tensor', (name) => {
    const { variables, loss } = problem();
    const optimizer = tfOptimizer(make[name]);
    const first = tf.tidy(() => loss().dataSync()[0]!);
    optimizer.minimize(loss, false, variables);
    const { numTensors } = tf.memory();
    for (let step = 0; step < 60; step++) optimizer.minimize(loss, false, variables);
    expect(tf.memory().numTensors).toBe(numTensors);
    expect(tf.tidy(() => loss().dataSync()[0]!)).toBeLessThan(first / 3);
    expect(optimizer.iterations).toBe(61);
    optimizer.dispose();
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  it('equals tf.train.adam to rounding where both are Adam', () => {
    const ours = problem();
    const theirs = problem();
    const optimizer = tfOptimizer((params) => new AdamW(params, { lr: 0.01, weightDecay: 0, eps: 1e-7 }));
    const adam = tf.train.adam(0.01, 0.9, 0.999, 1e-7);
    for (let step = 0; step < 20; step++) {
      optimizer.minimize(ours.loss, false, ours.variables);
      adam.minimize(theirs.loss, false, theirs.variables);
    }
    const expected = values(theirs.variables);
    for (const [k, value] of values(ours.variables).entries())
      expect(Math.abs(value - expected[k]!)).toBeLessThan(2e-6);
  });

  it('trains a Layers model that is compiled with it, a scheduler working on it', async () => {
    const model = layers.sequential({
      layers: [
        layers.layers.dense({
          units: 8,
          activation: 'relu',
          inputShape: [4],
          kernelInitializer: layers.initializers.glorotUniform({ seed: 1 }),
        }),
        layers.layers.dense({
          units: 2,
          activation: 'softmax',
          kernelInitializer: layers.initializers.glorotUniform({ seed: 2 }),
        }),
      ],
    });
    let scheduler: LRScheduler | undefined;
    const optimizer = tfOptimizer((params) => {
      const adafactor = new Adafactor(params, { lr: 0.05, relativeStep: false, scaleParameter: false });
      scheduler = getLinearScheduleWithWarmup(adafactor, { numWarmupSteps: 0, numTrainingSteps: 40 });
      return adafactor;
    });
    model.compile({ optimizer, loss: 'categoricalCrossentropy', metrics: ['accuracy'] });
    const x = tf.tensor2d(numbers(400, 37), [100, 4]);
    const labels = Array.from({ length: 100 }, (_, i) => (x.arraySync()[i]![0]! > 0 ? 1 : 0));
    const y = tf.oneHot(tf.tensor1d(labels, 'int32'), 2);
    const { history } = await model.fit(x, y, {
      epochs: 10,
      batchSize: 25,
      shuffle: false,
      verbose: 0,
      callbacks: { onBatchEnd: () => scheduler!.step() },
    });
    expect(history.acc!.at(-1)).toBeGreaterThan(0.9);
    expect(scheduler!.getLastLr()).toEqual([0]);
    expect(optimizer.parameters.map(({ name }) => name)).toEqual(model.trainableWeights.map(({ name }) => name));
  });

  it('hands its state over by getWeights and setWeights, before or after the variables are known', async () => {
    for (const early of [true, false]) {
      const a = problem();
      const b = problem();
      const first = tfOptimizer(make.adafactor);
      for (let step = 0; step < 3; step++) first.minimize(a.loss, false, a.variables);
      const second = tfOptimizer(make.adafactor);
      for (const [i, variable] of b.variables.entries()) variable.assign(a.variables[i]!);
      // Variables have names of their own in TensorFlow.js, so the state is renamed as it moves
      // between two in one program.
      const renamed = (await first.getWeights()).map(({ name, tensor }) => {
        const from = a.variables.findIndex((variable) => name.startsWith(`${variable.name}/`));
        return { name: from < 0 ? name : name.replace(a.variables[from]!.name, b.variables[from]!.name), tensor };
      });
      expect(renamed[0]!.name).toBe('iter');
      if (early) await second.setWeights(renamed);
      second.build(b.variables);
      if (!early) await second.setWeights(renamed);
      expect(second.iterations).toBe(3);
      for (let step = 0; step < 3; step++) {
        first.minimize(a.loss, false, a.variables);
        second.minimize(b.loss, false, b.variables);
      }
      expect(values(b.variables)).toEqual(values(a.variables));
      const nameless = ({ optimizer }: TfOptimizer): unknown => {
        const { state, param_groups } = optimizer.stateDict();
        return [state, param_groups.map(({ param_names, ...group }) => group)];
      };
      expect(nameless(second)).toEqual(nameless(first));
    }
  });

  it('refuses a state that fits no variable, with nothing changed', async () => {
    const { variables, loss } = problem();
    const optimizer = tfOptimizer(make.adamw);
    optimizer.minimize(loss, false, variables);
    const before = optimizer.optimizer.stateDict();
    const wrong = [...(await optimizer.getWeights()), { name: 'other/exp_avg', tensor: tf.tensor([1]) }];
    await expect(optimizer.setWeights(wrong)).rejects.toThrow('"other/exp_avg" is the state of no variable here');
    expect(optimizer.optimizer.stateDict()).toEqual(before);
    expect(optimizer.iterations).toBe(1);
  });

  it('goes on bit for bit from a checkpoint with weights, state and schedule', () => {
    const names = ['weight', 'bias'];
    const run = (): { variables: tf.Variable[]; optimizer: TfOptimizer; scheduler: LRScheduler; step: () => void } => {
      const { variables, loss } = problem(names);
      let scheduler: LRScheduler | undefined;
      const optimizer = tfOptimizer((params) => {
        const adafactor = make.adafactor(params);
        scheduler = getLinearScheduleWithWarmup(adafactor, { numWarmupSteps: 2, numTrainingSteps: 12 });
        return adafactor;
      }).build(variables);
      const step = (): void => {
        optimizer.minimize(loss, false, variables);
        scheduler!.step();
      };
      return { variables, optimizer, scheduler: scheduler!, step };
    };
    const whole = run();
    for (let i = 0; i < 10; i++) whole.step();
    tf.disposeVariables();
    const cut = run();
    for (let i = 0; i < 4; i++) cut.step();
    const file = encodeTrainingState({
      parameters: cut.optimizer.parameters,
      optimizer: cut.optimizer.optimizer,
      scheduler: cut.scheduler,
    });
    tf.disposeVariables();
    const fresh = run();
    // A restarted program gives its variables the same names; in one program that needs to be asked
    // for.
    expect(fresh.variables.map(({ name }) => name)).toEqual(names);
    const { parameters } = fresh.optimizer;
    decodeTrainingState(file, { parameters, optimizer: fresh.optimizer.optimizer, scheduler: fresh.scheduler });
    fresh.optimizer.writeWeights();
    for (let i = 4; i < 10; i++) fresh.step();
    expect(fresh.optimizer.optimizer.stateDict()).toEqual(whole.optimizer.optimizer.stateDict());
    expect(fresh.optimizer.parameters.map(({ data }) => data)).toEqual(
      whole.optimizer.parameters.map(({ data }) => data),
    );
  });

  it('refuses what it cannot train, with nothing changed', () => {
    const { variables, loss } = problem();
    const optimizer = tfOptimizer(make.adamw);
    expect(() => optimizer.optimizer).toThrow('take a step first, or name the variables with build()');
    expect(() => optimizer.applyGradients({ nowhere: tf.scalar(1) })).toThrow('there is no variable "nowhere"');
    expect(() => optimizer.build([tf.variable(tf.scalar(1, 'int32'), false, 'count')])).toThrow(
      '"count" must be float32',
    );
    expect(() => tfOptimizer(7 as never)).toThrow(TypeError);
    optimizer.minimize(loss, false, variables);
    const before = values(variables);
    const bad = tf.fill([4, 3], Number.NaN);
    expect(() => optimizer.applyGradients({ [variables[0]!.name]: bad })).toThrow(/gradient of .* is NaN/);
    expect(values(variables)).toEqual(before);
  });

  it('leaves a variable without a gradient alone', () => {
    const { variables, loss } = problem();
    const optimizer = tfOptimizer(make.adamw).build(variables);
    const before = [...variables[1]!.dataSync()];
    optimizer.minimize(loss, false, [variables[0]!]);
    expect([...variables[1]!.dataSync()]).toEqual(before);
    expect(optimizer.optimizer.stateDict().state).not.toHaveProperty('1');
  });
});

it('serves what TensorFlow.js asks of an optimizer', async () => {
  await tf.setBackend('cpu');
  const optimizer = tfOptimizer(make.adamw);
  expect((optimizer.constructor as unknown as { className: string }).className).toBe('TensorlessOptimizer');
  expect(optimizer.getConfig()).toEqual({});
  expect((await optimizer.getWeights()).map(({ name }) => name)).toEqual(['iter']);
  tf.disposeVariables();
});

it('takes variables that come later as a further group, and none without a gradient', async () => {
  await tf.setBackend('cpu');
  const optimizer = tfOptimizer(make.adamw);
  const [first, second] = [tf.variable(tf.tensor1d([1]), true, 'first'), tf.variable(tf.tensor1d([1]), true, 'second')];
  optimizer.applyGradients({ first: tf.tensor1d([1]) });
  optimizer.applyGradients([
    { name: 'first', tensor: null as never },
    { name: 'second', tensor: tf.tensor1d([1]) },
  ]);
  expect([first.dataSync()[0], second.dataSync()[0]].map((x) => x! < 1)).toEqual([true, true]);
  expect(optimizer.optimizer!.paramGroups.map(({ params }) => params.map(({ name }) => name))).toEqual([
    ['first'],
    ['second'],
  ]);
  tf.disposeVariables();
});
