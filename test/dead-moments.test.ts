/**
 * Moments of parameters whose gradients stay zero: what sinks to 0, and when. What it gains is
 * measured by `npm run bench` (bench/dead-moments.ts).
 */
import { Adafactor, AdamW, type Optimizer, Parameter, SGD, type StateTensor } from 'tensorless';
import { describe, expect, it } from 'vitest';

const rules: Record<string, { key: string; make: (parameter: Parameter) => Optimizer }> = {
  AdamW: { key: 'exp_avg', make: (parameter) => new AdamW([parameter], { betas: [0.5, 0.9] }) },
  Adafactor: { key: 'exp_avg', make: (parameter) => new Adafactor([parameter], { beta1: 0.5 }) },
  SGD: { key: 'momentum_buffer', make: (parameter) => new SGD([parameter], { lr: 0.1, momentum: 0.5 }) },
};

describe.each(Object.entries(rules))('%s', (_, { key, make }) => {
  const moment = (optimizer: Optimizer): ArrayLike<number> =>
    (optimizer.stateDict().state[0]![key] as StateTensor).data as Float64Array;

  function started(data: Float32Array | Float64Array): { parameter: Parameter; optimizer: Optimizer } {
    const parameter: Parameter = new Parameter(data.fill(1), [2, 4], { name: 'w' });
    const optimizer = make(parameter);
    parameter.grad = data.slice().fill(0.25);
    optimizer.step();
    parameter.grad = data.slice().fill(0);
    return { parameter, optimizer };
  }

  it('in float64 is 0 from an update on whose count 64 divides, long before it is subnormal', () => {
    const { optimizer } = started(new Float64Array(8));
    for (let step = 2; step <= 896; step++) {
      optimizer.step();
      const least = Math.min(...Array.from(moment(optimizer)).map(Math.abs));
      // A step's zero gradient halves it: 2^-800 is passed about update 800, and 832 is the next.
      if (step < 790) expect(least).toBeGreaterThan(0);
      if (step >= 832) expect(least).toBe(0);
    }
  });

  it('is 0 below 2^-800 alone: what is just there is halved like the rest', () => {
    const { parameter, optimizer } = started(new Float64Array(8));
    const saved = structuredClone(optimizer.stateDict());
    const entry = saved.state[0]!;
    // SGD's state has no count: 63 updates more, each of which halves it.
    const before = entry.step === undefined ? 63 : 0;
    const edge = 2 ** -800;
    const below = edge * (1 - 2 ** -53);
    const there = [edge, -edge, below, -below, 1, 2 ** -900, 0, 2 * edge];
    (entry[key] as StateTensor).data = Float64Array.from(there, (x) => x * 2 ** before);
    if (before === 0) entry.step = 63;
    const resumed = make(parameter);
    resumed.loadStateDict(saved);
    for (let step = 0; step <= before; step++) resumed.step();
    // Adding 0 makes -0 and 0 the same.
    const kept = [edge, -edge, 0, 0, 1, 0, 0, 2 * edge].map((x) => x / 2 + 0);
    expect(Array.from(moment(resumed), (x) => x + 0)).toEqual(kept);
  });

  it('goes on with the same bits from a saved state, however close to it', () => {
    const whole = started(new Float64Array(8));
    for (let step = 2; step <= 805; step++) whole.optimizer.step();
    const saved = structuredClone(whole.optimizer.stateDict());
    const parameter: Parameter = new Parameter(whole.parameter.data.slice() as Float64Array, [2, 4], { name: 'w' });
    const resumed = make(parameter);
    resumed.loadStateDict(saved);
    parameter.grad = new Float64Array(8);
    for (let step = 0; step < 40; step++) {
      whole.optimizer.step();
      resumed.step();
      expect(moment(resumed)).toEqual(moment(whole.optimizer));
      expect(parameter.data).toEqual(whole.parameter.data);
    }
  });

  it('in float32 keeps its subnormal numbers', () => {
    const { optimizer } = started(new Float32Array(8));
    for (let step = 2; step <= 140; step++) optimizer.step();
    const value = Math.abs(moment(optimizer)[0]!);
    expect(value).toBeGreaterThan(0);
    expect(value).toBeLessThan(2 ** -126);
  });
});
