/**
 * An optimizer's state as plain data and back, in PyTorch's nesting and with PyTorch's keys. A
 * state is read whole and checked before anything is put in place.
 */
import { integer, isRecord, listOf, optionalText, record, show } from '../core/check.ts';
import { dictOfKind } from '../core/dict-kind.ts';
import type { OptimizerStateDict, StateValue } from '../core/dtype.ts';
import { matchNames } from '../core/match-names.ts';
import { label, sizeOf } from '../core/parameter.ts';
import { checkKeys, own, requireKeys, type StateArray, scalar, stateArray, type tensorOf } from '../core/state-dict.ts';
import { typescriptKernels } from '../engine/kernels.ts';
import { OWN } from '../engine/work.ts';
import { refuseOthers } from './kinds.ts';
import type { Members } from './members.ts';
import type { GroupOptions } from './options.ts';
import type { ParamGroup } from './param-group.ts';
import type { Rule, Slot } from './rule.ts';
import type { Stepper } from './step.ts';

interface LoadedState {
  readonly step: number;
  /** The saved numbers, which may be somebody else's arrays. */
  readonly arrays: ReadonlyMap<string, StateArray>;
  /** Those that go to places of {@link Work.numbers}. */
  readonly numbers: readonly (readonly [place: number, value: number])[];
}

/** Saves and loads the state of one optimizer. */
export class StateKeeper {
  readonly #rule: Rule;
  readonly #options: GroupOptions;
  readonly #members: Members;
  readonly #stepper: Stepper;
  /** Which state was checked last: only that one can be put in place. */
  #checked: object | undefined;

  constructor(rule: Rule, options: GroupOptions, members: Members, stepper: Stepper) {
    this.#rule = rule;
    this.#options = options;
    this.#members = members;
    this.#stepper = stepper;
  }

