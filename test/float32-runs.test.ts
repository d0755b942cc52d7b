/** Optimizers on `arithmetic: 'float32'`: what the level promises of whole runs. */
import { createHash } from 'node:crypto';
import {
  Adafactor,
  AdamW,
  type CommonOptions,
  type DType,
  type Kernels,
  NonFiniteGradientError,
  type NumericArray,
  type Optimizer,
  Parameter,
  SGD,
  typescriptKernels,
} from 'tensorless';
import { type ParallelKernels, parallelKernels } from 'tensorless/parallel';
import { fastestKernels, simdKernels } from 'tensorless/simd';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dtypes, optimizers, product, randomArray, randomNumbers } from './_optimizers.ts';
import { plainKernels } from './_single-loops.ts';
import { createWorker } from './_workers.ts';
import { arrayOf, camelCase, goldenClasses, goldenNames, kindOf, numbersOf, readGolden } from './golden.ts';

const kernels = simdKernels({ arithmetic: 'float32', arenaBytes: 2 ** 24 });
const double = simdKernels({ arenaBytes: 2 ** 20 });

type Make = (params: readonly Parameter[], options: CommonOptions & Record<string, unknown>) => Optimizer;

/** Over 262,144 elements, which brings the workers in; rows and columns left over; nothing at all. */
const shapes: readonly (readonly number[])[] = [[519, 513], [7], [], [0, 5], [3, 9, 70], [1, 9001], [11_003], [64, 64]];

function shared(of: Kernels, array: NumericArray): NumericArray {
  let there: NumericArray;
  if (array instanceof Uint16Array) there = new Uint16Array(new SharedArrayBuffer(2 * array.length));
  else there = of.allocate((array instanceof Float64Array ? 'float64' : 'float32') as 'float32', array.length);
  there.set(array);
  return there;
}

function hash(array: NumericArray): string {
  return createHash('sha256')
    .update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    .digest('hex');
}

/** Weights and state after two steps; `place` puts the arrays where they are to be. */
async function trained(make: Make, dtype: DType, of: Kernels, place: (array: NumericArray) => NumericArray) {
  const random = randomNumbers(7);
  const params = shapes.map(
    (shape, i) => new Parameter(place(randomArray(dtype, product(shape), random)), shape, { dtype, name: `p${i}` }),
  );
  const optimizer = make(params, { kernels: of });
  for (let step = 0; step < 2; step++) {
    for (const parameter of params) parameter.grad = place(randomArray(dtype, parameter.data.length, random, 0.1));
    await optimizer.stepAsync();
  }
  const state = JSON.stringify(optimizer.stateDict(), (_, value) =>
    ArrayBuffer.isView(value) ? hash(value as NumericArray) : value,
  );
  const result = { weights: params.map(({ data }) => hash(data)), state };
  optimizer.dispose();
  return result;
}

describe('the bits', () => {
  let threads: ParallelKernels;
  beforeAll(async () => {
    threads = await parallelKernels({ threads: 3, arithmetic: 'float32', createWorker });
  });
  afterAll(() => threads.close());

  // Float16 goes the way of bfloat16 but for its conversions.
  const cases = optimizers.flatMap((optimizer) => dtypes.map((dtype) => ({ ...optimizer, dtype })));
  it.each(cases.filter(({ name, dtype }) => dtype !== 'float16' || name === 'Adafactor beta1'))(
    '$name over $dtype: in the arena, copied, on three threads, those of the plain loops',
    async ({ make, dtype }) => {
      const copied = await trained(make, dtype, kernels, (array) => array);
      const arena = simdKernels({ arithmetic: 'float32', arenaBytes: 2 ** 23 });
      if (dtype !== 'float64')
        expect(await trained(make, dtype, arena, (array) => shared(arena, array))).toEqual(copied);
      expect(await trained(make, dtype, threads, (array) => shared(threads, array))).toEqual(copied);
      // Float64 is not concerned.
      const reference = dtype === 'float64' ? typescriptKernels : plainKernels;
      expect(await trained(make, dtype, reference, (array) => array)).toEqual(copied);
    },
  );

  it('float32 is another level than double', async () => {
    const make: Make = (params, options) => new AdamW(params, options);
    const here = await trained(make, 'float32', kernels, (array) => array);
    expect(await trained(make, 'float32', double, (array) => array)).not.toEqual(here);
  });
});

