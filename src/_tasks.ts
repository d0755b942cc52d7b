/**
 * What is done to one parameter, as passes over its blocks. A task is plain data (arrays and numbers), so that it can be handed
 * to a worker as it is; the formulas' scalars come from the optimizers, the loops from the kernels.
 *
 * | kind | parameter | pass 0, writes no weight or state | pass 1 | pass 2 |
 * | --- | --- | --- | --- | --- |
 * | matrix | Adafactor, rank 2 and more | row and column sums of G², sum of P² | sum of U² | P, momentum |
 * | vector | Adafactor, rank 0 and 1 | sums of G² and P² | sum of U² | P, V, momentum |
 * | adam | AdamW | sum of G² | P, M, V | |
 */
import { blockLength, blockRows, STRIP_LENGTH, stripRows } from './_blocks.ts';
import type * as loops16 from './_loops16.ts';
import { fillRandom } from './_random.ts';
import type { DType, NumericArray } from './dtype.ts';
import { allocateOwn, freeOwn, type Kernels, type Loops32 } from './kernels.ts';
import { narrowBfloat16Random, narrowFloat16Random, pairsOf } from './low-precision.ts';

/** An array of optimizer state: the parameter's own precision, float32 for 16 bits. */
export type StateArray = Float32Array | Float64Array;

/** Where a number stands in {@link Task.scalars}. */
export const KEEP = 0;
export const KEEP_AFTER = 1;
export const BETA1 = 2;
export const REST1 = 3;
export const BETA2 = 4;
export const REST2 = 5;
export const EPS = 6;
export const SCALE = 7;
export const SIGN = 8;
/** 1: the sum of P² is wanted. */
export const WEIGH = 9;
/** 1: the sum of G² is wanted (a matrix needs it anyway). */
export const CHECK = 10;
/** 1: 16-bit weights are rounded stochastically, with the stream's two key words and the step after it. */
export const STOCHASTIC = 11;
export const KEY0 = 12;
export const KEY1 = 13;
export const STEP = 14;
const SCALARS = 15;

/** One parameter's work. */
export interface Task {
  readonly kind: 'matrix' | 'vector' | 'adam';
  readonly dtype: DType;
  /** Matrices, and the shape of each; a vector is one row. */
  readonly lead: number;
  readonly rows: number;
  readonly cols: number;
  /** Rows of a block, or its elements where there are no rows to keep together. */
  readonly unit: number;
  /** Blocks of one matrix, and of all. */
  readonly blocksEach: number;
  readonly blocks: number;
  readonly scalars: Float64Array;
  /** Two sums per block: of G² or U², and of P². */
  readonly partials: Float64Array;
  /** Matrix: first the sums of rows and columns, then the factors of 1 / V̂, then those of U. Length lead·rows and lead·cols. */
  readonly rowFactor: Float64Array;
  readonly colFactor: Float64Array;
  p: NumericArray;
  /** Of this step; set through {@link setGradient}. */
  g: NumericArray;
  /** 16-bit arrays in words of two, where their memory is aligned to it. */
  pPairs: Uint32Array | null;
  gPairs: Uint32Array | null;
  /** First moment, second moment, largest second moment: null where the formula has none. */
  m: StateArray | null;
  v: StateArray | null;
  largest: StateArray | null;
}

const none = new Float64Array(0);

/** Makes scratch memory: zeros, which every thread of the engine reaches. */
export type Scratch = (length: number) => Float64Array;

/** A task of the given shape; its gradient, state and scalars are set before each step. */
export function createTask(
  kind: Task['kind'],
  p: NumericArray,
  shape: readonly number[],
  dtype: DType,
  scratch: Scratch,
): Task {
  const matrix = kind === 'matrix';
  const cols = matrix ? shape.at(-1)! : p.length;
  const rows = matrix ? shape.at(-2)! : 1;
  const lead = matrix ? shape.slice(0, -2).reduce((a, b) => a * b, 1) : 1;
  const unit = matrix ? blockRows(rows, cols) : blockLength(cols);
  const blocksEach = Math.ceil((matrix ? rows : cols) / unit);
  const empty = p.length === 0;
  return {
    kind,
    dtype,
    lead,
    rows,
    cols,
    unit,
    blocksEach,
    blocks: empty ? 0 : lead * blocksEach,
    scalars: scratch(SCALARS),
    partials: scratch(empty ? 0 : 2 * lead * blocksEach),
    rowFactor: matrix ? scratch(lead * rows) : none,
    colFactor: matrix ? scratch(lead * cols) : none,
    p,
    g: p,
    pPairs: isSixteen(dtype) ? pairsOf(p as Uint16Array) : null,
    gPairs: null,
    m: null,
    v: null,
    largest: null,
  };
}

