/**
 * What a parameter group of one optimizer may hold: read from a constructor's arguments, from a state dict, and checked again before each
 * step, because groups are live.
 */
import { integer, number, oneOf, options, record, show } from '../core/check.ts';
import type { StateValue } from '../core/dtype.ts';
import { label, overlap, Parameter } from '../core/parameter.ts';
import { checkKeys, scalar, snakeCase } from '../core/state-dict.ts';
import type { Formula, OptionCheck } from './formula.ts';
import type { ParamGroup, ParamGroupInput, Params } from './param-group.ts';

const COMMON: Readonly<Record<string, OptionCheck>> = {
  nonFinite: (name, value) => oneOf(name, value, ['throw', 'skip', 'propagate']),
  rounding: (name, value) => oneOf(name, value, ['nearest', 'stochastic']),
  seed: (name, value) => integer(name, value),
};
const COMMON_DEFAULTS: Readonly<Record<string, unknown>> = { nonFinite: 'throw', rounding: 'nearest', seed: 0 };

const WRAP = '; wrap the array: new Parameter(array, shape)';

export class GroupRules {
  /** Name of the optimizer's class in messages. */
  readonly name: string;
  /** The options that a group gets where it sets none. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** One check per option, in the order of the state dict. */
  readonly checks: Readonly<Record<string, OptionCheck>>;
  /** The library's defaults, whatever this optimizer was made with. */
  readonly #builtIn: Readonly<Record<string, unknown>>;
  readonly #formula: Formula;
  readonly #ownOptions: readonly string[];
  readonly #names: readonly string[];
  /** The defaults in that order. */
  readonly #usual: readonly unknown[];

