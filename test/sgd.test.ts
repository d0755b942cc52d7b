/** What SGD alone has: a momentum that begins with a gradient, at whichever update it is. */
import { type OptimizerStateDict, Parameter, SGD, type SGDOptions, type StateTensor } from 'tensorless';
import { parallelKernels } from 'tensorless/parallel';
import { describe, expect, it } from 'vitest';
import { bits, dtypes, engines, model, setGradients, weightBits } from './_optimizers.ts';
import { createWorker } from './_workers.ts';

const one = (): Parameter => new Parameter(Float64Array.of(1, -2));

/** Steps with gradient (1, -0.5) times `scale`. */
function step(optimizer: SGD, scale = 1): void {
  for (const parameter of optimizer.parameters) parameter.grad = Float64Array.of(scale, -0.5 * scale);
  optimizer.step();
}

const buffer = (optimizer: SGD): number[] | undefined => {
  const tensor = optimizer.stateDict().state[0]?.momentum_buffer as StateTensor | undefined;
  return tensor && [...(tensor.data as Float64Array)];
};

const damped: SGDOptions = { lr: 0.5, momentum: 0.5, dampening: 0.75 };

describe('the momentum begins with a whole gradient', () => {
  it('at the first update, and not at the second', () => {
    const optimizer = new SGD([one()], damped);
    step(optimizer);
    expect(buffer(optimizer)).toEqual([1, -0.5]);
    step(optimizer, 2);
    expect(buffer(optimizer)).toEqual([1, -0.5]);
  });

  it('where a group gets one in the middle of a run', () => {
    const optimizer = new SGD([one()], { ...damped, momentum: 0 });
    step(optimizer);
    expect(optimizer.stateDict().state).toEqual({ 0: { step: 1 } });
    optimizer.paramGroups[0]!.momentum = 0.5;
    step(optimizer, 3);
    expect(buffer(optimizer)).toEqual([3, -1.5]);
    step(optimizer, 4);
    expect(buffer(optimizer)).toEqual([2.5, -1.25]);
  });

  it('also after a refused step and after a load of a state without it', () => {
    const source = new SGD([one()], { ...damped, momentum: 0 });
    step(source);
    const optimizer = new SGD([one()], damped);
    step(optimizer, 9);
    optimizer.loadStateDict(source.stateDict());
    expect(buffer(optimizer)).toBeUndefined();
    optimizer.paramGroups[0]!.momentum = 0.5;
    expect(() => step(optimizer, Number.NaN)).toThrow('gradient');
    expect(buffer(optimizer)).toBeUndefined();
    step(optimizer, 3);
    expect(buffer(optimizer)).toEqual([3, -1.5]);
  });

  it('and goes on where it was when the momentum was 0 for a time, as in PyTorch, over a load too', () => {
    const optimizer = new SGD([one()], damped);
    step(optimizer);
    optimizer.paramGroups[0]!.momentum = 0;
    step(optimizer, 5);
    expect(buffer(optimizer)).toEqual([1, -0.5]);
    const again = new SGD([one()]);
    again.loadStateDict(optimizer.stateDict());
    for (const each of [optimizer, again]) {
      each.paramGroups[0]!.momentum = 0.5;
      step(each, 2);
      expect(buffer(each)).toEqual([1, -0.5]);
    }
  });
});

describe('a state dict of PyTorch', () => {
  const dict = (momentum: number, entry?: Record<string, null | StateTensor>): OptimizerStateDict => ({
    state: entry === undefined ? {} : { 0: entry as Record<string, StateTensor> },
    param_groups: [{ lr: 0.5, momentum, dampening: 0.75, weight_decay: 0, params: [0] }],
  });
  const saved: StateTensor = { dtype: 'float64', shape: [2], data: Float64Array.of(4, 8) };

  it.each<[string, OptimizerStateDict, number[]]>([
    ['without state', dict(0.5), [2, -1]],
    ['with an empty entry', dict(0.5, {}), [2, -1]],
    ['with null for the buffer', dict(0.5, { momentum_buffer: null }), [2, -1]],
    ['with a buffer', dict(0.5, { momentum_buffer: saved }), [2.5, 3.75]],
  ])('%s goes on as PyTorch does', (_, from, then) => {
    const optimizer = new SGD([one()]);
    optimizer.loadStateDict(from);
    step(optimizer, 2);
    expect(buffer(optimizer)).toEqual(then);
  });

  it('of older releases has null for the buffer without momentum', () => {
    const optimizer = new SGD([one()]);
    optimizer.loadStateDict(dict(0, { momentum_buffer: null }));
    step(optimizer);
    expect([...optimizer.parameters[0]!.data]).toEqual([0.5, -1.75]);
  });

  it('of another shape is refused', () => {
    const from = dict(0, { momentum_buffer: { ...saved, shape: [1, 2] } });
    expect(() => new SGD([one()]).loadStateDict(from)).toThrow('momentum_buffer must have shape');
  });
});

it.each([
  ['without momentum', { nesterov: true }],
  ['with dampening', { nesterov: true, momentum: 0.9, dampening: 0.1 }],
])('nesterov %s is refused, for a group too', (_, options) => {
  const wrong = 'nesterov must be false without momentum or with dampening';
  expect(() => new SGD([one()], options)).toThrow(`SGD: ${wrong}`);
  expect(() => new SGD([{ params: [one()], ...options }])).toThrow(`SGD: group 0: ${wrong}`);
});

it.each(dtypes)('all engines and two threads give the same bits in %s', async (dtype) => {
  const threads = await parallelKernels({ threads: 2, createWorker });
  try {
    for (const options of [{ weightDecay: 0.1 }, damped, { momentum: 0.9, nesterov: true, maximize: true }]) {
      const results: string[][] = [];
      for (const kernels of [...engines.map((engine) => engine.kernels), threads]) {
        const large = model(dtype)[2]!;
        const length = 40_000;
        const data = new (large.data.constructor as typeof Uint16Array)(length);
        for (let k = 0; k < length; k++) data[k] = large.data[k % large.data.length]!;
        const parameters = [...model(dtype), new Parameter(data, [length], { dtype })];
        const optimizer = new SGD(parameters, { lr: 0.1, ...options, kernels });
        for (let t = 1; t <= 3; t++) {
          setGradients(parameters, t);
          await optimizer.stepAsync();
        }
        const buffers = Object.values(optimizer.stateDict().state).map(({ momentum_buffer: m }) =>
          m === undefined ? '' : bits((m as StateTensor).data),
        );
        results.push([...weightBits(parameters), ...buffers]);
        optimizer.dispose();
      }
      for (const result of results) expect(result).toEqual(results[0]);
    }
  } finally {
    await threads.close();
  }
});
