/**
 * The float32 level's loops over matrices, and sums of squares. A row's sum has its own spans of
 * 256 columns wherever the row lies, and rows are added from the top down, so that it makes no
 * difference what is done at a time. Column sums alone depend on which eight rows go together,
 * and that on a block's shape.
 */
import type { Arena } from './arena.ts';
import { type Copies, type Copy, copy, NONE } from './copies.ts';
import { CHUNK, COLUMNS_AT, LANES_AT, PLACE_AT, ROWS_AT, SINGLES_AT, SPAN, TILE, ZEROS_AT } from './places.ts';
import type { SingleWasm } from './single-wasm.ts';
import { Tiles } from './tiles.ts';
import type { SimdLoops } from './wasm-loops.ts';

type Floats = Float32Array;

/** The loops of this file. */
export type SingleMatrix = Pick<
  SimdLoops,
  'sumSquares' | 'sumSquaresFar' | 'reduce' | 'measure' | 'apply' | 'applyMomentum'
>;

/** Elements of a row of a flat range, as far as its sum of squares goes. */
const ROW = 256;
/**
 * What b is multiplied by for the sum of U², so that no square is subnormal that is not far below
 * the others of its column.
 */
const RAISE = 2 ** 32;
const LOWER = 2 ** -64;
/** The least mean square of weights that float32 squares tell. */
const LEAST = 2 ** -100;

/**
 * The loops on one memory, with its fixed places from `base`. `double`: those that redo in double
 * what has to be.
 */
