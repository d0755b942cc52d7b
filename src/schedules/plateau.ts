/**
 * Lower the learning rate when a metric no longer gets better.
 *
 * @module
 */
import { integer, number, options } from '../core/check.ts';
import type { StateValue } from '../core/dtype.ts';
import { checkKeys } from '../core/state-dict.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import { atLeast0 } from './curve.ts';
import {
  type Comparison,
  checkBounds,
  checkComparison,
  checkMetric,
  isBetter,
  type MetricMode,
  Saved,
  type ThresholdMode,
  worst,
} from './metric.ts';
import { scheduleDict } from './saved.ts';
import { called, checkOptimizer, factory, LRScheduler, type ScheduleFactory, scheduledLr } from './scheduler.ts';

/** Options of {@link ReduceLROnPlateau}; names and defaults are those of PyTorch. */
export interface ReduceLROnPlateauOptions {
  /** `"min"` (default): smaller is better, as for a loss; `"max"`: larger, as for an accuracy. */
  mode?: MetricMode;
  /** The learning rate is multiplied by it; at least 0 and less than 1, default 0.1. */
  factor?: number;
  /**
   * So many steps in a row without a better metric are put up with; a non-negative integer, default
   * 10.
   */
  patience?: number;
  /** How much better counts; at least 0, default 1e-4. */
  threshold?: number;
  /**
   * `"rel"` (default): better than best · (1 ∓ threshold), for positive metrics; `"abs"`: better
   * than best ∓ threshold.
   */
  thresholdMode?: ThresholdMode;
  /**
   * Steps after a reduction in which worse metrics are not counted; a non-negative integer, default
   * 0.
   */
  cooldown?: number;
  /** Lowest learning rate: one for all groups, or an array with one per group; default 0. */
  minLr?: number | readonly number[];
  /** A reduction by this much or less is left out; at least 0, default 1e-8. */
  eps?: number;
}

const OPTIONS = ['mode', 'factor', 'patience', 'threshold', 'thresholdMode', 'cooldown', 'minLr', 'eps'] as const;
const KEYS = [
  'factor',
  'min_lrs',
  'patience',
  'cooldown',
  'eps',
  'last_epoch',
  'mode_worse',
  'mode',
  'threshold',
  'threshold_mode',
  'best',
  'cooldown_counter',
  'num_bad_epochs',
] as const;

/** All that changes, and the options, which a loaded state brings along. */
interface Plateau extends Comparison {
  readonly factor: number;
  readonly patience: number;
  readonly cooldown: number;
  readonly eps: number;
  /** The one bound for all groups, also later ones; null where there is one per group. */
  readonly defaultMinLr: number | null;
  minLrs: number[];
  best: number;
  cooldownCounter: number;
  numBadEpochs: number;
}

/**
 * Multiplies every group's learning rate by `factor` when the metric has not become better for more
 * than `patience` steps. A step is one look at the metric, usually once per epoch after validation:
 * `scheduler.step(loss)`.
 *
 * The state dict holds the counters, the best metric and the options; loading takes the options
 * from it, as in PyTorch.
 *
 * Source: `torch.optim.lr_scheduler.ReduceLROnPlateau` (transformers: `"reduce_lr_on_plateau"`).
 *
 * @example
 * ```ts
 * const scheduler = new ReduceLROnPlateau(optimizer, { factor: 0.5, patience: 2 });
 * for (let epoch = 0; epoch < 20; epoch++) {
 *   train();
 *   scheduler.step(validationLoss());
 * }
 * ```
 */
export class ReduceLROnPlateau extends LRScheduler {
  #state: Plateau;

  /**
   * @param optimizer - Its groups' learning rates are lowered; construction does not change them.
   * @param o - See {@link ReduceLROnPlateauOptions}.
   * @throws TypeError or RangeError when an option is unknown or out of range, or the optimizer is
   * a relative-step Adafactor.
   */
  constructor(optimizer: Optimizer, o: ReduceLROnPlateauOptions = {}) {
    const [where, all] = called(new.target, o);
    const lrs = checkOptimizer(where, optimizer, all).paramGroups.map((group, i) => scheduledLr(where, group, i));
    const given = options(where, all, OPTIONS);
    const label = (key: string): string => `${where}: ${key}`;
    const { mode = 'min', threshold = 1e-4, thresholdMode = 'rel', minLr = 0 } = given;
    const { factor = 0.1, patience = 10, cooldown = 0, eps = 1e-8 } = given;
    const comparison = checkComparison(label, mode, threshold, thresholdMode);
    const state: Plateau = {
      ...comparison,
      factor: number(label('factor'), factor, { min: 0, below: 1 }),
      patience: integer(label('patience'), patience),
      cooldown: integer(label('cooldown'), cooldown),
      eps: number(label('eps'), eps, { min: 0 }),
      defaultMinLr: Array.isArray(minLr) ? null : (minLr as number),
      minLrs: checkBounds(label('minLr'), minLr, lrs.length),
      best: worst(comparison.mode),
      cooldownCounter: 0,
      numBadEpochs: 0,
    };
    super(optimizer, 0, lrs, lrs);
    this.#state = state;
  }

