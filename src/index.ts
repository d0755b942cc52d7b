/**
 * tensorless: the optimizers and learning-rate schedules of Hugging Face transformers, on plain typed arrays.
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
export { type Float16ArrayLike, Parameter } from './core/parameter.ts';
export { type Kernels, typescriptKernels } from './engine/kernels.ts';
export { GradientAccumulator, type GradientSum } from './gradients/accumulator.ts';
export { clipGradNorm } from './gradients/clip.ts';
export { Adafactor, type AdafactorOptions } from './optimizers/adafactor.ts';
export { AdamW, type AdamWOptions } from './optimizers/adamw.ts';
export { NonFiniteGradientError } from './optimizers/non-finite.ts';
export { Optimizer } from './optimizers/optimizer.ts';
export type { CommonOptions, ParamGroup, ParamGroupInput, Params } from './optimizers/param-group.ts';
export * from './schedules/exports.ts';
export { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from './sixteen/low-precision.ts';
