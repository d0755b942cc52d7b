/** What clipping and accumulation do with gradients. `loops/gradients.ts` has the reference. */

import { two, twoAt2, twoAt4, twoAt6, one, putTwo, putTwoAt2, putTwoAt4, putTwoAt6, putOne } from './pairs';
import { joined } from './flat-sums';

/** As in `flat-sums.ts`: how far ahead a range is touched that is not in the caches. */
const AHEAD: usize = 4096;

/** Eight lanes from call to call, as those of sumSquares. */
@inline
export function sumAbsolute<T>(x: usize, length: i32, lanes: usize, first: i32, ahead: i32): f64 {
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
  let k = length & 7;
  const end = x + (length - k) * sizeof<T>();
  let touched = 0;
  // Past its last elements nothing is to be fetched, and a short memory may end.
  const near = ahead ? end - 8 * sizeof<T>() : x;
  while (x < near) {
    touched |= load<i32>(x, AHEAD);
    l0 = f64x2.add(l0, f64x2.abs(two<T>(x)));
    l1 = f64x2.add(l1, f64x2.abs(twoAt2<T>(x)));
    l2 = f64x2.add(l2, f64x2.abs(twoAt4<T>(x)));
    l3 = f64x2.add(l3, f64x2.abs(twoAt6<T>(x)));
    x += 8 * sizeof<T>();
  }
  // Kept, or the touching would be left out.
  store<i32>(lanes, touched, 64);
  while (x < end) {
    l0 = f64x2.add(l0, f64x2.abs(two<T>(x)));
    l1 = f64x2.add(l1, f64x2.abs(twoAt2<T>(x)));
    l2 = f64x2.add(l2, f64x2.abs(twoAt4<T>(x)));
    l3 = f64x2.add(l3, f64x2.abs(twoAt6<T>(x)));
    x += 8 * sizeof<T>();
  }
  v128.store(lanes, l0);
  v128.store(lanes, l1, 16);
  v128.store(lanes, l2, 32);
  v128.store(lanes, l3, 48);
  for (; k > 0; k--) {
    store<f64>(lanes, load<f64>(lanes) + Math.abs(one<T>(x)));
    x += sizeof<T>();
    lanes += 8;
  }
  return joined(all);
}

/**
 * The larger of magnitudes. Those of float32 numbers are in the order of their bits, NaN beyond
 * infinity, and the one instruction for that is a quarter of what V8 makes of f32x4.max. For
 * doubles NaN is looked for apart.
 */
@inline
function larger<T>(most: v128, x: v128): v128 {
  if (sizeof<T>() == 4) return i32x4.max_s(most, v128.and(x, i32x4.splat(0x7fffffff)));
  return f64x2.pmax(most, f64x2.abs(x));
}

@inline
function unlike<T>(x: v128): v128 {
  return sizeof<T>() == 4 ? i32x4.splat(0) : f64x2.ne(x, x);
}

/** The largest |x| of these and `most`; NaN where there is one. */
@inline
export function largest<T>(x: usize, length: i32, most: f64, place: usize, ahead: i32): f64 {
  let l0 = f64x2.splat(0);
  let l1 = l0;
  let bad = l0;
  let k = length & (32 / sizeof<T>() - 1);
  const end = x + (length - k) * sizeof<T>();
  let touched = 0;
  const near = ahead ? end - 32 : x;
  while (x < near) {
    touched |= load<i32>(x, AHEAD);
    l0 = larger<T>(l0, v128.load(x));
    l1 = larger<T>(l1, v128.load(x, 16));
    if (sizeof<T>() == 8) bad = v128.or(bad, v128.or(unlike<T>(v128.load(x)), unlike<T>(v128.load(x, 16))));
    x += 32;
  }
  while (x < end) {
    l0 = larger<T>(l0, v128.load(x));
    l1 = larger<T>(l1, v128.load(x, 16));
    if (sizeof<T>() == 8) bad = v128.or(bad, v128.or(unlike<T>(v128.load(x)), unlike<T>(v128.load(x, 16))));
    x += 32;
  }
  l0 = larger<T>(l0, l1);
  let all = most;
  if (sizeof<T>() == 4) {
    l0 = i32x4.max_s(l0, v128.shuffle<f32>(l0, l0, 2, 3, 2, 3));
    all = max(all, max(<f64>f32x4.extract_lane(l0, 0), <f64>f32x4.extract_lane(l0, 1)));
  } else {
    all = max(all, max(f64x2.extract_lane(l0, 0), f64x2.extract_lane(l0, 1)));
    if (v128.any_true(bad)) all = NaN;
  }
  for (; k > 0; k--) {
    all = max(all, abs(one<T>(x)));
    x += sizeof<T>();
  }
  store<i32>(place, touched);
  return all;
}

