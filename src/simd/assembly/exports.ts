/**
 * The loops of `src/loops/` in WebAssembly SIMD, in AssemblyScript: `npm run build:simd` compiles
 * this file and what it imports into `simd/bytes.ts`. All functions that the module exports are
 * here; the compiler sorts functions by file and name, so that the module does not depend on where
 * their loops are.
 *
 * Every operation has the operands, the order and the roundings of `src/loops/`, so the bits are
 * the same: sums in f64x2, whose two lanes are the even and the odd columns; no fused or relaxed
 * instruction. T is f32 or f64. All arguments are byte addresses, byte strides, counts and numbers.
 * Sums that run on over several calls (a wide matrix is cut into column spans, a foreign array into
 * tiles) are carried in `lanes`, in memory.
 *
 * Bits that may look different and are not:
 * - An absent row is a row of zeros with factor 0: it adds +0 to sums that are never -0.
 *
 * What V8 makes of it (Node 20.20, V8 11.3, read with `--no-liftoff --print-wasm-code`) decides the
 * loops' shapes:
 * - A loop whose condition stands at its end has addresses and constants computed before it, one
 *   with the condition at its start computes them in every round. An end address costs one
 *   instruction less than a count.
 * - Small loops are unrolled by V8, and the second copy is a bad one; loops of some fifty
 *   operations are left alone.
 * - A conversion takes its operand from memory, which saves a shuffle, unless a store of 16 bytes
 *   comes after it in the same block. Stores of lanes do no such harm.
 *
 * Measured, the least of 50 runs, in nanoseconds per element (Intel Xeon of family 6, model 167,
 * 4.1 GHz, one thread, arrays of 64 KiB in this memory; in brackets the same loops before they were
 * shaped so): sumSquares 0.138 (0.154), reduce 0.19 (0.21), measure 0.20, apply 0.31 (0.37), with
 * decay 0.37, applyMomentum 0.58 (0.67), measureVector 0.50, applyVector 1.26. The ports for
 * multiplications and conversions would allow 0.12, 0.16, 0.20, 0.30, 0.36 and 0.54. Arrays of 64
 * MiB: apply 0.61 (1.08), with decay 0.63 (1.35), applyMomentum 0.89
 * (1.24) for two rows at a time; sumSquares 0.27 (0.55) for the touch ahead. With rows of 2 KiB, 64
 * MiB: apply 0.63 (1.24), applyMomentum 0.92 (1.72) for rows of either half instead of neighbours.
 * Eight streams instead of four neighbours, in turns on an Intel Xeon of model 207 with other load,
 * matrices of 63 MiB: reduce 1.80 instead of 4.49, measure 1.53 instead of 3.10, sumSquares 0.66
 * instead of 2.98; a step of T5-small 1.26 times as fast. Of 256 KiB to 4 MiB, which lie in the
 * caches: reduce 0.27 to 0.30 instead of 0.25 to 0.27, the others the same.
 * Lion and SGD with momentum, whole steps of 256 by 256 in turns (the same Xeon): 1.8 and 1.7, in
 * TypeScript 12.5 and 8.3. Clipping's product and adding at four places of a range of 65,536 and
 * more: at 64 MiB 0.34 instead of 0.54 and 0.48 instead of 0.63.
 * Tried and refused:
 * - streams in 16 bits: as fast as without within what the measurement tells (bfloat16 of 32768 by
 *   512, SIMD 0.99, TypeScript 0.95 times as fast), as a strip is 16 KiB.
 * - reduce and measure with every line touched 4 or 8 KiB ahead: at 64 MiB 0.58 and 0.46 instead of
 *   0.45 and 0.32 with rows of 2 KiB, 0.52 and 0.43 instead of 0.26 with longer ones: the touches
 *   fill the processor's window.
 * - reduce with eight columns at a time, or with the column sums of one round stored in the next:
 *   no faster. With stores of 16 bytes: 0.23.
 * - apply with two rows by four columns: 0.316. measure with eight columns: no faster, with four a
 *   little at 64 columns.
 * - adam with root and quotient in float32, four in a register: 1.99 where double takes 1.94 (Intel
 *   Xeon of model 207); the conversions cost what the narrower division gains. With the products
 *   with sign and keepAfter also where these are 1: 1.7 instead of 1.5 (AMD EPYC of family 25).
 *   AMSGrad with two elements at a time: 3.2 instead of 2.6.
 * - the running averages of rows and columns, their quotients and their roots here, two at a time,
 *   on scratch in this memory: a step of 64² takes 2 to 4 % less (Node 20.20, Intel Xeon of model
 *   207), where they are 15 % of it in TypeScript; calls and addresses eat the rest.
 * - AdamW at two or four places of each array in turn, 64 or 128 elements at a time, in float32:
 *   0.87 to 0.99 times as fast up to 1024², the same at 4096²: its arrays are four streams already.
 * - arrays of the memory 320 bytes and more apart within their pages, as equal low bits of their
 *   addresses hinder: AdamW in float32 at 1024² 1.09 times as fast, at 2048² 0.95, all else the
 *   same.
 * - fused multiply-add and relaxed SIMD: other bits.
 */

