/**
 * Sums of squares of rows, eight at a time. In each span of 256 columns, counted from the row's
 * start, column j is in lane j mod 4; the four float32 lanes are joined as (0 + 2) and (1 + 3) in
 * float32, these two in double, and the sums of the spans in double.
 *
 * Measured (Node 20.20, Intel Xeon of 2023, a block of 64 KiB), ns per element: reduce 0.14,
 * measure 0.11, squares 0.09, in double 0.27, 0.29 and 0.20. Small squares set to 0 one by one, so
 * that none is subnormal (12 ns): 0.22, 0.20, 0.16; every element times a power of two: reduce
 * 0.175.
 */

import { GROUP_LEAST, MAGNITUDE, high, inRegister, low, partial } from './lanes';

/** Columns of a span. `float32-loops.ts` cuts rows at multiples of it. */
const SPAN: i32 = 256;

/** Sets a sum to the joined lanes of a span, or adds them to it. */
function putSum(at: usize, first: i32, lanes: v128): void {
  const pair = low(f32x4.add(lanes, v128.shuffle<i64>(lanes, lanes, 1, 1)));
  const sum = f64x2.extract_lane(pair, 0) + f64x2.extract_lane(pair, 1);
  store<f64>(at, first ? sum : load<f64>(at) + sum);
}

@inline
function squared(scaled: bool, x: v128, b: v128): v128 {
  const y = scaled ? f32x4.mul(x, b) : x;
  return f32x4.mul(y, y);
}

/** Adds the sums of eight squares of each of four columns to doubles. */
@inline
function addColumns(
  col: usize, q0: v128, q1: v128, q2: v128, q3: v128, q4: v128, q5: v128, q6: v128, q7: v128,
): void {
  const c = f32x4.add(
    f32x4.add(f32x4.add(q0, q1), f32x4.add(q2, q3)),
    f32x4.add(f32x4.add(q4, q5), f32x4.add(q6, q7)),
  );
  v128.store(col, f64x2.add(v128.load(col), low(c)));
  v128.store(col, f64x2.add(v128.load(col, 16), high(c)), 16);
}

/**
 * The sums of eight rows: set at the `first` span of columns of a wide matrix, else added to, from
 * `sums` at distances of `far`. With `scaled` they are of (G b)², b a float32 a column from `col`;
 * with `columns` the squares of a column are added in float32, and these sums to the doubles from
 * `col`. In both cases there is room for whole fours. The last columns go through 128 bytes from
 * `place + 64`.
 */
@inline
function eightRows(
  scaled: bool, columns: bool,
  p0: usize, p1: usize, p2: usize, p3: usize, p4: usize, p5: usize, p6: usize, p7: usize,
  cols: i32, col: usize, sums: usize, far: usize, first: i32, place: usize,
): void {
  let left = cols;
  let begun = first;
  do {
    const span = min(left, SPAN);
    left -= span;
    let l0 = f32x4.splat(0);
    let l1 = l0;
    let l2 = l0;
    let l3 = l0;
    let l4 = l0;
    let l5 = l0;
    let l6 = l0;
    let l7 = l0;
    let rest = span & 3;
    let end = p0 + ((span - rest) << 2);
    for (;;) {
      if (p0 != end) {
        do {
          const b = scaled ? v128.load(col) : l0;
          const q0 = squared(scaled, v128.load(p0), b);
          const q1 = squared(scaled, v128.load(p1), b);
          const q2 = squared(scaled, v128.load(p2), b);
          const q3 = squared(scaled, v128.load(p3), b);
          l0 = f32x4.add(l0, q0);
          l1 = f32x4.add(l1, q1);
          l2 = f32x4.add(l2, q2);
          l3 = f32x4.add(l3, q3);
          const q4 = squared(scaled, v128.load(p4), b);
          const q5 = squared(scaled, v128.load(p5), b);
          const q6 = squared(scaled, v128.load(p6), b);
          const q7 = squared(scaled, v128.load(p7), b);
          l4 = f32x4.add(l4, q4);
          l5 = f32x4.add(l5, q5);
          l6 = f32x4.add(l6, q6);
          l7 = f32x4.add(l7, q7);
          if (columns) addColumns(col, q0, q1, q2, q3, q4, q5, q6, q7);
          p0 += 16;
          p1 += 16;
          p2 += 16;
          p3 += 16;
          p4 += 16;
          p5 += 16;
          p6 += 16;
          p7 += 16;
          if (scaled) col += 16;
          if (columns) col += 32;
        } while (p0 != end);
      }
      if (rest == 0) break;
      // The last one to three columns, with zeros for the absent ones.
      const copy = place + 64;
      v128.store(copy, partial(p0, rest));
      v128.store(copy, partial(p1, rest), 16);
      v128.store(copy, partial(p2, rest), 32);
      v128.store(copy, partial(p3, rest), 48);
      v128.store(copy, partial(p4, rest), 64);
      v128.store(copy, partial(p5, rest), 80);
      v128.store(copy, partial(p6, rest), 96);
      v128.store(copy, partial(p7, rest), 112);
      p0 = copy;
      p1 = copy + 16;
      p2 = copy + 32;
      p3 = copy + 48;
      p4 = copy + 64;
      p5 = copy + 80;
      p6 = copy + 96;
      p7 = copy + 112;
      end = p1;
      rest = 0;
    }
    putSum(sums, begun, l0);
    putSum(sums + far, begun, l1);
    putSum(sums + 2 * far, begun, l2);
    putSum(sums + 3 * far, begun, l3);
    putSum(sums + 4 * far, begun, l4);
    putSum(sums + 5 * far, begun, l5);
    putSum(sums + 6 * far, begun, l6);
    putSum(sums + 7 * far, begun, l7);
    begun = 0;
  } while (left != 0);
}

