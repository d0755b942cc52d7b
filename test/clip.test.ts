import { readFileSync } from 'node:fs';
import { clipGradNorm, type DType, Parameter } from 'tensorless';
import { describe, expect, it } from 'vitest';
import { arrayOf, bits, dtypes, numbersOf, randomArray, randomNumbers } from './_optimizers.ts';

interface Recorded {
  name: string;
  max_norm: number;
  norm: number;
  arrays: { dtype: DType; shape: number[]; before: string; after: string }[];
}

const { cases } = JSON.parse(readFileSync(new URL('vectors/clip/clip.json', import.meta.url), 'utf8')) as {
  cases: Recorded[];
};

function decode(dtype: DType, base64: string): Parameter['data'] {
  const { buffer } = new Uint8Array(Buffer.from(base64, 'base64'));
  if (dtype === 'float32') return new Float32Array(buffer);
  return dtype === 'float64' ? new Float64Array(buffer) : new Uint16Array(buffer);
}

function parameter(dtype: DType, gradient: Parameter['grad'], length: number, name?: string): Parameter {
  const result = new Parameter(arrayOf(dtype, new Float64Array(length)), [length], {
    dtype,
    ...(name === undefined ? {} : { name }),
  });
  result.grad = gradient;
  return result;
}

/**
 * How far from PyTorch's own result: an ulp or two, as it computes norm and product in the gradient's format. In 16 bits the norm alone is off by up to
 * half an ulp there, and so is every product.
 */
const tolerance = { float32: 3 * 2 ** -24, float64: 3 * 2 ** -53, bfloat16: 2 ** -7, float16: 2 ** -10 };

describe('clipGradNorm', () => {
  it.each(cases)('scales as torch.nn.utils.clip_grad_norm_: $name', ({ max_norm, norm, arrays }) => {
    const parameters = arrays.map(({ dtype, before }) => {
      const gradient = decode(dtype, before);
      return parameter(dtype, gradient, gradient.length);
    });
    const limit = Math.max(...arrays.map(({ dtype }) => tolerance[dtype]));
    expect(Math.abs(clipGradNorm(parameters, max_norm) - norm)).toBeLessThanOrEqual(limit * norm);
    for (const [i, { dtype, after }] of arrays.entries()) {
      const ours = numbersOf(dtype, parameters[i]!.grad as Parameter['data']);
      const theirs = numbersOf(dtype, decode(dtype, after));
      theirs.forEach((x, k) => {
        expect(Math.abs(ours[k]! - x)).toBeLessThanOrEqual(limit * Math.abs(x));
      });
    }
  });

  it('multiplies by maxNorm / (norm + 1e-6): the epsilon is seen when the norm is small', () => {
    const p = parameter('float64', new Float64Array([3e-6, 4e-6]), 2);
    expect(clipGradNorm([p], 1e-6)).toBe(5e-6);
    expect((p.grad as Float64Array)[1]).toBeCloseTo(4e-6 / 6, 18);
  });

  it.each(dtypes)(
    'takes the norm over all parameters together and leaves those without a gradient out (%s)',
    (dtype) => {
      const [a, b] = [parameter(dtype, arrayOf(dtype, [3, 0]), 2), parameter(dtype, arrayOf(dtype, [4]), 1)];
      const none = parameter(dtype, null, 5);
      expect(clipGradNorm([a, none, b], 1)).toBe(5);
      const narrow = { float32: 1e-6, float64: 1e-6, bfloat16: 4e-3, float16: 5e-4 }[dtype];
      expect(Math.abs(numbersOf(dtype, a.grad as Float32Array)[0]! - 0.6)).toBeLessThan(narrow);
      expect(Math.abs(numbersOf(dtype, b.grad as Float32Array)[0]! - 0.8)).toBeLessThan(narrow);
      expect(none.grad).toBeNull();
    },
  );

  it('counts and scales a parameter that is named twice once', () => {
    const p = parameter('float32', new Float32Array([3, 4]), 2);
    expect(clipGradNorm([p, p], 2.5)).toBe(5);
    expect((p.grad as Float32Array)[0]).toBeCloseTo(1.5, 5);
  });

  it('leaves gradients within the norm as they are, to the last bit', () => {
    const random = randomNumbers(1);
    for (const dtype of dtypes) {
      const gradient = randomArray(dtype, 9, random);
      const before = bits(gradient);
      const p = parameter(dtype, gradient, 9);
      const norm = clipGradNorm([p], 100);
      expect(p.grad).toBe(gradient);
      expect(bits(gradient)).toBe(before);
      expect(clipGradNorm([p], 1e9)).toBe(norm);
    }
  });

  it('writes into float32 gradients beside 16-bit weights', () => {
    const p = parameter('bfloat16', new Float32Array([3, 4]), 2);
    clipGradNorm([p], 1);
    expect((p.grad as Float32Array)[0]).toBeCloseTo(0.6, 6);
  });

  it('is 0 where there is no gradient', () => {
    expect(clipGradNorm([], 1)).toBe(0);
    expect(clipGradNorm([parameter('float32', null, 2)], 1)).toBe(0);
  });

  it.each([
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, 'Infinity'],
    [Number.NEGATIVE_INFINITY, 'Infinity'],
  ])('refuses a gradient with %d by name and scales nothing', (value, shown) => {
    for (const dtype of dtypes) {
      const good = parameter(dtype, arrayOf(dtype, [30, 40]), 2, 'good');
      const bad = parameter(dtype, arrayOf(dtype, [1, value, 2]), 3, 'bad');
      const before = [good, bad].map(({ grad }) => bits(grad as Float32Array));
      expect(() => clipGradNorm([good, bad], 1)).toThrow(RangeError);
      expect(() => clipGradNorm([good, bad], 1)).toThrow(
        `the norm is ${shown}, because of the gradient of parameter "bad"`,
      );
      expect([good, bad].map(({ grad }) => bits(grad as Float32Array))).toEqual(before);
    }
  });

  it('refuses a norm that only the sum of squares overflows', () => {
    const parameters = [1, 2].map(() => parameter('float64', new Float64Array([1e154]), 1));
    expect(() => clipGradNorm([...parameters, parameters[0]!], 1)).toThrow(/several parameters together|parameter/);
    expect(parameters.map(({ grad }) => (grad as Float64Array)[0])).toEqual([1e154, 1e154]);
  });
});
