/**
 * What a parameter group of one optimizer may hold: read from a constructor's arguments, from a state dict, and checked again before each
 * step, because groups are live.
 */
import { didYouMean, integer, list, number, oneOf, show } from './_check.ts';
import type { Formula, OptionCheck } from './_formula.ts';
import { checkKeys, own, record, scalar, snakeCase } from './_state.ts';
import type { StateValue } from './dtype.ts';
import type { ParamGroup, ParamGroupInput, Params } from './param-group.ts';
import { label, overlap, Parameter } from './parameter.ts';

const COMMON: Readonly<Record<string, OptionCheck>> = {
  nonFinite: (name, value) => oneOf(name, value, ['throw', 'skip', 'propagate']),
  rounding: (name, value) => oneOf(name, value, ['nearest', 'stochastic']),
  seed: (name, value) => integer(name, value),
};
const COMMON_DEFAULTS: Readonly<Record<string, unknown>> = { nonFinite: 'throw', rounding: 'nearest', seed: 0 };

export class GroupRules {
  /** Name of the optimizer's class in messages. */
  readonly name: string;
  /** The options that a group gets where it sets none. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** One check per option. */
  readonly checks: Readonly<Record<string, OptionCheck>>;
  readonly #formula: Formula;
  readonly #ownOptions: readonly string[];

  /** `given`: the optimizer's options, `kernels` aside. */
  constructor(formula: Formula, given: Record<string, unknown>) {
    this.#formula = formula;
    this.name = formula.name;
    this.checks = checksOf(formula);
    this.#ownOptions = [...formula.ownOptions, ...Object.keys(COMMON)];
    const all: Record<string, unknown> = { ...formula.defaults, ...COMMON_DEFAULTS };
    for (const key of Object.keys(given)) all[key] = this.checks[key]!(`${this.name}: ${key}`, given[key]);
    formula.checkGroup(this.name, all, true);
    this.defaults = Object.freeze(all);
  }

  /** Parameters, or groups of them, as groups. */
  readParams(params: Params): ParamGroupInput[] {
    if (params instanceof Parameter || typeof (params as Iterable<unknown> | null)?.[Symbol.iterator] !== 'function') {
      throw new TypeError(
        `${this.name}: params must be an array (or other iterable) of Parameters or of groups { params, ... }, got ${show(params)}`,
      );
    }
    const given: unknown[] = [...(params as Iterable<unknown>)];
    if (given.length === 0) throw new RangeError(`${this.name}: params is empty; give at least one Parameter`);
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
    const entry = record(where, input);
    const { params, initialLr, ...rest } = entry;
    const given = checkOptions(where, rest, Object.keys(this.checks));
    if (typeof (params as Iterable<unknown> | null)?.[Symbol.iterator] !== 'function') {
      throw new TypeError(`${where}: params must be an array (or other iterable) of Parameters, got ${show(params)}`);
    }
    const group: ParamGroup = { params: [], lr: null, ...this.defaults };
    for (const key of Object.keys(this.checks)) {
      const value = Object.hasOwn(given, key) ? this.checks[key]!(`${where}: ${key}`, given[key]) : this.defaults[key];
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

  /** The options of a saved group, and the ids of its parameters, as many as the live group has. */
  readSaved(at: string, saved: unknown, live: ParamGroup): [group: ParamGroup, ids: unknown[]] {
    const entry = record(at, saved);
    const names = Object.keys(this.checks);
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
      if (value === undefined) group[name] = this.builtIn(name);
      else {
        const plain = name === 'lr' && typeof value === 'object' && value !== null ? scalar(`${at}: lr`, value) : value;
        group[name] = this.checks[name]!(`${at}: ${key}`, plain);
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
    return [group, ids];
  }

  /** The options of a group as a state dict has them; params aside. */
  save(group: ParamGroup): Record<string, StateValue> {
    const saved: Record<string, StateValue> = {};
    for (const key of Object.keys(this.checks)) {
      const value = group[key];
      if (this.#ownOptions.includes(key) && value === this.builtIn(key)) continue;
      saved[snakeCase(key)] = (Array.isArray(value) ? [...value] : value) as StateValue;
    }
    for (const key of Object.keys(this.#formula.foreignKeys)) saved[key] = group[key] as StateValue;
    if (group.initialLr !== undefined) saved.initial_lr = group.initialLr;
    return saved;
  }

  /** Groups are live objects that anyone may write to, so their few options are looked at before each use. */
  checkLive(where: string, group: ParamGroup, index: number): void {
    for (const key of Object.keys(this.checks)) {
      const value = group[key];
      if (value === this.defaults[key]) continue;
      this.checks[key]!(`${where}: paramGroups[${index}].${key}`, value);
    }
    this.#formula.checkGroup(`${where}: paramGroups[${index}]`, group, false);
  }

  /** The library's default of an option, whatever this optimizer was made with. */
  builtIn(option: string): unknown {
    return COMMON_DEFAULTS[option] ?? this.#formula.defaults[option];
  }
}

/** One check per option of an optimizer, in the order of its state dict. */
export function checksOf(formula: Formula): Readonly<Record<string, OptionCheck>> {
  return { ...formula.checks, ...COMMON };
}

/** Own options of a known name that are not undefined. */
export function checkOptions(where: string, value: unknown, known: readonly string[]): Record<string, unknown> {
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

/** Two parameters over the same memory would be updated twice. Sorted by place, an overlap is one of neighbours. */
export function refuseOverlap(name: string, parameters: readonly Parameter[]): void {
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
