/**
 * One class and one factory for every schedule with a curve that transformers documents. `new
 * LinearScheduleWithWarmup(optimizer, o)` and `getLinearScheduleWithWarmup(optimizer, o)` are the
 * same; the factories bear the names of `transformers.optimization`.
 *
 * Formulas stand beside the curves in `curves.ts`. Where transformers takes a learning rate in
 * place of a factor (`lrEnd`, `minLr`), the factor is that of the optimizer's default `lr`, for all
 * groups.
 *
 * Everything that is exported here is public.
 *
 * @module
 */
import type { StateValue } from '../core/dtype.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import {
  CurveSchedule,
  lrInitOfOptimizer,
  minLrOrRate,
  type ScheduleKind,
  stableOrTraining,
  withoutMinLr,
} from './curve-schedule.ts';
import {
  type ConstantWithWarmupOptions,
  type CosineWarmupWithMinLrOptions,
  type CosineWithHardRestartsOptions,
  type CosineWithWarmupOptions,
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
  warmupStableDecay,
} from './curves.ts';
import { factory, type LastEpochOptions, type ScheduleFactory } from './scheduler.ts';

/** Options of {@link ConstantSchedule}. */
export type ConstantScheduleOptions = LastEpochOptions;
/** Options of {@link ConstantScheduleWithWarmup}. */
export interface ConstantScheduleWithWarmupOptions extends ConstantWithWarmupOptions, LastEpochOptions {}
/** Options of {@link LinearScheduleWithWarmup}. */
export interface LinearScheduleWithWarmupOptions extends LinearWithWarmupOptions, LastEpochOptions {}
/** Options of {@link CosineScheduleWithWarmup}. */
export interface CosineScheduleWithWarmupOptions extends Omit<CosineWithWarmupOptions, 'minLrRate'>, LastEpochOptions {}
/** Options of {@link CosineWithHardRestartsScheduleWithWarmup}. */
export interface CosineWithHardRestartsScheduleOptions extends CosineWithHardRestartsOptions, LastEpochOptions {}
/**
 * Options of {@link PolynomialDecayScheduleWithWarmup}; `lrInit` is the optimizer's default `lr`.
 */
export interface PolynomialDecayScheduleOptions
  extends Omit<PolynomialDecayWithWarmupOptions, 'lrInit'>,
    LastEpochOptions {}
/** Options of {@link InverseSqrtSchedule}. */
export interface InverseSqrtScheduleOptions extends InverseSqrtOptions, LastEpochOptions {}
/** The lowest learning rate of a cosine: as a rate, or as a fraction of the initial one. */
export type MinLrOption =
  | {
      /**
       * Lowest learning rate where the group's is the optimizer's default `lr`; at most that. Other
       * groups keep the ratio.
       */
      minLr: number;
      /** Not beside `minLr`. */
      minLrRate?: null;
    }
  | {
      /** Lowest learning rate as a fraction of the initial one, from 0 to 1. */
      minLrRate: number;
      /** Not beside `minLrRate`. */
      minLr?: null;
    };
/** Options of {@link CosineWithMinLrScheduleWithWarmup}: exactly one of `minLr` and `minLrRate`. */
export type CosineWithMinLrScheduleOptions = CosineScheduleWithWarmupOptions & MinLrOption;
/** Options of {@link CosineWarmupWithMinLrSchedule}: exactly one of `minLr` and `minLrRate`. */
export type CosineWarmupWithMinLrScheduleOptions = Omit<CosineWarmupWithMinLrOptions, 'minLrRate'> &
  LastEpochOptions &
  MinLrOption;
/**
 * How long the stable part of {@link WarmupStableDecaySchedule} is: said, or what remains of the
 * whole training.
 */
export type StableStepsOption =
  | {
      /** Steps of the whole training; the stable part is what warm-up and decay leave of it. */
      numTrainingSteps: number;
      /** Steps of the stable part; goes before `numTrainingSteps`. */
      numStableSteps?: number | null;
    }
  | {
      /** Steps of the stable part. */
      numStableSteps: number;
      /** Not needed beside `numStableSteps`. */
      numTrainingSteps?: null;
    };
/**
 * Options of {@link WarmupStableDecaySchedule}: `numStableSteps` or `numTrainingSteps` is needed.
 */
export type WarmupStableDecayScheduleOptions = Omit<WarmupStableDecayOptions, 'numStableSteps'> &
  LastEpochOptions &
  StableStepsOption;

/**
 * {@link constant}: the learning rate that the optimizer was made with.
 *
 * Source: transformers `get_constant_schedule`.
 */
