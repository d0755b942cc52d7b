/**
 * What the mathematics of Shazeer & Stern 2018 promises, for random shapes, weights and gradients.
 */
import fc from 'fast-check';
import { Adafactor, type AdafactorOptions, Parameter, type StateTensor } from 'tensorless';
import { describe, expect, it } from 'vitest';
import { bits, product, randomNumbers } from './_optimizers.ts';

/** An external learning rate: nothing in the update depends on the weights. */
const external: AdafactorOptions = { relativeStep: false, scaleParameter: false, lr: 0.1 };

/** eps[0] negligible beside the smallest squares that random gradients have. */
const eps = [1e-60, 1e-3] as const;

const dimension = fc.integer({ min: 1, max: 7 });
const seed = fc.integer();
const magnitude = fc.integer({ min: -6, max: 6 }).map((exponent) => 10 ** exponent);
const options = fc.record({
  clipThreshold: fc.constantFrom(0.3, 1, 1e6),
  decayRate: fc.constantFrom(-0.5, -0.8, -1),
  beta1: fc.constantFrom(null, 0.9),
  weightDecay: fc.constantFrom(0, 0.1),
});

function randomArray(length: number, next: () => number, size = 1): Float64Array {
  return Float64Array.from({ length }, () => size * (next() || 0.5));
}

/** One optimizer step per gradient. */
function train(optimizer: Adafactor, parameter: Parameter, gradients: readonly Float64Array[]): void {
  for (const gradient of gradients) {
    parameter.grad = gradient;
    optimizer.step();
  }
}

function stateOf(optimizer: Adafactor, key: string, index = 0): Float64Array {
  return (optimizer.stateDict().state[index]![key] as StateTensor).data as Float64Array;
}

/**
 * Largest difference as a part of the largest magnitude, or of `least` where that is larger:
 * weights of 1 that went near 0 keep their error.
 */
function distance(got: ArrayLike<number>, expected: ArrayLike<number>, least = 0): number {
  let largest = least;
  let difference = 0;
  for (let k = 0; k < expected.length; k++) {
    largest = Math.max(largest, Math.abs(expected[k]!));
    const d = Math.abs(got[k]! - expected[k]!);
    if (!(d <= difference)) difference = d;
  }
  return difference === 0 ? 0 : difference / largest;
}

describe('the factored second moment', () => {
  it('has as rows and columns the running averages of the row and column means of G²', () => {
    fc.assert(
      fc.property(
        dimension,
        dimension,
        dimension,
        seed,
        fc.constantFrom(-0.5, -0.8),
        (lead, rows, cols, from, decayRate) => {
          const next = randomNumbers(from);
          const shape = [lead, rows, cols];
          const parameter = new Parameter(randomArray(product(shape), next), shape);
          const optimizer = new Adafactor([parameter], { ...external, decayRate });
          const rowAverage = new Float64Array(lead * rows);
          const colAverage = new Float64Array(lead * cols);
          for (let t = 1; t <= 4; t++) {
            const gradient = randomArray(product(shape), next);
            train(optimizer, parameter, [gradient]);
            const beta2 = 1 - t ** decayRate;
            const rowMeans = new Float64Array(lead * rows);
            const colMeans = new Float64Array(lead * cols);
            gradient.forEach((g, k) => {
              rowMeans[Math.floor(k / cols)]! += g ** 2 / cols;
              colMeans[Math.floor(k / (rows * cols)) * cols + (k % cols)]! += g ** 2 / rows;
            });
            rowMeans.forEach((mean, i) => {
              rowAverage[i] = beta2 * rowAverage[i]! + (1 - beta2) * mean;
            });
            colMeans.forEach((mean, j) => {
              colAverage[j] = beta2 * colAverage[j]! + (1 - beta2) * mean;
            });
          }
          const row = stateOf(optimizer, 'exp_avg_sq_row');
          const col = stateOf(optimizer, 'exp_avg_sq_col');
          expect(distance(row, rowAverage)).toBeLessThan(1e-13);
          expect(distance(col, colAverage)).toBeLessThan(1e-13);
          // So both have the same mean: that of the whole second moment they stand for.
          for (let matrix = 0; matrix < lead; matrix++) {
            const r = row.slice(matrix * rows, (matrix + 1) * rows).reduce((a, b) => a + b, 0) / rows;
            const c = col.slice(matrix * cols, (matrix + 1) * cols).reduce((a, b) => a + b, 0) / cols;
            expect(Math.abs(r - c)).toBeLessThan(1e-13 * r);
          }
        },
      ),
    );
  });

  it('reconstructs a squared gradient of rank one exactly: every element of the first update is ±lr', () => {
    fc.assert(
      fc.property(dimension, dimension, seed, magnitude, (rows, cols, from, size) => {
        const next = randomNumbers(from);
        const [a, b] = [randomArray(rows, next, size), randomArray(cols, next)];
        const gradient = Float64Array.from({ length: rows * cols }, (_, k) => a[Math.floor(k / cols)]! * b[k % cols]!);
        const parameter = new Parameter(new Float64Array(rows * cols), [rows, cols]);
        train(new Adafactor([parameter], { ...external, clipThreshold: 1e6, eps }), parameter, [gradient]);
        parameter.data.forEach((x, k) => {
          expect(Math.abs(x + 0.1 * Math.sign(gradient[k]!))).toBeLessThan(1e-14);
        });
      }),
    );
  });
});

