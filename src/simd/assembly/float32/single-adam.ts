/**
 * AdamW in float32: V ← V + (1 − β₂)(G² − V), M ← M + (1 − β₁)(G − M), where β is less than one
 * half G² + β₂(V − G²) and so on, P ← P − (λP + s (M / (√V + ε))). A square of less than 2^-110
 * counts as 0. An element whose V is not below 2^126 is done in double, as `loops/adam.ts` does
 * all of them.
 *
 * Measured (Node 20.20, Intel Xeon of 2023, 65,536 elements), ns per element: 0.82, without the
 * test for small squares 0.69, without that for large ones 0.72; in double 1.9.
 *
 * Tried and refused (the same, 1024 x 1024): the four arrays touched 1 to 10 KiB ahead, a line of
 * each in every 64 to 1,024 bytes: 0.6 to 0.8 times as fast. Division and root take longer there
 * than memory does.
 */

import { MAGNITUDE, MOMENT_LEAST, MOST, inRegister } from './lanes';

@inline
function towards(swapped: bool, m: v128, x: v128, rest: v128): v128 {
  return swapped
    ? f32x4.add(x, f32x4.mul(rest, f32x4.sub(m, x)))
    : f32x4.add(m, f32x4.mul(rest, f32x4.sub(x, m)));
}

@inline
function larger(before: v128, second: v128): v128 {
  return v128.bitselect(before, second, v128.or(f32x4.ge(before, second), f32x4.ne(before, before)));
}

/**
 * Eight elements at a time until `end`, or until eight of which one is to be done in double:
 * returns the address of their weights. `general`: the cases that are rare, among them AMSGrad
 * with the `largest` V so far.
 */
@inline
function whole(
  general: bool, p: usize, g: usize, m: usize, v: usize, largest: usize, end: usize,
  sign: i32, swap1: bool, swap2: bool, rest1: f32, rest2: f32, scale: f32, eps: f32, lambda: f32, place: usize,
): usize {
  const magnitude = inRegister(MAGNITUDE, place);
  const least = inRegister(MOMENT_LEAST, place);
  const minus = i32x4.splat(sign);
  const most = f32x4.splat(MOST);
  const r1 = f32x4.splat(rest1);
  const r2 = f32x4.splat(rest2);
  const s = f32x4.splat(scale);
  const e = f32x4.splat(eps);
  const l = f32x4.splat(lambda);
  do {
    let a0 = v128.load(g);
    let a1 = v128.load(g, 16);
    if (general) {
      a0 = v128.xor(a0, minus);
      a1 = v128.xor(a1, minus);
    }
    const b0 = v128.and(a0, i32x4.gt_s(v128.and(a0, magnitude), least));
    const b1 = v128.and(a1, i32x4.gt_s(v128.and(a1, magnitude), least));
    const q0 = f32x4.mul(b0, b0);
    const q1 = f32x4.mul(b1, b1);
    let v0 = v128.load(v);
    let v1 = v128.load(v, 16);
    v0 = general && swap2 ? towards(true, v0, q0, r2) : towards(false, v0, q0, r2);
    v1 = general && swap2 ? towards(true, v1, q1, r2) : towards(false, v1, q1, r2);
    if (i32x4.bitmask(v128.and(f32x4.lt(v0, most), f32x4.lt(v1, most))) != 15) break;
    let m0 = v128.load(m);
    let m1 = v128.load(m, 16);
    m0 = general && swap1 ? towards(true, m0, a0, r1) : towards(false, m0, a0, r1);
    m1 = general && swap1 ? towards(true, m1, a1, r1) : towards(false, m1, a1, r1);
    v128.store(v, v0);
    v128.store(v, v1, 16);
    v128.store(m, m0);
    v128.store(m, m1, 16);
    if (general && largest != 0) {
      v0 = larger(v128.load(largest), v0);
      v1 = larger(v128.load(largest, 16), v1);
      v128.store(largest, v0);
      v128.store(largest, v1, 16);
      largest += 32;
    }
    const u0 = f32x4.mul(s, f32x4.div(m0, f32x4.add(f32x4.sqrt(v0), e)));
    const u1 = f32x4.mul(s, f32x4.div(m1, f32x4.add(f32x4.sqrt(v1), e)));
    const p0 = v128.load(p);
    const p1 = v128.load(p, 16);
    v128.store(p, f32x4.sub(p0, f32x4.add(f32x4.mul(l, p0), u0)));
    v128.store(p, f32x4.sub(p1, f32x4.add(f32x4.mul(l, p1), u1)), 16);
    p += 32;
    g += 32;
    m += 32;
    v += 32;
  } while (p != end);
  return p;
}

