/**
 * Any schedule by its name, for training loops that take the name from a configuration. Importing this brings all schedules along;
 * a bundle with one schedule is smaller with its class.
 *
 * @module
 */
import { integer, oneOf, options, record, show } from '../core/check.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import type { ConstantWithWarmupOptions, LinearWithWarmupOptions } from './curves.ts';
import { type GreedyLR, type GreedyLROptions, getGreedySchedule } from './greedy.ts';
import {
  type ConstantSchedule,
  type ConstantScheduleWithWarmup,
  type CosineScheduleWithWarmup,
  type CosineScheduleWithWarmupOptions,
  type CosineWarmupWithMinLrSchedule,
  type CosineWarmupWithMinLrScheduleOptions,
  type CosineWithHardRestartsScheduleOptions,
  type CosineWithHardRestartsScheduleWithWarmup,
  type CosineWithMinLrScheduleOptions,
  type CosineWithMinLrScheduleWithWarmup,
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
  type InverseSqrtSchedule,
  type InverseSqrtScheduleOptions,
  type LinearScheduleWithWarmup,
  type PolynomialDecayScheduleOptions,
  type PolynomialDecayScheduleWithWarmup,
  type WarmupStableDecaySchedule,
  type WarmupStableDecayScheduleOptions,
} from './named.ts';
import { getReduceOnPlateauSchedule, type ReduceLROnPlateau, type ReduceLROnPlateauOptions } from './plateau.ts';
import type { LastEpochOptions, LRScheduler } from './scheduler.ts';

/** Class of the schedule of every name. */
export interface SchedulerClasses {
  /** Of `linear`. */
  linear: LinearScheduleWithWarmup;
  /** Of `cosine`. */
  cosine: CosineScheduleWithWarmup;
  /** Of `cosine_with_restarts`. */
  cosine_with_restarts: CosineWithHardRestartsScheduleWithWarmup;
  /** Of `polynomial`. */
  polynomial: PolynomialDecayScheduleWithWarmup;
  /** Of `constant`. */
  constant: ConstantSchedule;
  /** Of `constant_with_warmup`. */
  constant_with_warmup: ConstantScheduleWithWarmup;
  /** Of `inverse_sqrt`. */
  inverse_sqrt: InverseSqrtSchedule;
  /** Of `reduce_lr_on_plateau`. */
  reduce_lr_on_plateau: ReduceLROnPlateau;
  /** Of `cosine_with_min_lr`. */
  cosine_with_min_lr: CosineWithMinLrScheduleWithWarmup;
  /** Of `cosine_warmup_with_min_lr`. */
  cosine_warmup_with_min_lr: CosineWarmupWithMinLrSchedule;
  /** Of `warmup_stable_decay`. */
  warmup_stable_decay: WarmupStableDecaySchedule;
  /** Of `greedy`. */
  greedy: GreedyLR;
}

/** Name of a schedule, as in transformers. */
export type SchedulerName = keyof SchedulerClasses;

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
  numTrainingSteps?: number;
}

/** The number of stable steps where no total is given. */
export interface NeededStableSteps {
  /** Steps of the stable part. */
  numStableSteps: number;
}