export class ConstantSchedule extends CurveSchedule<ConstantScheduleOptions> {
  static override readonly kind: ScheduleKind = { name: 'ConstantSchedule', curve: constant };

  constructor(optimizer: Optimizer, o: ConstantScheduleOptions = {}) {
    super(optimizer, o);
  }

  /** PyTorch has a plain function here. @internal */
  protected override savedCurve(): StateValue {
    return null;
  }
}

/** {@link ConstantSchedule} as transformers `get_constant_schedule` makes it. */
export const getConstantSchedule: ScheduleFactory<typeof ConstantSchedule> = /* @__PURE__ */ factory(
  'getConstantSchedule',
  ConstantSchedule,
);

/**
 * {@link constantWithWarmup}: linearly up from 0, then constant.
 *
 * Source: transformers `get_constant_schedule_with_warmup`.
 */
export class ConstantScheduleWithWarmup extends CurveSchedule<ConstantScheduleWithWarmupOptions> {
  static override readonly kind: ScheduleKind = { name: 'ConstantScheduleWithWarmup', curve: constantWithWarmup };
}

/**
 * {@link ConstantScheduleWithWarmup} as transformers `get_constant_schedule_with_warmup` makes it.
 */
export const getConstantScheduleWithWarmup: ScheduleFactory<typeof ConstantScheduleWithWarmup> =
  /* @__PURE__ */ factory('getConstantScheduleWithWarmup', ConstantScheduleWithWarmup);

/**
 * {@link linearWithWarmup}: linearly up from 0, then linearly down to 0.
 *
 * Source: transformers `get_linear_schedule_with_warmup`.
 */
export class LinearScheduleWithWarmup extends CurveSchedule<LinearScheduleWithWarmupOptions> {
  static override readonly kind: ScheduleKind = { name: 'LinearScheduleWithWarmup', curve: linearWithWarmup };
}

/** {@link LinearScheduleWithWarmup} as transformers `get_linear_schedule_with_warmup` makes it. */
export const getLinearScheduleWithWarmup: ScheduleFactory<typeof LinearScheduleWithWarmup> = /* @__PURE__ */ factory(
  'getLinearScheduleWithWarmup',
  LinearScheduleWithWarmup,
);

/**
 * {@link cosineWithWarmup}: linearly up from 0, then down to 0 along a cosine.
 *
 * Source: transformers `get_cosine_schedule_with_warmup`.
 */
export class CosineScheduleWithWarmup extends CurveSchedule<CosineScheduleWithWarmupOptions> {
  static override readonly kind: ScheduleKind = {
    name: 'CosineScheduleWithWarmup',
    curve: /* @__PURE__ */ withoutMinLr(cosineWithWarmup),
  };
}

/** {@link CosineScheduleWithWarmup} as transformers `get_cosine_schedule_with_warmup` makes it. */
export const getCosineScheduleWithWarmup: ScheduleFactory<typeof CosineScheduleWithWarmup> = /* @__PURE__ */ factory(
  'getCosineScheduleWithWarmup',
  CosineScheduleWithWarmup,
);

/**
 * {@link cosineWithHardRestarts}: linearly up from 0, then several times from the top to 0 along a
 * cosine.
 *
 * Source: transformers `get_cosine_with_hard_restarts_schedule_with_warmup`.
 */
export class CosineWithHardRestartsScheduleWithWarmup extends CurveSchedule<CosineWithHardRestartsScheduleOptions> {
  static override readonly kind: ScheduleKind = {
    name: 'CosineWithHardRestartsScheduleWithWarmup',
    curve: cosineWithHardRestarts,
  };
}

/**
 * {@link CosineWithHardRestartsScheduleWithWarmup} as transformers
 * `get_cosine_with_hard_restarts_schedule_with_warmup` makes it.
 */
export const getCosineWithHardRestartsScheduleWithWarmup: ScheduleFactory<
  typeof CosineWithHardRestartsScheduleWithWarmup
> = /* @__PURE__ */ factory('getCosineWithHardRestartsScheduleWithWarmup', CosineWithHardRestartsScheduleWithWarmup);

/**
 * {@link polynomialDecayWithWarmup}: linearly up from 0, then down to `lrEnd` as a power. The
 * initial learning rate of the formula is the optimizer's default `lr`: a group with another one
 * ends at the same fraction of its own.
 *
 * Source: transformers `get_polynomial_decay_schedule_with_warmup`.
 */
