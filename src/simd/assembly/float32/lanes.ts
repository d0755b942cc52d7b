/** Four elements in float32, and what the loops of this level share. */

/** Bits of a number but for its sign. */
export const MAGNITUDE: i32 = 0x7fffffff;
/** The bits of 2^-55 and of 2^-60, less one. */
export const MOMENT_LEAST: i32 = 0x23ffffff;
export const GROUP_LEAST: i32 = 0x217fffff;

/** 2^126: what is not below it has gone beyond what float32 can tell. */
export const MOST: f32 = 85070591730234615865843651857942052864.0;

/** The first two and the last two of four elements as doubles, and four doubles rounded. */
@inline
export function low(x: v128): v128 {
  return f64x2.promote_low_f32x4(x);
}

@inline
export function high(x: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 1));
}

@inline
export function narrowed(x: v128, y: v128): v128 {
  return v128.shuffle<i64>(f32x4.demote_f64x2_zero(x), f32x4.demote_f64x2_zero(y), 0, 2);
}

/** A constant in a register for a whole loop; see `held` of `sixteen-lanes.ts`. */
@inline
export function inRegister(constant: i32, place: usize): v128 {
  store<i32>(place, constant);
  return v128.load32_splat(place);
}

/** The first one to three elements, +0 in the other lanes. */
export function partial(at: usize, n: i32): v128 {
  if (n == 1) return v128.load32_zero(at);
  const pair = v128.load64_zero(at);
  return n == 2 ? pair : v128.load32_lane(at, pair, 2, 8);
}

/** Whether all lanes of both are less than 2^126 in magnitude, and none is NaN. */
@inline
export function tame(x: v128, y: v128, most: v128): bool {
  return i32x4.bitmask(v128.and(f32x4.lt(f32x4.abs(x), most), f32x4.lt(f32x4.abs(y), most))) == 15;
}
