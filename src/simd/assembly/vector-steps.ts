/** Adafactor's loops over vectors. `loops/vector.ts` has the reference. */

import { two, twoAt2, twoAt4, twoAt6, one, putTwo, putOne } from './pairs';
import { joined } from './flat-sums';

@inline
function ratio(g: v128, v: v128, beta: v128, rest: v128, eps: v128): v128 {
  const square = f64x2.mul(g, g);
  return f64x2.div(square, f64x2.add(f64x2.mul(beta, v), f64x2.mul(rest, f64x2.add(square, eps))));
}

@inline
export function measureVector<T>(
  g: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, lanes: usize, first: i32,
): f64 {
  const b = f64x2.splat(beta);
  const r = f64x2.splat(rest);
  const e = f64x2.splat(eps);
  let l0 = f64x2.splat(0);
  let l1 = l0;
  let l2 = l0;
  let l3 = l0;
  if (!first) {
    l0 = v128.load(lanes);
    l1 = v128.load(lanes, 16);
    l2 = v128.load(lanes, 32);
    l3 = v128.load(lanes, 48);
  }
  const all = lanes;
  let k = length;
  for (; k > 7; k -= 8) {
    l0 = f64x2.add(l0, ratio(two<T>(g), two<T>(v), b, r, e));
    l1 = f64x2.add(l1, ratio(twoAt2<T>(g), twoAt2<T>(v), b, r, e));
    l2 = f64x2.add(l2, ratio(twoAt4<T>(g), twoAt4<T>(v), b, r, e));
    l3 = f64x2.add(l3, ratio(twoAt6<T>(g), twoAt6<T>(v), b, r, e));
    g += 8 * sizeof<T>();
    v += 8 * sizeof<T>();
  }
  v128.store(lanes, l0);
  v128.store(lanes, l1, 16);
  v128.store(lanes, l2, 32);
  v128.store(lanes, l3, 48);
  for (; k > 0; k--) {
    const square = one<T>(g) * one<T>(g);
    store<f64>(lanes, load<f64>(lanes) + square / (beta * one<T>(v) + rest * (square + eps)));
    g += sizeof<T>();
    v += sizeof<T>();
    lanes += 8;
  }
  return joined(all);
}

/** With m = 0 there is no momentum. */
@inline
export function applyVector<T>(
  p: usize, g: usize, m: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, scale: f64,
  keep: f64, beta1: f64,
): void {
  const b = f64x2.splat(beta);
  const r = f64x2.splat(rest);
  const e = f64x2.splat(eps);
  const s = f64x2.splat(scale);
  const kk = f64x2.splat(keep);
  const b1 = f64x2.splat(beta1);
  const momentum = m != 0;
  let k = length;
  for (; k > 1; k -= 2) {
    const a = two<T>(g);
    const second = f64x2.add(f64x2.mul(b, two<T>(v)), f64x2.mul(r, f64x2.add(f64x2.mul(a, a), e)));
    putTwo<T>(v, second);
    let u = f64x2.mul(f64x2.div(a, f64x2.sqrt(second)), s);
    if (momentum) {
      u = f64x2.add(f64x2.mul(b1, two<T>(m)), u);
      putTwo<T>(m, u);
      m += 2 * sizeof<T>();
    }
    putTwo<T>(p, f64x2.sub(f64x2.mul(kk, two<T>(p)), u));
    p += 2 * sizeof<T>();
    g += 2 * sizeof<T>();
    v += 2 * sizeof<T>();
  }
  if (k > 0) {
    const a = one<T>(g);
    const second = beta * one<T>(v) + rest * (a * a + eps);
    putOne<T>(v, second);
    let u = (a / sqrt<f64>(second)) * scale;
    if (momentum) {
      u = beta1 * one<T>(m) + u;
      putOne<T>(m, u);
    }
    putOne<T>(p, keep * one<T>(p) - u);
  }
}