export class PolynomialDecayScheduleWithWarmup extends CurveSchedule<PolynomialDecayScheduleOptions> {
  static override readonly kind: ScheduleKind = {
    name: 'PolynomialDecayScheduleWithWarmup',
    curve: /* @__PURE__ */ lrInitOfOptimizer(polynomialDecayWithWarmup),
  };
}

/**
 * {@link PolynomialDecayScheduleWithWarmup} as transformers
 * `get_polynomial_decay_schedule_with_warmup` makes it.
 */
export const getPolynomialDecayScheduleWithWarmup: ScheduleFactory<typeof PolynomialDecayScheduleWithWarmup> =
  /* @__PURE__ */ factory('getPolynomialDecayScheduleWithWarmup', PolynomialDecayScheduleWithWarmup);

/**
 * {@link inverseSqrt}: linearly up from 0, then down as 1 / √t, without an end.
 *
 * Source: transformers `get_inverse_sqrt_schedule`.
 */
export class InverseSqrtSchedule extends CurveSchedule<InverseSqrtScheduleOptions> {
  static override readonly kind: ScheduleKind = { name: 'InverseSqrtSchedule', curve: inverseSqrt };
}

/** {@link InverseSqrtSchedule} as transformers `get_inverse_sqrt_schedule` makes it. */
export const getInverseSqrtSchedule: ScheduleFactory<typeof InverseSqrtSchedule> = /* @__PURE__ */ factory(
  'getInverseSqrtSchedule',
  InverseSqrtSchedule,
);

/**
 * {@link cosineWithWarmup} with `minLrRate`: linearly up from 0, then down along a cosine to a
 * lowest learning rate above 0.
 *
 * Source: transformers `get_cosine_with_min_lr_schedule_with_warmup`.
 */
export class CosineWithMinLrScheduleWithWarmup extends CurveSchedule<CosineWithMinLrScheduleOptions> {
  static override readonly kind: ScheduleKind = {
    name: 'CosineWithMinLrScheduleWithWarmup',
    curve: /* @__PURE__ */ minLrOrRate(cosineWithWarmup),
  };
}

/**
 * {@link CosineWithMinLrScheduleWithWarmup} as transformers
 * `get_cosine_with_min_lr_schedule_with_warmup` makes it.
 */
export const getCosineWithMinLrScheduleWithWarmup: ScheduleFactory<typeof CosineWithMinLrScheduleWithWarmup> =
  /* @__PURE__ */ factory('getCosineWithMinLrScheduleWithWarmup', CosineWithMinLrScheduleWithWarmup);

/**
 * {@link cosineWarmupWithMinLr}: up from a learning rate above 0, then down along a cosine to a
 * lowest one above 0, which the last step has.
 *
 * Source: transformers `get_cosine_with_min_lr_schedule_with_warmup_lr_rate`.
 */
export class CosineWarmupWithMinLrSchedule extends CurveSchedule<CosineWarmupWithMinLrScheduleOptions> {
  static override readonly kind: ScheduleKind = {
    name: 'CosineWarmupWithMinLrSchedule',
    curve: /* @__PURE__ */ minLrOrRate(cosineWarmupWithMinLr),
  };
}

/**
 * {@link CosineWarmupWithMinLrSchedule} as transformers
 * `get_cosine_with_min_lr_schedule_with_warmup_lr_rate` makes it.
 */
export const getCosineWithMinLrScheduleWithWarmupLrRate: ScheduleFactory<typeof CosineWarmupWithMinLrSchedule> =
  /* @__PURE__ */ factory('getCosineWithMinLrScheduleWithWarmupLrRate', CosineWarmupWithMinLrSchedule);

/**
 * {@link warmupStableDecay}: up, constant, down, in three shapes each.
 *
 * With `numTrainingSteps` the stable part is what warm-up and decay leave of the training. Where
 * they leave nothing, the decay is as though it had begun before the warm-up ended, as in
 * transformers: the training still ends on time, with a jump after the warm-up. Where
 * `numStableSteps` is given too and does not agree, it is what counts, with a warning.
 *
 * Source: transformers `get_wsd_schedule`.
 */
export class WarmupStableDecaySchedule extends CurveSchedule<WarmupStableDecayScheduleOptions> {
  static override readonly kind: ScheduleKind = {
    name: 'WarmupStableDecaySchedule',
    curve: /* @__PURE__ */ stableOrTraining(warmupStableDecay),
  };
}

/** {@link WarmupStableDecaySchedule} as transformers `get_wsd_schedule` makes it. */
export const getWsdSchedule: ScheduleFactory<typeof WarmupStableDecaySchedule> = /* @__PURE__ */ factory(
  'getWsdSchedule',
  WarmupStableDecaySchedule,
);
