/**
 * What typed arrays are, told by their tags: an array of another realm (iframe, `vm`, jest) is no
 * instance of this realm's classes.
 */
import type { NumericArray } from './dtype.ts';

/**
 * A Float16Array where the runtime has one (Node 24, current browsers). Spelled structurally so
 * that these types compile with every `lib`; it is worked on through a Uint16Array over the same
 * memory.
 */
export interface Float16ArrayLike {
  /** Tells it from other arrays. */
  readonly [Symbol.toStringTag]: 'Float16Array';
  /** The memory it is a view of. */
  readonly buffer: ArrayBufferLike;
  /** First byte of the view. */
  readonly byteOffset: number;
  /** Number of elements. */
  readonly length: number;
}

/** The name of a typed array's kind, such as `"Float32Array"`; '' for everything else. */
export function tagOf(value: unknown): string {
  return ArrayBuffer.isView(value) ? ((value as { [Symbol.toStringTag]?: string })[Symbol.toStringTag] ?? '') : '';
}

/** Whether this is a Uint16Array: 16-bit patterns. */
export function isUint16(array: unknown): array is Uint16Array {
  return tagOf(array) === 'Uint16Array';
}

/** Whether this is a Float64Array. */
export function isFloat64(array: unknown): array is Float64Array {
  return tagOf(array) === 'Float64Array';
}

/** The bits of a Float16Array as a Uint16Array over the same memory; every other value as it is. */
export function float16Bits<T>(value: T | Float16ArrayLike): T | Uint16Array {
  if (tagOf(value) !== 'Float16Array') return value as T;
  const array = value as Float16ArrayLike;
  return new Uint16Array(array.buffer, array.byteOffset, array.length);
}

/** Whether other threads reach the array's memory. */
export function isShared(array: ArrayBufferView): boolean {
  return Object.prototype.toString.call(array.buffer) === '[object SharedArrayBuffer]';
}

/** Whether two arrays share a byte of memory. */
export function overlap(a: NumericArray, b: NumericArray): boolean {
  return (
    a.buffer === b.buffer && a.byteOffset < b.byteOffset + b.byteLength && b.byteOffset < a.byteOffset + a.byteLength
  );
}

/** Whether numbers lie in memory with their lowest byte first, as on all common machines. */
export const littleEndian: boolean = /* @__PURE__ */ (() => new Uint8Array(new Uint16Array([1]).buffer)[0] === 1)();
