/**
 * Arrays, lists and dicts of another realm (a `vm` context; an iframe and jest are the same): no
 * instances of this realm's classes.
 */
import { runInNewContext } from 'node:vm';
import {
  clipGradNorm,
  clipGradValue,
  type DType,
  GradientAccumulator,
  type NumericArray,
  type OptimizerStateDict,
  Parameter,
  type StateValue,
  toBfloat16,
  toFloat16,
} from 'tensorless';
import { describe, expect, it } from 'vitest';
import { dtypes, engineCases, exactly, model, numbersOf, optimizers, setGradients, weightBits } from './_optimizers.ts';
import { errorOf } from './_refusals.ts';

/** What the value is in the other realm: arrays, plain objects and lists anew. */
const foreign = runInNewContext(`(function foreign(value) {
  if (ArrayBuffer.isView(value)) {
    return new globalThis[value[Symbol.toStringTag]](value);
  }
  if (Array.isArray(value)) return Array.from(value, foreign);
  if (typeof value !== 'object' || value === null) return value;
  const copy = {};
  for (const key of Object.keys(value)) copy[key] = foreign(value[key]);
  return copy;
})`) as <T>(value: T) => T;

it('the other realm is another one', () => {
  const array: unknown = foreign(new Float32Array(2));
  expect([array instanceof Float32Array, ArrayBuffer.isView(array)]).toEqual([false, true]);
  expect(Object.getPrototypeOf(foreign([1]))).not.toBe(Array.prototype);
});

describe.each(engineCases)('$name in $dtype on $engine kernels', ({ make, dtype }) => {
  it('trains weights of another realm by its gradients, and takes its state dicts: the same bits', () => {
    const here = model(dtype);
    const there = here.map(
      ({ data, shape, name }) => new Parameter(foreign(data), foreign(shape), { dtype, name: name! }),
    );
    const [ours, theirs] = [make(here), make(there)];
    for (let step = 1; step <= 3; step++) {
      setGradients(here, step);
      for (const [i, { grad }] of here.entries()) there[i]!.grad = foreign(grad) as never;
      if (step === 3) theirs.loadStateDict(foreign(theirs.stateDict()));
      ours.step();
      theirs.step();
    }
    expect(weightBits(there)).toEqual(weightBits(here));
    expect(exactly(theirs.stateDict())).toBe(exactly(ours.stateDict()));
  });
});

const two = (dtype: DType): NumericArray =>
  dtype === 'float64'
    ? Float64Array.of(3, -4)
    : dtype === 'float32'
      ? Float32Array.of(3, -4)
      : dtype === 'bfloat16'
        ? toBfloat16([3, -4])
        : toFloat16([3, -4]);

describe.each(dtypes)('gradients of another realm in %s', (dtype) => {
  const parameter = (): Parameter => {
    const made = new Parameter(foreign(two(dtype)), { dtype, name: 'w' });
    made.grad = foreign(two(dtype)) as never;
    return made;
  };

  it('are added up as numbers, and written back', () => {
    const one = parameter();
    const accumulator = new GradientAccumulator([one]);
    accumulator.add();
    accumulator.add();
    expect([...accumulator.gradients[0]!]).toEqual([6, -8]);
    accumulator.loadStateDict(foreign(accumulator.stateDict()));
    expect([...accumulator.gradients[0]!]).toEqual([6, -8]);
    accumulator.apply({ reduction: 'mean' });
    expect([...numbersOf(dtype, localCopy(one.grad!))]).toEqual([3, -4]);
  });

  it('are clipped as numbers', () => {
    const one = parameter();
    expect(clipGradNorm([one], 1e9)).toBe(5);
    clipGradValue([one], 2);
    expect([...numbersOf(dtype, localCopy(one.grad!))]).toEqual([2, -2]);
    one.grad = foreign(two(dtype)) as never;
    clipGradNorm([one], 2.5);
    expect([...numbersOf(dtype, localCopy(one.grad!))].map((x) => Math.round(100 * x) / 100)).toEqual([1.5, -2]);
  });

  it('are named by what they are where they do not fit', () => {
    const one = parameter();
    one.grad = foreign(new Float64Array(3)) as never;
    const { message } = errorOf(() => clipGradNorm([one], 1));
    expect(message).toMatch(/parameter "w": grad must .*(Float64Array\(3\)|got 3)/);
    one.grad = two(dtype) as never;
    (one.grad as NumericArray)[1] = dtype === 'float16' || dtype === 'bfloat16' ? 0x7fff : Number.NaN;
    one.grad = foreign(one.grad) as never;
    for (const { make } of optimizers)
      expect(() => make([one]).step()).toThrow(/gradient of parameter "w" is NaN at index 1/);
  });
});

/** The same bits in this realm. */
function localCopy(array: NumericArray): NumericArray {
  const { buffer, byteOffset, length } = array;
  const Type = { Float32Array, Float64Array, Uint16Array }[array[Symbol.toStringTag] as 'Float32Array'];
  return new Type(buffer.slice(byteOffset, byteOffset + array.byteLength), 0, length);
}

it('numbers in 0-d tensors of another realm are read', () => {
  const parameter = new Parameter(new Float32Array(2));
  parameter.grad = Float32Array.of(1, 1);
  const [{ make }] = optimizers.filter(({ name }) => name === 'AdamW') as [(typeof optimizers)[number]];
  const optimizer = make([parameter]);
  optimizer.step();
  const dict: OptimizerStateDict = optimizer.stateDict();
  const scalar = (data: Float64Array | BigInt64Array): StateValue =>
    foreign({ dtype: data instanceof Float64Array ? 'float64' : 'int64', shape: [], data } as StateValue);
  dict.state[0]!.step = scalar(BigInt64Array.of(7n));
  dict.param_groups[0]!.lr = scalar(Float64Array.of(0.25));
  dict.param_groups[0]!.betas = [scalar(Float64Array.of(0.5)), 0.75];
  optimizer.loadStateDict(dict);
  expect(optimizer.stateDict().state[0]!.step).toBe(7);
  expect(optimizer.paramGroups[0]).toMatchObject({ lr: 0.25, betas: [0.5, 0.75] });
});