describe('the update', () => {
  it('never has a root mean square above lr times the clip threshold', () => {
    fc.assert(
      fc.property(
        fc.array(dimension, { maxLength: 3 }),
        seed,
        fc.constantFrom(0.1, 0.5, 1, 3),
        fc.array(magnitude, { minLength: 1, maxLength: 8 }),
        (shape, from, clipThreshold, sizes) => {
          const next = randomNumbers(from);
          const parameter = new Parameter(new Float64Array(product(shape)), shape);
          const optimizer = new Adafactor([parameter], { ...external, clipThreshold });
          for (const size of sizes) {
            parameter.data.fill(0);
            train(optimizer, parameter, [randomArray(product(shape), next, size)]);
            const data = parameter.data as Float64Array;
            const size2 = data.reduce((sum, x) => sum + x * x, 0) / data.length;
            expect(Math.sqrt(size2)).toBeLessThanOrEqual(0.1 * clipThreshold * (1 + 1e-14));
          }
        },
      ),
    );
  });

  it('does not depend on the scale of the gradients, while eps[0] is negligible', () => {
    fc.assert(
      fc.property(fc.array(dimension, { maxLength: 3 }), seed, magnitude, options, (shape, from, scale, given) => {
        const next = randomNumbers(from);
        const length = product(shape);
        const weights = randomArray(length, next);
        const gradients = [0, 1, 2, 3].map(() => randomArray(length, next));
        const [one, other] = [gradients, gradients.map((gradient) => gradient.map((g) => g * scale))].map((run) => {
          const parameter = new Parameter(weights.slice(), shape);
          train(new Adafactor([parameter], { ...given, eps }), parameter, run);
          return parameter.data;
        });
        expect(distance(other!, one!, 1)).toBeLessThan(1e-13);
      }),
    );
  });

  it('of a matrix and of its transpose are each other’s transpose', () => {
    fc.assert(
      fc.property(dimension, dimension, seed, options, (rows, cols, from, given) => {
        const next = randomNumbers(from);
        const transposed = (x: Float64Array): Float64Array =>
          x.map((_, k) => x[(k % rows) * cols + Math.floor(k / rows)]!);
        const weights = randomArray(rows * cols, next);
        const gradients = [0, 1, 2, 3].map(() => randomArray(rows * cols, next));
        const upright = new Parameter(weights.slice(), [rows, cols]);
        const turned = new Parameter(transposed(weights), [cols, rows]);
        const [one, other] = [new Adafactor([upright], given), new Adafactor([turned], given)];
        train(one, upright, gradients);
        train(other, turned, gradients.map(transposed));
        expect(distance(turned.data, transposed(upright.data as Float64Array), 1)).toBeLessThan(1e-13);
        expect(distance(stateOf(other, 'exp_avg_sq_row'), stateOf(one, 'exp_avg_sq_col'))).toBeLessThan(1e-13);
        expect(distance(stateOf(other, 'exp_avg_sq_col'), stateOf(one, 'exp_avg_sq_row'))).toBeLessThan(1e-13);
      }),
    );
  });

  /**
   * Two root mean squares are taken over the whole parameter: that of the weights (scaleParameter)
   * and that of the update (clipThreshold). With both out of the way a stack of matrices is nothing
   * but its matrices.
   */
  it('of stacked matrices is that of each matrix alone, where no root mean square couples them', () => {
    fc.assert(
      fc.property(
        dimension,
        dimension,
        dimension,
        seed,
        options,
        fc.boolean(),
        (lead, rows, cols, from, given, relativeStep) => {
          const next = randomNumbers(from);
          const each = rows * cols;
          const chosen: AdafactorOptions = {
            ...given,
            clipThreshold: 1e9,
            scaleParameter: false,
            ...(relativeStep ? {} : { relativeStep, lr: 0.1 }),
          };
          const weights = randomArray(lead * each, next);
          const gradients = [0, 1, 2].map(() => randomArray(lead * each, next));
          const stack = new Parameter(weights.slice(), [lead, rows, cols]);
          train(new Adafactor([stack], chosen), stack, gradients);
          for (let matrix = 0; matrix < lead; matrix++) {
            const part = (x: Float64Array): Float64Array => x.slice(matrix * each, (matrix + 1) * each);
            const alone = new Parameter(part(weights), [rows, cols]);
            train(new Adafactor([alone], chosen), alone, gradients.map(part));
            expect(bits(part(stack.data as Float64Array))).toBe(bits(alone.data));
          }
        },
      ),
    );
  });

  it.each([{ clipThreshold: 1 }, { scaleParameter: true }])(
    'of stacked matrices is coupled by %o, as in PyTorch',
    (coupling) => {
      const next = randomNumbers(1);
      const weights = randomArray(12, next).map((x, k) => (k < 6 ? x : 10 * x));
      const gradients = [1, 10].map((size) => randomArray(12, next).map((x, k) => (k < 6 ? x : size * x)));
      const free = { ...external, clipThreshold: 1e9, ...coupling };
      const stack = new Parameter(weights.slice(), [2, 2, 3]);
      const alone = new Parameter(weights.slice(0, 6), [2, 3]);
      train(new Adafactor([stack], free), stack, gradients);
      train(
        new Adafactor([alone], free),
        alone,
        gradients.map((g) => g.slice(0, 6)),
      );
      expect(distance(stack.data.slice(0, 6), alone.data)).toBeGreaterThan(1e-3);
    },
  );

  it('of a zero gradient moves nothing but the weight decay (without momentum, which moves on)', () => {
    fc.assert(
      fc.property(
        fc.array(dimension, { maxLength: 3 }),
        seed,
        fc.integer({ min: 0, max: 3 }),
        fc.constantFrom(0, 0.1),
        fc.boolean(),
        (shape, from, before, weightDecay, relative) => {
          const next = randomNumbers(from);
          const length = product(shape);
          const parameter = new Parameter(randomArray(length, next), shape);
          const optimizer = new Adafactor([parameter], { ...(relative ? {} : external), weightDecay });
          train(
            optimizer,
            parameter,
            Array.from({ length: before }, () => randomArray(length, next)),
          );
          const weights = (parameter.data as Float64Array).slice();
          train(optimizer, parameter, [new Float64Array(length)]);
          const keep = 1 - weightDecay * optimizer.effectiveLr(parameter)!;
          expect(bits(parameter.data)).toBe(bits(weights.map((x) => keep * x)));
        },
      ),
    );
  });
});

