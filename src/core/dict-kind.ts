/** Whose state dict it is, told by its keys, so that one of another kind is refused by its name. */
import { record } from './check.ts';

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
 * this kind; `otherwise`: what else can be done about it.
 */
export function dictOfKind(where: string, stateDict: unknown, key: string, otherwise = ''): Record<string, unknown> {
  const dict = record(`${where}: the state dict`, stateDict);
  const found = Object.keys(KINDS).find((candidate) => Object.hasOwn(dict, candidate)) ?? key;
  if (found === key) return dict;
  throw new RangeError(
    `${where}: this is the state dict of ${KINDS[found]}; load it into one of that kind${otherwise}`,
  );
}
