/** Adafactor's steps of a matrix. `loops/matrix.ts` has the reference. */

import { two, twoAt2, twoAt4, twoAt6, one, putTwo, putTwoAt2, putTwoAt4, putTwoAt6, putOne } from './pairs';

/** keep · P − G f c; `plain`: keep is 1 and needs no product. */
@inline
function stepped(plain: bool, k: v128, p: v128, g: v128, f: v128, c: v128): v128 {
  return f64x2.sub(plain ? p : f64x2.mul(k, p), f64x2.mul(f64x2.mul(g, f), c));
}

/**
 * P ← keep · P − G f c. Two rows at a time, one of the upper half and one of the lower: four
 * streams, each from page to page, are fetched ahead where two are not, nor four within two pages
 * (rows of 2 KiB side by side).
 */
@inline
export function apply<T>(
  plain: bool, p: usize, pStride: usize, g: usize, gStride: usize, rows: i32, cols: i32, row: usize,
  colFactor: usize, keep: f64,
): void {
  const k = f64x2.splat(keep);
  const half = rows >> 1;
  const whole = cols & -8;
  const done = whole * sizeof<T>();
  const pFar = half * pStride;
  const gFar = half * gStride;
  const rowFar = half << 3;
  for (let i = 0; i < half; i++) {
    let p0 = p + i * pStride;
    let g0 = g + i * gStride;
    const factors = row + (i << 3);
    if (whole != 0) {
      const f0 = v128.load64_splat(factors);
      const f1 = v128.load64_splat(factors + rowFar);
      let p1 = p0 + pFar;
      let g1 = g0 + gFar;
      let col = colFactor;
      const end = p0 + done;
      do {
        const c0 = v128.load(col);
        const c1 = v128.load(col, 16);
        const c2 = v128.load(col, 32);
        const c3 = v128.load(col, 48);
        const x0 = stepped(plain, k, two<T>(p0), two<T>(g0), f0, c0);
        const x1 = stepped(plain, k, twoAt2<T>(p0), twoAt2<T>(g0), f0, c1);
        const x2 = stepped(plain, k, twoAt4<T>(p0), twoAt4<T>(g0), f0, c2);
        const x3 = stepped(plain, k, twoAt6<T>(p0), twoAt6<T>(g0), f0, c3);
        putTwo<T>(p0, x0);
        putTwoAt2<T>(p0, x1);
        putTwoAt4<T>(p0, x2);
        putTwoAt6<T>(p0, x3);
        const y0 = stepped(plain, k, two<T>(p1), two<T>(g1), f1, c0);
        const y1 = stepped(plain, k, twoAt2<T>(p1), twoAt2<T>(g1), f1, c1);
        const y2 = stepped(plain, k, twoAt4<T>(p1), twoAt4<T>(g1), f1, c2);
        const y3 = stepped(plain, k, twoAt6<T>(p1), twoAt6<T>(g1), f1, c3);
        putTwo<T>(p1, y0);
        putTwoAt2<T>(p1, y1);
        putTwoAt4<T>(p1, y2);
        putTwoAt6<T>(p1, y3);
        p0 += 8 * sizeof<T>();
        p1 += 8 * sizeof<T>();
        g0 += 8 * sizeof<T>();
        g1 += 8 * sizeof<T>();
        col += 64;
      } while (p0 != end);
    }
    if (whole != cols) {
      applyRest<T>(plain, k, p0, g0, factors, colFactor + 8 * whole, cols - whole, keep);
      const pRest = p + i * pStride + pFar + done;
      const gRest = g + i * gStride + gFar + done;
      applyRest<T>(plain, k, pRest, gRest, factors + rowFar, colFactor + 8 * whole, cols - whole, keep);
    }
  }
  if (rows & 1) {
    const last = rows - 1;
    applyRest<T>(plain, k, p + last * pStride, g + last * gStride, row + (last << 3), colFactor, cols, keep);
  }
}

/** {@link apply} to `cols` columns of one row. */
@inline
function applyRest<T>(plain: bool, k: v128, p: usize, g: usize, row: usize, col: usize, cols: i32, keep: f64): void {
  const f = v128.load64_splat(row);
  let j = cols;
  for (; j > 1; j -= 2) {
    putTwo<T>(p, stepped(plain, k, two<T>(p), two<T>(g), f, v128.load(col)));
    p += 2 * sizeof<T>();
    g += 2 * sizeof<T>();
    col += 16;
  }
  if (j > 0) putOne<T>(p, keep * one<T>(p) - one<T>(g) * load<f64>(row) * load<f64>(col));
}

