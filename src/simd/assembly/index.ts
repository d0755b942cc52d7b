/**
 * The loops of ../_loops.ts in WebAssembly SIMD, in AssemblyScript: `npm run build:simd` compiles this file into ../_simd-bytes.ts.
 *
 * Every operation has the operands, the order and the roundings of ../_loops.ts, so the bits are the same: sums in f64x2, whose
 * two lanes are the even and the odd columns; no fused or relaxed instruction. T is f32 or f64. All arguments are byte addresses, byte
 * strides, counts and numbers. Sums that run on over several calls (a wide matrix is cut into column spans, a foreign array into tiles) are
 * carried in `lanes`, in memory.
 *
 * Bits that may look different and are not:
 * - An absent row is a row of zeros with factor 0: it adds +0 to sums that are never -0.
 * - Root, sum and quotient of float32 numbers are formed in float32; the TypeScript loops round the double results. Rounding twice is
 *   harmless here, as 53 >= 2 · 24 + 2 (Figueroa 1995, "When is double rounding innocuous?"), subnormal quotients included.
 *
 * What V8 makes of it (Node 20.20, V8 11.3, read with `--no-liftoff --print-wasm-code`) decides the loops' shapes:
 * - A loop whose condition stands at its end has addresses and constants computed before it, one with the condition at its start computes them in every
 *   round. An end address costs one instruction less than a count.
 * - Small loops are unrolled by V8, and the second copy is a bad one; loops of some fifty operations are left alone.
 * - A conversion takes its operand from memory, which saves a shuffle, unless a store of 16 bytes comes after it in the same block. Stores of lanes do no such harm.
 *
 * Measured, the least of 50 runs, in nanoseconds per element (Intel Xeon of family 6, model 167, 4.1 GHz, one thread, arrays of 64 KiB in this memory; in
 * brackets the same loops before they were shaped so): sumSquares 0.138 (0.154), reduce 0.19 (0.21), measure 0.20, apply 0.31 (0.37), with decay 0.37,
 * applyMomentum 0.58 (0.67), measureVector 0.50, applyVector 1.26, adam 1.24 (1.35). The ports for multiplications and conversions would allow 0.12, 0.16, 0.20,
 * 0.30, 0.36, 0.54 and, for adam, 1.0. Arrays of 64 MiB: apply 0.61 (1.08), with decay 0.63 (1.35), applyMomentum 0.89 (1.24) for two rows at a time; sumSquares
 * 0.27 (0.55) for the touch ahead. With rows of 2 KiB, 64 MiB: apply 0.63 (1.24), applyMomentum 0.92 (1.72) for rows of either half instead of neighbours. Tried
 * and refused:
 * - reduce and measure with every line touched 4 or 8 KiB ahead: at 64 MiB 0.58 and 0.46 instead of 0.45 and 0.32 with rows of 2 KiB, 0.52 and 0.43 instead of
 *   0.26 with longer ones: the touches fill the processor's window.
 * - reduce with eight columns at a time, or with the column sums of one round stored in the next: no faster. With stores of 16 bytes: 0.23.
 * - apply with two rows by four columns: 0.316. measure with eight columns: no faster, with four a little at 64 columns.
 * - adam with eight elements at a time 1.24, with the quotient's halves by way of memory instead of a shuffle 1.23, with the condition at its end 1.25.
 * - adam with the products with sign and keepAfter also where these are 1: 1.7 instead of 1.5 (AMD EPYC of family 25). Root and quotient take 0.1.
 * - fused multiply-add and relaxed SIMD: other bits.
 */

// ---------------------------------------------------------------- two elements as doubles

// @ts-ignore: decorator
@inline
function two<T>(at: usize): v128 {
  if (sizeof<T>() == 4) return f64x2.promote_low_f32x4(v128.load64_zero(at));
  return v128.load(at);
}

// The pairs after it: an offset must be a literal, and added to the address it costs an instruction.
// @ts-ignore: decorator
@inline
function twoAt2<T>(at: usize): v128 {
  if (sizeof<T>() == 4) return f64x2.promote_low_f32x4(v128.load64_zero(at, 2 * sizeof<T>()));
  return v128.load(at, 2 * sizeof<T>());
}

