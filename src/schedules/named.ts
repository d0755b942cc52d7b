/**
 * One class and one factory for every schedule with a curve that transformers documents. `new LinearScheduleWithWarmup(optimizer, o)` and
 * `getLinearScheduleWithWarmup(optimizer, o)` are the same; the factories bear the names of `transformers.optimization`.
 *
 * The formulas are beside the curves in `curves.ts`; semantics of stepping and resuming are in `lr-scheduler.ts`. Where transformers takes a
 * learning rate in place of a factor (`lrEnd`, `minLr`), the factor is that of the optimizer's default `lr`, for all groups.
 *
 * @module
 */
import { integer, number, options, show } from '../core/check.ts';
import type { StateValue } from '../core/dtype.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import {
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
  warmupStableDecay,
  warmupStableDecayOf,
} from './curves.ts';
import { checkOptimizer, LambdaLR, type LastEpochOptions, scheduledLr } from './scheduler.ts';

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
/** Options of {@link PolynomialDecayScheduleWithWarmup}; `lrInit` is the optimizer's default `lr`. */
export interface PolynomialDecayScheduleOptions
  extends Omit<PolynomialDecayWithWarmupOptions, 'lrInit'>,
    LastEpochOptions {}
/** Options of {@link InverseSqrtSchedule}. */
export interface InverseSqrtScheduleOptions extends InverseSqrtOptions, LastEpochOptions {}
/** The lowest learning rate of a cosine: as a rate, or as a fraction of the initial one. */
export type MinLrOption =
  | {
      /** Lowest learning rate where the group's is the optimizer's default `lr`; at most that. Other groups keep the ratio. */
      minLr: number;
      /** Not beside `minLr`. */
      minLrRate?: never;
    }
  | {
      /** Lowest learning rate as a fraction of the initial one, from 0 to 1. */
      minLrRate: number;
      /** Not beside `minLrRate`. */
      minLr?: never;
    };
/** Options of {@link CosineWithMinLrScheduleWithWarmup}: exactly one of `minLr` and `minLrRate`. */
export type CosineWithMinLrScheduleOptions = CosineScheduleWithWarmupOptions & MinLrOption;
/** Options of {@link CosineWarmupWithMinLrSchedule}: exactly one of `minLr` and `minLrRate`. */
export type CosineWarmupWithMinLrScheduleOptions = Omit<CosineWarmupWithMinLrOptions, 'minLrRate'> &
  LastEpochOptions &
  MinLrOption;
/** How long the stable part of {@link WarmupStableDecaySchedule} is: said, or what remains of the whole training. */
export type StableStepsOption =
  | {
      /** Steps of the whole training; the stable part is what warm-up and decay leave of it. */
      numTrainingSteps: number;
      /** Steps of the stable part; goes before `numTrainingSteps`. */
      numStableSteps?: number;
    }
  | {
      /** Steps of the stable part. */
      numStableSteps: number;
      /** Not needed beside `numStableSteps`. */
      numTrainingSteps?: never;
    };
/** Options of {@link WarmupStableDecaySchedule}: `numStableSteps` or `numTrainingSteps` is needed. */
export type WarmupStableDecayScheduleOptions = Omit<WarmupStableDecayOptions, 'numStableSteps'> &
  LastEpochOptions &
  StableStepsOption;

/** Splits a schedule's options into those of its curve, which checks their values, and `lastEpoch`; unknown ones are refused. */
function split<O extends object>(where: string, o: unknown, known: readonly string[]): [O, LastEpochOptions] {
  const { lastEpoch, ...rest } = options(where, o, [...known, 'lastEpoch']);
  return [rest as O, lastEpoch === undefined ? {} : { lastEpoch: lastEpoch as number }];
}

const TRAINING = ['numWarmupSteps', 'numTrainingSteps'] as const;
const MIN_LR = ['minLr', 'minLrRate'] as const;
const STABLE = ['numStableSteps', 'numTrainingSteps'] as const;

