/**
 * tensorless: the optimizers and learning-rate schedules of Hugging Face transformers, on plain
 * typed arrays.
 *
 * @module
 */

export type {
  DType,
  NumericArray,
  OptimizerStateDict,
  SavedGroup,
  SavedParams,
  StateTensor,
  StateValue,
} from './core/dtype.ts';
export { NonFiniteGradientError } from './core/gradient.ts';
export { type GradientOf, Parameter, type ParameterOptions } from './core/parameter.ts';
export type { Float16ArrayLike } from './core/typed-array.ts';
export { type Kernels, typescriptKernels } from './engine/kernels.ts';
export type { Memory } from './engine/memory.ts';
export { type AccumulatorOptions, GradientAccumulator, type GradientSum } from './gradients/accumulator.ts';
export {
  type ClipNormOptions,
  type ClipOptions,
  clipGradNorm,
  clipGradNormAsync,
  clipGradValue,
} from './gradients/clip.ts';
export * from './optimizers/list.ts';
export { Optimizer } from './optimizers/optimizer.ts';
export type { AnyOption, CommonOptions, ParamGroup, ParamGroupInput, Params } from './optimizers/param-group.ts';
export {
  type WeightDecayGroup,
  type WeightDecayGroupsOptions,
  weightDecayGroups,
} from './optimizers/weight-decay-groups.ts';
export * from './schedules/public.ts';
export { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from './sixteen/low-precision.ts';
