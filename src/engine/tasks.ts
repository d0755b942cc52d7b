/**
 * What is done to one parameter, as passes over its blocks. A task is plain data (arrays and numbers), so that it can be handed
 * to a worker as it is; the formulas' scalars come from the optimizers, the loops from the kernels. What a pass does is said by the task's kind:
 * `optimizers/factored.ts` for Adafactor, `optimizers/adam-tasks.ts` for AdamW.
 */

import type { DType, NumericArray } from '../core/dtype.ts';
import { fillRandom } from '../core/random.ts';
import { isSixteen, narrowRandom, sixteen } from '../core/sixteen-bits.ts';
import { blockLength, blockRows, STRIP_LENGTH } from '../loops/blocks.ts';
import { allocateOwn, freeOwn, type Kernels, type Loops32 } from './kernels.ts';

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
/** 1: the sum of G² is wanted (a matrix needs it anyway). */
export const CHECK = 9;
/** 1: 16-bit weights are rounded stochastically, with the stream's two key words and the step after it. */
export const STOCHASTIC = 10;
export const KEY0 = 11;
export const KEY1 = 12;
export const STEP = 13;
const SCALARS = 14;

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
  /** Two sums per block: of G² (not a matrix's) or U², and of P². */
  readonly partials: Float64Array;
  /** Matrix: first the sums of rows and columns, then the factors of 1 / V̂, then those of U. Length lead·rows and lead·cols. */
  readonly rowFactor: Float64Array;
  readonly colFactor: Float64Array;
  p: NumericArray;
  /** Of this step; between steps it is `p`, so that the memory of a gradient is free as soon as the caller drops it. */
  g: NumericArray;
  /** First moment, second moment, largest second moment: null where the formula has none. */
  m: StateArray | null;
  v: StateArray | null;
  largest: StateArray | null;
}

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
  const { length } = p;
  const matrix = kind === 'matrix';
  const cols = matrix ? shape.at(-1)! : length;
  const rows = matrix ? shape.at(-2)! : 1;
  const lead = matrix ? shape.slice(0, -2).reduce((a, b) => a * b, 1) : 1;
  const unit = matrix ? blockRows(rows, cols) : blockLength(cols);
  const blocksEach = Math.ceil((matrix ? rows : cols) / unit);
  const blocks = length === 0 ? 0 : lead * blocksEach;
  return {
    kind,
    dtype,
    lead,
    rows,
    cols,
    unit,
    blocksEach,
    blocks,
    scalars: scratch(SCALARS),
    partials: scratch(2 * blocks),
    rowFactor: scratch(matrix ? lead * rows : 0),
    colFactor: scratch(matrix ? lead * cols : 0),
    p,
    g: p,
    m: null,
    v: null,
    largest: null,
  };
}

/** Sum of a pass's first (`which` 0) or second partial sums, in block order. */
export function total(task: Task, which: 0 | 1): number {
  let sum = 0;
  for (let b = which; b < task.partials.length; b += 2) sum += task.partials[b]!;
  return sum;
}

/** Adds the column sums that a block left in `columns` from `at`; to be done in block order, from zeros. */
export function foldColumns(
  { cols, colFactor, blocksEach }: Task,
  block: number,
  columns: Float64Array,
  at: number,
): void {
  const to = Math.floor(block / blocksEach) * cols;
  for (let j = 0; j < cols; j++) colFactor[to + j]! += columns[at + j]!;
}

/** Whether the blocks of a pass leave column sums of their own, to be folded in block order; the sums of a single block are final. */
export function foldsColumns({ kind, blocksEach }: Task, pass: number): boolean {
  return kind === 'matrix' && pass === 0 && blocksEach > 1;
}

/** A loop also takes what the 16-bit ones of `loops/generated/` need beside the arguments of all. */
type WithTable<F> = F extends (...args: infer A) => infer R
  ? (...args: [...A, table?: Float32Array | undefined, strip?: Float32Array | undefined]) => R
  : never;