import { reduce, measure, reduceFar, measureFar } from './matrix-sums';
import { apply, applyMomentum } from './matrix-steps';
import { sumSquares, sumSquaresFar, nonFinite } from './flat-sums';
import { measureVector, applyVector } from './vector-steps';
import { adam } from './adam-steps';
import { sgd } from './momentum-steps';
import { lion } from './sign-steps';
import { sumAbsolute, largest, scale, clamp, addScaled, divide } from './gradient-lanes';
import { widenBrains, widenHalves, narrowBrains, narrowHalves } from './sixteen-lanes';

// ---------------------------------------------------------------- matrices: sums

/**
 * Row i's lanes are carried at `lanes + 16 i` from the `first` span of columns to the `last`, which
 * puts its sum to `sums + 8 i`, with room for three rows more; `zeros` is a row of zeros as long as
 * a span.
 */
export function reduce32(
  g: usize, stride: usize, rows: i32, cols: i32, lanes: usize, col: usize, zeros: usize, first: i32,
  last: i32, sums: usize,
): void {
  reduce<f32>(g, stride, rows, cols, lanes, col, zeros, first, last, sums);
}

export function reduce64(
  g: usize, stride: usize, rows: i32, cols: i32, lanes: usize, col: usize, zeros: usize, first: i32,
  last: i32, sums: usize,
): void {
  reduce<f64>(g, stride, rows, cols, lanes, col, zeros, first, last, sums);
}

/**
 * Each group of four rows has its two lanes carried at `lanes` from the `first` span of columns on;
 * the factors of absent rows must be 0. Returns `total` with the groups added, which is of use
 * after the last span.
 */
export function measure32(
  g: usize, stride: usize, rows: i32, cols: i32, row: usize, col: usize, lanes: usize, zeros: usize,
  first: i32, total: f64,
): f64 {
  return measure<f32>(g, stride, rows, cols, row, col, lanes, zeros, first, total);
}

export function measure64(
  g: usize, stride: usize, rows: i32, cols: i32, row: usize, col: usize, lanes: usize, zeros: usize,
  first: i32, total: f64,
): f64 {
  return measure<f64>(g, stride, rows, cols, row, col, lanes, zeros, first, total);
}

/**
 * Eight rows at a time, `far` bytes from each other: `rows` rounds, each one row further. In
 * `lanes`, `sums` and `row` they are `apart` rows from each other; measureFar has lanes by groups,
 * two a round.
 */
