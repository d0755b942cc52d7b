/**
 * What tells one optimizer from another: its options, its state and its update rule. Everything else is in `optimizer.ts`.
 */
import { boolean, number } from '../core/check.ts';
import type { StateValue } from '../core/dtype.ts';
import type { Parameter } from '../core/parameter.ts';
import type { Kind, Scratch, StateArray, Task } from '../engine/tasks.ts';
import type { ParamGroup } from './param-group.ts';

/** Validates one option's value and returns it (arrays as copies). */
export type OptionCheck = (label: string, value: unknown) => unknown;

/** What an optimizer knows of one of its parameters. */
export interface Slot {
  readonly parameter: Parameter;
  /** Its number over all groups: the key in the state dict. */
  readonly index: number;
  readonly group: ParamGroup;
  readonly task: Task;
  /** Updates so far. 0: no state yet. */
  step: number;
  /** State arrays by their key in the state dict. */
  readonly arrays: Map<string, StateArray>;
  /** Adafactor: RMS of the weights before the last update, and that update's learning rate. */
  rms: number;
  lr: number | undefined;
}

/** One state array of a parameter. */
export interface StateSpec {
  readonly key: string;
  readonly shape: readonly number[];
}

/** Gives the array of a spec, allocated with zeros where the slot has none yet. */
export type StateOf = (slot: Slot, spec: StateSpec) => StateArray;

/** An optimizer's own part. */
export interface Formula {
  /** Name of the class, for messages. */
  readonly name: string;
  readonly defaults: Readonly<Record<string, unknown>>;
  /** One check per option, in the order of PyTorch's state dict. */
  readonly checks: Readonly<Record<string, OptionCheck>>;
  /** Options that PyTorch does not know: saved only when they differ from the default. */
  readonly ownOptions: readonly string[];
  /** Keys of a saved group that PyTorch writes and this library only keeps, with their defaults. */
  readonly foreignKeys: Readonly<Record<string, StateValue>>;
  /** Whether the state has RMS. */
  readonly hasRms: boolean;
  /** Refuses options that do not go together. `construction` is false for a loaded or live group. */
  checkGroup(where: string, group: Readonly<Record<string, unknown>>, construction: boolean): void;
  /** Refuses a foreign key's value under which PyTorch would compute something else. */
  checkForeign(label: string, key: string, value: unknown, group: Readonly<Record<string, unknown>>): void;
  /** What its tasks do. */
  readonly kinds: Readonly<Record<string, Kind>>;
  /** A parameter's task, with scratch memory from `scratch`. */
  createTask(parameter: Parameter, scratch: Scratch): Task;
  /** The state arrays of a parameter under a group's options, in the order of PyTorch's state dict. */
  stateSpecs(parameter: Parameter, group: ParamGroup): StateSpec[];
  /** Passes over the blocks. The first writes no weight and no state, so that a step can still be refused after it. */
  readonly passes: number;
  /** Gives the task its state arrays, allocated where the slot has none yet. Comes before the second pass. */
  bind(slot: Slot, stateOf: StateOf): void;
  /**
   * What comes before a pass: the scalars it needs and, from the second pass on, the state that its sums change. The step is counted
   * before the second pass.
   */
  prepare(slot: Slot, pass: number): void;
  /** The sum of G² that the first pass found, over the whole parameter. */
  gradientSum(task: Task): number;
}

/** A finite number of at least 0. */
export const nonNegative: OptionCheck = (name, value) => number(name, value, { min: 0 });

/** true or false. */
export const flag: OptionCheck = (name, value) => boolean(name, value);

/** The state array of a key: looked up before its spec is made, as from the second step on it is there. */
export function stateArrayOf(formula: Formula, slot: Slot, key: string, stateOf: StateOf): StateArray {
  const found = slot.arrays.get(key);
  if (found !== undefined) return found;
  return stateOf(slot, formula.stateSpecs(slot.parameter, slot.group).find((spec) => spec.key === key)!);
}
