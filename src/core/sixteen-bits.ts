/**
 * bfloat16 and float16 numbers as the optimizers need them: to float32 bits and back, one by one.
 *
 * Everything goes through the bits of a float32: bfloat16 is its upper half, float16 a shorter form
 * of it. Widening is exact; narrowing rounds to nearest, ties to even, or stochastically.
 */

/** One float32 and its bits. */
const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/**
 * float32 bits to bfloat16 bits, ties to even; a NaN keeps its sign and upper payload and becomes
 * quiet.
 */
export function bfloat16Bits(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/**
 * float32 bits to float16 bits, ties to even; a NaN keeps its sign and upper payload and becomes
 * quiet.
 */
export function float16BitsOf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x38800000) {
    // Normal in float16, or too large for it.
    if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
    if (magnitude >= 0x477ff000) return sign | 0x7c00;
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  // Subnormal: the last bit is worth 2^-24, as that of a float32 between 0.5 and 1, so one addition
  // rounds.
  word[0] = magnitude;
  float[0] = float[0]! + 0.5;
  return sign | (word[0]! - 0x3f000000);
}

/** float16 bits to float32 bits, exact. */
export function float32BitsOfFloat16(half: number): number {
  const sign = (half & 0x8000) << 16;
  const magnitude = half & 0x7fff;
  if (magnitude >= 0x7c00) return (sign | 0x7f800000 | ((magnitude & 0x3ff) << 13)) >>> 0;
  // Exponent bias 15 in 2^-14 units becomes 127 by one exact multiplication, which also normalises
  // subnormals.
  word[0] = magnitude << 13;
  float[0] = float[0]! * 2 ** 112;
  return (word[0]! | sign) >>> 0;
}

/** 16-bit numbers to float32 bits and back, over ranges; `half`: float16, else bfloat16. */
export interface LoopsSixteen {
  /** The numbers at `bits[at]` and after it, as float32 bits into `words` from 0. */
  widen(half: boolean, bits: Uint16Array, at: number, length: number, words: Uint32Array): void;
  /** Rounds float32 numbers, given by their bits from `words[0]` on, into `bits` from `at`. */
  narrow(half: boolean, words: Uint32Array, length: number, bits: Uint16Array, at: number): void;
}

/** One number after the other. */
export const plainSixteen: LoopsSixteen = {
  widen(half, bits, at, length, words) {
    for (let k = 0; k < length; k++) {
      const x = bits[at + k]!;
      words[k] = half ? float32BitsOfFloat16(x) : x << 16;
    }
  },
  narrow(half, words, length, bits, at) {
    for (let k = 0; k < length; k++) bits[at + k] = half ? float16BitsOf(words[k]!) : bfloat16Bits(words[k]!);
  },
};

/** Conversions, and loops that look each number up in a table instead of having them widened. */
export interface SixteenPath extends LoopsSixteen {
  /** The loops by name, for numbers of a format, with new weights written to `out` from 0. */
  lookUp?(half: boolean, out: Float32Array): Readonly<Record<string, unknown>>;
}

/**
 * The path in use. `useFastSixteen` of `sixteen/fast.ts` replaces the plain one by faster loops
 * with the same bits; the public conversions call it, so that a program without them does not carry
 * it.
 */
export const sixteen: SixteenPath = { ...plainSixteen };

/** The numbers that 16-bit patterns stand for. */
export function widened(bits: Uint16Array, half: boolean): Float32Array {
  const result = new Float32Array(bits.length);
  sixteen.widen(half, bits, 0, bits.length, new Uint32Array(result.buffer));
  return result;
}

/**
 * As `narrow`, but up with a probability equal to the discarded fraction: the bits to be cut have
 * as many random bits added. Beyond the largest finite number there is no upper neighbour to go to;
 * there it rounds to nearest.
 */
export function narrowRandom(
  half: boolean,
  words: Uint32Array,
  length: number,
  bits: Uint16Array,
  at: number,
  random: Uint32Array,
): void {
  for (let k = 0; k < length; k++) {
    const x = words[k]!;
    const magnitude = x & 0x7fffffff;
    const sign = (x >>> 16) & 0x8000;
    if (!half) bits[at + k] = magnitude > 0x7f7f0000 ? bfloat16Bits(x) : (x + (random[k]! >>> 16)) >>> 16;
    else if (magnitude > 0x477fe000) bits[at + k] = float16BitsOf(x);
    else if (magnitude >= 0x38800000) {
      bits[at + k] = sign | ((magnitude - 0x38000000 + (random[k]! >>> 19)) >>> 13);
    } else {
      // In units of the last place, 2^-24; the sum is exact to 2^-42.
      word[0] = magnitude;
      bits[at + k] = sign | Math.floor(float[0]! * 2 ** 24 + random[k]! * 2 ** -32);
    }
  }
}