/** One element, in float32 or in double, as it has to be. */
function one(
  p: usize, g: usize, m: usize, v: usize, largest: usize,
  sign: f64, rest1: f64, beta2: f64, rest2: f64, scale: f64, eps: f64, before: f64, after: f64,
): void {
  const a = <f32>sign * load<f32>(g);
  const q: f32 = abs<f32>(a) < 2.7755575615628914e-17 ? 0 : a * a;
  const v0 = load<f32>(v);
  const second = beta2 < 0.5 ? q + <f32>beta2 * (v0 - q) : v0 + <f32>rest2 * (q - v0);
  const m0 = load<f32>(m);
  const w = load<f32>(p);
  if (second < MOST) {
    const first = rest1 > 0.5 ? a + <f32>(1 - rest1) * (m0 - a) : m0 + <f32>rest1 * (a - m0);
    let root = second;
    store<f32>(m, first);
    store<f32>(v, second);
    if (largest != 0) {
      const old = load<f32>(largest);
      if (old >= root || old != old) root = old;
      store<f32>(largest, root);
    }
    const u = <f32>(scale * after) * (first / (sqrt<f32>(root) + <f32>eps));
    store<f32>(p, w - (<f32>(1 - before * after) * w + u));
    return;
  }
  const x = <f64>a;
  const d = x - <f64>m0;
  const first = rest1 > 0.5 ? x - (1 - rest1) * d : <f64>m0 + rest1 * d;
  let root = beta2 * <f64>v0 + rest2 * x * x;
  store<f32>(m, <f32>first);
  store<f32>(v, <f32>root);
  if (largest != 0) {
    const old = <f64>load<f32>(largest);
    if (old >= root || old != old) root = old;
    store<f32>(largest, <f32>root);
  }
  store<f32>(p, <f32>((before * <f64>w - (scale * first) / (sqrt<f64>(root) + eps)) * after));
}

/** With largest = 0 it is Adam, else AMSGrad; the numbers are those of `loops/adam.ts`. */
@inline
export function adamSingle(
  p: usize, g: usize, m: usize, v: usize, largest: usize, length: i32,
  sign: f64, rest1: f64, beta2: f64, rest2: f64, scale: f64, eps: f64, before: f64, after: f64, place: usize,
): void {
  const swap1 = rest1 > 0.5;
  const swap2 = beta2 < 0.5;
  const r1 = <f32>(swap1 ? 1 - rest1 : rest1);
  const r2 = <f32>(swap2 ? beta2 : rest2);
  const s = <f32>(scale * after);
  const e = <f32>eps;
  const l = <f32>(1 - before * after);
  const minus: i32 = sign < 0 ? 0x80000000 : 0;
  const plain = largest == 0 && !swap1 && !swap2 && minus == 0;
  const end = p + ((length & -8) << 2);
  const last = p + (length << 2);
  while (p != last) {
    const from = p;
    if (p < end) {
      p = plain
        ? whole(false, p, g, m, v, 0, end, minus, swap1, swap2, r1, r2, s, e, l, place)
        : whole(true, p, g, m, v, largest, end, minus, swap1, swap2, r1, r2, s, e, l, place);
      g += p - from;
      m += p - from;
      v += p - from;
      if (largest != 0) largest += p - from;
    }
    // The eight at which it stopped, or what is left over.
    for (const to = min(p + 32, last); p < to; p += 4) {
      one(p, g, m, v, largest, sign, rest1, beta2, rest2, scale, eps, before, after);
      g += 4;
      m += 4;
      v += 4;
      if (largest != 0) largest += 4;
    }
  }
}
