/**
 * How a step is cut for several threads: works into units (their blocks), units into items, works
 * into batches.
 */
import type { NumericArray } from '../core/dtype.ts';
import { Occupied } from '../core/occupied.ts';
import { isShared } from '../core/typed-array.ts';
import type { Course } from '../engine/engine.ts';
import { foldsColumns, type Pass } from '../engine/pass.ts';
import { rangeOf, type Work } from '../engine/work.ts';
import { type Plan, pack, packArrays, type WireArrays, type WireWork } from './protocol.ts';

/** A plan and what the workers know of it. */
export interface KnownPlan extends Plan {
  readonly id: number;
  /**
   * First item of each work, and one past the last; of works that share an item, that of the first.
   */
  readonly firstItem: readonly number[];
  /** One past the last work of the batch that each work is in. */
  readonly batchEnd: readonly number[];
  /** Works with an array that no other thread reaches. */
  readonly own: readonly boolean[];
  readonly elements: number;
  /** What each work writes to, to its place among the works. */
  readonly written: Occupied<number>;
  /** The arrays of each work as the workers know them. */
  readonly sent: (readonly (NumericArray | null)[])[];
}

/** Elements of a parameter that may be half updated. */
export interface Torn {
  readonly work: number;
  readonly from: number;
  readonly to: number;
}

/** Elements of an item, unless one block has more. */
const ITEM = 32768;
/**
 * Elements of a batch, unless one work has more: 8 MiB of gradient are still in the caches when
 * read again.
 */
const BATCH = 2 ** 21;
const none = new Float32Array(0);

/** Whether some array of a work is out of other threads' reach. */
export function ownWorks({ p, g, state }: Work): boolean {
  if (!isShared(p) || !isShared(g)) return true;
  for (const key of Object.keys(state)) if (state[key] !== null && !isShared(state[key]!)) return true;
  return false;
}

/** Room for the column sums of each block of a work. */
export function columnsOf(passes: readonly Pass[], work: Work): number {
  return passes.some((pass) => foldsColumns(pass, work)) ? work.cut.blocks * work.cut.cols : 0;
}

/**
 * A plan over these works, with items of about {@link ITEM} elements that do not reach over a
 * batch.
 */
export function newPlan(
  id: number,
  { works }: Course,
  own: readonly boolean[],
  columns: readonly Float64Array[],
): KnownPlan {
  const firstUnit = new Int32Array(works.length + 1);
  const workOf: number[] = [];
  const items: number[] = [];
  const firstItem: number[] = [];
  const batchEnd: number[] = [];
  let first = 0;
  let batch = 0;
  let item = ITEM;
  let elements = 0;
  for (const [i, work] of works.entries()) {
    const size = work.p.length;
    elements += size;
    if (i > first && batch + size > BATCH) {
      batchEnd.fill(i, first);
      first = i;
      batch = 0;
      item = ITEM;
    }
    batchEnd.push(works.length);
    batch += size;
    firstUnit[i] = workOf.length;
    firstItem.push(items.length);
    for (let block = 0; !own[i] && block < work.cut.blocks; block++) {
      const each = size / work.cut.blocks;
      if (item + each > ITEM) {
        items.push(workOf.length);
        item = 0;
      }
      item += each;
      workOf.push(i);
    }
  }
  firstUnit[works.length] = workOf.length;
  const written = new Occupied<number>();
  for (const [i, { p }] of works.entries()) written.add(p, i);
  firstItem.push(items.length);
  return {
    id,
    rule: works[0]?.rule ?? '',
    works: [...works],
    columns: [...columns],
    firstUnit,
    workOf: Int32Array.from(workOf),
    items: Int32Array.from([...items, workOf.length]),
    states: new Int32Array(new SharedArrayBuffer(4 * items.length)),
    firstItem,
    batchEnd,
    own,
    elements,
    written,
    sent: [],
  };
}

/** A work for the journey. */
export function wireWork({ works, own, columns }: KnownPlan, at: number, memory: ArrayBuffer | null): WireWork {
  const { rule, dtype, cut, numbers, sums, sumsEach, own: arrays, p } = works[at]!;
  const shared = { rule, dtype, cut, numbers, sums, sumsEach, own: arrays, columns: columns[at]! };
  // What a worker never does need not reach it, and could not.
  if (own[at]) return { ...shared, p: none, g: none, state: {} };
  return { ...shared, p: pack(p, memory), ...packArrays(works[at]!, memory) };
}

/** Notes what is sent of a work now; the arrays that the workers do not know yet, or null. */
export function newArrays(plan: KnownPlan, at: number, memory: ArrayBuffer | null): WireArrays | null {
  const work = plan.works[at]!;
  const sent = plan.sent[at];
  const { g, state } = work;
  const keys = Object.keys(state);
  if (sent !== undefined && sent[0] === g && keys.every((key, i) => sent[i + 1] === state[key])) return null;
  plan.sent[at] = [g, ...keys.map((key) => state[key]!)];
  return plan.own[at] ? null : packArrays(work, memory);
}

/** The elements of an item, by work. */
export function tornRanges({ items, workOf, firstUnit, works }: Plan, item: number): Torn[] {
  const ranges = new Map<number, { work: number; from: number; to: number }>();
  for (let unit = items[item]!; unit < items[item + 1]!; unit++) {
    const at = workOf[unit]!;
    const [from, to] = rangeOf(works[at]!.cut, unit - firstUnit[at]!);
    const known = ranges.get(at);
    if (known === undefined) ranges.set(at, { work: at, from, to });
    else known.to = to;
  }
  return [...ranges.values()];
}