/** Whether the first four columns of eight rows are below 2^-60, but not all 0. */
function isTiny(
  p0: usize, p1: usize, p2: usize, p3: usize, p4: usize, p5: usize, p6: usize, p7: usize, cols: i32, place: usize,
): bool {
  const n = min(cols, 4);
  const magnitude = inRegister(MAGNITUDE, place);
  const a = i32x4.max_s(first4(p0, n, magnitude), first4(p1, n, magnitude));
  const b = i32x4.max_s(first4(p2, n, magnitude), first4(p3, n, magnitude));
  const c = i32x4.max_s(first4(p4, n, magnitude), first4(p5, n, magnitude));
  const d = i32x4.max_s(first4(p6, n, magnitude), first4(p7, n, magnitude));
  const most = i32x4.max_s(i32x4.max_s(a, b), i32x4.max_s(c, d));
  return !v128.any_true(i32x4.gt_s(most, inRegister(GROUP_LEAST, place))) && v128.any_true(most);
}

@inline
function first4(at: usize, n: i32, magnitude: v128): v128 {
  return v128.and(n == 4 ? v128.load(at) : partial(at, n), magnitude);
}

/**
 * {@link eightRows} for all rows: `rows / 8` times eight that are `far` rows apart (1, or an
 * eighth of them), then those that are left over, with rows of `zeros` for the absent ones, whose
 * sums take room for seven more. With `columns` it ends with 1 before eight rows that are tiny.
 */
@inline
export function rowSquares(
  scaled: bool, columns: bool, x: usize, stride: usize, rows: i32, far: i32, cols: i32, col: usize, sums: usize,
  zeros: usize, first: i32, place: usize,
): i32 {
  const step: usize = far == 1 ? 8 : 1;
  const groups = rows >> 3;
  const rest = rows & 7;
  const count = groups + (rest != 0 ? 1 : 0);
  let wide = <usize>far * stride;
  let sumsFar = <usize>far << 3;
  let n = 8;
  for (let i = 0; i < count; i++) {
    if (i == groups) {
      // From the end of the first eighth to that of the last.
      if (far != 1) {
        x += 7 * wide;
        sums += 7 * sumsFar;
      }
      n = rest;
      wide = stride;
      sumsFar = 8;
    }
    const p1 = n > 1 ? x + wide : zeros;
    const p2 = n > 2 ? x + 2 * wide : zeros;
    const p3 = n > 3 ? x + 3 * wide : zeros;
    const p4 = n > 4 ? x + 4 * wide : zeros;
    const p5 = n > 5 ? x + 5 * wide : zeros;
    const p6 = n > 6 ? x + 6 * wide : zeros;
    const p7 = n > 7 ? x + 7 * wide : zeros;
    if (columns && isTiny(x, p1, p2, p3, p4, p5, p6, p7, cols, place)) return 1;
    eightRows(scaled, columns, x, p1, p2, p3, p4, p5, p6, p7, cols, col, sums, sumsFar, first, place);
    x += step * stride;
    sums += step << 3;
  }
  return 0;
}
