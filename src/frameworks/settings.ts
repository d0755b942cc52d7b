/**
 * What an optimizer is, as plain data without its state: its class and its groups with their
 * options. Frameworks keep such a configuration beside a model's weights.
 */
import { isRecord, record, show } from '../core/check.ts';
import type { Parameter } from '../core/parameter.ts';
import * as classes from '../optimizers/list.ts';
import { Optimizer } from '../optimizers/optimizer.ts';
import { placesOf } from './positions.ts';

/** A group: its options, and its parameters, counted as {@link Settings.names} has them. */
interface GroupSettings {
  readonly params: readonly number[];
  readonly options: Readonly<Record<string, unknown>>;
}

/** An optimizer's class, the options that groups begin with, and its groups. */
export interface Settings {
  readonly kind: string;
  readonly defaults: Readonly<Record<string, unknown>>;
  readonly names: readonly string[];
  readonly groups: readonly GroupSettings[];
}

type OptimizerClass = new (params: unknown, options: unknown) => Optimizer;

const isOptimizerClass = (value: unknown): value is OptimizerClass =>
  typeof value === 'function' && value.prototype instanceof Optimizer;

/** The settings of a live optimizer; undefined when its class is not one of this library's. */
export function settingsOf(optimizer: Optimizer, parameters: readonly Parameter[]): Settings | undefined {
  const kind = Object.entries(classes).find(([, one]) => isOptimizerClass(one) && optimizer instanceof one)?.[0];
  if (kind === undefined) return undefined;
  const { defaults } = optimizer;
  const groups = optimizer.paramGroups.map((group) => ({
    params: group.params.map((parameter) => parameters.indexOf(parameter)),
    options: optionsAmong(group, defaults),
  }));
  return { kind, defaults, names: parameters.map(({ name }) => name!), groups };
}

/** The options of a group, and what schedulers keep there. */
function optionsAmong(group: object, defaults: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const known = [...Object.keys(defaults), 'lr', 'initialLr', 'name'];
  return Object.fromEntries(Object.entries(group).filter(([key, value]) => known.includes(key) && value !== undefined));
}

/** An optimizer of these settings over parameters; those that it did not have get the defaults. */
export function makeFrom(where: string, settings: Settings, parameters: readonly Parameter[]): Optimizer {
  const Kind = Object.hasOwn(classes, settings.kind) ? (classes as Record<string, unknown>)[settings.kind] : undefined;
  if (!isOptimizerClass(Kind)) {
    throw new TypeError(`${where}: ${show(settings.kind)} is no optimizer of this version of the library`);
  }
  const live = parameters.map(({ name }) => name!);
  const places = placesOf(where, settings.names, live);
  const groups = settings.groups.map(({ params }) => ({
    params: params.flatMap((index) => (places[index] === undefined ? [] : parameters[places[index]]!)),
  }));
  const grouped = new Set(groups.flatMap(({ params }) => params));
  const others = parameters.filter((parameter) => !grouped.has(parameter));
  // Where none is new, those were left out of all groups.
  const later = settings.names.length < parameters.length && others.length > 0 ? [{ params: others }] : [];
  return new Kind([...groups, ...later], settings.defaults);
}

/** Gives the groups of an optimizer that was just made the options that they had. */
export function restoreOptions(where: string, { paramGroups }: Optimizer, { groups, defaults }: Settings): void {
  if (groups.length > paramGroups.length) {
    throw new RangeError(`${where}: the saved optimizer has ${groups.length} groups, this one ${paramGroups.length}`);
  }
  for (const [i, { options }] of groups.entries()) Object.assign(paramGroups[i]!, optionsAmong(options, defaults));
}

/**
 * As a text. TensorFlow.js changes what it finds in a configuration: `dense_1/kernel` comes back as
 * `dense1/kernel`; an escaped underscore it leaves alone. JSON has no infinities.
 */
export function encodeSettings(settings: Settings): string {
  const text = JSON.stringify(settings, (_, value) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  );
  return text.replaceAll('_', '\\u005f');
}

/** @throws TypeError when the text is not of {@link encodeSettings}. */
export function decodeSettings(where: string, text: unknown): Settings {
  let read: unknown;
  try {
    read = JSON.parse(text as string, (_, value) =>
      value === 'Infinity' || value === '-Infinity' || value === 'NaN' ? Number(value) : value,
    );
  } catch {}
  const { kind, defaults, names, groups } = isRecord(read) ? read : {};
  const whole =
    typeof kind === 'string' &&
    Array.isArray(names) &&
    names.every((name) => typeof name === 'string') &&
    Array.isArray(groups) &&
    groups.every((group) => isRecord(group) && Array.isArray(group.params) && isRecord(group.options));
  if (!whole) throw new TypeError(`${where}: settings must be the text that getConfig wrote, got ${show(text)}`);
  return { kind, defaults: record(`${where}: defaults`, defaults), names, groups: groups as GroupSettings[] };
}
