/**
 * tensorless: the optimizers and learning-rate schedules of Hugging Face transformers, on plain typed arrays.
 *
 * @module
 */

export type { MetricMode, ThresholdMode } from './_metric.ts';
export { GradientAccumulator, type GradientSum } from './accumulator.ts';
export { Adafactor, type AdafactorOptions } from './adafactor.ts';
export {
  AdafactorSchedule,
  type AdafactorScheduleOptions,
  getAdafactorSchedule,
} from './adafactor-schedule.ts';
export { AdamW, type AdamWOptions } from './adamw.ts';
export { clipGradNorm } from './clip.ts';
export { chain, type SequentialPart, scale, sequential } from './compose.ts';
export {
  type ConstantWithWarmupOptions,
  type CosineWarmupWithMinLrOptions,
  type CosineWithHardRestartsOptions,
  type CosineWithWarmupOptions,
  type Curve,
  constant,
  constantWithWarmup,
  cosineWarmupWithMinLr,
  cosineWithHardRestarts,
  cosineWithWarmup,
  type InverseSqrtOptions,
  inverseSqrt,
  type LinearWithWarmupOptions,
  linearWithWarmup,
  type PolynomialDecayWithWarmupOptions,
  polynomialDecayWithWarmup,
  type WarmupStableDecayOptions,
  type WsdShape,
  warmupStableDecay,
} from './curves.ts';
export type {
  DType,
  NumericArray,
  OptimizerStateDict,
  SavedGroup,
  SavedParams,
  StateTensor,
  StateValue,
} from './dtype.ts';
export {
  type AnySchedulerOptions,
  getScheduler,
  type NeededSpecialOptions,
  type NeededStableSteps,
  type SchedulerArguments,
  type SchedulerClasses,
  type SchedulerName,
  type SchedulerOptions,
  SchedulerType,
  type SpecialOptions,
  type UnusedTrainingSteps,
  type WithoutSteps,
} from './get-scheduler.ts';
export { GreedyLR, type GreedyLROptions, getGreedySchedule } from './greedy.ts';
export { type Kernels, typescriptKernels } from './kernels.ts';
export { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from './low-precision.ts';
export { EpochScheduler, LambdaLR, type LastEpochOptions, LRScheduler } from './lr-scheduler.ts';
export { NonFiniteGradientError } from './non-finite.ts';
export { Optimizer } from './optimizer.ts';
export type { CommonOptions, ParamGroup, ParamGroupInput, Params } from './param-group.ts';
export { type Float16ArrayLike, Parameter } from './parameter.ts';
export { getReduceOnPlateauSchedule, ReduceLROnPlateau, type ReduceLROnPlateauOptions } from './plateau.ts';
export {
  ConstantSchedule,
  type ConstantScheduleOptions,
  ConstantScheduleWithWarmup,
  type ConstantScheduleWithWarmupOptions,
  CosineScheduleWithWarmup,
  type CosineScheduleWithWarmupOptions,
  CosineWarmupWithMinLrSchedule,
  type CosineWarmupWithMinLrScheduleOptions,
  type CosineWithHardRestartsScheduleOptions,
  CosineWithHardRestartsScheduleWithWarmup,
  type CosineWithMinLrScheduleOptions,
  CosineWithMinLrScheduleWithWarmup,
  getConstantSchedule,
  getConstantScheduleWithWarmup,
  getCosineScheduleWithWarmup,
  getCosineWithHardRestartsScheduleWithWarmup,
  getCosineWithMinLrScheduleWithWarmup,
  getCosineWithMinLrScheduleWithWarmupLrRate,
  getInverseSqrtSchedule,
  getLinearScheduleWithWarmup,
  getPolynomialDecayScheduleWithWarmup,
  getWsdSchedule,
  InverseSqrtSchedule,
  type InverseSqrtScheduleOptions,
  LinearScheduleWithWarmup,
  type LinearScheduleWithWarmupOptions,
  type MinLrOption,
  type PolynomialDecayScheduleOptions,
  PolynomialDecayScheduleWithWarmup,
  type StableStepsOption,
  WarmupStableDecaySchedule,
  type WarmupStableDecayScheduleOptions,
} from './schedules.ts';
