/**
 * bfloat16 and float16 (IEEE 754 binary16) as bit patterns in Uint16Arrays: conversions of whole arrays, and the fast loops of the optimizers.
 *
 * @module
 */
import { show } from '../core/check.ts';
import { bfloat16Bits, float16BitsOf, float32BitsOfFloat16, sixteen } from '../core/sixteen-bits.ts';
import { apply, applyMomentum, measure, reduce } from '../loops/generated/matrix16.ts';
import { sumSquares } from '../loops/generated/sums16.ts';

/** One float32 and its bits. */
const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/**
 * The float32 that rounds on as the double itself would: nearest, but to odd when inexact, so that rounding to 16 bits
 * afterwards is a single rounding (Boldo & Melquiond 2008, "Emulation of FMA and correctly rounded sums").
 */
function roundToOdd(value: number): number {
  float[0] = value;
  const near = float[0]!;
  if (near === value || !Number.isFinite(near) || Number.isNaN(value)) return word[0]!;
  const bits = word[0]!;
  if ((bits & 1) === 1) return bits;
  const away = Math.abs(value) > Math.abs(near) || near === 0;
  return away ? bits + 1 : bits - 1;
}

function checkedValues(label: string, values: unknown): ArrayLike<number> {
  const length = (values as ArrayLike<number> | null)?.length;
  if (
    typeof values !== 'object' ||
    !Number.isSafeInteger(length) ||
    !(length! >= 0) ||
    values instanceof BigInt64Array
  ) {
    throw new TypeError(`${label}: values must be an array or typed array of numbers, got ${show(values)}`);
  }
  return values as ArrayLike<number>;
}

function checkedBits(label: string, bits: unknown): Uint16Array {
  if (!ArrayBuffer.isView(bits) || (bits as Uint16Array)[Symbol.toStringTag] !== 'Uint16Array') {
    throw new TypeError(`${label}: bits must be a Uint16Array, got ${show(bits)}`);
  }
  return bits as Uint16Array;
}

function narrowAll(label: string, values: ArrayLike<number>, toBits: (bits: number) => number): Uint16Array {
  const source = checkedValues(label, values);
  const result = new Uint16Array(source.length);
  // The bits of a Float32Array are read as they are: JavaScript may change a NaN's payload on its way through a number.
  const words =
    ArrayBuffer.isView(source) && (source as Float32Array)[Symbol.toStringTag] === 'Float32Array'
      ? new Uint32Array((source as Float32Array).buffer, (source as Float32Array).byteOffset, source.length)
      : null;
  for (let i = 0; i < result.length; i++) {
    const value = words === null ? source[i] : 0;
    if (typeof value !== 'number') {
      throw new TypeError(`${label}: values[${i}] must be a number, got ${show(value)}`);
    }
    result[i] = toBits(words === null ? roundToOdd(value) : words[i]!);
  }
  return result;
}

/**
 * bfloat16 bits of numbers, rounded once to nearest, ties to even. Too large becomes infinity; NaN stays NaN.
 *
 * @param values - Numbers in any array; those of a Float32Array keep their NaN payloads.
 * @throws TypeError when values is not an array of numbers.
 * @example
 * ```ts
 * toBfloat16([1, 3.14159]); // Uint16Array [0x3f80, 0x4049]
 * ```
 */
export function toBfloat16(values: ArrayLike<number>): Uint16Array {
  return narrowAll('toBfloat16', values, bfloat16Bits);
}

/**
 * The numbers that bfloat16 bits stand for, exactly.
 *
 * @throws TypeError when bits is not a Uint16Array.
 */
export function fromBfloat16(bits: Uint16Array): Float32Array {
  const result = new Float32Array(checkedBits('fromBfloat16', bits).length);
  widenBfloat16(bits, pairsOf(bits), 0, bits.length, new Uint32Array(result.buffer));
  return result;
}

/**
 * float16 (IEEE 754 binary16) bits of numbers, rounded once to nearest, ties to even, subnormals included. From 65520 on the
 * result is infinity; NaN stays NaN.
 *
 * @param values - Numbers in any array; those of a Float32Array keep their NaN payloads.
 * @throws TypeError when values is not an array of numbers.
 */
