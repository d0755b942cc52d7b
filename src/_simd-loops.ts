/**
 * The loops of `_loops.ts` by way of WebAssembly: addresses for arrays inside the module's memory, tiles (small copies) for all
 * others. The arithmetic is in `assembly/index.ts`.
 *
 * A matrix goes through in chunks of rows and spans of columns, so that every copy has a place of fixed size; neither changes the order of a
 * sum: a row's two lanes are carried from span to span, columns are added from the top row down.
 */
import type { Arena } from './_arena.ts';
import type { Loops32 } from './kernels.ts';

/** What `assembly/index.ts` exports, for one array type; its arguments are said there. */
export interface WasmLoops {
  readonly reduce: (...args: number[]) => void;
  readonly measure: (...args: number[]) => void;
  readonly apply: (...args: number[]) => void;
  readonly applyMomentum: (...args: number[]) => void;
  readonly sumSquares: (...args: number[]) => void;
  readonly measureVector: (...args: number[]) => void;
  readonly applyVector: (...args: number[]) => void;
  readonly adam: (...args: number[]) => void;
}

/** Columns of a span, at most. */
const SPAN = 8192;
/** Rows of a chunk, at most; a multiple of 4. */
const CHUNK = 1024;
/** Bytes of a tile, unless four rows have more: still in the cache when worked on. 16 KiB made a copied Adafactor step of 2048² 6 % slower, 64 and 128 KiB no faster (Node 20.20). */
const TILE = 32768;

/** The fixed places of one instance, by their byte distance from its base; 0 is none of them. */
export const PLACE_AT: number = 512;
const ZEROS_AT = 1024;
const COLUMNS_AT = ZEROS_AT + 8 * SPAN;
const ROWS_AT = COLUMNS_AT + 8 * SPAN;
const LANES_AT = ROWS_AT + 8 * (CHUNK + 4);
const SCRATCH_AT = LANES_AT + 16 * (CHUNK + 4);
export const TILES_AT: number = SCRATCH_AT + 128;
/** Four rows of a span of doubles. */
const TILE_ROOM = 4 * 8 * SPAN;
/** Bytes of all these places, with tiles for p, g, m, v and the largest v: the arena comes after them. */
export const RESERVED: number = Math.ceil((TILES_AT + 5 * TILE_ROOM) / 65536) * 65536;

/** Float64 arrays go where the types say Float32Array: all loops have one shape. */
type Floats = Float32Array;

/** Less than this many numbers are copied one by one: a subarray costs about 100 ns. */
const FEW = 48;

function copy(from: Floats, fromAt: number, to: Floats, toAt: number, length: number): void {
  if (length < FEW) for (let k = 0; k < length; k++) to[toAt + k] = from[fromAt + k]!;
  else to.set(fromAt === 0 && from.length === length ? from : from.subarray(fromAt, fromAt + length), toAt);
}

