/**
 * What the dicts of PyTorch's optimizers and schedulers have that plain data does not say: int
 * keys, tuples, floats.
 */
import type { OptimizerStateDict, StateValue } from '../../core/dtype.ts';
import { isTensor } from '../../core/state-dict.ts';

/** Where a value lies, as far as that tells what its numbers are in Python. */
export type Context = 'data' | 'group' | 'scheduler';

/**
 * Keys whose numbers are floats in Python, also where they are whole, wherever they stand: `lr` 1
 * is 1.0 there.
 */
const FLOATS: ReadonlySet<string> = /* @__PURE__ */ new Set(
  'lr initial_lr max_lr min_lr base_lr swa_lr eps betas weight_decay base_lrs _last_lr _init_lrs'.split(' '),
);
/** Such keys in groups and schedulers only; elsewhere these words mean other things. */
const FLOATS_INSIDE: ReadonlySet<string> = /* @__PURE__ */ new Set(
  (
    'clip_threshold decay_rate beta1 beta2_decay d momentum dampening alpha lambd t0 rho lr_decay lr_scale etas ' +
    'initial_accumulator_value momentum_decay step_sizes base_momentum max_momentum min_lrs max_lrs default_min_lr ' +
    'factor gamma eta_min threshold best mode_worse values sum'
  ).split(' '),
);
/** Keys whose lists are tuples in Python. */
const TUPLES: ReadonlySet<string> = /* @__PURE__ */ new Set(['eps', 'betas', 'etas', 'step_sizes']);

/** Whether numbers under this key are floats. */
export function isFloatKey(key: string, context: Context): boolean {
  return FLOATS.has(key) || (context !== 'data' && FLOATS_INSIDE.has(key));
}

/** Whether a list under this key is a tuple. */
export function isTupleKey(key: string): boolean {
  return TUPLES.has(key);
}

function isRecord(value: unknown): value is Record<string, StateValue> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

/**
 * Whether this is an optimizer's dict: `state` by parameter, and groups that list their parameters.
 */
export function isOptimizer(value: unknown): value is OptimizerStateDict {
  if (!isRecord(value) || !Object.hasOwn(value, 'state') || !Object.hasOwn(value, 'param_groups')) return false;
  const { state, param_groups: groups } = value;
  const isId = (id: unknown): boolean => typeof id === 'number' || typeof id === 'string';
  return (
    isRecord(state) &&
    !isTensor(state) &&
    Array.isArray(groups) &&
    groups.every((group) => isRecord(group) && Array.isArray(group.params) && group.params.every(isId))
  );
}

/** Whether this is a scheduler's dict. */
export function isScheduler(value: Record<string, unknown>): boolean {
  return ['last_epoch', '_last_lr', 'base_lrs'].some((key) => Object.hasOwn(value, key));
}

/** Whether a dict of a scheduler counts by ints: MultiStepLR's milestones, a Counter. */
export function isCounter(key: string, context: Context, value: Record<string, unknown>): boolean {
  return context === 'scheduler' && key === 'milestones' && Object.keys(value).every((name) => INTEGER.test(name));
}

/** Text of a non-negative int. */
export const INTEGER: RegExp = /^(0|[1-9][0-9]{0,14})$/;

/** transformers' Adafactor counts in a Python int; PyTorch's own optimizers count in a tensor. */
export function countsInInts(dict: OptimizerStateDict): boolean {
  return dict.param_groups.some((group) => Object.hasOwn(group, 'clip_threshold'));
}

/** The count in a tensor of one element, where it is whole. */
export function countOf(value: StateValue | undefined): number | undefined {
  if (!isTensor(value) || value.data.length !== 1) return undefined;
  if (!['float32', 'float64', 'int64'].includes(value.dtype)) return undefined;
  const count = Number(value.data[0]);
  return Number.isSafeInteger(count) ? count : undefined;
}
