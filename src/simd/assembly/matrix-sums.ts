/** Sums over matrices: rows and columns of G², and U². `loops/matrix.ts` has the reference. */

import { two, twoAt2, one } from './pairs';

/**
 * Sums of squares of four rows: each row's two lanes are carried at `lanes`, columns are added at
 * `col`; the last call puts the rows' sums to `sums`.
 */
@inline
function reduceFour<T>(
  p0: usize, p1: usize, p2: usize, p3: usize, cols: i32, lanes: usize, col: usize, first: i32, last: i32, sums: usize,
): void {
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
  let j = cols & 3;
  const end = p0 + (cols - j) * sizeof<T>();
  if (p0 != end) {
    do {
      const a0 = two<T>(p0);
      const a1 = two<T>(p1);
      const a2 = two<T>(p2);
      const a3 = two<T>(p3);
      const q0 = f64x2.mul(a0, a0);
      const q1 = f64x2.mul(a1, a1);
      const q2 = f64x2.mul(a2, a2);
      const q3 = f64x2.mul(a3, a3);
      const b0 = twoAt2<T>(p0);
      const b1 = twoAt2<T>(p1);
      const b2 = twoAt2<T>(p2);
      const b3 = twoAt2<T>(p3);
      const r0 = f64x2.mul(b0, b0);
      const r1 = f64x2.mul(b1, b1);
      const r2 = f64x2.mul(b2, b2);
      const r3 = f64x2.mul(b3, b3);
      l0 = f64x2.add(f64x2.add(l0, q0), r0);
      l1 = f64x2.add(f64x2.add(l1, q1), r1);
      l2 = f64x2.add(f64x2.add(l2, q2), r2);
      l3 = f64x2.add(f64x2.add(l3, q3), r3);
      const c = f64x2.add(v128.load(col), f64x2.add(f64x2.add(q0, q1), f64x2.add(q2, q3)));
      const d = f64x2.add(v128.load(col, 16), f64x2.add(f64x2.add(r0, r1), f64x2.add(r2, r3)));
      // By halves: where a block has a store of 16 bytes, V8 does not let the conversions before it
      // take their operands from memory.
      v128.store64_lane(col, c, 0);
      v128.store64_lane(col, c, 1, 8);
      v128.store64_lane(col, d, 0, 16);
      v128.store64_lane(col, d, 1, 24);
      p0 += 4 * sizeof<T>();
      p1 += 4 * sizeof<T>();
      p2 += 4 * sizeof<T>();
      p3 += 4 * sizeof<T>();
      col += 32;
    } while (p0 != end);
  }
  if (j > 1) {
    const a0 = two<T>(p0);
    const a1 = two<T>(p1);
    const a2 = two<T>(p2);
    const a3 = two<T>(p3);
    const q0 = f64x2.mul(a0, a0);
    const q1 = f64x2.mul(a1, a1);
    const q2 = f64x2.mul(a2, a2);
    const q3 = f64x2.mul(a3, a3);
    l0 = f64x2.add(l0, q0);
    l1 = f64x2.add(l1, q1);
    l2 = f64x2.add(l2, q2);
    l3 = f64x2.add(l3, q3);
    v128.store(col, f64x2.add(v128.load(col), f64x2.add(f64x2.add(q0, q1), f64x2.add(q2, q3))));
    p0 += 2 * sizeof<T>();
    p1 += 2 * sizeof<T>();
    p2 += 2 * sizeof<T>();
    p3 += 2 * sizeof<T>();
    col += 16;
    j -= 2;
  }
  v128.store(lanes, l0);
  v128.store(lanes, l1, 16);
  v128.store(lanes, l2, 32);
  v128.store(lanes, l3, 48);
  if (j > 0) {
    const q0 = one<T>(p0) * one<T>(p0);
    const q1 = one<T>(p1) * one<T>(p1);
    const q2 = one<T>(p2) * one<T>(p2);
    const q3 = one<T>(p3) * one<T>(p3);
    store<f64>(lanes, load<f64>(lanes) + q0);
    store<f64>(lanes, load<f64>(lanes, 16) + q1, 16);
    store<f64>(lanes, load<f64>(lanes, 32) + q2, 32);
    store<f64>(lanes, load<f64>(lanes, 48) + q3, 48);
    store<f64>(col, load<f64>(col) + (q0 + q1 + (q2 + q3)));
  }
  if (last) {
    store<f64>(sums, load<f64>(lanes) + load<f64>(lanes, 8));
    store<f64>(sums, load<f64>(lanes, 16) + load<f64>(lanes, 24), 8);
    store<f64>(sums, load<f64>(lanes, 32) + load<f64>(lanes, 40), 16);
    store<f64>(sums, load<f64>(lanes, 48) + load<f64>(lanes, 56), 24);
  }
}