/** The loops over arrays with `width` bytes per element, with their fixed places from `base`. */
export function simdLoops(arena: Arena, wasm: WasmLoops, width: 4 | 8, base: number): Loops32 {
  const { buffer } = arena;
  const ZEROS = base + ZEROS_AT;
  const COLUMNS = base + COLUMNS_AT;
  const ROWS = base + ROWS_AT;
  const LANES = base + LANES_AT;
  const SCRATCH = base + SCRATCH_AT;
  const TILES = base + TILES_AT;
  const doubles = new Float64Array(buffer);
  const memory = (width === 4 ? new Float32Array(buffer) : doubles) as Floats;
  const lanesAt = LANES / 8;
  const rowsAt = ROWS / 8;

  /** Address of `length` elements from `at`: where they are, or the tile `which` with a copy of them. */
  function enter(which: number, array: Floats, at: number, length: number): number {
    if (arena.holds(array)) return array.byteOffset + at * width;
    const address = TILES + which * TILE_ROOM;
    copy(array, at, memory, address / width, length);
    return address;
  }

  /** Puts a tile's elements back where they came from. */
  function leave(which: number, array: Floats, at: number, length: number): void {
    if (array.buffer !== buffer) copy(memory, (TILES + which * TILE_ROOM) / width, array, at, length);
  }

  /** {@link enter} for `span` columns of `rows` rows. */
  function enterRows(which: number, array: Floats, at: number, rows: number, cols: number, span: number): number {
    if (arena.holds(array)) return array.byteOffset + at * width;
    const address = TILES + which * TILE_ROOM;
    if (span === cols) copy(array, at, memory, address / width, rows * span);
    else for (let i = 0; i < rows; i++) copy(array, at + i * cols, memory, address / width + i * span, span);
    return address;
  }

  function leaveRows(which: number, array: Floats, at: number, rows: number, cols: number, span: number): void {
    if (array.buffer === buffer) return;
    const from = (TILES + which * TILE_ROOM) / width;
    if (span === cols) copy(memory, from, array, at, rows * span);
    else for (let i = 0; i < rows; i++) copy(memory, from + i * span, array, at + i * cols, span);
  }

  /** Bytes from row to row: in the array itself, or in its tile. */
  function stride(array: Floats, cols: number, span: number): number {
    return (array.buffer === buffer ? cols : span) * width;
  }

  /** Rows at a time: all when nothing is copied. */
  function rowsOfTile(inside: boolean, span: number): number {
    return inside ? CHUNK : Math.max(4, Math.floor(TILE / width / Math.max(1, span) / 4) * 4);
  }

  /** Address of a span of column sums or factors. */
  function columns(array: Float64Array, at: number, length: number): number {
    if (arena.holds(array)) return array.byteOffset + 8 * at;
    copy(array as unknown as Floats, at, doubles as unknown as Floats, COLUMNS / 8, length);
    return COLUMNS;
  }

  /** Row factors of a chunk, and zeros for the absent rows of its last group of four. */
  function rowFactors(rowFactor: Float64Array, at: number, rows: number): void {
    copy(rowFactor as unknown as Floats, at, doubles as unknown as Floats, rowsAt, rows);
    doubles[rowsAt + rows] = doubles[rowsAt + rows + 1] = doubles[rowsAt + rows + 2] = 0;
  }

  /** The eight lanes of a flat sum, joined. */
  function joined(): number {
    const l = lanesAt;
    return (
      doubles[l]! +
      doubles[l + 1]! +
      (doubles[l + 2]! + doubles[l + 3]!) +
      (doubles[l + 4]! + doubles[l + 5]! + (doubles[l + 6]! + doubles[l + 7]!))
    );
  }

  /** Elements at a time of flat ranges: a multiple of 8; all when nothing is copied. */
  const flat = TILE / width;

  return {
    sumSquares(x, offset, length) {
      const step = arena.holds(x) ? length : flat;
      doubles.fill(0, lanesAt, lanesAt + 8);
      for (let k = 0; k < length; k += step) {
        const n = Math.min(step, length - k);
        wasm.sumSquares(enter(0, x, offset + k, n), n, LANES);
      }
      return joined();
    },

    reduce(g, offset, rows, cols, rowSums, rowAt, colSums, colAt) {
      const inside = arena.holds(g);
      for (let i = 0; i < rows; i += CHUNK) {
        const chunk = Math.min(CHUNK, rows - i);
        doubles.fill(0, lanesAt, lanesAt + 2 * chunk);
        for (let j = 0; j < cols; j += SPAN) {
          const span = Math.min(SPAN, cols - j);
          const step = rowsOfTile(inside, span);
          const sums = columns(colSums, colAt + j, span);
          for (let r = 0; r < chunk; r += step) {
            const n = Math.min(step, chunk - r);
            const address = enterRows(0, g, offset + (i + r) * cols + j, n, cols, span);
            wasm.reduce(address, stride(g, cols, span), n, span, LANES + 16 * r, sums, ZEROS);
          }
          if (sums === COLUMNS) {
            copy(doubles as unknown as Floats, COLUMNS / 8, colSums as unknown as Floats, colAt + j, span);
          }
        }
        for (let r = 0; r < chunk; r++) {
          rowSums[rowAt + i + r] = doubles[lanesAt + 2 * r]! + doubles[lanesAt + 2 * r + 1]!;
        }
      }
    },

    measure(g, offset, rows, cols, rowFactor, rowAt, colFactor, colAt, sum) {
      const inside = arena.holds(g);
      let total = sum;
      for (let i = 0; i < rows; i += CHUNK) {
        const chunk = Math.min(CHUNK, rows - i);
        const groups = Math.ceil(chunk / 4);
        rowFactors(rowFactor, rowAt + i, chunk);
        doubles.fill(0, lanesAt, lanesAt + 2 * groups);
        for (let j = 0; j < cols; j += SPAN) {
          const span = Math.min(SPAN, cols - j);
          const step = rowsOfTile(inside, span);
          const factors = columns(colFactor, colAt + j, span);
          for (let r = 0; r < chunk; r += step) {
            const n = Math.min(step, chunk - r);
            const address = enterRows(0, g, offset + (i + r) * cols + j, n, cols, span);
            wasm.measure(address, stride(g, cols, span), n, span, ROWS + 8 * r, factors, LANES + 4 * r, ZEROS);
          }
        }
        for (let k = 0; k < groups; k++) total += doubles[lanesAt + 2 * k]! + doubles[lanesAt + 2 * k + 1]!;
      }
      return total;
    },

    apply(p, g, from, rows, cols, rowFactor, rowAt, colFactor, colAt, keep) {
      const inside = arena.holds(p) && arena.holds(g);
      for (let i = 0; i < rows; i += CHUNK) {
        const chunk = Math.min(CHUNK, rows - i);
        rowFactors(rowFactor, rowAt + i, chunk);
        for (let j = 0; j < cols; j += SPAN) {
          const span = Math.min(SPAN, cols - j);
          const step = rowsOfTile(inside, span);
          const factors = columns(colFactor, colAt + j, span);
          for (let r = 0; r < chunk; r += step) {
            const n = Math.min(step, chunk - r);
            const at = (i + r) * cols + j;
            const g0 = enterRows(0, g, from + at, n, cols, span);
            const p0 = enterRows(1, p, from + at, n, cols, span);
            wasm.apply(p0, stride(p, cols, span), g0, stride(g, cols, span), n, span, ROWS + 8 * r, factors, keep);
            leaveRows(1, p, from + at, n, cols, span);
          }
        }
      }
    },

    applyMomentum(p, g, from, m, mAt, rows, cols, rowFactor, rowAt, colFactor, colAt, keep, beta1) {
      const inside = arena.holds(p) && arena.holds(g) && arena.holds(m);
      for (let i = 0; i < rows; i += CHUNK) {
        const chunk = Math.min(CHUNK, rows - i);
        rowFactors(rowFactor, rowAt + i, chunk);
        for (let j = 0; j < cols; j += SPAN) {
          const span = Math.min(SPAN, cols - j);
          const step = rowsOfTile(inside, span);
          const factors = columns(colFactor, colAt + j, span);
          const strides = [stride(p, cols, span), stride(g, cols, span), stride(m, cols, span)] as const;
          for (let r = 0; r < chunk; r += step) {
            const n = Math.min(step, chunk - r);
            const at = (i + r) * cols + j;
            const g0 = enterRows(0, g, from + at, n, cols, span);
            const p0 = enterRows(1, p, from + at, n, cols, span);
            const m0 = enterRows(2, m, mAt + at, n, cols, span);
            const row = ROWS + 8 * r;
            wasm.applyMomentum(p0, strides[0], g0, strides[1], m0, strides[2], n, span, row, factors, keep, beta1);
            leaveRows(1, p, from + at, n, cols, span);
            leaveRows(2, m, mAt + at, n, cols, span);
          }
        }
      }
    },

    measureVector(g, gAt, v, vAt, length, beta, rest, eps) {
      const step = arena.holds(g) && arena.holds(v) ? length : flat;
      doubles.fill(0, lanesAt, lanesAt + 8);
      for (let k = 0; k < length; k += step) {
        const n = Math.min(step, length - k);
        wasm.measureVector(enter(0, g, gAt + k, n), enter(3, v, vAt + k, n), n, beta, rest, eps, LANES);
      }
      return joined();
    },

    applyVector(p, pAt, g, gAt, v, vAt, length, beta, rest, eps, scale, keep) {
      const step = arena.holds(p) && arena.holds(g) && arena.holds(v) ? length : flat;
      for (let k = 0; k < length; k += step) {
        const n = Math.min(step, length - k);
        const g0 = enter(0, g, gAt + k, n);
        const p0 = enter(1, p, pAt + k, n);
        const v0 = enter(3, v, vAt + k, n);
        wasm.applyVector(p0, g0, 0, v0, n, beta, rest, eps, scale, keep, 0);
        leave(1, p, pAt + k, n);
        leave(3, v, vAt + k, n);
      }
    },

    applyVectorMomentum(p, pAt, g, gAt, m, mAt, v, vAt, length, beta, rest, eps, scale, keep, beta1) {
      const step = arena.holds(p) && arena.holds(g) && arena.holds(m) && arena.holds(v) ? length : flat;
      for (let k = 0; k < length; k += step) {
        const n = Math.min(step, length - k);
        const g0 = enter(0, g, gAt + k, n);
        const p0 = enter(1, p, pAt + k, n);
        const m0 = enter(2, m, mAt + k, n);
        const v0 = enter(3, v, vAt + k, n);
        wasm.applyVector(p0, g0, m0, v0, n, beta, rest, eps, scale, keep, beta1);
        leave(1, p, pAt + k, n);
        leave(2, m, mAt + k, n);
        leave(3, v, vAt + k, n);
      }
    },

    adam(p, pAt, g, gAt, m, v, at, length, sign, rest1, beta2, rest2, scale, eps, before, after) {
      adamTiles(p, pAt, g, gAt, m, v, null, at, length, sign, rest1, beta2, rest2, scale, eps, before, after);
    },

    amsgrad(p, pAt, g, gAt, m, v, largest, at, length, sign, rest1, beta2, rest2, scale, eps, before, after) {
      adamTiles(p, pAt, g, gAt, m, v, largest, at, length, sign, rest1, beta2, rest2, scale, eps, before, after);
    },
  };

  function adamTiles(
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
    const inside =
      arena.holds(p) &&
      arena.holds(g) &&
      arena.holds(m) &&
      arena.holds(v) &&
      (largest === null || arena.holds(largest));
    const step = inside ? length : flat;
    for (let k = 0; k < length; k += step) {
      const n = Math.min(step, length - k);
      const g0 = enter(0, g, gAt + k, n);
      const p0 = enter(1, p, pAt + k, n);
      const m0 = enter(2, m, at + k, n);
      const v0 = enter(3, v, at + k, n);
      const l0 = largest === null ? 0 : enter(4, largest, at + k, n);
      wasm.adam(p0, g0, m0, v0, l0, n, sign, rest1, beta2, rest2, scale, eps, before, after, SCRATCH);
      leave(1, p, pAt + k, n);
      leave(2, m, at + k, n);
      leave(3, v, at + k, n);
      if (largest !== null) leave(4, largest, at + k, n);
    }
  }
}
