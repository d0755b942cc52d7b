/**
 * Sums of squares over ranges, and whether all numbers are finite. `loops/sums.ts` has the
 * reference.
 */

import { two, twoAt2, twoAt4, twoAt6, one } from './pairs';

/**
 * How far `ahead` a range is touched that is not in the caches: the processor fetches ahead within
 * a page only. It may be past the array's end, as the memory goes on for that long.
 */
const AHEAD: usize = 4096;

/** The eight lanes of a flat sum, joined. */
@inline
export function joined(lanes: usize): f64 {
  return load<f64>(lanes) + load<f64>(lanes, 8) + (load<f64>(lanes, 16) + load<f64>(lanes, 24)) +
    (load<f64>(lanes, 32) + load<f64>(lanes, 40) + (load<f64>(lanes, 48) + load<f64>(lanes, 56)));
}

@inline
export function sumSquares<T>(x: usize, length: i32, lanes: usize, first: i32, ahead: i32): f64 {
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
  if (x != end) {
    let touched = 0;
    // Two loops, as the touch costs a seventh where there is nothing to fetch.
    const near = ahead ? end - 8 * sizeof<T>() : x;
    while (x < near) {
      touched |= load<i32>(x, AHEAD);
      const x0 = two<T>(x);
      const x1 = twoAt2<T>(x);
      const x2 = twoAt4<T>(x);
      const x3 = twoAt6<T>(x);
      l0 = f64x2.add(l0, f64x2.mul(x0, x0));
      l1 = f64x2.add(l1, f64x2.mul(x1, x1));
      l2 = f64x2.add(l2, f64x2.mul(x2, x2));
      l3 = f64x2.add(l3, f64x2.mul(x3, x3));
      x += 8 * sizeof<T>();
    }
    // Kept, or the touching would be left out.
    store<i32>(lanes, touched, 64);
    do {
      const x0 = two<T>(x);
      const x1 = twoAt2<T>(x);
      const x2 = twoAt4<T>(x);
      const x3 = twoAt6<T>(x);
      l0 = f64x2.add(l0, f64x2.mul(x0, x0));
      l1 = f64x2.add(l1, f64x2.mul(x1, x1));
      l2 = f64x2.add(l2, f64x2.mul(x2, x2));
      l3 = f64x2.add(l3, f64x2.mul(x3, x3));
      x += 8 * sizeof<T>();
    } while (x != end);
  }
  v128.store(lanes, l0);
  v128.store(lanes, l1, 16);
  v128.store(lanes, l2, 32);
  v128.store(lanes, l3, 48);
  for (; k > 0; k--) {
    store<f64>(lanes, load<f64>(lanes) + one<T>(x) * one<T>(x));
    x += sizeof<T>();
    lanes += 8;
  }
  return joined(all);
}

/**
 * The same of eight parts at once, of `length` elements each, a multiple of 8, `far` bytes apart:
 * eight elements of the first, eight of the second, and so on. The lanes are left for
 * {@link sumSquares} to go on with.
 */
@inline
export function sumSquaresFar<T>(x: usize, length: i32, far: usize, lanes: usize, first: i32): void {
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
  const end = x + length * sizeof<T>();
  if (x != end) {
    do {
      let at = x;
      const last = x + (far << 3);
      do {
        const x0 = two<T>(at);
        const x1 = twoAt2<T>(at);
        const x2 = twoAt4<T>(at);
        const x3 = twoAt6<T>(at);
        l0 = f64x2.add(l0, f64x2.mul(x0, x0));
        l1 = f64x2.add(l1, f64x2.mul(x1, x1));
        l2 = f64x2.add(l2, f64x2.mul(x2, x2));
        l3 = f64x2.add(l3, f64x2.mul(x3, x3));
        at += far;
      } while (at != last);
      x += 8 * sizeof<T>();
    } while (x != end);
  }
  v128.store(lanes, l0);
  v128.store(lanes, l1, 16);
  v128.store(lanes, l2, 32);
  v128.store(lanes, l3, 48);
}

@inline
function differences(x: usize): v128 {
  const a = v128.load(x);
  const b = v128.load(x, 16);
  const c = v128.load(x, 32);
  const d = v128.load(x, 48);
  return v128.or(v128.or(f32x4.sub(a, a), f32x4.sub(b, b)), v128.or(f32x4.sub(c, c), f32x4.sub(d, d)));
}

/**
 * 0 when all are finite, else 1: x - x is +0 or NaN. A third of what sumSquares takes. `place`:
 * four bytes that no other thread writes.
 */
@inline
export function nonFinite(x: usize, length: i32, place: usize, ahead: i32): i32 {
  let bad = f32x4.splat(0);
  let k = length & 15;
  const end = x + ((length - k) << 2);
  let touched = 0;
  if (x != end) {
    const near = ahead ? end - 64 : x;
    while (x < near) {
      touched |= load<i32>(x, AHEAD);
      bad = v128.or(bad, differences(x));
      x += 64;
    }
    do {
      bad = v128.or(bad, differences(x));
      x += 64;
    } while (x != end);
    // Kept, or the touching would be left out.
    store<i32>(place, touched);
  }
  let last: f32 = 0;
  for (; k > 0; k--) {
    last += load<f32>(x) - load<f32>(x);
    x += 4;
  }
  return v128.any_true(bad) || last != 0 ? 1 : 0;
}
