/**
 * Parameter groups and the options that every optimizer has.
 *
 * @module
 */
import type { NonFiniteGradientError } from '../core/gradient.ts';
import type { Parameter } from '../core/parameter.ts';
import type { Kernels } from '../engine/kernels.ts';

/** Options of an optimizer whose kind is not known. */
export interface AnyOption {
  /** Any option; which there are is checked when the program runs. */
  [option: string]: unknown;
}

/**
 * A parameter group as it is given: the parameters, and options `O` of the optimizer that differ
 * from those of the others. One empty group beside others is allowed.
 */
export type ParamGroupInput<O = object> = {
  /** The group's parameters. */
  params: Iterable<Parameter> | Parameter;
  /** Name of the group, kept and saved; for you to find it by. */
  name?: string;
  /** The rate that a scheduler multiplies: set by schedulers, given for a group added in a run. */
  initialLr?: number;
} & (keyof O extends never ? AnyOption : Omit<O, 'kernels'>);

/**
 * Parameters, or groups of them with options of their own. The same parameter twice, or two that
 * share memory, are refused.
 */
export type Params<O = object> = Iterable<Parameter> | Iterable<ParamGroupInput<O>>;

/**
 * A live parameter group: change an option here and the next step uses it. Its parameters are
 * fixed; `addParamGroup` adds others. Keys that a loaded state dict had beside the options are kept
 * here and saved again.
 */
export type ParamGroup<O = object> = {
  /** The group's parameters. */
  params: Parameter[];
  /** Learning rate; null where Adafactor computes its own. */
  lr: number | null;
  /** The rate that a scheduler multiplies; set by the first scheduler. */
  initialLr?: number;
  /** Name of the group, where it was given one. */
  name?: string;
} & (keyof O extends never ? AnyOption : Omit<Required<O>, 'lr' | 'kernels'>);

/**
 * Options of every optimizer. All but `kernels` can also be set per group; what differs from the
 * default is saved in the state dict.
 */
export interface CommonOptions {
  /**
   * What a NaN or infinite gradient does. `"throw"` (default): a {@link NonFiniteGradientError}
   * names the parameter, and nothing has changed; `"skip"`: the whole `step()` is left out (in
   * `stepParameter` that parameter) and counted in `skippedSteps`; `"propagate"`: it reaches
   * weights and state, as in PyTorch.
   */
  nonFinite?: 'throw' | 'skip' | 'propagate';
  /**
   * How a 16-bit weight is rounded on store: `"nearest"` (default), ties to even, as PyTorch; or
   * `"stochastic"`, unbiased.
   */
  rounding?: 'nearest' | 'stochastic';
  /** Seed of the stochastic rounding, a non-negative integer; default 0. */
  seed?: number;
  /**
   * The loops that do the arithmetic; default the TypeScript ones. Kernels differ in speed, never
   * in the bits of the result.
   */
  kernels?: Kernels;
}
