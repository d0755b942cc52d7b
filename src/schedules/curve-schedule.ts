/**
 * The schedule of a curve as a class: it takes the curve's options beside the optimizer, under the
 * names that the curve carries. `named.ts` lists the classes.
 *
 * @module
 */
import { number, show } from '../core/check.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import {
  atLeast0OrNull,
  type Curve,
  type CurveKind,
  type CurveOption,
  type CurveValues,
  fractionOrNull,
  readOptions,
  stepsOrNull,
} from './curve.ts';
import type { CosineWithWarmupOptions, PolynomialDecayWithWarmupOptions, WarmupStableDecayOptions } from './curves.ts';
import {
  called,
  calledAs,
  checkOptimizer,
  LAST_EPOCH,
  LambdaLR,
  type LastEpochOptions,
  scheduledLr,
} from './scheduler.ts';

/** What tells one schedule with a curve from another. @internal */
export interface ScheduleKind {
  /** The class's name in messages, also where a bundler gave the class a short one. */
  readonly name: string;
  /** A kind of curve; what its options lack may come from the optimizer. */
  readonly curve: {
    readonly options: Readonly<Record<string, CurveOption<unknown>>>;
    readonly of: (values: never, where: string, optimizer: Optimizer) => Curve;
  };
}

/**
 * Base of the schedules that are a curve with options: `new LinearScheduleWithWarmup(optimizer, o)`
 * is `new LambdaLR(optimizer, linearWithWarmup(o))`, and messages bear the schedule's name. The
 * groups' learning rates are the initial ones. Options are those of the curve, and `lastEpoch`; one
 * that is unknown, missing or out of range is refused with a TypeError or RangeError, and so is an
 * optimizer that {@link LambdaLR} refuses.
 */
export abstract class CurveSchedule<O extends object> extends LambdaLR {
  /** @internal */
  declare static readonly kind: ScheduleKind;

  // Without a doc comment: editors then show that of the class that is made.
  constructor(optimizer: Optimizer, o: O) {
    const { curve } = new.target.kind;
    const [where, all] = called(new.target, o);
    checkOptimizer(where, optimizer, all);
    const { lastEpoch, ...values } = readOptions(where, { ...curve.options, ...LAST_EPOCH }, all);
    super(optimizer, curve.of(values as never, where, optimizer), calledAs<LastEpochOptions>(where, { lastEpoch }));
  }
}

/** The learning rate from which transformers computes factors. */
function defaultLr(where: string, optimizer: Optimizer, instead: string): number {
  for (const [i, group] of optimizer.paramGroups.entries()) scheduledLr(where, group, i);
  const { lr } = optimizer.defaults;
  if (typeof lr === 'number' && lr > 0) return lr;
  throw new RangeError(
    `${where}: the optimizer's own lr must be a number greater than 0, got ${show(lr)}; ` +
      `pass lr to the optimizer, or ${instead}`,
  );
}

type ScheduleCurve = ScheduleKind['curve'];

/** transformers' plain cosine has no minimum. @internal */
export function withoutMinLr(curve: CurveKind<CosineWithWarmupOptions>): ScheduleCurve {
  type Values = Omit<CurveValues<CosineWithWarmupOptions>, 'minLrRate'>;
  const { minLrRate: _, ...rest } = curve.options;
  return { options: rest, of: (o: Values, where) => curve.of({ ...o, minLrRate: 0 }, where) };
}

/** `lrInit` is the optimizer's default `lr`. @internal */
export function lrInitOfOptimizer(curve: CurveKind<PolynomialDecayWithWarmupOptions>): ScheduleCurve {
  type Values = Omit<CurveValues<PolynomialDecayWithWarmupOptions>, 'lrInit'>;
  const { lrInit: _, ...rest } = curve.options;
  const instead = 'use new LambdaLR(optimizer, polynomialDecayWithWarmup({ lrInit, ... }))';
  return {
    options: rest,
    of: (o: Values, where, optimizer) => curve.of({ ...o, lrInit: defaultLr(where, optimizer, instead) }, where),
  };
}

/** The lowest learning rate as such, or as a fraction of the initial one. @internal */
export function minLrOrRate<O extends { minLrRate?: number }>(curve: CurveKind<O>): ScheduleCurve {
  type Values = CurveValues<O> & { minLr: number | null; minLrRate: number | null };
  return {
    options: { ...curve.options, minLr: [atLeast0OrNull, null], minLrRate: [fractionOrNull, null] },
    of: ({ minLr, ...o }: Values, where, optimizer) => {
      if (minLr !== null && o.minLrRate !== null) throw new RangeError(`${where}: give minLr or minLrRate, not both`);
      if (minLr === null && o.minLrRate === null) {
        throw new RangeError(`${where}: give minLr, such as 1e-5, or minLrRate, such as 0.1`);
      }
      if (minLr === null) return curve.of(o as Values, where);
      const lr = defaultLr(where, optimizer, 'give minLrRate');
      const label = `${where}: minLr (a learning rate; the optimizer's own is ${lr})`;
      return curve.of({ ...o, minLrRate: number(label, minLr, { max: lr }) / lr } as Values, where);
    },
  };
}

/** The stable part by its own number, or what remains of the whole training. @internal */
export function stableOrTraining(curve: CurveKind<WarmupStableDecayOptions>): ScheduleCurve {
  type Given = CurveValues<Omit<WarmupStableDecayOptions, 'numStableSteps'>> & {
    numStableSteps: number | null;
    numTrainingSteps: number | null;
  };
  return {
    options: { ...curve.options, numStableSteps: [stepsOrNull, null], numTrainingSteps: [stepsOrNull, null] },
    of: ({ numStableSteps: stable, numTrainingSteps: training, ...o }: Given, where) => {
      if (training === null) {
        if (stable === null) throw new RangeError(`${where}: give numTrainingSteps or numStableSteps`);
        return curve.of({ ...o, numStableSteps: stable }, where);
      }
      const { numWarmupSteps: warmup, numDecaySteps: decay } = o;
      // Less than 0 where the other two parts are longer than the training: the curve goes on from
      // there.
      const remaining = training - warmup - decay;
      if (stable !== null && stable !== remaining) {
        console.warn(
          `${where}: numStableSteps ${stable} is used, and numTrainingSteps ${training} is not: with ${warmup} steps ` +
            `of warm-up and ${decay} of decay it would leave ${remaining} stable steps. Give only one of the two.`,
        );
      }
      return curve.of({ ...o, numStableSteps: stable ?? remaining }, where);
    },
  };
}