  /**
   * The whole state, its arrays as `toTensor` has them. A parameter without an update has no entry.
   */
  save(toTensor: typeof tensorOf): OptimizerStateDict {
    const { groups, slots, named } = this.#members;
    const state: OptimizerStateDict['state'] = {};
    for (const slot of slots) if (slot.step > 0) state[slot.index] = this.#saveSlot(slot, toTensor);
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

  #saveSlot({ step, arrays, parameter, work, group }: Slot, toTensor: typeof tensorOf): Record<string, StateValue> {
    const entry: Record<string, StateValue> = { step };
    const { state, savedNumbers = {} } = this.#rule;
    const Zeros = parameter.dtype === 'float64' ? Float64Array : Float32Array;
    for (const { key, shape, begun, when } of state) {
      // Also what an option asks for no more, as in PyTorch: it may be asked for again.
      const used = begun === undefined ? when?.(group) !== false || arrays.has(key) : work.numbers[begun] !== 0;
      const needed = used ? shape(parameter.shape, work.cut) : null;
      if (needed === null) continue;
      const array = arrays.get(key);
      // What an option asks for since the last step begins with zeros.
      entry[key] = toTensor(array === undefined ? new Zeros(sizeOf(needed)) : this.#stepper.read(array), needed);
    }
    for (const [key, place] of Object.entries(savedNumbers)) entry[key] = work.numbers[place]!;
    return entry;
  }

  /**
   * Checks a state and makes room for it, which stays with the parameters; the function that it
   * returns puts it in place, allocates nothing and cannot fail. With `adopt` the loaded arrays
   * become the live ones, where ordinary arrays will do.
   */
  prepare(where: string, stateDict: unknown, adopt: boolean): () => void {
    const adopts = adopt && this.#stepper.kernels === typescriptKernels;
    const dict = dictOf(where, stateDict);
    const { groups: live, slots } = this.#members;
    const label = `${where}: param_groups`;
    const savedGroups = listOf(label, dict.param_groups, live.length, 'groups, as this optimizer has');
    const savedState = record(`${where}: state`, dict.state);
    const groups = savedGroups.map((saved, i) => this.#options.readSaved(`${label}[${i}]`, saved));
    const slotOf = matched(where, savedGroups, live, slots);
    const loaded = new Map<Slot, LoadedState>();
    for (const id of Object.keys(savedState)) {
      const slot = slotOf.get(id);
      if (slot === undefined) {
        throw new RangeError(`${where}: state has an entry ${show(id)}, but no group lists that parameter`);
      }
      const entry = savedState[id];
      // PyTorch makes an empty entry when somebody looks for one.
      if (isRecord(entry) && Object.keys(entry).length === 0) continue;
      loaded.set(slot, this.#read(where, entry, slot, groups[slot.groupIndex] as ParamGroup));
    }
    try {
      for (const [slot, { arrays }] of loaded) {
        for (const [key, { length }] of arrays) if (!adopts) this.#stepper.arrayOf(slot, key, length);
      }
      this.#stepper.keep();
    } finally {
      this.#stepper.end();
    }
    const mine = {};
    this.#checked = mine;
    return () => {
      if (this.#checked !== mine) {
        throw new Error(`${where}: this state was checked before another one; check it again`);
      }
      this.forget();
      for (const [i, group] of groups.entries()) this.#putGroup(live[i]!, group);
      for (const slot of slots) this.#put(slot, loaded.get(slot), adopts);
    };
  }

  /** A state that was checked can not be put in place any more. */
  forget(): void {
    this.#checked = undefined;
  }

  #putGroup(live: ParamGroup, group: Record<string, unknown>): void {
    const { params, name } = live;
    delete live.initialLr;
    for (const key of this.#options.restOf(live)) delete (live as Record<string, unknown>)[key];
    Object.assign(live, name === undefined ? {} : { name }, group, { params });
  }

  #put(slot: Slot, loaded: LoadedState | undefined, adopts: boolean): void {
    const { numbers } = slot.work;
    slot.step = loaded?.step ?? 0;
    slot.bound = -1;
    // What a rule remembers of its last update is not known any more.
    numbers.fill(Number.NaN, OWN);
    for (const [place, value] of loaded?.numbers ?? []) numbers[place] = value;
    for (const { key, begun } of this.#rule.state) {
      const array = loaded?.arrays.get(key);
      if (array !== undefined && adopts) slot.arrays.set(key, array);
      else if (array !== undefined) slot.arrays.get(key)!.set(array);
      else if (slot.arrays.has(key)) this.#stepper.drop(slot, key);
      if (array === undefined && begun !== undefined) numbers[begun] = 0;
    }
  }

  #read(where: string, value: unknown, { parameter, work, index }: Slot, group: ParamGroup): LoadedState {
    const at = `${where}: state of ${label(parameter, index)}`;
    const entry = record(at, value);
    const { state, savedNumbers = {}, stepless } = this.#rule;
    const shapes = new Map<string, readonly number[]>();
    const optional = ['step', ...Object.keys(savedNumbers)];
    // Of this optimizer, and not of one that has some of its keys.
    const whole = Object.keys(savedNumbers).every((key) => own(entry, key) !== undefined);
    for (const { key, shape, when, begun } of state) {
      const needed = shape(parameter.shape, work.cut);
      if (needed === null) continue;
      const asked = begun === undefined && when?.(group) !== false;
      if (asked || (whole && (own(entry, key) ?? null) !== null)) shapes.set(key, needed);
      else if (whole) optional.push(key);
    }
    const needed = [...(stepless === true ? [] : ['step']), ...shapes.keys()];
    refuseOthers(at, this.#rule.name, entry, optional, needed);
    checkKeys(at, entry, needed, optional);
    const number = (key: string, otherwise: number): number =>
      own(entry, key) === undefined ? otherwise : scalar(`${at}: ${key}`, entry[key]);
    return {
      step: integer(`${at}: step`, number('step', 1)),
      arrays: new Map(
        [...shapes].map(([key, shape]) => [key, stateArray(`${at}: ${key}`, own(entry, key), shape, parameter.dtype)]),
      ),
      numbers: Object.entries(savedNumbers).map(([key, place]) => [place, number(key, 0)]),
    };
  }
}

/** The dict of an optimizer; another kind of dict is refused by its name. */
function dictOf(where: string, stateDict: unknown): Record<string, unknown> {
  const keys = ['state', 'param_groups'];
  const whole = (value: unknown): boolean => isRecord(value) && keys.every((key) => Object.hasOwn(value, key));
  const inner = isRecord(stateDict) && Object.keys(stateDict).find((key) => whole(stateDict[key]));
  if (inner && !whole(stateDict)) {
    throw new RangeError(`${where}: this is a whole checkpoint; load its entry ${show(inner)}`);
  }
  const dict = dictOfKind(where, stateDict, 'param_groups');
  checkKeys(where, dict, keys);
  return dict;
}

/** The ids of the parameters of a saved group, and their names where it has them. */
function listed(at: string, group: Record<string, unknown>, count: number): [id: string, name: string | undefined][] {
  requireKeys(at, group, ['params']);
  const ids = listOf(`${at}: params`, group.params, count, 'parameters, as this group has');
  const given = own(group, 'param_names') ?? [];
  const none = Array.isArray(given) && given.length === 0;
  const names = none ? [] : listOf(`${at}: param_names`, given, count, 'names, one for each of params');
  return ids.map((id, i) => {
    if (typeof id !== 'number' && typeof id !== 'string') {
      throw new TypeError(`${at}: params[${i}] must be a parameter's number, got ${show(id)}`);
    }
    const name = optionalText(`${at}: param_names[${i}]`, names[i] ?? undefined);
    // Where state is keyed by names (torch.distributed), the ids are the names; they may be digits.
    return [String(id), name ?? (typeof id === 'string' ? id : undefined)];
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
