/**
 * The optimizer tests of transformers (tests/optimization/test_optimization.py) and the convex
 * cases of PyTorch (test/optim/test_optim.py, test_basic_cases), by their inputs and numbers: what
 * they ask, asked of this library.
 */
import { Adafactor, AdamW, Lion, type Optimizer, Parameter, SGD } from 'tensorless';
import { describe, expect, it } from 'vitest';

describe('transformers: weights near their targets', () => {
  const target = [0.4, 0.2, -0.5];
  const cases: [string, number, (weight: Parameter) => Optimizer][] = [
    ['test_adam_w', 100, (weight) => new AdamW([weight], { lr: 2e-1, weightDecay: 0 })],
    [
      'test_adafactor',
      1000,
      (weight) =>
        new Adafactor([weight], {
          lr: 1e-2,
          eps: [1e-30, 1e-3],
          clipThreshold: 1,
          decayRate: -0.8,
          beta1: null,
          weightDecay: 0,
          relativeStep: false,
          scaleParameter: false,
          warmupInit: false,
        }),
    ],
  ];
  it.each(cases)('%s: within 1e-2 after %i steps', (_, steps, make) => {
    const weight = new Parameter(Float32Array.of(0.1, -0.2, -0.1));
    const optimizer = make(weight);
    for (let step = 0; step < steps; step++) {
      // Mean squared error.
      weight.grad = weight.data.map((w, k) => (2 * (w - target[k]!)) / 3);
      optimizer.step();
      optimizer.zeroGrad();
    }
    for (const [k, w] of weight.data.entries()) expect(Math.abs(w - target[k]!)).toBeLessThan(1e-2);
  });
});

describe('PyTorch: the loss of a linear layer falls', () => {
  const random = (seed: number) => () => ((seed = (seed * 16807) % 2147483647) / 2147483647) * 2 - 1;
  const makers: [string, (params: Parameter[]) => Optimizer][] = [
    ['Adafactor', (params) => new Adafactor(params)],
    ['AdamW', (params) => new AdamW(params, { lr: 1e-3 })],
    ['AdamW, amsgrad', (params) => new AdamW(params, { lr: 1e-3, weightDecay: 0.05, amsgrad: true })],
    ['AdamW, maximize', (params) => new AdamW(params, { lr: 1e-3, maximize: true })],
    ['Lion', (params) => new Lion(params, { lr: 1e-3 })],
    ['SGD', (params) => new SGD(params, { lr: 1e-3 })],
    ['SGD, nesterov', (params) => new SGD(params, { lr: 1e-3, momentum: 0.9, nesterov: true, weightDecay: 1 })],
  ];
  it.each(makers)('%s', (name, make) => {
    const next = random(7);
    const weight = new Parameter(Float64Array.from({ length: 50 }, next), [10, 5]);
    const bias = new Parameter(Float64Array.from({ length: 10 }, next));
    const input = Float64Array.from({ length: 5 }, next);
    const optimizer = make([weight, bias]);
    const loss = (): number => {
      const out = bias.data.map((b, i) => input.reduce((sum, x, j) => sum + weight.data[5 * i + j]! * x, b));
      bias.grad = out.map((y) => 2 * y);
      weight.grad = Float64Array.from({ length: 50 }, (_, k) => 2 * out[Math.floor(k / 5)]! * input[k % 5]!);
      return out.reduce((sum, y) => sum + y * y, 0);
    };
    const first = loss();
    for (let step = 0; step < 20; step++) optimizer.step(loss);
    if (name.includes('maximize')) expect(loss()).toBeGreaterThan(first);
    else expect(loss()).toBeLessThan(first);
  });
});
