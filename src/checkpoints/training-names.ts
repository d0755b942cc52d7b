/**
 * State by name: a saved state in the order of the live parameters, whatever order it was saved in.
 */
import type { StateValue } from '../core/dtype.ts';
import { isTensor } from '../core/state-dict.ts';
import { CheckpointError } from '../formats/error.ts';
import { differenceOf, namesOf, type OwnStateful, usableNames } from './training-parts.ts';

type Dict = { [key: string]: StateValue };

/** A plain object of a state dict, or null. */
function dictOf(value: StateValue | undefined): Dict | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isTensor(value)) return null;
  return ArrayBuffer.isView(value) ? null : (value as Dict);
}

/**
 * The state of an optimizer or accumulator with its parts in the live order, where both sides have
 * names; else, and where it is not of the form that this knows, as it is: by position.
 *
 * @param listed - The names that the file lists beside the state.
 * @throws CheckpointError that names what is on one side only.
 */
export function byName(
  key: 'optimizer' | 'accumulator',
  state: StateValue,
  listed: readonly string[] | undefined,
  part: OwnStateful,
): StateValue {
  const dict = dictOf(state);
  const live = namesOf(part);
  if (dict === null || live === null) return state;
  const groups = key === 'optimizer' && Array.isArray(dict.param_groups) ? dict.param_groups.map(dictOf) : null;
  const own = groups?.every((group) => Array.isArray(group?.param_names))
    ? groups.flatMap((group) => group!.param_names as StateValue[])
    : undefined;
  const saved = usableNames(own) ?? usableNames(listed);
  if (saved === null) return state;
  const difference = differenceOf(saved, live);
  if (difference !== null) {
    throw new CheckpointError(
      `checkpoint: the ${key} does not fit: its parameters have other names: ${difference}; ` +
        'rename them, or load another file',
    );
  }
  const at = new Map(saved.map((name, i) => [name, i]));
  const order = live.map((name) => at.get(name)!);
  return key === 'optimizer' ? ordered(dict, groups, order, live, part) : sums(dict, order);
}

/** An accumulator's state with its sums in this order. */
function sums(dict: Dict, order: readonly number[]): StateValue {
  // Names beside sums that are in the live order would order them once more.
  const { gradients, param_names: _, ...rest } = dict;
  if (!Array.isArray(gradients) || gradients.length !== order.length) return dict;
  return { ...rest, gradients: order.map((i) => gradients[i]!) };
}

/**
 * An optimizer's state numbered as the live parameters are; the groups' options stay where they
 * stand.
 */
function ordered(
  dict: Dict,
  groups: readonly (Dict | null)[] | null,
  order: readonly number[],
  names: readonly string[],
  part: OwnStateful,
): StateValue {
  const state = dictOf(dict.state);
  const live = part.paramGroups;
  if (state === null || groups === null || live === undefined || groups.length !== live.length) return dict;
  const ids = groups.flatMap((group) => (Array.isArray(group?.params) ? group.params : []));
  if (ids.length !== order.length) return dict;
  const next: Dict = {};
  const taken = new Set<string>();
  for (const [i, from] of order.entries()) {
    const id = String(ids[from]);
    taken.add(id);
    if (Object.hasOwn(state, id)) next[i] = state[id]!;
  }
  // An entry of no parameter is for the optimizer to refuse: under a number that no parameter has.
  for (const id of Object.keys(state)) if (!taken.has(id)) next[`${id} (of no group)`] = state[id]!;
  let index = 0;
  const renumbered = live.map(({ params }, g) => {
    const from = index;
    const numbers = params.map(() => index++);
    const { param_names: had, ...group } = groups[g]!;
    const own: Record<string, StateValue> = had === undefined ? {} : { param_names: names.slice(from, index) };
    return { ...group, ...own, params: numbers };
  });
  return { ...dict, state: next, param_groups: renumbered };
}
