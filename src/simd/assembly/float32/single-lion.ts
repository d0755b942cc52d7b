/**
 * Lion in float32: D = β₁M + (1 − β₁)G, M ← M + (1 − β₂)(G − M), or where β₂ is less than one
 * half G + β₂(M − G), P ← P − (λP + lr · sign(D)). An element whose |D| is less than 2^-21 of
 * β₁|M| or less than 2^-100, but for M = G = 0, is done in double, as `loops/sign-momentum.ts`
 * does all of them: a wrong sign would cost two steps.
 */

import { stepOf } from '../sign-steps';
import { MAGNITUDE, high, inRegister, low, narrowed } from './lanes';

const CLOSE: f32 = 4.76837158203125e-7;
const SMALL: f32 = 7.888609052210118e-31;

/** Address of the weights at which it stopped, as in `single-adam.ts`. */
@inline
function whole(
  swap: bool, p: usize, g: usize, m: usize, end: usize,
  beta1: f32, rest1: f32, rest2: f32, lr: f32, lambda: f32, place: usize,
): usize {
  const magnitude = inRegister(MAGNITUDE, place);
  const close = inRegister(0x35000000, place);
  const small = inRegister(0x0d800000, place);
  const b1 = f32x4.splat(beta1);
  const r1 = f32x4.splat(rest1);
  const r2 = f32x4.splat(rest2);
  const s = f32x4.splat(lr);
  const l = f32x4.splat(lambda);
  const zero = f32x4.splat(0);
  do {
    const a = v128.load(g);
    const m0 = v128.load(m);
    const x = f32x4.mul(b1, m0);
    const d = f32x4.add(x, f32x4.mul(r1, a));
    const size = v128.and(d, magnitude);
    const limit = f32x4.pmax(small, f32x4.mul(v128.and(x, magnitude), close));
    const some = i32x4.ne(v128.and(v128.or(a, m0), magnitude), zero);
    const bad = v128.and(f32x4.lt(size, limit), some);
    if (i32x4.bitmask(bad) != 0) break;
    const up = v128.and(s, f32x4.gt(d, zero));
    const down = v128.and(s, f32x4.lt(d, zero));
    const u = f32x4.sub(up, down);
    v128.store(
      m,
      swap ? f32x4.add(a, f32x4.mul(r2, f32x4.sub(m0, a))) : f32x4.add(m0, f32x4.mul(r2, f32x4.sub(a, m0))),
    );
    const p0 = v128.load(p);
    v128.store(p, f32x4.sub(p0, f32x4.add(f32x4.mul(l, p0), u)));
    p += 16;
    g += 16;
    m += 16;
  } while (p != end);
  return p;
}

/** Groups of four that {@link mixed} does in a row after the last that is dead as a whole. */
const GROUPS: usize = 64;
/** The bits of 2^-101 and of 2^-126. */
const LARGE: i32 = 0x0d000000;
const NORMAL: i32 = 0x00800000;

/**
 * The same of a few groups, each element in float32 or in double as it has to be. Subnormal numbers
 * do not stall in double, and in float32 there are zeros in their place: what is added to them is
 * 2^-101 or more, so that no bit changes. (One by one, a step with some elements that have died
 * away beside others took 50 times as long.)
 */