/** What {@link getScheduler} takes with every name: the step counts, and all other options of the schedule. */
export interface SchedulerOptions {
  /** For `linear`. */
  linear: LinearWithWarmupOptions & SpecialOptions<LastEpochOptions>;
  /** For `cosine`. */
  cosine: LinearWithWarmupOptions & SpecialOptions<WithoutSteps<CosineScheduleWithWarmupOptions>>;
  /** For `cosine_with_restarts`. */
  cosine_with_restarts: LinearWithWarmupOptions & SpecialOptions<WithoutSteps<CosineWithHardRestartsScheduleOptions>>;
  /** For `polynomial`. */
  polynomial: LinearWithWarmupOptions & SpecialOptions<WithoutSteps<PolynomialDecayScheduleOptions>>;
  /** For `constant`. */
  constant: UnusedTrainingSteps & SpecialOptions<LastEpochOptions>;
  /** For `constant_with_warmup`. */
  constant_with_warmup: ConstantWithWarmupOptions & UnusedTrainingSteps & SpecialOptions<LastEpochOptions>;
  /** For `inverse_sqrt`. */
  inverse_sqrt: ConstantWithWarmupOptions &
    UnusedTrainingSteps &
    SpecialOptions<WithoutSteps<InverseSqrtScheduleOptions>>;
  /** For `reduce_lr_on_plateau`. */
  reduce_lr_on_plateau: UnusedTrainingSteps & SpecialOptions<ReduceLROnPlateauOptions>;
  /** For `cosine_with_min_lr`. */
  cosine_with_min_lr: LinearWithWarmupOptions & NeededSpecialOptions<WithoutSteps<CosineWithMinLrScheduleOptions>>;
  /** For `cosine_warmup_with_min_lr`. */
  cosine_warmup_with_min_lr: LinearWithWarmupOptions &
    NeededSpecialOptions<WithoutSteps<CosineWarmupWithMinLrScheduleOptions>>;
  /** For `warmup_stable_decay`. */
  warmup_stable_decay:
    | (LinearWithWarmupOptions & NeededSpecialOptions<WithoutSteps<WarmupStableDecayScheduleOptions>>)
    | (ConstantWithWarmupOptions &
        NeededSpecialOptions<WithoutSteps<WarmupStableDecayScheduleOptions> & NeededStableSteps>);
  /** For `greedy`. */
  greedy: UnusedTrainingSteps & SpecialOptions<GreedyLROptions>;
}

/** The options but the step counts; of a union, those of every member. */
export type WithoutSteps<O> = O extends unknown ? Omit<O, 'numWarmupSteps' | 'numTrainingSteps'> : never;

/** What {@link getScheduler} takes with a name that is only known when the program runs; it is checked then. */
export interface AnySchedulerOptions {
  /** Steps of warm-up; needed by all but `"constant"`, `"reduce_lr_on_plateau"` and `"greedy"`. */
  numWarmupSteps?: number;
  /** Steps of the whole training; needed by `"linear"`, `"polynomial"` and all cosines. */
  numTrainingSteps?: number;
  /** All other options of the schedule. */
  schedulerSpecificKwargs?: Record<string, unknown>;
}

/** The last argument of {@link getScheduler}: it can be left out where nothing is required. Of several names, any options. */
export type SchedulerArguments<N extends SchedulerName, Each extends SchedulerName = N> = Each extends unknown
  ? [N] extends [Each]
    ? Record<never, never> extends SchedulerOptions[Each]
      ? [o?: SchedulerOptions[Each]]
      : [o: SchedulerOptions[Each]]
    : [o?: AnySchedulerOptions]
  : never;