/**
 * Bytes of each of the four parts of a range that are worked on in turn, a multiple of eight
 * elements: the processor fetches ahead within a page only. 0 for ranges that lie in the caches.
 */
@inline
function quarter<T>(length: i32): usize {
  return length < 65536 ? 0 : <usize>(length >> 5) * (8 * sizeof<T>());
}

@inline
function scaleEight<T>(x: usize, c: v128): void {
  const x0 = f64x2.mul(two<T>(x), c);
  const x1 = f64x2.mul(twoAt2<T>(x), c);
  const x2 = f64x2.mul(twoAt4<T>(x), c);
  const x3 = f64x2.mul(twoAt6<T>(x), c);
  putTwo<T>(x, x0);
  putTwoAt2<T>(x, x1);
  putTwoAt4<T>(x, x2);
  putTwoAt6<T>(x, x3);
}

@inline
export function scale<T>(x: usize, length: i32, factor: f64): void {
  const c = f64x2.splat(factor);
  let k = length & 7;
  const end = x + (length - k) * sizeof<T>();
  const part = quarter<T>(length);
  for (const stop = x + part; x != stop; x += 8 * sizeof<T>()) {
    scaleEight<T>(x, c);
    scaleEight<T>(x + part, c);
    scaleEight<T>(x + 2 * part, c);
    scaleEight<T>(x + 3 * part, c);
  }
  x += 3 * part;
  while (x < end) {
    scaleEight<T>(x, c);
    x += 8 * sizeof<T>();
  }
  for (; k > 0; k--) {
    putOne<T>(x, one<T>(x) * factor);
    x += sizeof<T>();
  }
}

/** pmin and pmax give their first operand where either is NaN, bit for bit. */
@inline
function within<T>(x: v128, low: v128, high: v128): v128 {
  return sizeof<T>() == 4 ? f32x4.pmax(f32x4.pmin(x, high), low) : f64x2.pmax(f64x2.pmin(x, high), low);
}

@inline
export function clamp<T>(x: usize, length: i32, bound: f64): void {
  const high = sizeof<T>() == 4 ? f32x4.splat(<f32>bound) : f64x2.splat(bound);
  const low = sizeof<T>() == 4 ? f32x4.neg(high) : f64x2.neg(high);
  let k = length & (32 / sizeof<T>() - 1);
  const end = x + (length - k) * sizeof<T>();
  while (x < end) {
    v128.store(x, within<T>(v128.load(x), low, high));
    v128.store(x, within<T>(v128.load(x, 16), low, high), 16);
    x += 32;
  }
  for (; k > 0; k--) {
    const value = one<T>(x);
    if (value > bound) putOne<T>(x, bound);
    else if (value < -bound) putOne<T>(x, -bound);
    x += sizeof<T>();
  }
}

@inline
function addWhole<T>(s: v128, g: v128): v128 {
  return sizeof<T>() == 4 ? f32x4.add(s, g) : f64x2.add(s, g);
}

/**
 * A weight of 1 (`plain`) needs no product, and the sum of two float32 numbers no double: rounding
 * it twice is harmless.
 */
