/**
 * The course of a step: gradients in, pass 0 of all, then all updates or none. What the groups hold has been checked before.
 */
import type { Formula, Slot, StateOf } from './_formula.ts';
import { nameHash, streamKey } from './_random.ts';
import {
  CHECK,
  dropGradient,
  Engine,
  isSixteen,
  KEY0,
  KEY1,
  type Scratch,
  STEP,
  STOCHASTIC,
  type StateArray,
  setGradient,
  WEIGH,
} from './_tasks.ts';
import type { NumericArray } from './dtype.ts';
import { allocateOwn, freeOwn, type Kernels, type Owner, type Passes } from './kernels.ts';
import { firstNonFinite, NonFiniteGradientError } from './non-finite.ts';
import { label, type Parameter, sizeOf } from './parameter.ts';

/** One optimizer's steps. */
export class Stepper {
  /** Calls that were not refused. */
  calls = 0;
  /** Of these, the ones left out for a non-finite gradient. */
  skipped = 0;
  readonly #formula: Formula;
  readonly #kernels: Kernels;
  readonly #engine: Engine;
  /** All of the optimizer's, in order. */
  readonly #slots: ReadonlyMap<Parameter, Slot>;
  /** Slots with a gradient in the step at hand; kept to allocate nothing. */
  readonly #active: Slot[] = [];
  readonly #owner: Owner = {
    describe: (task) => {
      const slot = [...this.#slots.values()].find((one) => one.task === task)!;
      return label(slot.parameter, slot.index);
    },
  };
  readonly #stateOf: StateOf = (slot, { key, shape }) => this.stateArray(slot, key, sizeOf(shape));

  constructor(formula: Formula, kernels: Kernels, slots: ReadonlyMap<Parameter, Slot>) {
    this.#formula = formula;
    this.#kernels = kernels;
    this.#engine = new Engine(kernels);
    this.#slots = slots;
  }

  /** Makes a task's scratch memory. */
  readonly scratch: Scratch = (length) => this.#kernels.scratch?.(length) ?? new Float64Array(length);

  /** Takes a parameter into the step at hand. */
  activate(slot: Slot, gradient: NumericArray): void {
    setGradient(slot.task, gradient);
    this.#active.push(slot);
  }

  /** Updates the active parameters, all or none. */
  update(where: string): void {
    this.#checkArrays();
    try {
      this.#passes(where);
    } finally {
      this.#kernels.forget?.();
    }
  }

  #passes(where: string): void {
    const kernels = this.#kernels;
    let skip = false;
    for (const slot of this.#active) {
      this.#prepareFirst(slot);
      if (slot.task.scalars[WEIGH] === 1) kernels.keep?.(slot.task.p);
      kernels.keep?.(slot.task.g);
      this.#engine.run(slot.task, 0);
      skip = this.#refuses(where, slot) || skip;
    }
    if (!this.#counts(skip)) return;
    for (const slot of this.#active) {
      this.#formula.bind(slot, this.#stateOf);
      this.#advance(slot);
      kernels.keep?.(slot.task.g);
      for (let pass = 1; pass < this.#formula.passes; pass++) {
        this.#formula.prepare(slot, pass);
        this.#engine.run(slot.task, pass);
      }
    }
  }

  /** {@link Stepper.update} on all threads of the kernels, where they have some. */
  async updateAsync(where: string): Promise<void> {
    const { threads } = this.#kernels;
    if (threads === undefined) return this.update(where);
    this.#checkArrays();
    for (const slot of this.#active) this.#formula.bind(slot, this.#stateOf);
    const tasks = this.#active.map((slot) => slot.task);
    await threads.run(this.#owner, tasks, (passes) => this.#updateTogether(where, passes));
  }

  /** {@link Stepper.update} with each pass over many parameters at once. */
  async #updateTogether(where: string, passes: Passes): Promise<void> {
    const active = this.#active;
    for (const slot of active) this.#prepareFirst(slot);
    await passes.run(0, 0, active.length);
    let skip = false;
    for (const slot of active) skip = this.#refuses(where, slot) || skip;
    if (!this.#counts(skip)) return;
    for (const slot of active) this.#advance(slot);
    for (const [from, to] of passes.batches) {
      for (let pass = 1; pass < this.#formula.passes; pass++) {
        for (let i = from; i < to; i++) this.#formula.prepare(active[i]!, pass);
        await passes.run(pass, from, to);
      }
    }
  }

  /** Forgets the gradients. */
  end(): void {
    for (const slot of this.#active) dropGradient(slot.task);
    this.#active.length = 0;
  }

  #prepareFirst(slot: Slot): void {
    slot.task.scalars[CHECK] = slot.group.nonFinite === 'propagate' ? 0 : 1;
    this.#formula.prepare(slot, 0);
  }

  /** Whether this gradient has the step left out, as it is not finite; throws where it is to be refused. */
  #refuses(where: string, slot: Slot): boolean {
    const policy = slot.group.nonFinite;
    if (policy === 'propagate' || Number.isFinite(this.#formula.gradientSum(slot))) return false;
    if (policy === 'skip') return true;
    const [index, value] = firstNonFinite(slot.task.g, slot.parameter);
    throw new NonFiniteGradientError(where, slot.parameter, slot.index, index, value);
  }

  /** Counts a step that was not refused; whether it is to be done. */
  #counts(skip: boolean): boolean {
    this.calls++;
    if (skip) this.skipped++;
    return !skip;
  }

  /** Counts a parameter's step and sets the scalars that depend on it in all optimizers. */
  #advance(slot: Slot): void {
    slot.step++;
    const { scalars, dtype } = slot.task;
    scalars[STEP] = slot.step;
    scalars[STOCHASTIC] = 0;
    if (isSixteen(dtype) && slot.group.rounding === 'stochastic') {
      const [key0, key1] = this.#streamKey(slot);
      scalars[STOCHASTIC] = 1;
      scalars[KEY0] = key0!;
      scalars[KEY1] = key1!;
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

  /** Refuses arrays that were freed. */
  #checkArrays(): void {
    for (const { task } of this.#active) {
      if (!(task.p instanceof Uint16Array)) this.#kernels.checkLive(task.p);
      if (!(task.g instanceof Uint16Array)) this.#kernels.checkLive(task.g);
    }
  }

  /** The array of a slot's state, allocated where there is none yet. */
  stateArray(slot: Slot, key: string, length: number): StateArray {
    let array = slot.arrays.get(key);
    if (array === undefined) {
      array = allocateOwn(this.#kernels, slot.parameter.dtype === 'float64' ? 'float64' : 'float32', length);
      slot.arrays.set(key, array);
    }
    return array;
  }

  /** Gives an array of {@link Stepper.stateArray} back. */
  free(array: StateArray): void {
    freeOwn(this.#kernels, array);
  }

  /** Gives all of them back. */
  dispose(): void {
    this.#kernels.threads?.forget(this.#owner);
    this.#engine.dispose();
    for (const slot of this.#slots.values()) {
      for (const array of slot.arrays.values()) this.free(array);
      slot.arrays.clear();
      slot.task.m = slot.task.v = slot.task.largest = null;
    }
  }
}
