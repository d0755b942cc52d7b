/**
 * One parameter's work as plain data, so that it can be handed to another thread as it is: where
 * its arrays are, how they are cut, and the numbers that a rule's loops need.
 */
import { type DType, isSixteen, type NumericArray } from '../core/dtype.ts';
import { sizeOf } from '../core/parameter.ts';
import type { StateArray } from '../core/state-dict.ts';
import { blockLength, blockRows, isFar } from '../loops/blocks.ts';

/**
 * How a parameter is cut: as matrices (over its last two dimensions), or as one row of all its
 * elements.
 */
export interface Cut {
  readonly matrix: boolean;
  /** Matrices, and the shape of each. */
  readonly lead: number;
  readonly rows: number;
  readonly cols: number;
  /** Rows of a block, or its elements where there is one row. */
  readonly unit: number;
  /** Blocks of one matrix, and of all. */
  readonly blocksEach: number;
  readonly blocks: number;
}

/** Cuts `length` elements of this shape. */
export function cutOf(shape: readonly number[], length: number, matrix: boolean): Cut {
  const [rows, cols] = (matrix ? shape.slice(-2) : [1, length]) as [number, number];
  const lead = matrix ? sizeOf(shape.slice(0, -2)) : 1;
  const unit = matrix ? blockRows(rows, cols) : blockLength(cols);
  const blocksEach = Math.ceil((matrix ? rows : cols) / unit);
  return { matrix, lead, rows, cols, unit, blocksEach, blocks: length === 0 ? 0 : lead * blocksEach };
}

/** The elements of a block: from one to one before another. */
export function rangeOf({ matrix, rows, cols, unit, blocksEach }: Cut, block: number): [from: number, to: number] {
  if (!matrix) return [block * unit, Math.min((block + 1) * unit, cols)];
  const row = (block % blocksEach) * unit;
  const first = Math.floor(block / blocksEach) * rows;
  return [(first + row) * cols, (first + Math.min(row + unit, rows)) * cols];
}

/** Places of named numbers, from `first` on. */
export function places<const N extends string>(first: number, names: readonly N[]): Readonly<Record<N, number>> {
  return Object.fromEntries(names.map((name, i) => [name, first + i])) as Record<N, number>;
}

/**
 * Places in {@link Work.numbers} that every rule has. `check`: 1 where pass 0 is to find out
 * whether the gradient is finite. `exact`: 1 where only the exact float32 loops will do.
 * `stochastic`: 1 where 16-bit weights are rounded so, with the stream's two key words and the step
 * after it.
 */
export const AT: Readonly<Record<'check' | 'exact' | 'stochastic' | 'key0' | 'key1' | 'step', number>> = places(0, [
  'check',
  'exact',
  'stochastic',
  'key0',
  'key1',
  'step',
]);

/** Where a rule's own numbers begin. */
export const OWN = 6;

/** One parameter's work under one rule. */
export interface Work<S extends string = string, T extends string = string> {
  /** Name of the rule, by which another thread finds it. */
  readonly rule: string;
  readonly dtype: DType;
  readonly cut: Cut;
  readonly numbers: Float64Array;
  /** Partial sums of each block, `sumsEach` a block. */
  readonly sums: Float64Array;
  readonly sumsEach: number;
  /** The rule's own small arrays, in double. */
  readonly own: Readonly<Record<T, Float64Array>>;
  /** The weights. */
  p: NumericArray;
  /** The gradient of this step; between steps it is `p`, so that a gradient's memory is free. */
  g: NumericArray;
  /** State by its key in the state dict; null where the group's options have no use for it. */
  readonly state: Record<S, StateArray | null>;
}

/** One of the partial sums over all blocks, in their order. */
export function total({ sums, sumsEach }: Work, which: number): number {
  let sum = 0;
  for (let b = which; b < sums.length; b += sumsEach) sum += sums[b]!;
  return sum;
}

/**
 * Whether sums over this matrix go by streams. Not in 16 bits: there the loops read strips, which
 * are in the first cache or short.
 */
export function goesFar({ cut, dtype }: Work): boolean {
  return isFar(cut.rows, cut.cols) && !isSixteen(dtype);
}
