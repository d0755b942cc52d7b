/**
 * The sums over large matrices by way of WebAssembly: eight streams through a block, in the order
 * that `loops/sums.ts` tells. An array elsewhere goes through a tile with some rows of each stream.
 */
import { lengthOfStream, rowsApart } from '../loops/blocks.ts';
import type { Arena } from './arena.ts';
import { type Copy, copy } from './copies.ts';
import { COLUMNS_AT, LANES_AT, ROWS_AT, SPAN, TILE, TILES_AT } from './places.ts';
import type { Tiles } from './tiles.ts';

type Floats = Float32Array;

/** What `assembly/` exports for it, for one array type; its arguments are said there. */
export interface WasmFarSums {
  readonly reduceFar: (...args: number[]) => void;
  readonly measureFar: (...args: number[]) => number;
  readonly sumSquares: (...args: number[]) => number;
  readonly sumSquaresFar: (...args: number[]) => void;
}

/** What the other loops have already. */
export interface FarTools {
  /** The memory as numbers of the arrays' type. */
  readonly memory: Floats;
  readonly tiles: Tiles;
  columns(array: Float64Array, at: number, length: number): number;
  rowFactors(rowFactor: Float64Array, at: number, rows: number): void;
  leaveRowSums(array: Float64Array, at: number, length: number): void;
  leaveColumnSums(array: Float64Array, at: number, length: number): void;
}

/** The loops by streams. */
export interface FarSums {
  /** All but the last `rows` mod 8 rows; arguments as in `loops/matrix.ts`. */
  reduce(
    g: Floats,
    offset: number,
    rows: number,
    cols: number,
    rowSums: Float64Array,
    rowAt: number,
    colSums: Float64Array,
    colAt: number,
  ): void;
  /** The same. */
  measure(
    g: Floats,
    offset: number,
    rows: number,
    cols: number,
    rowFactor: Float64Array,
    rowAt: number,
    colFactor: Float64Array,
    colAt: number,
    sum: number,
  ): number;
  sumSquares(x: Floats, offset: number, length: number): number;
}

/** Eight streams' elements in a tile, a multiple of 8 for each. */
const STREAMED = TILE / 8;

