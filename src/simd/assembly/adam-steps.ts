/** AdamW's loops. `loops/adam.ts` has the reference. */

import { two, twoAt2, putTwo, putTwoAt2 } from './pairs';

// @ts-ignore: decorator
@inline
function high(x: v128): v128 {
  return v128.shuffle<f64>(x, x, 1, 1);
}

// @ts-ignore: decorator
@inline
function most(before: v128, second: v128): v128 {
  return v128.bitselect(before, second, v128.or(f32x4.ge(before, second), f32x4.ne(before, before)));
}

/**
 * Four elements. With largest = 0 it is Adam, else AMSGrad; `plain`: sign and keepAfter are 1 and
 * need no product.
 */
// @ts-ignore: decorator
@inline
function adamFour(
  plain: bool,
  p: usize, g: usize, m: usize, v: usize, largest: usize,
  sign: v128, rest1: v128, beta2: v128, rest2: v128, scale: v128, eps: v128, before: v128, after: v128,
): void {
  let a0 = two<f32>(g);
  let a1 = twoAt2<f32>(g);
  if (!plain) {
    a0 = f64x2.mul(sign, a0);
    a1 = f64x2.mul(sign, a1);
  }
  const m0 = two<f32>(m);
  const m1 = twoAt2<f32>(m);
  const first0 = f32x4.demote_f64x2_zero(f64x2.add(m0, f64x2.mul(rest1, f64x2.sub(a0, m0))));
  const first1 = f32x4.demote_f64x2_zero(f64x2.add(m1, f64x2.mul(rest1, f64x2.sub(a1, m1))));
  const second0 = f32x4.demote_f64x2_zero(
    f64x2.add(f64x2.mul(beta2, two<f32>(v)), f64x2.mul(f64x2.mul(rest2, a0), a0)),
  );
  const second1 = f32x4.demote_f64x2_zero(
    f64x2.add(f64x2.mul(beta2, twoAt2<f32>(v)), f64x2.mul(f64x2.mul(rest2, a1), a1)),
  );
  v128.store64_lane(m, first0, 0);
  v128.store64_lane(m, first1, 0, 8);
  v128.store64_lane(v, second0, 0);
  v128.store64_lane(v, second1, 0, 8);
  const first = v128.shuffle<f64>(first0, first1, 0, 2);
  const second = v128.shuffle<f64>(second0, second1, 0, 2);
  let root = second;
  if (largest != 0) {
    root = most(v128.load(largest), second);
    v128.store(largest, root);
  }
  const q = f32x4.div(first, f32x4.add(f32x4.sqrt(root), eps));
  const u0 = f64x2.mul(scale, f64x2.promote_low_f32x4(q));
  const u1 = f64x2.mul(scale, f64x2.promote_low_f32x4(high(q)));
  let x0 = f64x2.sub(f64x2.mul(before, two<f32>(p)), u0);
  let x1 = f64x2.sub(f64x2.mul(before, twoAt2<f32>(p)), u1);
  if (!plain) {
    x0 = f64x2.mul(x0, after);
    x1 = f64x2.mul(x1, after);
  }
  putTwo<f32>(p, x0);
  putTwoAt2<f32>(p, x1);
}

