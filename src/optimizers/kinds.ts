/**
 * State of other optimizers, told by the keys of its groups and entries, so that a refusal can name
 * its kind.
 */

/**
 * A key of that kind. The first that is found counts, where what this optimizer needs is missing: a
 * group that has it all may hold the key for its user (SAM's `rho`, `lr_decay` of layers).
 */
const MARKS: Readonly<Record<string, string>> = {
  beta2_decay: 'torch.optim.Adafactor',
  relative_step: "Adafactor (transformers')",
  exp_inf: 'torch.optim.Adamax',
  momentum_decay: 'torch.optim.NAdam',
  ns_steps: 'torch.optim.Muon',
  dampening: 'SGD',
  centered: 'torch.optim.RMSprop',
  lr_decay: 'torch.optim.Adagrad',
  rho: 'torch.optim.Adadelta',
  etas: 'torch.optim.Rprop',
  lambd: 'torch.optim.ASGD',
  history_size: 'torch.optim.LBFGS',
  amsgrad: 'AdamW',
  eps: 'AdamW',
};

/** Those of groups that have all that AdamW or Lion needs. */
const SURE = ['momentum_decay', 'eps'];

/**
 * Refuses a group or a parameter's entry of another kind, by its name.
 *
 * @param name - This optimizer's name.
 * @param known - Keys that its dict may have.
 * @param needed - Keys that its dict must have.
 */
export function refuseOthers(
  at: string,
  name: string,
  dict: Readonly<Record<string, unknown>>,
  known: readonly string[],
  needed: readonly string[],
): void {
  const has = (key: string): boolean => Object.hasOwn(dict, key);
  const whole = needed.every(has);
  const betas = has('betas');
  const mark = Object.keys(MARKS).find((key) => has(key) && !known.includes(key) && (!whole || SURE.includes(key)));
  let kind = MARKS[mark!];
  if (mark !== 'momentum_decay' && has('decoupled_weight_decay') && !has('amsgrad') && !has('fused'))
    kind = 'torch.optim.RAdam';
  else if (betas && !has('eps') && (known.includes('eps') || !known.includes('betas'))) kind ??= 'Lion';
  if (kind === undefined) return;
  const repair = kind.startsWith('torch.') ? 'train on without it, or in PyTorch' : 'load it into one of that kind';
  throw new RangeError(`${at}: this is the state of ${kind}, not of ${name}; ${repair}`);
}
