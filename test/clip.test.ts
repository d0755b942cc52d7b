import { readFileSync } from 'node:fs';
import { clipGradNorm, clipGradValue, type DType, Parameter } from 'tensorless';
import { describe, expect, it } from 'vitest';
import { arrayOf, bits, dtypes, numbersOf, randomArray, randomNumbers } from './_optimizers.ts';

interface Recorded {
  name: string;
  max_norm: number;
  norm_type?: string;
  norm: number;
  arrays: { dtype: DType; shape: number[]; before: string; after: string }[];
}

const { cases, value_cases } = JSON.parse(readFileSync(new URL('vectors/clip/clip.json', import.meta.url), 'utf8')) as {
  cases: Recorded[];
  value_cases: { name: string; clip_value: number; dtype: DType; before: string; after: string }[];
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
 * How far from PyTorch's own result: an ulp or two, as it computes norm and product in the
 * gradient's format. In 16 bits the norm alone is off by up to half an ulp there, and so is every
 * product.
 */
const tolerance = { float32: 3 * 2 ** -24, float64: 3 * 2 ** -53, bfloat16: 2 ** -7, float16: 2 ** -10 };

describe('clipGradNorm', () => {
  it.each(cases)('scales as torch.nn.utils.clip_grad_norm_: $name', ({ max_norm, norm_type, norm, arrays }) => {
    const parameters = arrays.map(({ dtype, before }) => {
      const gradient = decode(dtype, before);
      return parameter(dtype, gradient, gradient.length);
    });
    // Its powers and roots of other orders lose a further ulp or two.
    const limit = (norm_type === undefined ? 1 : 3) * Math.max(...arrays.map(({ dtype }) => tolerance[dtype]));
    const normType = norm_type === undefined ? 2 : Number(norm_type.replace('inf', 'Infinity'));
    expect(Math.abs(clipGradNorm(parameters, max_norm, { normType }) - norm)).toBeLessThanOrEqual(limit * norm);
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

describe('clipGradNorm, other norms', () => {
  const norms = (values: number[], normType: number): number =>
    clipGradNorm([parameter('float64', Float64Array.from(values), values.length)], Number.POSITIVE_INFINITY, {
      normType,
    });

  it('with maxNorm Infinity only tells the norm, also one that is not finite', () => {
    for (const dtype of dtypes) {
      const p = parameter(dtype, arrayOf(dtype, [3, -4]), 2);
      const before = bits(p.grad as Float32Array);
      expect(clipGradNorm([p], Number.POSITIVE_INFINITY)).toBe(5);
      expect(clipGradNorm([p], Number.POSITIVE_INFINITY, { normType: 1 })).toBe(7);
      expect(clipGradNorm([p], Number.POSITIVE_INFINITY, { normType: Number.POSITIVE_INFINITY })).toBe(4);
      expect(bits(p.grad as Float32Array)).toBe(before);
    }
    for (const p of [1, 2, 3, Number.POSITIVE_INFINITY]) {
      expect(norms([1, Number.NaN], p)).toBeNaN();
      expect(norms([Number.NaN, 1], p)).toBeNaN();
      expect(norms([1, Number.NEGATIVE_INFINITY], p)).toBe(Number.POSITIVE_INFINITY);
      expect(norms([0, -0], p)).toBe(0);
      expect(norms([], p)).toBe(0);
    }
  });

  it('of a large or small order neither overflows nor vanishes', () => {
    expect(norms([1e200, 1e200], 10)).toBeCloseTo(1e200 * 2 ** 0.1, -186);
    expect(norms([3e-200, 4e-200], 30) / 4e-200).toBeCloseTo((1 + 0.75 ** 30) ** (1 / 30), 12);
    expect(norms([1, 1, 1, 1], 0.5)).toBe(16);
  });

  it('refuses an order that is not positive, an unknown option, a maxNorm that is no number', () => {
    const p = parameter('float32', new Float32Array(2), 2);
    for (const normType of [0, -1, Number.NaN, '2', null])
      expect(() => clipGradNorm([p], 1, { normType: normType as number })).toThrow('clipGradNorm: normType must be');
    expect(() => clipGradNorm([p], 1, { norm: 1 } as object)).toThrow('unknown option "norm"');
    expect(() => clipGradNorm([p], Number.NaN)).toThrow('maxNorm must be');
  });
});

describe('clipGradValue', () => {
  it.each(value_cases)('clamps as torch.nn.utils.clip_grad_value_, bit for bit: $name', (one) => {
    const { dtype, clip_value, before, after } = one;
    const p = parameter(dtype, decode(dtype, before), 24);
    clipGradValue([p], clip_value);
    expect(bits(p.grad as Float32Array)).toBe(bits(decode(dtype, after)));
  });

  it('leaves parameters without a gradient out, and float32 gradients beside 16-bit weights as exact', () => {
    const [none, p] = [parameter('float32', null, 2), parameter('bfloat16', new Float32Array([3, -0.05]), 2)];
    clipGradValue([none, p], 0.1);
    expect(none.grad).toBeNull();
    expect([...(p.grad as Float32Array)]).toEqual([Math.fround(0.1), Math.fround(-0.05)]);
    clipGradValue([p], Number.POSITIVE_INFINITY);
  });

  it('refuses a wrong value, and gradients that do not fit, with nothing clipped', () => {
    const [p, q] = [parameter('float32', new Float32Array([3]), 1), parameter('float32', new Float32Array(1), 1)];
    q.grad = new Float32Array(2);
    for (const wrong of [-1, Number.NaN, '1', null])
      expect(() => clipGradValue([p], wrong as number)).toThrow('clipGradValue: clipValue must be');
    expect(() => clipGradValue([p, q], 1)).toThrow('grad must have 1 elements');
    expect((p.grad as Float32Array)[0]).toBe(3);
  });
});
