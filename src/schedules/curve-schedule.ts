/**
 * The schedule of a curve as a class: it takes the curve's options beside the optimizer, under the names
 * that the curve carries. `named.ts` lists the classes.
 *
 * @module
 */
import { integer, number, options, show } from '../core/check.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import { type Curve, type CurveOption, readOptions } from './curve.ts';
import { called, calledAs, checkOptimizer, LambdaLR, type LastEpochOptions, scheduledLr } from './scheduler.ts';

type Options = Readonly<Record<string, unknown>>;

/** The options of a schedule where they are not those of its curve. @internal */
export interface ScheduleAdapter {
  /** Options of the curve that the schedule has not. */
  readonly without: readonly string[];
  /** Options of the schedule that the curve has not. */
  readonly also: readonly string[];
  /** The curve's options, checked by `read`, of those that were given. */
  readonly values: (read: (o: Options) => Options, o: Options, where: string, optimizer: Optimizer) => Options;
}

/** What tells one schedule with a curve from another. @internal */
export interface ScheduleKind {
  /** The class's name in messages, also where a bundler gave the class a short one. */
  readonly name: string;
  readonly curve: {
    readonly options: Readonly<Record<string, CurveOption<unknown>>>;
    readonly of: (values: never, where: string) => Curve;
  };
  readonly adapter?: ScheduleAdapter;
}

/** The names of a schedule's options, `lastEpoch` excepted. @internal */
export function optionNames({ curve, adapter }: ScheduleKind): string[] {
  const names = Object.keys(curve.options);
  if (adapter === undefined) return names;
  return [...names.filter((name) => !adapter.without.includes(name)), ...adapter.also];
}

/** Whether a schedule cannot do without an option of its curve. @internal */
export function isNeeded({ curve }: ScheduleKind, name: string): boolean {
  return Object.hasOwn(curve.options, name) && curve.options[name]!.length === 1;
}

/** A class derived by a user is called by its own name. */
function nameOf(Schedule: typeof CurveSchedule): string {
  return Object.hasOwn(Schedule, 'kind') ? Schedule.kind.name : Schedule.name;
}

/**
 * Base of the schedules that are a curve with options: `new LinearScheduleWithWarmup(optimizer, o)` is
 * `new LambdaLR(optimizer, linearWithWarmup(o))`, and messages bear the schedule's name.
 */
export abstract class CurveSchedule<O extends object> extends LambdaLR {
  /** @internal */
  declare static readonly kind: ScheduleKind;

  /**
   * @param optimizer - Its groups' learning rates are the initial ones.
   * @param o - Those of the curve, and `lastEpoch`.
   * @throws TypeError or RangeError when an option is unknown, missing or out of range, or {@link LambdaLR}
   * refuses the optimizer.
   */
  constructor(optimizer: Optimizer, o: O) {
    const { kind } = new.target;
    const { curve, adapter } = kind;
    const [where, all] = called(nameOf(new.target), o);
    checkOptimizer(where, optimizer, all);
    const { lastEpoch, ...given } = options(where, all, [...optionNames(kind), 'lastEpoch']);
    const read = (own: Options): Options => readOptions(where, curve.options, own);
    const values = adapter === undefined ? read(given) : adapter.values(read, given, where, optimizer);
    super(optimizer, curve.of(values as never, where), calledAs<LastEpochOptions>(where, { lastEpoch }));
  }

  /** @internal */
  protected override get label(): string {
    return nameOf(this.constructor as typeof CurveSchedule);
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

/** `lrInit` is the optimizer's default `lr`. @internal */
export const lrInitOfOptimizer: ScheduleAdapter = {
  without: ['lrInit'],
  also: [],
  values: (read, o, where, optimizer) => {
    const instead = 'use new LambdaLR(optimizer, polynomialDecayWithWarmup({ lrInit, ... }))';
    return read({ ...o, lrInit: defaultLr(where, optimizer, instead) });
  },
};

/** transformers' plain cosine has no minimum. @internal */
export const withoutMinLr: ScheduleAdapter = {
  without: ['minLrRate'],
  also: [],
  values: (read, o) => read(o),
};

/** The lowest learning rate as such, or as a fraction of the initial one. null is left out, as in Python. @internal */
export const minLrOrRate: ScheduleAdapter = {
  without: ['minLrRate'],
  also: ['minLr', 'minLrRate'],
  values: (read, o, where, optimizer) => {
    const { minLr, minLrRate, ...rest } = o;
    if ((minLr ?? null) !== null && (minLrRate ?? null) !== null) {
      throw new RangeError(`${where}: give minLr or minLrRate, not both`);
    }
    if ((minLrRate ?? null) !== null) return read({ ...rest, minLrRate });
    if ((minLr ?? null) === null) {
      throw new RangeError(`${where}: give minLr, such as 1e-5, or minLrRate, such as 0.1`);
    }
    const lr = defaultLr(where, optimizer, 'give minLrRate');
    const label = `${where}: minLr (a learning rate; the optimizer's own is ${lr})`;
    return read({ ...rest, minLrRate: number(label, minLr, { min: 0, max: lr }) / lr });
  },
};

/** The stable part by its own number, or what remains of the whole training. null is left out. @internal */
export const stableOrTraining: ScheduleAdapter = {
  without: ['numStableSteps'],
  also: ['numStableSteps', 'numTrainingSteps'],
  values: (read, o, where) => {
    const { numTrainingSteps, ...rest } = o;
    const numStableSteps = rest.numStableSteps ?? null;
    if ((numTrainingSteps ?? null) === null) {
      if (numStableSteps === null) throw new RangeError(`${where}: give numTrainingSteps or numStableSteps`);
      return read(rest);
    }
    const training = integer(`${where}: numTrainingSteps`, numTrainingSteps);
    const values = read({ ...rest, numStableSteps: numStableSteps ?? 0 });
    const [warmup, decay] = [values.numWarmupSteps as number, values.numDecaySteps as number];
    // Less than 0 where the other two parts are longer than the training: the curve goes on from there.
    const remaining = training - warmup - decay;
    if (numStableSteps === null) return { ...values, numStableSteps: remaining };
    if (numStableSteps !== remaining) {
      console.warn(
        `${where}: numStableSteps ${numStableSteps} is used, and numTrainingSteps ${training} is not: with ${warmup} ` +
          `steps of warm-up and ${decay} of decay it would leave ${remaining} stable steps. Give only one of the two.`,
      );
    }
    return values;
  },
};
