/**
 * Reading state dicts: plain data from anywhere (this library, a decoded PyTorch file, a structured
 * clone), checked before use. Objects may have a null prototype and hostile keys, so only own
 * properties are read.
 */

import { show, unknownName } from './check.ts';
import type { DType, StateTensor } from './dtype.ts';
import { FORMATS, sizeOf } from './parameter.ts';
import { widened } from './sixteen-bits.ts';
import { float16Bits, isUint16, tagOf } from './typed-array.ts';

/** An array of optimizer state: the parameter's own precision, float32 for 16 bits. */
export type StateArray = Float32Array | Float64Array;

/** An own property; undefined counts as absent. */
export function own(value: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

/** Refuses keys that are missing. */
export function requireKeys(label: string, value: Record<string, unknown>, required: readonly string[]): void {
  const missing = required.find((key) => own(value, key) === undefined);
  if (missing === undefined) return;
  const keys = Object.keys(value).slice(0, 12).map(show).join(', ');
  throw new RangeError(`${label}: key "${missing}" is missing; it has ${keys || 'no keys'}`);
}

/** Refuses keys that are not known and keys that are missing; `optional` ones may be absent. */
export function checkKeys(
  label: string,
  value: Record<string, unknown>,
  required: readonly string[],
  optional: readonly string[] = [],
): void {
  const known = [...new Set([...required, ...optional])];
  for (const key of Object.keys(value)) if (!known.includes(key)) unknownName(label, 'key', key, known);
  requireKeys(label, value, required);
}

/** Whether this is an array of a state dict. */
export function isTensor(value: unknown): value is StateTensor {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.hasOwn(value, 'data') &&
    Object.hasOwn(value, 'dtype') &&
    ArrayBuffer.isView((value as StateTensor).data)
  );
}

/** The numbers of a float tensor; the same array where it already holds numbers. */
function floats(label: string, { dtype, data }: StateTensor): StateArray {
  const bits = float16Bits(data);
  if (!FORMATS[tagOf(data)]?.includes(dtype as DType)) {
    throw new TypeError(`${label} must hold floating-point numbers, got dtype ${show(dtype)} in ${show(data)}`);
  }
  return isUint16(bits) ? widened(bits, dtype === 'float16') : (bits as StateArray);
}

/** Why what was saved may be no array or number any more. */
const JSON_LOSES = '(JSON keeps no NaN, Infinity or typed array: save with encodeTrainingState or encodeTorch)';

/** A number, also where PyTorch has a 0-d tensor. NaN and infinities are data. */
export function scalar(label: string, value: unknown): number {
  if (typeof value === 'number') return value;
  if (isTensor(value) && value.data.length === 1) {
    if (value.dtype === 'int64' && tagOf(value.data) === 'BigInt64Array') return Number(value.data[0]);
    return floats(label, value)[0]!;
  }
  throw new TypeError(`${label} must be a number or a tensor with one element, got ${show(value)} ${JSON_LOSES}`);
}

/**
 * The numbers of a float tensor of the given shape (the array itself where it holds them), in the
 * precision that a parameter of `dtype` keeps its state in. 16-bit tensors are taken for float32
 * state: PyTorch casts state to the parameter's format when it loads
 * (torch.optim.Optimizer.load_state_dict).
 */
export function stateArray(label: string, value: unknown, shape: readonly number[], dtype: DType): StateArray {
  if (!isTensor(value)) {
    throw new TypeError(`${label} must be a tensor { dtype, shape, data }, got ${show(value)} ${JSON_LOSES}`);
  }
  const given = value.shape;
  if (!Array.isArray(given) || given.length !== shape.length || given.some((n, axis) => n !== shape[axis])) {
    const came = show(given);
    throw new RangeError(`${label} must have shape ${show(shape)}, got ${came}; is this the state of another model?`);
  }
  const wide = dtype === 'float64';
  if ((value.dtype === 'float64') !== wide) {
    throw new TypeError(
      `${label} must be ${wide ? 'float64' : 'float32'} beside a ${dtype} parameter, got ${value.dtype}`,
    );
  }
  const numbers = floats(label, value);
  if (numbers.length !== sizeOf(shape)) {
    throw new RangeError(`${label} must have ${sizeOf(shape)} elements, got ${numbers.length}`);
  }
  return numbers;
}

/** Live state as it is, for writing it without a copy. */
export function liveTensorOf(array: StateArray, shape: readonly number[]): StateTensor {
  return { dtype: array.BYTES_PER_ELEMENT === 8 ? 'float64' : 'float32', shape: [...shape], data: array };
}

/** Live state as plain data of its own. */
export function tensorOf(array: StateArray, shape: readonly number[]): StateTensor {
  // Copied through the constructor: a slice() of shared memory would be shared again.
  const wide = array.BYTES_PER_ELEMENT === 8;
  return {
    dtype: wide ? 'float64' : 'float32',
    shape: [...shape],
    data: wide ? new Float64Array(array) : new Float32Array(array),
  };
}

/** `weightDecay` to `weight_decay`, as PyTorch spells its keys. */
export function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * A value in which numbers are numbers, also where PyTorch had 0-d tensors: on its own or in a
 * list. A bool tensor becomes true or false.
 */
export function plainNumbers(label: string, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item, i) => plainNumbers(`${label}[${i}]`, item));
  if (!isTensor(value)) return value;
  if (value.dtype === 'bool' && value.data.length === 1) return value.data[0] === 1;
  return scalar(label, value);
}
