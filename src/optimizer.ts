/**
 * What all optimizers share: parameter groups, all-or-nothing steps, state dicts. The formulas are in `adafactor.ts` and
 * `adamw.ts`, the loops in the kernels.
 *
 * @module
 */
import { didYouMean, integer, list, number, oneOf, show } from './_check.ts';
import type { Formula, OptionCheck, Slot, StateOf } from './_formula.ts';
import { nameHash, streamKey } from './_random.ts';
import { checkKeys, own, record, scalar, snakeCase, stateArray, tensorOf } from './_state.ts';
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
import type { NumericArray, OptimizerStateDict, StateValue } from './dtype.ts';
import { type Kernels, typescriptKernels } from './kernels.ts';
import { fromBfloat16, fromFloat16 } from './low-precision.ts';
import { checkedGradient, label, overlap, Parameter, sizeOf } from './parameter.ts';

/** A parameter group as it is given: the parameters, and options that differ from the optimizer's. */
export interface ParamGroupInput {
  /** The group's parameters. */
  params: Iterable<Parameter>;
  /** Any option of the optimizer but `kernels`. */
  [option: string]: unknown;
}

/** Parameters, or groups of them. The same parameter twice, or two that share memory, are refused. */
export type Params = Iterable<Parameter> | Iterable<ParamGroupInput>;

/** A live parameter group: change an option here and the next step uses it. */
export interface ParamGroup {
  /** The group's parameters. */
  params: Parameter[];
  /** Learning rate; null where Adafactor computes its own. */
  lr: number | null;
  /** The rate that a scheduler multiplies; set by the first scheduler. */
  initialLr?: number;
  /** Every other option of the optimizer. */
  [option: string]: unknown;
}

/** Options of every optimizer. All but `kernels` can also be set per group; what differs from the default is saved in the state dict. */
export interface CommonOptions {
  /**
   * What a NaN or infinite gradient does. `"throw"` (default): a {@link NonFiniteGradientError} names the parameter, and nothing
   * has changed; `"skip"`: the whole `step()` is left out (in `stepParameter` that parameter) and counted in `skippedSteps`;
   * `"propagate"`: it reaches weights and state, as in PyTorch.
   */
  nonFinite?: 'throw' | 'skip' | 'propagate';
  /** How a 16-bit weight is rounded on store: `"nearest"` (default), ties to even, as PyTorch; or `"stochastic"`, unbiased. */
  rounding?: 'nearest' | 'stochastic';
  /** Seed of the stochastic rounding, a non-negative integer; default 0. */
  seed?: number;
  /** The loops that do the arithmetic; default the TypeScript ones. Kernels differ in speed, never in the bits of the result. */
  kernels?: Kernels;
}

/** A gradient held NaN or infinity (or a number whose square is not finite), and `nonFinite` is `"throw"`. Nothing was changed. */
export class NonFiniteGradientError extends Error {
  /** `"NonFiniteGradientError"`. */
  override readonly name = 'NonFiniteGradientError';
  /** Name of the parameter, or its index in the optimizer. */
  readonly parameter: string;
  /** Index of the first such element in the gradient. */
  readonly index: number;

  /** @internal */
  constructor(where: string, parameter: Parameter, position: number, index: number, value: number) {
    const what = Number.isFinite(value)
      ? `${value} at index ${index}, whose square is not finite`
      : `${value} at index ${index}`;
    super(
      `${where}: the gradient of ${label(parameter, position)} is ${what}; nothing was changed. ` +
        'Lower the learning rate or clip with clipGradNorm, or leave such steps out with nonFinite: "skip"',
    );
    this.parameter = parameter.name ?? String(position);
    this.index = index;
  }
}

const COMMON: Readonly<Record<string, OptionCheck>> = {
  nonFinite: (name, value) => oneOf(name, value, ['throw', 'skip', 'propagate']),
  rounding: (name, value) => oneOf(name, value, ['nearest', 'stochastic']),
  seed: (name, value) => integer(name, value),
};
const COMMON_DEFAULTS: Readonly<Record<string, unknown>> = { nonFinite: 'throw', rounding: 'nearest', seed: 0 };

/** Base of all optimizers. */
export abstract class Optimizer {
  /** Live groups; options can be changed between steps. */
  readonly paramGroups: ParamGroup[] = [];
  /** The options that a group gets where it sets none. */
  readonly defaults: Readonly<Record<string, unknown>>;

