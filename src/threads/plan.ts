/**
 * How a step is cut for the threads of `threads/driver.ts`: tasks into units (their blocks), units into items, tasks into batches.
 */

import type { NumericArray } from '../core/dtype.ts';
import { foldsColumns, type Task } from '../engine/tasks.ts';
import { type Plan, pack, packArrays, type WirePlan } from './protocol.ts';

/** A plan and what the workers know of it. */
export interface KnownPlan extends Plan {
  readonly id: number;
  /** First item of each task, and one past the last; where small tasks share an item, that of the first. */
  readonly firstItem: readonly number[];
  readonly batches: readonly (readonly [from: number, to: number])[];
  /** Tasks with an array that no other thread reaches. */
  readonly own: readonly boolean[];
  readonly elements: number;
  /** The arrays of each task as the workers know them. */
  readonly sent: (readonly (NumericArray | null)[])[];
}

/** Elements of an item, unless one block has more. */
const ITEM = 32768;
/** Elements of a batch, unless one task has more: a gradient of 8 MiB is still in the caches when it is read again. */
const BATCH = 2 ** 21;

/** Zeros that all threads reach. */
export function sharedDoubles(length: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer(8 * length));
}

const roomOf = new WeakMap<Task, Float64Array>();

/** Room for the column sums of each block of a task; kept, as plans come and go. */
function columnsOf(task: Task): Float64Array {
  let columns = roomOf.get(task);
  if (columns === undefined) {
    columns = sharedDoubles(foldsColumns(task, 0) ? task.blocks * task.cols : 0);
    roomOf.set(task, columns);
  }
  return columns;
}

/** A plan over these tasks, with items of about {@link ITEM} elements that do not reach from one batch into another. */
export function newPlan(id: number, tasks: readonly Task[], own: readonly boolean[]): KnownPlan {
  const firstUnit = new Int32Array(tasks.length + 1);
  const taskOf: number[] = [];
  const items: number[] = [];
  const firstItem: number[] = [];
  const batches: [number, number][] = [];
  let batch = 0;
  let item = ITEM;
  let elements = 0;
  for (const [i, task] of tasks.entries()) {
    const size = task.p.length;
    elements += size;
    if (batches.length === 0 || batch + size > BATCH) {
      batches.push([i, i + 1]);
      batch = 0;
      item = ITEM;
    } else batches.at(-1)![1] = i + 1;
    batch += size;
    firstUnit[i] = taskOf.length;
    firstItem.push(items.length);
    for (let block = 0; !own[i] && block < task.blocks; block++) {
      const each = size / task.blocks;
      if (item + each > ITEM) {
        items.push(taskOf.length);
        item = 0;
      }
      item += each;
      taskOf.push(i);
    }
  }
  firstUnit[tasks.length] = taskOf.length;
  firstItem.push(items.length);
  return {
    id,
    tasks: [...tasks],
    columns: tasks.map((task) => columnsOf(task)),
    firstUnit,
    taskOf: Int32Array.from(taskOf),
    items: Int32Array.from([...items, taskOf.length]),
    states: new Int32Array(new SharedArrayBuffer(4 * items.length)),
    firstItem,
    batches,
    own,
    elements,
    sent: [],
  };
}

/** A plan for the journey. */
export function wirePlan(plan: KnownPlan, memory: ArrayBuffer | null): WirePlan {
  const { tasks, own, columns, firstUnit, taskOf, items, states } = plan;
  const none = new Float32Array(0);
  return {
    tasks: tasks.map((task, i) => {
      // What a worker never does need not reach it, and could not.
      if (own[i]) return { ...task, p: none, g: none, m: null, v: null, largest: null };
      return {
        ...task,
        p: pack(task.p, memory),
        ...packArrays(task, memory),
      };
    }),
    columns,
    firstUnit,
    taskOf,
    items,
    states,
  };
}

/** The elements of an item, by task. */
export function tornRanges(
  { items, taskOf, firstUnit, tasks }: Plan,
  item: number,
): { task: Task; from: number; to: number }[] {
  const ranges = new Map<Task, { task: Task; from: number; to: number }>();
  for (let unit = items[item]!; unit < items[item + 1]!; unit++) {
    const t = taskOf[unit]!;
    const task = tasks[t]!;
    const block = unit - firstUnit[t]!;
    const { rows, cols, unit: length, blocksEach } = task;
    let from = block * length;
    let to = Math.min(from + length, cols);
    if (task.kind === 'matrix') {
      const row = (block % blocksEach) * length;
      const matrix = Math.floor(block / blocksEach) * rows;
      from = (matrix + row) * cols;
      to = (matrix + Math.min(row + length, rows)) * cols;
    }
    const known = ranges.get(task);
    if (known === undefined) ranges.set(task, { task, from, to });
    else known.to = to;
  }
  return [...ranges.values()];
}
