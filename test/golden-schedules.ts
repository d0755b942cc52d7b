/**
 * Reads the recorded schedules in test/vectors/schedules (what each field is, says
 * make_goldens.py's header).
 */
import { readdirSync, readFileSync } from 'node:fs';
import * as T from 'tensorless';
import { camelCase } from './golden.ts';

export type StateDict = Record<string, T.StateValue>;

export interface GoldenSchedule {
  factory: string;
  kwargs: Record<string, unknown>;
  base_lrs: number[];
  lrs: number[][];
  state_dicts: Record<string, StateDict>;
  metrics?: number[];
  resume?: { last_epoch: number; lrs: number[][] };
}

const folder = new URL('vectors/schedules/', import.meta.url);

/** Python's infinities stand as strings in the JSON. */
export function revive(_key: string, value: unknown): unknown {
  if (value === 'inf') return Number.POSITIVE_INFINITY;
  return value === '-inf' ? Number.NEGATIVE_INFINITY : value;
}

export const goldenSchedules: [name: string, golden: GoldenSchedule][] = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => [
    file.slice(0, -5),
    JSON.parse(readFileSync(new URL(file, folder), 'utf8'), revive) as GoldenSchedule,
  ]);

/** `get_wsd_schedule` to `getWsdSchedule`; two names are shortened in transformers, too. */
export function factoryOf(name: string): (optimizer: T.Optimizer, o: object) => T.LRScheduler {
  const [key] = Object.keys(camelCase({ [name]: 0 }));
  const factory = (T as unknown as Record<string, unknown>)[key!];
  if (typeof factory !== 'function') throw new Error(`no factory ${key}`);
  return factory as (optimizer: T.Optimizer, o: object) => T.LRScheduler;
}

/** An optimizer with one group per learning rate, each with one parameter that has a gradient. */
export function optimizerWith(lrs: readonly number[]): T.AdamW {
  const groups = lrs.map((lr) => {
    const parameter = new T.Parameter(new Float32Array([0]));
    parameter.grad = new Float32Array([0]);
    return { params: [parameter], lr };
  });
  return new T.AdamW(groups, { lr: lrs[0]! });
}

export function lrsOf(optimizer: T.Optimizer): (number | null)[] {
  return optimizer.paramGroups.map((group) => group.lr);
}
