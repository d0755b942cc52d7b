/**
 * Float16Array, which Node 20 does not have: here an array that calls itself so, as parameters tell
 * arrays by their tag. The runtimes' own are tried by `npm run test:runtimes`.
 */
import { AdamW, type Float16ArrayLike, GradientAccumulator, Parameter, toFloat16 } from 'tensorless';
import { expect, it } from 'vitest';

/** With the types of a runtime that has it. */
const Float16Array = class Float16Array extends Uint16Array {
  override get [Symbol.toStringTag](): never {
    return 'Float16Array' as never;
  }
} as unknown as new (
  numbers: ArrayLike<number> | number,
) => Float16ArrayLike;

it('is worked on through the bits in its own memory', () => {
  const bits = toFloat16([1, -2, 0.5]);
  const array = new Float16Array(bits);
  const parameter = new Parameter<Uint16Array>(array);
  expect(parameter.dtype).toBe('float16');
  expect(parameter.data.buffer).toBe(array.buffer);
  const other = new Parameter(bits, [3], { dtype: 'float16' });
  const gradient = toFloat16([0.25, 1, -1]);
  parameter.grad = new Float16Array(gradient);
  other.grad = gradient;
  for (const one of [parameter, other]) new AdamW([one], { lr: 0.1 }).step();
  expect([...new Uint16Array(array.buffer)]).toEqual([...other.data]);
});

it('is a gradient for 16-bit weights given as bits, and for no others', () => {
  const gradient = new Float16Array(toFloat16([1, 2]));
  const parameter = new Parameter(new Uint16Array(2), [2], { dtype: 'float16' });
  parameter.grad = gradient;
  const accumulator = new GradientAccumulator([parameter]);
  accumulator.add();
  expect([...accumulator.gradients[0]!]).toEqual([1, 2]);
  const bfloat = new Parameter(new Uint16Array(2), [2], { dtype: 'bfloat16' });
  bfloat.grad = gradient;
  expect(() => new AdamW([bfloat]).step()).toThrow(
    'grad must be a Uint16Array of bfloat16 bits, or a Float32Array, or null; got Float16Array(2)',
  );
});

it('takes no other dtype, and no array without a tag is taken for a typed array', () => {
  expect(() => new Parameter(new Float16Array(2), [2], { dtype: 'bfloat16' })).toThrow(
    'dtype of a Float16Array must be float16, got "bfloat16"',
  );
  const untagged = new Float32Array(2);
  Object.defineProperty(untagged, Symbol.toStringTag, { value: undefined });
  expect(() => new Parameter(untagged)).toThrow('data must be a Float32Array');
});