export function toFloat16(values: ArrayLike<number>): Uint16Array {
  return narrowAll('toFloat16', values, float16BitsOf);
}

/**
 * The numbers that float16 bits stand for, exactly.
 *
 * @throws TypeError when bits is not a Uint16Array.
 */
export function fromFloat16(bits: Uint16Array): Float32Array {
  const result = new Float32Array(checkedBits('fromFloat16', bits).length);
  widenFloat16(bits, pairsOf(bits), 0, bits.length, new Uint32Array(result.buffer));
  return result;
}

/**
 * `length` bfloat16 numbers from `at` as float32 bits. `pairs` is a view of the same memory in 32-bit words, or null where it is not aligned: two
 * numbers per load take 0.63 ns each in V8 (Node 20.20), four single ones per round 0.94, one per round 1.39.
 *
 * @internal
 */
export function widenBfloat16(
  bits: Uint16Array,
  pairs: Uint32Array | null,
  at: number,
  length: number,
  out: Uint32Array,
): void {
  let k = 0;
  if (pairs !== null && (at & 1) === 0) {
    const first = at >> 1;
    for (; k + 7 < length; k += 8) {
      const w = first + (k >> 1);
      const a = pairs[w]!;
      const b = pairs[w + 1]!;
      const c = pairs[w + 2]!;
      const d = pairs[w + 3]!;
      out[k] = a << 16;
      out[k + 1] = a & 0xffff0000;
      out[k + 2] = b << 16;
      out[k + 3] = b & 0xffff0000;
      out[k + 4] = c << 16;
      out[k + 5] = c & 0xffff0000;
      out[k + 6] = d << 16;
      out[k + 7] = d & 0xffff0000;
    }
  }
  for (; k + 3 < length; k += 4) {
    const a = bits[at + k]!;
    const b = bits[at + k + 1]!;
    const c = bits[at + k + 2]!;
    const d = bits[at + k + 3]!;
    out[k] = a << 16;
    out[k + 1] = b << 16;
    out[k + 2] = c << 16;
    out[k + 3] = d << 16;
  }
  for (; k < length; k++) out[k] = bits[at + k]! << 16;
}

/** float32 bits of every float16; 256 KiB, made at first use. One load (1.2 ns) against 2.2 to 2.9 ns for the arithmetic in V8. */
let float16Table: Uint32Array | null = null;

function tableOfFloat16(): Uint32Array {
  if (float16Table === null) {
    float16Table = new Uint32Array(65536);
    for (let half = 0; half < 65536; half++) float16Table[half] = float32BitsOfFloat16(half);
  }
  return float16Table;
}

/** `length` float16 numbers from `at` as float32 bits; arguments as in {@link widenBfloat16}. @internal */
export function widenFloat16(
  bits: Uint16Array,
  pairs: Uint32Array | null,
  at: number,
  length: number,
  out: Uint32Array,
): void {
  const table = tableOfFloat16();
  let k = 0;
  if (pairs !== null && (at & 1) === 0) {
    const first = at >> 1;
    for (; k + 3 < length; k += 4) {
      const w = first + (k >> 1);
      const a = pairs[w]!;
      const b = pairs[w + 1]!;
      out[k] = table[a & 0xffff]!;
      out[k + 1] = table[a >>> 16]!;
      out[k + 2] = table[b & 0xffff]!;
      out[k + 3] = table[b >>> 16]!;
    }
  }
  for (; k < length; k++) out[k] = table[bits[at + k]!]!;
}

const numberTables: { bfloat16?: Float32Array; float16?: Float32Array } = {};

/** All 65,536 numbers of a 16-bit format, by their bits; made at first use. @internal */
export function numberTable(dtype: 'bfloat16' | 'float16'): Float32Array {
  numberTables[dtype] ??= new Float32Array(
    dtype === 'float16' ? tableOfFloat16().buffer : Uint32Array.from({ length: 65536 }, (_, bits) => bits << 16).buffer,
  );
  return numberTables[dtype];
}

