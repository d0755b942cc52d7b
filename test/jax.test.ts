/** The adapter on real jax-js, on the devices that Node has. */
import type * as jax from '@jax-js/jax';
import { defaultDevice, grad, jit, numpy as np, tree, valueAndGrad } from '@jax-js/jax';
import {
  Adafactor,
  AdamW,
  getCosineScheduleWithWarmup,
  Lion,
  type LRScheduler,
  Parameter,
  SGD,
  weightDecayGroups,
} from 'tensorless';
import { decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { type JaxOptimizer, jaxOptimizer } from 'tensorless/jax';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parallelKernels } from './_parallel.ts';

type Layer = { weight: jax.Array; bias: jax.Array };
type Model = { layers: Layer[]; scale: jax.Array };

const numbers = (length: number, salt: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length }, (_, k) => (((k + 1) * salt) % 101) / 101 - 0.5);
const array = (shape: number[], salt: number): jax.Array =>
  np.array(
    numbers(
      shape.reduce((a, b) => a * b, 1),
      salt,
    ),
    { shape },
  );

const modelOf = (): Model => ({
  layers: [
    { weight: array([4, 5], 29), bias: array([5], 31) },
    { weight: array([5, 2], 43), bias: array([2], 47) },
  ],
  scale: np.array(1.5),
});

function lossOf({ layers, scale }: Model, x: jax.Array, y: jax.Array): jax.Array {
  const [first, second] = layers as [Layer, Layer];
  const hidden = np.tanh(np.matmul(x, first.weight).add(first.bias));
  const out = np.matmul(hidden, second.weight).add(second.bias).mul(scale);
  return np.mean(np.square(out.sub(y)));
}

const data = (): [x: jax.Array, y: jax.Array] => [array([10, 4], 37), array([10, 2], 53)];

/** A loss and the gradients; the model stays the caller's. */
function gradientsAt(model: Model): [loss: number, grads: Model] {
  const [loss, grads] = valueAndGrad(lossOf)(tree.ref(model), ...data());
  return [loss.item(), grads as Model];
}

const values = (model: unknown): number[][] =>
  tree.leaves(model as Model).map((leaf) => [...((leaf as unknown as jax.Array).ref.dataSync() as Float32Array)]);

const makers: Record<string, (params: Parameter[]) => Adafactor | AdamW | Lion | SGD> = {
  Adafactor: (params) => new Adafactor(params, { lr: 0.05, relativeStep: false, scaleParameter: false, beta1: 0.9 }),
  AdamW: (params) => new AdamW(params, { lr: 0.05 }),
  Lion: (params) => new Lion(params, { lr: 0.01 }),
  SGD: (params) => new SGD(params, { lr: 0.1, momentum: 0.9 }),
};

const home = defaultDevice();
afterEach(() => {
  defaultDevice(home);
});