export function reduceFar32(
  g: usize, stride: usize, far: usize, rows: i32, cols: i32, lanes: usize, apart: usize, col: usize,
  first: i32, last: i32, sums: usize,
): void {
  reduceFar<f32>(g, stride, far, rows, cols, lanes, apart, col, first, last, sums);
}

export function reduceFar64(
  g: usize, stride: usize, far: usize, rows: i32, cols: i32, lanes: usize, apart: usize, col: usize,
  first: i32, last: i32, sums: usize,
): void {
  reduceFar<f64>(g, stride, far, rows, cols, lanes, apart, col, first, last, sums);
}

export function measureFar32(
  g: usize, stride: usize, far: usize, rows: i32, cols: i32, row: usize, apart: usize, col: usize,
  lanes: usize, first: i32, total: f64,
): f64 {
  return measureFar<f32>(g, stride, far, rows, cols, row, apart, col, lanes, first, total);
}

export function measureFar64(
  g: usize, stride: usize, far: usize, rows: i32, cols: i32, row: usize, apart: usize, col: usize,
  lanes: usize, first: i32, total: f64,
): f64 {
  return measureFar<f64>(g, stride, far, rows, cols, row, apart, col, lanes, first, total);
}

// ---------------------------------------------------------------- matrices: steps

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

// ---------------------------------------------------------------- ranges

/**
 * Eight lanes are carried at `lanes`, 72 bytes, from the `first` call on; every call but the last
 * has a multiple of 8 elements. Returns the lanes joined.
 */
export function sumSquares32(x: usize, length: i32, lanes: usize, first: i32, ahead: i32): f64 {
  return sumSquares<f32>(x, length, lanes, first, ahead);
}

export function sumSquares64(x: usize, length: i32, lanes: usize, first: i32, ahead: i32): f64 {
  return sumSquares<f64>(x, length, lanes, first, ahead);
}

/**
 * Eight parts of `length` elements, a multiple of 8, `far` bytes apart; sumSquares goes on from
 * there.
 */
export function sumSquaresFar32(x: usize, length: i32, far: usize, lanes: usize, first: i32): void {
  sumSquaresFar<f32>(x, length, far, lanes, first);
}

export function sumSquaresFar64(x: usize, length: i32, far: usize, lanes: usize, first: i32): void {
  sumSquaresFar<f64>(x, length, far, lanes, first);
}

export function nonFinite32(x: usize, length: i32, place: usize, ahead: i32): i32 {
  return nonFinite(x, length, place, ahead);
}

// ---------------------------------------------------------------- vectors

export function measureVector32(
  g: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, lanes: usize, first: i32,
): f64 {
  return measureVector<f32>(g, v, length, beta, rest, eps, lanes, first);
}

export function measureVector64(
  g: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, lanes: usize, first: i32,
): f64 {
  return measureVector<f64>(g, v, length, beta, rest, eps, lanes, first);
}

export function applyVector32(
  p: usize, g: usize, m: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, scale: f64,
  keep: f64, beta1: f64,
): void {
  applyVector<f32>(p, g, m, v, length, beta, rest, eps, scale, keep, beta1);
}

export function applyVector64(
  p: usize, g: usize, m: usize, v: usize, length: i32, beta: f64, rest: f64, eps: f64, scale: f64,
  keep: f64, beta1: f64,
): void {
  applyVector<f64>(p, g, m, v, length, beta, rest, eps, scale, keep, beta1);
}

// ---------------------------------------------------------------- Adam

export function adam32(
  p: usize, g: usize, m: usize, v: usize, largest: usize, length: i32,
  sign: f64, rest1: f64, beta2: f64, rest2: f64, scale: f64, eps: f64, before: f64, after: f64,
): void {
  adam<f32>(p, g, m, v, largest, length, sign, rest1, beta2, rest2, scale, eps, before, after);
}