@inline
export function reduce<T>(
  g: usize, stride: usize, rows: i32, cols: i32, lanes: usize, col: usize, zeros: usize, first: i32,
  last: i32, sums: usize,
): void {
  for (; rows > 0; rows -= 4) {
    const p1 = rows > 1 ? g + stride : zeros;
    const p2 = rows > 2 ? g + 2 * stride : zeros;
    const p3 = rows > 3 ? g + 3 * stride : zeros;
    reduceFour<T>(g, p1, p2, p3, cols, lanes, col, first, last, sums);
    g += 4 * stride;
    lanes += 64;
    sums += 32;
  }
}

/** Squares of four rows, each times its row's factor, added. */
@inline
function weighted(a0: v128, a1: v128, a2: v128, a3: v128, f0: v128, f1: v128, f2: v128, f3: v128): v128 {
  return f64x2.add(
    f64x2.add(f64x2.mul(f64x2.mul(a0, a0), f0), f64x2.mul(f64x2.mul(a1, a1), f1)),
    f64x2.add(f64x2.mul(f64x2.mul(a2, a2), f2), f64x2.mul(f64x2.mul(a3, a3), f3)),
  );
}

@inline
export function measure<T>(
  g: usize, stride: usize, rows: i32, cols: i32, row: usize, colFactor: usize, lanes: usize,
  zeros: usize, first: i32, total: f64,
): f64 {
  for (; rows > 0; rows -= 4) {
    let p0 = g;
    let p1 = rows > 1 ? g + stride : zeros;
    let p2 = rows > 2 ? g + 2 * stride : zeros;
    let p3 = rows > 3 ? g + 3 * stride : zeros;
    const f0 = v128.load64_splat(row);
    const f1 = v128.load64_splat(row, 8);
    const f2 = v128.load64_splat(row, 16);
    const f3 = v128.load64_splat(row, 24);
    let col = colFactor;
    let sum = first ? f64x2.splat(0) : v128.load(lanes);
    let j = cols & 3;
    const end = p0 + (cols - j) * sizeof<T>();
    if (p0 != end) {
      do {
        const q0 = weighted(two<T>(p0), two<T>(p1), two<T>(p2), two<T>(p3), f0, f1, f2, f3);
        const q1 = weighted(twoAt2<T>(p0), twoAt2<T>(p1), twoAt2<T>(p2), twoAt2<T>(p3), f0, f1, f2, f3);
        sum = f64x2.add(sum, f64x2.mul(q0, v128.load(col)));
        sum = f64x2.add(sum, f64x2.mul(q1, v128.load(col, 16)));
        p0 += 4 * sizeof<T>();
        p1 += 4 * sizeof<T>();
        p2 += 4 * sizeof<T>();
        p3 += 4 * sizeof<T>();
        col += 32;
      } while (p0 != end);
    }
    if (j > 1) {
      const q = weighted(two<T>(p0), two<T>(p1), two<T>(p2), two<T>(p3), f0, f1, f2, f3);
      sum = f64x2.add(sum, f64x2.mul(q, v128.load(col)));
      p0 += 2 * sizeof<T>();
      p1 += 2 * sizeof<T>();
      p2 += 2 * sizeof<T>();
      p3 += 2 * sizeof<T>();
      col += 16;
      j -= 2;
    }
    v128.store(lanes, sum);
    if (j > 0) {
      // Alone, as a padded lane would be 0 · factor, which is NaN where a factor is infinite.
      const q0 = one<T>(p0) * one<T>(p0) * load<f64>(row);
      const q1 = one<T>(p1) * one<T>(p1) * load<f64>(row, 8);
      const q2 = one<T>(p2) * one<T>(p2) * load<f64>(row, 16);
      const q3 = one<T>(p3) * one<T>(p3) * load<f64>(row, 24);
      store<f64>(lanes, load<f64>(lanes) + (q0 + q1 + (q2 + q3)) * load<f64>(col));
    }
    total += load<f64>(lanes) + load<f64>(lanes, 8);
    g += 4 * stride;
    row += 32;
    lanes += 16;
  }
  return total;
}

/**
 * {@link reduce} of eight far rows at a time, as two groups of four: the memory is read at eight
 * places at once. Row i of stream j is at `g + i * stride + j * far`, its lanes and its sum are
 * those of row i + j · `apart`.
 */