describe.each(['wasm', 'cpu'] as const)('on %s', (device) => {
  beforeEach(() => {
    defaultDevice(device);
  });

  it.each(Object.entries(makers))('%s lowers the loss, with the bits of a loop without jax-js', async (_, make) => {
    let params = modelOf();
    const optimizer = jaxOptimizer(make);
    const names = ['layers.0.weight', 'layers.0.bias', 'layers.1.weight', 'layers.1.bias', 'scale'];
    const plain = tree.leaves(params).map((leaf, i) => {
      const one = leaf as unknown as jax.Array;
      return new Parameter(one.ref.dataSync() as Float32Array, one.shape, { name: names[i]! });
    });
    const reference = make(plain);
    const [first] = gradientsAt(params);
    let last = first;
    for (let step = 0; step < 20; step++) {
      const [loss, grads] = gradientsAt(params);
      last = loss;
      for (const [i, slopes] of values(grads).entries()) plain[i]!.grad = Float32Array.from(slopes);
      reference.step();
      const before = tree.leaves(params) as unknown as jax.Array[];
      params = await optimizer.update(params, grads);
      // Both trees were taken, and the new one has one owner.
      for (const one of before) expect(one.refCount).toBe(0);
      for (const one of tree.leaves(grads) as unknown as jax.Array[]) expect(one.refCount).toBe(0);
      for (const one of tree.leaves(params) as unknown as jax.Array[])
        expect([one.refCount, one.device]).toEqual([1, device]);
    }
    expect(last).toBeLessThan(first / 2);
    expect(values(params)).toEqual(plain.map((one) => [...one.data]));
    expect(optimizer.parameters.map(({ name }) => name)).toEqual(names);
    expect(optimizer.optimizer.stateDict()).toEqual(reference.stateDict());
    expect(params.layers[0]!.weight.shape).toEqual([4, 5]);
    tree.dispose(params);
  });

  it('goes on from a checkpoint with weights, state and schedule, bit for bit', async () => {
    const start = async (): Promise<{ optimizer: JaxOptimizer; scheduler: LRScheduler; params: Model }> => {
      let scheduler: LRScheduler | undefined;
      const params = modelOf();
      const optimizer = await jaxOptimizer((parameters) => {
        const noDecay = ({ shape }: Parameter): boolean => shape.length < 2;
        const adamw = new AdamW(weightDecayGroups(parameters, { weightDecay: 0.1, noDecay }), { lr: 0.05 });
        scheduler = getCosineScheduleWithWarmup(adamw, { numWarmupSteps: 2, numTrainingSteps: 12 });
        return adamw;
      }).build(tree.ref(params));
      return { optimizer, scheduler: scheduler!, params };
    };
    const run = async (one: Awaited<ReturnType<typeof start>>, steps: number): Promise<void> => {
      for (let step = 0; step < steps; step++) {
        one.params = await one.optimizer.update(one.params, gradientsAt(one.params)[1]);
        one.scheduler.step();
      }
    };
    const whole = await start();
    await run(whole, 5);
    const { optimizer, scheduler } = whole;
    const bytes = encodeTrainingState({ parameters: optimizer.parameters, optimizer: optimizer.optimizer, scheduler });
    await run(whole, 5);
    const fresh = await start();
    const parts = { parameters: fresh.optimizer.parameters, optimizer: fresh.optimizer.optimizer };
    decodeTrainingState(bytes, { ...parts, scheduler: fresh.scheduler });
    const old = fresh.params;
    fresh.params = fresh.optimizer.weights(old);
    expect(old.scale.refCount).toBe(0);
    await run(fresh, 5);
    expect(values(fresh.params)).toEqual(values(whole.params));
    expect(fresh.optimizer.optimizer.stateDict()).toEqual(whole.optimizer.optimizer.stateDict());
    expect(fresh.scheduler.getLastLr()).toEqual(whole.scheduler.getLastLr());
  });
});

it('a refused step takes nothing and changes nothing', async () => {
  const params = modelOf();
  const optimizer = await jaxOptimizer(makers.AdamW!).build(tree.ref(params));
  const before = values(params);
  const [, grads] = gradientsAt(params);
  const bad = { ...grads, scale: np.array(Number.NaN) };
  await expect(optimizer.update(params, bad)).rejects.toThrow('parameter "scale" is NaN');
  for (const one of tree.leaves([params, bad] as never) as unknown as jax.Array[]) expect(one.refCount).toBe(1);
  expect(values(params)).toEqual(before);
  expect(optimizer.optimizer.stateDict().state).toEqual({});
  expect(values(await optimizer.update(params, grads))).not.toEqual(before);
});

it('arrays without a gradient, and those that are no floats, go through', async () => {
  const params = {
    trained: np.array([1, 2]),
    frozen: { a: np.array([3]), b: [np.array([4])] },
    steps: np.array([7, 8], { dtype: np.int32 }),
  };
  const optimizer = jaxOptimizer((parameters) => new AdamW(parameters, { lr: 0.5 }));
  const gradients = { trained: np.array([1, -1]), frozen: null, steps: np.array([0, 1], { dtype: np.int32 }) };
  const after = await optimizer.update(params, gradients);
  expect(values(after).slice(1)).toEqual([[3], [4], [7, 8]]);
  expect(values(after)[0]!.map(Math.round)).toEqual([0, 2]);
  expect([after.frozen.a === params.frozen.a, after.steps === params.steps]).toEqual([true, true]);
  expect([after.frozen.a.refCount, after.steps.refCount, gradients.steps.refCount]).toEqual([1, 1, 0]);
  expect(optimizer.parameters.map(({ name }) => name)).toEqual(['trained', 'frozen.a', 'frozen.b.0']);
  expect(Object.keys(optimizer.optimizer.stateDict().state)).toEqual(['0']);
});

it('a tree may be one array, or grow; weights that come from elsewhere are read', async () => {
  const optimizer = jaxOptimizer((parameters) => new SGD(parameters, { lr: 1 }));
  expect(values(await optimizer.update(np.array([1, 2]), np.array([1, 1])))).toEqual([[0, 1]]);
  expect(values(await optimizer.update(np.array([10, 20]), np.array([1, 1])))).toEqual([[9, 19]]);
  const grown = { params: np.array([5, 5]), more: np.array([[1, 2]]), empty: np.zeros([0, 3]) };
  const ones = { params: np.array([1, 1]), more: np.array([[1, 1]]), empty: np.zeros([0, 3]) };
  expect(values(await optimizer.update(grown, ones))).toEqual([[4, 4], [0, 1], []]);
  expect(optimizer.optimizer.paramGroups.length).toBe(2);
});

