/**
 * What a parameter group of one optimizer may hold: read from a constructor's arguments and from
 * state dicts, and checked again before each step, because groups are live.
 */
import { integer, iterated, number, oneOf, optionalText, options, record, show, unknownName } from '../core/check.ts';
import type { StateValue } from '../core/dtype.ts';
import { Parameter, parametersOf, wrapped } from '../core/parameter.ts';
import { own, plainNumbers, requireKeys, snakeCase } from '../core/state-dict.ts';
import { refuseOthers } from './kinds.ts';
import type { ParamGroup, ParamGroupInput, Params } from './param-group.ts';
import { type Option, type OptionCheck, option, type Rule } from './rule.ts';

/** The options of every optimizer; PyTorch knows none of them. */
const COMMON: Readonly<Record<string, Option>> = {
  nonFinite: option('throw', (name, value) => oneOf(name, value, ['throw', 'skip', 'propagate']), 'never'),
  rounding: option('nearest', (name, value) => oneOf(name, value, ['nearest', 'stochastic']), 'never'),
  seed: option(0, (name, value) => integer(name, value), 'never'),
};

/** true, false or null: what nothing here depends on. */
function anyFlag(label: string, value: unknown): unknown {
  if (value === null || typeof value === 'boolean') return value;
  throw new TypeError(`${label} must be true, false or null, got ${show(value)}`);
}

type Values = Record<string, unknown>;

/** Reads, checks and saves the groups of one optimizer. */
export class GroupOptions {
  /** The options that a group gets where it sets none. */
  readonly defaults: Readonly<Values>;
  readonly #rule: Rule;
  /** In the order of the state dict. */
  readonly #table: readonly (readonly [name: string, Option])[];
  readonly #names: readonly string[];
  /** Keys of PyTorch's groups that nothing here depends on. */
  readonly #foreign: Readonly<Values>;
  /** The defaults in that order. */
  readonly #usual: readonly unknown[];

