/**
 * What a parameter group of one optimizer may hold: read from a constructor's arguments and from
 * state dicts, and checked again before each step, because groups are live.
 */
import { integer, number, oneOf, options, record, show, unknownName } from '../core/check.ts';
import type { StateValue } from '../core/dtype.ts';
import { label, Parameter } from '../core/parameter.ts';
import { own, plainNumbers, scalar, snakeCase } from '../core/state-dict.ts';
import { kindOf } from './kinds.ts';
import type { ParamGroup, ParamGroupInput, Params } from './param-group.ts';
import { type Option, option, type Rule } from './rule.ts';

/** The options of every optimizer; PyTorch knows none of them. */
const COMMON: Readonly<Record<string, Option>> = {
  nonFinite: option('throw', (name, value) => oneOf(name, value, ['throw', 'skip', 'propagate']), 'never'),
  rounding: option('nearest', (name, value) => oneOf(name, value, ['nearest', 'stochastic']), 'never'),
  seed: option(0, (name, value) => integer(name, value), 'never'),
};

const WRAP = '; wrap the array: new Parameter(array, shape)';

type Values = Record<string, unknown>;

/** Reads, checks and saves the groups of one optimizer. */
export class GroupOptions {
  /** The options that a group gets where it sets none. */
  readonly defaults: Readonly<Values>;
  readonly #rule: Rule;
  /** In the order of the state dict. */
  readonly #table: readonly (readonly [name: string, Option])[];
  readonly #names: readonly string[];
  readonly #foreign: readonly string[];
  /** The defaults in that order. */
  readonly #usual: readonly unknown[];

  /** `given`: the optimizer's options, `kernels` aside. */
  constructor(rule: Rule, given: Values) {
    this.#rule = rule;
    this.#table = Object.entries({ ...rule.options, ...COMMON } as Record<string, Option>);
    this.#names = this.#table.map(([name]) => name);
    this.#foreign = rule.foreign?.map(({ key }) => key) ?? [];
    const defaults: Values = {};
    for (const [name, row] of this.#table) {
      defaults[name] = Object.hasOwn(given, name) ? row.check(`${rule.name}: ${name}`, given[name]) : row.default;
    }
    rule.checkGroup?.(rule.name, defaults as ParamGroup, true);
    this.defaults = Object.freeze(defaults);
    this.#usual = this.#names.map((name) => defaults[name]);
  }

  /** The names that a constructor's options may have. */
  static namesOf(rule: Rule): string[] {
    return [...Object.keys(rule.options), ...Object.keys(COMMON)];
  }

  /** Parameters, or groups of them, as groups. */
  readParams(params: Params): ParamGroupInput[] {
    const { name } = this.#rule;
    if (params instanceof Parameter) {
      throw new TypeError(`${name}: params must be an array of Parameters or of groups; put the Parameter into [ ]`);
    }
    const given = iterated(`${name}: params`, params, 'Parameters or of groups { params, ... }');
    if (given.length === 0) throw new RangeError(`${name}: params is empty; give at least one Parameter`);
    const bare = given.filter((item) => item instanceof Parameter).length;
    if (bare === given.length) return [{ params: given as Parameter[] }];
    if (bare === 0) return given as ParamGroupInput[];
    throw new TypeError(`${name}: params mixes Parameters and groups; put the Parameters into a group { params }`);
  }

