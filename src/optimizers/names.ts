/**
 * Which parameter a saved state belongs to: by name where both sides have names, else by position.
 */
import { list, show } from '../core/check.ts';
import { label } from '../core/parameter.ts';
import { own } from '../core/state-dict.ts';
import type { ParamGroup } from './param-group.ts';
import type { Slot } from './rule.ts';

/** The ids of a saved group's parameters, and their names where it has them. */
interface Listed {
  readonly id: number | string;
  readonly name: string | undefined;
}

/**
 * The live parameter of each id of the saved groups. Every saved group lists as many parameters as
 * the live one. Where all parameters on both sides have a name of their own, the names say which is
 * which, whatever the order; else it is the place, and a name that differs there is refused.
 *
 * @throws TypeError or RangeError that names what does not fit.
 */
export function matched(
  where: string,
  savedGroups: readonly unknown[],
  live: readonly ParamGroup[],
  slots: readonly Slot[],
): Map<string, Slot> {
  const saved = savedGroups.flatMap((group, i) =>
    listed(`${where}: param_groups[${i}]`, group as Record<string, unknown>, live[i]!.params.length),
  );
  const byName = new Map<string, Slot>();
  for (const slot of slots) if (slot.parameter.name !== undefined) byName.set(slot.parameter.name, slot);
  const names = new Set(saved.map(({ name }) => name));
  const named = !names.has(undefined) && names.size === saved.length && byName.size === slots.length;
  if (named) refuseOtherNames(where, saved, byName);
  const result = new Map<string, Slot>();
  for (const [i, { id, name }] of saved.entries()) {
    const slot = named ? byName.get(name!)! : slots[i]!;
    if (name !== undefined && slot.parameter.name !== undefined && name !== slot.parameter.name) {
      throw new RangeError(`${where}: the state has ${show(name)} where this optimizer has ${label(slot.parameter)}`);
    }
    if (result.has(String(id))) {
      throw new RangeError(`${where}: parameter ${show(id)} is listed twice in param_groups`);
    }
    result.set(String(id), slot);
  }
  return result;
}

function listed(at: string, group: Record<string, unknown>, count: number): Listed[] {
  const ids = own(group, 'params');
  if (ids === undefined) throw new RangeError(`${at}: key "params" is missing; it has ${list(Object.keys(group))}`);
  if (!Array.isArray(ids) || ids.length !== count) {
    throw new RangeError(`${at}: params must list ${count} parameters, as this group has; got ${show(ids)}`);
  }
  const names = own(group, 'param_names');
  if (names !== undefined && names !== null && (!Array.isArray(names) || names.length !== count)) {
    throw new RangeError(`${at}: param_names must list ${count} names, one for each of params; got ${show(names)}`);
  }
  return ids.map((id: unknown, i) => {
    if (typeof id !== 'number' && typeof id !== 'string') {
      throw new TypeError(`${at}: params[${i}] must be a parameter's number, got ${show(id)}`);
    }
    const given: unknown = (names as unknown[] | null | undefined)?.[i];
    if (given !== undefined && given !== null && typeof given !== 'string') {
      throw new TypeError(`${at}: param_names[${i}] must be a string, got ${show(given)}`);
    }
    // Where state is keyed by names (torch.distributed), the ids are the names.
    const name = given ?? (typeof id === 'string' && !/^\d+$/.test(id) ? id : undefined);
    return { id, name };
  });
}

function refuseOtherNames(where: string, saved: readonly Listed[], byName: ReadonlyMap<string, Slot>): void {
  const unknown = saved.filter(({ name }) => !byName.has(name!)).map(({ name }) => name!);
  if (unknown.length === 0) return;
  const names = new Set(saved.map(({ name }) => name));
  const missing = [...byName.keys()].filter((name) => !names.has(name));
  throw new RangeError(
    `${where}: the state has ${few(unknown)}, which this optimizer has not, and lacks ${few(missing)}; ` +
      'give the parameters the names they were saved under',
  );
}

/** The first of some names. */
function few(names: readonly string[]): string {
  const shown = list(names.slice(0, 2).map((name) => (name.length > 40 ? `${name.slice(0, 37)}...` : name)));
  return names.length > 2 ? `${shown} and ${names.length - 2} more` : shown;
}