// @ts-ignore: decorator
@inline
function twoAt4<T>(at: usize): v128 {
  if (sizeof<T>() == 4) return f64x2.promote_low_f32x4(v128.load64_zero(at, 4 * sizeof<T>()));
  return v128.load(at, 4 * sizeof<T>());
}

// @ts-ignore: decorator
@inline
function twoAt6<T>(at: usize): v128 {
  if (sizeof<T>() == 4) return f64x2.promote_low_f32x4(v128.load64_zero(at, 6 * sizeof<T>()));
  return v128.load(at, 6 * sizeof<T>());
}

// @ts-ignore: decorator
@inline
function one<T>(at: usize): f64 {
  return <f64>load<T>(at);
}

// @ts-ignore: decorator
@inline
function putTwo<T>(at: usize, x: v128): void {
  if (sizeof<T>() == 4) v128.store64_lane(at, f32x4.demote_f64x2_zero(x), 0);
  else v128.store(at, x);
}

// @ts-ignore: decorator
@inline
function putTwoAt2<T>(at: usize, x: v128): void {
  if (sizeof<T>() == 4) v128.store64_lane(at, f32x4.demote_f64x2_zero(x), 0, 2 * sizeof<T>());
  else v128.store(at, x, 2 * sizeof<T>());
}

// @ts-ignore: decorator
@inline
function putTwoAt4<T>(at: usize, x: v128): void {
  if (sizeof<T>() == 4) v128.store64_lane(at, f32x4.demote_f64x2_zero(x), 0, 4 * sizeof<T>());
  else v128.store(at, x, 4 * sizeof<T>());
}

// @ts-ignore: decorator
@inline
function putTwoAt6<T>(at: usize, x: v128): void {
  if (sizeof<T>() == 4) v128.store64_lane(at, f32x4.demote_f64x2_zero(x), 0, 6 * sizeof<T>());
  else v128.store(at, x, 6 * sizeof<T>());
}

// @ts-ignore: decorator
@inline
function putOne<T>(at: usize, x: f64): void {
  store<T>(at, <T>x);
}

// ---------------------------------------------------------------- matrices

/** Sums of squares of four rows: each row's two lanes are carried at `lanes`, columns are added at `col`; the last call puts the rows' sums to `sums`. */
// @ts-ignore: decorator
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
      // By halves: where a block has a store of 16 bytes, V8 does not let the conversions before it take their operands from memory.
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

// @ts-ignore: decorator
@inline
function reduce<T>(
  g: usize, stride: usize, rows: i32, cols: i32, lanes: usize, col: usize, zeros: usize, first: i32, last: i32, sums: usize,
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

/**
 * Row i's lanes are carried at `lanes + 16 i` from the `first` span of columns to the `last`, which puts its sum to `sums + 8 i`, with room for three rows
 * more; `zeros` is a row of zeros as long as a span.
 */
export function reduce32(
  g: usize, stride: usize, rows: i32, cols: i32, lanes: usize, col: usize, zeros: usize, first: i32, last: i32, sums: usize,
): void {
  reduce<f32>(g, stride, rows, cols, lanes, col, zeros, first, last, sums);
}

export function reduce64(
  g: usize, stride: usize, rows: i32, cols: i32, lanes: usize, col: usize, zeros: usize, first: i32, last: i32, sums: usize,
): void {
  reduce<f64>(g, stride, rows, cols, lanes, col, zeros, first, last, sums);
}

/** Squares of four rows, each times its row's factor, added. */
// @ts-ignore: decorator
@inline
function weighted(a0: v128, a1: v128, a2: v128, a3: v128, f0: v128, f1: v128, f2: v128, f3: v128): v128 {
  return f64x2.add(
    f64x2.add(f64x2.mul(f64x2.mul(a0, a0), f0), f64x2.mul(f64x2.mul(a1, a1), f1)),
    f64x2.add(f64x2.mul(f64x2.mul(a2, a2), f2), f64x2.mul(f64x2.mul(a3, a3), f3)),
  );
}

// @ts-ignore: decorator
@inline
function measure<T>(
  g: usize, stride: usize, rows: i32, cols: i32, row: usize, colFactor: usize, lanes: usize, zeros: usize, first: i32, total: f64,
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
      sum = f64x2.add(sum, f64x2.mul(weighted(two<T>(p0), two<T>(p1), two<T>(p2), two<T>(p3), f0, f1, f2, f3), v128.load(col)));
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
 * Each group of four rows has its two lanes carried at `lanes` from the `first` span of columns on; the factors of absent rows must be 0. Returns `total`
 * with the groups added, which is of use after the last span.
 */
export function measure32(
  g: usize, stride: usize, rows: i32, cols: i32, row: usize, col: usize, lanes: usize, zeros: usize, first: i32, total: f64,
): f64 {
  return measure<f32>(g, stride, rows, cols, row, col, lanes, zeros, first, total);
}

export function measure64(
  g: usize, stride: usize, rows: i32, cols: i32, row: usize, col: usize, lanes: usize, zeros: usize, first: i32, total: f64,
): f64 {
  return measure<f64>(g, stride, rows, cols, row, col, lanes, zeros, first, total);
}

/** keep · P − G f c; `plain`: keep is 1 and needs no product. */
// @ts-ignore: decorator
@inline
function stepped(plain: bool, k: v128, p: v128, g: v128, f: v128, c: v128): v128 {
  return f64x2.sub(plain ? p : f64x2.mul(k, p), f64x2.mul(f64x2.mul(g, f), c));
}

/**
 * P ← keep · P − G f c. Two rows at a time, one of the upper half and one of the lower: four streams, each from page to page, are fetched ahead where two
 * are not, nor four within two pages (rows of 2 KiB side by side).
 */
// @ts-ignore: decorator
@inline
function apply<T>(
  plain: bool, p: usize, pStride: usize, g: usize, gStride: usize, rows: i32, cols: i32, row: usize, colFactor: usize, keep: f64,
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
      applyRest<T>(plain, k, p + i * pStride + pFar + done, g + i * gStride + gFar + done, factors + rowFar, colFactor + 8 * whole, cols - whole, keep);
    }
  }
  if (rows & 1) {
    applyRest<T>(plain, k, p + (rows - 1) * pStride, g + (rows - 1) * gStride, row + ((rows - 1) << 3), colFactor, cols, keep);
  }
}

