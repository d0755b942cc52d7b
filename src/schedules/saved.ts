/** Reading the state dicts of schedulers: whose it is, and numbers wherever they come from. */
import { integer, record, show } from '../core/check.ts';
import { scalar } from '../core/state-dict.ts';

/**
 * Keys by which a state dict is recognised, and the kind that has it; a kind's telling key comes
 * before one that others have too.
 */
const KINDS: Readonly<Record<string, string>> = {
  param_groups: 'an optimizer',
  gradients: 'a GradientAccumulator',
  mode_worse: 'ReduceLROnPlateau',
  _init_lrs: 'GreedyLR',
  lr_lambdas: 'LambdaLR',
  // PyTorch's, which have no class here.
  step_size: 'StepLR',
  milestones: 'MultiStepLR',
  total_steps: 'OneCycleLR',
  T_max: 'CosineAnnealingLR',
  T_mult: 'CosineAnnealingWarmRestarts',
  _milestones: 'SequentialLR',
  _schedulers: 'ChainedScheduler',
  start_factor: 'LinearLR',
  power: 'PolynomialLR',
  total_iters: 'ConstantLR',
  total_size: 'CyclicLR',
  anneal_epochs: 'SWALR',
  gamma: 'ExponentialLR',
};

/**
 * The state dict as a record; one of another kind is refused by name. `key` is the one that tells
 * this kind.
 */
export function dictOfKind(where: string, stateDict: unknown, key: string): Record<string, unknown> {
  const dict = record(`${where}: the state dict`, stateDict);
  const found = Object.keys(KINDS).find((candidate) => Object.hasOwn(dict, candidate)) ?? key;
  if (found === key) return dict;
  throw new RangeError(
    `${where}: this is the state dict of ${KINDS[found]}; load it into one of that kind, ` +
      'or go on from its last_epoch with { lastEpoch }',
  );
}

/** An array with one item per group. */
export function listOf(label: string, value: unknown, groups: number): unknown[] {
  if (Array.isArray(value) && value.length === groups) return value;
  throw new TypeError(
    `${label} must be an array of ${groups} items, one per group of the optimizer, got ${show(value)}`,
  );
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
  return listOf(label, value, groups).map((item, i) => check(`${label}[${i}]`, scalar(`${label}[${i}]`, item)));
}