/** The learning rate from which transformers computes factors. */
function defaultLr(where: string, optimizer: Optimizer, instead: string): number {
  for (const [i, group] of checkOptimizer(where, optimizer).paramGroups.entries()) scheduledLr(where, group, i);
  const { lr } = optimizer.defaults;
  if (typeof lr === 'number' && lr > 0) return lr;
  throw new RangeError(
    `${where}: the optimizer's own lr must be a number greater than 0, got ${show(lr)}; pass lr to the optimizer, or ${instead}`,
  );
}

/** The lowest factor: `minLrRate`, or `minLr` as a fraction of the optimizer's default learning rate. */
function leastRate(where: string, optimizer: Optimizer, minLr: unknown, minLrRate: unknown): number {
  if (minLr !== undefined && minLrRate !== undefined)
    throw new RangeError(`${where}: give minLr or minLrRate, not both`);
  if (minLrRate !== undefined) return number(`${where}: minLrRate`, minLrRate, { min: 0, max: 1 });
  if (minLr === undefined) throw new RangeError(`${where}: give minLr, such as 1e-5, or minLrRate, such as 0.1`);
  const lr = defaultLr(where, optimizer, 'give minLrRate');
  return number(`${where}: minLr (a learning rate; the optimizer's own is ${lr})`, minLr, { min: 0, max: lr }) / lr;
}

/** As given, before one of the two is known to be there. */
interface MinLrGiven {
  minLr?: unknown;
  minLrRate?: unknown;
}

/**
 * {@link constant}: the learning rate that the optimizer was made with.
 *
 * Source: transformers `get_constant_schedule`.
 */
export class ConstantSchedule extends LambdaLR {
  /**
   * @param optimizer - Its groups' learning rates are the initial ones.
   * @param o - See {@link ConstantScheduleOptions}.
   * @throws TypeError or RangeError when an option is unknown, missing or out of range, or {@link LambdaLR} refuses the optimizer.
   */
  constructor(optimizer: Optimizer, o: ConstantScheduleOptions = {}) {
    super(optimizer, constant(), split('ConstantSchedule', o, [])[1]);
  }

  /** @internal */
  protected override savedCurve(): StateValue {
    return null;
  }
}

/** {@link ConstantSchedule} as transformers `get_constant_schedule` makes it. */
export function getConstantSchedule(optimizer: Optimizer, o: ConstantScheduleOptions = {}): ConstantSchedule {
  return new ConstantSchedule(optimizer, o);
}

/**
 * {@link constantWithWarmup}: linearly up from 0, then constant.
 *
 * Source: transformers `get_constant_schedule_with_warmup`.
 */
export class ConstantScheduleWithWarmup extends LambdaLR {
  /**
   * @param optimizer - Its groups' learning rates are the initial ones.
   * @param o - See {@link ConstantScheduleWithWarmupOptions}.
   * @throws TypeError or RangeError when an option is unknown, missing or out of range, or {@link LambdaLR} refuses the optimizer.
   */
  constructor(optimizer: Optimizer, o: ConstantScheduleWithWarmupOptions) {
    const [rest, last] = split<ConstantWithWarmupOptions>('ConstantScheduleWithWarmup', o, ['numWarmupSteps']);
    super(optimizer, constantWithWarmup(rest), last);
  }
}

/** {@link ConstantScheduleWithWarmup} as transformers `get_constant_schedule_with_warmup` makes it. */
export function getConstantScheduleWithWarmup(
  optimizer: Optimizer,
  o: ConstantScheduleWithWarmupOptions,
): ConstantScheduleWithWarmup {
  return new ConstantScheduleWithWarmup(optimizer, o);
}

/**
 * {@link linearWithWarmup}: linearly up from 0, then linearly down to 0.
 *
 * Source: transformers `get_linear_schedule_with_warmup`.
 */
export class LinearScheduleWithWarmup extends LambdaLR {
  /**
   * @param optimizer - Its groups' learning rates are the initial ones.
   * @param o - See {@link LinearScheduleWithWarmupOptions}.
   * @throws TypeError or RangeError when an option is unknown, missing or out of range, or {@link LambdaLR} refuses the optimizer.
   */
  constructor(optimizer: Optimizer, o: LinearScheduleWithWarmupOptions) {
    const [rest, last] = split<LinearWithWarmupOptions>('LinearScheduleWithWarmup', o, TRAINING);
    super(optimizer, linearWithWarmup(rest), last);
  }
}

