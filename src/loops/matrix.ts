/**
 * Adafactor's loops over matrices, whose second moment is factored, in the notation of Shazeer &
 * Stern 2018, "Adafactor": G gradient, R and C row and column averages, V second moment, U update.
 * The order of the sums is that of `loops/sums.ts`.
 *
 * Written for V8 (Node 20.20, V8 11.3; nanoseconds per element, matrices of 256² and 1024²), which
 * in every access checks the bounds and loads the array's length and address anew, so that
 * addresses are what counts, not arithmetic:
 * - four columns in the body of a loop: `reduce` 0.65 instead of 0.72, `measure` 0.64 instead of
 *   0.72, `apply` 1.2 instead of 1.4. Eight columns: `reduce` 0.60, `measure` 0.91, `apply` no
 *   faster.
 * - eight rows: `reduce` 0.67, but `apply` 4.9 at 1024², and `applyMomentum` is at 5.5 with four
 *   already: rows a power of two apart share one set of the first cache, which holds eight lines.
 *   Two rows of `apply`: 1.3.
 * - the small functions are inlined and cost nothing; `| 0` on indices gained 3 % and would end at
 *   2³¹ elements.
 * - once any ArrayBuffer of the process was detached (transferred, or a WebAssembly memory that
 *   grew), V8 tests for it in every access, and each loop here takes a quarter longer. That is the
 *   whole process's, so nothing can be done about it here.
 *
 * @module
 */

import { rowsApart } from './blocks.ts';
import type { LookedUp } from './elements.ts';

/** The squares of one column of four rows, added. */
function squares(a0: number, a1: number, a2: number, a3: number): number {
  return a0 * a0 + a1 * a1 + (a2 * a2 + a3 * a3);
}

/**
 * Row and column sums of G²: `rowSums[rowAt + i]` is set to row i's, `colSums[colAt + j]` has
 * column j's added. G is `rows` by `cols`, row-major, from `offset`; `far`: by eight streams.
 */
export function reduce(
  g: LookedUp,
  offset: number,
  rows: number,
  cols: number,
  rowSums: Float64Array,
  rowAt: number,
  colSums: Float64Array,
  colAt: number,
  far: boolean,
): void {
  let i = 0;
  let from = 0;
  let to = 0;
  let apart = 1;
  for (; i + 3 < rows; i += 4) {
    if (i === to) {
      from = i;
      apart = far ? rowsApart(rows - i) : 1;
      to = i + 8 * apart;
    }
    const row = from + ((i - from) >> 3) + ((i - from) & 4) * apart;
    const p0 = offset + row * cols;
    const p1 = p0 + apart * cols;
    const p2 = p1 + apart * cols;
    const p3 = p2 + apart * cols;
    let e0 = 0;
    let e1 = 0;
    let e2 = 0;
    let e3 = 0;
    let o0 = 0;
    let o1 = 0;
    let o2 = 0;
    let o3 = 0;
    let j = 0;
    for (; j + 3 < cols; j += 4) {
      const a0 = g[p0 + j]!;
      const a1 = g[p1 + j]!;
      const a2 = g[p2 + j]!;
      const a3 = g[p3 + j]!;
      e0 += a0 * a0;
      e1 += a1 * a1;
      e2 += a2 * a2;
      e3 += a3 * a3;
      colSums[colAt + j]! += squares(a0, a1, a2, a3);
      const b0 = g[p0 + j + 1]!;
      const b1 = g[p1 + j + 1]!;
      const b2 = g[p2 + j + 1]!;
      const b3 = g[p3 + j + 1]!;
      o0 += b0 * b0;
      o1 += b1 * b1;
      o2 += b2 * b2;
      o3 += b3 * b3;
      colSums[colAt + j + 1]! += squares(b0, b1, b2, b3);
      const c0 = g[p0 + j + 2]!;
      const c1 = g[p1 + j + 2]!;
      const c2 = g[p2 + j + 2]!;
      const c3 = g[p3 + j + 2]!;
      e0 += c0 * c0;
      e1 += c1 * c1;
      e2 += c2 * c2;
      e3 += c3 * c3;
      colSums[colAt + j + 2]! += squares(c0, c1, c2, c3);
      const d0 = g[p0 + j + 3]!;
      const d1 = g[p1 + j + 3]!;
      const d2 = g[p2 + j + 3]!;
      const d3 = g[p3 + j + 3]!;
      o0 += d0 * d0;
      o1 += d1 * d1;
      o2 += d2 * d2;
      o3 += d3 * d3;
      colSums[colAt + j + 3]! += squares(d0, d1, d2, d3);
    }
    for (; j < cols; j++) {
      const a0 = g[p0 + j]!;
      const a1 = g[p1 + j]!;
      const a2 = g[p2 + j]!;
      const a3 = g[p3 + j]!;
      if ((j & 1) === 0) {
        e0 += a0 * a0;
        e1 += a1 * a1;
        e2 += a2 * a2;
        e3 += a3 * a3;
      } else {
        o0 += a0 * a0;
        o1 += a1 * a1;
        o2 += a2 * a2;
        o3 += a3 * a3;
      }
      colSums[colAt + j]! += squares(a0, a1, a2, a3);
    }
    const r = rowAt + row;
    rowSums[r] = e0 + o0;
    rowSums[r + apart] = e1 + o1;
    rowSums[r + 2 * apart] = e2 + o2;
    rowSums[r + 3 * apart] = e3 + o3;
  }
  if (i < rows) reduceLast(g, offset + i * cols, rows - i, cols, rowSums, rowAt + i, colSums, colAt);
}

