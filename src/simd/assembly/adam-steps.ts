/** AdamW's loops. `loops/adam.ts` has the reference. */

import { one, putOne, putTwo, putTwoAt2, two, twoAt2 } from './pairs';

/**
 * M and V of two elements: M + (1−β₁)(G − M), `swapped` G − β₁(G − M) with β₁ for `rest1`;
 * β₂V + (1−β₂)G².
 */
@inline
function firstOf(swapped: bool, m: v128, a: v128, rest1: v128): v128 {
  const product = f64x2.mul(rest1, f64x2.sub(a, m));
  return swapped ? f64x2.sub(a, product) : f64x2.add(m, product);
}

@inline
function secondOf(v: v128, a: v128, beta2: v128, rest2: v128): v128 {
  return f64x2.add(f64x2.mul(beta2, v), f64x2.mul(f64x2.mul(rest2, a), a));
}

/** keepBefore · P − scale · M / (√V + ε) of two elements. */
@inline
function stepped(p: v128, first: v128, root: v128, scale: v128, eps: v128, before: v128): v128 {
  return f64x2.sub(f64x2.mul(before, p), f64x2.div(f64x2.mul(scale, first), f64x2.add(f64x2.sqrt(root), eps)));
}

/** The larger of two elements so far; NaN stays NaN. */
@inline
function most(old: v128, second: v128): v128 {
  return v128.bitselect(old, second, v128.or(f64x2.ge(old, second), f64x2.ne(old, old)));
}

/**
 * Four elements. With largest = 0 it is Adam, else AMSGrad; `plain`: sign and keepAfter are 1 and
 * need no product, and M is not `swapped`.
 */
@inline
function adamFour<T>(
  plain: bool, swapped: bool,
  p: usize, g: usize, m: usize, v: usize, largest: usize,
  sign: v128, rest1: v128, beta2: v128, rest2: v128, scale: v128, eps: v128, before: v128, after: v128,
): void {
  let a0 = two<T>(g);
  let a1 = twoAt2<T>(g);
  if (!plain) {
    a0 = f64x2.mul(sign, a0);
    a1 = f64x2.mul(sign, a1);
  }
  const first0 = firstOf(!plain && swapped, two<T>(m), a0, rest1);
  const first1 = firstOf(!plain && swapped, twoAt2<T>(m), a1, rest1);
  const second0 = secondOf(two<T>(v), a0, beta2, rest2);
  const second1 = secondOf(twoAt2<T>(v), a1, beta2, rest2);
  let root0 = second0;
  let root1 = second1;
  if (largest != 0) {
    root0 = most(two<T>(largest), second0);
    root1 = most(twoAt2<T>(largest), second1);
  }
  let x0 = stepped(two<T>(p), first0, root0, scale, eps, before);
  let x1 = stepped(twoAt2<T>(p), first1, root1, scale, eps, before);
  if (!plain) {
    x0 = f64x2.mul(x0, after);
    x1 = f64x2.mul(x1, after);
  }
  putTwo<T>(m, first0);
  putTwoAt2<T>(m, first1);
  putTwo<T>(v, second0);
  putTwoAt2<T>(v, second1);
  if (largest != 0) {
    putTwo<T>(largest, root0);
    putTwoAt2<T>(largest, root1);
  }
  putTwo<T>(p, x0);
  putTwoAt2<T>(p, x1);
}

/** With largest = 0 it is Adam, else AMSGrad. */
@inline
export function adam<T>(
  p: usize, g: usize, m: usize, v: usize, largest: usize, length: i32,
  sign: f64, rest1: f64, beta2: f64, rest2: f64, scale: f64, eps: f64, before: f64, after: f64,
): void {
  const swapped = rest1 > 0.5;
  const r1 = f64x2.splat(swapped ? 1 - rest1 : rest1);
  const b2 = f64x2.splat(beta2);
  const r2 = f64x2.splat(rest2);
  const c = f64x2.splat(scale);
  const e = f64x2.splat(eps);
  const kb = f64x2.splat(before);
  const s = f64x2.splat(sign);
  const ka = f64x2.splat(after);
  const end = p + (length >> 2) * (4 * sizeof<T>());
  if (p != end) {
    if (sign != 1 || after != 1 || swapped) {
      do {
        adamFour<T>(false, swapped, p, g, m, v, largest, s, r1, b2, r2, c, e, kb, ka);
        p += 4 * sizeof<T>();
        g += 4 * sizeof<T>();
        m += 4 * sizeof<T>();
        v += 4 * sizeof<T>();
        if (largest != 0) largest += 4 * sizeof<T>();
      } while (p != end);
    } else if (largest == 0) {
      do {
        adamFour<T>(true, false, p, g, m, v, 0, s, r1, b2, r2, c, e, kb, ka);
        p += 4 * sizeof<T>();
        g += 4 * sizeof<T>();
        m += 4 * sizeof<T>();
        v += 4 * sizeof<T>();
      } while (p != end);
    } else {
      do {
        adamFour<T>(true, false, p, g, m, v, largest, s, r1, b2, r2, c, e, kb, ka);
        p += 4 * sizeof<T>();
        g += 4 * sizeof<T>();
        m += 4 * sizeof<T>();
        v += 4 * sizeof<T>();
        largest += 4 * sizeof<T>();
      } while (p != end);
    }
  }
  for (let k = length & 3; k > 0; k--) {
    const a = sign * one<T>(g);
    const m0 = one<T>(m);
    const first = swapped ? a - (1 - rest1) * (a - m0) : m0 + rest1 * (a - m0);
    const second = beta2 * one<T>(v) + rest2 * a * a;
    let root = second;
    if (largest != 0) {
      const old = one<T>(largest);
      if (old >= second || old != old) root = old;
      putOne<T>(largest, root);
    }
    putOne<T>(m, first);
    putOne<T>(v, second);
    putOne<T>(p, (before * one<T>(p) - scale * first / (sqrt<f64>(root) + eps)) * after);
    p += sizeof<T>();
    g += sizeof<T>();
    m += sizeof<T>();
    v += sizeof<T>();
    if (largest != 0) largest += sizeof<T>();
  }
}