  /** `given`: the optimizer's options, `kernels` aside. */
  constructor(rule: Rule, given: Values) {
    this.#rule = rule;
    this.#table = Object.entries({ ...rule.options, ...COMMON } as Record<string, Option>);
    this.#names = GroupOptions.namesOf(rule);
    this.#foreign = rule.foreign ?? {};
    const defaults: Values = {};
    for (const [name, row] of this.#table)
      defaults[name] = taken(row.check, `${rule.name}: ${name}`, given[name], row.default);
    rule.checkGroup?.(rule.name, defaults as ParamGroup, true);
    this.defaults = Object.freeze(defaults);
    this.#usual = this.#names.map((name) => defaults[name]);
  }

  /** The names that a constructor's options may have. */
  static namesOf(rule: Rule): string[] {
    return Object.keys({ ...rule.options, ...COMMON });
  }

  /** Parameters, or groups of them, as groups. */
  readParams(params: Params): ParamGroupInput[] {
    const { name } = this.#rule;
    const given = iterated(`${name}: params`, params, 'Parameters or of groups { params, ... }');
    return given.every((item) => item instanceof Parameter) ? [{ params: given }] : (given as ParamGroupInput[]);
  }

  /** A new group. */
  readInput(input: unknown, index: number): ParamGroup {
    const where = `${this.#rule.name}: group ${index}`;
    if (input instanceof Parameter || ArrayBuffer.isView(input)) {
      const got = `got ${show(input)}${wrapped(input)}`;
      throw new TypeError(`${where} must be a Parameter among Parameters, or { params } among groups; ${got}`);
    }
    const { params, initialLr, name, ...rest } = record(where, input);
    const given = options(where, rest, this.#names);
    const group: Values = { params: [], lr: null };
    for (const [key, row] of this.#table)
      group[key] = taken(row.check, `${where}: ${key}`, given[key], this.defaults[key]);
    Object.assign(group, this.#foreign);
    if (initialLr !== undefined) group.initialLr = number(`${where}: initialLr`, initialLr);
    if (optionalText(`${where}: name`, name) !== undefined) group.name = name;
    this.#rule.checkGroup?.(where, group as ParamGroup, true);
    group.params = params instanceof Parameter ? [params] : parametersOf(where, params);
    return group as ParamGroup;
  }

  /** The options of a saved group as those of a live one, and what else it held. */
  readSaved(at: string, saved: unknown): Values {
    const entry = record(at, saved);
    const rule = this.#rule;
    const foreign = Object.keys(this.#foreign);
    const needed = this.#table.filter(([, row]) => row.saved === 'always').map(([name]) => snakeCase(name));
    refuseOthers(at, rule.name, entry, [...Object.keys(rule.options).map(snakeCase), ...foreign], needed);
    requireKeys(at, entry, needed);
    const group: Values = { params: [], lr: null };
    const read = (key: string): unknown => plainNumbers(`${at}: ${key}`, own(entry, key));
    for (const [name, row] of this.#table) {
      const key = snakeCase(name);
      group[name] = taken(row.check, `${at}: ${key}`, read(key), row.default);
    }
    for (const key of foreign) group[key] = taken(anyFlag, `${at}: ${key}`, read(key), this.#foreign[key]);
    const initialLr = read('initial_lr');
    if (initialLr !== undefined) group.initialLr = number(`${at}: initial_lr`, initialLr);
    rule.checkGroup?.(at, group as ParamGroup, false);
    rule.checkSaved?.(at, group as ParamGroup);
    const known = this.#savedKeys();
    for (const key of Object.keys(entry)) {
      if (known.includes(key) || entry[key] === undefined) continue;
      // Neither this library's own spelling of an option nor a prototype is somebody else's key.
      if (this.#names.includes(key) || key === 'initialLr' || key === '__proto__') unknownName(at, 'key', key, known);
      // Keys of other schedulers and of users are kept as they are.
      group[key] = structuredClone(entry[key]);
    }
    return group;
  }

  /** All keys of a saved group that have a meaning here. */
  #savedKeys(): string[] {
    return [...this.#names.map(snakeCase), ...Object.keys(this.#foreign), 'params', 'param_names', 'initial_lr'];
  }

  /** A group as a state dict has it; params aside. */
  save(live: ParamGroup): Record<string, StateValue> {
    const group = live as Values;
    const saved: Values = {};
    for (const [name, row] of this.#table) {
      if (row.saved === 'never' && group[name] === row.default) continue;
      saved[snakeCase(name)] = copyOf(group[name]);
    }
    for (const key of Object.keys(this.#foreign)) saved[key] = group[key];
    if (live.initialLr !== undefined) saved.initial_lr = live.initialLr;
    for (const key of this.restOf(live)) saved[key] = structuredClone(group[key]);
    return saved as Record<string, StateValue>;
  }

  /**
   * Keys of a live group that this library does not know, and its name; without what is not data,
   * and without saved spellings of what it does know (`weight_decay`): no step has looked at them.
   */
  restOf(live: ParamGroup): string[] {
    const known = [...this.#names, ...this.#savedKeys(), 'initialLr', '__proto__'];
    const noData = ['undefined', 'function', 'symbol'];
    return Object.keys(live).filter((key) => !known.includes(key) && !noData.includes(typeof (live as Values)[key]));
  }

  /**
   * Groups are live objects that anyone may write to, so their few options are looked at before
   * use.
   */
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

function isCopy(value: unknown, usual: readonly unknown[]): boolean {
  return Array.isArray(value) && value.length === usual.length && value[0] === usual[0] && value[1] === usual[1];
}

function copyOf(value: unknown): unknown {
  return Array.isArray(value) ? [...value] : value;
}

/** A value that was given, checked, or a copy of what stands for it. */
function taken(check: OptionCheck, label: string, value: unknown, otherwise: unknown): unknown {
  return value === undefined ? copyOf(otherwise) : check(label, value);
}
