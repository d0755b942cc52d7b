/**
 * An optimizer's state as plain data and back, in PyTorch's nesting and with PyTorch's keys. A state
 * is read whole and checked before anything is put in place.
 */
import { integer, list, record, show } from '../core/check.ts';
import type { OptimizerStateDict, StateValue } from '../core/dtype.ts';
import { matchNames } from '../core/match-names.ts';
import { label, sizeOf } from '../core/parameter.ts';
import { checkKeys, own, type StateArray, scalar, stateArray, type tensorOf } from '../core/state-dict.ts';
import { typescriptKernels } from '../engine/kernels.ts';
import { allocateOwn, freeOwn } from '../engine/memory.ts';
import { OWN } from '../engine/work.ts';
import type { Members } from './members.ts';
import type { GroupOptions } from './options.ts';
import type { ParamGroup } from './param-group.ts';
import type { Rule, Slot } from './rule.ts';
import type { Stepper } from './step.ts';

interface LoadedState {
  readonly step: number;
  /** The saved numbers, which may be somebody else's arrays. */
  readonly arrays: ReadonlyMap<string, StateArray>;
  readonly numbers: Readonly<Record<string, number>>;
}

/** Saves and loads the state of one optimizer. */
export class StateKeeper {
  readonly #rule: Rule;
  readonly #options: GroupOptions;
  readonly #members: Members;
  readonly #stepper: Stepper;
  /** Arrays of a state that was checked and not put in place, and which load that was. */
  #waiting: StateArray[] = [];
  #loads = 0;

  constructor(rule: Rule, options: GroupOptions, members: Members, stepper: Stepper) {
    this.#rule = rule;
    this.#options = options;
    this.#members = members;
    this.#stepper = stepper;
  }

  /** The whole state, its arrays as `toTensor` has them. A parameter without an update has no entry. */
  save(toTensor: typeof tensorOf): OptimizerStateDict {
    const { groups, slots, named } = this.#members;
    const state: OptimizerStateDict['state'] = {};
    let use = 0;
    let group: ParamGroup | undefined;
    for (const slot of slots) {
      if (slot.step === 0) continue;
      if (slot.group !== group) {
        group = slot.group;
        use = this.#stepper.useOf(group);
      }
      state[slot.index] = this.#saveSlot(slot, use, toTensor);
    }
    let index = 0;
    return {
      state,
      param_groups: groups.map((one) => ({
        ...this.#options.save(one),
        params: one.params.map(() => index++),
        ...(named && { param_names: one.params.map(({ name }) => name!) }),
      })),
    };
  }