/** The names under the keys of transformers' enumeration: `SchedulerType.LINEAR` is `"linear"`, and so on. */
export const SchedulerType: Readonly<Record<string, SchedulerName>> & {
  /** `linear` */
  readonly LINEAR: 'linear';
  /** `cosine` */
  readonly COSINE: 'cosine';
  /** `cosine_with_restarts` */
  readonly COSINE_WITH_RESTARTS: 'cosine_with_restarts';
  /** `polynomial` */
  readonly POLYNOMIAL: 'polynomial';
  /** `constant` */
  readonly CONSTANT: 'constant';
  /** `constant_with_warmup` */
  readonly CONSTANT_WITH_WARMUP: 'constant_with_warmup';
  /** `inverse_sqrt` */
  readonly INVERSE_SQRT: 'inverse_sqrt';
  /** `reduce_lr_on_plateau` */
  readonly REDUCE_ON_PLATEAU: 'reduce_lr_on_plateau';
  /** `cosine_with_min_lr` */
  readonly COSINE_WITH_MIN_LR: 'cosine_with_min_lr';
  /** `cosine_warmup_with_min_lr` */
  readonly COSINE_WARMUP_WITH_MIN_LR: 'cosine_warmup_with_min_lr';
  /** `warmup_stable_decay` */
  readonly WARMUP_STABLE_DECAY: 'warmup_stable_decay';
  /** `greedy` */
  readonly GREEDY: 'greedy';
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

type StepKey = 'numWarmupSteps' | 'numTrainingSteps';

interface Entry {
  /** The step counts that are handed to the schedule, and those that it cannot do without. */
  readonly takes: readonly StepKey[];
  readonly needs: readonly StepKey[];
  readonly make: (optimizer: Optimizer, o: never) => LRScheduler;
}

const WARMUP: readonly StepKey[] = ['numWarmupSteps'];
const BOTH: readonly StepKey[] = ['numWarmupSteps', 'numTrainingSteps'];

const ENTRIES: Readonly<Record<SchedulerName, Entry>> = {
  linear: { takes: BOTH, needs: BOTH, make: getLinearScheduleWithWarmup },
  cosine: { takes: BOTH, needs: BOTH, make: getCosineScheduleWithWarmup },
  cosine_with_restarts: { takes: BOTH, needs: BOTH, make: getCosineWithHardRestartsScheduleWithWarmup },
  polynomial: { takes: BOTH, needs: BOTH, make: getPolynomialDecayScheduleWithWarmup },
  constant: { takes: [], needs: [], make: getConstantSchedule },
  constant_with_warmup: { takes: WARMUP, needs: WARMUP, make: getConstantScheduleWithWarmup },
  inverse_sqrt: { takes: WARMUP, needs: WARMUP, make: getInverseSqrtSchedule },
  reduce_lr_on_plateau: { takes: [], needs: [], make: getReduceOnPlateauSchedule },
  cosine_with_min_lr: { takes: BOTH, needs: BOTH, make: getCosineWithMinLrScheduleWithWarmup },
  cosine_warmup_with_min_lr: { takes: BOTH, needs: BOTH, make: getCosineWithMinLrScheduleWithWarmupLrRate },
  warmup_stable_decay: { takes: BOTH, needs: WARMUP, make: getWsdSchedule },
  greedy: { takes: [], needs: [], make: getGreedySchedule },
};

/**
 * The schedule of a name, with its options checked against the name at compile time. A name that is only known when the program runs
 * (a `SchedulerName`) takes {@link AnySchedulerOptions}.
 *
 * As in transformers the step counts may be given to any schedule; one that has no warm-up says so with a warning.
 *
 * @param name - As in transformers' `lr_scheduler_type`.
 * @param optimizer - As for the schedule's class.
 * @param rest - The step counts, and the schedule's other options (in camelCase) as `schedulerSpecificKwargs`.
 * @throws TypeError or RangeError when the name or an option is unknown, one is missing or out of range, or the schedule refuses the optimizer.
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
  const known = oneOf('getScheduler: name', name, Object.keys(ENTRIES) as SchedulerName[]);
  const { takes, needs, make } = ENTRIES[known];
  const where = `getScheduler(${show(known)})`;
  const given = options(where, rest[0], [...BOTH, 'schedulerSpecificKwargs']);
  const special = record(`${where}: schedulerSpecificKwargs`, given.schedulerSpecificKwargs ?? {});
  const steps: Record<string, number> = {};
  for (const key of BOTH) {
    if (Object.hasOwn(special, key)) {
      throw new RangeError(`${where}: give ${key} beside schedulerSpecificKwargs, not in it`);
    }
    if (given[key] === undefined) {
      if (needs.includes(key)) throw new RangeError(`${where}: ${key} is needed, such as { ${key}: 100 }`);
      continue;
    }
    const count = integer(`${where}: ${key}`, given[key]);
    if (takes.includes(key)) steps[key] = count;
    else if (key === 'numWarmupSteps' && count > 0) {
      console.warn(
        `${where}: this schedule has no warm-up, numWarmupSteps: ${count} is not used; "constant_with_warmup" has one`,
      );
    }
  }
  return make(optimizer, { ...special, ...steps } as never) as SchedulerClasses[N];
}
