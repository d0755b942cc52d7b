/**
 * Parameter groups and the options that every optimizer has.
 *
 * @module
 */

import type { Parameter } from '../core/parameter.ts';
import type { Kernels } from '../engine/kernels.ts';
import type { NonFiniteGradientError } from './non-finite.ts';

/** A parameter group as it is given: the parameters, and options that differ from the optimizer's. */
export interface ParamGroupInput {
  /** The group's parameters. */
  params: Iterable<Parameter>;
  /** Any option of the optimizer but `kernels`. */
  [option: string]: unknown;
}

/** Parameters, or groups of them. The same parameter twice, or two that share memory, are refused. */
export type Params = Iterable<Parameter> | Iterable<ParamGroupInput>;

/** A live parameter group: change an option here and the next step uses it. */
export interface ParamGroup {
  /** The group's parameters. */
  params: Parameter[];
  /** Learning rate; null where Adafactor computes its own. */
  lr: number | null;
  /** The rate that a scheduler multiplies; set by the first scheduler. */
  initialLr?: number;
  /** Every other option of the optimizer. */
  [option: string]: unknown;
}

/** Options of every optimizer. All but `kernels` can also be set per group; what differs from the default is saved in the state dict. */
export interface CommonOptions {
  /**
   * What a NaN or infinite gradient does. `"throw"` (default): a {@link NonFiniteGradientError} names the parameter, and nothing
   * has changed; `"skip"`: the whole `step()` is left out (in `stepParameter` that parameter) and counted in `skippedSteps`;
   * `"propagate"`: it reaches weights and state, as in PyTorch.
   */
  nonFinite?: 'throw' | 'skip' | 'propagate';
  /** How a 16-bit weight is rounded on store: `"nearest"` (default), ties to even, as PyTorch; or `"stochastic"`, unbiased. */
  rounding?: 'nearest' | 'stochastic';
  /** Seed of the stochastic rounding, a non-negative integer; default 0. */
  seed?: number;
  /** The loops that do the arithmetic; default the TypeScript ones. Kernels differ in speed, never in the bits of the result. */
  kernels?: Kernels;
}
