/**
 * Clipping and accumulation on every engine: the bits of plain loops, which stand here once more.
 */
import { createHash } from 'node:crypto';
import {
  clipGradNorm,
  clipGradNormAsync,
  clipGradValue,
  type DType,
  GradientAccumulator,
  type Kernels,
  Parameter,
} from 'tensorless';
import { simdKernels } from 'tensorless/simd';
import { describe, expect, it } from 'vitest';
import { engineOf } from '../src/engine/kernels.ts';
import { blockLength } from '../src/loops/blocks.ts';
import * as loops64 from '../src/loops/generated/gradients64.ts';
import * as loops from '../src/loops/gradients.ts';
import { sumSquares, sumSquaresFar } from '../src/loops/sums.ts';
import { arrayOf, dtypes, engines, numbersOf, randomNumbers } from './_optimizers.ts';
import { parallelKernels } from './_parallel.ts';

const kernelsOf: readonly (readonly [string, Kernels])[] = [
  ...engines.map(({ engine, kernels }) => [engine, kernels] as const),
  ['simd, all copied', simdKernels({ arenaBytes: 0 })],
];
/** Around the ends of lanes, strips, tiles and blocks. */
const lengths = [0, 1, 7, 8, 9, 17, 31, 33, 66_001];
const cases = dtypes.flatMap((dtype) => kernelsOf.map(([engine, kernels]) => ({ dtype, engine, kernels })));

type Gradient = Float32Array;
/** What stands for an array's bits. */
const bits = ({ buffer, byteOffset, byteLength }: ArrayBufferView): string =>
  createHash('sha1')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('hex');
/** The first two are not finite, the last two not in float16. */
const odd = [Number.NaN, Number.POSITIVE_INFINITY, -0, 0, 1e-40, -3e-39, 2 ** -149, 6e4, -1e30, 3e38];

const made = new Map<string, Float64Array>();
/** Numbers of all sizes; `wild`: what is not finite too. The same ones again are the same array. */
function numbers(length: number, seed: number, wild = false): Float64Array {
  const key = `${length} ${seed} ${wild}`;
  const before = made.get(key);
  if (before !== undefined) return before;
  const random = randomNumbers(seed);
  const array = Float64Array.from({ length }, (_, k) => {
    const x = random() * 10 ** Math.round(3 * random());
    return k % 11 === 3 ? odd[(wild ? 0 : 2) + (((k / 11) | 0) % (odd.length - (wild ? 2 : 4)))]! : x;
  });
  made.set(key, array);
  return array;
}

/** An array in the kernels' memory where they have room. */
function place(kernels: Kernels, dtype: DType, values: Float64Array): Gradient {
  const array = arrayOf(dtype, values);
  if (dtype !== 'float32' && dtype !== 'float64') return array as Gradient;
  if (!kernels.fits(dtype, values.length)) return array as Gradient;
  const own = kernels.allocate(dtype as 'float32', values.length);
  own.set(array);
  return own;
}

const taken: Gradient[] = [];
function parametersOf(kernels: Kernels, dtype: DType, wild = false, seed = 1): Parameter[] {
  return lengths.map((length, i) => {
    const parameter = new Parameter(arrayOf(dtype, new Float64Array(length)), [length], { dtype, name: `p${i}` });
    const gradient = place(kernels, dtype, numbers(length, seed + i, wild));
    taken.push(gradient);
    parameter.grad = gradient;
    return parameter;
  });
}
function free(kernels: Kernels): void {
  for (const array of taken.splice(0)) if (kernels.owns(array)) kernels.free(array);
}
const gradientBits = (parameters: readonly Parameter[]): string[] =>
  parameters.map(({ grad }) => bits(grad as Gradient));

/** The plain loop, in the format's own rounding. */
function mapped(dtype: DType, array: Gradient, change: (x: number, k: number) => number): Gradient {
  const values = Float64Array.from(numbersOf(dtype, array), change);
  if (dtype === 'float64') return values as object as Gradient;
  // 16-bit numbers are rounded by way of float32, as everything in the library.
  return arrayOf(dtype, dtype === 'float32' ? values : Float64Array.from(Float32Array.from(values))) as Gradient;
}