/** {@link LinearScheduleWithWarmup} as transformers `get_linear_schedule_with_warmup` makes it. */
export function getLinearScheduleWithWarmup(
  optimizer: Optimizer,
  o: LinearScheduleWithWarmupOptions,
): LinearScheduleWithWarmup {
  return new LinearScheduleWithWarmup(optimizer, o);
}

/**
 * {@link cosineWithWarmup}: linearly up from 0, then down to 0 along a cosine.
 *
 * Source: transformers `get_cosine_schedule_with_warmup`.
 */
export class CosineScheduleWithWarmup extends LambdaLR {
  /**
   * @param optimizer - Its groups' learning rates are the initial ones.
   * @param o - See {@link CosineScheduleWithWarmupOptions}.
   * @throws TypeError or RangeError when an option is unknown, missing or out of range, or {@link LambdaLR} refuses the optimizer.
   */
  constructor(optimizer: Optimizer, o: CosineScheduleWithWarmupOptions) {
    const [rest, last] = split<CosineWithWarmupOptions>('CosineScheduleWithWarmup', o, [...TRAINING, 'numCycles']);
    super(optimizer, cosineWithWarmup(rest), last);
  }
}

/** {@link CosineScheduleWithWarmup} as transformers `get_cosine_schedule_with_warmup` makes it. */
export function getCosineScheduleWithWarmup(
  optimizer: Optimizer,
  o: CosineScheduleWithWarmupOptions,
): CosineScheduleWithWarmup {
  return new CosineScheduleWithWarmup(optimizer, o);
}

/**
 * {@link cosineWithHardRestarts}: linearly up from 0, then several times from the top to 0 along a cosine.
 *
 * Source: transformers `get_cosine_with_hard_restarts_schedule_with_warmup`.
 */
export class CosineWithHardRestartsScheduleWithWarmup extends LambdaLR {
  /**
   * @param optimizer - Its groups' learning rates are the initial ones.
   * @param o - See {@link CosineWithHardRestartsScheduleOptions}.
   * @throws TypeError or RangeError when an option is unknown, missing or out of range, or {@link LambdaLR} refuses the optimizer.
   */
  constructor(optimizer: Optimizer, o: CosineWithHardRestartsScheduleOptions) {
    const [rest, last] = split<CosineWithHardRestartsOptions>('CosineWithHardRestartsScheduleWithWarmup', o, [
      ...TRAINING,
      'numCycles',
    ]);
    super(optimizer, cosineWithHardRestarts(rest), last);
  }
}

/** {@link CosineWithHardRestartsScheduleWithWarmup} as transformers `get_cosine_with_hard_restarts_schedule_with_warmup` makes it. */
export function getCosineWithHardRestartsScheduleWithWarmup(
  optimizer: Optimizer,
  o: CosineWithHardRestartsScheduleOptions,
): CosineWithHardRestartsScheduleWithWarmup {
  return new CosineWithHardRestartsScheduleWithWarmup(optimizer, o);
}

/**
 * {@link polynomialDecayWithWarmup}: linearly up from 0, then down to `lrEnd` as a power. The initial learning rate of the formula is the
 * optimizer's default `lr`: a group with another one ends at the same fraction of its own.
 *
 * Source: transformers `get_polynomial_decay_schedule_with_warmup`.
 */
export class PolynomialDecayScheduleWithWarmup extends LambdaLR {
  /**
   * @param optimizer - Its groups' learning rates are the initial ones.
   * @param o - See {@link PolynomialDecayScheduleOptions}.
   * @throws TypeError or RangeError when an option is unknown, missing or out of range, or {@link LambdaLR} refuses the optimizer.
   */
  constructor(optimizer: Optimizer, o: PolynomialDecayScheduleOptions) {
    const where = 'PolynomialDecayScheduleWithWarmup';
    const [rest, last] = split<Omit<PolynomialDecayWithWarmupOptions, 'lrInit'>>(where, o, [
      ...TRAINING,
      'lrEnd',
      'power',
    ]);
    const lrInit = defaultLr(
      where,
      optimizer,
      'use new LambdaLR(optimizer, polynomialDecayWithWarmup({ lrInit, ... }))',
    );
    super(optimizer, polynomialDecayWithWarmup({ ...rest, lrInit }), last);
  }
}

