/** The formats of elements: safetensors' names, PyTorch's names, and the arrays that hold them. */
import type { StateTensor } from '../core/dtype.ts';

/** One format of elements. */
export interface ElementFormat {
  /** Name in a safetensors header. */
  readonly name: string;
  /** Name in a {@link StateTensor}: PyTorch's, where it has one. */
  readonly dtype: string;
  /** Size of an element in bits; four and six are packed. */
  readonly bits: number;
  /**
   * The array that holds the elements; Uint8Array also for the bytes of formats that JavaScript has
   * no array for.
   */
  readonly array: 'Float32Array' | 'Float64Array' | 'Uint16Array' | 'BigInt64Array' | 'Uint8Array';
}

const raw = (name: string, dtype: string, bits: number): ElementFormat => ({ name, dtype, bits, array: 'Uint8Array' });

/** In the reference writer's order, widest first, so that every array is aligned to its element. */
export const ELEMENT_FORMATS: readonly ElementFormat[] = [
  raw('U64', 'uint64', 64),
  { name: 'I64', dtype: 'int64', bits: 64, array: 'BigInt64Array' },
  { name: 'F64', dtype: 'float64', bits: 64, array: 'Float64Array' },
  raw('C64', 'complex64', 64),
  { name: 'F32', dtype: 'float32', bits: 32, array: 'Float32Array' },
  raw('U32', 'uint32', 32),
  raw('I32', 'int32', 32),
  { name: 'BF16', dtype: 'bfloat16', bits: 16, array: 'Uint16Array' },
  { name: 'F16', dtype: 'float16', bits: 16, array: 'Uint16Array' },
  raw('U16', 'uint16', 16),
  raw('I16', 'int16', 16),
  raw('F8_E5M2FNUZ', 'float8_e5m2fnuz', 8),
  raw('F8_E4M3FNUZ', 'float8_e4m3fnuz', 8),
  raw('F8_E8M0', 'float8_e8m0fnu', 8),
  raw('F8_E4M3', 'float8_e4m3fn', 8),
  raw('F8_E5M2', 'float8_e5m2', 8),
  raw('I8', 'int8', 8),
  raw('U8', 'uint8', 8),
  raw('F6_E3M2', 'float6_e3m2', 6),
  raw('F6_E2M3', 'float6_e2m3', 6),
  raw('F4', 'float4_e2m1fn', 4),
  raw('BOOL', 'bool', 8),
];

const BY_NAME: ReadonlyMap<string, ElementFormat> = new Map(ELEMENT_FORMATS.map((format) => [format.name, format]));
const BY_DTYPE: ReadonlyMap<string, ElementFormat> = new Map(ELEMENT_FORMATS.map((format) => [format.dtype, format]));
/** PyTorch counts pairs of four-bit floats: its last dimension is half of the file's. */
const PAIRS = 'float4_e2m1fn_x2';

/** The format of a header's name. */
export function formatNamed(name: string): ElementFormat | undefined {
  return BY_NAME.get(name);
}

/** The format of a tensor's dtype, and the shape that a header gives it. */
export function formatOf(dtype: string, shape: readonly number[]): [ElementFormat, readonly number[]] | undefined {
  if (dtype === PAIRS && shape.length > 0) return [BY_NAME.get('F4')!, [...shape.slice(0, -1), 2 * shape.at(-1)!]];
  const format = BY_DTYPE.get(dtype);
  return format && [format, shape];
}

/** The dtype and shape of a tensor whose header has this format and shape. */
export function dtypeOf(format: ElementFormat, shape: readonly number[]): { dtype: string; shape: number[] } {
  const last = shape.at(-1);
  if (format.name !== 'F4' || last === undefined || last % 2 !== 0) return { dtype: format.dtype, shape: [...shape] };
  return { dtype: PAIRS, shape: [...shape.slice(0, -1), last / 2] };
}

/** Bytes of one element as the array has it: 1 where the bytes stay raw. */
export function elementBytes({ array, bits }: ElementFormat): number {
  return array === 'Uint8Array' ? 1 : bits / 8;
}

/**
 * Bytes of a tensor; null when they cannot be counted (also [0, 2^32, 2^32], as in the reference
 * implementation), or packed elements do not fill the last byte.
 */
export function byteLengthOf({ bits }: ElementFormat, shape: readonly number[]): number | null {
  let elements = 1;
  let empty = false;
  for (const n of shape) {
    if (n === 0) empty = true;
    else elements *= n;
    if (elements * bits > 8 * Number.MAX_SAFE_INTEGER) return null;
  }
  if (empty) return 0;
  // Multiples of a power of two are exact beyond 2^53 too; six-bit elements have to stay below it.
  const total = elements * bits;
  return total % 8 === 0 ? total / 8 : null;
}

/** Whether this machine keeps the low byte first, as the formats do. */
export const LITTLE_ENDIAN: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * Reverses the bytes of every element in place: what big-endian machines need after reading and
 * before writing.
 */
export function swapBytes(bytes: Uint8Array, size: number): void {
  if (size === 1) return;
  for (let i = 0; i < bytes.length; i += size) bytes.subarray(i, i + size).reverse();
}

/** The bytes of an array, without a copy. */
export function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Bytes in host order as the format's array: a view where they are aligned, else a copy. */
export function arrayOf(format: ElementFormat, bytes: Uint8Array): StateTensor['data'] {
  const size = elementBytes(format);
  // A plain Uint8Array also where a Buffer came: its slice() would be a view, its toString another.
  const source = bytes.byteOffset % size === 0 ? bytesOf(bytes) : new Uint8Array(bytes);
  const { buffer, byteOffset } = source;
  const length = source.byteLength / size;
  switch (format.array) {
    case 'Float64Array':
      return new Float64Array(buffer, byteOffset, length);
    case 'BigInt64Array':
      return new BigInt64Array(buffer, byteOffset, length);
    case 'Float32Array':
      return new Float32Array(buffer, byteOffset, length);
    case 'Uint16Array':
      return new Uint16Array(buffer, byteOffset, length);
    default:
      return source;
  }
}