@inline
export function reduceFar<T>(
  g: usize, stride: usize, far: usize, rows: i32, cols: i32, lanes: usize, apart: usize, col: usize,
  first: i32, last: i32, sums: usize,
): void {
  const lanesApart = apart << 4;
  const sumsApart = apart << 3;
  for (; rows > 0; rows--) {
    let p0 = g;
    let p1 = p0 + far;
    let p2 = p1 + far;
    let p3 = p2 + far;
    let p4 = p3 + far;
    let p5 = p4 + far;
    let p6 = p5 + far;
    let p7 = p6 + far;
    let l0 = f64x2.splat(0);
    let l1 = l0;
    let l2 = l0;
    let l3 = l0;
    let l4 = l0;
    let l5 = l0;
    let l6 = l0;
    let l7 = l0;
    let at = lanes;
    if (!first) {
      l0 = v128.load(at);
      l1 = v128.load((at += lanesApart));
      l2 = v128.load((at += lanesApart));
      l3 = v128.load((at += lanesApart));
      l4 = v128.load((at += lanesApart));
      l5 = v128.load((at += lanesApart));
      l6 = v128.load((at += lanesApart));
      l7 = v128.load((at += lanesApart));
    }
    let c = col;
    const end = p0 + (cols & ~1) * sizeof<T>();
    if (p0 != end) {
      do {
        const a0 = two<T>(p0);
        const q0 = f64x2.mul(a0, a0);
        l0 = f64x2.add(l0, q0);
        const a1 = two<T>(p1);
        const q1 = f64x2.mul(a1, a1);
        l1 = f64x2.add(l1, q1);
        const a2 = two<T>(p2);
        const q2 = f64x2.mul(a2, a2);
        l2 = f64x2.add(l2, q2);
        const a3 = two<T>(p3);
        const q3 = f64x2.mul(a3, a3);
        l3 = f64x2.add(l3, q3);
        const a4 = two<T>(p4);
        const q4 = f64x2.mul(a4, a4);
        l4 = f64x2.add(l4, q4);
        const a5 = two<T>(p5);
        const q5 = f64x2.mul(a5, a5);
        l5 = f64x2.add(l5, q5);
        const a6 = two<T>(p6);
        const q6 = f64x2.mul(a6, a6);
        l6 = f64x2.add(l6, q6);
        const a7 = two<T>(p7);
        const q7 = f64x2.mul(a7, a7);
        l7 = f64x2.add(l7, q7);
        const s = f64x2.add(
          f64x2.add(v128.load(c), f64x2.add(f64x2.add(q0, q1), f64x2.add(q2, q3))),
          f64x2.add(f64x2.add(q4, q5), f64x2.add(q6, q7)),
        );
        // By halves, as in reduceFour.
        v128.store64_lane(c, s, 0);
        v128.store64_lane(c, s, 1, 8);
        p0 += 2 * sizeof<T>();
        p1 += 2 * sizeof<T>();
        p2 += 2 * sizeof<T>();
        p3 += 2 * sizeof<T>();
        p4 += 2 * sizeof<T>();
        p5 += 2 * sizeof<T>();
        p6 += 2 * sizeof<T>();
        p7 += 2 * sizeof<T>();
        c += 16;
      } while (p0 != end);
    }
    at = lanes;
    v128.store(at, l0);
    v128.store((at += lanesApart), l1);
    v128.store((at += lanesApart), l2);
    v128.store((at += lanesApart), l3);
    v128.store((at += lanesApart), l4);
    v128.store((at += lanesApart), l5);
    v128.store((at += lanesApart), l6);
    v128.store((at += lanesApart), l7);
    if (cols & 1) {
      const q0 = one<T>(p0) * one<T>(p0);
      const q1 = one<T>(p1) * one<T>(p1);
      const q2 = one<T>(p2) * one<T>(p2);
      const q3 = one<T>(p3) * one<T>(p3);
      const q4 = one<T>(p4) * one<T>(p4);
      const q5 = one<T>(p5) * one<T>(p5);
      const q6 = one<T>(p6) * one<T>(p6);
      const q7 = one<T>(p7) * one<T>(p7);
      at = lanes;
      store<f64>(at, load<f64>(at) + q0);
      store<f64>((at += lanesApart), load<f64>(at) + q1);
      store<f64>((at += lanesApart), load<f64>(at) + q2);
      store<f64>((at += lanesApart), load<f64>(at) + q3);
      store<f64>((at += lanesApart), load<f64>(at) + q4);
      store<f64>((at += lanesApart), load<f64>(at) + q5);
      store<f64>((at += lanesApart), load<f64>(at) + q6);
      store<f64>((at += lanesApart), load<f64>(at) + q7);
      store<f64>(c, load<f64>(c) + (q0 + q1 + (q2 + q3)) + (q4 + q5 + (q6 + q7)));
    }
    if (last) {
      at = lanes;
      let sum = sums;
      for (let j = 0; j < 8; j++) {
        store<f64>(sum, load<f64>(at) + load<f64>(at, 8));
        at += lanesApart;
        sum += sumsApart;
      }
    }
    g += stride;
    lanes += 16;
    sums += 8;
  }
}