describe.each(goldenNames.filter((name) => !name.includes('f64')))('%s, as PyTorch recorded it', (name) => {
  const golden = readGolden(name);
  const parameters = golden.params.map(
    ({ name, array }) => new Parameter(arrayOf(array), array.shape, { name, dtype: array.dtype }),
  );
  const options = { ...camelCase(golden.options), kernels };
  const optimizer: Optimizer = new goldenClasses[kindOf(golden)](parameters, options);
  for (const row of golden.grads) {
    for (const [i, grad] of row.entries()) parameters[i]!.grad = grad === null ? null : arrayOf(grad);
    optimizer.step();
  }
  const dtype = golden.params[0]!.array.dtype;
  const theirs = golden.after.at(-1)!.map(arrayOf);

  if (golden.exact !== undefined) {
    it('is as close to exact arithmetic as PyTorch', () => {
      const exact = golden.exact!.map(arrayOf);
      const error = (got: readonly ArrayLike<number>[]): number =>
        Math.sqrt(
          exact.reduce((sum, row, i) => sum + [...row].reduce((part, x, k) => part + (got[i]![k]! - x) ** 2, 0), 0),
        );
      const ratio = error(parameters.map(({ data }) => data)) / error(theirs);
      console.log(`${name.padEnd(36)} ${ratio.toFixed(3)}`);
      expect(ratio).toBeLessThanOrEqual(1.02);
    });
  } else {
    it('gives the recorded weights', () => {
      for (const [i, { data }] of parameters.entries()) {
        const ours = numbersOf(data, dtype);
        const expected = numbersOf(theirs[i]!, dtype);
        // One place of the format at most, where a number lies between two.
        const place = dtype === 'bfloat16' ? 2 ** -7 : 2 ** -10;
        for (let k = 0; k < ours.length; k++) {
          expect(Math.abs(ours[k]! - expected[k]!)).toBeLessThanOrEqual(place * Math.max(1e-3, Math.abs(expected[k]!)));
        }
      }
    });
  }
});

/** Weights after each of `steps` updates with these gradients, on kernels. */
function course(make: Make, of: Kernels, gradients: readonly number[], steps: number, options = {}) {
  const weight = new Parameter(new Float32Array(gradients.length).fill(1), [gradients.length]);
  const optimizer = make([weight], { kernels: of, ...options });
  const seen: Float32Array[] = [];
  for (let step = 0; step < steps; step++) {
    weight.grad = Float32Array.from(gradients, (x) => x * (step % 3 === 1 ? -0.5 : 1));
    optimizer.step();
    seen.push(weight.data.slice());
  }
  return { seen, state: optimizer.stateDict().state[0]! };
}

const sizes = [1.8e19, 1.9e19, 5e20, 1e30, 3.4e38, 1, 1e-10, 1e-17, 1e-19, 1e-20, 1e-23, 1e-30, 1e-38, 1e-41, 1e-45, 0];

