/**
 * Number formats: which array holds which format, and the plain data of state dicts.
 *
 * @module
 */

/** The format of a parameter's elements. */
export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16';

/**
 * Uint16Array holds bfloat16 or float16 bit patterns; which of the two is said by a {@link DType}
 * beside it.
 */
export type NumericArray = Float32Array | Float64Array | Uint16Array;

/** Whether the values are stored in 16 bits and computed in float32. */
export function isSixteen(dtype: DType): boolean {
  return dtype === 'bfloat16' || dtype === 'float16';
}

/**
 * An array in a state dict: plain data, can be cloned structurally (postMessage, IndexedDB).
 * Row-major.
 */
export interface StateTensor {
  /**
   * Format of the elements in `data`, by PyTorch's name. One that JavaScript has no array for
   * (int8, uint32, float8_e4m3fn, complex64 ...) has its bytes in a Uint8Array, little-endian.
   */
  dtype: DType | 'int64' | 'bool' | 'uint8' | (string & {});
  /** Length of every dimension; `[]` is a scalar with one element. */
  shape: number[];
  /** The elements; bool is one byte each, 0 or 1. */
  data: NumericArray | BigInt64Array | Uint8Array;
}

/**
 * Anything a state dict may hold. From `.pt` files also: a bigint for an int that a number cannot
 * hold, a Uint8Array for bytes, arrays for tuples and sets.
 */
export type StateValue =
  | StateTensor
  | number
  | bigint
  | boolean
  | string
  | null
  | Uint8Array
  | StateValue[]
  | { [key: string]: StateValue };

/** The part of a saved group that every group has. */
export interface SavedParams {
  /** Indices of the group's parameters. */
  params: number[];
}

/**
 * A saved parameter group: `params` lists the indices of its parameters; beside it the group's
 * options.
 */
export type SavedGroup = SavedParams & Record<string, StateValue>;

/** An optimizer's state as plain data, in PyTorch's nesting and with PyTorch's key names. */
export type OptimizerStateDict = {
  /** Keyed by parameter index, counted over all groups in their order, as in PyTorch. */
  state: Record<string, Record<string, StateValue>>;
  /** One entry per group. */
  param_groups: SavedGroup[];
};