/** `scratch`: 80 zeroed bytes, through which the last one to three elements go. */
// @ts-ignore: decorator
@inline
export function adamFloat(
  p: usize, g: usize, m: usize, v: usize, largest: usize, length: i32,
  sign: f64, rest1: f64, beta2: f64, rest2: f64, scale: f64, eps: f64, before: f64, after: f64, scratch: usize,
): void {
  const s = f64x2.splat(sign);
  const r1 = f64x2.splat(rest1);
  const b2 = f64x2.splat(beta2);
  const r2 = f64x2.splat(rest2);
  const c = f64x2.splat(scale);
  const e = f32x4.splat(<f32>eps);
  const kb = f64x2.splat(before);
  const ka = f64x2.splat(after);
  let k = length;
  if (largest == 0 && sign == 1 && after == 1) {
    for (; k > 3; k -= 4) {
      adamFour(true, p, g, m, v, 0, s, r1, b2, r2, c, e, kb, ka);
      p += 16;
      g += 16;
      m += 16;
      v += 16;
    }
  } else {
    for (; k > 3; k -= 4) {
      adamFour(false, p, g, m, v, largest, s, r1, b2, r2, c, e, kb, ka);
      p += 16;
      g += 16;
      m += 16;
      v += 16;
      if (largest != 0) largest += 16;
    }
  }
  if (k > 0) {
    const bytes = (<usize>k) << 2;
    memory.copy(scratch, p, bytes);
    memory.copy(scratch + 16, g, bytes);
    memory.copy(scratch + 32, m, bytes);
    memory.copy(scratch + 48, v, bytes);
    if (largest != 0) memory.copy(scratch + 64, largest, bytes);
    const last: usize = largest == 0 ? 0 : scratch + 64;
    adamFour(false, scratch, scratch + 16, scratch + 32, scratch + 48, last, s, r1, b2, r2, c, e, kb, ka);
    memory.copy(p, scratch, bytes);
    memory.copy(m, scratch + 32, bytes);
    memory.copy(v, scratch + 48, bytes);
    if (largest != 0) memory.copy(largest, scratch + 64, bytes);
  }
}

/** In double there is no rounding to share, and scale · M is divided. Two elements. */
// @ts-ignore: decorator
@inline
function adamTwo(
  p: usize, g: usize, m: usize, v: usize, largest: usize,
  sign: v128, rest1: v128, beta2: v128, rest2: v128, scale: v128, eps: v128, before: v128, after: v128,
): void {
  const a = f64x2.mul(sign, v128.load(g));
  const m0 = v128.load(m);
  const first = f64x2.add(m0, f64x2.mul(rest1, f64x2.sub(a, m0)));
  const second = f64x2.add(f64x2.mul(beta2, v128.load(v)), f64x2.mul(f64x2.mul(rest2, a), a));
  v128.store(m, first);
  v128.store(v, second);
  let root = second;
  if (largest != 0) {
    const old = v128.load(largest);
    root = v128.bitselect(old, second, v128.or(f64x2.ge(old, second), f64x2.ne(old, old)));
    v128.store(largest, root);
  }
  const u = f64x2.div(f64x2.mul(scale, first), f64x2.add(f64x2.sqrt(root), eps));
  v128.store(p, f64x2.mul(f64x2.sub(f64x2.mul(before, v128.load(p)), u), after));
}

// @ts-ignore: decorator
@inline
export function adamDouble(
  p: usize, g: usize, m: usize, v: usize, largest: usize, length: i32,
  sign: f64, rest1: f64, beta2: f64, rest2: f64, scale: f64, eps: f64, before: f64, after: f64, scratch: usize,
): void {
  const s = f64x2.splat(sign);
  const r1 = f64x2.splat(rest1);
  const b2 = f64x2.splat(beta2);
  const r2 = f64x2.splat(rest2);
  const c = f64x2.splat(scale);
  const e = f64x2.splat(eps);
  const kb = f64x2.splat(before);
  const ka = f64x2.splat(after);
  let k = length;
  for (; k > 1; k -= 2) {
    adamTwo(p, g, m, v, largest, s, r1, b2, r2, c, e, kb, ka);
    p += 16;
    g += 16;
    m += 16;
    v += 16;
    if (largest != 0) largest += 16;
  }
  if (k > 0) {
    store<f64>(scratch, load<f64>(p));
    store<f64>(scratch, load<f64>(g), 16);
    store<f64>(scratch, load<f64>(m), 32);
    store<f64>(scratch, load<f64>(v), 48);
    if (largest != 0) store<f64>(scratch, load<f64>(largest), 64);
    const last: usize = largest == 0 ? 0 : scratch + 64;
    adamTwo(scratch, scratch + 16, scratch + 32, scratch + 48, last, s, r1, b2, r2, c, e, kb, ka);
    store<f64>(p, load<f64>(scratch));
    store<f64>(m, load<f64>(scratch, 32));
    store<f64>(v, load<f64>(scratch, 48));
    if (largest != 0) store<f64>(largest, load<f64>(scratch, 64));
  }
}
