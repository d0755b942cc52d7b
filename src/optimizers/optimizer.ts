/**
 * What all optimizers share: parameter groups, all-or-nothing steps, state dicts. The formulas are in `adafactor.ts` and
 * `adamw.ts`, the loops in the kernels.
 *
 * @module
 */
import { options as checkedOptions, integer, record, show } from '../core/check.ts';
import type { OptimizerStateDict, StateValue } from '../core/dtype.ts';
import { checkedGradient, label, Parameter } from '../core/parameter.ts';
import { checkKeys, liveTensorOf, own, scalar, stateNumbers, tensorOf } from '../core/state-dict.ts';
import { allocateOwn, freeOwn, type Kernels, typescriptKernels } from '../engine/kernels.ts';
import type { StateArray } from '../engine/tasks.ts';
import type { Formula, Slot } from './formula.ts';
import { checksOf, GroupRules, refuseOverlap } from './groups.ts';
import type { ParamGroup, ParamGroupInput, Params } from './param-group.ts';
import { Stepper } from './stepper.ts';

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
  readonly #stepper: Stepper;
  #disposed = false;
  /** A `stepAsync` is under way. */
  #busy = false;

  /** @internal */
  protected constructor(formula: Formula, params: Params, options: unknown) {
    const known = [...Object.keys(checksOf(formula)), 'kernels'];
    const { kernels, ...given } = checkedOptions(formula.name, options, known);
    this.#formula = formula;
    this.#stepper = new Stepper(formula, checkKernels(formula.name, kernels), this.#slots);
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
    if (typeof (loss as { then?: unknown } | undefined)?.then === 'function') {
      throw new TypeError(
        `${where}: closure must return the loss, got ${show(loss)}; await optimizer.stepAsync(closure)`,
      );
    }
    try {
      this.#activateAll(where);
      this.#stepper.update(where);
    } finally {
      this.#stepper.end();
    }
    return loss;
  }

  /**
   * {@link Optimizer.step}, on all threads of the kernels (`parallelKernels`); with other kernels, and no closure, it is done before this returns. The bits
   * are those of `step`. Until it has settled, gradients and weights must be left alone, and the optimizer's other methods refuse.
   *
   * @param closure - Called first; computes the gradients and returns the loss, or a promise of it.
   * @returns What closure returned.
   * @throws TornStepError when a worker ended while it wrote weights: it names them; everything else was applied. Otherwise as `step`.
   */
  async stepAsync(closure?: () => number | Promise<number>): Promise<number | undefined> {
    const where = `${this.#rules.name}.stepAsync`;
    this.#checkAlive('stepAsync');
    checkClosure(where, closure);
    this.#busy = true;
    try {
      const loss = closure === undefined ? undefined : await closure();
      this.#activateAll(where);
      const { threads } = this.#stepper.kernels;
      if (threads === undefined) this.#stepper.update(where);
      else await threads.step(this.#stepper, where);
      return loss;
    } finally {
      this.#stepper.end();
      this.#busy = false;
    }
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
      this.#stepper.update(where);
    } finally {
      this.#stepper.end();
    }
  }

  /** Calls of `step` and `stepParameter` on this object that were not refused, left out or not; not saved. */
  get stepCalls(): number {
    return this.#stepper.calls;
  }

  /** Steps (or `stepParameter` calls) left out so far because of `nonFinite: "skip"`; not saved. */
  get skippedSteps(): number {
    return this.#stepper.skipped;
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
    this.#stepper.dispose();
  }

  /** The whole state as plain data with PyTorch's keys, detached from the live state. A parameter without an update has no entry. */
  stateDict(): OptimizerStateDict {
    return this.#dict(tensorOf);
  }

  /** The state dict with the live arrays themselves, for a file that is written without a copy. @internal */
  liveStateDict(): OptimizerStateDict {
    return this.#dict(liveTensorOf);
  }

  #dict(toTensor: typeof tensorOf): OptimizerStateDict {
    this.#checkAlive('stateDict');
    const state: OptimizerStateDict['state'] = {};
    for (const slot of this.#slots.values()) {
      if (slot.step === 0) continue;
      const entry: Record<string, StateValue> = { step: slot.step };
      for (const { key, shape } of this.#formula.stateSpecs(slot.parameter, slot.group)) {
        const array = slot.arrays.get(key);
        if (array !== undefined) entry[key] = toTensor(array, shape);
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
   *
   * @param options - `adopt`: the dict's arrays are nobody else's, and may become the live ones.
   */
  prepareLoad(stateDict: OptimizerStateDict | StateValue, options: { adopt?: boolean } = {}): () => void {
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
    const fresh = this.#allocateMissing(loaded, options.adopt === true);
    return () => {
      for (const [i, group] of groups.entries()) {
        const live = this.paramGroups[i]!;
        delete live.initialLr;
        Object.assign(live, group, { params: live.params });
      }
      for (const slot of this.#slots.values()) this.#putState(slot, loaded.get(slot), fresh.get(slot));
    };
  }

  /** Arrays for what is loaded where none is live yet: after this, nothing is left that could fail. */
  #allocateMissing(loaded: ReadonlyMap<Slot, LoadedState>, adopt: boolean): Map<Slot, Map<string, StateArray>> {
    const { kernels } = this.#stepper;
    const fresh = new Map<Slot, Map<string, StateArray>>();
    try {
      for (const [slot, { arrays }] of loaded) {
        const own = new Map<string, StateArray>();
        fresh.set(slot, own);
        for (const [key, array] of arrays) {
          const { length } = array;
          if (adopt && kernels === typescriptKernels) {
            own.set(key, array);
            continue;
          }
          if (slot.arrays.has(key)) continue;
          own.set(key, allocateOwn(kernels, slot.parameter.dtype === 'float64' ? 'float64' : 'float32', length));
        }
      }
    } catch (error) {
      for (const arrays of fresh.values()) for (const array of arrays.values()) freeOwn(kernels, array);
      throw error;
    }
    return fresh;
  }

  #putState(slot: Slot, loaded: LoadedState | undefined, fresh: ReadonlyMap<string, StateArray> | undefined): void {
    for (const [key, array] of slot.arrays) {
      if (loaded?.arrays.has(key)) continue;
      freeOwn(this.#stepper.kernels, array);
      slot.arrays.delete(key);
    }
    slot.step = loaded?.step ?? 0;
    slot.rms = loaded?.rms ?? 0;
    slot.lr = undefined;
    if (loaded === undefined) return;
    for (const [key, array] of loaded.arrays) {
      const live = fresh?.get(key) ?? slot.arrays.get(key)!;
      if (live !== array) live.set(array);
      slot.arrays.set(key, live);
    }
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
      arrays.set(key, stateNumbers(`${at}: ${key}`, own(entry, key), shape, slot.parameter.dtype));
    }
    const rms = own(entry, 'RMS');
    return { step, arrays, rms: rms === undefined ? 0 : scalar(`${at}: RMS`, rms) };
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
  }

  #activate(where: string, slot: Slot): void {
    this.#stepper.activate(slot, checkedGradient(where, slot.parameter, slot.index)!);
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
        const task = this.#formula.createTask(parameter, this.#stepper.scratch);
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
  const given = kernels as (Partial<Kernels> & { then?: unknown }) | null;
  if (typeof given?.allocate !== 'function' || typeof given.free !== 'function') {
    throw new TypeError(
      `${name}: kernels must be a Kernels object such as simdKernels() returns, got ${show(kernels)}${typeof given?.then === 'function' ? '; await it' : ''}`,
    );
  }
  return given as Kernels;
}
