/**
 * What the calling thread and its workers agree on: a plan of items of work, and a few shared words by which they are claimed. Both
 * sides are in this file; the calling thread's policy is in `threads/driver.ts`.
 *
 * An item is claimed by a compare-and-exchange on its state, which holds the serial number of the pass: a worker that is late
 * (still in an earlier pass, or an earlier step) can claim nothing. Who does an item makes no difference to the bits, as every block has sums of its own.
 */

import type { NumericArray } from '../core/dtype.ts';
import type { Engine, StateArray, Task } from '../engine/tasks.ts';

/** Places in the shared words: the step, the serial number of the pass, the pass, the next item, one past the last. */
export const STEP = 0;
export const SERIAL = 1;
export const PASS = 2;
export const NEXT = 3;
export const TO = 4;
export const WORDS = 16;

/** Who has an item: nobody, the calling thread, the first worker and so on; or it is done. */
export const NOBODY = 0;
export const CALLER = 1;
export const FIRST_WORKER = 2;
export const DONE = 63;

/** An item's state in the pass of that serial number. */
export function itemState(serial: number, who: number): number {
  return ((serial & 0x1ffffff) << 6) | who;
}

/** Who has the item of that state. */
export function holder(state: number): number {
  return state & 63;
}

/** The work of a step over the tasks of one optimizer. A unit is a block of a task, an item a few units in a row. */
export interface Plan {
  readonly tasks: Task[];
  /** Per task: room for the column sums of each of its blocks. */
  readonly columns: readonly Float64Array[];
  /** First unit of each task, and one past the last. */
  readonly firstUnit: Int32Array;
  /** Task of each unit. */
  readonly taskOf: Int32Array;
  /** First unit of each item, and one past the last. */
  readonly items: Int32Array;
  /** One {@link itemState} per item. */
  readonly states: Int32Array;
}

/** Claims an item of the pass at hand; -1: there is none left, or the pass is over. */
export function claim(words: Int32Array, plan: Plan, serial: number, to: number, who: number): number {
  const free = itemState(serial, NOBODY);
  const mine = itemState(serial, who);
  for (;;) {
    const item = Atomics.add(words, NEXT, 1);
    // A late thread may count on in the next plan, which has more items than its own.
    if (item >= to || item >= plan.states.length) return -1;
    if (Atomics.compareExchange(plan.states, item, free, mine) === free) return item;
    if (Atomics.load(words, SERIAL) !== serial) return -1;
  }
}

/** Does the units of an item. */
export function runItem(engine: Engine, plan: Plan, pass: number, item: number): void {
  const { items, taskOf, firstUnit, tasks, columns } = plan;
  for (let unit = items[item]!; unit < items[item + 1]!; unit++) {
    const t = taskOf[unit]!;
    const task = tasks[t]!;
    const block = unit - firstUnit[t]!;
    engine.runBlock(task, pass, block, columns[t]!, block * task.cols);
  }
}

/** Marks an item as done. */
export function finish(plan: Plan, serial: number, item: number): void {
  Atomics.store(plan.states, item, itemState(serial, DONE));
}

// ---------------------------------------------------------------- what is posted

/** An array on its way: itself, or its place in the WebAssembly memory, whose buffer would arrive as another object. */
export type Wire = NumericArray | { readonly doubles: boolean; readonly at: number; readonly length: number };

/** The arrays of a task that may be others in the next step. */
export interface WireArrays {
  readonly g: Wire;
  readonly m: Wire | null;
  readonly v: Wire | null;
  readonly largest: Wire | null;
}

/** A plan on its way. */
export interface WirePlan extends Omit<Plan, 'tasks'> {
  readonly tasks: readonly (Omit<Task, 'p' | 'g' | 'm' | 'v' | 'largest'> & WireArrays & { readonly p: Wire })[];
}

/** The first message to a worker. */
export interface StartMessage {
  readonly words: Int32Array;
  readonly who: number;
  /** Null: the TypeScript loops. */
  readonly simd: {
    readonly memory: { readonly buffer: ArrayBuffer };
    readonly base: number;
    readonly strips: number;
  } | null;
}

/** Every later one: a step begins. */
export interface StepMessage {
  readonly step: number;
  readonly id: number;
  /** Where the worker does not know it yet. */
  readonly plan: WirePlan | null;
  readonly changes: readonly (readonly [task: number, arrays: WireArrays])[];
  /** Plans that are not needed any more. */
  readonly forget: readonly number[];
}

/** An array for the journey. */
export function pack(array: NumericArray, memory: ArrayBuffer | null): Wire {
  if (array.buffer !== memory) return array;
  return { doubles: array instanceof Float64Array, at: array.byteOffset, length: array.length };
}

/** The arrays of a task for the journey. */
export function packArrays(task: Task, memory: ArrayBuffer | null): WireArrays {
  return {
    g: pack(task.g, memory),
    m: task.m && pack(task.m, memory),
    v: task.v && pack(task.v, memory),
    largest: task.largest && pack(task.largest, memory),
  };
}

function unpack(wire: Wire, memory: ArrayBuffer | null): NumericArray {
  if (ArrayBuffer.isView(wire)) return wire;
  return wire.doubles
    ? new Float64Array(memory!, wire.at, wire.length)
    : new Float32Array(memory!, wire.at, wire.length);
}

/** Puts arrays that arrived into their task. */
export function unpackArrays(task: Task, arrays: WireArrays, memory: ArrayBuffer | null): void {
  task.g = unpack(arrays.g, memory);
  task.m = arrays.m && (unpack(arrays.m, memory) as StateArray);
  task.v = arrays.v && (unpack(arrays.v, memory) as StateArray);
  task.largest = arrays.largest && (unpack(arrays.largest, memory) as StateArray);
}

/** The plan that arrived. */
export function unpackPlan(wire: WirePlan, memory: ArrayBuffer | null): Plan {
  const tasks = wire.tasks.map((one) => {
    const p = unpack(one.p, memory);
    const task: Task = { ...one, p, g: p, m: null, v: null, largest: null };
    unpackArrays(task, one, memory);
    return task;
  });
  return { ...wire, tasks };
}