/** The loops over arrays with `width` bytes per element, with their fixed places from `base`. */
export function farSums(arena: Arena, wasm: WasmFarSums, width: 4 | 8, base: number, tools: FarTools): FarSums {
  const { memory } = tools;
  const COLUMNS = base + COLUMNS_AT;
  const ROWS = base + ROWS_AT;
  const LANES = base + LANES_AT;
  const TILE_0 = base + TILES_AT;

  /** Address of a range that is in the memory as a whole, or is now copied there; else -1. */
  function whole(address: number, kept: Copy, array: Floats, at: number, length: number): number {
    if (address >= 0) return address + at * width;
    const place = kept.address + at * width;
    if (at + length <= kept.filled) return place;
    if (at !== kept.filled) return -1;
    copy(array, at, memory, place / width, length);
    kept.filled += length;
    return place;
  }

  /** Puts `n` rows of each of eight streams into the tile, one stream after the other. */
  function gather(array: Floats, at: number, apart: number, n: number, cols: number, span: number): void {
    for (let j = 0; j < 8; j++) {
      const from = at + j * apart * cols;
      const to = TILE_0 / width + j * n * span;
      if (span === cols) copy(array, from, memory, to, n * span);
      else for (let i = 0; i < n; i++) copy(array, from + i * cols, memory, to + i * span, span);
    }
  }

  /** Columns at a time: a tile has room for eight rows of half a span. */
  function spanOf(address: number): number {
    return address < 0 ? SPAN / 2 : SPAN;
  }

  /** Rows of each stream at a time. */
  function roundsOf(address: number, apart: number, span: number): number {
    return address < 0 ? Math.max(1, Math.floor(STREAMED / width / span)) : apart;
  }

  return {
    reduce(g, offset, rows, cols, rowSums, rowAt, colSums, colAt) {
      const g0 = arena.address(g);
      const kept = tools.tiles.kept(g0, g);
      for (let i = 0; i + 7 < rows; ) {
        const apart = rowsApart(rows - i);
        const chunk = 8 * apart;
        const at = offset + i * cols;
        const address = whole(g0, kept, g, at, chunk * cols);
        const most = spanOf(address);
        for (let j = 0; j < cols; j += most) {
          const span = Math.min(most, cols - j);
          const step = roundsOf(address, apart, span);
          const first = j === 0 ? 1 : 0;
          const last = j + span === cols ? 1 : 0;
          const sums = tools.columns(colSums, colAt + j, span);
          for (let r = 0; r < apart; r += step) {
            const n = Math.min(step, apart - r);
            if (address < 0) gather(g, at + r * cols + j, apart, n, cols, span);
            const place = address < 0 ? TILE_0 : address + j * width;
            const stride = (address < 0 ? span : cols) * width;
            const far = (address < 0 ? n : apart) * stride;
            const lanes = LANES + 16 * r;
            wasm.reduceFar(place, stride, far, n, span, lanes, apart, sums, first, last, ROWS + 8 * r);
          }
          if (sums === COLUMNS) tools.leaveColumnSums(colSums, colAt + j, span);
        }
        tools.leaveRowSums(rowSums, rowAt + i, chunk);
        i += chunk;
      }
    },

    measure(g, offset, rows, cols, rowFactor, rowAt, colFactor, colAt, sum) {
      const g0 = arena.address(g);
      const kept = tools.tiles.kept(g0, g);
      let total = sum;
      for (let i = 0; i + 7 < rows; ) {
        const apart = rowsApart(rows - i);
        const chunk = 8 * apart;
        const at = offset + i * cols;
        const address = whole(g0, kept, g, at, chunk * cols);
        const most = spanOf(address);
        tools.rowFactors(rowFactor, rowAt + i, chunk);
        const before = total;
        for (let j = 0; j < cols; j += most) {
          const span = Math.min(most, cols - j);
          const step = roundsOf(address, apart, span);
          const first = j === 0 ? 1 : 0;
          const factors = tools.columns(colFactor, colAt + j, span);
          // Groups' sums are whole after the last span: what earlier ones add is dropped.
          total = before;
          for (let r = 0; r < apart; r += step) {
            const n = Math.min(step, apart - r);
            if (address < 0) gather(g, at + r * cols + j, apart, n, cols, span);
            const place = address < 0 ? TILE_0 : address + j * width;
            const stride = (address < 0 ? span : cols) * width;
            const far = (address < 0 ? n : apart) * stride;
            const row = ROWS + 8 * r;
            total = wasm.measureFar(place, stride, far, n, span, row, apart, factors, LANES + 32 * r, first, total);
          }
        }
        i += chunk;
      }
      return total;
    },

    sumSquares(x, offset, length) {
      const x0 = arena.address(x);
      const kept = tools.tiles.kept(x0, x);
      const stream = lengthOfStream(length);
      const address = whole(x0, kept, x, offset, 8 * stream);
      const step = address < 0 ? STREAMED / width : stream;
      for (let k = 0; k < stream; k += step) {
        const n = Math.min(step, stream - k);
        if (address < 0) gather(x, offset + k, 1, 1, stream, n);
        const place = address < 0 ? TILE_0 : address;
        wasm.sumSquaresFar(place, n, n * width, LANES, k === 0 ? 1 : 0);
      }
      const rest = length - 8 * stream;
      let place = whole(x0, kept, x, offset + 8 * stream, rest);
      if (place < 0) {
        place = TILE_0;
        copy(x, offset + 8 * stream, memory, place / width, rest);
      }
      return wasm.sumSquares(place, rest, LANES, stream === 0 ? 1 : 0, 0);
    },
  };
}
