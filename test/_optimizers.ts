/**
 * The table of optimizers that the shared tests run over, and small models for them. A new
 * optimizer is one line in {@link optimizers}.
 */
import {
  Adafactor,
  AdamW,
  type CommonOptions,
  type DType,
  fromBfloat16,
  fromFloat16,
  Lion,
  type NumericArray,
  type Optimizer,
  Parameter,
  type Params,
  SGD,
  toBfloat16,
  toFloat16,
  typescriptKernels,
} from 'tensorless';
import { parallelKernels } from 'tensorless/parallel';
import { simdKernels } from 'tensorless/simd';

export interface OptimizerCase {
  readonly name: string;
  readonly make: (params: Params, options?: CommonOptions & Record<string, unknown>) => Optimizer;
  /**
   * One step size for all slopes: what suits the quadratic is too much for Rosenbrock's function.
   */
  readonly oneSize?: true;
}

const external = { relativeStep: false, scaleParameter: false, lr: 0.02 };

export const optimizers: readonly OptimizerCase[] = [
  { name: 'Adafactor', make: (params, options) => new Adafactor(params, options) },
  { name: 'Adafactor lr', make: (params, options) => new Adafactor(params, { ...external, ...options }) },
  {
    name: 'Adafactor beta1',
    make: (params, options) => new Adafactor(params, { ...external, beta1: 0.9, ...options }),
  },
  { name: 'AdamW', make: (params, options) => new AdamW(params, { lr: 0.02, weightDecay: 0, ...options }) },
  {
    name: 'AdamW amsgrad',
    make: (params, options) => new AdamW(params, { lr: 0.02, weightDecay: 0, amsgrad: true, ...options }),
  },
  {
    name: 'AdamW uncorrected',
    make: (params, options) => new AdamW(params, { lr: 0.02, weightDecay: 0, correctBias: false, ...options }),
  },
  { name: 'Lion', make: (params, options) => new Lion(params, { lr: 0.02, ...options }) },
  { name: 'SGD', make: (params, options) => new SGD(params, { lr: 0.2, ...options }), oneSize: true },
  {
    name: 'SGD momentum',
    make: (params, options) => new SGD(params, { lr: 1e-3, momentum: 0.98, dampening: 0.5, ...options }),
  },
  {
    name: 'SGD nesterov',
    make: (params, options) => new SGD(params, { lr: 5e-4, momentum: 0.98, nesterov: true, ...options }),
  },
];

export const dtypes: readonly DType[] = ['float32', 'float64', 'bfloat16', 'float16'];

/** Every optimizer with every dtype. */
export const cases: readonly (OptimizerCase & { readonly dtype: DType })[] = optimizers.flatMap((optimizer) =>
  dtypes.map((dtype) => ({ ...optimizer, dtype })),
);

/** The engines, which must give the same bits. */
export const engines = [
  { engine: 'typescript', kernels: typescriptKernels },
  { engine: 'simd', kernels: simdKernels() },
  // Its steps on several threads are in parallel.test.ts.
  { engine: 'parallel', kernels: await parallelKernels({ threads: 1 }) },
] as const;

/** {@link cases} on every engine. */
export const engineCases: readonly (OptimizerCase & { readonly dtype: DType; readonly engine: string })[] =
  engines.flatMap(({ engine, kernels }) =>
    cases.map((one) => ({
      ...one,
      engine,
      make: (params: Params, options?: CommonOptions & Record<string, unknown>) =>
        one.make(params, { kernels, ...options }),
    })),
  );

/**
 * One shape of every rank that is treated differently, with lengths that leave rows and columns
 * over.
 */
export const shapes: readonly (readonly number[])[] = [[], [5], [3, 4], [2, 5, 3]];

/** Numbers in [-1, 1), the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

/** Numbers rounded into an array of a format. */
export function arrayOf(dtype: DType, numbers: ArrayLike<number>): NumericArray {
  if (dtype === 'float64') return new Float64Array(numbers);
  if (dtype === 'float32') return new Float32Array(numbers);
  return dtype === 'float16' ? toFloat16(numbers) : toBfloat16(numbers);
}

/** The numbers of an array of a format. */
export function numbersOf(dtype: DType, array: NumericArray): Float32Array | Float64Array {
  if (!(array instanceof Uint16Array)) return array;
  return dtype === 'float16' ? fromFloat16(array) : fromBfloat16(array);
}

export function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** So many numbers, one by one; `Float64Array.from` takes five times as long. */
export function filled(length: number, next: () => number): Float64Array {
  const array = new Float64Array(length);
  for (let k = 0; k < length; k++) array[k] = next();
  return array;
}

export function randomArray(dtype: DType, length: number, random: () => number, scale = 1): NumericArray {
  return arrayOf(
    dtype,
    filled(length, () => scale * random()),
  );
}

/** One parameter of each of {@link shapes}. */
export function model(dtype: DType, seed = 1): Parameter[] {
  const random = randomNumbers(seed);
  return shapes.map(
    (shape, i) => new Parameter(randomArray(dtype, product(shape), random), shape, { dtype, name: `p${i}` }),
  );
}

/** Random gradients that depend on the step alone, so that a run can be continued from anywhere. */
export function setGradients(parameters: readonly Parameter[], step: number): void {
  for (const [i, parameter] of parameters.entries()) {
    const random = randomNumbers(1000 * step + i);
    parameter.grad = randomArray(parameter.dtype, parameter.data.length, random, 0.3);
  }
}

/** The bytes of an array, as hexadecimal digits: equal strings are equal bits, NaN included. */
export function bits(array: ArrayBufferView): string {
  // Memory that was transferred away cannot even be looked at.
  if (array.byteLength === 0) return '';
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('hex');
}

/** The bits of all weights. */
export function weightBits(parameters: Iterable<Parameter>): string[] {
  return [...parameters].map((parameter) => bits(parameter.data));
}

/**
 * Weights, gradients, the state dict and the groups' options: everything a refused call must leave
 * as it was.
 */
export function snapshot(optimizer: Optimizer): unknown {
  const parameters = optimizer.paramGroups.flatMap((group) => group.params);
  return {
    weights: weightBits(parameters),
    gradients: parameters.map(({ grad }) => (ArrayBuffer.isView(grad) ? bits(grad) : typeof grad)),
    state: exactly(optimizer.stateDict()),
    groups: optimizer.paramGroups.map((group) => ({ ...group, params: group.params.length })),
  };
}

/** A state dict as text that shows every bit. */
export function exactly(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => {
    if (ArrayBuffer.isView(item)) return bits(item);
    return typeof item === 'number' && !Number.isFinite(item) ? String(item) : item;
  });
}
