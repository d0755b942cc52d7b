/**
 * The arithmetic of the float32 level, as plain loops rounded by `Math.fround`: its reference. What
 * is done in double is done by the loops of `src/loops/`.
 */
import { sixteen } from '../src/core/sixteen-bits.ts';
import { ENGINE } from '../src/engine/engine.ts';
import { type Kernels, typescriptKernels } from '../src/engine/kernels.ts';
import * as adamLoops from '../src/loops/adam.ts';
import * as matrix from '../src/loops/matrix.ts';
import * as momentumLoops from '../src/loops/momentum.ts';
import * as signLoops from '../src/loops/sign-momentum.ts';
import * as sums from '../src/loops/sums.ts';
import * as vector from '../src/loops/vector.ts';
import type { SingleLoops } from '../src/simd/single-loops.ts';

const f = Math.fround;
type Floats = Float32Array;

/** Limits: of moments' squares, of a group of eight rows, of a result that is still told. */
const SMALL = 2 ** -55;
const TINY = 2 ** -60;
const MOST = 2 ** 126;

/** Sum of (x b)² over a row: spans of 256 columns, four lanes. */
function rowSquares(x: Floats, at: number, cols: number, b?: Floats): number {
  let sum = 0;
  for (let from = 0; from < cols; from += 256) {
    const lanes = [0, 0, 0, 0];
    for (let j = from; j < Math.min(from + 256, cols); j++) {
      const y = b === undefined ? x[at + j]! : f(x[at + j]! * b[j]!);
      lanes[j & 3] = f(lanes[j & 3]! + f(y * y));
    }
    const span = f(lanes[0]! + lanes[2]!) + f(lanes[1]! + lanes[3]!);
    sum = from === 0 ? span : sum + span;
  }
  return sum;
}

/** Sum of squares over a range; null where it is to be done in double. */
function squaresOf(x: Floats, offset: number, length: number): number | null {
  let sum = 0;
  for (let k = 0; k < length; k += 256) sum += rowSquares(x, offset + k, Math.min(256, length - k));
  return sum >= length * 2 ** -100 && sum < Infinity ? sum : null;
}

/** Rows of a chunk that go together, by eights. */
function groupsOf(rows: number, cols: number, byStreams: boolean): number[][] {
  const far = byStreams && cols <= 8192 ? Math.max(1, rows >> 3) : 1;
  const eights = rows >> 3;
  const groups: number[][] = [];
  for (let i = 0; i < eights; i++)
    groups.push(Array.from({ length: 8 }, (_, k) => (far === 1 ? 8 * i + k : i + k * far)));
  if (rows & 7) groups.push(Array.from({ length: rows & 7 }, (_, k) => 8 * eights + k));
  return groups;
}

/** Row sums, and column sums added to `col`; null where the block is to be done in double. */
function reduced(
  g: Floats,
  offset: number,
  rows: number,
  cols: number,
  col: Float64Array,
  byStreams: boolean,
): number[] | null {
  const row: number[] = [];
  const q = new Float32Array(8);
  for (let i = 0; i < rows; i += 1024) {
    const chunk = Math.min(1024, rows - i);
    for (let k = 0; k < chunk; k++) row.push(rowSquares(g, offset + (i + k) * cols, cols));
    for (const group of groupsOf(chunk, cols, byStreams)) {
      const starts = group.map((k) => offset + (i + k) * cols);
      for (let j = 0; j < cols; j += 8192) {
        const first = starts.flatMap((at) => [...g.subarray(at + j, at + j + Math.min(4, cols - j))].map(Math.abs));
        if (first.every((x) => x < TINY) && first.some((x) => x !== 0)) return null;
      }
      q.fill(0);
      for (let j = 0; j < cols; j++) {
        for (const [k, at] of starts.entries()) q[k] = g[at + j]! * g[at + j]!;
        const left = f(f(q[0]! + q[1]!) + f(q[2]! + q[3]!));
        col[j]! += f(left + f(f(q[4]! + q[5]!) + f(q[6]! + q[7]!)));
      }
    }
  }
  return row;
}

