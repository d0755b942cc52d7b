/**
 * A pass over the blocks of a parameter, and its running on the calling thread. Blocks have sums of
 * their own, so that a result does not depend on who does them and in which order.
 */
import type { Access, Strip } from './strip.ts';
import { stripLength } from './strip.ts';
import type { Work } from './work.ts';

/** One pass of a rule over a block. */
export interface Pass {
  /** Writes weights or state, so that it cannot be done again. The first pass never does. */
  readonly writes: boolean;
  /**
   * Its blocks leave column sums of their own, which are added in block order into this one of the
   * work's arrays.
   */
  readonly columnSums?: string;
  /**
   * Does one block, in any order and on any thread. Column sums, where they are kept apart, go into
   * `columns` from `at`.
   */
  block(strip: Strip, work: Work, block: number, columns: Float64Array, at: number): void;
}

/** What is done with a stretch of `n` elements from `from`; its sums start at `sums[into]`. */
export type FlatBody<L extends object, W extends Work> = (
  strip: Strip<L>,
  work: W,
  from: number,
  n: number,
  into: number,
) => void;

/**
 * What is done with `count` rows from `row`, which begin at element `from`; `columns` from `at` is
 * where a pass with column sums has those of the block.
 */
export type RowsBody<L extends object, W extends Work> = (
  strip: Strip<L>,
  work: W,
  row: number,
  count: number,
  from: number,
  into: number,
  columns: Float64Array,
  at: number,
) => void;

const none = new Float64Array(0);

function clear({ sums, sumsEach }: Work, into: number): void {
  for (let k = into; k < into + sumsEach; k++) sums[k] = 0;
}

/** Does a block of a parameter that is one row. */
export function flatBlock<L extends object, W extends Work>(
  strip: Strip<L>,
  work: W,
  block: number,
  access: Access,
  lookUp: boolean,
  body: FlatBody<L, W>,
): void {
  const { unit, cols } = work.cut;
  const end = Math.min((block + 1) * unit, cols);
  const most = stripLength(work);
  const into = block * work.sumsEach;
  clear(work, into);
  for (let at = block * unit; at < end; at += most) {
    const n = Math.min(most, end - at);
    strip.open(work, access, lookUp, at, n);
    body(strip, work, at, n, into);
    strip.close(work, access, at, n);
  }
  strip.release();
}

/** Does a block of rows of a matrix. */
export function rowsBlock<L extends object, W extends Work>(
  strip: Strip<L>,
  work: W,
  block: number,
  access: Access,
  lookUp: boolean,
  body: RowsBody<L, W>,
  columns: Float64Array = none,
  at = 0,
): void {
  const { rows, cols, unit, blocksEach } = work.cut;
  const lead = Math.floor(block / blocksEach);
  const first = lead * rows + (block % blocksEach) * unit;
  const end = Math.min(first + unit, (lead + 1) * rows);
  const most = cols === 0 ? unit : stripLength(work) / cols;
  const into = block * work.sumsEach;
  clear(work, into);
  for (let row = first; row < end; row += most) {
    const count = Math.min(most, end - row);
    const from = row * cols;
    strip.open(work, access, lookUp, from, count * cols);
    body(strip, work, row, count, from, into, columns, at);
    strip.close(work, access, from, count * cols);
  }
  strip.release();
}

/**
 * Whether the blocks of this pass leave column sums to be folded; those of a single one are final.
 */
export function foldsColumns(pass: Pass, { cut }: Work): boolean {
  return pass.columnSums !== undefined && cut.matrix && cut.blocksEach > 1;
}

/** Adds the column sums that a block left in `columns` from `at`; in block order, from zeros. */
export function foldColumns(pass: Pass, { cut, own }: Work, block: number, columns: Float64Array, at: number): void {
  const { cols, blocksEach } = cut;
  const sums = own[pass.columnSums!]!;
  const to = Math.floor(block / blocksEach) * cols;
  for (let j = 0; j < cols; j++) sums[to + j]! += columns[at + j]!;
}

/** All blocks of a pass on this thread. */
export function runPass(strip: Strip, pass: Pass, work: Work): void {
  const { columns } = strip.room;
  const folds = foldsColumns(pass, work);
  if (folds) work.own[pass.columnSums!]!.fill(0);
  for (let block = 0; block < work.cut.blocks; block++) {
    pass.block(strip, work, block, columns, 0);
    if (folds) foldColumns(pass, work, block, columns, 0);
  }
}