describe('the decay of the second moment', () => {
  const trained = (decayRates: readonly number[]): string[] => {
    const next = randomNumbers(1);
    const parameters = decayRates.map(() => new Parameter(Float64Array.from([1, 2, 3, 4]), [2, 2]));
    const groups = parameters.map((parameter, i) => ({ params: [parameter], decayRate: decayRates[i]! }));
    const optimizer = new Adafactor(groups, external);
    for (let step = 0; step < 3; step++) {
      const gradient = randomArray(4, next);
      for (const parameter of parameters) parameter.grad = gradient;
      optimizer.step();
    }
    return parameters.map(({ data }) => bits(data));
  };

  it('is each group’s own in the same step', () => {
    const alone = [-0.5, -0.8, -0.5].map((decayRate) => trained([decayRate])[0]);
    expect(trained([-0.5, -0.8, -0.5])).toEqual(alone);
    expect(alone[0]).not.toBe(alone[1]);
  });

  it('is 0 in the first step, whatever the exponent, and 1 later with one past all numbers', () => {
    const parameter = new Parameter(Float64Array.from([1, 2]));
    const optimizer = new Adafactor([parameter], { ...external, decayRate: -1e308 });
    train(optimizer, parameter, [Float64Array.of(3, 4)]);
    expect([...stateOf(optimizer, 'exp_avg_sq')]).toEqual([9, 16]);
    train(optimizer, parameter, [Float64Array.of(5, 6)]);
    expect([...stateOf(optimizer, 'exp_avg_sq')]).toEqual([9, 16]);
  });
});