const fitsColumn = (x: number): boolean => x >= 2 ** -60 && x <= 2 ** 60;
const fitsRow = (x: number): boolean => x === 0 || (x >= 2 ** -60 && x <= 2 ** 100);

/** M + r (X - M), or X + beta (M - X). */
function towards(m: number, x: number, beta: number, rest: number): number {
  return beta < 0.5 ? f(x + f(f(beta) * f(m - x))) : f(m + f(f(rest) * f(x - m)));
}

function square(x: number): number {
  return Math.abs(x) < SMALL ? 0 : f(x * x);
}

/** P - (lambda P + U). */
function stepped(p: number, keep: number, u: number): number {
  return keep === 1 ? f(p - u) : f(p - f(f(f(1 - keep) * p) + u));
}

function apply(
  p: Floats,
  g: Floats,
  from: number,
  m: Floats | null,
  mAt: number,
  rows: number,
  cols: number,
  rowFactor: Float64Array,
  rowAt: number,
  colFactor: Float64Array,
  colAt: number,
  keep: number,
  beta1: number,
): boolean {
  if (!rowFactor.subarray(rowAt, rowAt + rows).every(fitsRow)) return false;
  if (!colFactor.subarray(colAt, colAt + cols).every(fitsColumn)) return false;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) {
      const k = i * cols + j;
      let u = f(f(g[from + k]! * f(colFactor[colAt + j]!)) * f(rowFactor[rowAt + i]!));
      if (m !== null) m[mAt + k] = u = f(f(f(beta1) * m[mAt + k]!) + u);
      p[from + k] = stepped(p[from + k]!, keep, u);
    }
  }
  return true;
}

function adam(
  p: Floats,
  pAt: number,
  g: Floats,
  gAt: number,
  m: Floats,
  v: Floats,
  largest: Floats | null,
  at: number,
  length: number,
  sign: number,
  rest1: number,
  beta2: number,
  rest2: number,
  scale: number,
  eps: number,
  before: number,
  after: number,
): void {
  for (let k = 0; k < length; k++) {
    const a = sign * g[gAt + k]!;
    const second = towards(v[at + k]!, square(a), beta2, rest2);
    const numbers = [sign, rest1, beta2, rest2, scale, eps, before, after] as const;
    if (!(second < MOST)) {
      if (largest === null) adamLoops.adam(p, pAt + k, g, gAt + k, m, v, at + k, 1, ...numbers);
      else adamLoops.amsgrad(p, pAt + k, g, gAt + k, m, v, largest, at + k, 1, ...numbers);
      continue;
    }
    const first = rest1 > 0.5 ? towards(m[at + k]!, a, 1 - rest1, 1) : towards(m[at + k]!, a, 1, rest1);
    m[at + k] = first;
    v[at + k] = second;
    let root = second;
    if (largest !== null) {
      const old = largest[at + k]!;
      root = largest[at + k] = old >= second || Number.isNaN(old) ? old : second;
    }
    const u = f(f(scale * after) * f(first / f(f(Math.sqrt(root)) + f(eps))));
    const w = p[pAt + k]!;
    p[pAt + k] = f(w - f(f(f(1 - before * after) * w) + u));
  }
}

function sgd(
  p: Floats,
  pAt: number,
  g: Floats,
  gAt: number,
  m: Floats | null,
  at: number,
  length: number,
  sign: number,
  decay: number,
  lr: number,
  momentum: number,
  rest: number,
  ahead: number | null,
): void {
  for (let k = 0; k < length; k++) {
    const w = p[pAt + k]!;
    const a = f(f(sign * g[gAt + k]!) + f(f(decay) * w));
    const moment = m === null ? a : f(f(f(momentum) * m[at + k]!) + f(f(rest) * a));
    const x = f(w - f(f(lr) * (ahead === null ? moment : f(a + f(f(ahead) * moment)))));
    if (Math.abs(x) < MOST) {
      if (m !== null) m[at + k] = moment;
      p[pAt + k] = x;
    } else if (m === null) momentumLoops.sgd(p, pAt + k, g, gAt + k, 1, sign, decay, lr);
    else if (ahead === null) {
      momentumLoops.sgdMomentum(p, pAt + k, g, gAt + k, m, at + k, 1, sign, decay, lr, momentum, rest);
    } else momentumLoops.sgdNesterov(p, pAt + k, g, gAt + k, m, at + k, 1, sign, decay, lr, momentum, rest, ahead);
  }
}