/** The gradient of the step at hand. */
export function setGradient(task: Task, g: NumericArray): void {
  task.g = g;
  task.gPairs = g instanceof Uint16Array ? pairsOf(g) : null;
}

/** Forgets the gradient, so that its memory is free as soon as the caller drops it: what a fused backward pass is for. */
export function dropGradient(task: Task): void {
  task.g = task.p;
  task.gPairs = null;
}

/** Sum of a pass's first (`which` 0) or second partial sums, in block order. */
export function total(task: Task, which: 0 | 1): number {
  let sum = 0;
  for (let b = which; b < task.partials.length; b += 2) sum += task.partials[b]!;
  return sum;
}

/** Adds the column sums that {@link Engine.runBlock} left, in block order. */
export function foldColumns(task: Task, columns: Float64Array): void {
  const { cols, colFactor, blocksEach, blocks } = task;
  if (task.kind !== 'matrix' || blocksEach === 1) return;
  colFactor.fill(0);
  for (let block = 0; block < blocks; block++) {
    const at = Math.floor(block / blocksEach) * cols;
    const from = block * cols;
    for (let j = 0; j < cols; j++) colFactor[at + j]! += columns[from + j]!;
  }
}

/** Elements of the parameter. */
export function elementsOf({ p }: Task): number {
  return p.length;
}

/** Whether this pass updates weights and what belongs to them; it is the last one. */
export function writesWeights({ kind }: Task, pass: number): boolean {
  return pass === (kind === 'adam' ? 1 : 2);
}

/** Whether the values are stored in 16 bits and computed in float32. */
export function isSixteen(dtype: DType): boolean {
  return dtype === 'bfloat16' || dtype === 'float16';
}

/**
 * Runs passes over blocks with one kernels object. Holds the only scratch memory of a step: two strips for 16-bit arrays, one
 * row of column sums, the random bits. Nothing is allocated in a step once these have grown to the widest matrix.
 */
export class Engine {
  readonly kernels: Kernels;
  #columns: Float64Array = none;
  #gStrip: Float32Array = new Float32Array(0);
  #pStrip: Float32Array = new Float32Array(0);
  #gWords: Uint32Array = new Uint32Array(0);
  #pWords: Uint32Array = new Uint32Array(0);
  #random: Uint32Array = new Uint32Array(0);

  constructor(kernels: Kernels) {
    this.kernels = kernels;
  }

  /** One pass over all blocks of a task. */
  run(task: Task, pass: number): void {
    if (task.kind === 'matrix' && pass === 0) {
      task.colFactor.fill(0);
      if (task.blocksEach > 1 && this.#columns.length < task.cols) this.#columns = new Float64Array(task.cols);
    }
    for (let block = 0; block < task.blocks; block++) {
      if (task.kind === 'matrix') {
        if (pass === 0) this.#reduceAndFold(task, block);
        else this.matrixBlock(task, pass, block);
      } else this.flatBlock(task, pass, block);
    }
  }

  /**
   * One pass over one block, in any order and on any thread. Column sums of a matrix of several blocks go into `columns`, a row of them per
   * block, for {@link foldColumns}.
   */
  runBlock(task: Task, pass: number, block: number, columns: Float64Array): void {
    if (task.kind !== 'matrix') this.flatBlock(task, pass, block);
    else if (pass > 0) this.matrixBlock(task, pass, block);
    else {
      const sums = task.blocksEach === 1 ? task.colFactor : columns;
      const at = block * task.cols;
      sums.fill(0, at, at + task.cols);
      this.reduceBlock(task, block, sums, at);
    }
  }

  /** Column sums of a block are formed on their own and then added: with threads the partial sums would come one by one too. */
  #reduceAndFold(task: Task, block: number): void {
    const { cols, colFactor, blocksEach } = task;
    const at = Math.floor(block / blocksEach) * cols;
    if (blocksEach === 1) this.reduceBlock(task, block, colFactor, at);
    else {
      const columns = this.#columns;
      columns.fill(0, 0, cols);
      this.reduceBlock(task, block, columns, 0);
      for (let j = 0; j < cols; j++) colFactor[at + j]! += columns[j]!;
    }
  }

