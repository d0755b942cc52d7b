/**
 * Any schedule by its name, for training loops that take the name from a configuration. Importing
 * this brings all schedules along; a bundle with one schedule is smaller with its class.
 *
 * @module
 */
import { integer, isRecord, oneOf, options, record, show } from '../core/check.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import type { ScheduleKind } from './curve-schedule.ts';
import * as classes from './names.ts';
import { calledAs, checkOptimizer, isOptimizer, type LRScheduler } from './scheduler.ts';

/** Name of a schedule, as in transformers. */
export type SchedulerName = keyof typeof classes;

/** The schedule of every name. */
export type SchedulerClasses = { [N in SchedulerName]: InstanceType<(typeof classes)[N]> };

const STEP_COUNTS: readonly StepCount[] = ['numWarmupSteps', 'numTrainingSteps'];

/** A schedule's own options, where none is needed. */
export interface SpecialOptions<O> {
  /** All options of the schedule but the step counts. */
  schedulerSpecificKwargs?: O;
}

/** A schedule's own options, where one is needed. */
export interface NeededSpecialOptions<O> {
  /** All options of the schedule but the step counts. */
  schedulerSpecificKwargs: O;
}

/** For schedules without an end. */
export interface UnusedTrainingSteps {
  /** Steps of the whole training: taken, and not looked at. */
  numTrainingSteps?: number | null;
}

/** The number of stable steps where no total is given. */
export interface NeededStableSteps {
  /** Steps of the stable part. */
  numStableSteps: number;
}

/** A number of steps that {@link getScheduler} takes beside the other options. */
export type StepCount = 'numWarmupSteps' | 'numTrainingSteps';

/**
 * The step counts that are among a schedule's options; the number of training steps with every
 * schedule.
 */
export type StepCounts<O> = Pick<O, keyof O & StepCount> &
  ('numTrainingSteps' extends keyof O ? unknown : UnusedTrainingSteps);

/**
 * A schedule's options as {@link getScheduler} takes them: the step counts, and all others
 * together.
 */
export type ByName<O> = O extends unknown
  ? StepCounts<O> &
      (Record<never, never> extends WithoutSteps<O>
        ? SpecialOptions<WithoutSteps<O>>
        : NeededSpecialOptions<WithoutSteps<O>>)
  : never;

/**
 * What {@link getScheduler} takes with every name: the step counts, and all other options of the
 * schedule.
 */
export type SchedulerOptions = {
  [N in SchedulerName]: ByName<NonNullable<ConstructorParameters<(typeof classes)[N]>[1]>>;
};

/** The options but the step counts; of a union, those of every member. */
export type WithoutSteps<O> = O extends unknown ? Omit<O, 'numWarmupSteps' | 'numTrainingSteps'> : never;

/**
 * What {@link getScheduler} takes with a name that is only known when the program runs; it is
 * checked then.
 */
export interface AnySchedulerOptions {
  /** Steps of warm-up; needed by all but `"constant"`, `"reduce_lr_on_plateau"` and `"greedy"`. */
  numWarmupSteps?: number | null;
  /** Steps of the whole training; needed by `"linear"`, `"polynomial"` and all cosines. */
  numTrainingSteps?: number | null;
  /** All other options of the schedule. */
  schedulerSpecificKwargs?: Record<string, unknown> | null;
}

/**
 * The last argument of {@link getScheduler}: it can be left out where nothing is required. Of
 * several names, any options.
 */
export type SchedulerArguments<N extends SchedulerName, Each extends SchedulerName = N> = Each extends unknown
  ? [N] extends [Each]
    ? Record<never, never> extends SchedulerOptions[Each]
      ? [o?: SchedulerOptions[Each]]
      : [o: SchedulerOptions[Each]]
    : [o?: AnySchedulerOptions]
  : never;

/** The key of a name in transformers' enumeration. */
export type SchedulerKey<N extends SchedulerName> = N extends 'reduce_lr_on_plateau'
  ? 'REDUCE_ON_PLATEAU'
  : Uppercase<N>;

/**
 * The names under the keys of transformers' enumeration: `SchedulerType.LINEAR` is `"linear"`, and
 * so on.
 */