/** {@link PolynomialDecayScheduleWithWarmup} as transformers `get_polynomial_decay_schedule_with_warmup` makes it. */
export function getPolynomialDecayScheduleWithWarmup(
  optimizer: Optimizer,
  o: PolynomialDecayScheduleOptions,
): PolynomialDecayScheduleWithWarmup {
  return new PolynomialDecayScheduleWithWarmup(optimizer, o);
}

/**
 * {@link inverseSqrt}: linearly up from 0, then down as 1 / √t, without an end.
 *
 * Source: transformers `get_inverse_sqrt_schedule`.
 */
export class InverseSqrtSchedule extends LambdaLR {
  /**
   * @param optimizer - Its groups' learning rates are the initial ones.
   * @param o - See {@link InverseSqrtScheduleOptions}.
   * @throws TypeError or RangeError when an option is unknown, missing or out of range, or {@link LambdaLR} refuses the optimizer.
   */
  constructor(optimizer: Optimizer, o: InverseSqrtScheduleOptions) {
    const [rest, last] = split<InverseSqrtOptions>('InverseSqrtSchedule', o, ['numWarmupSteps', 'timescale']);
    super(optimizer, inverseSqrt(rest), last);
  }
}

/** {@link InverseSqrtSchedule} as transformers `get_inverse_sqrt_schedule` makes it. */
export function getInverseSqrtSchedule(optimizer: Optimizer, o: InverseSqrtScheduleOptions): InverseSqrtSchedule {
  return new InverseSqrtSchedule(optimizer, o);
}

/**
 * {@link cosineWithWarmup} with `minLrRate`: linearly up from 0, then down along a cosine to a lowest learning rate above 0.
 *
 * Source: transformers `get_cosine_with_min_lr_schedule_with_warmup`.
 */
export class CosineWithMinLrScheduleWithWarmup extends LambdaLR {
  /**
   * @param optimizer - Its groups' learning rates are the initial ones.
   * @param o - See {@link CosineWithMinLrScheduleOptions}.
   * @throws TypeError or RangeError when an option is unknown, missing or out of range, or {@link LambdaLR} refuses the optimizer.
   */
  constructor(optimizer: Optimizer, o: CosineWithMinLrScheduleOptions) {
    const where = 'CosineWithMinLrScheduleWithWarmup';
    const [given, last] = split<CosineWithWarmupOptions & MinLrGiven>(where, o, [...TRAINING, 'numCycles', ...MIN_LR]);
    const { minLr, minLrRate, ...rest } = given;
    super(optimizer, cosineWithWarmup({ ...rest, minLrRate: leastRate(where, optimizer, minLr, minLrRate) }), last);
  }
}

/** {@link CosineWithMinLrScheduleWithWarmup} as transformers `get_cosine_with_min_lr_schedule_with_warmup` makes it. */
export function getCosineWithMinLrScheduleWithWarmup(
  optimizer: Optimizer,
  o: CosineWithMinLrScheduleOptions,
): CosineWithMinLrScheduleWithWarmup {
  return new CosineWithMinLrScheduleWithWarmup(optimizer, o);
}

/**
 * {@link cosineWarmupWithMinLr}: up from a learning rate above 0, then down along a cosine to a lowest one above 0, which the last step has.
 *
 * Source: transformers `get_cosine_with_min_lr_schedule_with_warmup_lr_rate`.
 */
