/**
 * Fast loops over 16-bit arrays in TypeScript: several numbers at once, and tables of all 65,536
 * numbers of a format. {@link useFastSixteen} puts them in place of the plain ones, same bits.
 */
import { bfloat16Bits, float16BitsOf, float32BitsOfFloat16, type SixteenPath, sixteen } from '../core/sixteen-bits.ts';
import { littleEndian } from '../core/typed-array.ts';
import * as matrix16 from '../loops/generated/matrix16.ts';
import { sumSquares as sumSquares16 } from '../loops/generated/sums16.ts';

/**
 * `length` bfloat16 numbers from `at` as float32 bits. `pairs` is a view of the same memory in
 * 32-bit words, or null where it is not aligned: two numbers per load take 0.63 ns each in V8 (Node
 * 20.20), four single ones per round 0.94, one per round 1.39.
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

/**
 * float32 bits of every float16: one load (1.2 ns) against 2.2 to 2.9 ns for the arithmetic in V8.
 */
function tableOfFloat16(): Uint32Array {
  return Uint32Array.from({ length: 65536 }, (_, half) => float32BitsOfFloat16(half));
}

/** `length` float16 numbers from `at` as float32 bits; arguments as in {@link widenBfloat16}. */
export function widenFloat16(
  bits: Uint16Array,
  pairs: Uint32Array | null,
  at: number,
  length: number,
  out: Uint32Array,
  table: Uint32Array,
): void {
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

/**
 * A view of 16-bit numbers in 32-bit words, for the widening loops; null where the memory is not
 * aligned to it, or on a big-endian machine, where the halves would be the other way round.
 */
export function pairsOf(bits: Uint16Array): Uint32Array | null {
  if (bits.byteOffset % 4 !== 0 || !littleEndian) return null;
  return new Uint32Array(bits.buffer, bits.byteOffset, bits.length >> 1);
}

/**
 * Rounds `length` float32 numbers, given by their bits, into `bits` from `at`. Four at once: 1.5 ns
 * each in V8, else 2.2.
 */
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

/**
 * Rounds `length` float32 numbers, given by their bits, into `bits` from `at`; two normal ones at
 * once.
 */
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

/** Look-up twins by the names of the rules' loops; arguments as theirs. */
function lookUp(table: Float32Array, out: Float32Array): Readonly<Record<string, unknown>> {
  const sumSquares = (x: Uint16Array, at: number, n: number): number => sumSquares16(x, at, n, table);
  type Rows = Float64Array;
  return {
    check: sumSquares,
    sumSquares,
    reduce(
      g: Uint16Array,
      at: number,
      rows: number,
      cols: number,
      r: Rows,
      rowAt: number,
      c: Rows,
      colAt: number,
    ): void {
      matrix16.reduce(g, at, rows, cols, r, rowAt, c, colAt, false, table);
    },
    measure(
      g: Uint16Array,
      at: number,
      rows: number,
      cols: number,
      r: Rows,
      rowAt: number,
      c: Rows,
      colAt: number,
      sum: number,
    ): number {
      return matrix16.measure(g, at, rows, cols, r, rowAt, c, colAt, sum, false, table);
    },
    apply(
      p: Uint16Array,
      g: Uint16Array,
      at: number,
      rows: number,
      cols: number,
      r: Rows,
      rowAt: number,
      c: Rows,
      colAt: number,
      keep: number,
    ): void {
      matrix16.apply(p, g, at, rows, cols, r, rowAt, c, colAt, keep, table, out);
    },
    applyMomentum(
      p: Uint16Array,
      g: Uint16Array,
      at: number,
      m: Float32Array,
      mAt: number,
      rows: number,
      cols: number,
      r: Rows,
      rowAt: number,
      c: Rows,
      colAt: number,
      keep: number,
      beta1: number,
    ): void {
      matrix16.applyMomentum(p, g, at, m, mAt, rows, cols, r, rowAt, c, colAt, keep, beta1, table, out);
    },
  };
}

/** The fast path; its tables, 256 KiB a format, are made when they are first needed. */
function fastPath(): SixteenPath {
  let float16: Uint32Array | undefined;
  let numbersOfBfloat16: Float32Array | undefined;
  const table16 = (): Uint32Array => (float16 ??= tableOfFloat16());
  const numbers = (half: boolean): Float32Array =>
    half
      ? new Float32Array(table16().buffer)
      : (numbersOfBfloat16 ??= new Float32Array(Uint32Array.from({ length: 65536 }, (_, bits) => bits << 16).buffer));
  return {
    widen(half, bits, at, length, words) {
      const pairs = pairsOf(bits);
      if (half) widenFloat16(bits, pairs, at, length, words, table16());
      else widenBfloat16(bits, pairs, at, length, words);
    },
    narrow(half, words, length, bits, at) {
      if (half) narrowFloat16(words, length, bits, at);
      else narrowBfloat16(words, length, bits, at);
    },
    lookUp: (half, out) => lookUp(numbers(half), out),
  };
}

/** Puts the loops of this file in place of the plain ones. */
export function useFastSixteen(): void {
  if (sixteen.lookUp === undefined) Object.assign(sixteen, fastPath());
}
