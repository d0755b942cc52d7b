/**
 * The course of a step: gradients in, pass 0 of all, then all updates or none. What the groups hold has been checked before.
 */

import type { NumericArray } from '../core/dtype.ts';
import { label, type Parameter, sizeOf } from '../core/parameter.ts';
import { nameHash, streamKey } from '../core/random.ts';
import { isSixteen } from '../core/sixteen-bits.ts';
import { allocateOwn, freeOwn, type Kernels } from '../engine/kernels.ts';
import { CHECK, Engine, KEY0, type Scratch, STEP, STOCHASTIC, type StateArray, type Task } from '../engine/tasks.ts';
import type { Formula, Slot, StateOf } from './formula.ts';
import { firstNonFinite, NonFiniteGradientError } from './non-finite.ts';

/** One optimizer's steps. */
export class Stepper {
  /** Calls that were not refused. */
  calls = 0;
  /** Of these, the ones left out for a non-finite gradient. */
  skipped = 0;
  readonly formula: Formula;
  readonly kernels: Kernels;
  /** Slots with a gradient in the step at hand; kept to allocate nothing. */
  readonly active: Slot[] = [];
  readonly #engine: Engine;
  /** All of the optimizer's, in order. */
  readonly #slots: ReadonlyMap<Parameter, Slot>;

  constructor(formula: Formula, kernels: Kernels, slots: ReadonlyMap<Parameter, Slot>) {
    this.formula = formula;
    this.kernels = kernels;
    this.#engine = new Engine(kernels, formula.kinds);
    this.#slots = slots;
  }

  /** Makes a task's scratch memory. */
  readonly scratch: Scratch = (length) => this.kernels.scratch?.(length) ?? new Float64Array(length);

  /** The array of a slot's state by its spec, allocated where there is none yet. */
  readonly stateOf: StateOf = (slot, { key, shape }) => {
    let array = slot.arrays.get(key);
    if (array === undefined) {
      array = allocateOwn(this.kernels, slot.task.dtype === 'float64' ? 'float64' : 'float32', sizeOf(shape));
      slot.arrays.set(key, array);
    }
    return array;
  };

  /** Takes a parameter into the step at hand. */
  activate(slot: Slot, gradient: NumericArray): void {
    slot.task.g = gradient;
    this.active.push(slot);
  }

  /** Updates the active parameters, all or none. */
  update(where: string): void {
    const { formula, active } = this;
    for (const slot of active) {
      this.begin(slot);
      this.#engine.run(slot.task, 0);
    }
    if (!this.accepts(where)) return;
    for (const slot of active) {
      this.advance(slot);
      for (let pass = 1; pass < formula.passes; pass++) {
        formula.prepare(slot, pass);
        this.#engine.run(slot.task, pass);
      }
    }
  }

  /** Forgets the gradients and what the kernels keep of them. */
  end(): void {
    this.kernels.forget?.();
    for (const { task } of this.active) task.g = task.p;
    this.active.length = 0;
  }

  /** Before pass 0. Refuses arrays that were freed. */
  begin(slot: Slot): void {
    const { task, group } = slot;
    const { kernels, formula } = this;
    for (const array of [task.p, task.g]) if (array.BYTES_PER_ELEMENT !== 2) kernels.checkLive(array as StateArray);
    task.scalars[CHECK] = group.nonFinite === 'propagate' ? 0 : 1;
    formula.prepare(slot, 0);
    kernels.keep?.(task.g);
  }

  /** After pass 0 of all: counts the step and tells whether it is to be done; throws where a gradient is to be refused. */
  accepts(where: string): boolean {
    let skip = false;
    for (const { task, group, parameter, index } of this.active) {
      const policy = group.nonFinite;
      if (policy === 'propagate' || Number.isFinite(this.formula.gradientSum(task))) continue;
      if (policy !== 'skip') {
        const [at, value] = firstNonFinite(task.g, parameter.dtype);
        throw new NonFiniteGradientError(where, parameter, index, at, value);
      }
      skip = true;
    }
    this.calls++;
    if (skip) this.skipped++;
    return !skip;
  }

  /** Before pass 1: the state arrays, the count, and the scalars that depend on it in all optimizers. */
  advance(slot: Slot): void {
    const { formula, kernels } = this;
    formula.bind(slot, this.stateOf);
    // Others may have taken its place since pass 0. The weights are read in every later pass.
    kernels.keep?.(slot.task.g);
    if (formula.passes > 2) kernels.keep?.(slot.task.p);
    slot.step++;
    const { scalars, dtype } = slot.task;
    scalars[STEP] = slot.step;
    scalars[STOCHASTIC] = 0;
    if (isSixteen(dtype) && slot.group.rounding === 'stochastic') {
      scalars[STOCHASTIC] = 1;
      scalars.set(this.#streamKey(slot), KEY0);
    }
  }

  /** A named parameter has the stream of its name, so that it does not matter where in the list it stands; others that of their number. */
  #streamKey(slot: Slot): Uint32Array {
    const seed = slot.group.seed as number;
    const { name } = slot.parameter;
    if (name === undefined) return streamKey(seed, slot.index, 0);
    let occurrence = 1;
    for (const other of this.#slots.values()) {
      if (other === slot) break;
      if (other.parameter.name === name) occurrence++;
    }
    return streamKey(seed, nameHash(name), occurrence);
  }

  /** How messages call the parameter of a task. */
  describe(task: Task): string {
    const slot = [...this.#slots.values()].find((one) => one.task === task)!;
    return label(slot.parameter, slot.index);
  }

  /** Gives all of them back. */
  dispose(): void {
    this.kernels.threads?.forget(this);
    this.#engine.dispose();
    for (const slot of this.#slots.values()) {
      for (const array of slot.arrays.values()) freeOwn(this.kernels, array);
      slot.arrays.clear();
      slot.task.m = slot.task.v = slot.task.largest = null;
    }
  }
}