export const SchedulerType: Readonly<Record<string, SchedulerName>> & {
  readonly [N in SchedulerName as SchedulerKey<N>]: N;
} = /* @__PURE__ */ Object.freeze({
  LINEAR: 'linear',
  COSINE: 'cosine',
  COSINE_WITH_RESTARTS: 'cosine_with_restarts',
  POLYNOMIAL: 'polynomial',
  CONSTANT: 'constant',
  CONSTANT_WITH_WARMUP: 'constant_with_warmup',
  INVERSE_SQRT: 'inverse_sqrt',
  REDUCE_ON_PLATEAU: 'reduce_lr_on_plateau',
  COSINE_WITH_MIN_LR: 'cosine_with_min_lr',
  COSINE_WARMUP_WITH_MIN_LR: 'cosine_warmup_with_min_lr',
  WARMUP_STABLE_DECAY: 'warmup_stable_decay',
  GREEDY: 'greedy',
});

/**
 * The schedule of a name, with its options checked against the name at compile time. A name that is
 * only known when the program runs (a `SchedulerName`) takes {@link AnySchedulerOptions}.
 *
 * As in transformers the step counts may be given to any schedule; one that has no warm-up says so
 * with a warning.
 *
 * @param name - As in transformers' `lr_scheduler_type`.
 * @param optimizer - As for the schedule's class.
 * @param rest - The step counts, and the schedule's other options (in camelCase) as
 * `schedulerSpecificKwargs`.
 * @throws TypeError or RangeError when the name or an option is unknown, one is missing or out of
 * range, or the schedule refuses the optimizer.
 *
 * Source: transformers `get_scheduler`.
 *
 * @example
 * ```ts
 * const scheduler = getScheduler('polynomial', optimizer, {
 *   numWarmupSteps: 100,
 *   numTrainingSteps: 1000,
 *   schedulerSpecificKwargs: { power: 2 },
 * });
 * ```
 */
export function getScheduler<const N extends SchedulerName>(
  name: N,
  optimizer: Optimizer,
  ...rest: SchedulerArguments<N>
): SchedulerClasses[N] {
  if (isOptimizer(name)) throw new TypeError('getScheduler: the name comes first, then the optimizer');
  const type = oneOf('getScheduler: name', name, Object.values(SchedulerType)) as N;
  const where = `getScheduler(${show(type)})`;
  checkOptimizer(where, optimizer, rest[0]);
  // biome-ignore lint/performance/noDynamicNamespaceImportAccess: the name says which one
  const Schedule: new (optimizer: Optimizer, o: never) => LRScheduler = classes[type];
  // A schedule without a curve knows no step counts.
  const known = (Schedule as { kind?: ScheduleKind }).kind?.curve.options ?? {};
  const [o] = rest as [unknown?];
  if (typeof o === 'number') {
    throw new TypeError(
      `${where}: step counts go by name, such as { numWarmupSteps: ${show(o)}, numTrainingSteps: 1000 }`,
    );
  }
  for (const key of Object.keys(known)) {
    if ((STEP_COUNTS as readonly string[]).includes(key) || !isRecord(o) || !Object.hasOwn(o, key)) continue;
    throw new RangeError(
      `${where}: ${key} goes into schedulerSpecificKwargs, such as { schedulerSpecificKwargs: { ${key}: ... } }`,
    );
  }
  const given = options(where, o, [...STEP_COUNTS, 'schedulerSpecificKwargs']);
  const special = record(`${where}: schedulerSpecificKwargs`, given.schedulerSpecificKwargs ?? {});
  const counts: Record<string, number> = {};
  for (const key of STEP_COUNTS) {
    if (Object.hasOwn(special, key)) {
      throw new RangeError(`${where}: give ${key} beside schedulerSpecificKwargs, not in it`);
    }
    // None, as transformers has it, is left out.
    if ((given[key] ?? null) === null) {
      if (known[key]?.length === 1) {
        throw new RangeError(`${where}: ${key} is needed, such as { ${key}: 100 }`);
      }
      continue;
    }
    const count = integer(`${where}: ${key}`, given[key]);
    if (known[key] !== undefined) counts[key] = count;
    else if (key === 'numWarmupSteps' && count > 0) {
      console.warn(
        `${where}: this schedule has no warm-up, numWarmupSteps: ${count} is not used; "constant_with_warmup" has one`,
      );
    }
  }
  return new Schedule(optimizer, calledAs<never>(where, { ...special, ...counts })) as SchedulerClasses[N];
}