@inline
function addEight<T>(plain: bool, s: usize, g: usize, w: v128): void {
  if (plain) {
    v128.store(s, addWhole<T>(v128.load(s), v128.load(g)));
    v128.store(s, addWhole<T>(v128.load(s, 16), v128.load(g, 16)), 16);
    if (sizeof<T>() == 8) {
      v128.store(s, addWhole<T>(v128.load(s, 32), v128.load(g, 32)), 32);
      v128.store(s, addWhole<T>(v128.load(s, 48), v128.load(g, 48)), 48);
    }
    return;
  }
  const s0 = f64x2.add(two<T>(s), f64x2.mul(w, two<T>(g)));
  const s1 = f64x2.add(twoAt2<T>(s), f64x2.mul(w, twoAt2<T>(g)));
  const s2 = f64x2.add(twoAt4<T>(s), f64x2.mul(w, twoAt4<T>(g)));
  const s3 = f64x2.add(twoAt6<T>(s), f64x2.mul(w, twoAt6<T>(g)));
  putTwo<T>(s, s0);
  putTwoAt2<T>(s, s1);
  putTwoAt4<T>(s, s2);
  putTwoAt6<T>(s, s3);
}

/** The whole eights of a range; returns the address after them. */
@inline
function addEights<T>(plain: bool, s: usize, g: usize, length: i32, w: v128): usize {
  const end = s + (length >> 3) * (8 * sizeof<T>());
  const part = quarter<T>(length);
  for (const stop = s + part; s != stop; s += 8 * sizeof<T>()) {
    addEight<T>(plain, s, g, w);
    addEight<T>(plain, s + part, g + part, w);
    addEight<T>(plain, s + 2 * part, g + 2 * part, w);
    addEight<T>(plain, s + 3 * part, g + 3 * part, w);
    g += 8 * sizeof<T>();
  }
  s += 3 * part;
  g += 3 * part;
  for (; s < end; s += 8 * sizeof<T>()) {
    addEight<T>(plain, s, g, w);
    g += 8 * sizeof<T>();
  }
  return s;
}

@inline
export function addScaled<T>(s: usize, g: usize, length: i32, weight: f64): void {
  const w = f64x2.splat(weight);
  const from = s;
  s = weight == 1 ? addEights<T>(true, s, g, length, w) : addEights<T>(false, s, g, length, w);
  g += s - from;
  for (let k = length & 7; k > 0; k--) {
    putOne<T>(s, one<T>(s) + weight * one<T>(g));
    s += sizeof<T>();
    g += sizeof<T>();
  }
}

/** In float32 where the divisor is a float32 number: a quotient may be rounded twice, too. */
@inline
export function divide<T>(g: usize, s: usize, length: i32, divisor: f64): void {
  let k = length & 7;
  const end = s + (length - k) * sizeof<T>();
  if (sizeof<T>() == 4 && <f64>(<f32>divisor) == divisor) {
    const d = f32x4.splat(<f32>divisor);
    while (s < end) {
      v128.store(g, f32x4.div(v128.load(s), d));
      v128.store(g, f32x4.div(v128.load(s, 16), d), 16);
      s += 32;
      g += 32;
    }
  } else {
    const d = f64x2.splat(divisor);
    while (s < end) {
      const s0 = f64x2.div(two<T>(s), d);
      const s1 = f64x2.div(twoAt2<T>(s), d);
      const s2 = f64x2.div(twoAt4<T>(s), d);
      const s3 = f64x2.div(twoAt6<T>(s), d);
      putTwo<T>(g, s0);
      putTwoAt2<T>(g, s1);
      putTwoAt4<T>(g, s2);
      putTwoAt6<T>(g, s3);
      s += 8 * sizeof<T>();
      g += 8 * sizeof<T>();
    }
  }
  for (; k > 0; k--) {
    putOne<T>(g, one<T>(s) / divisor);
    s += sizeof<T>();
    g += sizeof<T>();
  }
}