function applyVector(
  p: Floats,
  pAt: number,
  g: Floats,
  gAt: number,
  m: Floats | null,
  v: Floats,
  at: number,
  length: number,
  beta: number,
  rest: number,
  eps: number,
  scale: number,
  keep: number,
  beta1: number,
): void {
  for (let k = 0; k < length; k++) {
    const a = g[gAt + k]!;
    const second = towards(v[at + k]!, f(square(a) + f(eps)), beta, rest);
    if (second < MOST) {
      v[at + k] = second;
      let u = f(f(a / f(Math.sqrt(second))) * f(scale));
      if (m !== null) m[at + k] = u = f(f(f(beta1) * m[at + k]!) + u);
      p[pAt + k] = stepped(p[pAt + k]!, keep, u);
    } else if (m === null) vector.applyVector(p, pAt + k, g, gAt + k, v, at + k, 1, beta, rest, eps, scale, keep);
    else {
      const all = [beta, rest, eps, scale, keep, beta1] as const;
      vector.applyVectorMomentum(p, pAt + k, g, gAt + k, m, at + k, v, at + k, 1, ...all);
    }
  }
}

/** Plain loops with the bits of the level. */
export const plainLoops: SingleLoops = {
  check: sums.sumSquares,

  sumSquares: (x, offset, length) => squaresOf(x, offset, length) ?? sums.sumSquares(x, offset, length),
  sumSquaresFar: (x, offset, length) => squaresOf(x, offset, length) ?? sums.sumSquaresFar(x, offset, length),

  reduce(g, offset, rows, cols, rowSums, rowAt, colSums, colAt, byStreams) {
    const columns = colSums.slice(colAt, colAt + cols);
    const row = reduced(g, offset, rows, cols, columns, byStreams);
    if (row === null || !row.every(Number.isFinite) || !columns.every(Number.isFinite)) {
      matrix.reduce(g, offset, rows, cols, rowSums, rowAt, colSums, colAt, byStreams);
      return;
    }
    rowSums.set(row, rowAt);
    colSums.set(columns, colAt);
  },

  measure(g, offset, rows, cols, rowFactor, rowAt, colFactor, colAt, sum, byStreams) {
    const roots = colFactor.subarray(colAt, colAt + cols).map(Math.sqrt);
    const b = Float32Array.from(roots, (x) => x * 2 ** 32);
    let total = roots.every(fitsColumn) && rowFactor.subarray(rowAt, rowAt + rows).every(fitsRow) ? sum : Number.NaN;
    for (let i = 0; i < rows && cols > 0; i++) {
      total += rowSquares(g, offset + i * cols, cols, b) * 2 ** -64 * rowFactor[rowAt + i]!;
    }
    if (Number.isFinite(total)) return total;
    return matrix.measure(g, offset, rows, cols, rowFactor, rowAt, colFactor, colAt, sum, byStreams);
  },

  apply(p, g, from, rows, cols, rowFactor, rowAt, colFactor, colAt, keep) {
    if (apply(p, g, from, null, 0, rows, cols, rowFactor, rowAt, colFactor, colAt, keep, 0)) return;
    matrix.apply(p, g, from, rows, cols, rowFactor, rowAt, colFactor, colAt, keep);
  },

  applyMomentum(p, g, from, m, mAt, rows, cols, rowFactor, rowAt, colFactor, colAt, keep, beta1) {
    if (apply(p, g, from, m, mAt, rows, cols, rowFactor, rowAt, colFactor, colAt, keep, beta1)) return;
    matrix.applyMomentum(p, g, from, m, mAt, rows, cols, rowFactor, rowAt, colFactor, colAt, keep, beta1);
  },

  measureVector(g, gAt, v, vAt, length, beta, rest, eps) {
    let sum = 0;
    for (let from = 0; from < length; from += 256) {
      const lanes = [0, 0, 0, 0];
      for (let k = from; k < Math.min(from + 256, length); k++) {
        const q = square(g[gAt + k]!);
        const part = f(q / towards(v[vAt + k]!, f(q + f(eps)), beta, rest));
        lanes[k & 3] = f(lanes[k & 3]! + part);
      }
      sum += f(lanes[0]! + lanes[2]!) + f(lanes[1]! + lanes[3]!);
    }
    return Number.isFinite(sum) ? sum : vector.measureVector(g, gAt, v, vAt, length, beta, rest, eps);
  },

  applyVector(p, pAt, g, gAt, v, vAt, length, beta, rest, eps, scale, keep) {
    applyVector(p, pAt, g, gAt, null, v, vAt, length, beta, rest, eps, scale, keep, 0);
  },

  applyVectorMomentum(p, pAt, g, gAt, m, _, v, vAt, length, beta, rest, eps, scale, keep, beta1) {
    applyVector(p, pAt, g, gAt, m, v, vAt, length, beta, rest, eps, scale, keep, beta1);
  },

  adam(p, pAt, g, gAt, m, v, at, length, ...numbers) {
    adam(p, pAt, g, gAt, m, v, null, at, length, ...numbers);
  },

  amsgrad(p, pAt, g, gAt, m, v, largest, at, length, ...numbers) {
    adam(p, pAt, g, gAt, m, v, largest, at, length, ...numbers);
  },

  sgd(p, pAt, g, gAt, length, sign, decay, lr) {
    sgd(p, pAt, g, gAt, null, 0, length, sign, decay, lr, 0, 0, null);
  },

  sgdMomentum(p, pAt, g, gAt, m, at, length, sign, decay, lr, momentum, rest) {
    sgd(p, pAt, g, gAt, m, at, length, sign, decay, lr, momentum, rest, null);
  },

  sgdNesterov(p, pAt, g, gAt, m, at, length, sign, decay, lr, momentum, rest, ahead) {
    sgd(p, pAt, g, gAt, m, at, length, sign, decay, lr, momentum, rest, ahead);
  },

  lion(p, pAt, g, gAt, m, at, length, beta1, rest1, beta2, rest2, lr, keep) {
    for (let k = 0; k < length; k++) {
      const a = g[gAt + k]!;
      const m0 = m[at + k]!;
      const x = f(f(beta1) * m0);
      const d = f(x + f(f(rest1) * a));
      if (Math.abs(d) < Math.max(2 ** -100, f(Math.abs(x) * 2 ** -21)) && (a !== 0 || m0 !== 0)) {
        signLoops.lion(p, pAt + k, g, gAt + k, m, at + k, 1, beta1, rest1, beta2, rest2, lr, keep);
        continue;
      }
      const u = d > 0 ? f(lr) : d < 0 ? -f(lr) : 0;
      m[at + k] = towards(m0, a, beta2, rest2);
      const w = p[pAt + k]!;
      p[pAt + k] = f(w - f(f(f(1 - keep) * w) + u));
    }
  },

  flush(x, limit) {
    for (let k = 0; k < x.length; k++) if (Math.abs(x[k]!) < limit) x[k] = 0;
  },
};

/** The level in plain TypeScript. */
export const plainKernels: Kernels = {
  ...typescriptKernels,
  name: 'plain float32',
  // As the SIMD engines, which widen 16 bits strip by strip.
  [ENGINE]: {
    float32: plainLoops,
    exact: { check: sums.sumSquares, ...sums, ...matrix, ...vector, ...adamLoops, ...momentumLoops, ...signLoops },
    sixteen,
    flush: plainLoops.flush,
  },
};