let lowFirst: boolean | undefined;

function littleEndian(): boolean {
  lowFirst ??= new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
  return lowFirst;
}

/**
 * A view of 16-bit numbers in 32-bit words, for the widening loops; null where the memory is not aligned to it, or on a big-endian
 * machine, where the halves would be the other way round. @internal
 */
export function pairsOf(bits: Uint16Array): Uint32Array | null {
  if (bits.byteOffset % 4 !== 0 || !littleEndian()) return null;
  return new Uint32Array(bits.buffer, bits.byteOffset, bits.length >> 1);
}

/** Rounds `length` float32 numbers, given by their bits, into `bits` from `at`. Four at once: 1.5 ns each in V8, else 2.2. @internal */
export function narrowBfloat16(words: Uint32Array, length: number, bits: Uint16Array, at: number): void {
  let k = 0;
  for (; k + 3 < length; k += 4) {
    const a = words[k]! | 0;
    const b = words[k + 1]! | 0;
    const c = words[k + 2]! | 0;
    const d = words[k + 3]! | 0;
    if (
      (a & 0x7fffffff) > 0x7f800000 ||
      (b & 0x7fffffff) > 0x7f800000 ||
      (c & 0x7fffffff) > 0x7f800000 ||
      (d & 0x7fffffff) > 0x7f800000
    ) {
      for (let i = k; i < k + 4; i++) bits[at + i] = bfloat16Bits(words[i]!);
      continue;
    }
    bits[at + k] = (a + 0x7fff + ((a >>> 16) & 1)) >>> 16;
    bits[at + k + 1] = (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
    bits[at + k + 2] = (c + 0x7fff + ((c >>> 16) & 1)) >>> 16;
    bits[at + k + 3] = (d + 0x7fff + ((d >>> 16) & 1)) >>> 16;
  }
  for (; k < length; k++) bits[at + k] = bfloat16Bits(words[k]!);
}

/** Rounds `length` float32 numbers, given by their bits, into `bits` from `at`; two normal ones at once. @internal */
export function narrowFloat16(words: Uint32Array, length: number, bits: Uint16Array, at: number): void {
  let k = 0;
  for (; k + 1 < length; k += 2) {
    const a = words[k]! | 0;
    const b = words[k + 1]! | 0;
    const m = a & 0x7fffffff;
    const n = b & 0x7fffffff;
    if (m >= 0x38800000 && m < 0x477ff000 && n >= 0x38800000 && n < 0x477ff000) {
      bits[at + k] = ((a >>> 16) & 0x8000) | ((m - 0x38000000 + 0xfff + ((m >>> 13) & 1)) >>> 13);
      bits[at + k + 1] = ((b >>> 16) & 0x8000) | ((n - 0x38000000 + 0xfff + ((n >>> 13) & 1)) >>> 13);
    } else {
      bits[at + k] = float16BitsOf(words[k]!);
      bits[at + k + 1] = float16BitsOf(words[k + 1]!);
    }
  }
  if (k < length) bits[at + k] = float16BitsOf(words[k]!);
}

/**
 * Puts the loops of this file in place of the plain ones of `core/sixteen-bits.ts`, same bits. Done where this file is loaded; a bundler leaves it out where nothing
 * of it is used.
 *
 * @internal
 */
export function useFastSixteen(): void {
  sixteen.widen = (half, bits, at, length, words) => {
    const pairs = pairsOf(bits);
    if (half) widenFloat16(bits, pairs, at, length, words);
    else widenBfloat16(bits, pairs, at, length, words);
  };
  sixteen.narrow = (half, words, length, bits, at) => {
    if (half) narrowFloat16(words, length, bits, at);
    else narrowBfloat16(words, length, bits, at);
  };
  const loops = { sumSquares, reduce, measure, apply, applyMomentum };
  sixteen.lookUp = { loops, table: (half) => numberTable(half ? 'float16' : 'bfloat16') };
}

useFastSixteen();
