/**
 * State of other optimizers, told by the keys of its groups, so that a refusal can name its kind.
 */

/** A key that only groups of that kind have. The first that is found counts. */
const MARKS: Readonly<Record<string, string>> = {
  beta2_decay: 'torch.optim.Adafactor',
  relative_step: "Adafactor (transformers')",
  clip_threshold: "Adafactor (transformers')",
  momentum_decay: 'torch.optim.NAdam',
  dampening: 'SGD',
  nesterov: 'SGD',
  centered: 'torch.optim.RMSprop',
  initial_accumulator_value: 'torch.optim.Adagrad',
  lr_decay: 'torch.optim.Adagrad',
  rho: 'torch.optim.Adadelta',
  etas: 'torch.optim.Rprop',
  lambd: 'torch.optim.ASGD',
  history_size: 'torch.optim.LBFGS',
  ns_steps: 'torch.optim.Muon',
  amsgrad: 'AdamW',
  eps: 'AdamW',
};

/** The kind whose state this group is of, where that has a key that is not among `known`. */
export function kindOf(group: Readonly<Record<string, unknown>>, known: readonly string[]): string | undefined {
  for (const [key, kind] of Object.entries(MARKS)) if (Object.hasOwn(group, key) && !known.includes(key)) return kind;
  const lion = Object.hasOwn(group, 'betas') && !Object.hasOwn(group, 'eps');
  return lion && (known.includes('eps') || !known.includes('betas')) ? 'Lion' : undefined;
}