  /** `given`: the optimizer's options, `kernels` aside. */
  constructor(formula: Formula, given: Record<string, unknown>) {
    this.#formula = formula;
    this.name = formula.name;
    this.checks = checksOf(formula);
    this.#names = Object.keys(this.checks);
    this.#builtIn = { ...formula.defaults, ...COMMON_DEFAULTS };
    this.#ownOptions = [...formula.ownOptions, ...Object.keys(COMMON)];
    const defaults = { ...this.#builtIn };
    for (const key of Object.keys(given)) defaults[key] = this.checks[key]!(`${this.name}: ${key}`, given[key]);
    formula.checkGroup(this.name, defaults, true);
    this.defaults = Object.freeze(defaults);
    this.#usual = this.#names.map((name) => defaults[name]);
  }

  /** Parameters, or groups of them, as groups. */
  readParams(params: Params): ParamGroupInput[] {
    const given = items(`${this.name}: params`, params, 'Parameters or of groups { params, ... }');
    const bare = given.filter((item) => item instanceof Parameter).length;
    if (bare === given.length) return [{ params: given as Parameter[] }];
    if (bare > 0) {
      throw new TypeError(
        `${this.name}: params mixes Parameters and groups; put the Parameters into a group { params }`,
      );
    }
    return given as ParamGroupInput[];
  }

  /** A new group; its parameters are added to `seen`, which they must not be in. */
  readInput(input: unknown, index: number, seen: Set<Parameter>): ParamGroup {
    const where = `${this.name}: group ${index}`;
    if (ArrayBuffer.isView(input)) {
      throw new TypeError(`${where} must be a Parameter or { params }, got ${show(input)}${WRAP}`);
    }
    const { params, initialLr, ...rest } = record(where, input);
    const group = this.#read(where, options(where, rest, this.#names), this.defaults, (key) => key);
    for (const key of Object.keys(this.#formula.foreignKeys)) group[key] = this.#formula.foreignKeys[key];
    if (initialLr !== undefined) group.initialLr = number(`${where}: initialLr`, initialLr);
    this.#formula.checkGroup(where, group, true);
    for (const [i, item] of items(`${where}: params`, params, 'Parameters').entries()) {
      if (!(item instanceof Parameter)) {
        const repair = ArrayBuffer.isView(item) ? WRAP : '';
        throw new TypeError(`${where}: params must hold Parameters, got ${show(item)}${repair}`);
      }
      if (seen.has(item)) {
        throw new RangeError(`${where}: ${label(item, i)} is in this optimizer twice; name it in one group only`);
      }
      seen.add(item);
      group.params.push(item);
    }
    return group;
  }

  /** The options of a saved group, and the ids of its parameters, as many as the live group has. */
  readSaved(at: string, saved: unknown, live: ParamGroup): [group: ParamGroup, ids: unknown[]] {
    const entry = record(at, saved);
    const formula = this.#formula;
    const foreign = Object.keys(formula.foreignKeys);
    const own = this.#ownOptions;
    const required = this.#names.filter((name) => !own.includes(name));
    checkKeys(
      at,
      entry,
      ['params', ...required.map(snakeCase)],
      [...own.map(snakeCase), ...foreign, 'initial_lr', 'param_names'],
    );
    // A learning rate that was a tensor in PyTorch.
    const lr = typeof entry.lr === 'object' && entry.lr !== null ? scalar(`${at}: lr`, entry.lr) : entry.lr;
    const group = this.#read(at, { ...entry, lr }, this.#builtIn, snakeCase);
    group.params = live.params;
    for (const key of foreign) {
      const value = entry[key] ?? formula.foreignKeys[key];
      formula.checkForeign(`${at}: ${key}`, key, value, group);
      group[key] = copyOf(value);
    }
    const initialLr = entry.initial_lr;
    if (initialLr !== undefined) group.initialLr = number(`${at}: initial_lr`, scalar(`${at}: initial_lr`, initialLr));
    formula.checkGroup(at, group, false);
    const ids = entry.params;
    const count = live.params.length;
    if (!Array.isArray(ids) || ids.length !== count) {
      throw new RangeError(`${at}: params must list ${count} parameters, as this group has; got ${show(ids)}`);
    }
    return [group, ids];
  }

  /** A group with the options of `entry` under the keys that `keyOf` gives them, and of `otherwise`. */
  #read(
    at: string,
    entry: Record<string, unknown>,
    otherwise: Readonly<Record<string, unknown>>,
    keyOf: (name: string) => string,
  ): ParamGroup {
    const group: ParamGroup = { params: [], lr: null };
    for (const name of this.#names) {
      const key = keyOf(name);
      group[name] =
        entry[key] === undefined ? copyOf(otherwise[name]) : this.checks[name]!(`${at}: ${key}`, entry[key]);
    }
    return group;
  }

  /** The options of a group as a state dict has them; params aside. */
  save(group: ParamGroup): Record<string, StateValue> {
    const saved: Record<string, unknown> = {};
    for (const key of this.#names) {
      if (this.#ownOptions.includes(key) && group[key] === this.#builtIn[key]) continue;
      saved[snakeCase(key)] = copyOf(group[key]);
    }
    for (const key of Object.keys(this.#formula.foreignKeys)) saved[key] = group[key];
    if (group.initialLr !== undefined) saved.initial_lr = group.initialLr;
    return saved as Record<string, StateValue>;
  }

  /** Groups are live objects that anyone may write to, so their few options are looked at before each use. */
  checkLive(where: string, group: ParamGroup, index: number): void {
    try {
      this.#check('', group);
    } catch {
      // Once more for the message: to name the place takes longer than to look.
      this.#check(`${where}: paramGroups[${index}]`, group);
    }
  }

  #check(at: string, group: ParamGroup): void {
    for (let i = 0; i < this.#names.length; i++) {
      const key = this.#names[i]!;
      const value = group[key];
      const usual = this.#usual[i];
      if (value === usual || (Array.isArray(usual) && isCopy(value, usual))) continue;
      this.checks[key]!(at === '' ? at : `${at}.${key}`, value);
    }
    this.#formula.checkGroup(at, group, false);
  }
}

/** Whether these are the same two numbers. */
function isCopy(value: unknown, usual: readonly unknown[]): boolean {
  return Array.isArray(value) && value.length === 2 && value[0] === usual[0] && value[1] === usual[1];
}

function copyOf(value: unknown): unknown {
  return Array.isArray(value) ? [...value] : value;
}

/** The items of an iterable, at least one. */
function items(label: string, value: unknown, of: string): unknown[] {
  if (value instanceof Parameter || typeof (value as Iterable<unknown> | null)?.[Symbol.iterator] !== 'function') {
    throw new TypeError(`${label} must be an array (or other iterable) of ${of}, got ${show(value)}`);
  }
  const given = [...(value as Iterable<unknown>)];
  if (given.length === 0) throw new RangeError(`${label} is empty; give at least one Parameter`);
  return given;
}

/** One check per option of an optimizer, in the order of its state dict. */
export function checksOf(formula: Formula): Readonly<Record<string, OptionCheck>> {
  return { ...formula.checks, ...COMMON };
}

/** Two parameters over the same memory would be updated twice. Sorted by place, an overlap is one of neighbours. */
export function refuseOverlap(name: string, parameters: readonly Parameter[]): void {
  const byBuffer = new Map<ArrayBufferLike, Parameter[]>();
  for (const parameter of parameters) {
    const { buffer } = parameter.data;
    const others = byBuffer.get(buffer);
    if (others === undefined) byBuffer.set(buffer, [parameter]);
    else others.push(parameter);
  }
  for (const group of byBuffer.values()) {
    group.sort((a, b) => a.data.byteOffset - b.data.byteOffset);
    for (const [i, b] of group.entries()) {
      const a = group[i - 1];
      if (a === undefined || !overlap(a.data, b.data)) continue;
      const [first, second] = [a, b].map((one) => label(one, parameters.indexOf(one)));
      throw new RangeError(
        `${name}: ${first} and ${second} share memory; give each an array of its own, or tie them by using one Parameter`,
      );
    }
  }
}