  /** A new group; its parameters are added to `seen`, and must not be in it nor be `known`. */
  readInput(input: unknown, index: number, known: (one: Parameter) => boolean, seen: Set<Parameter>): ParamGroup {
    const where = `${this.#rule.name}: group ${index}`;
    if (ArrayBuffer.isView(input)) {
      throw new TypeError(`${where} must be a Parameter or { params }, got ${show(input)}${WRAP}`);
    }
    const { params, initialLr, name, ...rest } = record(where, input);
    const group = this.#read(where, options(where, rest, this.#names), this.defaults, (key) => key);
    for (const { key, value } of this.#rule.foreign ?? []) group[key] = value;
    if (initialLr !== undefined) group.initialLr = number(`${where}: initialLr`, initialLr);
    if (name !== undefined && typeof name !== 'string') {
      throw new TypeError(`${where}: name must be a string, got ${show(name)}`);
    }
    if (name !== undefined) group.name = name;
    this.#rule.checkGroup?.(where, group as ParamGroup, true);
    const given = params instanceof Parameter ? [params] : iterated(`${where}: params`, params, 'Parameters');
    for (const [i, item] of given.entries()) {
      if (!(item instanceof Parameter)) {
        const repair = ArrayBuffer.isView(item) ? WRAP : '';
        throw new TypeError(`${where}: params must hold Parameters, got ${show(item)}${repair}`);
      }
      if (seen.has(item) || known(item)) {
        throw new RangeError(`${where}: ${label(item, i)} is in this optimizer twice; name it in one group only`);
      }
      seen.add(item);
    }
    group.params = given;
    return group as ParamGroup;
  }

  /** The options of a saved group as those of a live one, and what else it held. */
  readSaved(at: string, saved: unknown): Values {
    const entry = record(at, saved);
    const rule = this.#rule;
    const other = kindOf(entry, [...Object.keys(rule.options).map(snakeCase), ...this.#foreign]);
    if (other !== undefined) {
      throw new RangeError(`${at}: this is the state of ${other}, not of ${rule.name}; load it into one of that kind`);
    }
    for (const [name, row] of this.#table) {
      if (row.saved === 'always' && own(entry, snakeCase(name)) === undefined) {
        const keys = Object.keys(entry).map(show).slice(0, 12).join(', ');
        throw new RangeError(`${at}: key "${snakeCase(name)}" is missing; it has ${keys || 'no keys'}`);
      }
    }
    const values: Values = {};
    for (const [name] of this.#table) {
      const key = snakeCase(name);
      if (own(entry, key) !== undefined) values[key] = plainNumbers(`${at}: ${key}`, entry[key]);
    }
    const builtIn = Object.fromEntries(this.#table.map(([name, row]) => [name, row.default]));
    const group = this.#read(at, values, builtIn, snakeCase);
    for (const { key, value } of rule.foreign ?? []) group[key] = this.#readForeign(at, key, own(entry, key) ?? value);
    const initialLr = own(entry, 'initial_lr');
    if (initialLr !== undefined) group.initialLr = number(`${at}: initial_lr`, scalar(`${at}: initial_lr`, initialLr));
    rule.checkGroup?.(at, group as ParamGroup, false);
    rule.checkSaved?.(at, entry, group as ParamGroup);
    for (const { key, value, fixed } of rule.foreign ?? []) if (fixed === true) group[key] = value;
    this.#readRest(at, entry, group);
    return group;
  }

  #readForeign(at: string, key: string, value: unknown): boolean | null {
    const plain = plainNumbers(`${at}: ${key}`, value);
    if (plain === null || typeof plain === 'boolean') return plain;
    throw new TypeError(`${at}: ${key} must be true, false or null, got ${show(value)}`);
  }

  /** Keys of other schedulers and of users are kept as they are. */
  #readRest(at: string, entry: Values, group: Values): void {
    const known = new Set([...this.#names.map(snakeCase), ...this.#foreign, 'params', 'param_names', 'initial_lr']);
    for (const key of Object.keys(entry)) {
      if (known.has(key) || entry[key] === undefined) continue;
      // Neither this library's own spelling of an option nor a prototype is somebody else's key.
      if (this.#names.includes(key) || key === 'initialLr' || key === '__proto__') {
        unknownName(at, 'key', key, [...known]);
      }
      put(group, key, structuredClone(entry[key]));
    }
  }

  /** A group with the options of `entry` under the keys that `keyOf` gives them, and of `otherwise`. */
  #read(at: string, entry: Values, otherwise: Readonly<Values>, keyOf: (name: string) => string): Values {
    const group: Values = { params: [], lr: null };
    for (const [name, row] of this.#table) {
      const key = keyOf(name);
      group[name] = entry[key] === undefined ? copyOf(otherwise[name]) : row.check(`${at}: ${key}`, entry[key]);
    }
    return group;
  }

  /** A group as a state dict has it; params aside. */
  save(live: ParamGroup): Record<string, StateValue> {
    const group = live as Values;
    const saved: Values = {};
    for (const [name, row] of this.#table) {
      if (row.saved === 'never' && group[name] === row.default) continue;
      saved[snakeCase(name)] = copyOf(group[name]);
    }
    for (const key of this.#foreign) saved[key] = group[key];
    if (live.initialLr !== undefined) saved.initial_lr = live.initialLr;
    for (const key of this.restOf(live)) put(saved, key, structuredClone(group[key]));
    return saved as Record<string, StateValue>;
  }

  /** Keys of a live group that this library does not know, and its name; without what is not data. */
  restOf(live: ParamGroup): string[] {
    return Object.keys(live).filter((key) => {
      const value = (live as Values)[key];
      if (value === undefined || typeof value === 'function' || typeof value === 'symbol') return false;
      if (key === 'params' || key === 'initialLr') return false;
      return !this.#names.includes(key) && !this.#foreign.includes(key);
    });
  }

  /** Groups are live objects that anyone may write to, so their few options are looked at before use. */
  checkLive(where: string, group: ParamGroup, index: number): void {
    try {
      this.#check('', group);
    } catch {
      // Once more for the message: to name the place takes longer than to look.
      this.#check(`${where}: paramGroups[${index}]`, group);
    }
  }

  #check(at: string, group: ParamGroup): void {
    const values = group as Values;
    for (let i = 0; i < this.#table.length; i++) {
      const name = this.#names[i]!;
      const value = values[name];
      const usual = this.#usual[i];
      if (value === usual || (Array.isArray(usual) && isCopy(value, usual))) continue;
      this.#table[i]![1].check(at === '' ? at : `${at}.${name}`, value);
    }
    this.#rule.checkGroup?.(at, group, false);
  }
}

/** Sets an own key, `__proto__` too. */
function put(object: Values, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

function isCopy(value: unknown, usual: readonly unknown[]): boolean {
  return Array.isArray(value) && value.length === usual.length && value[0] === usual[0] && value[1] === usual[1];
}

function copyOf(value: unknown): unknown {
  return Array.isArray(value) ? [...value] : value;
}

/** The items of an iterable. */
function iterated(label: string, value: unknown, of: string): unknown[] {
  if (typeof value === 'string' || typeof (value as Iterable<unknown> | null)?.[Symbol.iterator] !== 'function') {
    throw new TypeError(`${label} must be an array (or other iterable) of ${of}, got ${show(value)}`);
  }
  return [...(value as Iterable<unknown>)];
}
