/** 16-bit numbers to float32 and back. `sixteen/` and `core/sixteen-bits.ts` have the reference. */

/**
 * A constant in a register for a whole loop, by way of `place`: four bytes that no other thread
 * writes. V8 (Node 20.20) builds a v128 constant anew in every round: float16 is widened at 0.72 ns
 * per element that way, at 0.41 with constants that come from memory.
 */
@inline
function held(constant: i32, place: usize): v128 {
  store<i32>(place, constant);
  return v128.load32_splat(place);
}

/** `length`, a multiple of 8, bfloat16 numbers as float32: the upper half of each. */
@inline
export function widenBrains(bits: usize, out: usize, length: i32): void {
  for (let k = length; k > 0; k -= 8) {
    const x = v128.load(bits);
    v128.store(out, i32x4.shl(i32x4.extend_low_i16x8_u(x), 16));
    v128.store(out, i32x4.shl(i32x4.extend_high_i16x8_u(x), 16), 16);
    bits += 16;
    out += 32;
  }
}

/**
 * Four float16 numbers in 32 bits each. A normal one has its exponent raised by 112, a subnormal
 * one is its bits times 2^-24: unlike the one multiplication by 2^112 of the TypeScript loops,
 * which gives the same, it has no subnormal operand, which is slow.
 */
@inline
function widenHalf(x: v128, rest: v128, raise: v128, unit: v128, infinity: v128, least: v128, most: v128): v128 {
  const sign = i32x4.shl(i32x4.shr_u(x, 15), 31);
  const magnitude = v128.and(x, rest);
  const shifted = i32x4.shl(magnitude, 13);
  const small = f32x4.mul(f32x4.convert_i32x4_s(magnitude), unit);
  const finite = v128.bitselect(small, i32x4.add(shifted, raise), i32x4.lt_s(magnitude, least));
  return v128.or(sign, v128.bitselect(v128.or(shifted, infinity), finite, i32x4.gt_s(magnitude, most)));
}

@inline
export function widenHalves(bits: usize, out: usize, length: i32, place: usize): void {
  const rest = held(0x7fff, place);
  const raise = held(0x38000000, place);
  const unit = held(0x33800000, place);
  const infinity = held(0x7f800000, place);
  const least = held(0x400, place);
  const largest = held(0x7bff, place);
  for (let k = length; k > 0; k -= 8) {
    const x = v128.load(bits);
    v128.store(out, widenHalf(i32x4.extend_low_i16x8_u(x), rest, raise, unit, infinity, least, largest));
    v128.store(out, widenHalf(i32x4.extend_high_i16x8_u(x), rest, raise, unit, infinity, least, largest), 16);
    bits += 16;
    out += 32;
  }
}

/** bfloat16Bits of core/sixteen-bits.ts. */
@inline
function narrowBrain(x: v128, half: v128, quiet: v128, infinity: v128): v128 {
  const upper = i32x4.shr_u(x, 16);
  const odd = i32x4.shr_u(i32x4.shl(x, 15), 31);
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(x, half), odd), 16);
  const nan = i32x4.gt_s(i32x4.shr_u(i32x4.shl(x, 1), 1), infinity);
  return v128.bitselect(v128.or(upper, quiet), rounded, nan);
}

/** `length`, a multiple of 8, float32 numbers rounded to bfloat16. */
@inline
export function narrowBrains(words: usize, bits: usize, length: i32, place: usize): void {
  const half = held(0x7fff, place);
  const quiet = held(0x40, place);
  const infinity = held(0x7f800000, place);
  for (let k = length; k > 0; k -= 8) {
    const low = narrowBrain(v128.load(words), half, quiet, infinity);
    const high = narrowBrain(v128.load(words, 16), half, quiet, infinity);
    v128.store(bits, i16x8.narrow_i32x4_u(low, high));
    words += 32;
    bits += 16;
  }
}

/** float16BitsOf of core/sixteen-bits.ts. */
@inline
function narrowHalf(
  x: v128, sign: v128, lower: v128, half: v128, least: v128, beyond: v128, infinity: v128,
  payload: v128, quiet: v128, most: v128,
): v128 {
  const magnitude = i32x4.shr_u(i32x4.shl(x, 1), 1);
  const upper = i32x4.shr_u(magnitude, 13);
  const odd = i32x4.shr_u(i32x4.shl(x, 18), 31);
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(magnitude, lower), odd), 13);
  const small = i32x4.sub(f32x4.add(magnitude, half), half);
  let bits = v128.bitselect(small, normal, i32x4.lt_s(magnitude, least));
  bits = v128.bitselect(most, bits, i32x4.gt_s(magnitude, beyond));
  bits = v128.bitselect(v128.or(v128.and(upper, payload), quiet), bits, i32x4.gt_s(magnitude, infinity));
  return v128.or(v128.and(i32x4.shr_u(x, 16), sign), bits);
}

@inline
export function narrowHalves(words: usize, bits: usize, length: i32, place: usize): void {
  const sign = held(0x8000, place);
  const lower = held(0xfff - 0x38000000, place);
  const half = held(0x3f000000, place);
  const least = held(0x38800000, place);
  const beyond = held(0x477fefff, place);
  const infinity = held(0x7f800000, place);
  const payload = held(0x1ff, place);
  const quiet = held(0x7e00, place);
  const most = held(0x7c00, place);
  for (let k = length; k > 0; k -= 8) {
    const low = narrowHalf(v128.load(words), sign, lower, half, least, beyond, infinity, payload, quiet, most);
    const high = narrowHalf(v128.load(words, 16), sign, lower, half, least, beyond, infinity, payload, quiet, most);
    v128.store(bits, i16x8.narrow_i32x4_u(low, high));
    words += 32;
    bits += 16;
  }
}
