/**
 * Where an optimizer's arrays live.
 *
 * @module
 */

/** Hands out arrays that a set of loops works on without copying. */
export interface Memory {
  /** For messages and benchmarks, such as `"typescript"`. */
  readonly name: string;
  /**
   * A zeroed array that these kernels work on without copying.
   *
   * @throws RangeError when the kernels' memory is used up.
   */
  allocate(dtype: 'float32', length: number): Float32Array;
  /** The same for float64. */
  allocate(dtype: 'float64', length: number): Float64Array;
  /** Whether `allocate` has room for that array; an ordinary array serves too, only slower. */
  fits(dtype: 'float32' | 'float64', length: number): boolean;
  /** Whether the array is one from `allocate` that has not been freed. */
  owns(array: Float32Array | Float64Array): boolean;
  /**
   * Refuses an array of these kernels that was freed. Optimizers ask before a step touches
   * anything.
   *
   * @throws Error when the array was freed.
   */
  checkLive(array: Float32Array | Float64Array): void;
  /**
   * Gives the memory of an array from `allocate` back; the array must not be used afterwards.
   *
   * @throws Error when it was freed already, or is not from `allocate`.
   */
  free(array: Float32Array | Float64Array): void;
}

/** An array in no special memory. */
export function ordinary(dtype: 'float32' | 'float64', length: number): Float32Array | Float64Array {
  return dtype === 'float32' ? new Float32Array(length) : new Float64Array(length);
}

/**
 * An array for an optimizer's own use: in this memory while there is room, else an ordinary one.
 */
export function allocateOwn(memory: Memory, dtype: 'float32' | 'float64', length: number): Float32Array | Float64Array {
  return memory.fits(dtype, length) ? memory.allocate(dtype as 'float32', length) : ordinary(dtype, length);
}

/** Gives an array of {@link allocateOwn} back. */
export function freeOwn(memory: Memory, array: Float32Array | Float64Array): void {
  if (memory.owns(array)) memory.free(array);
}