function mixed(
  swap: bool, p: usize, g: usize, m: usize, end: usize,
  beta1: f64, rest1: f64, beta2: f64, rest2: f64, lr: f64, keep: f64,
): usize {
  let stop = min(p + 16 * GROUPS, end);
  const magnitude = i32x4.splat(MAGNITUDE);
  const zero = f32x4.splat(0);
  const r = f32x4.splat(<f32>(swap ? beta2 : rest2));
  const k = f64x2.splat(keep);
  const b1 = f64x2.splat(beta1);
  const r1 = f64x2.splat(rest1);
  const b2 = f64x2.splat(beta2);
  const d2 = f64x2.splat(rest2);
  const step = f64x2.splat(lr);
  // So far no product of a moment is 0: without a gradient the moment's own sign is that of D.
  const decays = beta1 > 1e-200 && beta2 > 1e-200;
  do {
    const a = v128.load(g);
    const m0 = v128.load(m);
    const p0 = v128.load(p);
    const a1 = v128.and(a, magnitude);
    const m1 = v128.and(m0, magnitude);
    if (decays && !v128.any_true(a1) && i32x4.all_true(m1) && !v128.any_true(i32x4.ge_s(m1, i32x4.splat(LARGE)))) {
      const sign = v128.and(m0, i32x4.splat(0x80000000));
      const first = v128.xor(step, v128.shuffle<i32>(sign, zero, 4, 0, 4, 1));
      const second = v128.xor(step, v128.shuffle<i32>(sign, zero, 4, 2, 4, 3));
      v128.store(m, narrowed(f64x2.mul(b2, low(m0)), f64x2.mul(b2, high(m0))));
      v128.store(p, narrowed(f64x2.sub(f64x2.mul(k, low(p0)), first), f64x2.sub(f64x2.mul(k, high(p0)), second)));
      p += 16;
      g += 16;
      m += 16;
      // The float32 loop would stall on the next such group.
      stop = min(p + 16 * GROUPS, end);
      continue;
    }
    const weight = narrowed(
      f64x2.sub(f64x2.mul(k, low(p0)), stepOf(low(m0), low(a), b1, r1, step)),
      f64x2.sub(f64x2.mul(k, high(p0)), stepOf(high(m0), high(a), b1, r1, step)),
    );
    const moment = narrowed(
      f64x2.add(f64x2.mul(b2, low(m0)), f64x2.mul(d2, low(a))),
      f64x2.add(f64x2.mul(b2, high(m0)), f64x2.mul(d2, high(a))),
    );
    const larger = i32x4.max_s(a1, m1);
    const large = i32x4.ge_s(larger, i32x4.splat(LARGE));
    const none = i32x4.eq(larger, zero);
    const alive = v128.or(large, none);
    const a2 = v128.and(a, v128.and(large, i32x4.ge_s(a1, i32x4.splat(NORMAL))));
    const m2 = v128.and(m0, v128.and(large, i32x4.ge_s(m1, i32x4.splat(NORMAL))));
    const a3 = v128.and(a, alive);
    const m3 = v128.and(m0, alive);
    const x = f32x4.mul(f32x4.splat(<f32>beta1), m2);
    const d = f32x4.add(x, f32x4.mul(f32x4.splat(<f32>rest1), a2));
    const limit = f32x4.pmax(f32x4.splat(SMALL), f32x4.mul(v128.and(x, magnitude), f32x4.splat(CLOSE)));
    const single = v128.or(none, v128.andnot(large, f32x4.lt(v128.and(d, magnitude), limit)));
    const s = f32x4.splat(<f32>lr);
    const u = v128.or(v128.and(s, f32x4.gt(d, zero)), v128.and(f32x4.neg(s), f32x4.lt(d, zero)));
    const y = swap ? f32x4.add(a3, f32x4.mul(r, f32x4.sub(m2, a2))) : f32x4.add(m3, f32x4.mul(r, f32x4.sub(a2, m2)));
    const w = f32x4.sub(p0, f32x4.add(f32x4.mul(f32x4.splat(<f32>(1 - keep)), p0), u));
    v128.store(m, v128.bitselect(y, moment, single));
    v128.store(p, v128.bitselect(w, weight, single));
    p += 16;
    g += 16;
    m += 16;
  } while (p != stop);
  return p;
}

/** One element, in float32 or in double, as it has to be. */
function one(
  p: usize, g: usize, m: usize, beta1: f64, rest1: f64, beta2: f64, rest2: f64, lr: f64, keep: f64,
): void {
  const a = load<f32>(g);
  const m0 = load<f32>(m);
  const w = load<f32>(p);
  const x = <f32>beta1 * m0;
  const d = x + <f32>rest1 * a;
  const limit = max<f32>(SMALL, abs<f32>(x) * CLOSE);
  if (abs<f32>(d) < limit && (a != 0 || m0 != 0)) {
    const direction = beta1 * <f64>m0 + rest1 * <f64>a;
    const step = direction > 0 ? lr : direction < 0 ? -lr : 0;
    store<f32>(m, <f32>(beta2 * <f64>m0 + rest2 * <f64>a));
    store<f32>(p, <f32>(keep * <f64>w - step));
    return;
  }
  const u: f32 = d > 0 ? <f32>lr : d < 0 ? -<f32>lr : 0;
  store<f32>(m, beta2 < 0.5 ? a + <f32>beta2 * (m0 - a) : m0 + <f32>rest2 * (a - m0));
  store<f32>(p, w - (<f32>(1 - keep) * w + u));
}

/** The numbers are those of `loops/sign-momentum.ts`. */
@inline
export function lionSingle(
  p: usize, g: usize, m: usize, length: i32,
  beta1: f64, rest1: f64, beta2: f64, rest2: f64, lr: f64, keep: f64, place: usize,
): void {
  const swap = beta2 < 0.5;
  const b1 = <f32>beta1;
  const r1 = <f32>rest1;
  const r2 = <f32>(swap ? beta2 : rest2);
  const l = <f32>(1 - keep);
  const end = p + ((length & -4) << 2);
  const last = p + (length << 2);
  while (p != last) {
    let from = p;
    // A rate of 0 has a sign here too: a weight of -0 may become 0 by it.
    if (p < end && <f32>lr != 0) {
      p = swap
        ? whole(true, p, g, m, end, b1, r1, r2, <f32>lr, l, place)
        : whole(false, p, g, m, end, b1, r1, r2, <f32>lr, l, place);
      g += p - from;
      m += p - from;
    }
    if (p < end) {
      from = p;
      p = mixed(swap, p, g, m, end, beta1, rest1, beta2, rest2, lr, keep);
      g += p - from;
      m += p - from;
      continue;
    }
    for (; p < last; p += 4) {
      one(p, g, m, beta1, rest1, beta2, rest2, lr, keep);
      g += 4;
      m += 4;
    }
  }
}
