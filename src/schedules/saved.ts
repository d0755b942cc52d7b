/**
 * Reading the state dicts of schedulers: of the kind at hand, and numbers wherever they come from.
 */
import { integer, isRecord, listOf } from '../core/check.ts';
import { dictOfKind } from '../core/dict-kind.ts';
import { scalar } from '../core/state-dict.ts';

/** The state dict of the kind of schedule that `key` tells. */
export function scheduleDict(where: string, stateDict: unknown, key: string): Record<string, unknown> {
  const others = isRecord(stateDict) && Object.hasOwn(stateDict, 'last_epoch');
  const otherwise = others ? ', or go on from its last_epoch with { lastEpoch: last_epoch - 1 }' : '';
  return dictOfKind(where, stateDict, key, otherwise);
}

/** An array with one item per group. */
export function perGroup(label: string, value: unknown, groups: number): unknown[] {
  return listOf(label, value, groups, 'items, one per group of the optimizer');
}

/** An integer of at least `min`. */
export function savedCount(label: string, value: unknown, min = 0): number {
  return integer(label, scalar(label, value), { min });
}

/** One number per group; `check` is applied to each. */
export function numbers(
  label: string,
  value: unknown,
  groups: number,
  check: (label: string, value: number) => number,
): number[] {
  return perGroup(label, value, groups).map((item, i) => check(`${label}[${i}]`, scalar(`${label}[${i}]`, item)));
}