@inline
function momentum(b: v128, m: v128, g: v128, f: v128, c: v128): v128 {
  return f64x2.add(f64x2.mul(b, m), f64x2.mul(f64x2.mul(g, f), c));
}

/** M ← β₁M + G f c, P ← keep · P − M, two rows at a time as in {@link apply}. */
@inline
export function applyMomentum<T>(
  p: usize, pStride: usize, g: usize, gStride: usize, m: usize, mStride: usize,
  rows: i32, cols: i32, row: usize, colFactor: usize, keep: f64, beta1: f64,
): void {
  const k = f64x2.splat(keep);
  const b = f64x2.splat(beta1);
  const half = rows >> 1;
  const whole = cols & -4;
  const done = whole * sizeof<T>();
  for (let i = 0; i < rows; i++) {
    const pAt = p + i * pStride;
    const gAt = g + i * gStride;
    const mAt = m + i * mStride;
    const factor = row + (i << 3);
    // Of every pair the second row's whole columns are done with the first's; a row without a
    // partner has none done.
    const single = i == rows - 1 && (rows & 1) == 1;
    if (i < half && whole != 0) {
      const f0 = v128.load64_splat(factor);
      const f1 = v128.load64_splat(factor + (half << 3));
      let p0 = pAt;
      let p1 = p0 + half * pStride;
      let g0 = gAt;
      let g1 = g0 + half * gStride;
      let m0 = mAt;
      let m1 = m0 + half * mStride;
      let col = colFactor;
      const end = p0 + done;
      do {
        const c0 = v128.load(col);
        const c1 = v128.load(col, 16);
        const y0 = momentum(b, two<T>(m0), two<T>(g0), f0, c0);
        const y1 = momentum(b, twoAt2<T>(m0), twoAt2<T>(g0), f0, c1);
        const x0 = f64x2.sub(f64x2.mul(k, two<T>(p0)), y0);
        const x1 = f64x2.sub(f64x2.mul(k, twoAt2<T>(p0)), y1);
        putTwo<T>(m0, y0);
        putTwoAt2<T>(m0, y1);
        putTwo<T>(p0, x0);
        putTwoAt2<T>(p0, x1);
        const y2 = momentum(b, two<T>(m1), two<T>(g1), f1, c0);
        const y3 = momentum(b, twoAt2<T>(m1), twoAt2<T>(g1), f1, c1);
        const x2 = f64x2.sub(f64x2.mul(k, two<T>(p1)), y2);
        const x3 = f64x2.sub(f64x2.mul(k, twoAt2<T>(p1)), y3);
        putTwo<T>(m1, y2);
        putTwoAt2<T>(m1, y3);
        putTwo<T>(p1, x2);
        putTwoAt2<T>(p1, x3);
        p0 += 4 * sizeof<T>();
        p1 += 4 * sizeof<T>();
        g0 += 4 * sizeof<T>();
        g1 += 4 * sizeof<T>();
        m0 += 4 * sizeof<T>();
        m1 += 4 * sizeof<T>();
        col += 32;
      } while (p0 != end);
    }
    const from = single ? 0 : done;
    momentumRest<T>(
      k, b, pAt + from, gAt + from, mAt + from, factor,
      single ? colFactor : colFactor + 8 * whole, single ? cols : cols - whole, keep, beta1,
    );
  }
}

/** {@link applyMomentum} to `cols` columns of one row. */
@inline
function momentumRest<T>(
  k: v128, b: v128, p: usize, g: usize, m: usize, row: usize, col: usize, cols: i32, keep: f64, beta1: f64,
): void {
  const f = v128.load64_splat(row);
  let j = cols;
  for (; j > 1; j -= 2) {
    const y = momentum(b, two<T>(m), two<T>(g), f, v128.load(col));
    const x = f64x2.sub(f64x2.mul(k, two<T>(p)), y);
    putTwo<T>(m, y);
    putTwo<T>(p, x);
    p += 2 * sizeof<T>();
    g += 2 * sizeof<T>();
    m += 2 * sizeof<T>();
    col += 16;
  }
  if (j > 0) {
    const y = beta1 * one<T>(m) + one<T>(g) * load<f64>(row) * load<f64>(col);
    putOne<T>(m, y);
    putOne<T>(p, keep * one<T>(p) - y);
  }
}