describe('range: what double can tell, float32 tells too', () => {
  const rules: Record<string, Make> = {
    ...Object.fromEntries(optimizers.map(({ name, make }) => [name, make])),
    ...Object.fromEntries(
      [0, 0.2].map((beta1): [string, Make] => [
        `AdamW, beta1 ${beta1}`,
        (params, options) => new AdamW(params, { lr: 0.02, betas: [beta1, 0.99], ...options }),
      ]),
    ),
    'AdamW, eps 0': (params, options) => new AdamW(params, { lr: 0.02, eps: 0, ...options }),
    'AdamW, eps 1e-13': (params, options) => new AdamW(params, { lr: 0.02, eps: 1e-13, ...options }),
    ...Object.fromEntries(
      [0, 0.1, 0.5, 0.9999999, 1 - 2 ** -53].map((beta2): [string, Make] => [
        `AdamW, beta2 ${beta2}`,
        (params, options) => new AdamW(params, { lr: 0.02, betas: [0.9, beta2], ...options }),
      ]),
    ),
    'Adafactor, eps1 0': (params, options) => new Adafactor(params, { eps: [0, 1e-3], ...options }),
  };
  it.each(Object.keys(rules))('%s: every size of gradient', (name) => {
    const made = [kernels, double].map((of) => course(rules[name]!, of, sizes, 5));
    for (const [step, ours] of made[0]!.seen.entries()) {
      for (const [k, x] of ours.entries()) {
        const exact = made[1]!.seen[step]![k]!;
        if (!Number.isFinite(exact)) expect([step, sizes[k], x]).toEqual([step, sizes[k], exact]);
        else
          expect(Math.abs(x - exact), `step ${step}, ${sizes[k]}: ${x}, ${exact}`).toBeLessThanOrEqual(
            2 ** -20 * Math.max(1, Math.abs(exact)),
          );
      }
    }
  });

  it.each(sizes)('a matrix of gradients of %d under Adafactor, ε₁ 1e-30 and 0', (size) => {
    for (const eps1 of [1e-30, 0]) {
      const random = randomNumbers(3);
      const gradient = Float32Array.from({ length: 40 * 33 }, () => size * random());
      const runs = [kernels, double].map((of) => {
        const weight = new Parameter(new Float32Array(gradient.length).fill(1), [40, 33]);
        const optimizer = new Adafactor([weight], { kernels: of, eps: [eps1, 1e-3] });
        for (let step = 0; step < 3; step++) {
          weight.grad = gradient;
          optimizer.step();
        }
        return weight.data;
      });
      for (const [k, x] of runs[0]!.entries()) {
        const exact = runs[1]![k]!;
        if (Number.isNaN(exact)) expect(x).toBeNaN();
        else expect(Math.abs(x - exact), `${k}: ${x}, ${exact}`).toBeLessThanOrEqual(2 ** -20);
      }
    }
  });

  it.each([1e-17, 3e-20, 1e-20])('a vector of gradients of %d, clipped at little', (size) => {
    for (const clipThreshold of [1e-6, 1e-3, 0.1]) {
      const [ours, exact] = [kernels, double].map((of) => {
        const weight = new Parameter(new Float32Array(33));
        weight.grad = Float32Array.from({ length: 33 }, (_, k) => size * (1 + (k % 3)));
        const options = { lr: 1, relativeStep: false, scaleParameter: false, clipThreshold };
        new Adafactor([weight], { kernels: of, ...options }).step();
        return weight.data;
      });
      for (const [k, x] of ours!.entries()) expect(Math.abs(x / exact![k]! - 1)).toBeLessThan(2 ** -20);
    }
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('%d: each policy says the same', (bad) => {
    for (const { make } of optimizers) {
      for (const length of [16, 17]) {
        const gradient = Float32Array.from({ length }, (_, k) => (k === 13 ? bad : 0.1));
        const run = (of: Kernels, nonFinite: 'throw' | 'skip' | 'propagate') => {
          const weight = new Parameter(new Float32Array(length).fill(1), [length]);
          const optimizer = make([weight], { kernels: of, nonFinite });
          weight.grad = gradient;
          if (nonFinite === 'throw') expect(() => optimizer.step()).toThrow(NonFiniteGradientError);
          else {
            for (let step = 0; step < 3; step++) {
              optimizer.step();
              weight.grad = step === 0 ? new Float32Array(length).fill(0.1) : gradient;
            }
          }
          return [...weight.data].map((x) => (Number.isFinite(x) ? 'finite' : String(x)));
        };
        for (const policy of ['throw', 'skip', 'propagate'] as const)
          expect(run(kernels, policy)).toEqual(run(double, policy));
      }
    }
  });
});

describe('numbers that decay', () => {
  const decaying: Record<string, Make> = {
    AdamW: (params, options) => new AdamW(params, options),
    AMSGrad: (params, options) => new AdamW(params, { amsgrad: true, ...options }),
    'Adafactor with momentum': (params, options) => new Adafactor(params, { beta1: 0.9, ...options }),
    'SGD with momentum': (params, options) => new SGD(params, { momentum: 0.9, ...options }),
  };
  /** `normal` steps, then zeros; saved and loaded before the updates of these numbers. */
  const dying = (make: Make, of: Kernels, normal: number, steps: number, saves: readonly number[] = []) => {
    let weight = new Parameter(new Float32Array(40).fill(1), [5, 8]);
    let optimizer = make([weight], { kernels: of });
    const random = randomNumbers(5);
    for (let step = 1; step <= steps; step++) {
      if (saves.includes(step)) {
        const state = optimizer.stateDict();
        weight = new Parameter(weight.data.slice(), [5, 8]);
        optimizer = make([weight], { kernels: of });
        optimizer.loadStateDict(state);
      }
      weight.grad = Float32Array.from({ length: 40 }, () => (step > normal ? 0 : 1e-3 * random()));
      optimizer.step();
    }
    const state = optimizer.stateDict().state[0] as unknown as Record<string, { data: Float32Array }>;
    return {
      weights: weight.data,
      moments: ['exp_avg', 'exp_avg_sq', 'momentum_buffer'].flatMap((key) => [...(state[key]?.data ?? [])]),
    };
  };
  const subnormal = (x: number): boolean => x !== 0 && Math.abs(x) < 2 ** -126;

  it.each(Object.keys(decaying))('%s: 3,000 steps of zeros leave no subnormal moment', (name) => {
    const { moments } = dying(decaying[name]!, kernels, 20, 3020);
    expect(moments.filter(subnormal)).toEqual([]);
    expect(dying(decaying[name]!, double, 20, 3020).moments.some(subnormal)).toBe(true);
    expect(moments.slice(0, 40)).toEqual(new Array(40).fill(0));
  });

  it.each(Object.keys(decaying))(
    '%s: they become 0 at every 64th update of a parameter, also after a resume',
    (name) => {
      const make = decaying[name]!;
      const whole = dying(make, kernels, 20, 900);
      expect(dying(make, plainKernels, 20, 900)).toEqual(whole);
      expect(dying(make, kernels, 20, 900, [2, 63, 64, 65, 700, 832, 833])).toEqual(whole);
    },
  );

  it('before the update, by the number of the parameter’s updates alone', () => {
    const weight = new Parameter(new Float32Array(3), [3]);
    const optimizer = new SGD([weight], { kernels, momentum: 0.5, lr: 1 });
    const buffer = (): Float32Array => (optimizer.stateDict().state[0]!.momentum_buffer as { data: Float32Array }).data;
    for (let step = 1; step <= 64; step++) {
      weight.grad = Float32Array.of(step === 1 ? 2 ** -50 : 0, step >= 63 ? 2 ** -101 : 0, step === 1 ? 2 ** 30 : 0);
      optimizer.step();
      if (step === 63) expect([...buffer()]).toEqual([2 ** -112, 2 ** -101, 2 ** -32]);
    }
    expect([...buffer()]).toEqual([0, 2 ** -101, 2 ** -33]);
  });
});

it('10,000 steps of AdamW are as exact as in double', () => {
  const errors = [kernels, double].map((of) => {
    const random = randomNumbers(11);
    const size = Float64Array.from({ length: 64 }, () => 10 ** (2 * random() - 2));
    const start = Float32Array.from({ length: 64 }, random);
    const ours = new Parameter(start.slice(), [64]);
    const exact = new Parameter(Float64Array.from(start), [64]);
    const run = new AdamW([ours], { kernels: of });
    const reference = new AdamW([exact]);
    for (let step = 0; step < 10_000; step++) {
      ours.grad = Float32Array.from(size, (x) => x * (random() + 0.2));
      exact.grad = Float64Array.from(ours.grad);
      run.step();
      reference.step();
    }
    return Math.sqrt(ours.data.reduce((sum, x, k) => sum + (x - exact.data[k]!) ** 2, 0) / 64);
  });
  console.log(`root mean square error after 10,000 steps: float32 ${errors[0]}, double ${errors[1]}`);
  expect(errors[0]! / errors[1]!).toBeLessThan(1.5);
});

describe('the option', () => {
  it.each(['single', 'Float32', 32, null])('refuses %j', async (arithmetic) => {
    const message = /arithmetic must be one of "double", "float32"/;
    expect(() => simdKernels({ arithmetic: arithmetic as never })).toThrow(message);
    expect(() => fastestKernels({ arithmetic: arithmetic as never })).toThrow(message);
    await expect(parallelKernels({ arithmetic: arithmetic as never })).rejects.toThrow(message);
  });

  it('needs SIMD', async () => {
    await expect(parallelKernels({ arithmetic: 'float32', simd: false })).rejects.toThrow(
      /arithmetic must be "double" with simd: false/,
    );
  });

  it('"double" is what there is without it, and fastestKernels passes it on', async () => {
    const make: Make = (params, options) => new AdamW(params, options);
    const bits = async (of: Kernels) => (await trained(make, 'float32', of, (array) => array)).weights;
    const reference = await bits(typescriptKernels);
    expect(await bits(simdKernels({ arithmetic: 'double' }))).toEqual(reference);
    expect(await bits(fastestKernels({ arithmetic: 'float32' }))).toEqual(await bits(kernels));
  });
});