  /** Pass 0 of a matrix: sets the block's row sums, adds its column sums at `colAt`, sets its partial sum of P². */
  reduceBlock(task: Task, block: number, colSums: Float64Array, colAt: number): void {
    const { rows, cols, unit, blocksEach, rowFactor, scalars } = task;
    const loops = this.#loops(task);
    const matrix = Math.floor(block / blocksEach);
    const first = (block % blocksEach) * unit;
    const count = Math.min(unit, rows - first);
    const strip = isSixteen(task.dtype) ? stripRows(cols) : count;
    const lookUp = this.#lookUp(task, task.g);
    let weight = 0;
    for (let i = 0; i < count; i += strip) {
      const n = Math.min(strip, count - i);
      const row = matrix * rows + first + i;
      const at = row * cols;
      if (lookUp !== null) {
        const { bits, loops: by, table } = lookUp;
        by.reduce(bits, at, n, cols, rowFactor, row, colSums, colAt, table);
      } else {
        const g = this.#gradient(task, at, n * cols);
        loops.reduce(g, g === task.g ? at : 0, n, cols, rowFactor, row, colSums, colAt);
      }
      if (scalars[WEIGH] === 1) weight += this.#flatSquares(task, at, n * cols, true);
    }
    task.partials[2 * block + 1] = weight;
  }

  /** Passes 1 and 2 of a matrix. */
  matrixBlock(task: Task, pass: number, block: number): void {
    const { rows, cols, unit, blocksEach, rowFactor, colFactor, scalars } = task;
    const loops = this.#loops(task);
    const matrix = Math.floor(block / blocksEach);
    const first = (block % blocksEach) * unit;
    const count = Math.min(unit, rows - first);
    const strip = isSixteen(task.dtype) ? stripRows(cols) : count;
    const colAt = matrix * cols;
    const m = task.m as Float32Array | null;
    const keep = scalars[KEEP]!;
    const beta1 = scalars[BETA1]!;
    const lookUp = this.#lookUp(task, task.g);
    let sum = 0;
    for (let i = 0; i < count; i += strip) {
      const n = Math.min(strip, count - i);
      const row = matrix * rows + first + i;
      const at = row * cols;
      if (lookUp !== null) {
        const { bits, loops: by, table } = lookUp;
        if (pass === 1) sum = by.measure(bits, at, n, cols, rowFactor, row, colFactor, colAt, sum, table);
        else {
          this.#grow(n * cols);
          const p = this.#pStrip;
          const old = task.p as Uint16Array;
          if (m === null) by.apply(p, old, bits, at, n, cols, rowFactor, row, colFactor, colAt, keep, table);
          else {
            by.applyMomentum(p, old, bits, at, m, at, n, cols, rowFactor, row, colFactor, colAt, keep, beta1, table);
          }
        }
      } else if (pass === 1) {
        const g = this.#gradient(task, at, n * cols);
        sum = loops.measure(g, g === task.g ? at : 0, n, cols, rowFactor, row, colFactor, colAt, sum);
      } else {
        const p = this.#weights(task, at, n * cols);
        const g = this.#gradientBeside(task, at, n * cols);
        const from = p === task.p ? at : 0;
        if (m === null) loops.apply(p, g, from, n, cols, rowFactor, row, colFactor, colAt, keep);
        else loops.applyMomentum(p, g, from, m, at, n, cols, rowFactor, row, colFactor, colAt, keep, beta1);
      }
      if (pass === 2) this.#store(task, at, n * cols);
    }
    if (pass === 1) task.partials[2 * block] = sum;
  }

