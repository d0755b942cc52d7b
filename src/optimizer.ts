/**
 * What all optimizers share: parameter groups, all-or-nothing steps, state dicts. The formulas are in `adafactor.ts` and
 * `adamw.ts`, the loops in the kernels.
 *
 * @module
 */
import { integer, show } from './_check.ts';
import type { Formula, Slot, StateOf } from './_formula.ts';
import { checkOptions, checksOf, GroupRules, refuseOverlap } from './_groups.ts';
import { nameHash, streamKey } from './_random.ts';
import { checkKeys, own, record, scalar, stateArray, tensorOf } from './_state.ts';
import {
  CHECK,
  dropGradient,
  Engine,
  isSixteen,
  KEY0,
  KEY1,
  STEP,
  STOCHASTIC,
  type StateArray,
  setGradient,
} from './_tasks.ts';
import type { OptimizerStateDict, StateValue } from './dtype.ts';
import { allocateOwn, freeOwn, type Kernels, type Owner, type Passes, typescriptKernels } from './kernels.ts';
import { firstNonFinite, NonFiniteGradientError } from './non-finite.ts';
import type { ParamGroup, ParamGroupInput, Params } from './param-group.ts';
import { checkedGradient, label, Parameter, sizeOf } from './parameter.ts';

/** Base of all optimizers. */
export abstract class Optimizer {
  /** Live groups; options can be changed between steps. */
  readonly paramGroups: ParamGroup[] = [];
  /** The options that a group gets where it sets none. */
  readonly defaults: Readonly<Record<string, unknown>>;

  readonly #formula: Formula;
  /** What a group of this optimizer may hold. */
  readonly #rules: GroupRules;
  readonly #slots = new Map<Parameter, Slot>();
  /** Slots with a gradient in the step at hand; kept to allocate nothing. */
  readonly #active: Slot[] = [];
  readonly #kernels: Kernels;
  readonly #engine: Engine;
  #stepCalls = 0;
  #skippedSteps = 0;
  #disposed = false;
  /** A `stepAsync` is under way. */
  #busy = false;
  readonly #owner: Owner = {
    describe: (task) => {
      const slot = [...this.#slots.values()].find((one) => one.task === task);
      return slot === undefined ? 'a parameter' : label(slot.parameter, slot.index);
    },
  };

  /** @internal */
  protected constructor(formula: Formula, params: Params, options: unknown) {
    const known = [...Object.keys(checksOf(formula)), 'kernels'];
    const { kernels, ...given } = checkOptions(formula.name, options, known);
    this.#formula = formula;
    this.#kernels = checkKernels(formula.name, kernels);
    this.#engine = new Engine(this.#kernels);
    this.#rules = new GroupRules(formula, given);
    this.defaults = this.#rules.defaults;
    this.#addGroups(this.#rules.readParams(params));
  }

  /**
   * One update of every parameter that has a gradient. All gradients are checked before the first weight or state is touched, so a refused
   * step changes nothing.
   *
   * @param closure - Called first; computes the gradients and returns the loss.
   * @returns What closure returned.
   * @throws NonFiniteGradientError when a gradient is NaN or infinite and `nonFinite` is `"throw"`.
   * @throws TypeError or RangeError, naming the parameter or option, when a gradient or a group's option does not fit.
   */
  step(closure?: () => number): number | undefined {
    const where = `${this.#rules.name}.step`;
    this.#checkAlive('step');
    checkClosure(where, closure);
    const loss = closure?.();
    try {
      this.#activateAll(where);
      this.#update(where);
    } finally {
      this.#deactivate();
    }
    return loss;
  }