/**
 * {@link reduce} for the one to three rows that are left over; absent rows are zeros, which add
 * nothing.
 */
function reduceLast(
  g: LookedUp,
  offset: number,
  rows: number,
  cols: number,
  rowSums: Float64Array,
  rowAt: number,
  colSums: Float64Array,
  colAt: number,
): void {
  for (let i = 0; i < rows; i++) {
    let even = 0;
    let odd = 0;
    const p = offset + i * cols;
    let j = 0;
    for (; j + 1 < cols; j += 2) {
      even += g[p + j]! * g[p + j]!;
      odd += g[p + j + 1]! * g[p + j + 1]!;
    }
    if (j < cols) even += g[p + j]! * g[p + j]!;
    rowSums[rowAt + i] = even + odd;
  }
  for (let j = 0; j < cols; j++) {
    let sum = g[offset + j]! * g[offset + j]!;
    for (let i = 1; i < rows; i++) sum += g[offset + i * cols + j]! * g[offset + i * cols + j]!;
    colSums[colAt + j]! += sum;
  }
}

/** The squares of one column of four rows, each times its row's factor, added. */
function weighted(
  a0: number,
  a1: number,
  a2: number,
  a3: number,
  f0: number,
  f1: number,
  f2: number,
  f3: number,
): number {
  return a0 * a0 * f0 + a1 * a1 * f1 + (a2 * a2 * f2 + a3 * a3 * f3);
}

/**
 * Sum of U² = G² / V̂ with 1 / V̂_ij = rowFactor_i · colFactor_j, added to `sum` one group of four
 * rows after the other; the quotient is formed as
 * ((g0²f0 + g1²f1) + (g2²f2 + g3²f3)) · colFactor_j. `far`: by eight streams.
 */