  /** Any pass of a vector or of Adam. */
  flatBlock(task: Task, pass: number, block: number): void {
    const from = block * task.unit;
    const count = Math.min(task.unit, task.cols - from);
    const strip = isSixteen(task.dtype) ? STRIP_LENGTH : count;
    let sum = 0;
    let weight = 0;
    for (let k = 0; k < count; k += strip) {
      const n = Math.min(strip, count - k);
      if (pass === 0) {
        sum += task.scalars[CHECK] === 1 ? this.#flatCheck(task, from + k, n) : 0;
        weight += task.scalars[WEIGH] === 1 ? this.#flatSquares(task, from + k, n, true) : 0;
      } else if (task.kind === 'adam') this.#adamStrip(task, from + k, n);
      else if (pass === 1) sum += this.#measureStrip(task, from + k, n);
      else this.#vectorStrip(task, from + k, n);
    }
    task.partials[2 * block] = sum;
    task.partials[2 * block + 1] = weight;
  }

  #flatSquares(task: Task, at: number, n: number, ofWeights: boolean): number {
    const lookUp = this.#lookUp(task, ofWeights ? task.p : task.g);
    if (lookUp !== null) return lookUp.loops.sumSquares(lookUp.bits, at, n, lookUp.table);
    const x = ofWeights ? this.#weights(task, at, n) : this.#gradient(task, at, n);
    return this.#loops(task).sumSquares(x, x === (ofWeights ? task.p : task.g) ? at : 0, n);
  }

  /** The sum of G², or 0 or NaN: all that is asked of it is whether it is finite. */
  #flatCheck(task: Task, at: number, n: number): number {
    const { nonFinite } = this.#loops(task);
    if (nonFinite === undefined) return this.#flatSquares(task, at, n, false);
    const g = this.#gradient(task, at, n);
    return nonFinite(g, g === task.g ? at : 0, n);
  }

  #measureStrip(task: Task, at: number, n: number): number {
    const { scalars } = task;
    const g = this.#gradient(task, at, n);
    const v = task.v as Float32Array;
    return this.#loops(task).measureVector(
      g,
      g === task.g ? at : 0,
      v,
      at,
      n,
      scalars[BETA2]!,
      scalars[REST2]!,
      scalars[EPS]!,
    );
  }

  #vectorStrip(task: Task, at: number, n: number): void {
    const { scalars } = task;
    const loops = this.#loops(task);
    const g = this.#gradient(task, at, n);
    const gAt = g === task.g ? at : 0;
    const p = this.#weights(task, at, n);
    const pAt = p === task.p ? at : 0;
    const v = task.v as Float32Array;
    const beta = scalars[BETA2]!;
    const rest = scalars[REST2]!;
    const eps = scalars[EPS]!;
    const scale = scalars[SCALE]!;
    const keep = scalars[KEEP]!;
    if (task.m === null) loops.applyVector(p, pAt, g, gAt, v, at, n, beta, rest, eps, scale, keep);
    else {
      const m = task.m as Float32Array;
      loops.applyVectorMomentum(p, pAt, g, gAt, m, at, v, at, n, beta, rest, eps, scale, keep, scalars[BETA1]!);
    }
    this.#store(task, at, n);
  }

  #adamStrip(task: Task, at: number, n: number): void {
    const { scalars } = task;
    const loops = this.#loops(task);
    const g = this.#gradient(task, at, n);
    const gAt = g === task.g ? at : 0;
    const p = this.#weights(task, at, n);
    const pAt = p === task.p ? at : 0;
    const m = task.m as Float32Array;
    const v = task.v as Float32Array;
    const sign = scalars[SIGN]!;
    const rest1 = scalars[REST1]!;
    const beta2 = scalars[BETA2]!;
    const rest2 = scalars[REST2]!;
    const scale = scalars[SCALE]!;
    const eps = scalars[EPS]!;
    const keep = scalars[KEEP]!;
    const keepAfter = scalars[KEEP_AFTER]!;
    if (task.largest === null) {
      loops.adam(p, pAt, g, gAt, m, v, at, n, sign, rest1, beta2, rest2, scale, eps, keep, keepAfter);
    } else {
      const largest = task.largest as Float32Array;
      loops.amsgrad(p, pAt, g, gAt, m, v, largest, at, n, sign, rest1, beta2, rest2, scale, eps, keep, keepAfter);
    }
    this.#store(task, at, n);
  }

  /** The loops of the task's precision. Float64 arrays go where the types say Float32Array: both loops have one shape. */
  #loops(task: Task): Loops32 {
    return task.dtype === 'float64' ? (this.kernels.float64 as unknown as Loops32) : this.kernels.float32;
  }

  /** Where an array is of 16 bits and the kernels look its numbers up. */
  #lookUp(task: Task, array: NumericArray): { bits: Uint16Array; loops: typeof loops16; table: Float32Array } | null {
    const { lookUp } = this.kernels.sixteen;
    if (lookUp === undefined || array.BYTES_PER_ELEMENT !== 2) return null;
    return {
      bits: array as Uint16Array,
      loops: lookUp.loops,
      table: lookUp.table(task.dtype as 'bfloat16' | 'float16'),
    };
  }

  /** The gradient's array, or a strip of it widened to float32, then starting at 0. */
  #gradient(task: Task, at: number, n: number): Float32Array {
    if (task.g.BYTES_PER_ELEMENT !== 2) return task.g as Float32Array;
    this.#grow(n);
    this.#widen(task, task.g as Uint16Array, task.gPairs, at, n, this.#gWords);
    return this.#gStrip;
  }

  /** {@link Engine.#gradient} from where {@link Engine.#weights} has the same elements. */
  #gradientBeside(task: Task, at: number, n: number): Float32Array {
    const g = this.#gradient(task, at, n);
    if (g !== task.g || !isSixteen(task.dtype)) return g;
    this.#gStrip.set(g.subarray(at, at + n));
    return this.#gStrip;
  }

  /** The weights' array, or a strip of it widened to float32, then starting at 0. */
  #weights(task: Task, at: number, n: number): Float32Array {
    if (!isSixteen(task.dtype)) return task.p as Float32Array;
    this.#grow(n);
    this.#widen(task, task.p as Uint16Array, task.pPairs, at, n, this.#pWords);
    return this.#pStrip;
  }

  /** Rounds a strip of weights back into its 16-bit array. */
  #store(task: Task, at: number, n: number): void {
    if (!isSixteen(task.dtype)) return;
    const bits = task.p as Uint16Array;
    const half = task.dtype === 'float16';
    if (task.scalars[STOCHASTIC] === 1) {
      if (this.#random.length <= n) this.#random = new Uint32Array(n + 2);
      const { scalars } = task;
      fillRandom(scalars[KEY0]!, scalars[KEY1]!, scalars[STEP]!, at, n, this.#random);
      if (half) narrowFloat16Random(this.#pWords, n, bits, at, this.#random);
      else narrowBfloat16Random(this.#pWords, n, bits, at, this.#random);
    } else if (half) this.kernels.sixteen.narrowFloat16(this.#pWords, n, bits, at);
    else this.kernels.sixteen.narrowBfloat16(this.#pWords, n, bits, at);
  }

  #widen(task: Task, bits: Uint16Array, pairs: Uint32Array | null, at: number, n: number, words: Uint32Array): void {
    const { sixteen } = this.kernels;
    if (task.dtype === 'float16') sixteen.widenFloat16(bits, pairs, at, n, words);
    else sixteen.widenBfloat16(bits, pairs, at, n, words);
  }

  #grow(n: number): void {
    if (this.#gStrip.length >= n) return;
    this.dispose();
    this.#gStrip = allocateOwn(this.kernels, 'float32', n) as Float32Array;
    this.#pStrip = allocateOwn(this.kernels, 'float32', n) as Float32Array;
    this.#gWords = new Uint32Array(this.#gStrip.buffer, this.#gStrip.byteOffset, n);
    this.#pWords = new Uint32Array(this.#pStrip.buffer, this.#pStrip.byteOffset, n);
  }

  /** Gives the strips back to the kernels; they are allocated anew when needed. */
  dispose(): void {
    if (this.#gStrip.length > 0) freeOwn(this.kernels, this.#gStrip);
    if (this.#pStrip.length > 0) freeOwn(this.kernels, this.#pStrip);
    this.#gStrip = new Float32Array(0);
    this.#pStrip = new Float32Array(0);
  }
}
