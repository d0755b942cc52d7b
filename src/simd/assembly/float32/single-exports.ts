/**
 * The loops of the float32 level in WebAssembly SIMD, in AssemblyScript: `npm run build:simd`
 * compiles this file and what it imports into `simd/single-bytes.ts`. `test/_single-loops.ts` has
 * the same arithmetic in plain TypeScript, rounded by `Math.fround`; tests compare bits.
 *
 * Every operation is IEEE single precision, each sum has one order, and nothing is fused or
 * relaxed: the bits are the same on every machine. All arguments are byte addresses, byte
 * strides, counts and numbers; `place` is four bytes that no other thread writes.
 */

import { rowSquares } from './row-squares';
import { added, finite, putFactors, rowsFit, stepRows, weigh } from './single-steps';
import { measureSingle, stepVector } from './single-vectors';
import { adamSingle } from './single-adam';
import { sgdSingle } from './single-sgd';
import { lionSingle } from './single-lion';

export { added, finite, putFactors, rowsFit, weigh };

// ---------------------------------------------------------------- matrices

/** Returns 1 where the block is to be done in double. */
export function reduce(
  g: usize, stride: usize, rows: i32, far: i32, cols: i32, col: usize, sums: usize, zeros: usize, first: i32,
  place: usize,
): i32 {
  return rowSquares(false, true, g, stride, rows, far, cols, col, sums, zeros, first, place);
}

export function measure(
  g: usize, stride: usize, rows: i32, far: i32, cols: i32, b: usize, sums: usize, zeros: usize, first: i32,
  place: usize,
): void {
  rowSquares(true, false, g, stride, rows, far, cols, b, sums, zeros, first, place);
}

export function squares(x: usize, rows: i32, far: i32, cols: i32, sums: usize, zeros: usize, place: usize): void {
  rowSquares(false, false, x, cols << 2, rows, far, cols, 0, sums, zeros, 1, place);
}

export function apply(
  p: usize, pStride: usize, g: usize, gStride: usize, rows: i32, cols: i32, row: usize, b: usize, keep: f64,
): void {
  if (keep == 1) stepRows(true, false, p, pStride, g, gStride, 0, 0, rows, cols, row, b, 0, 0);
  else stepRows(false, false, p, pStride, g, gStride, 0, 0, rows, cols, row, b, <f32>(1 - keep), 0);
}

export function applyMomentum(
  p: usize, pStride: usize, g: usize, gStride: usize, m: usize, mStride: usize,
  rows: i32, cols: i32, row: usize, b: usize, keep: f64, beta1: f64,
): void {
  const plain = keep == 1;
  stepRows(plain, true, p, pStride, g, gStride, m, mStride, rows, cols, row, b, <f32>(1 - keep), <f32>beta1);
}

// ---------------------------------------------------------------- ranges

export function measureVector(
  g: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, total: f64, place: usize,
): f64 {
  return measureSingle(g, v, length, beta, rest, eps, total, place);
}

export function applyVector(
  p: usize, g: usize, m: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, scale: f64, keep: f64,
  beta1: f64, place: usize,
): void {
  stepVector(p, g, m, v, length, beta, rest, eps, scale, keep, beta1, place);
}

export function adam(
  p: usize, g: usize, m: usize, v: usize, largest: usize, length: i32,
  sign: f64, rest1: f64, beta2: f64, rest2: f64, scale: f64, eps: f64, before: f64, after: f64, place: usize,
): void {
  adamSingle(p, g, m, v, largest, length, sign, rest1, beta2, rest2, scale, eps, before, after, place);
}

export function sgd(
  p: usize, g: usize, m: usize, length: i32,
  sign: f64, decay: f64, lr: f64, beta: f64, rest: f64, ahead: f64, nesterov: i32,
): void {
  sgdSingle(p, g, m, length, sign, decay, lr, beta, rest, ahead, nesterov);
}

export function lion(
  p: usize, g: usize, m: usize, length: i32,
  beta1: f64, rest1: f64, beta2: f64, rest2: f64, lr: f64, keep: f64, place: usize,
): void {
  lionSingle(p, g, m, length, beta1, rest1, beta2, rest2, lr, keep, place);
}

/** Numbers below `limit` in magnitude become 0. */
export function flush(x: usize, length: i32, limit: f64): void {
  const least = f32x4.splat(<f32>limit);
  for (; length > 3; length -= 4) {
    const a = v128.load(x);
    v128.store(x, v128.andnot(a, f32x4.lt(f32x4.abs(a), least)));
    x += 16;
  }
  for (; length > 0; length--) {
    if (abs<f32>(load<f32>(x)) < <f32>limit) store<f32>(x, 0);
    x += 4;
  }
}
