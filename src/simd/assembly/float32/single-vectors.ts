/**
 * Adafactor's loops over vectors in float32: S = G² + ε₁, V ← V + (1 − β)(S − V), or where β is
 * less than one half S + β(V − S); the sum of G² / V, and P ← P − (λP + (G / √V) s), through the
 * first moment M ← β₁M + (G / √V) s where there is one. A square of less than 2^-110 counts as 0.
 * An element whose V is not below 2^126 then is done in double, as `loops/vector.ts` does all of
 * them.
 */

import { MAGNITUDE, MOMENT_LEAST, MOST, inRegister, partial } from './lanes';

@inline
function squares(g: v128, magnitude: v128, least: v128): v128 {
  const x = v128.and(g, i32x4.gt_s(v128.and(g, magnitude), least));
  return f32x4.mul(x, x);
}

@inline
function average(swap: bool, v: v128, s: v128, rest: v128): v128 {
  return swap
    ? f32x4.add(s, f32x4.mul(rest, f32x4.sub(v, s)))
    : f32x4.add(v, f32x4.mul(rest, f32x4.sub(s, v)));
}

/** Spans of 256 elements as in `row-squares.ts`, each added to `total`. */
@inline
export function measureSingle(
  g: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, total: f64, place: usize,
): f64 {
  const magnitude = inRegister(MAGNITUDE, place);
  const least = inRegister(MOMENT_LEAST, place);
  const swap = beta < 0.5;
  const r = f32x4.splat(<f32>(swap ? beta : rest));
  const e = f32x4.splat(<f32>eps);
  while (length > 0) {
    const span = min(length, 256);
    length -= span;
    let lanes = f32x4.splat(0);
    let k = span;
    for (; k > 3; k -= 4) {
      const q = squares(v128.load(g), magnitude, least);
      const s = f32x4.add(q, e);
      const x = v128.load(v);
      lanes = f32x4.add(lanes, f32x4.div(q, swap ? average(true, x, s, r) : average(false, x, s, r)));
      g += 16;
      v += 16;
    }
    if (k > 0) {
      const q = squares(partial(g, k), magnitude, least);
      const s = f32x4.add(q, e);
      const x = partial(v, k);
      const u = f32x4.div(q, swap ? average(true, x, s, r) : average(false, x, s, r));
      lanes = f32x4.add(lanes, v128.and(u, i32x4.gt_s(i32x4.splat(k), i32x4(0, 1, 2, 3))));
    }
    const pair = f64x2.promote_low_f32x4(f32x4.add(lanes, v128.shuffle<i64>(lanes, lanes, 1, 1)));
    total += f64x2.extract_lane(pair, 0) + f64x2.extract_lane(pair, 1);
  }
  return total;
}

/** Address of the weights at which it stopped, as in `single-adam.ts`. */
@inline
function whole(
  swap: bool, plain: bool, momentum: bool, p: usize, g: usize, m: usize, v: usize, end: usize,
  rest: f32, eps: f32, scale: f32, lambda: f32, beta1: f32, place: usize,
): usize {
  const magnitude = inRegister(MAGNITUDE, place);
  const least = inRegister(MOMENT_LEAST, place);
  const most = f32x4.splat(MOST);
  const r = f32x4.splat(rest);
  const e = f32x4.splat(eps);
  const c = f32x4.splat(scale);
  const l = f32x4.splat(lambda);
  const b1 = f32x4.splat(beta1);
  do {
    const a = v128.load(g);
    const second = average(swap, v128.load(v), f32x4.add(squares(a, magnitude, least), e), r);
    if (i32x4.bitmask(f32x4.lt(second, most)) != 15) break;
    v128.store(v, second);
    let u = f32x4.mul(f32x4.div(a, f32x4.sqrt(second)), c);
    if (momentum) {
      u = f32x4.add(f32x4.mul(b1, v128.load(m)), u);
      v128.store(m, u);
      m += 16;
    }
    const w = v128.load(p);
    v128.store(p, f32x4.sub(w, plain ? u : f32x4.add(f32x4.mul(l, w), u)));
    p += 16;
    g += 16;
    v += 16;
  } while (p != end);
  return p;
}

/** One element, in float32 or in double, as it has to be. */
function one(
  p: usize, g: usize, m: usize, v: usize, beta: f64, rest: f64, eps: f64, scale: f64, keep: f64, beta1: f64,
): void {
  const a = load<f32>(g);
  const w = load<f32>(p);
  const v0 = load<f32>(v);
  const s: f32 = (abs<f32>(a) < 2.7755575615628914e-17 ? 0 : a * a) + <f32>eps;
  const second = beta < 0.5 ? s + <f32>beta * (v0 - s) : v0 + <f32>rest * (s - v0);
  if (second < MOST) {
    store<f32>(v, second);
    let u = (a / sqrt<f32>(second)) * <f32>scale;
    if (m != 0) {
      u = <f32>beta1 * load<f32>(m) + u;
      store<f32>(m, u);
    }
    store<f32>(p, keep == 1 ? w - u : w - (<f32>(1 - keep) * w + u));
    return;
  }
  const x = <f64>a;
  const exact = beta * <f64>v0 + rest * (x * x + eps);
  store<f32>(v, <f32>exact);
  let u = (x / sqrt<f64>(exact)) * scale;
  if (m != 0) {
    u = beta1 * <f64>load<f32>(m) + u;
    store<f32>(m, <f32>u);
  }
  store<f32>(p, <f32>(keep * <f64>w - u));
}

/** With m = 0 there is no momentum. The numbers are those of `loops/vector.ts`. */
@inline
export function stepVector(
  p: usize, g: usize, m: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, scale: f64, keep: f64,
  beta1: f64, place: usize,
): void {
  const swap = beta < 0.5;
  const r = <f32>(swap ? beta : rest);
  const l = <f32>(1 - keep);
  const end = p + ((length & -4) << 2);
  const last = p + (length << 2);
  while (p != last) {
    const from = p;
    if (p < end) {
      p = loop(swap, keep == 1, m != 0, p, g, m, v, end, r, <f32>eps, <f32>scale, l, <f32>beta1, place);
      g += p - from;
      v += p - from;
      if (m != 0) m += p - from;
    }
    for (const to = min(p + 16, last); p < to; p += 4) {
      one(p, g, m, v, beta, rest, eps, scale, keep, beta1);
      g += 4;
      v += 4;
      if (m != 0) m += 4;
    }
  }
}

/** Root and quotient take so long that the cases may be told apart in every round. */
function loop(
  swap: bool, plain: bool, momentum: bool, p: usize, g: usize, m: usize, v: usize, end: usize,
  rest: f32, eps: f32, scale: f32, lambda: f32, beta1: f32, place: usize,
): usize {
  return whole(swap, plain, momentum, p, g, m, v, end, rest, eps, scale, lambda, beta1, place);
}