export function singleMatrix(
  arena: Arena,
  copies: Copies,
  wasm: SingleWasm,
  double: SimdLoops,
  base: number,
): SingleMatrix {
  const ZEROS = base + ZEROS_AT;
  const COLUMNS = base + COLUMNS_AT;
  const ROWS = base + ROWS_AT;
  const SUMS = base + LANES_AT;
  const SPARE = SUMS + 8 * (CHUNK + 8);
  const SINGLES = base + SINGLES_AT;
  const PLACE = base + PLACE_AT;
  const doubles = new Float64Array(arena.buffer);
  const tiles = new Tiles(arena, copies, base);

  /** Rows at a time: all when nothing is copied, else whole eights. */
  function rowsOfTile(inside: boolean, span: number): number {
    return inside ? CHUNK : Math.max(8, Math.floor(TILE / 4 / span / 8) * 8);
  }

  /** Row factors of a chunk; whether float32 can tell them. */
  function rowFactors(rowFactor: Float64Array, at: number, rows: number): boolean {
    copy(rowFactor, at, doubles, ROWS / 8, rows);
    return wasm.rowsFit(ROWS, rows) === 1;
  }

  /** Column factors of a span as float32 numbers; whether float32 can tell them. */
  function colFactors(colFactor: Float64Array, at: number, cols: number, root: number, power: number): boolean {
    copy(colFactor, at, doubles, COLUMNS / 8, cols);
    return wasm.putFactors(COLUMNS, SINGLES, cols, root, power) === 1;
  }

  /**
   * Whether float32 can tell all factors of a step, before it writes a weight. Those of a matrix
   * that is one chunk and one span are in their places then.
   */
  function factorsFit(
    rowFactor: Float64Array,
    rowAt: number,
    rows: number,
    colFactor: Float64Array,
    colAt: number,
    cols: number,
  ): boolean {
    for (let i = 0; i < rows; i += CHUNK) {
      if (!rowFactors(rowFactor, rowAt + i, Math.min(CHUNK, rows - i))) return false;
    }
    for (let j = 0; j < cols; j += SPAN) {
      if (!colFactors(colFactor, colAt + j, Math.min(SPAN, cols - j), 0, 1)) return false;
    }
    return true;
  }

  /** Rows that are read side by side are an eighth of `rows` apart where this is asked for. */
  function farOf(byStreams: boolean, rows: number, cols: number): number {
    return byStreams && cols <= SPAN ? Math.max(1, rows >> 3) : 1;
  }

  /** One span of a chunk for `reduce`; false where the block is to be done in double. */
  function reduceSpan(
    g: Floats,
    g0: number,
    gKept: Copy,
    at: number,
    rows: number,
    cols: number,
    span: number,
    first: number,
    byStreams: boolean,
  ): boolean {
    const far = farOf(byStreams, rows, cols);
    if (g0 >= 0) {
      const address = g0 + 4 * at;
      return wasm.reduce(address, 4 * cols, rows, far, span, COLUMNS, SUMS, ZEROS, first, PLACE) === 0;
    }
    let done = 0;
    if (far > 1) {
      const step = Math.max(1, Math.floor(TILE / 32 / cols));
      for (let r = 0; r < far; r += step) {
        const n = Math.min(step, far - r);
        const address = tiles.enterEighths(g, at + r * cols, far * cols, n * cols);
        if (wasm.reduce(address, 4 * cols, 8 * n, n, cols, COLUMNS, SPARE, ZEROS, 1, PLACE) !== 0) return false;
        for (let k = 0; k < 8; k++)
          doubles.copyWithin(SUMS / 8 + k * far + r, SPARE / 8 + k * n, SPARE / 8 + (k + 1) * n);
      }
      done = 8 * far;
    }
    const step = rowsOfTile(false, span);
    for (let r = done; r < rows; r += step) {
      const n = Math.min(step, rows - r);
      const address = tiles.enterRows(0, g0, gKept, far === 1, g, at + r * cols, n, cols, span);
      if (wasm.reduce(address, 4 * span, n, 1, span, COLUMNS, SUMS + 8 * r, ZEROS, first, PLACE) !== 0) return false;
    }
    return true;
  }

  /** Double where eight rows are below 2^-60, but not all 0, or a sum is not finite. */
  function reduce(
    g: Floats,
    offset: number,
    rows: number,
    cols: number,
    rowSums: Float64Array,
    rowAt: number,
    colSums: Float64Array,
    colAt: number,
    byStreams: boolean,
  ): void {
    if (cols === 0 || !reduceAll(g, offset, rows, cols, rowSums, rowAt, colSums, colAt, byStreams)) {
      double.reduce(g, offset, rows, cols, rowSums, rowAt, colSums, colAt, byStreams);
    }
  }

  function reduceAll(
    g: Floats,
    offset: number,
    rows: number,
    cols: number,
    rowSums: Float64Array,
    rowAt: number,
    colSums: Float64Array,
    colAt: number,
    byStreams: boolean,
  ): boolean {
    const g0 = tiles.address(g);
    const gKept = tiles.kept(g0, g);
    // Sums so far are put back where the block has to be done again.
    const several = rows > CHUNK || cols > SPAN;
    const before = several ? colSums.slice(colAt, colAt + cols) : null;
    for (let i = 0; i < rows; i += CHUNK) {
      const chunk = Math.min(CHUNK, rows - i);
      for (let j = 0; j < cols; j += SPAN) {
        const span = Math.min(SPAN, cols - j);
        copy(colSums, colAt + j, doubles, COLUMNS / 8, span);
        const good = reduceSpan(g, g0, gKept, offset + i * cols + j, chunk, cols, span, j === 0 ? 1 : 0, byStreams);
        const whole = j + span < cols || wasm.finite(SUMS, chunk) === 1;
        if (!good || !whole || wasm.finite(COLUMNS, span) !== 1) {
          if (before !== null) colSums.set(before, colAt);
          return false;
        }
        copy(doubles, COLUMNS / 8, colSums, colAt + j, span);
      }
      copy(doubles, SUMS / 8, rowSums, rowAt + i, chunk);
    }
    return true;
  }

  /** Double where a factor is beyond 2^60 or 2^100, or the sum is not finite. */
  function measure(
    g: Floats,
    offset: number,
    rows: number,
    cols: number,
    rowFactor: Float64Array,
    rowAt: number,
    colFactor: Float64Array,
    colAt: number,
    sum: number,
    byStreams: boolean,
  ): number {
    const all = measureAll(g, offset, rows, cols, rowFactor, rowAt, colFactor, colAt, sum, byStreams);
    if (Number.isFinite(all)) return all;
    return double.measure(g, offset, rows, cols, rowFactor, rowAt, colFactor, colAt, sum, byStreams);
  }

  function measureAll(
    g: Floats,
    offset: number,
    rows: number,
    cols: number,
    rowFactor: Float64Array,
    rowAt: number,
    colFactor: Float64Array,
    colAt: number,
    sum: number,
    byStreams: boolean,
  ): number {
    const g0 = tiles.address(g);
    const gKept = tiles.kept(g0, g);
    let total = sum;
    for (let i = 0; i < rows; i += CHUNK) {
      const chunk = Math.min(CHUNK, rows - i);
      if (!rowFactors(rowFactor, rowAt + i, chunk)) return Number.NaN;
      for (let j = 0; j < cols; j += SPAN) {
        const span = Math.min(SPAN, cols - j);
        if (!colFactors(colFactor, colAt + j, span, 1, RAISE)) return Number.NaN;
        const first = j === 0 ? 1 : 0;
        const step = rowsOfTile(g0 >= 0, span);
        for (let r = 0; r < chunk; r += step) {
          const n = Math.min(step, chunk - r);
          const far = farOf(byStreams && g0 >= 0, n, cols);
          const address = tiles.enterRows(0, g0, gKept, true, g, offset + (i + r) * cols + j, n, cols, span);
          const stride = 4 * (g0 >= 0 ? cols : span);
          wasm.measure(address, stride, n, far, span, SINGLES, SUMS + 8 * r, ZEROS, first, PLACE);
        }
      }
      if (cols > 0) total = wasm.weigh(SUMS, ROWS, chunk, LOWER, total);
    }
    return total;
  }

  /**
   * The sum of squares; NaN where it is not finite, or the mean is so small that squares may be
   * missing.
   */
  function squaresOf(x: Floats, offset: number, length: number, byStreams: boolean): number {
    const x0 = tiles.address(x);
    const kept = tiles.kept(x0, x);
    const step = x0 >= 0 ? CHUNK * ROW : tiles.most;
    let sum = 0;
    for (let k = 0; k < length; k += step) {
      const n = Math.min(step, length - k);
      const rows = Math.floor(n / ROW);
      const address = tiles.enter(0, x0, kept, true, x, offset + k, n);
      wasm.squares(address, rows, farOf(byStreams && x0 >= 0, rows, ROW), ROW, SUMS, ZEROS, PLACE);
      sum = wasm.added(SUMS, rows, sum);
      const rest = n - rows * ROW;
      if (rest === 0) continue;
      wasm.squares(address + 4 * rows * ROW, 1, 1, rest, SUMS, ZEROS, PLACE);
      sum = wasm.added(SUMS, 1, sum);
    }
    return sum >= length * LEAST && sum < Number.POSITIVE_INFINITY ? sum : Number.NaN;
  }

  function sumSquares(x: Floats, offset: number, length: number): number {
    const sum = squaresOf(x, offset, length, false);
    return Number.isNaN(sum) ? double.sumSquares(x, offset, length) : sum;
  }

  function sumSquaresFar(x: Floats, offset: number, length: number): number {
    const sum = squaresOf(x, offset, length, true);
    return Number.isNaN(sum) ? double.sumSquaresFar(x, offset, length) : sum;
  }

  /** Double where a factor is beyond 2^60 or 2^100. */
  function apply(
    p: Floats,
    g: Floats,
    from: number,
    rows: number,
    cols: number,
    rowFactor: Float64Array,
    rowAt: number,
    colFactor: Float64Array,
    colAt: number,
    keep: number,
  ): void {
    if (!factorsFit(rowFactor, rowAt, rows, colFactor, colAt, cols)) {
      double.apply(p, g, from, rows, cols, rowFactor, rowAt, colFactor, colAt, keep);
    } else step(p, g, from, null, 0, rows, cols, rowFactor, rowAt, colFactor, colAt, keep, 0);
  }

  /** Double as {@link apply}. */
  function applyMomentum(
    p: Floats,
    g: Floats,
    from: number,
    m: Floats,
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
    if (!factorsFit(rowFactor, rowAt, rows, colFactor, colAt, cols)) {
      double.applyMomentum(p, g, from, m, mAt, rows, cols, rowFactor, rowAt, colFactor, colAt, keep, beta1);
    } else step(p, g, from, m, mAt, rows, cols, rowFactor, rowAt, colFactor, colAt, keep, beta1);
  }

  function step(
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
  ): void {
    const p0 = tiles.address(p);
    const pKept = tiles.written(p0, p);
    const g0 = tiles.address(g);
    const gKept = tiles.kept(g0, g);
    const m0 = m === null ? 0 : tiles.address(m);
    const placed = rows <= CHUNK && cols <= SPAN;
    for (let i = 0; i < rows; i += CHUNK) {
      const chunk = Math.min(CHUNK, rows - i);
      if (!placed) rowFactors(rowFactor, rowAt + i, chunk);
      for (let j = 0; j < cols; j += SPAN) {
        const span = Math.min(SPAN, cols - j);
        if (!placed) colFactors(colFactor, colAt + j, span, 0, 1);
        const most = rowsOfTile(p0 >= 0 && g0 >= 0 && m0 >= 0, span);
        const pStride = 4 * (p0 >= 0 ? cols : span);
        const gStride = 4 * (g0 >= 0 ? cols : span);
        for (let r = 0; r < chunk; r += most) {
          const n = Math.min(most, chunk - r);
          const at = (i + r) * cols + j;
          const gTile = tiles.enterRows(0, g0, gKept, false, g, from + at, n, cols, span);
          const pTile = tiles.enterRows(1, p0, pKept, false, p, from + at, n, cols, span);
          const row = ROWS + 8 * r;
          if (m === null) wasm.apply(pTile, pStride, gTile, gStride, n, span, row, SINGLES, keep);
          else {
            const mTile = tiles.enterRows(2, m0, NONE, false, m, mAt + at, n, cols, span);
            const mStride = 4 * (m0 >= 0 ? cols : span);
            wasm.applyMomentum(pTile, pStride, gTile, gStride, mTile, mStride, n, span, row, SINGLES, keep, beta1);
            tiles.leaveRows(mTile, m0, m, mAt + at, n, cols, span);
          }
          tiles.leaveRows(pTile, p0, p, from + at, n, cols, span);
        }
      }
    }
  }

  return { sumSquares, sumSquaresFar, reduce, measure, apply, applyMomentum };
}
