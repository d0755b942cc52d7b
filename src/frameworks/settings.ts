/**
 * What an optimizer is, as plain data without its state: its class and its groups with their
 * options. Frameworks keep such a configuration beside a model's weights.
 */
import { isRecord, record, show } from '../core/check.ts';
import type { OptimizerStateDict } from '../core/dtype.ts';
import type { Parameter } from '../core/parameter.ts';
import * as classes from '../optimizers/list.ts';
import { Optimizer } from '../optimizers/optimizer.ts';
import { placesOf } from './positions.ts';

type Groups = OptimizerStateDict['param_groups'];

/** An optimizer's class, options and groups; parameters are counted as `names` has them. */
export interface Settings {
  readonly kind: string;
  readonly defaults: Readonly<Record<string, unknown>>;
  readonly names: readonly string[];
  readonly groups: Groups;
}

type OptimizerClass = new (params: unknown, options: unknown) => Optimizer;

const isOptimizerClass = (value: unknown): value is OptimizerClass =>
  typeof value === 'function' && value.prototype instanceof Optimizer;

/** The settings of a live optimizer; undefined when its class is not one of this library's. */
export function settingsOf(optimizer: Optimizer, parameters: readonly Parameter[]): Settings | undefined {
  const kind = Object.entries(classes).find(([, one]) => isOptimizerClass(one) && optimizer instanceof one)?.[0];
  if (kind === undefined) return undefined;
  const places = optimizer.parameters.map((parameter) => parameters.indexOf(parameter));
  // Names change from session to session.
  const groups = optimizer.stateDict().param_groups.map(({ param_names: _, ...group }) => ({
    ...group,
    params: group.params.map((index) => places[index]!),
  }));
  return { kind, defaults: optimizer.defaults, names: parameters.map(({ name }) => name!), groups };
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
  // Where nothing was frozen or left out there are none.
  const later = settings.names.length < parameters.length ? others : [];
  return new Kind(later.length > 0 ? [...groups, { params: later }] : groups, settings.defaults);
}

/** The groups of a live optimizer with the options of the saved ones, for `loadStateDict`. */
export function withSavedOptions(where: string, live: Groups, saved: Groups): Groups {
  if (saved.length > live.length) {
    throw new RangeError(`${where}: the saved optimizer has ${saved.length} groups, this one ${live.length}`);
  }
  return live.map((group, i) => {
    const { params, param_names } = group;
    return { ...(saved[i] ?? group), params, ...(param_names !== undefined && { param_names }) };
  });
}

/**
 * As a text. TensorFlow.js changes what it finds in a configuration: `initial_lr` comes back as
 * `initialLr`, in keys and texts alike; an escaped underscore it leaves alone.
 */
export function encodeSettings(settings: Settings): string {
  const groups = settings.groups.map((group) =>
    Object.fromEntries(Object.entries(group).filter(([, value]) => isPlain(value))),
  );
  const text = JSON.stringify({ ...settings, groups }, (_, value) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  );
  return text.replaceAll('_', '\\u005f');
}

/** What JSON keeps; a user's own keys may hold more. */
function isPlain(value: unknown): boolean {
  return Array.isArray(value)
    ? value.every(isPlain)
    : value === null || ['number', 'boolean', 'string'].includes(typeof value);
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
    groups.every((group) => isRecord(group) && Array.isArray(group.params));
  if (!whole) throw new TypeError(`${where}: settings must be the text that getConfig wrote, got ${show(text)}`);
  return { kind, defaults: record(`${where}: defaults`, defaults), names, groups: groups as Groups };
}
