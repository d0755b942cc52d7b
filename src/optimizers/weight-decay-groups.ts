/**
 * The two parameter groups that most recipes train with: weights decay, biases and norms do not.
 *
 * @module
 */
import { options as checkedOptions, number, show } from '../core/check.ts';
import { type Parameter, parametersOf } from '../core/parameter.ts';

/**
 * Names that Trainer leaves out (transformers 5, `Trainer.get_decay_parameter_names`), lower-cased.
 */
const NO_DECAY = /bias|layernorm|rmsnorm|(^|\.)norm($|\.)|_norm($|\.)/;

/** Options of {@link weightDecayGroups}. */
export interface WeightDecayGroupsOptions {
  /** Decay of the first group, at least 0; that of the second is 0. */
  weightDecay: number;
  /** Whether a parameter is to have no decay. Default: by its name, as Trainer does. */
  noDecay?: (parameter: Parameter) => boolean;
}

/** Parameters with one decay. */
export interface WeightDecayGroup {
  /** The group's parameters, in the order given; may be none. */
  params: Parameter[];
  /** Their decay. */
  weightDecay: number;
}

/**
 * The two groups that transformers' Trainer makes: parameters with decay first, then those without.
 *
 * By default a parameter has no decay where its lower-cased name matches
 * `/bias|layernorm|rmsnorm|(^|\.)norm($|\.)|_norm($|\.)/`. Trainer also leaves out the weights of
 * `nn.LayerNorm` whatever their name, such as GPT-2's `ln_1`, which a name cannot tell: `noDecay`
 * is for those.
 *
 * @param parameters - The parameters; each needs a name, unless `noDecay` is given.
 * @param options - See {@link WeightDecayGroupsOptions}.
 * @throws TypeError or RangeError when an option is wrong, or a parameter has no name.
 * @example
 * ```ts
 * const optimizer = new AdamW(weightDecayGroups(parameters, { weightDecay: 0.1 }), { lr: 3e-4 });
 * ```
 */
export function weightDecayGroups(
  parameters: Iterable<Parameter>,
  options: WeightDecayGroupsOptions,
): [WeightDecayGroup, WeightDecayGroup] {
  const where = 'weightDecayGroups';
  const given = checkedOptions(where, options, ['weightDecay', 'noDecay']);
  const weightDecay = number(`${where}: weightDecay`, given.weightDecay, { min: 0 });
  const noDecay = given.noDecay === undefined ? byName : given.noDecay;
  if (typeof noDecay !== 'function') {
    throw new TypeError(`${where}: noDecay must be a function of a parameter, got ${show(noDecay)}`);
  }
  const groups: [WeightDecayGroup, WeightDecayGroup] = [
    { params: [], weightDecay },
    { params: [], weightDecay: 0 },
  ];
  for (const [i, parameter] of parametersOf(where, parameters).entries()) {
    if (noDecay === byName && parameter.name === undefined) {
      throw new RangeError(`${where}: parameter ${i} has no name to tell by; name it, or give noDecay`);
    }
    groups[noDecay(parameter) === true ? 1 : 0].params.push(parameter);
  }
  return groups;
}

function byName({ name }: Parameter): boolean {
  return NO_DECAY.test(name!.toLowerCase());
}