describe.each(cases)('$dtype, $engine', ({ dtype, kernels }) => {
  it('clipGradNorm: norms of the TypeScript loops, and products of a plain one', () => {
    for (const normType of [2, 1, 3, Number.POSITIVE_INFINITY]) {
      const reference = parametersOf(kernelsOf[0]![1], dtype);
      const expected = clipGradNorm(reference, Number.POSITIVE_INFINITY, { normType });
      const parameters = parametersOf(kernels, dtype);
      const before = parameters.map(({ grad }) => grad!.slice() as Gradient);
      const most = expected / 3;
      expect(clipGradNorm(parameters, most, { normType, kernels })).toBe(expected);
      const factor = most / (expected + 1e-6);
      expect(gradientBits(parameters)).toEqual(before.map((array) => bits(mapped(dtype, array, (x) => x * factor))));
      free(kernels);
    }
  });

  it('norms: those of plain sums, and of what is not finite', () => {
    const parameters = parametersOf(kernels, dtype);
    const all = parameters.flatMap(({ grad }) => [...numbersOf(dtype, grad as Gradient)]).map(Math.abs);
    const norm = (normType: number): number =>
      clipGradNorm(parameters, Number.POSITIVE_INFINITY, { normType, kernels });
    const largest = all.reduce((a, b) => Math.max(a, b), 0);
    expect(norm(Number.POSITIVE_INFINITY)).toBe(largest);
    const near = (got: number, sum: number): void => expect(Math.abs(got / sum - 1)).toBeLessThan(1e-12);
    near(
      norm(1),
      all.reduce((sum, x) => sum + x, 0),
    );
    near(norm(2), largest * Math.sqrt(all.reduce((sum, x) => sum + (x / largest) ** 2, 0)));
    for (const [value, expected] of [
      [Number.NaN, Number.NaN],
      [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
    ] as const) {
      for (const at of [0, 66_000]) {
        const one = new Parameter(arrayOf(dtype, new Float64Array(66_001)), [66_001], { dtype });
        one.grad = place(kernels, dtype, new Float64Array(66_001).fill(0.5).fill(value, at, at + 1));
        taken.push(one.grad as Gradient);
        for (const normType of [1, 2, 3, Number.POSITIVE_INFINITY])
          expect(clipGradNorm([one], Number.POSITIVE_INFINITY, { normType, kernels })).toBe(expected);
        const before = bits(one.grad as Gradient);
        expect(() => clipGradNorm([one], 1, { kernels })).toThrow('because of the gradient of parameter 0');
        expect(bits(one.grad as Gradient)).toBe(before);
      }
    }
    free(kernels);
  });

  it('clipGradValue: the bits of a plain loop, NaN as it was', () => {
    for (const bound of [0.1, 0, 1e-40, 1e39]) {
      const [parameters, others] = [parametersOf(kernels, dtype, true), parametersOf(kernelsOf[0]![1], dtype, true)];
      const nan = parameters.map(({ grad }) => [...numbersOf(dtype, grad as Gradient)].map(Number.isNaN));
      clipGradValue(parameters, bound, { kernels });
      clipGradValue(others, bound);
      expect(gradientBits(parameters)).toEqual(gradientBits(others));
      if (dtype === 'float32' || dtype === 'float64') {
        for (const [i, { grad }] of parameters.entries()) {
          const values = [...(grad as Gradient)];
          const edge = dtype === 'float32' ? Math.fround(bound) : bound;
          expect(values.every((x, k) => (nan[i]![k] ? Number.isNaN(x) : Math.abs(x) <= edge))).toBe(true);
        }
      }
      free(kernels);
    }
  });

  it('GradientAccumulator: the bits of plain loops, with weights, into what is there', () => {
    for (const weights of [
      [1, 1],
      [3, 0.1],
    ]) {
      const parameters = parametersOf(kernels, dtype);
      const accumulator = new GradientAccumulator(parameters, { kernels });
      const wide = dtype === 'float64' ? Float64Array : Float32Array;
      const sums = lengths.map((length) => new wide(length));
      for (const [batch, weight] of weights.entries()) {
        for (const [i, { grad }] of parameters.entries()) {
          (grad as Gradient).set(arrayOf(dtype, numbers(lengths[i]!, 10 * batch + i)));
          const given = numbersOf(dtype, grad as Gradient);
          const sum = sums[i]!;
          if (batch === 0 && weight === 1) sum.set(given);
          else for (let k = 0; k < given.length; k++) sum[k]! += weight * given[k]!;
        }
        accumulator.add({ weight });
        expect(accumulator.gradients.map((sum) => bits(sum!))).toEqual(sums.map((sum) => bits(sum)));
      }
      for (const reduction of ['mean', 'sum'] as const) {
        const before = parameters.map(({ grad }) => grad);
        accumulator.apply({ reduction });
        expect(parameters.every(({ grad }, i) => grad === before[i])).toBe(true);
        const divisor = reduction === 'mean' ? weights.reduce((a, b) => a + b) : 1;
        const expected = sums.map((sum) =>
          dtype === 'float64'
            ? mapped('float64', sum as object as Gradient, (x) => x / divisor)
            : arrayOf(
                dtype,
                Float32Array.from(sum, (x) => x / divisor),
              ),
        );
        expect(gradientBits(parameters)).toEqual(expected.map((array) => bits(array)));
      }
      accumulator.dispose();
      free(kernels);
    }
  });
});

describe('float32 gradients beside 16-bit weights', () => {
  it.each(kernelsOf)('are clipped and accumulated as they are (%s)', (_, kernels) => {
    const weight = new Parameter(new Uint16Array(9), [9], { dtype: 'bfloat16' });
    const accumulator = new GradientAccumulator([weight], { kernels });
    weight.grad = Float32Array.from({ length: 9 }, (_, k) => k / 3);
    accumulator.add();
    // The next batch in sixteen bits: 2 is 0x4000.
    weight.grad = new Uint16Array(9).fill(0x4000);
    accumulator.add();
    weight.grad = null;
    accumulator.apply();
    const mean = Float32Array.from({ length: 9 }, (_, k) => Math.fround(Math.fround(k / 3) + 2) / 2);
    expect(weight.grad).toEqual(mean);
    const norm = clipGradNorm([weight], Number.POSITIVE_INFINITY);
    expect(clipGradNorm([weight], 1, { kernels })).toBe(norm);
    expect(weight.grad).toEqual(mean.map((x) => x * (1 / (norm + 1e-6))));
  });
});

describe('memory', () => {
  it('sums live in the kernels and are given back by dispose', () => {
    const kernels = simdKernels({ arenaBytes: 4096 });
    const parameter = new Parameter(new Float32Array(1024), { name: 'w' });
    parameter.grad = new Float32Array(1024).fill(2);
    const accumulator = new GradientAccumulator([parameter], { kernels });
    accumulator.add();
    expect(kernels.owns(accumulator.gradients[0] as Float32Array)).toBe(true);
    expect(kernels.fits('float32', 1)).toBe(false);
    const saved = accumulator.stateDict();
    accumulator.dispose();
    expect([accumulator.step, accumulator.gradients]).toEqual([0, [null]]);
    expect(kernels.fits('float32', 1024)).toBe(true);
    accumulator.loadStateDict(saved);
    accumulator.add();
    accumulator.apply();
    expect(parameter.grad).toEqual(new Float32Array(1024).fill(2));
    // No room left: an ordinary array serves too.
    const more = new GradientAccumulator([parameter], { kernels });
    more.add();
    expect(kernels.owns(more.gradients[0] as Float32Array)).toBe(false);
  });

  it('a view of one that was freed is refused before sums or scratch take its place', () => {
    const kernels = simdKernels({ arenaBytes: 2 ** 20 });
    const [a, b] = [new Parameter(new Uint16Array(9), { dtype: 'bfloat16' }), new Parameter(new Float32Array(6))];
    a.grad = new Uint16Array(9);
    const gradient = kernels.allocate('float32', 6);
    b.grad = gradient.subarray(0);
    kernels.free(gradient);
    for (const call of [
      () => new GradientAccumulator([b], { kernels }).add(),
      () => new GradientAccumulator([a, b], { kernels }).add(),
      () => clipGradNorm([a, b], 1, { kernels }),
      () => clipGradValue([a, b], 1, { kernels }),
    ]) {
      expect(call).toThrow('was freed and is still in use');
    }
  });

  it('a gradient that was freed is refused, with nothing changed', () => {
    const kernels = simdKernels({ arenaBytes: 4096 });
    const [a, b] = [new Parameter(new Float32Array(4)), new Parameter(new Float32Array(4))];
    a.grad = Float32Array.of(3, 4, 0, 0);
    b.grad = kernels.allocate('float32', 4);
    const accumulator = new GradientAccumulator([a, b], { kernels });
    kernels.free(b.grad);
    expect(() => accumulator.add()).toThrow('was freed and is still in use');
    expect(accumulator.step).toBe(0);
    expect(accumulator.gradients).toEqual([null, null]);
    expect(() => clipGradNorm([a, b], 1, { kernels })).toThrow('was freed and is still in use');
    expect(() => clipGradValue([a, b], 1, { kernels })).toThrow('was freed and is still in use');
    expect([...a.grad]).toEqual([3, 4, 0, 0]);
  });

  it('kernels that are none are refused by name', () => {
    const parameter = new Parameter(new Float32Array(1));
    for (const wrong of [null, 1, {}]) {
      const options = { kernels: wrong as never };
      expect(() => new GradientAccumulator([parameter], options)).toThrow('GradientAccumulator: kernels must be');
      expect(() => clipGradNorm([parameter], 1, options)).toThrow('clipGradNorm: kernels must be');
      expect(() => clipGradValue([parameter], 1, options)).toThrow('clipGradValue: kernels must be');
    }
    const later = { kernels: Promise.resolve() as never };
    expect(() => clipGradNorm([parameter], 1, later)).toThrow('await it');
  });
});

describe('several threads', () => {
  const long = [9, 140_001, 70_000];
  const sharedArray = (dtype: DType, length: number): Gradient => {
    const each = { float32: 4, float64: 8, bfloat16: 2, float16: 2 }[dtype];
    const buffer = new SharedArrayBuffer(each * length);
    if (dtype === 'float64') return new Float64Array(buffer) as object as Gradient;
    return (dtype === 'float32' ? new Float32Array(buffer) : new Uint16Array(buffer)) as Gradient;
  };
  /** Gradients that all threads reach, but for the last one. */
  const make = (dtype: DType): Parameter[] =>
    long.map((length, i) => {
      const array = (): Gradient =>
        i === 2 ? (arrayOf(dtype, new Float64Array(length)) as Gradient) : sharedArray(dtype, length);
      const parameter = new Parameter(array(), [length], { dtype });
      parameter.grad = array();
      (parameter.grad as Gradient).set(arrayOf(dtype, numbers(length, i)));
      return parameter;
    });

  it.each(dtypes)('clip and accumulate to the same bits (%s)', async (dtype) => {
    const kernels = await parallelKernels({ threads: 3 });
    try {
      const run = async (parameters: Parameter[], own?: Kernels): Promise<unknown[]> => {
        const options = own === undefined ? {} : { kernels: own };
        const accumulator = new GradientAccumulator(parameters, options);
        await accumulator.addAsync();
        await accumulator.addAsync({ weight: 0.3 });
        const sums = accumulator.gradients.map((sum) => bits(sum!));
        await accumulator.applyAsync();
        const means = gradientBits(parameters);
        const norms: number[] = [];
        for (const normType of [2, 1, Number.POSITIVE_INFINITY])
          norms.push(await clipGradNormAsync(parameters, 1, { normType, ...options }));
        accumulator.dispose();
        return [sums, means, norms, gradientBits(parameters)];
      };
      expect(await run(make(dtype), kernels)).toEqual(await run(make(dtype)));
      // A worker that did not know these passes would have ended.
      expect(kernels.size).toBe(3);
    } finally {
      await kernels.close();
    }
  });

  it('one gradient array of two parameters is scaled twice, by one thread after the other', async () => {
    const kernels = await parallelKernels({ threads: 3 });
    try {
      const parameters = [0, 1].map(() => new Parameter(kernels.allocate('float32', 300_000)));
      const array = kernels.allocate('float32', 300_000);
      const others = parameters.map(() => new Parameter(new Float32Array(300_000)));
      const alone = new Float32Array(300_000);
      for (let round = 0; round < 20; round++) {
        for (const each of [array, alone]) each.fill(1 + round);
        for (const one of parameters) one.grad = array;
        for (const one of others) one.grad = alone;
        expect(await clipGradNormAsync(parameters, 1, { kernels })).toBe(clipGradNorm(others, 1));
        expect(bits(array) === bits(alone)).toBe(true);
      }
    } finally {
      await kernels.close();
    }
  });

  it('a gradient that is not finite is refused, an accumulator at work refuses its other methods', async () => {
    const kernels = await parallelKernels({ threads: 2 });
    try {
      const parameters = make('float32');
      const accumulator = new GradientAccumulator(parameters, { kernels });
      const under = accumulator.addAsync();
      for (const method of ['add', 'apply', 'reset', 'dispose', 'stateDict'] as const)
        expect(() => accumulator[method]()).toThrow(
          `GradientAccumulator.${method}: an addAsync or applyAsync is under`,
        );
      await expect(accumulator.addAsync()).rejects.toThrow('await it first');
      await under;
      expect(accumulator.step).toBe(1);
      parameters[1]!.grad![140_000] = Number.NaN;
      const before = gradientBits(parameters);
      await expect(clipGradNormAsync(parameters, 1, { kernels })).rejects.toThrow('the gradient of parameter 1');
      expect(gradientBits(parameters)).toEqual(before);
    } finally {
      await kernels.close();
    }
  });
});

describe('large arrays, which are gone through at several places at once', () => {
  it.each(['float32', 'float64'] as const)('%s loops have the bits of those of TypeScript', (dtype) => {
    const plain = dtype === 'float32' ? loops : (loops64 as object as typeof loops);
    for (const length of [65_535, 65_536, 65_543, 65_569, 70_003]) {
      const kernels = simdKernels({ arenaBytes: 2 ** 22 });
      const own = engineOf(kernels)[dtype] as typeof loops;
      const [x, g] = [numbers(length + 5, 3), numbers(length + 5, 4)].map((values) => place(kernels, dtype, values));
      const by = (change: (loopsOf: typeof loops, to: Gradient) => void): void => {
        const [got, expected] = [x!, x!.slice()];
        change(own, got);
        change(plain, expected);
        expect(bits(got), `${length}`).toBe(bits(expected));
      };
      by((of, to) => of.scale(to, 3, length, 0.7));
      by((of, to) => of.addScaled(to, 2, g!, 5, length, 1));
      by((of, to) => of.addScaled(to, 5, g!, 2, length, -0.3));
    }
  });

  it('clipGradNorm adds their squares by eight streams of each block, on every engine', () => {
    for (const [length, far] of [
      [2 ** 18 - 1, false],
      [2 ** 18 + 77, true],
    ] as const) {
      const values = numbers(length, 5);
      const block = blockLength(length);
      let sum = 0;
      for (let from = 0; from < length; from += block) {
        const part = Float32Array.from(values.subarray(from, from + block));
        sum += far ? sumSquaresFar(part, 0, part.length) : sumSquares(part, 0, part.length);
      }
      for (const [engine, kernels] of kernelsOf) {
        const one = new Parameter(new Float32Array(length));
        one.grad = place(kernels, 'float32', values);
        taken.push(one.grad as Gradient);
        expect(clipGradNorm([one], Number.POSITIVE_INFINITY, { kernels }), engine).toBe(Math.sqrt(sum));
        free(kernels);
      }
    }
  });
});
