/**
 * What the calling thread and its workers agree on: a plan of items of work, and a few shared words
 * by which they are claimed. Both sides are in this file; the calling thread's policy is in
 * `driver.ts`.
 *
 * An item is claimed by a compare-and-exchange on its state, which holds the serial number of the
 * pass: a worker that is late (still in an earlier pass, or an earlier step) can claim nothing. Who
 * does an item makes no difference to the bits, as every block has sums of its own.
 */
import type { NumericArray } from '../core/dtype.ts';
import type { StateArray } from '../core/state-dict.ts';
import { isFloat64 } from '../core/typed-array.ts';
import type { Pass } from '../engine/pass.ts';
import type { Strip } from '../engine/strip.ts';
import type { Work } from '../engine/work.ts';

/**
 * Places in the shared words: the step, the pass's serial number, the pass, the next item, the end.
 */
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

/**
 * How the works of one optimizer are cut. A unit is a block of a work, an item a few units in a
 * row.
 */
export interface Cuts {
  /** Name of the rule. */
  readonly rule: string;
  /** First unit of each work, and one past the last. */
  readonly firstUnit: Int32Array;
  /** Work of each unit. */
  readonly workOf: Int32Array;
  /** First unit of each item, and one past the last. */
  readonly items: Int32Array;
  /** One {@link itemState} per item. */
  readonly states: Int32Array;
}

/** The work of a step. */
export interface Plan extends Cuts {
  readonly works: Work[];
  /** Per work: room for the column sums of each of its blocks. */
  readonly columns: Float64Array[];
}

/** Claims an item of the pass at hand; -1: there is none left, or the pass is over. */
export function claim(words: Int32Array, { states }: Cuts, serial: number, to: number, who: number): number {
  const free = itemState(serial, NOBODY);
  const mine = itemState(serial, who);
  for (;;) {
    const item = Atomics.add(words, NEXT, 1);
    // A late thread may count on in the next plan, which has more items than its own.
    if (item >= to || item >= states.length) return -1;
    if (Atomics.compareExchange(states, item, free, mine) === free) return item;
    if (Atomics.load(words, SERIAL) !== serial) return -1;
  }
}

/** Does the units of an item. */
export function runItem(strip: Strip, pass: Pass, plan: Plan, item: number): void {
  const { items, workOf, firstUnit, works, columns } = plan;
  for (let unit = items[item]!; unit < items[item + 1]!; unit++) {
    const at = workOf[unit]!;
    const work = works[at]!;
    const block = unit - firstUnit[at]!;
    pass.block(strip, work, block, columns[at]!, block * work.cut.cols);
  }
}

/** Marks an item as done. */
export function finish({ states }: Cuts, serial: number, item: number): void {
  Atomics.store(states, item, itemState(serial, DONE));
}

// ---------------------------------------------------------------- what is posted

/**
 * An array on its way: itself, or its place in the WebAssembly memory, whose buffer would arrive as
 * another object.
 */
export type Wire = NumericArray | { readonly doubles: boolean; readonly at: number; readonly length: number };

/** The arrays of a work that may be others in the next step. */
export interface WireArrays {
  readonly g: Wire;
  readonly state: Readonly<Record<string, Wire | null>>;
}

/** A work on its way. */
export interface WireWork extends Omit<Work, 'p' | 'g' | 'state'>, WireArrays {
  readonly p: Wire;
  readonly columns: Float64Array;
}

/** The first message to a worker. */
export interface StartMessage {
  readonly kind: 'start';
  readonly words: Int32Array;
  readonly who: number;
  /** Null: the TypeScript loops. */
  readonly simd: {
    readonly memory: { readonly buffer: ArrayBuffer };
    readonly base: number;
    readonly strips: number;
    readonly level: 'double' | 'float32';
  } | null;
}

/** A plan begins: its works follow, in pieces. */
export interface PlanMessage extends Cuts {
  readonly kind: 'plan';
  readonly id: number;
}

/** Some works of a plan, from number `first` on. */
export interface WorksMessage {
  readonly kind: 'works';
  readonly id: number;
  readonly first: number;
  readonly works: readonly WireWork[];
}

/** Arrays of works that have changed since the last step. */
export interface ArraysMessage {
  readonly kind: 'arrays';
  readonly id: number;
  readonly changes: readonly (readonly [work: number, arrays: WireArrays])[];
}

/** A step begins. */
export interface StepMessage {
  readonly kind: 'step';
  readonly step: number;
  readonly id: number;
  /** Plans that are not needed any more. */
  readonly forget: readonly number[];
}

/** Everything that is posted to a worker. */
export type Message = StartMessage | PlanMessage | WorksMessage | ArraysMessage | StepMessage;

/**
 * Works a message at most. Cloning looks each SharedArrayBuffer up among all those of its message,
 * so one message for 10,000 works took a second.
 */
export const PIECE = 64;

/** An array for the journey. */
export function pack(array: NumericArray, memory: ArrayBuffer | null): Wire {
  if (array.buffer !== memory) return array;
  return { doubles: isFloat64(array), at: array.byteOffset, length: array.length };
}

/** The arrays of a work for the journey. */
export function packArrays({ g, state }: Work, memory: ArrayBuffer | null): WireArrays {
  const packed: Record<string, Wire | null> = {};
  for (const [key, array] of Object.entries(state)) packed[key] = array && pack(array, memory);
  return { g: pack(g, memory), state: packed };
}

function unpack(wire: Wire, memory: ArrayBuffer | null): NumericArray {
  if (ArrayBuffer.isView(wire)) return wire;
  const { doubles, at, length } = wire;
  return doubles ? new Float64Array(memory!, at, length) : new Float32Array(memory!, at, length);
}

/** Puts arrays that arrived into their work. */
export function unpackArrays(work: Work, { g, state }: WireArrays, memory: ArrayBuffer | null): void {
  work.g = unpack(g, memory);
  for (const [key, wire] of Object.entries(state)) {
    work.state[key] = wire && (unpack(wire, memory) as StateArray);
  }
}

/** A work that arrived. */
export function unpackWork(wire: WireWork, memory: ArrayBuffer | null): Work {
  const { rule, dtype, cut, numbers, sums, sumsEach, own } = wire;
  const p = unpack(wire.p, memory);
  const work: Work = { rule, dtype, cut, numbers, sums, sumsEach, own, p, g: p, state: {} };
  unpackArrays(work, wire, memory);
  return work;
}