/** The loops of an engine; float64 arrays go where the types say Float32Array, as all have one shape. */
export type EngineLoops = { readonly [K in keyof Loops32]: WithTable<Loops32[K]> };

/** What is done with the tasks of one kind. */
export interface Kind {
  /** The TypeScript loops, for kernels that bring none. */
  readonly float32: object;
  readonly float64: object;
  /** One pass over one block; column sums, where they are kept apart, go into `columns` from `at`. Pass 0 writes no weight and no state. */
  readonly run: (engine: Engine, task: Task, pass: number, block: number, columns: Float64Array, at: number) => void;
}

const none = new Float32Array(0);

/**
 * Runs passes over blocks with one kernels object. Holds the only scratch memory of a step: two strips for 16-bit arrays, one
 * row of column sums, the random bits. Nothing is allocated in a step once these have grown to the widest matrix.
 */
export class Engine {
  readonly kernels: Kernels;
  /** Set by `read` and `readBoth`: the loops for `g` (and `p`), which are to be read from `at`. */
  loops!: EngineLoops;
  g: Float32Array = none;
  p: Float32Array = none;
  at = 0;
  /** What loops that look numbers up need beside that: the numbers, and where new weights go. */
  table: Float32Array | undefined;
  strip: Float32Array | undefined;
  readonly #kinds: Readonly<Record<string, Kind>>;
  /** The loops for the task at hand. */
  #own!: EngineLoops;
  #columns = new Float64Array(0);
  /** One for gradients, one for weights, and the bits of each. */
  #strips: Float32Array[] = [];
  #words: Uint32Array[] = [];
  #random = new Uint32Array(0);

  constructor(kernels: Kernels, kinds: Readonly<Record<string, Kind>>) {
    this.kernels = kernels;
    this.#kinds = kinds;
  }

