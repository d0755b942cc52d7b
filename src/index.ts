/**
 * tensorless: the optimizers and learning-rate schedules of Hugging Face transformers, on plain typed arrays.
 *
 * @module
 */
export { GradientAccumulator, type GradientSum } from './accumulator.ts';
export { Adafactor, type AdafactorOptions } from './adafactor.ts';
export { AdamW, type AdamWOptions } from './adamw.ts';
export { clipGradNorm } from './clip.ts';
export type { DType, NumericArray, OptimizerStateDict, SavedGroup, StateTensor, StateValue } from './dtype.ts';
export { type Kernels, typescriptKernels } from './kernels.ts';
export { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from './low-precision.ts';
export {
  type CommonOptions,
  NonFiniteGradientError,
  Optimizer,
  type ParamGroup,
  type ParamGroupInput,
  type Params,
} from './optimizer.ts';
export { type Float16ArrayLike, Parameter } from './parameter.ts';