/** {@link apply} to `cols` columns of one row. */
// @ts-ignore: decorator
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

export function apply32(
  p: usize, pStride: usize, g: usize, gStride: usize, rows: i32, cols: i32, row: usize, col: usize, keep: f64,
): void {
  if (keep == 1) apply<f32>(true, p, pStride, g, gStride, rows, cols, row, col, keep);
  else apply<f32>(false, p, pStride, g, gStride, rows, cols, row, col, keep);
}

export function apply64(
  p: usize, pStride: usize, g: usize, gStride: usize, rows: i32, cols: i32, row: usize, col: usize, keep: f64,
): void {
  if (keep == 1) apply<f64>(true, p, pStride, g, gStride, rows, cols, row, col, keep);
  else apply<f64>(false, p, pStride, g, gStride, rows, cols, row, col, keep);
}

// @ts-ignore: decorator
@inline
function momentum(b: v128, m: v128, g: v128, f: v128, c: v128): v128 {
  return f64x2.add(f64x2.mul(b, m), f64x2.mul(f64x2.mul(g, f), c));
}

/** M ← β₁M + G f c, P ← keep · P − M, two rows at a time as in {@link apply}. */
// @ts-ignore: decorator
@inline
function applyMomentum<T>(
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
    // Of every pair the second row's whole columns are done with the first's; a row without a partner has none done.
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
    momentumRest<T>(k, b, pAt + from, gAt + from, mAt + from, factor, single ? colFactor : colFactor + 8 * whole, single ? cols : cols - whole, keep, beta1);
  }
}

/** {@link applyMomentum} to `cols` columns of one row. */
// @ts-ignore: decorator
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

export function applyMomentum32(
  p: usize, pStride: usize, g: usize, gStride: usize, m: usize, mStride: usize,
  rows: i32, cols: i32, row: usize, col: usize, keep: f64, beta1: f64,
): void {
  applyMomentum<f32>(p, pStride, g, gStride, m, mStride, rows, cols, row, col, keep, beta1);
}

export function applyMomentum64(
  p: usize, pStride: usize, g: usize, gStride: usize, m: usize, mStride: usize,
  rows: i32, cols: i32, row: usize, col: usize, keep: f64, beta1: f64,
): void {
  applyMomentum<f64>(p, pStride, g, gStride, m, mStride, rows, cols, row, col, keep, beta1);
}