/** {@link measure} of eight far rows at a time; as {@link reduceFar}, and the factors too. */
@inline
export function measureFar<T>(
  g: usize, stride: usize, far: usize, rows: i32, cols: i32, row: usize, apart: usize,
  colFactor: usize, lanes: usize, first: i32, total: f64,
): f64 {
  const rowsApart = apart << 3;
  for (; rows > 0; rows--) {
    let p0 = g;
    let p1 = p0 + far;
    let p2 = p1 + far;
    let p3 = p2 + far;
    let p4 = p3 + far;
    let p5 = p4 + far;
    let p6 = p5 + far;
    let p7 = p6 + far;
    let at = row;
    const f0 = v128.load64_splat(at);
    const f1 = v128.load64_splat((at += rowsApart));
    const f2 = v128.load64_splat((at += rowsApart));
    const f3 = v128.load64_splat((at += rowsApart));
    const f4 = v128.load64_splat((at += rowsApart));
    const f5 = v128.load64_splat((at += rowsApart));
    const f6 = v128.load64_splat((at += rowsApart));
    const f7 = v128.load64_splat((at += rowsApart));
    let c = colFactor;
    let s0 = first ? f64x2.splat(0) : v128.load(lanes);
    let s1 = first ? f64x2.splat(0) : v128.load(lanes, 16);
    const end = p0 + (cols & ~1) * sizeof<T>();
    if (p0 != end) {
      do {
        const factor = v128.load(c);
        const q0 = weighted(two<T>(p0), two<T>(p1), two<T>(p2), two<T>(p3), f0, f1, f2, f3);
        s0 = f64x2.add(s0, f64x2.mul(q0, factor));
        const q1 = weighted(two<T>(p4), two<T>(p5), two<T>(p6), two<T>(p7), f4, f5, f6, f7);
        s1 = f64x2.add(s1, f64x2.mul(q1, factor));
        p0 += 2 * sizeof<T>();
        p1 += 2 * sizeof<T>();
        p2 += 2 * sizeof<T>();
        p3 += 2 * sizeof<T>();
        p4 += 2 * sizeof<T>();
        p5 += 2 * sizeof<T>();
        p6 += 2 * sizeof<T>();
        p7 += 2 * sizeof<T>();
        c += 16;
      } while (p0 != end);
    }
    v128.store(lanes, s0);
    v128.store(lanes, s1, 16);
    if (cols & 1) {
      const q0 = one<T>(p0) * one<T>(p0) * f64x2.extract_lane(f0, 0);
      const q1 = one<T>(p1) * one<T>(p1) * f64x2.extract_lane(f1, 0);
      const q2 = one<T>(p2) * one<T>(p2) * f64x2.extract_lane(f2, 0);
      const q3 = one<T>(p3) * one<T>(p3) * f64x2.extract_lane(f3, 0);
      store<f64>(lanes, load<f64>(lanes) + (q0 + q1 + (q2 + q3)) * load<f64>(c));
      const q4 = one<T>(p4) * one<T>(p4) * f64x2.extract_lane(f4, 0);
      const q5 = one<T>(p5) * one<T>(p5) * f64x2.extract_lane(f5, 0);
      const q6 = one<T>(p6) * one<T>(p6) * f64x2.extract_lane(f6, 0);
      const q7 = one<T>(p7) * one<T>(p7) * f64x2.extract_lane(f7, 0);
      store<f64>(lanes, load<f64>(lanes, 16) + (q4 + q5 + (q6 + q7)) * load<f64>(c), 16);
    }
    total += load<f64>(lanes) + load<f64>(lanes, 8);
    total += load<f64>(lanes, 16) + load<f64>(lanes, 24);
    g += stride;
    row += 8;
    lanes += 32;
  }
  return total;
}
