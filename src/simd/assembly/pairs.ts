/** Two elements as doubles, from memory and into it. T is f32 or f64. */

@inline
export function two<T>(at: usize): v128 {
  if (sizeof<T>() == 4) return f64x2.promote_low_f32x4(v128.load64_zero(at));
  return v128.load(at);
}

// The pairs after it: an offset must be a literal, and added to the address it costs an
// instruction.
@inline
export function twoAt2<T>(at: usize): v128 {
  if (sizeof<T>() == 4) return f64x2.promote_low_f32x4(v128.load64_zero(at, 2 * sizeof<T>()));
  return v128.load(at, 2 * sizeof<T>());
}

@inline
export function twoAt4<T>(at: usize): v128 {
  if (sizeof<T>() == 4) return f64x2.promote_low_f32x4(v128.load64_zero(at, 4 * sizeof<T>()));
  return v128.load(at, 4 * sizeof<T>());
}

@inline
export function twoAt6<T>(at: usize): v128 {
  if (sizeof<T>() == 4) return f64x2.promote_low_f32x4(v128.load64_zero(at, 6 * sizeof<T>()));
  return v128.load(at, 6 * sizeof<T>());
}

@inline
export function one<T>(at: usize): f64 {
  return <f64>load<T>(at);
}

@inline
export function putTwo<T>(at: usize, x: v128): void {
  if (sizeof<T>() == 4) v128.store64_lane(at, f32x4.demote_f64x2_zero(x), 0);
  else v128.store(at, x);
}

@inline
export function putTwoAt2<T>(at: usize, x: v128): void {
  if (sizeof<T>() == 4) v128.store64_lane(at, f32x4.demote_f64x2_zero(x), 0, 2 * sizeof<T>());
  else v128.store(at, x, 2 * sizeof<T>());
}

@inline
export function putTwoAt4<T>(at: usize, x: v128): void {
  if (sizeof<T>() == 4) v128.store64_lane(at, f32x4.demote_f64x2_zero(x), 0, 4 * sizeof<T>());
  else v128.store(at, x, 4 * sizeof<T>());
}

@inline
export function putTwoAt6<T>(at: usize, x: v128): void {
  if (sizeof<T>() == 4) v128.store64_lane(at, f32x4.demote_f64x2_zero(x), 0, 6 * sizeof<T>());
  else v128.store(at, x, 6 * sizeof<T>());
}

@inline
export function putOne<T>(at: usize, x: f64): void {
  store<T>(at, <T>x);
}