  /**
   * Looks at the metric and lowers the learning rates when the patience is over.
   *
   * @param metric - The value that should get better. Infinity counts as any other number.
   * @throws TypeError when it is missing or not a number, RangeError when it is NaN; nothing has
   * changed then.
   */
  override step(metric?: number): void {
    const where = 'ReduceLROnPlateau.step';
    this.checkIdle();
    const current = checkMetric(where, metric);
    this.#checkGroups(where);
    const groups = this.optimizer.paramGroups;
    const lrs = groups.map((group, i) => atLeast0(`${where}: lr of group ${i}`, group.lr));
    const state = this.#state;
    this.epoch++;
    if (isBetter(current, state.best, state)) {
      state.best = current;
      state.numBadEpochs = 0;
    } else state.numBadEpochs++;
    if (state.cooldownCounter > 0) {
      state.cooldownCounter--;
      state.numBadEpochs = 0;
    }
    if (state.numBadEpochs > state.patience) {
      for (const [i, group] of groups.entries()) {
        const lowered = Math.max(lrs[i]! * state.factor, state.minLrs[i]!);
        if (lrs[i]! - lowered > state.eps) group.lr = lrs[i] = lowered;
      }
      state.cooldownCounter = state.cooldown;
      state.numBadEpochs = 0;
    }
    this.lastLrs = lrs;
  }

  /** A group that was added gets the bound of all groups, where there is one. */
  #checkGroups(where: string): void {
    const state = this.#state;
    const groups = this.optimizer.paramGroups;
    if (groups.length === state.minLrs.length) return;
    if (state.defaultMinLr === null) {
      throw new RangeError(`${where}: ${tooFewBounds(state.minLrs.length, groups.length)}`);
    }
    state.minLrs = groups.map(() => state.defaultMinLr ?? 0);
    this.lastLrs = groups.map((group, i) => this.lastLrs[i] ?? group.lr ?? 0);
  }

  override stateDict(): Record<string, StateValue> {
    this.#checkGroups('ReduceLROnPlateau.stateDict');
    const state = this.#state;
    return {
      factor: state.factor,
      default_min_lr: state.defaultMinLr,
      min_lrs: [...state.minLrs],
      patience: state.patience,
      cooldown: state.cooldown,
      eps: state.eps,
      last_epoch: this.epoch,
      _last_lr: [...this.lastLrs],
      mode_worse: worst(state.mode),
      mode: state.mode,
      threshold: state.threshold,
      threshold_mode: state.thresholdMode,
      best: state.best,
      cooldown_counter: state.cooldownCounter,
      num_bad_epochs: state.numBadEpochs,
    };
  }

  override prepareLoad(stateDict: Record<string, StateValue> | StateValue): () => void {
    const where = 'ReduceLROnPlateau.loadStateDict';
    const dict = scheduleDict(where, stateDict, 'mode_worse');
    checkKeys(where, dict, KEYS, ['default_min_lr', '_last_lr', 'verbose']);
    const saved = new Saved(where, dict);
    const comparison = saved.comparison();
    const state: Plateau = {
      ...comparison,
      ...this.#savedBounds(where, saved),
      factor: saved.number('factor', { min: 0, below: 1 }),
      patience: saved.count('patience'),
      cooldown: saved.count('cooldown'),
      eps: saved.number('eps', { min: 0 }),
      best: saved.best(comparison.mode),
      cooldownCounter: saved.count('cooldown_counter'),
      numBadEpochs: saved.count('num_bad_epochs'),
    };
    const epoch = saved.count('last_epoch');
    const lastLrs = this.#savedLastLrs(saved);
    return () => {
      this.#state = state;
      this.epoch = epoch;
      this.restoreLrs(lastLrs);
    };
  }

  /**
   * The bounds. PyTorch before 2.6 does not save the common one: newer releases then keep that of
   * construction, and so does this. There may be fewer than groups, when one was added after the
   * last reduction: the next one gives all groups the common bound.
   */
  #savedBounds(where: string, saved: Saved): Pick<Plateau, 'defaultMinLr' | 'minLrs'> {
    const groups = this.optimizer.paramGroups.length;
    const given = saved.get('default_min_lr');
    let { defaultMinLr } = this.#state;
    if (given !== undefined) defaultMinLr = given === null ? null : saved.number('default_min_lr', { min: 0 });
    const count = saved.length('min_lrs', groups);
    const minLrs = saved.numbers('min_lrs', count);
    if (count === groups) return { defaultMinLr, minLrs };
    if (defaultMinLr === null) throw new RangeError(`${where}: ${tooFewBounds(count, groups)}`);
    return { defaultMinLr, minLrs: new Array<number>(groups).fill(defaultMinLr) };
  }

  /** PyTorch 2.0 has none before the first step. */
  #savedLastLrs(saved: Saved): readonly number[] {
    const groups = this.optimizer.paramGroups;
    if (saved.get('_last_lr') === undefined) return this.lastLrs;
    // As few as the bounds, where a group was added after the last step.
    const count = saved.length('_last_lr', groups.length);
    const lrs = saved.numbers('_last_lr', count === saved.length('min_lrs', groups.length) ? count : groups.length);
    return groups.map((group, i) => lrs[i] ?? group.lr ?? 0);
  }
}

function tooFewBounds(bounds: number, groups: number): string {
  return (
    `minLr has ${bounds} items but the optimizer now has ${groups} groups; ` +
    'make a new scheduler, or give one minLr for all groups'
  );
}

/** {@link ReduceLROnPlateau} as transformers `get_reduce_on_plateau_schedule` makes it. */
export const getReduceOnPlateauSchedule: ScheduleFactory<typeof ReduceLROnPlateau> = /* @__PURE__ */ factory(
  'getReduceOnPlateauSchedule',
  ReduceLROnPlateau,
);
