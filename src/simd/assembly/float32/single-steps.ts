/** Adafactor's steps of a matrix in float32: P − (λP + (G b) f), where λ is 0 P − (G b) f. */

@inline
function stepped(plain: bool, l: v128, p: v128, u: v128): v128 {
  return f32x4.sub(p, plain ? u : f32x4.add(f32x4.mul(l, p), u));
}

/** Of four elements (G b) f, or with a first moment M ← β₁M + (G b) f. */
@inline
function moment(momentum: bool, b1: v128, m: usize, g: v128, b: v128, f: v128): v128 {
  const u = f32x4.mul(f32x4.mul(g, b), f);
  if (!momentum) return u;
  const next = f32x4.add(f32x4.mul(b1, v128.load(m)), u);
  v128.store(m, next);
  return next;
}

/**
 * Two rows at a time, one of the upper half and one of the lower, as in `matrix-steps.ts`. `row`
 * has doubles, `col` float32 numbers.
 */
@inline
export function stepRows(
  plain: bool, momentum: bool, p: usize, pStride: usize, g: usize, gStride: usize, m: usize, mStride: usize,
  rows: i32, cols: i32, row: usize, col: usize, lambda: f32, beta1: f32,
): void {
  const l = f32x4.splat(lambda);
  const b1 = f32x4.splat(beta1);
  const half: usize = rows >> 1;
  const done: usize = (cols & -4) << 2;
  for (let i: usize = 0; i < half; i++) {
    const f0 = f32x4.splat(<f32>load<f64>(row + (i << 3)));
    const f1 = f32x4.splat(<f32>load<f64>(row + ((i + half) << 3)));
    let p0 = p + i * pStride;
    let p1 = p0 + half * pStride;
    let g0 = g + i * gStride;
    let g1 = g0 + half * gStride;
    let m0 = m + i * mStride;
    let m1 = m0 + half * mStride;
    let at = col;
    const end = p0 + done;
    if (p0 != end) {
      do {
        const c = v128.load(at);
        const u0 = moment(momentum, b1, m0, v128.load(g0), c, f0);
        const u1 = moment(momentum, b1, m1, v128.load(g1), c, f1);
        v128.store(p0, stepped(plain, l, v128.load(p0), u0));
        v128.store(p1, stepped(plain, l, v128.load(p1), u1));
        p0 += 16;
        p1 += 16;
        g0 += 16;
        g1 += 16;
        at += 16;
        if (momentum) {
          m0 += 16;
          m1 += 16;
        }
      } while (p0 != end);
    }
  }
  // The last columns of every row, and all those of the row without a partner.
  const all = <usize>cols << 2;
  for (let i: usize = done == all ? 2 * half : 0; i < <usize>rows; i++) {
    const from: usize = i == 2 * half ? 0 : done;
    const f = <f32>load<f64>(row + (i << 3));
    const moments: usize = momentum ? m + i * mStride + from : 0;
    const n = <i32>((all - from) >> 2);
    stepRest(p + i * pStride + from, g + i * gStride + from, moments, n, f, col + from, plain, lambda, beta1);
  }
}

/** {@link stepRows} for `cols` columns of one row. */
function stepRest(
  p: usize, g: usize, m: usize, cols: i32, factor: f32, col: usize, plain: bool, lambda: f32, beta1: f32,
): void {
  for (; cols > 0; cols--) {
    let u = load<f32>(g) * load<f32>(col) * factor;
    if (m != 0) {
      u = beta1 * load<f32>(m) + u;
      store<f32>(m, u);
      m += 4;
    }
    const w = load<f32>(p);
    store<f32>(p, w - (plain ? u : lambda * w + u));
    p += 4;
    g += 4;
    col += 4;
  }
}

/**
 * Puts the square roots of `cols` doubles, or with `root` 0 these themselves, as float32 numbers
 * times `power`, a power of two. Whether all of them were from 2^-60 to 2^60 before that.
 */
export function putFactors(doubles: usize, singles: usize, cols: i32, root: i32, power: f64): i32 {
  const times = f64x2.splat(power);
  const least = f64x2.splat(8.673617379884035e-19);
  const most = f64x2.splat(1152921504606846976.0);
  let fits = f64x2.eq(times, times);
  const end = doubles + ((cols & -2) << 3);
  for (; doubles < end; doubles += 16) {
    let x = v128.load(doubles);
    if (root) x = f64x2.sqrt(x);
    fits = v128.and(fits, v128.and(f64x2.ge(x, least), f64x2.le(x, most)));
    v128.store64_lane(singles, f32x4.demote_f64x2_zero(f64x2.mul(x, times)), 0);
    singles += 8;
  }
  let last = true;
  if (cols & 1) {
    let x = load<f64>(doubles);
    if (root) x = sqrt<f64>(x);
    last = x >= 8.673617379884035e-19 && x <= 1152921504606846976.0;
    store<f32>(singles, <f32>(x * power));
  }
  return last && i64x2.all_true(fits) ? 1 : 0;
}

/** Whether all factors of rows are 0, or from 2^-60 to 2^100. */
export function rowsFit(row: usize, rows: i32): i32 {
  for (; rows > 0; rows--) {
    const x = load<f64>(row);
    if (!(x == 0 || (x >= 8.673617379884035e-19 && x <= 1267650600228229401496703205376.0))) return 0;
    row += 8;
  }
  return 1;
}

/** `total` with each row's sum, times its factor and `power`, added, from the top row down. */
export function weigh(sums: usize, row: usize, rows: i32, power: f64, total: f64): f64 {
  for (; rows > 0; rows--) {
    total += load<f64>(sums) * power * load<f64>(row);
    sums += 8;
    row += 8;
  }
  return total;
}

/** `total` with the sums of rows added, from the top row down. */
export function added(sums: usize, rows: i32, total: f64): f64 {
  for (; rows > 0; rows--) {
    total += load<f64>(sums);
    sums += 8;
  }
  return total;
}

/** Whether all doubles are finite. */
export function finite(doubles: usize, count: i32): i32 {
  let bad = f64x2.splat(0);
  for (; count > 1; count -= 2) {
    const x = v128.load(doubles);
    bad = v128.or(bad, f64x2.sub(x, x));
    doubles += 16;
  }
  const last: f64 = count > 0 ? load<f64>(doubles) - load<f64>(doubles) : 0;
  return v128.any_true(bad) || last != 0 ? 0 : 1;
}