export function measure(
  g: LookedUp,
  offset: number,
  rows: number,
  cols: number,
  rowFactor: Float64Array,
  rowAt: number,
  colFactor: Float64Array,
  colAt: number,
  sum: number,
  far: boolean,
): number {
  let i = 0;
  let from = 0;
  let to = 0;
  let apart = 1;
  let total = sum;
  for (; i + 3 < rows; i += 4) {
    if (i === to) {
      from = i;
      apart = far ? rowsApart(rows - i) : 1;
      to = i + 8 * apart;
    }
    const row = from + ((i - from) >> 3) + ((i - from) & 4) * apart;
    const p0 = offset + row * cols;
    const p1 = p0 + apart * cols;
    const p2 = p1 + apart * cols;
    const p3 = p2 + apart * cols;
    const r = rowAt + row;
    const f0 = rowFactor[r]!;
    const f1 = rowFactor[r + apart]!;
    const f2 = rowFactor[r + 2 * apart]!;
    const f3 = rowFactor[r + 3 * apart]!;
    let even = 0;
    let odd = 0;
    let j = 0;
    for (; j + 3 < cols; j += 4) {
      const k0 = p0 + j;
      const k1 = p1 + j;
      const k2 = p2 + j;
      const k3 = p3 + j;
      even += weighted(g[k0]!, g[k1]!, g[k2]!, g[k3]!, f0, f1, f2, f3) * colFactor[colAt + j]!;
      odd += weighted(g[k0 + 1]!, g[k1 + 1]!, g[k2 + 1]!, g[k3 + 1]!, f0, f1, f2, f3) * colFactor[colAt + j + 1]!;
      even += weighted(g[k0 + 2]!, g[k1 + 2]!, g[k2 + 2]!, g[k3 + 2]!, f0, f1, f2, f3) * colFactor[colAt + j + 2]!;
      odd += weighted(g[k0 + 3]!, g[k1 + 3]!, g[k2 + 3]!, g[k3 + 3]!, f0, f1, f2, f3) * colFactor[colAt + j + 3]!;
    }
    for (; j < cols; j++) {
      const part = weighted(g[p0 + j]!, g[p1 + j]!, g[p2 + j]!, g[p3 + j]!, f0, f1, f2, f3) * colFactor[colAt + j]!;
      if ((j & 1) === 0) even += part;
      else odd += part;
    }
    total += even + odd;
  }
  if (i < rows) {
    let even = 0;
    let odd = 0;
    for (let j = 0; j < cols; j++) {
      let part = 0;
      for (let k = i; k < rows; k++) {
        const a = g[offset + k * cols + j]!;
        part += a * a * rowFactor[rowAt + k]!;
      }
      part *= colFactor[colAt + j]!;
      if ((j & 1) === 0) even += part;
      else odd += part;
    }
    total += even + odd;
  }
  return total;
}

/** {@link apply} to one column of four rows, at `a0` to `a3`, all loads before the first store. */
function applyColumn(
  p: LookedUp,
  g: LookedUp,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
  f0: number,
  f1: number,
  f2: number,
  f3: number,
  c: number,
  keep: number,
): void {
  const x0 = keep * p[a0]! - g[a0]! * f0 * c;
  const x1 = keep * p[a1]! - g[a1]! * f1 * c;
  const x2 = keep * p[a2]! - g[a2]! * f2 * c;
  const x3 = keep * p[a3]! - g[a3]! * f3 * c;
  p[a0] = x0;
  p[a1] = x1;
  p[a2] = x2;
  p[a3] = x3;
}

/**
 * P ← keep · P − (G · rowFactor_i) · colFactor_j, where the factors hold the learning rate and the
 * clip, keep the decay. P and G are both from `at`: one address for two arrays is what makes this
 * loop a seventh faster.
 */
export function apply(
  p: LookedUp,
  g: LookedUp,
  at: number,
  rows: number,
  cols: number,
  rowFactor: Float64Array,
  rowAt: number,
  colFactor: Float64Array,
  colAt: number,
  keep: number,
): void {
  let i = 0;
  for (; i + 3 < rows; i += 4) {
    const p0 = at + i * cols;
    const p1 = p0 + cols;
    const p2 = p1 + cols;
    const p3 = p2 + cols;
    const f0 = rowFactor[rowAt + i]!;
    const f1 = rowFactor[rowAt + i + 1]!;
    const f2 = rowFactor[rowAt + i + 2]!;
    const f3 = rowFactor[rowAt + i + 3]!;
    let j = 0;
    for (; j + 3 < cols; j += 4) {
      const a0 = p0 + j;
      const a1 = p1 + j;
      const a2 = p2 + j;
      const a3 = p3 + j;
      const c = colAt + j;
      applyColumn(p, g, a0, a1, a2, a3, f0, f1, f2, f3, colFactor[c]!, keep);
      applyColumn(p, g, a0 + 1, a1 + 1, a2 + 1, a3 + 1, f0, f1, f2, f3, colFactor[c + 1]!, keep);
      applyColumn(p, g, a0 + 2, a1 + 2, a2 + 2, a3 + 2, f0, f1, f2, f3, colFactor[c + 2]!, keep);
      applyColumn(p, g, a0 + 3, a1 + 3, a2 + 3, a3 + 3, f0, f1, f2, f3, colFactor[c + 3]!, keep);
    }
    for (; j < cols; j++) {
      applyColumn(p, g, p0 + j, p1 + j, p2 + j, p3 + j, f0, f1, f2, f3, colFactor[colAt + j]!, keep);
    }
  }
  for (; i < rows; i++) {
    const f = rowFactor[rowAt + i]!;
    const a = at + i * cols;
    for (let j = 0; j < cols; j++) {
      const x = keep * p[a + j]! - g[a + j]! * f * colFactor[colAt + j]!;
      p[a + j] = x;
    }
  }
}

