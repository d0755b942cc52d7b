/**
 * What the package exports of the schedules. A curve of `curves.ts` or `decays.ts` and a class of
 * `named.ts` are exported with their file.
 */
export {
  AdafactorSchedule,
  type AdafactorScheduleOptions,
  getAdafactorSchedule,
} from './adafactor-schedule.ts';
export * from './by-name.ts';
export * from './compose.ts';
export type { Curve, CurveArguments, CurveKind } from './curve.ts';
export { CurveSchedule } from './curve-schedule.ts';
export * from './curves.ts';
export * from './decays.ts';
export { GreedyLR, type GreedyLROptions, getGreedySchedule } from './greedy.ts';
export type { MetricMode, ThresholdMode } from './metric.ts';
export * from './named.ts';
export { getReduceOnPlateauSchedule, ReduceLROnPlateau, type ReduceLROnPlateauOptions } from './plateau.ts';
export { EpochScheduler, LambdaLR, type LastEpochOptions, LRScheduler, type ScheduleFactory } from './scheduler.ts';