// ---------------------------------------------------------------- vectors

/**
 * How far `ahead` a range is touched that is not in the caches: the processor fetches ahead within a page only. It may be past the array's end, as the memory
 * goes on for that long.
 */
const AHEAD: usize = 4096;

/** The eight lanes of a flat sum, joined. */
// @ts-ignore: decorator
@inline
function joined(lanes: usize): f64 {
  return load<f64>(lanes) + load<f64>(lanes, 8) + (load<f64>(lanes, 16) + load<f64>(lanes, 24)) +
    (load<f64>(lanes, 32) + load<f64>(lanes, 40) + (load<f64>(lanes, 48) + load<f64>(lanes, 56)));
}

// @ts-ignore: decorator
@inline
function sumSquares<T>(x: usize, length: i32, lanes: usize, first: i32, ahead: i32): f64 {
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

/** Eight lanes are carried at `lanes`, 72 bytes, from the `first` call on; every call but the last has a multiple of 8 elements. Returns the lanes joined. */
export function sumSquares32(x: usize, length: i32, lanes: usize, first: i32, ahead: i32): f64 {
  return sumSquares<f32>(x, length, lanes, first, ahead);
}

export function sumSquares64(x: usize, length: i32, lanes: usize, first: i32, ahead: i32): f64 {
  return sumSquares<f64>(x, length, lanes, first, ahead);
}

// @ts-ignore: decorator
@inline
function differences(x: usize): v128 {
  const a = v128.load(x);
  const b = v128.load(x, 16);
  const c = v128.load(x, 32);
  const d = v128.load(x, 48);
  return v128.or(v128.or(f32x4.sub(a, a), f32x4.sub(b, b)), v128.or(f32x4.sub(c, c), f32x4.sub(d, d)));
}

/** 0 when all are finite, else 1: x - x is +0 or NaN. A third of what sumSquares takes. `place`: four bytes that no other thread writes. */
export function nonFinite32(x: usize, length: i32, place: usize, ahead: i32): i32 {
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

// @ts-ignore: decorator
@inline
function ratio(g: v128, v: v128, beta: v128, rest: v128, eps: v128): v128 {
  const square = f64x2.mul(g, g);
  return f64x2.div(square, f64x2.add(f64x2.mul(beta, v), f64x2.mul(rest, f64x2.add(square, eps))));
}

// @ts-ignore: decorator
@inline
function measureVector<T>(g: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, lanes: usize, first: i32): f64 {
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

export function measureVector32(g: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, lanes: usize, first: i32): f64 {
  return measureVector<f32>(g, v, length, beta, rest, eps, lanes, first);
}

export function measureVector64(g: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, lanes: usize, first: i32): f64 {
  return measureVector<f64>(g, v, length, beta, rest, eps, lanes, first);
}

/** With m = 0 there is no momentum. */
// @ts-ignore: decorator
@inline
function applyVector<T>(
  p: usize, g: usize, m: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, scale: f64, keep: f64, beta1: f64,
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

export function applyVector32(
  p: usize, g: usize, m: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, scale: f64, keep: f64, beta1: f64,
): void {
  applyVector<f32>(p, g, m, v, length, beta, rest, eps, scale, keep, beta1);
}

export function applyVector64(
  p: usize, g: usize, m: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, scale: f64, keep: f64, beta1: f64,
): void {
  applyVector<f64>(p, g, m, v, length, beta, rest, eps, scale, keep, beta1);
}

// ---------------------------------------------------------------- Adam

// @ts-ignore: decorator
@inline
function high(x: v128): v128 {
  return v128.shuffle<f64>(x, x, 1, 1);
}

// @ts-ignore: decorator
@inline
function most(before: v128, second: v128): v128 {
  return v128.bitselect(before, second, v128.or(f32x4.ge(before, second), f32x4.ne(before, before)));
}

/** Four elements. With largest = 0 it is Adam, else AMSGrad; `plain`: sign and keepAfter are 1 and need no product. */
// @ts-ignore: decorator
@inline
function adamFour(
  plain: bool,
  p: usize, g: usize, m: usize, v: usize, largest: usize,
  sign: v128, rest1: v128, beta2: v128, rest2: v128, scale: v128, eps: v128, before: v128, after: v128,
): void {
  let a0 = two<f32>(g);
  let a1 = twoAt2<f32>(g);
  if (!plain) {
    a0 = f64x2.mul(sign, a0);
    a1 = f64x2.mul(sign, a1);
  }
  const m0 = two<f32>(m);
  const m1 = twoAt2<f32>(m);
  const first0 = f32x4.demote_f64x2_zero(f64x2.add(m0, f64x2.mul(rest1, f64x2.sub(a0, m0))));
  const first1 = f32x4.demote_f64x2_zero(f64x2.add(m1, f64x2.mul(rest1, f64x2.sub(a1, m1))));
  const second0 = f32x4.demote_f64x2_zero(f64x2.add(f64x2.mul(beta2, two<f32>(v)), f64x2.mul(f64x2.mul(rest2, a0), a0)));
  const second1 = f32x4.demote_f64x2_zero(f64x2.add(f64x2.mul(beta2, twoAt2<f32>(v)), f64x2.mul(f64x2.mul(rest2, a1), a1)));
  v128.store64_lane(m, first0, 0);
  v128.store64_lane(m, first1, 0, 8);
  v128.store64_lane(v, second0, 0);
  v128.store64_lane(v, second1, 0, 8);
  const first = v128.shuffle<f64>(first0, first1, 0, 2);
  const second = v128.shuffle<f64>(second0, second1, 0, 2);
  let root = second;
  if (largest != 0) {
    root = most(v128.load(largest), second);
    v128.store(largest, root);
  }
  const q = f32x4.div(first, f32x4.add(f32x4.sqrt(root), eps));
  const u0 = f64x2.mul(scale, f64x2.promote_low_f32x4(q));
  const u1 = f64x2.mul(scale, f64x2.promote_low_f32x4(high(q)));
  let x0 = f64x2.sub(f64x2.mul(before, two<f32>(p)), u0);
  let x1 = f64x2.sub(f64x2.mul(before, twoAt2<f32>(p)), u1);
  if (!plain) {
    x0 = f64x2.mul(x0, after);
    x1 = f64x2.mul(x1, after);
  }
  putTwo<f32>(p, x0);
  putTwoAt2<f32>(p, x1);
}

/** `scratch`: 80 zeroed bytes, through which the last one to three elements go. */
export function adam32(
  p: usize, g: usize, m: usize, v: usize, largest: usize, length: i32,
  sign: f64, rest1: f64, beta2: f64, rest2: f64, scale: f64, eps: f64, before: f64, after: f64, scratch: usize,
): void {
  const s = f64x2.splat(sign);
  const r1 = f64x2.splat(rest1);
  const b2 = f64x2.splat(beta2);
  const r2 = f64x2.splat(rest2);
  const c = f64x2.splat(scale);
  const e = f32x4.splat(<f32>eps);
  const kb = f64x2.splat(before);
  const ka = f64x2.splat(after);
  let k = length;
  if (largest == 0 && sign == 1 && after == 1) {
    for (; k > 3; k -= 4) {
      adamFour(true, p, g, m, v, 0, s, r1, b2, r2, c, e, kb, ka);
      p += 16;
      g += 16;
      m += 16;
      v += 16;
    }
  } else {
    for (; k > 3; k -= 4) {
      adamFour(false, p, g, m, v, largest, s, r1, b2, r2, c, e, kb, ka);
      p += 16;
      g += 16;
      m += 16;
      v += 16;
      if (largest != 0) largest += 16;
    }
  }
  if (k > 0) {
    const bytes = (<usize>k) << 2;
    memory.copy(scratch, p, bytes);
    memory.copy(scratch + 16, g, bytes);
    memory.copy(scratch + 32, m, bytes);
    memory.copy(scratch + 48, v, bytes);
    if (largest != 0) memory.copy(scratch + 64, largest, bytes);
    const last: usize = largest == 0 ? 0 : scratch + 64;
    adamFour(false, scratch, scratch + 16, scratch + 32, scratch + 48, last, s, r1, b2, r2, c, e, kb, ka);
    memory.copy(p, scratch, bytes);
    memory.copy(m, scratch + 32, bytes);
    memory.copy(v, scratch + 48, bytes);
    if (largest != 0) memory.copy(largest, scratch + 64, bytes);
  }
}

/** In double there is no rounding to share, and scale · M is divided. Two elements. */
// @ts-ignore: decorator
@inline
function adamTwo(
  p: usize, g: usize, m: usize, v: usize, largest: usize,
  sign: v128, rest1: v128, beta2: v128, rest2: v128, scale: v128, eps: v128, before: v128, after: v128,
): void {
  const a = f64x2.mul(sign, v128.load(g));
  const m0 = v128.load(m);
  const first = f64x2.add(m0, f64x2.mul(rest1, f64x2.sub(a, m0)));
  const second = f64x2.add(f64x2.mul(beta2, v128.load(v)), f64x2.mul(f64x2.mul(rest2, a), a));
  v128.store(m, first);
  v128.store(v, second);
  let root = second;
  if (largest != 0) {
    const old = v128.load(largest);
    root = v128.bitselect(old, second, v128.or(f64x2.ge(old, second), f64x2.ne(old, old)));
    v128.store(largest, root);
  }
  const u = f64x2.div(f64x2.mul(scale, first), f64x2.add(f64x2.sqrt(root), eps));
  v128.store(p, f64x2.mul(f64x2.sub(f64x2.mul(before, v128.load(p)), u), after));
}

export function adam64(
  p: usize, g: usize, m: usize, v: usize, largest: usize, length: i32,
  sign: f64, rest1: f64, beta2: f64, rest2: f64, scale: f64, eps: f64, before: f64, after: f64, scratch: usize,
): void {
  const s = f64x2.splat(sign);
  const r1 = f64x2.splat(rest1);
  const b2 = f64x2.splat(beta2);
  const r2 = f64x2.splat(rest2);
  const c = f64x2.splat(scale);
  const e = f64x2.splat(eps);
  const kb = f64x2.splat(before);
  const ka = f64x2.splat(after);
  let k = length;
  for (; k > 1; k -= 2) {
    adamTwo(p, g, m, v, largest, s, r1, b2, r2, c, e, kb, ka);
    p += 16;
    g += 16;
    m += 16;
    v += 16;
    if (largest != 0) largest += 16;
  }
  if (k > 0) {
    store<f64>(scratch, load<f64>(p));
    store<f64>(scratch, load<f64>(g), 16);
    store<f64>(scratch, load<f64>(m), 32);
    store<f64>(scratch, load<f64>(v), 48);
    if (largest != 0) store<f64>(scratch, load<f64>(largest), 64);
    const last: usize = largest == 0 ? 0 : scratch + 64;
    adamTwo(scratch, scratch + 16, scratch + 32, scratch + 48, last, s, r1, b2, r2, c, e, kb, ka);
    store<f64>(p, load<f64>(scratch));
    store<f64>(m, load<f64>(scratch, 32));
    store<f64>(v, load<f64>(scratch, 48));
    if (largest != 0) store<f64>(largest, load<f64>(scratch, 64));
  }
}

// ---------------------------------------------------------------- 16 bits

/**
 * A constant in a register for a whole loop, by way of `place`: four bytes that no other thread writes. V8 (Node 20.20) builds a v128 constant anew in every round: float16 is widened at 0.72 ns per
 * element that way, at 0.41 with constants that come from memory.
 */
// @ts-ignore: decorator
@inline
function held(constant: i32, place: usize): v128 {
  store<i32>(place, constant);
  return v128.load32_splat(place);
}

/** `length`, a multiple of 8, bfloat16 numbers as float32: the upper half of each. */
export function widenBfloat16(bits: usize, out: usize, length: i32): void {
  for (let k = length; k > 0; k -= 8) {
    const x = v128.load(bits);
    v128.store(out, i32x4.shl(i32x4.extend_low_i16x8_u(x), 16));
    v128.store(out, i32x4.shl(i32x4.extend_high_i16x8_u(x), 16), 16);
    bits += 16;
    out += 32;
  }
}

/**
 * Four float16 numbers in 32 bits each. A normal one has its exponent raised by 112, a subnormal one is its bits times 2^-24: unlike the one
 * multiplication by 2^112 of ../low-precision.ts, which gives the same, it has no subnormal operand, which is slow.
 */
// @ts-ignore: decorator
@inline
function widenHalf(x: v128, rest: v128, raise: v128, unit: v128, infinity: v128, least: v128, most: v128): v128 {
  const sign = i32x4.shl(i32x4.shr_u(x, 15), 31);
  const magnitude = v128.and(x, rest);
  const shifted = i32x4.shl(magnitude, 13);
  const small = f32x4.mul(f32x4.convert_i32x4_s(magnitude), unit);
  const finite = v128.bitselect(small, i32x4.add(shifted, raise), i32x4.lt_s(magnitude, least));
  return v128.or(sign, v128.bitselect(v128.or(shifted, infinity), finite, i32x4.gt_s(magnitude, most)));
}

export function widenFloat16(bits: usize, out: usize, length: i32, place: usize): void {
  const rest = held(0x7fff, place);
  const raise = held(0x38000000, place);
  const unit = held(0x33800000, place);
  const infinity = held(0x7f800000, place);
  const least = held(0x400, place);
  const largest = held(0x7bff, place);
  for (let k = length; k > 0; k -= 8) {
    const x = v128.load(bits);
    v128.store(out, widenHalf(i32x4.extend_low_i16x8_u(x), rest, raise, unit, infinity, least, largest));
    v128.store(out, widenHalf(i32x4.extend_high_i16x8_u(x), rest, raise, unit, infinity, least, largest), 16);
    bits += 16;
    out += 32;
  }
}

/** bfloat16Bits of ../low-precision.ts. */
// @ts-ignore: decorator
@inline
function narrowBrain(x: v128, half: v128, quiet: v128, infinity: v128): v128 {
  const upper = i32x4.shr_u(x, 16);
  const odd = i32x4.shr_u(i32x4.shl(x, 15), 31);
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(x, half), odd), 16);
  const nan = i32x4.gt_s(i32x4.shr_u(i32x4.shl(x, 1), 1), infinity);
  return v128.bitselect(v128.or(upper, quiet), rounded, nan);
}

/** `length`, a multiple of 8, float32 numbers rounded to bfloat16. */
export function narrowBfloat16(words: usize, bits: usize, length: i32, place: usize): void {
  const half = held(0x7fff, place);
  const quiet = held(0x40, place);
  const infinity = held(0x7f800000, place);
  for (let k = length; k > 0; k -= 8) {
    const low = narrowBrain(v128.load(words), half, quiet, infinity);
    const high = narrowBrain(v128.load(words, 16), half, quiet, infinity);
    v128.store(bits, i16x8.narrow_i32x4_u(low, high));
    words += 32;
    bits += 16;
  }
}

/** float16BitsOf of ../low-precision.ts. */
// @ts-ignore: decorator
@inline
function narrowHalf(
  x: v128, sign: v128, lower: v128, half: v128, least: v128, beyond: v128, infinity: v128, payload: v128, quiet: v128, most: v128,
): v128 {
  const magnitude = i32x4.shr_u(i32x4.shl(x, 1), 1);
  const upper = i32x4.shr_u(magnitude, 13);
  const odd = i32x4.shr_u(i32x4.shl(x, 18), 31);
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(magnitude, lower), odd), 13);
  const small = i32x4.sub(f32x4.add(magnitude, half), half);
  let bits = v128.bitselect(small, normal, i32x4.lt_s(magnitude, least));
  bits = v128.bitselect(most, bits, i32x4.gt_s(magnitude, beyond));
  bits = v128.bitselect(v128.or(v128.and(upper, payload), quiet), bits, i32x4.gt_s(magnitude, infinity));
  return v128.or(v128.and(i32x4.shr_u(x, 16), sign), bits);
}

export function narrowFloat16(words: usize, bits: usize, length: i32, place: usize): void {
  const sign = held(0x8000, place);
  const lower = held(0xfff - 0x38000000, place);
  const half = held(0x3f000000, place);
  const least = held(0x38800000, place);
  const beyond = held(0x477fefff, place);
  const infinity = held(0x7f800000, place);
  const payload = held(0x1ff, place);
  const quiet = held(0x7e00, place);
  const most = held(0x7c00, place);
  for (let k = length; k > 0; k -= 8) {
    const low = narrowHalf(v128.load(words), sign, lower, half, least, beyond, infinity, payload, quiet, most);
    const high = narrowHalf(v128.load(words, 16), sign, lower, half, least, beyond, infinity, payload, quiet, most);
    v128.store(bits, i16x8.narrow_i32x4_u(low, high));
    words += 32;
    bits += 16;
  }
}