/** {@link applyMomentum} to one column of two rows. */
function momentumColumn(
  p: LookedUp,
  g: LookedUp,
  a0: number,
  a1: number,
  m: Float32Array,
  m0: number,
  m1: number,
  f0: number,
  f1: number,
  c: number,
  keep: number,
  beta1: number,
): void {
  const y0 = beta1 * m[m0]! + g[a0]! * f0 * c;
  const y1 = beta1 * m[m1]! + g[a1]! * f1 * c;
  const x0 = keep * p[a0]! - y0;
  const x1 = keep * p[a1]! - y1;
  m[m0] = y0;
  m[m1] = y1;
  p[a0] = x0;
  p[a1] = x1;
}

/**
 * {@link apply} through momentum: M ← β₁M + (G · rowFactor_i) · colFactor_j, P ← keep · P − M,
 * M not yet rounded. M is from `mAt`.
 */
export function applyMomentum(
  p: LookedUp,
  g: LookedUp,
  at: number,
  m: Float32Array,
  mAt: number,
  rows: number,
  cols: number,
  rowFactor: Float64Array,
  rowAt: number,
  colFactor: Float64Array,
  colAt: number,
  keep: number,
  beta1: number,
): void {
  let i = 0;
  for (; i + 1 < rows; i += 2) {
    const p0 = at + i * cols;
    const p1 = p0 + cols;
    const m0 = mAt + i * cols;
    const m1 = m0 + cols;
    const f0 = rowFactor[rowAt + i]!;
    const f1 = rowFactor[rowAt + i + 1]!;
    let j = 0;
    for (; j + 3 < cols; j += 4) {
      const a0 = p0 + j;
      const a1 = p1 + j;
      const b0 = m0 + j;
      const b1 = m1 + j;
      const c = colAt + j;
      momentumColumn(p, g, a0, a1, m, b0, b1, f0, f1, colFactor[c]!, keep, beta1);
      momentumColumn(p, g, a0 + 1, a1 + 1, m, b0 + 1, b1 + 1, f0, f1, colFactor[c + 1]!, keep, beta1);
      momentumColumn(p, g, a0 + 2, a1 + 2, m, b0 + 2, b1 + 2, f0, f1, colFactor[c + 2]!, keep, beta1);
      momentumColumn(p, g, a0 + 3, a1 + 3, m, b0 + 3, b1 + 3, f0, f1, colFactor[c + 3]!, keep, beta1);
    }
    for (; j < cols; j++) {
      momentumColumn(p, g, p0 + j, p1 + j, m, m0 + j, m1 + j, f0, f1, colFactor[colAt + j]!, keep, beta1);
    }
  }
  if (i < rows) {
    const f = rowFactor[rowAt + i]!;
    const a = at + i * cols;
    const b = mAt + i * cols;
    for (let j = 0; j < cols; j++) {
      const y = beta1 * m[b + j]! + g[a + j]! * f * colFactor[colAt + j]!;
      const x = keep * p[a + j]! - y;
      m[b + j] = y;
      p[a + j] = x;
    }
  }
}