  /**
   * {@link Optimizer.step}, on all threads of the kernels (`parallelKernels`); with other kernels it is done before this returns. The bits are
   * those of `step`. Until it has settled, gradients and weights must be left alone, and the optimizer's other methods refuse.
   *
   * @param closure - Called first; computes the gradients and returns the loss, or a promise of it.
   * @returns What closure returned.
   * @throws TornStepError when a worker ended while it wrote weights: it names them; everything else was applied. Otherwise as `step`.
   */
  async stepAsync(closure?: () => number | Promise<number>): Promise<number | undefined> {
    const where = `${this.#rules.name}.stepAsync`;
    this.#checkAlive('stepAsync');
    checkClosure(where, closure);
    const loss = await closure?.();
    this.#checkAlive('stepAsync');
    this.#busy = true;
    try {
      this.#activateAll(where);
      const { threads } = this.#kernels;
      if (threads === undefined) this.#update(where);
      else {
        for (const slot of this.#active) this.#formula.bind(slot, this.#stateOf);
        const tasks = this.#active.map((slot) => slot.task);
        await threads.run(this.#owner, tasks, (passes) => this.#updateTogether(where, passes));
      }
    } finally {
      this.#deactivate();
      this.#busy = false;
    }
    return loss;
  }

  /**
   * One update of this parameter alone: call it as soon as its gradient is ready, then drop the gradient and reuse its memory. In any order,
   * mixed with `step`, the bits are those of `step`.
   *
   * @throws RangeError when the parameter is not one of this optimizer's, or has no gradient; otherwise as `step`.
   */
  stepParameter(parameter: Parameter): void {
    this.#checkAlive('stepParameter');
    const where = `${this.#rules.name}.stepParameter`;
    const slot = this.#slotOf(where, parameter);
    this.#rules.checkLive(where, slot.group, this.paramGroups.indexOf(slot.group));
    if (parameter.grad === null) {
      throw new RangeError(`${where}: ${label(parameter, slot.index)} has no gradient; set its grad first`);
    }
    try {
      this.#activate(where, slot);
      this.#checkArrays();
      this.#update(where);
    } finally {
      this.#deactivate();
    }
  }

  /** Calls of `step` and `stepParameter` on this object that were not refused, left out or not; not saved. */
  get stepCalls(): number {
    return this.#stepCalls;
  }

  /** Steps (or `stepParameter` calls) left out so far because of `nonFinite: "skip"`; not saved. */
  get skippedSteps(): number {
    return this.#skippedSteps;
  }

  /** Sets every parameter's `grad` to null. */
  zeroGrad(): void {
    for (const parameter of this.#slots.keys()) parameter.grad = null;
  }

  /**
   * Adds a group, also in the middle of a run; its parameters start without state.
   *
   * @throws TypeError or RangeError when an option is wrong, or a parameter is in a group already or shares memory with one.
   */
  addParamGroup(group: ParamGroupInput): void {
    this.#checkAlive('addParamGroup');
    this.#addGroups([group]);
  }

  /** Gives the memory back that the kernels hold for the state; the optimizer is unusable afterwards. */
  dispose(): void {
    if (this.#disposed) return;
    this.#checkAlive('dispose');
    this.#disposed = true;
    this.#kernels.threads?.forget(this.#owner);
    this.#engine.dispose();
    for (const slot of this.#slots.values()) {
      for (const array of slot.arrays.values()) freeOwn(this.#kernels, array);
      slot.arrays.clear();
      slot.task.m = slot.task.v = slot.task.largest = null;
    }
  }

  /** The whole state as plain data with PyTorch's keys, detached from the live state. A parameter without an update has no entry. */
  stateDict(): OptimizerStateDict {
    this.#checkAlive('stateDict');
    const state: OptimizerStateDict['state'] = {};
    for (const slot of this.#slots.values()) {
      if (slot.step === 0) continue;
      const entry: Record<string, StateValue> = { step: slot.step };
      for (const { key, shape } of this.#formula.stateSpecs(slot.parameter, slot.group)) {
        const array = slot.arrays.get(key);
        if (array !== undefined) entry[key] = tensorOf(array, shape);
      }
      if (this.#formula.hasRms) entry.RMS = slot.rms;
      state[slot.index] = entry;
    }
    let index = 0;
    const groups = this.paramGroups.map((group) => {
      return { ...this.#rules.save(group), params: group.params.map(() => index++) };
    });
    return { state, param_groups: groups };
  }

  /**
   * Puts a saved state in place: step counts, moments, and the groups' options. Takes this library's state dicts and PyTorch's of the same optimizer,
   * where `step` and `RMS` may be 0-d tensors.
   *
   * @throws TypeError or RangeError that names what does not fit; the optimizer is then as it was.
   */
  loadStateDict(stateDict: OptimizerStateDict | StateValue): void {
    this.prepareLoad(stateDict)();
  }

  /**
   * Checks a state dict as {@link Optimizer.loadStateDict} does, and returns the function that puts it in place and cannot fail: for loading
   * several objects, all or none.
   */
  prepareLoad(stateDict: OptimizerStateDict | StateValue): () => void {
    this.#checkAlive('loadStateDict');
    const where = `${this.#rules.name}.loadStateDict`;
    const dict = record(`${where}: the state dict`, stateDict);
    checkKeys(where, dict, ['state', 'param_groups']);
    const savedGroups = own(dict, 'param_groups');
    const savedState = record(`${where}: state`, own(dict, 'state'));
    if (!Array.isArray(savedGroups) || savedGroups.length !== this.paramGroups.length) {
      const came = Array.isArray(savedGroups) ? `${savedGroups.length}` : show(savedGroups);
      throw new RangeError(
        `${where}: param_groups must be an array of ${this.paramGroups.length} groups, as this optimizer has; got ${came}`,
      );
    }
    const slots = new Map<string, Slot>();
    const groups = savedGroups.map((saved, i) => {
      const at = `${where}: param_groups[${i}]`;
      const live = this.paramGroups[i]!;
      const [group, ids] = this.#rules.readSaved(at, saved, live);
      this.#noteIds(where, at, ids, live, slots);
      return group;
    });
    const loaded = new Map<Slot, LoadedState>();
    for (const id of Object.keys(savedState)) {
      const slot = slots.get(id);
      if (slot === undefined) {
        throw new RangeError(`${where}: state has an entry ${show(id)}, but no group lists that parameter`);
      }
      const group = groups[this.paramGroups.indexOf(slot.group)]!;
      loaded.set(
        slot,
        this.#readState(`${where}: state of ${label(slot.parameter, slot.index)}`, savedState[id], slot, group),
      );
    }
    return () => {
      for (const [i, group] of groups.entries()) {
        const live = this.paramGroups[i]!;
        delete live.initialLr;
        Object.assign(live, group, { params: live.params });
      }
      for (const slot of this.#slots.values()) this.#putState(slot, loaded.get(slot));
    };
  }

  #putState(slot: Slot, loaded: LoadedState | undefined): void {
    for (const [key, array] of slot.arrays) {
      if (loaded?.arrays.has(key)) continue;
      freeOwn(this.#kernels, array);
      slot.arrays.delete(key);
    }
    slot.step = loaded?.step ?? 0;
    slot.rms = loaded?.rms ?? 0;
    slot.lr = undefined;
    if (loaded === undefined) return;
    for (const [key, array] of loaded.arrays) this.#stateArray(slot, key, array.length).set(array);
  }

  /** Notes under which id of the state each parameter of a saved group stands. */
  #noteIds(where: string, at: string, ids: readonly unknown[], live: ParamGroup, slots: Map<string, Slot>): void {
    for (const [i, id] of ids.entries()) {
      if (typeof id !== 'number' && typeof id !== 'string') {
        throw new TypeError(`${at}: params[${i}] must be a parameter's number, got ${show(id)}`);
      }
      const slot = this.#slots.get(live.params[i]!)!;
      const { name } = slot.parameter;
      if (typeof id === 'string' && name !== undefined && id !== name && !/^\d+$/.test(id)) {
        throw new RangeError(
          `${at}: params[${i}] is ${show(id)}, but this optimizer has ${label(slot.parameter)} there`,
        );
      }
      if (slots.has(String(id)))
        throw new RangeError(`${where}: parameter ${show(id)} is listed twice in param_groups`);
      slots.set(String(id), slot);
    }
  }

  #readState(at: string, value: unknown, slot: Slot, group: ParamGroup): LoadedState {
    const entry = record(at, value);
    const specs = this.#formula.stateSpecs(slot.parameter, group);
    const keys = ['step', ...specs.map((spec) => spec.key)];
    checkKeys(at, entry, keys, this.#formula.hasRms ? ['RMS'] : []);
    const step = integer(`${at}: step`, scalar(`${at}: step`, own(entry, 'step')));
    const arrays = new Map<string, StateArray>();
    for (const { key, shape } of specs) {
      arrays.set(key, stateArray(`${at}: ${key}`, own(entry, key), shape, slot.parameter.dtype));
    }
    const rms = own(entry, 'RMS');
    return { step, arrays, rms: rms === undefined ? 0 : scalar(`${at}: RMS`, rms) };
  }

  readonly #stateOf: StateOf = (slot, { key, shape }) => this.#stateArray(slot, key, sizeOf(shape));

  #stateArray(slot: Slot, key: string, length: number): StateArray {
    let array = slot.arrays.get(key);
    if (array === undefined) {
      array = allocateOwn(this.#kernels, slot.parameter.dtype === 'float64' ? 'float64' : 'float32', length);
      slot.arrays.set(key, array);
    }
    return array;
  }

  /** What this optimizer knows of a parameter. @internal */
  protected slotOf(parameter: Parameter): Slot | undefined {
    return this.#slots.get(parameter);
  }

  /** Every parameter that has a gradient, after the check of its group. */
  #activateAll(where: string): void {
    for (let i = 0; i < this.paramGroups.length; i++) {
      const group = this.paramGroups[i]!;
      this.#rules.checkLive(where, group, i);
      for (const parameter of group.params) {
        if (parameter.grad !== null) this.#activate(where, this.#slotOf(where, parameter));
      }
    }
    this.#checkArrays();
  }

  /** Refuses arrays that were freed. */
  #checkArrays(): void {
    for (const { task } of this.#active) {
      if (!(task.p instanceof Uint16Array)) this.#kernels.checkLive(task.p);
      if (!(task.g instanceof Uint16Array)) this.#kernels.checkLive(task.g);
    }
  }

  #activate(where: string, slot: Slot): void {
    setGradient(slot.task, checkedGradient(slot.parameter, this.#called(where, slot))!);
    this.#active.push(slot);
  }

  /** Updates the active parameters, all or none. */
  #update(where: string): void {
    let skip = false;
    for (const slot of this.#active) {
      this.#prepareFirst(slot);
      this.#engine.run(slot.task, 0);
      skip = this.#refuses(where, slot) || skip;
    }
    if (!this.#counts(skip)) return;
    for (const slot of this.#active) {
      this.#formula.bind(slot, this.#stateOf);
      this.#advance(slot);
      for (let pass = 1; pass < this.#formula.passes; pass++) {
        this.#formula.prepare(slot, pass);
        this.#engine.run(slot.task, pass);
      }
    }
  }

  /** {@link Optimizer.#update} with each pass over many parameters at once. */
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

  #deactivate(): void {
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
    this.#stepCalls++;
    if (skip) this.#skippedSteps++;
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

  #called(where: string, slot: Slot): string {
    return `${where}: ${label(slot.parameter, slot.index)}`;
  }

  #slotOf(where: string, parameter: Parameter): Slot {
    const slot = this.#slots.get(parameter);
    if (slot === undefined) {
      const what = parameter instanceof Parameter ? label(parameter) : show(parameter);
      throw new RangeError(`${where}: ${what} is not a parameter of this optimizer; add it with addParamGroup`);
    }
    return slot;
  }

  #checkAlive(method: string): void {
    const { name } = this.#rules;
    if (this.#disposed) throw new Error(`${name}.${method}: this optimizer was disposed; make a new one`);
    if (this.#busy) throw new Error(`${name}.${method}: a stepAsync of this optimizer is under way; await it first`);
  }

  /** Adds all groups or, when one is refused, none. */
  #addGroups(inputs: readonly ParamGroupInput[]): void {
    const seen = new Set(this.#slots.keys());
    const groups = inputs.map((input, i) => this.#rules.readInput(input, this.paramGroups.length + i, seen));
    refuseOverlap(this.#rules.name, [...seen]);
    for (const group of groups) {
      for (const parameter of group.params) {
        const task = this.#formula.createTask(parameter, this.#kernels.scratch ?? newScratch);
        const index = this.#slots.size;
        this.#slots.set(parameter, {
          parameter,
          index,
          group,
          task,
          step: 0,
          arrays: new Map(),
          rms: 0,
          lr: undefined,
        });
      }
    }
    this.paramGroups.push(...groups);
  }
}

function newScratch(length: number): Float64Array {
  return new Float64Array(length);
}

function checkClosure(where: string, closure: unknown): void {
  if (closure === undefined || typeof closure === 'function') return;
  throw new TypeError(`${where}: closure must be a function that returns the loss, got ${show(closure)}`);
}

interface LoadedState {
  readonly step: number;
  readonly arrays: ReadonlyMap<string, StateArray>;
  readonly rms: number;
}

function checkKernels(name: string, kernels: unknown): Kernels {
  if (kernels === undefined) return typescriptKernels;
  const given = kernels as Partial<Kernels> | null;
  if (typeof given?.allocate !== 'function' || typeof given.float32?.reduce !== 'function') {
    throw new TypeError(
      `${name}: kernels must be a Kernels object such as simdKernels() returns, got ${show(kernels)}`,
    );
  }
  return given as Kernels;
}