  #saveSlot(
    { step, arrays, parameter, work }: Slot,
    use: number,
    toTensor: typeof tensorOf,
  ): Record<string, StateValue> {
    const entry: Record<string, StateValue> = { step };
    for (const [i, { key, shape, begun }] of this.#rule.state.entries()) {
      const array = begun === undefined && (use & (1 << i)) === 0 ? undefined : arrays.get(key);
      if (array !== undefined) entry[key] = toTensor(array, shape(parameter.shape, work.cut)!);
    }
    for (const [key, at] of Object.entries(this.#rule.savedNumbers ?? {})) entry[key] = work.numbers[at]!;
    return entry;
  }

  /**
   * Checks a state and makes room for it; the function that it returns puts it in place, allocates
   * nothing and cannot fail. Another call, or a step, before that takes the room back.
   */
  prepare(where: string, stateDict: unknown, adopt: boolean): () => void {
    this.release();
    const dict = dictOf(where, stateDict);
    const { groups: live, slots } = this.#members;
    const savedGroups = own(dict, 'param_groups');
    const savedState = record(`${where}: state`, own(dict, 'state'));
    if (!Array.isArray(savedGroups) || savedGroups.length !== live.length) {
      const came = Array.isArray(savedGroups) ? `${savedGroups.length}` : show(savedGroups);
      throw new RangeError(
        `${where}: param_groups must be an array of ${live.length} groups, as this optimizer has; got ${came}`,
      );
    }
    const groups = savedGroups.map((saved, i) => this.#options.readSaved(`${where}: param_groups[${i}]`, saved));
    const slotOf = matched(where, savedGroups, live, slots);
    const loaded = new Map<Slot, LoadedState>();
    for (const id of Object.keys(savedState)) {
      const slot = slotOf.get(id);
      if (slot === undefined) {
        throw new RangeError(`${where}: state has an entry ${show(id)}, but no group lists that parameter`);
      }
      const at = `${where}: state of ${label(slot.parameter, slot.index)}`;
      loaded.set(slot, this.#read(at, savedState[id], slot, groups[slot.groupIndex] as ParamGroup));
    }
    const fresh = this.#makeRoom(loaded, adopt);
    const load = ++this.#loads;
    return () => {
      if (load !== this.#loads) throw new Error(`${where}: this state was checked before another one; check it again`);
      this.#waiting = [];
      this.#loads++;
      for (const [i, group] of groups.entries()) this.#putGroup(live[i]!, group);
      for (const slot of slots) this.#put(slot, loaded.get(slot), fresh.get(slot));
    };
  }

  /** Takes back what a state that was never put in place would have used. */
  release(): void {
    this.#loads++;
    for (const array of this.#waiting) freeOwn(this.#stepper.kernels, array);
    this.#waiting = [];
  }

  /** State arrays for what the slots do not have yet; `adopt`: the loaded ones, where ordinary arrays will do. */
  #makeRoom(loaded: ReadonlyMap<Slot, LoadedState>, adopt: boolean): Map<Slot, [key: string, array: StateArray][]> {
    const adopts = adopt && this.#stepper.kernels === typescriptKernels;
    const fresh = new Map<Slot, [string, StateArray][]>();
    try {
      for (const [slot, { arrays }] of loaded) {
        const made: [string, StateArray][] = [];
        for (const [key, saved] of arrays) {
          if (adopts) made.push([key, saved]);
          if (adopts || slot.arrays.has(key)) continue;
          const dtype = slot.work.dtype === 'float64' ? 'float64' : 'float32';
          const array = allocateOwn(this.#stepper.kernels, dtype, saved.length);
          this.#waiting.push(array);
          made.push([key, array]);
        }
        fresh.set(slot, made);
      }
    } catch (error) {
      this.release();
      throw error;
    }
    return fresh;
  }

  #putGroup(live: ParamGroup, group: Record<string, unknown>): void {
    const { params, name } = live;
    delete live.initialLr;
    for (const key of this.#options.restOf(live)) delete (live as Record<string, unknown>)[key];
    Object.assign(live, name === undefined ? {} : { name }, group, { params });
  }

  #put(slot: Slot, loaded: LoadedState | undefined, fresh: [string, StateArray][] | undefined): void {
    for (const key of slot.arrays.keys()) if (loaded?.arrays.has(key) !== true) this.#stepper.drop(slot, key);
    slot.step = loaded?.step ?? 0;
    slot.bound = -1;
    // What a rule remembers of its last update is not known any more.
    slot.work.numbers.fill(Number.NaN, OWN);
    if (loaded === undefined) return;
    for (const [key, array] of fresh!) {
      // A step since the check may have made one.
      if (slot.arrays.has(key)) this.#stepper.drop(slot, key);
      slot.arrays.set(key, array);
    }
    for (const [key, saved] of loaded.arrays) {
      const array = slot.arrays.get(key)!;
      if (array !== saved) array.set(saved);
    }
    for (const [key, at] of Object.entries(this.#rule.savedNumbers ?? {})) {
      slot.work.numbers[at] = loaded.numbers[key]!;
    }
  }

  #read(at: string, value: unknown, slot: Slot, group: ParamGroup): LoadedState {
    const entry = record(at, value);
    const { parameter, work } = slot;
    const rule = this.#rule;
    const shapes = new Map<string, readonly number[]>();
    const absent: string[] = [];
    for (const { key, shape, when, begun } of rule.state) {
      if (begun !== undefined && (own(entry, key) ?? null) === null) {
        absent.push(key);
        continue;
      }
      const needed = begun === undefined && when?.(group) === false ? null : shape(parameter.shape, work.cut);
      if (needed !== null) shapes.set(key, needed);
    }
    const numbers = Object.keys(rule.savedNumbers ?? {});
    const step = rule.stepless === true ? [] : ['step'];
    refuseOther(at, entry, shapes);
    checkKeys(at, entry, [...step, ...shapes.keys()], [...numbers, ...absent, 'step']);
    const count = own(entry, 'step');
    const arrays = new Map<string, StateArray>();
    for (const [key, shape] of shapes) {
      const array = stateArray(`${at}: ${key}`, own(entry, key), shape, parameter.dtype);
      if (array.length !== sizeOf(shape)) throw new RangeError(`${at}: ${key} is not whole`);
      arrays.set(key, array);
    }
    return {
      step: count === undefined ? 1 : integer(`${at}: step`, scalar(`${at}: step`, count)),
      arrays,
      numbers: Object.fromEntries(
        numbers.map((key) => [key, own(entry, key) === undefined ? 0 : scalar(`${at}: ${key}`, own(entry, key))]),
      ),
    };
  }
}

/** State arrays of torch.optim.Adafactor have other names than those of transformers' Adafactor. */
function refuseOther(at: string, entry: Record<string, unknown>, shapes: ReadonlyMap<string, unknown>): void {
  if ((Object.hasOwn(entry, 'row_var') || Object.hasOwn(entry, 'variance')) && !shapes.has('row_var')) {
    throw new RangeError(
      `${at}: this is state of torch.optim.Adafactor, whose rule is another than transformers'; start with new state`,
    );
  }
}

/** The dict of an optimizer; another kind of dict is refused by its name. */
function dictOf(where: string, stateDict: unknown): Record<string, unknown> {
  const dict = record(`${where}: the state dict`, stateDict);
  const keys = ['state', 'param_groups'];
  if (keys.some((key) => own(dict, key) === undefined)) {
    if (own(dict, 'last_epoch') !== undefined) {
      throw new RangeError(`${where}: this is the state dict of a scheduler; load it with scheduler.loadStateDict`);
    }
    const inner = Object.keys(dict).find((key) => {
      const value = dict[key];
      return typeof value === 'object' && value !== null && keys.every((one) => Object.hasOwn(value, one));
    });
    if (inner !== undefined) {
      throw new RangeError(`${where}: this is a whole checkpoint; load its entry ${show(inner)}`);
    }
  }
  checkKeys(where, dict, keys);
  return dict;
}

/** The ids of the parameters of a saved group, and their names where it has them. */
function listed(at: string, group: Record<string, unknown>, count: number): [id: string, name: string | undefined][] {
  const ids = own(group, 'params');
  if (ids === undefined) {
    throw new RangeError(`${at}: key "params" is missing; it has ${list(Object.keys(group).slice(0, 12))}`);
  }
  if (!Array.isArray(ids) || ids.length !== count) {
    throw new RangeError(`${at}: params must list ${count} parameters, as this group has; got ${show(ids)}`);
  }
  const names = own(group, 'param_names') ?? [];
  if (!Array.isArray(names) || (names.length !== 0 && names.length !== count)) {
    throw new RangeError(`${at}: param_names must list ${count} names, one for each of params; got ${show(names)}`);
  }
  return ids.map((id: unknown, i) => {
    if (typeof id !== 'number' && typeof id !== 'string') {
      throw new TypeError(`${at}: params[${i}] must be a parameter's number, got ${show(id)}`);
    }
    const name: unknown = names[i] ?? undefined;
    if (name !== undefined && typeof name !== 'string') {
      throw new TypeError(`${at}: param_names[${i}] must be a string, got ${show(name)}`);
    }
    // Where state is keyed by names (torch.distributed), the ids are the names.
    return [String(id), name ?? (typeof id === 'string' && !/^\d+$/.test(id) ? id : undefined)];
  });
}

/** The live parameter of each id of the saved groups, which list as many as the live ones. */
function matched(
  where: string,
  savedGroups: readonly unknown[],
  live: readonly ParamGroup[],
  slots: readonly Slot[],
): Map<string, Slot> {
  const saved = savedGroups.flatMap((group, i) =>
    listed(`${where}: param_groups[${i}]`, group as Record<string, unknown>, live[i]!.params.length),
  );
  const places = matchNames(
    where,
    saved.map(([, name]) => name),
    slots.map(({ parameter }) => parameter.name),
  );
  const result = new Map<string, Slot>();
  for (const [i, [id]] of saved.entries()) {
    if (result.has(id)) throw new RangeError(`${where}: parameter ${show(id)} is listed twice in param_groups`);
    result.set(id, slots[places[i]!]!);
  }
  return result;
}
