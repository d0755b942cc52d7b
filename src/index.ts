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
export { NonFiniteGradientError } from './core/gradient.ts';
export { type GradientOf, Parameter, type ParameterOptions } from './core/parameter.ts';
export type { Float16ArrayLike } from './core/typed-array.ts';
export { type Kernels, typescriptKernels } from './engine/kernels.ts';
export type { Memory } from './engine/memory.ts';
export { GradientAccumulator, type GradientSum } from './gradients/accumulator.ts';
export { clipGradNorm, clipGradValue } from './gradients/clip.ts';
export * from './optimizers/list.ts';
export { Optimizer } from './optimizers/optimizer.ts';
export type { AnyOption, CommonOptions, ParamGroup, ParamGroupInput, Params } from './optimizers/param-group.ts';
export {
  type WeightDecayGroup,
  type WeightDecayGroupsOptions,
  weightDecayGroups,
} from './optimizers/weight-decay-groups.ts';
export {
  AdafactorSchedule,
  type AdafactorScheduleOptions,
  getAdafactorSchedule,
} from './schedules/adafactor-schedule.ts';
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
} from './schedules/by-name.ts';
export { chain, type SequentialPart, scale, sequential } from './schedules/compose.ts';
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
} from './schedules/curves.ts';
export { GreedyLR, type GreedyLROptions, getGreedySchedule } from './schedules/greedy.ts';
export type { MetricMode, ThresholdMode } from './schedules/metric.ts';
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
} from './schedules/named.ts';
export { getReduceOnPlateauSchedule, ReduceLROnPlateau, type ReduceLROnPlateauOptions } from './schedules/plateau.ts';
export { EpochScheduler, LambdaLR, type LastEpochOptions, LRScheduler } from './schedules/scheduler.ts';
export { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from './sixteen/low-precision.ts';