  /** Name of the class in messages. */
  readonly #name: string;
  readonly #formula: Formula;
  readonly #ownOptions: readonly string[];
  readonly #checks: Readonly<Record<string, OptionCheck>>;
  readonly #slots = new Map<Parameter, Slot>();
  /** Slots with a gradient in the step at hand; kept to allocate nothing. */
  readonly #active: Slot[] = [];
  readonly #kernels: Kernels;
  readonly #engine: Engine;
  #stepCalls = 0;
  #skippedSteps = 0;
  #disposed = false;

  /** @internal */
  protected constructor(formula: Formula, params: Params, options: unknown) {
    this.#formula = formula;
    this.#name = formula.name;
    this.#checks = { ...formula.checks, ...COMMON };
    this.#ownOptions = [...formula.ownOptions, ...Object.keys(COMMON)];
    const known = [...Object.keys(this.#checks), 'kernels'];
    const { kernels, ...given } = checkOptions(this.#name, options, known);
    this.#kernels = checkKernels(this.#name, kernels);
    this.#engine = new Engine(this.#kernels);
    const all: Record<string, unknown> = { ...formula.defaults, ...COMMON_DEFAULTS };
    for (const key of Object.keys(given)) all[key] = this.#checks[key]!(`${this.#name}: ${key}`, given[key]);
    formula.checkGroup(this.#name, all, true);
    this.defaults = Object.freeze(all);
    this.#addAll(params);
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
    this.#checkAlive('step');
    if (closure !== undefined && typeof closure !== 'function') {
      throw new TypeError(`${this.#name}.step: closure must be a function that returns the loss, got ${show(closure)}`);
    }
    const loss = closure?.();
    const where = `${this.#name}.step`;
    try {
      for (let i = 0; i < this.paramGroups.length; i++) {
        const group = this.paramGroups[i]!;
        this.#checkLiveGroup(where, group, i);
        for (const parameter of group.params) {
          if (parameter.grad !== null) this.#activate(where, this.#slotOf(where, parameter));
        }
      }
      this.#update(where);
    } finally {
      this.#deactivate();
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
    const where = `${this.#name}.stepParameter`;
    const slot = this.#slotOf(where, parameter);
    this.#checkLiveGroup(where, slot.group, this.paramGroups.indexOf(slot.group));
    if (parameter.grad === null) {
      throw new RangeError(`${where}: ${label(parameter, slot.index)} has no gradient; set its grad first`);
    }
    try {
      this.#activate(where, slot);
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
    this.#disposed = true;
    this.#engine.dispose();
    for (const slot of this.#slots.values()) {
      for (const array of slot.arrays.values()) this.#kernels.free(array);
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
      const saved: Record<string, StateValue> = {};
      for (const key of Object.keys(this.#checks)) {
        const value = group[key];
        if (this.#ownOptions.includes(key) && value === this.#builtIn(key)) continue;
        saved[snakeCase(key)] = (Array.isArray(value) ? [...value] : value) as StateValue;
      }
      for (const key of Object.keys(this.#formula.foreignKeys)) saved[key] = group[key] as StateValue;
      if (group.initialLr !== undefined) saved.initial_lr = group.initialLr;
      return { ...saved, params: group.params.map(() => index++) };
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
    const where = `${this.#name}.loadStateDict`;
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
    const groups = savedGroups.map((saved, i) => this.#readGroup(where, saved, i, slots));
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
      this.#kernels.free(array);
      slot.arrays.delete(key);
    }
    slot.step = loaded?.step ?? 0;
    slot.rms = loaded?.rms ?? 0;
    slot.lr = undefined;
    if (loaded === undefined) return;
    for (const [key, array] of loaded.arrays) this.#stateArray(slot, key, array.length).set(array);
  }

  #readGroup(where: string, saved: unknown, index: number, slots: Map<string, Slot>): ParamGroup {
    const at = `${where}: param_groups[${index}]`;
    const entry = record(at, saved);
    const live = this.paramGroups[index]!;
    const names = Object.keys(this.#checks);
    const required = names.filter((name) => !this.#ownOptions.includes(name)).map(snakeCase);
    const optional = [
      ...this.#ownOptions.map(snakeCase),
      ...Object.keys(this.#formula.foreignKeys),
      'initial_lr',
      'param_names',
    ];
    checkKeys(at, entry, ['params'], [...required, ...optional]);
    checkKeys(at, entry, ['params', ...required], optional);
    const group: ParamGroup = { params: live.params, lr: null };
    for (const name of names) {
      const key = snakeCase(name);
      const value = own(entry, key);
      if (value === undefined) group[name] = this.#builtIn(name);
      else {
        const plain = name === 'lr' && typeof value === 'object' && value !== null ? scalar(`${at}: lr`, value) : value;
        group[name] = this.#checks[name]!(`${at}: ${key}`, plain);
      }
    }
    for (const key of Object.keys(this.#formula.foreignKeys)) {
      const value = own(entry, key) ?? this.#formula.foreignKeys[key];
      this.#formula.checkForeign(`${at}: ${key}`, key, value, group);
      group[key] = Array.isArray(value) ? [...value] : value;
    }
    const initialLr = own(entry, 'initial_lr');
    if (initialLr !== undefined) group.initialLr = number(`${at}: initial_lr`, scalar(`${at}: initial_lr`, initialLr));
    this.#formula.checkGroup(at, group, false);

    const ids = own(entry, 'params');
    if (!Array.isArray(ids) || ids.length !== live.params.length) {
      const came = Array.isArray(ids) ? `${ids.length}` : show(ids);
      throw new RangeError(`${at}: params must list ${live.params.length} parameters, as this group has; got ${came}`);
    }
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
    return group;
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

  /** The library's default of an option, whatever this optimizer was made with. */
  #builtIn(option: string): unknown {
    return COMMON_DEFAULTS[option] ?? this.#formula.defaults[option];
  }

  readonly #stateOf: StateOf = (slot, { key, shape }) => this.#stateArray(slot, key, sizeOf(shape));

  #stateArray(slot: Slot, key: string, length: number): StateArray {
    let array = slot.arrays.get(key);
    if (array === undefined) {
      const wide = slot.parameter.dtype === 'float64';
      array = wide ? this.#kernels.allocate('float64', length) : this.#kernels.allocate('float32', length);
      slot.arrays.set(key, array);
    }
    return array;
  }

  /** What this optimizer knows of a parameter. @internal */
  protected slotOf(parameter: Parameter): Slot | undefined {
    return this.#slots.get(parameter);
  }

  #activate(where: string, slot: Slot): void {
    setGradient(slot.task, checkedGradient(slot.parameter, this.#called(where, slot))!);
    this.#active.push(slot);
  }

  /** Updates the active parameters, all or none. */
  #update(where: string): void {
    const refused = this.#refuses(where, this.#active);
    this.#stepCalls++;
    if (refused) this.#skippedSteps++;
    else for (const slot of this.#active) this.#advance(slot);
  }

  #deactivate(): void {
    for (const slot of this.#active) dropGradient(slot.task);
    this.#active.length = 0;
  }

  /** Whether a non-finite gradient among these has the step left out; throws where one is to be refused. */
  #refuses(where: string, active: readonly Slot[]): boolean {
    let skip = false;
    for (const slot of active) {
      const policy = slot.group.nonFinite;
      slot.task.scalars[CHECK] = policy === 'propagate' ? 0 : 1;
      this.#formula.prepare(slot, 0, this.#stateOf);
      this.#engine.run(slot.task, 0);
      if (policy === 'propagate' || Number.isFinite(this.#formula.gradientSum(slot))) continue;
      if (policy === 'skip') skip = true;
      else {
        const [index, value] = firstNonFinite(slot.task.g, slot.parameter);
        throw new NonFiniteGradientError(where, slot.parameter, slot.index, index, value);
      }
    }
    return skip;
  }

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
    for (let pass = 1; pass < this.#formula.passes; pass++) {
      this.#formula.prepare(slot, pass, this.#stateOf);
      this.#engine.run(slot.task, pass);
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
    if (this.#disposed) throw new Error(`${this.#name}.${method}: this optimizer was disposed; make a new one`);
  }

  /** Groups are live objects that anyone may write to, so their few options are looked at before each use. */
  #checkLiveGroup(where: string, group: ParamGroup, index: number): void {
    for (const key of Object.keys(this.#checks)) {
      const value = group[key];
      if (value === this.defaults[key]) continue;
      this.#checks[key]!(`${where}: paramGroups[${index}].${key}`, value);
    }
    this.#formula.checkGroup(`${where}: paramGroups[${index}]`, group, false);
  }

  #addAll(params: Params): void {
    if (params instanceof Parameter || typeof (params as Iterable<unknown> | null)?.[Symbol.iterator] !== 'function') {
      throw new TypeError(
        `${this.#name}: params must be an array (or other iterable) of Parameters or of groups { params, ... }, got ${show(params)}`,
      );
    }
    const given: unknown[] = [...(params as Iterable<unknown>)];
    if (given.length === 0) throw new RangeError(`${this.#name}: params is empty; give at least one Parameter`);
    const bare = given.filter((item) => item instanceof Parameter).length;
    if (bare === given.length) this.#addGroups([{ params: given as Parameter[] }]);
    else if (bare > 0) {
      throw new TypeError(
        `${this.#name}: params mixes Parameters and groups; put the Parameters into a group { params }`,
      );
    } else this.#addGroups(given as ParamGroupInput[]);
  }

  /** Adds all groups or, when one is refused, none. */
  #addGroups(inputs: readonly ParamGroupInput[]): void {
    const seen = new Set(this.#slots.keys());
    const groups = inputs.map((input, i) => this.#readInput(input, this.paramGroups.length + i, seen));
    refuseOverlap(this.#name, [...seen]);
    for (const group of groups) {
      for (const parameter of group.params) {
        const task = this.#formula.createTask(parameter);
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

  #readInput(input: unknown, index: number, seen: Set<Parameter>): ParamGroup {
    const where = `${this.#name}: group ${index}`;
    const entry = record(where, input);
    const { params, initialLr, ...rest } = entry;
    const given = checkOptions(where, rest, Object.keys(this.#checks));
    if (typeof (params as Iterable<unknown> | null)?.[Symbol.iterator] !== 'function') {
      throw new TypeError(`${where}: params must be an array (or other iterable) of Parameters, got ${show(params)}`);
    }
    const group: ParamGroup = { params: [], lr: null, ...this.defaults };
    for (const key of Object.keys(this.#checks)) {
      const value = Object.hasOwn(given, key) ? this.#checks[key]!(`${where}: ${key}`, given[key]) : this.defaults[key];
      group[key] = Array.isArray(value) ? [...value] : value;
    }
    for (const key of Object.keys(this.#formula.foreignKeys)) group[key] = this.#formula.foreignKeys[key];
    if (initialLr !== undefined) group.initialLr = number(`${where}: initialLr`, initialLr);
    this.#formula.checkGroup(where, group, true);
    for (const item of params as Iterable<unknown>) {
      if (!(item instanceof Parameter)) {
        const repair = ArrayBuffer.isView(item) ? '; wrap the array: new Parameter(array, shape)' : '';
        throw new TypeError(`${where}: params must hold Parameters, got ${show(item)}${repair}`);
      }
      if (seen.has(item)) {
        throw new RangeError(
          `${where}: ${label(item, group.params.length)} is in this optimizer twice; name it in one group only`,
        );
      }
      seen.add(item);
      group.params.push(item);
    }
    if (group.params.length === 0) throw new RangeError(`${where}: params is empty; give at least one Parameter`);
    return group;
  }
}

interface LoadedState {
  readonly step: number;
  readonly arrays: ReadonlyMap<string, StateArray>;
  readonly rms: number;
}

function checkOptions(where: string, value: unknown, known: readonly string[]): Record<string, unknown> {
  const given = record(`${where}: options`, value);
  const result: Record<string, unknown> = {};
  for (const key of Object.keys(given)) {
    if (!known.includes(key)) {
      throw new RangeError(
        `${where}: unknown option ${show(key)}.${didYouMean(key, known)} Known options: ${list(known)}`,
      );
    }
    if (given[key] !== undefined) result[key] = given[key];
  }
  return result;
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

/** Two parameters over the same memory would be updated twice. Sorted by place, an overlap is one of neighbours. */
function refuseOverlap(name: string, parameters: readonly Parameter[]): void {
  const byBuffer = new Map<ArrayBufferLike, Parameter[]>();
  for (const parameter of parameters) {
    const others = byBuffer.get(parameter.data.buffer);
    if (others === undefined) byBuffer.set(parameter.data.buffer, [parameter]);
    else others.push(parameter);
  }
  for (const group of byBuffer.values()) {
    group.sort((a, b) => a.data.byteOffset - b.data.byteOffset);
    for (let i = 1; i < group.length; i++) {
      const [a, b] = [group[i - 1]!, group[i]!];
      if (overlap(a.data, b.data)) {
        throw new RangeError(
          `${name}: ${label(a, parameters.indexOf(a))} and ${label(b, parameters.indexOf(b))} share memory; give each an array of its own, or tie them by using one Parameter`,
        );
      }
    }
  }
}

/** Index and value of the first element whose square is not finite; of the largest when only their sum overflows. */
function firstNonFinite(gradient: NumericArray, parameter: Parameter): [index: number, value: number] {
  let values: ArrayLike<number> = gradient;
  if (gradient instanceof Uint16Array) {
    values = parameter.dtype === 'float16' ? fromFloat16(gradient) : fromBfloat16(gradient);
  }
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    if (!Number.isFinite(x * x)) return [i, x];
    if (Math.abs(x) > Math.abs(values[largest]!)) largest = i;
  }
  return [largest, values[largest]!];
}