export function adam64(
  p: usize, g: usize, m: usize, v: usize, largest: usize, length: i32,
  sign: f64, rest1: f64, beta2: f64, rest2: f64, scale: f64, eps: f64, before: f64, after: f64,
): void {
  adam<f64>(p, g, m, v, largest, length, sign, rest1, beta2, rest2, scale, eps, before, after);
}

// ---------------------------------------------------------------- SGD and Lion

/** m = 0: without momentum. */
export function sgd32(
  p: usize, g: usize, m: usize, length: i32,
  sign: f64, decay: f64, lr: f64, beta: f64, rest: f64, ahead: f64, nesterov: i32,
): void {
  sgd<f32>(p, g, m, length, sign, decay, lr, beta, rest, ahead, nesterov);
}

export function sgd64(
  p: usize, g: usize, m: usize, length: i32,
  sign: f64, decay: f64, lr: f64, beta: f64, rest: f64, ahead: f64, nesterov: i32,
): void {
  sgd<f64>(p, g, m, length, sign, decay, lr, beta, rest, ahead, nesterov);
}

export function lion32(
  p: usize, g: usize, m: usize, length: i32,
  beta1: f64, rest1: f64, beta2: f64, rest2: f64, lr: f64, keep: f64,
): void {
  lion<f32>(p, g, m, length, beta1, rest1, beta2, rest2, lr, keep);
}

export function lion64(
  p: usize, g: usize, m: usize, length: i32,
  beta1: f64, rest1: f64, beta2: f64, rest2: f64, lr: f64, keep: f64,
): void {
  lion<f64>(p, g, m, length, beta1, rest1, beta2, rest2, lr, keep);
}

// ---------------------------------------------------------------- gradients

/** Lanes as of sumSquares32. */
export function sumAbsolute32(x: usize, length: i32, lanes: usize, first: i32, ahead: i32): f64 {
  return sumAbsolute<f32>(x, length, lanes, first, ahead);
}

export function sumAbsolute64(x: usize, length: i32, lanes: usize, first: i32, ahead: i32): f64 {
  return sumAbsolute<f64>(x, length, lanes, first, ahead);
}

/** `place`: four bytes of this instance's own. */
export function largest32(x: usize, length: i32, most: f64, place: usize, ahead: i32): f64 {
  return largest<f32>(x, length, most, place, ahead);
}

export function largest64(x: usize, length: i32, most: f64, place: usize, ahead: i32): f64 {
  return largest<f64>(x, length, most, place, ahead);
}

export function scale32(x: usize, length: i32, factor: f64): void {
  scale<f32>(x, length, factor);
}

export function scale64(x: usize, length: i32, factor: f64): void {
  scale<f64>(x, length, factor);
}

export function clamp32(x: usize, length: i32, bound: f64): void {
  clamp<f32>(x, length, bound);
}

export function clamp64(x: usize, length: i32, bound: f64): void {
  clamp<f64>(x, length, bound);
}

export function addScaled32(s: usize, g: usize, length: i32, weight: f64): void {
  addScaled<f32>(s, g, length, weight);
}

export function addScaled64(s: usize, g: usize, length: i32, weight: f64): void {
  addScaled<f64>(s, g, length, weight);
}

export function divide32(g: usize, s: usize, length: i32, divisor: f64): void {
  divide<f32>(g, s, length, divisor);
}

export function divide64(g: usize, s: usize, length: i32, divisor: f64): void {
  divide<f64>(g, s, length, divisor);
}

// ---------------------------------------------------------------- 16 bits

export function widenBfloat16(bits: usize, out: usize, length: i32): void {
  widenBrains(bits, out, length);
}

export function widenFloat16(bits: usize, out: usize, length: i32, place: usize): void {
  widenHalves(bits, out, length, place);
}

export function narrowBfloat16(words: usize, bits: usize, length: i32, place: usize): void {
  narrowBrains(words, bits, length, place);
}

export function narrowFloat16(words: usize, bits: usize, length: i32, place: usize): void {
  narrowHalves(words, bits, length, place);
}