export class CosineWarmupWithMinLrSchedule extends LambdaLR {
  /**
   * @param optimizer - Its groups' learning rates are the initial ones.
   * @param o - See {@link CosineWarmupWithMinLrScheduleOptions}.
   * @throws TypeError or RangeError when an option is unknown, missing or out of range, or {@link LambdaLR} refuses the optimizer.
   */
  constructor(optimizer: Optimizer, o: CosineWarmupWithMinLrScheduleOptions) {
    const where = 'CosineWarmupWithMinLrSchedule';
    const known = [...TRAINING, 'numCycles', 'warmupLrRate', ...MIN_LR];
    const [given, last] = split<CosineWarmupWithMinLrOptions & MinLrGiven>(where, o, known);
    const { minLr, minLrRate, ...rest } = given;
    super(
      optimizer,
      cosineWarmupWithMinLr({ ...rest, minLrRate: leastRate(where, optimizer, minLr, minLrRate) }),
      last,
    );
  }
}

/** {@link CosineWarmupWithMinLrSchedule} as transformers `get_cosine_with_min_lr_schedule_with_warmup_lr_rate` makes it. */
export function getCosineWithMinLrScheduleWithWarmupLrRate(
  optimizer: Optimizer,
  o: CosineWarmupWithMinLrScheduleOptions,
): CosineWarmupWithMinLrSchedule {
  return new CosineWarmupWithMinLrSchedule(optimizer, o);
}

/**
 * {@link warmupStableDecay}: up, constant, down, in three shapes each.
 *
 * With `numTrainingSteps` the stable part is what warm-up and decay leave of the training. Where they leave nothing, the decay is as though it
 * had begun before the warm-up ended, as in transformers: the training still ends on time, with a jump after the warm-up.
 * Where `numStableSteps` is given too and does not agree, it is what counts, with a warning.
 *
 * Source: transformers `get_wsd_schedule`.
 */
export class WarmupStableDecaySchedule extends LambdaLR {
  /**
   * @param optimizer - Its groups' learning rates are the initial ones.
   * @param o - See {@link WarmupStableDecayScheduleOptions}.
   * @throws TypeError or RangeError when an option is unknown, missing or out of range, or {@link LambdaLR} refuses the optimizer.
   */
  constructor(optimizer: Optimizer, o: WarmupStableDecayScheduleOptions) {
    const where = 'WarmupStableDecaySchedule';
    const shapes = ['warmupType', 'decayType', 'minLrRatio', 'numCycles'];
    const [rest, last] = split<WsdGiven>(where, o, ['numWarmupSteps', 'numDecaySteps', ...STABLE, ...shapes]);
    super(optimizer, wsdCurve(where, rest), last);
  }
}

/** {@link WarmupStableDecaySchedule} as transformers `get_wsd_schedule` makes it. */
export function getWsdSchedule(optimizer: Optimizer, o: WarmupStableDecayScheduleOptions): WarmupStableDecaySchedule {
  return new WarmupStableDecaySchedule(optimizer, o);
}

/** As given, before one of the two is known to be there. */
type WsdGiven = Omit<WarmupStableDecayOptions, 'numStableSteps'> & {
  numStableSteps?: number;
  numTrainingSteps?: number;
};

/** The curve of {@link WarmupStableDecaySchedule}: the stable part from its own number, or what remains of the training. */
function wsdCurve(where: string, o: WsdGiven): Curve {
  const { numTrainingSteps, numStableSteps, ...rest } = o;
  if (numTrainingSteps === undefined) {
    if (numStableSteps === undefined) throw new RangeError(`${where}: give numTrainingSteps or numStableSteps`);
    return warmupStableDecay({ ...rest, numStableSteps });
  }
  const training = integer(`${where}: numTrainingSteps`, numTrainingSteps);
  const warmup = integer(`${where}: numWarmupSteps`, o.numWarmupSteps);
  const decay = integer(`${where}: numDecaySteps`, o.numDecaySteps);
  const remaining = training - warmup - decay;
  if (numStableSteps === undefined) return warmupStableDecayOf(where, rest, remaining);
  const curve = warmupStableDecay({ ...rest, numStableSteps });
  if (numStableSteps !== remaining) {
    console.warn(
      `${where}: numStableSteps ${numStableSteps} is used, and numTrainingSteps ${training} is not: with ${warmup} steps of warm-up and ` +
        `${decay} of decay it would leave ${remaining} stable steps. Give only one of the two.`,
    );
  }
  return curve;
}
