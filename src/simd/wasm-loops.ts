/**
 * The loops of `loops/matrix.ts` by way of WebAssembly: addresses for arrays inside the module's
 * memory, tiles (small copies) for all others. The arithmetic is in `assembly/`.
 *
 * A matrix goes through in chunks of rows and spans of columns, so that every copy has a place of
 * fixed size; neither changes the order of a sum: a row's two lanes are carried from span to span,
 * columns are added from the top row down.
 */

import type * as adam from '../loops/adam.ts';
import type * as matrix from '../loops/matrix.ts';
import type * as sums from '../loops/sums.ts';
import type * as vector from '../loops/vector.ts';
import type { CheckLoop } from '../optimizers/elementwise.ts';
import type { Arena } from './arena.ts';
import { type Copies, copy, NONE } from './copies.ts';
import { farSums, type WasmFarSums } from './far-sums.ts';
import { CHUNK, COLUMNS_AT, FETCH, LANES_AT, PLACE_AT, ROWS_AT, SPAN, TILE, ZEROS_AT } from './places.ts';
import { Tiles } from './tiles.ts';

/**
 * The loops of the rules that are here, by their names; float64 arrays go where they say
 * Float32Array.
 */
export type SimdLoops = typeof sums & typeof matrix & typeof vector & typeof adam & { readonly check: CheckLoop };

/** What `assembly/` exports, for one array type; its arguments are said there. */
export interface WasmLoops extends WasmFarSums {
  readonly reduce: (...args: number[]) => void;
  readonly measure: (...args: number[]) => number;
  readonly apply: (...args: number[]) => void;
  readonly applyMomentum: (...args: number[]) => void;
  readonly measureVector: (...args: number[]) => number;
  readonly applyVector: (...args: number[]) => void;
  readonly adam: (...args: number[]) => void;
  /** Not for float64, where a square can be infinite. */
  readonly nonFinite: ((...args: number[]) => number) | undefined;
}

/** Float64 arrays go where the types say Float32Array: all loops have one shape. */
type Floats = Float32Array;