  /** One pass over all blocks of a task. */
  run(task: Task, pass: number): void {
    const folds = foldsColumns(task, pass);
    if (folds) {
      task.colFactor.fill(0);
      if (this.#columns.length < task.cols) this.#columns = new Float64Array(task.cols);
    }
    for (let block = 0; block < task.blocks; block++) {
      this.runBlock(task, pass, block, this.#columns, 0);
      if (folds) foldColumns(task, block, this.#columns, 0);
    }
  }

  /** One pass over one block, in any order and on any thread. */
  runBlock(task: Task, pass: number, block: number, columns: Float64Array, at: number): void {
    const kind = this.#kinds[task.kind]!;
    const { kernels } = this;
    const wide = task.dtype === 'float64';
    const own = wide ? (kernels.float64 ?? kind.float64) : (kernels.float32 ?? kind.float32);
    this.#own = own as EngineLoops;
    kind.run(this, task, pass, block, columns, at);
    // A gradient's memory is to be free as soon as its owner drops it.
    this.g = this.p = none;
  }

  /** Makes elements of the gradient readable: where they are, by look-ups (where the loop at hand is a 16-bit one of `loops/generated/`), or widened in a strip. */
  read(task: Task, from: number, n: number, lookUp: boolean): void {
    this.g = this.#read(task, task.g, 0, from, n, lookUp);
  }

  /** {@link Engine.read} for gradient and weights. New weights replace the old ones of `p`, and {@link Engine.store} comes after it. */
  readBoth(task: Task, from: number, n: number, lookUp: boolean): void {
    const sixteenBits = isSixteen(task.dtype);
    if (sixteenBits && task.g.BYTES_PER_ELEMENT !== 2) {
      this.#grow(n);
      this.g = this.#strips[0]!;
      this.g.set((task.g as Float32Array).subarray(from, from + n));
      this.p = this.#read(task, task.p, 1, from, n, false);
    } else {
      this.read(task, from, n, lookUp);
      this.p = this.#read(task, task.p, 1, from, n, lookUp);
    }
    if (sixteenBits) this.#grow(n);
    this.strip = this.#strips[1];
  }

  #read(task: Task, array: NumericArray, which: 0 | 1, from: number, n: number, lookUp: boolean): Float32Array {
    const { kernels } = this;
    this.loops = this.#own;
    this.at = from;
    if (array.BYTES_PER_ELEMENT !== 2) return array as Float32Array;
    const half = task.dtype === 'float16';
    const fast = kernels.sixteen === undefined ? sixteen.lookUp : undefined;
    if (lookUp && fast !== undefined) {
      this.loops = fast.loops as unknown as EngineLoops;
      this.table = fast.table(half);
      return array as unknown as Float32Array;
    }
    this.#grow(n);
    (kernels.sixteen ?? sixteen).widen(half, array as Uint16Array, from, n, this.#words[which]!);
    this.at = 0;
    return this.#strips[which]!;
  }

  /** Sum of the squares of elements of the gradient or the weights. */
  squares(task: Task, array: NumericArray, from: number, n: number): number {
    const x = this.#read(task, array, 1, from, n, true);
    return this.loops.sumSquares(x, this.at, n, this.table);
  }

  /** The sum of G², or 0 or NaN where these kernels have that sooner: it is asked only whether it is finite. */
  check(task: Task, from: number, n: number): number {
    const { nonFinite } = this.#own;
    if (nonFinite === undefined) return this.squares(task, task.g, from, n);
    const x = this.#read(task, task.g, 0, from, n, false);
    return nonFinite(x, this.at, n);
  }

  /** Rounds weights that {@link Engine.readBoth} gave back into their 16-bit array, where that is what they are in. */
  store({ p, dtype, scalars }: Task, at: number, n: number): void {
    if (!isSixteen(dtype)) return;
    const half = dtype === 'float16';
    const words = this.#words[1]!;
    if (scalars[STOCHASTIC] !== 1) (this.kernels.sixteen ?? sixteen).narrow(half, words, n, p as Uint16Array, at);
    else {
      if (this.#random.length <= n) this.#random = new Uint32Array(n + 2);
      fillRandom(scalars[KEY0]!, scalars[KEY1]!, scalars[STEP]!, at, n, this.#random);
      narrowRandom(half, words, n, p as Uint16Array, at, this.#random);
    }
  }

  #grow(n: number): void {
    if (this.#strips.length > 0 && this.#strips[0]!.length >= n) return;
    this.dispose();
    for (let i = 0; i < 2; i++) {
      const strip = allocateOwn(this.kernels, 'float32', n) as Float32Array;
      this.#strips.push(strip);
      this.#words.push(new Uint32Array(strip.buffer, strip.byteOffset, n));
    }
  }

  /** Gives the strips back to the kernels; they are allocated anew when needed. */
  dispose(): void {
    for (const strip of this.#strips) freeOwn(this.kernels, strip);
    this.#strips = [];
    this.#words = [];
  }
}

/** A pass over one block of a vector, by strips: in pass 0 the sum of G² where it is wanted, else `work`, which returns what is to be summed; and `weigh`, P². */
export function runFlat(
  engine: Engine,
  task: Task,
  pass: number,
  block: number,
  work: (engine: Engine, task: Task, pass: number, at: number, n: number) => number,
  weigh: boolean,
): void {
  const { scalars, partials, unit, cols, dtype } = task;
  const end = Math.min((block + 1) * unit, cols);
  const strip = isSixteen(dtype) ? STRIP_LENGTH : unit;
  let sum = 0;
  let weight = 0;
  for (let at = block * unit; at < end; at += strip) {
    const n = Math.min(strip, end - at);
    if (pass > 0) sum += work(engine, task, pass, at, n);
    else if (scalars[CHECK] === 1) sum += engine.check(task, at, n);
    if (weigh) weight += engine.squares(task, task.p, at, n);
  }
  partials[2 * block] = sum;
  partials[2 * block + 1] = weight;
}
