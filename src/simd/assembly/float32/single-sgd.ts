/**
 * SGD in float32: A ← ±G + decay · P, M ← momentum · M + rest · A, P ← P − lr · A, lr · M or,
 * with Nesterov's momentum, lr (A + ahead · M). An element whose weight is not below 2^126 then
 * is done in double, as `loops/momentum.ts` does all of them.
 */

import { MOST, tame } from './lanes';

/** Address of the weights at which it stopped, as in `single-adam.ts`. */
@inline
function whole(
  momentum: bool, nesterov: bool, p: usize, g: usize, m: usize, end: usize,
  sign: f32, decay: f32, lr: f32, beta: f32, rest: f32, ahead: f32,
): usize {
  const most = f32x4.splat(MOST);
  const c = f32x4.splat(sign);
  const d = f32x4.splat(decay);
  const s = f32x4.splat(lr);
  const b = f32x4.splat(beta);
  const r = f32x4.splat(rest);
  const h = f32x4.splat(ahead);
  do {
    const p0 = v128.load(p);
    const p1 = v128.load(p, 16);
    const a0 = f32x4.add(f32x4.mul(c, v128.load(g)), f32x4.mul(d, p0));
    const a1 = f32x4.add(f32x4.mul(c, v128.load(g, 16)), f32x4.mul(d, p1));
    let u0 = a0;
    let u1 = a1;
    if (momentum) {
      u0 = f32x4.add(f32x4.mul(b, v128.load(m)), f32x4.mul(r, a0));
      u1 = f32x4.add(f32x4.mul(b, v128.load(m, 16)), f32x4.mul(r, a1));
    }
    const m0 = u0;
    const m1 = u1;
    if (nesterov) {
      u0 = f32x4.add(a0, f32x4.mul(h, u0));
      u1 = f32x4.add(a1, f32x4.mul(h, u1));
    }
    const x0 = f32x4.sub(p0, f32x4.mul(s, u0));
    const x1 = f32x4.sub(p1, f32x4.mul(s, u1));
    if (!tame(x0, x1, most)) break;
    if (momentum) {
      v128.store(m, m0);
      v128.store(m, m1, 16);
      m += 32;
    }
    v128.store(p, x0);
    v128.store(p, x1, 16);
    p += 32;
    g += 32;
  } while (p != end);
  return p;
}

/** One element, in float32 or in double, as it has to be. */
function one(
  momentum: bool, nesterov: bool, p: usize, g: usize, m: usize,
  sign: f64, decay: f64, lr: f64, beta: f64, rest: f64, ahead: f64,
): void {
  const w = load<f32>(p);
  const a = <f32>sign * load<f32>(g) + <f32>decay * w;
  const old: f32 = momentum ? load<f32>(m) : 0;
  const next = momentum ? <f32>beta * old + <f32>rest * a : a;
  const x = w - <f32>lr * (nesterov ? a + <f32>ahead * next : next);
  if (abs<f32>(x) < MOST) {
    if (momentum) store<f32>(m, next);
    store<f32>(p, x);
    return;
  }
  const b = sign * <f64>load<f32>(g) + decay * <f64>w;
  const moment = momentum ? beta * <f64>old + rest * b : b;
  if (momentum) store<f32>(m, <f32>moment);
  store<f32>(p, <f32>(<f64>w - lr * (nesterov ? b + ahead * moment : moment)));
}

/** With m = 0 there is no momentum. The numbers are those of `loops/momentum.ts`. */
@inline
export function sgdSingle(
  p: usize, g: usize, m: usize, length: i32,
  sign: f64, decay: f64, lr: f64, beta: f64, rest: f64, ahead: f64, nesterov: i32,
): void {
  const momentum = m != 0;
  const end = p + ((length & -8) << 2);
  const last = p + (length << 2);
  while (p != last) {
    const from = p;
    if (p < end) {
      p = !momentum
        ? whole(false, false, p, g, m, end, <f32>sign, <f32>decay, <f32>lr, 0, 0, 0)
        : nesterov == 0
          ? whole(true, false, p, g, m, end, <f32>sign, <f32>decay, <f32>lr, <f32>beta, <f32>rest, 0)
          : whole(true, true, p, g, m, end, <f32>sign, <f32>decay, <f32>lr, <f32>beta, <f32>rest, <f32>ahead);
      g += p - from;
      if (momentum) m += p - from;
    }
    for (const to = min(p + 32, last); p < to; p += 4) {
      one(momentum, nesterov != 0, p, g, m, sign, decay, lr, beta, rest, ahead);
      g += 4;
      if (momentum) m += 4;
    }
  }
}