/** The loops over arrays with `width` bytes per element, with their fixed places from `base`. */
export function simdLoops(arena: Arena, copies: Copies, wasm: WasmLoops, width: 4 | 8, base: number): SimdLoops {
  const { buffer } = arena;
  const ZEROS = base + ZEROS_AT;
  const COLUMNS = base + COLUMNS_AT;
  const ROWS = base + ROWS_AT;
  const LANES = base + LANES_AT;
  const doubles = new Float64Array(buffer);
  const memory = (width === 4 ? new Float32Array(buffer) : doubles) as Floats;
  const PLACE = base + PLACE_AT;
  const rowsAt = ROWS / 8;
  const { nonFinite } = wasm;
  const tiles = new Tiles(arena, copies, base, width);

  /** Whether an array is to be touched ahead of where it is read. */
  function ahead(address: number, array: Floats): number {
    return address >= 0 && array.length * width >= FETCH ? 1 : 0;
  }

  /** Bytes from row to row: in the array itself, or in its tile. */
  function stride(address: number, cols: number, span: number): number {
    return (address < 0 ? span : cols) * width;
  }

  /** Rows at a time: all when nothing is copied. */
  function rowsOfTile(inside: boolean, span: number): number {
    return inside ? CHUNK : Math.max(4, Math.floor(TILE / width / Math.max(1, span) / 4) * 4);
  }

  /** Address of a span of column sums or factors. */
  function columns(array: Float64Array, at: number, length: number): number {
    if (array.buffer === buffer) return arena.address(array) + 8 * at;
    copy(array, at, doubles, COLUMNS / 8, length);
    return COLUMNS;
  }

  /** Row factors of a chunk, and zeros for the absent rows of its last group of four. */
  function rowFactors(rowFactor: Float64Array, at: number, rows: number): void {
    copy(rowFactor, at, doubles, rowsAt, rows);
    doubles[rowsAt + rows] = doubles[rowsAt + rows + 1] = doubles[rowsAt + rows + 2] = 0;
  }

  /**
   * Row sums of a chunk and column sums of a span, out of their places. A view is kept, as the next
   * matrix often has the same shape.
   */
  let rowView = doubles.subarray(rowsAt, rowsAt);
  let columnView = rowView;
  function leaveRowSums(array: Float64Array, at: number, length: number): void {
    if (rowView.length !== length) rowView = doubles.subarray(rowsAt, rowsAt + length);
    array.set(rowView, at);
  }
  function leaveColumnSums(array: Float64Array, at: number, length: number): void {
    if (columnView.length !== length) columnView = doubles.subarray(COLUMNS / 8, COLUMNS / 8 + length);
    array.set(columnView, at);
  }

  function sumSquares(x: Floats, offset: number, length: number): number {
    const x0 = arena.address(x);
    const kept = tiles.kept(x0, x);
    const step = x0 >= 0 ? length : tiles.most;
    let sum = 0;
    for (let k = 0; k < length; k += step) {
      const n = Math.min(step, length - k);
      sum = wasm.sumSquares(tiles.enter(0, x0, kept, true, x, offset + k, n), n, LANES, k === 0 ? 1 : 0, ahead(x0, x));
    }
    return sum;
  }

  /** 0 where all numbers are finite, else NaN: a third of the time of their squares' sum. */
  function finite(bad: NonNullable<WasmLoops['nonFinite']>): CheckLoop {
    return (x, offset, length) => {
      const x0 = arena.address(x);
      const kept = tiles.kept(x0, x);
      const step = x0 >= 0 ? length : tiles.most;
      for (let k = 0; k < length; k += step) {
        const n = Math.min(step, length - k);
        if (bad(tiles.enter(0, x0, kept, true, x, offset + k, n), n, PLACE, ahead(x0, x)) !== 0) return Number.NaN;
      }
      return 0;
    };
  }

  const far = farSums(arena, wasm, width, base, {
    memory,
    tiles,
    columns,
    rowFactors,
    leaveRowSums,
    leaveColumnSums,
  });

  return {
    sumSquares,
    sumSquaresFar: far.sumSquares,
    check: nonFinite === undefined ? sumSquares : finite(nonFinite),

    reduce(g, offset, rows, cols, rowSums, rowAt, colSums, colAt, byStreams) {
      const done = byStreams && cols > 0 ? rows - (rows % 8) : 0;
      if (done > 0) far.reduce(g, offset, rows, cols, rowSums, rowAt, colSums, colAt);
      const g0 = arena.address(g);
      const gKept = tiles.kept(g0, g);
      for (let i = done; i < rows; i += CHUNK) {
        const chunk = Math.min(CHUNK, rows - i);
        if (cols === 0) doubles.fill(0, rowsAt, rowsAt + chunk);
        for (let j = 0; j < cols; j += SPAN) {
          const span = Math.min(SPAN, cols - j);
          const step = rowsOfTile(g0 >= 0, span);
          const first = j === 0 ? 1 : 0;
          const last = j + span === cols ? 1 : 0;
          const sums = columns(colSums, colAt + j, span);
          for (let r = 0; r < chunk; r += step) {
            const n = Math.min(step, chunk - r);
            const address = tiles.enterRows(0, g0, gKept, true, g, offset + (i + r) * cols + j, n, cols, span);
            const lanes = LANES + 16 * r;
            wasm.reduce(address, stride(g0, cols, span), n, span, lanes, sums, ZEROS, first, last, ROWS + 8 * r);
          }
          if (sums === COLUMNS) leaveColumnSums(colSums, colAt + j, span);
        }
        leaveRowSums(rowSums, rowAt + i, chunk);
      }
    },

    measure(g, offset, rows, cols, rowFactor, rowAt, colFactor, colAt, sum, byStreams) {
      const done = byStreams ? rows - (rows % 8) : 0;
      let total = sum;
      if (done > 0) total = far.measure(g, offset, rows, cols, rowFactor, rowAt, colFactor, colAt, sum);
      const g0 = arena.address(g);
      const gKept = tiles.kept(g0, g);
      for (let i = done; i < rows; i += CHUNK) {
        const chunk = Math.min(CHUNK, rows - i);
        rowFactors(rowFactor, rowAt + i, chunk);
        const before = total;
        for (let j = 0; j < cols; j += SPAN) {
          const span = Math.min(SPAN, cols - j);
          const step = rowsOfTile(g0 >= 0, span);
          const first = j === 0 ? 1 : 0;
          const factors = columns(colFactor, colAt + j, span);
          // Groups' sums are whole after the last span: what earlier ones add is dropped.
          total = before;
          for (let r = 0; r < chunk; r += step) {
            const n = Math.min(step, chunk - r);
            const address = tiles.enterRows(0, g0, gKept, true, g, offset + (i + r) * cols + j, n, cols, span);
            const lanes = LANES + 4 * r;
            const row = ROWS + 8 * r;
            total = wasm.measure(address, stride(g0, cols, span), n, span, row, factors, lanes, ZEROS, first, total);
          }
        }
      }
      return total;
    },

    apply(p, g, from, rows, cols, rowFactor, rowAt, colFactor, colAt, keep) {
      const p0 = arena.address(p);
      const pKept = tiles.written(p0, p);
      const g0 = arena.address(g);
      const gKept = tiles.kept(g0, g);
      for (let i = 0; i < rows; i += CHUNK) {
        const chunk = Math.min(CHUNK, rows - i);
        rowFactors(rowFactor, rowAt + i, chunk);
        for (let j = 0; j < cols; j += SPAN) {
          const span = Math.min(SPAN, cols - j);
          const step = rowsOfTile(p0 >= 0 && g0 >= 0, span);
          const factors = columns(colFactor, colAt + j, span);
          const pStride = stride(p0, cols, span);
          const gStride = stride(g0, cols, span);
          for (let r = 0; r < chunk; r += step) {
            const n = Math.min(step, chunk - r);
            const at = from + (i + r) * cols + j;
            const gTile = tiles.enterRows(0, g0, gKept, false, g, at, n, cols, span);
            const pTile = tiles.enterRows(1, p0, pKept, false, p, at, n, cols, span);
            wasm.apply(pTile, pStride, gTile, gStride, n, span, ROWS + 8 * r, factors, keep);
            tiles.leaveRows(pTile, p0, p, at, n, cols, span);
          }
        }
      }
    },

    applyMomentum(p, g, from, m, mAt, rows, cols, rowFactor, rowAt, colFactor, colAt, keep, beta1) {
      const p0 = arena.address(p);
      const pKept = tiles.written(p0, p);
      const g0 = arena.address(g);
      const gKept = tiles.kept(g0, g);
      const m0 = arena.address(m);
      for (let i = 0; i < rows; i += CHUNK) {
        const chunk = Math.min(CHUNK, rows - i);
        rowFactors(rowFactor, rowAt + i, chunk);
        for (let j = 0; j < cols; j += SPAN) {
          const span = Math.min(SPAN, cols - j);
          const step = rowsOfTile(p0 >= 0 && g0 >= 0 && m0 >= 0, span);
          const factors = columns(colFactor, colAt + j, span);
          const pStride = stride(p0, cols, span);
          const gStride = stride(g0, cols, span);
          const mStride = stride(m0, cols, span);
          for (let r = 0; r < chunk; r += step) {
            const n = Math.min(step, chunk - r);
            const at = (i + r) * cols + j;
            const gTile = tiles.enterRows(0, g0, gKept, false, g, from + at, n, cols, span);
            const pTile = tiles.enterRows(1, p0, pKept, false, p, from + at, n, cols, span);
            const mTile = tiles.enterRows(2, m0, NONE, false, m, mAt + at, n, cols, span);
            const row = ROWS + 8 * r;
            wasm.applyMomentum(pTile, pStride, gTile, gStride, mTile, mStride, n, span, row, factors, keep, beta1);
            tiles.leaveRows(pTile, p0, p, from + at, n, cols, span);
            tiles.leaveRows(mTile, m0, m, mAt + at, n, cols, span);
          }
        }
      }
    },

    measureVector(g, gAt, v, vAt, length, beta, rest, eps) {
      const g0 = arena.address(g);
      const gKept = tiles.kept(g0, g);
      const v0 = arena.address(v);
      const step = g0 >= 0 && v0 >= 0 ? length : tiles.most;
      let sum = 0;
      for (let k = 0; k < length; k += step) {
        const n = Math.min(step, length - k);
        const gTile = tiles.enter(0, g0, gKept, true, g, gAt + k, n);
        const vTile = tiles.enter(3, v0, NONE, false, v, vAt + k, n);
        sum = wasm.measureVector(gTile, vTile, n, beta, rest, eps, LANES, k === 0 ? 1 : 0);
      }
      return sum;
    },

    applyVector(p, pAt, g, gAt, v, at, length, beta, rest, eps, scale, keep) {
      const loop = (P: number, G: number, _m: number, V: number, _l: number, n: number): void =>
        wasm.applyVector(P, G, 0, V, n, beta, rest, eps, scale, keep, 0);
      tiles.flat(loop, p, pAt, g, gAt, null, v, null, at, length);
    },

    applyVectorMomentum(p, pAt, g, gAt, m, _at, v, at, length, beta, rest, eps, scale, keep, beta1) {
      const loop = (P: number, G: number, M: number, V: number, _l: number, n: number): void =>
        wasm.applyVector(P, G, M, V, n, beta, rest, eps, scale, keep, beta1);
      tiles.flat(loop, p, pAt, g, gAt, m, v, null, at, length);
    },

    adam(p, pAt, g, gAt, m, v, at, length, sign, rest1, beta2, rest2, scale, eps, before, after) {
      const loop = (P: number, G: number, M: number, V: number, _l: number, n: number): void =>
        wasm.adam(P, G, M, V, 0, n, sign, rest1, beta2, rest2, scale, eps, before, after);
      tiles.flat(loop, p, pAt, g, gAt, m, v, null, at, length);
    },

    amsgrad(p, pAt, g, gAt, m, v, largest, at, length, sign, rest1, beta2, rest2, scale, eps, before, after) {
      const loop = (P: number, G: number, M: number, V: number, L: number, n: number): void =>
        wasm.adam(P, G, M, V, L, n, sign, rest1, beta2, rest2, scale, eps, before, after);
      tiles.flat(loop, p, pAt, g, gAt, m, v, largest, at, length);
    },
  };
}