it('gradients of jit, and kernels with threads', async () => {
  const kernels = await parallelKernels({ threads: 2 });
  const run = async (make: (params: Parameter[]) => AdamW, gradient: typeof lossOf): Promise<number[][]> => {
    const optimizer = jaxOptimizer(make);
    let params = modelOf();
    const slopes = grad(gradient);
    for (let step = 0; step < 3; step++) {
      params = await optimizer.update(params, slopes(tree.ref(params), ...data()) as Model);
    }
    const after = values(params);
    tree.dispose(params);
    optimizer.dispose();
    return after;
  };
  const fast = jit(lossOf);
  const threads = await run((params) => new AdamW(params, { kernels }), fast);
  expect(threads).toEqual(await run((params) => new AdamW(params), fast));
  fast.dispose();
  await kernels.close();
});

it('what does not fit is refused by name, with what to do', async () => {
  const optimizer = jaxOptimizer(makers.AdamW!);
  const params = { a: np.array([1, 2]), b: [np.array([3])] };
  const ones = (): typeof params => ({ a: np.array([1, 1]), b: [np.array([1])] });
  const update = (of: unknown, grads: unknown): Promise<unknown> => optimizer.update(of, grads as never);
  await expect(update({ ...params, c: 1 }, ones())).rejects.toThrow('gradients of params must have a "c"');
  await expect(update({ a: params.a }, ones())).rejects.toThrow('gradients of params must have no "b"');
  await expect(update(params, [])).rejects.toThrow('gradients of params must have its structure');
  await expect(update(params, { ...ones(), b: np.array([1]) })).rejects.toThrow(
    'gradients of b must have its structure',
  );
  await expect(update(params, { ...ones(), a: np.array([1]) })).rejects.toThrow(
    'of a must have its shape [2], got [1]',
  );
  await expect(update(params, { ...ones(), a: 3 })).rejects.toThrow('gradient of a must be an array of jax-js, got 3');
  await expect(update({ a: 3 }, { a: 3 })).rejects.toThrow('a must be an array of jax-js, got 3; make one with');
  await expect(update({ a: params.a, at: new Date(0) }, null)).rejects.toThrow('at must be an array of jax-js');
  await expect(update({ 'x.y': np.array([1]), x: { y: np.array([2]) } }, null)).rejects.toThrow(
    'two arrays have the path x.y; rename a key with a dot',
  );
  expect(() => optimizer.optimizer).toThrow('take a step first, or await build(tree.ref(params))');
  expect(() => optimizer.weights({ a: params.a.ref })).toThrow('a is not known yet');
  expect(optimizer.parameters).toEqual([]);
  await optimizer.build(tree.ref(params));
  await expect(update({ a: np.array([[1, 2]]) }, { a: np.array([[1, 2]]) })).rejects.toThrow(
    'a was float32 of shape [2], and is float32 of [1, 2] now',
  );
  const first = optimizer.update(params, ones());
  expect(() => optimizer.weights(params)).toThrow('is under way');
  await expect(update(params, ones())).rejects.toThrow('is under way; await it first');
  const after = await first;
  expect(() => jaxOptimizer(7 as never)).toThrow('make must be a function');
  await expect(jaxOptimizer((() => 7) as never).build(tree.ref(after))).rejects.toThrow(
    'make must return an optimizer',
  );
  let refused: unknown;
  grad((x: jax.Array) => {
    refused = optimizer.build({ a: x.ref });
    return np.sum(x);
  })(np.array([1, 2])).dispose();
  await expect(refused).rejects.toThrow('a must be an array of jax-js, got a tracer; call it outside of jit and grad');
  optimizer.dispose();
  await expect(update(after, ones())).rejects.toThrow('disposed');
});

it('float64 arrays keep their format', async () => {
  // jax-js asks whether data is a Float16Array, which Node 20 and 22 do not have.
  const had = 'Float16Array' in globalThis;
  if (!had) Object.assign(globalThis, { Float16Array: class {} });
  try {
    const optimizer = jaxOptimizer((params) => new SGD(params, { lr: 1 }));
    const weights = np.array(Float64Array.of(1 / 3, 2 / 3));
    const after = await optimizer.update({ weights }, { weights: np.array(Float64Array.of(1e-12, 0)) });
    expect(after.weights.dtype).toBe('float64');
    expect([...(await after.weights.data())]).toEqual([1 / 3 - 1e-12, 2 / 3]);
  } finally {
    if (!had) Reflect.deleteProperty(globalThis, 'Float16Array');
  }
});
