/**
 * Raise the learning rate while a metric gets better, lower it when it does not.
 *
 * @module
 */
import { boolean, integer, number, options, record, show } from '../core/check.ts';
import type { StateValue } from '../core/dtype.ts';
import { checkKeys, own, scalar } from '../core/state-dict.ts';
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

/** Options of {@link GreedyLR}; names and defaults are those of transformers. */
export interface GreedyLROptions {
  /** `"min"` (default): smaller is better, as for a loss; `"max"`: larger, as for an accuracy. */
  mode?: MetricMode;
  /**
   * The learning rate is multiplied by it, or divided; greater than 0 and less than 1, default
   * 0.95.
   */
  factor?: number;
  /**
   * So many steps in a row of one kind, better or not, change nothing; a non-negative integer,
   * default 10.
   */
  patience?: number;
  /** How much better counts; at least 0, default 1e-6. */
  threshold?: number;
  /**
   * `"rel"`: better than best · (1 ∓ threshold), for positive metrics; `"abs"` (default): better
   * than best ∓ threshold.
   */
  thresholdMode?: ThresholdMode;
  /** Steps after a reduction in which nothing is counted; a non-negative integer, default 0. */
  cooldown?: number;
  /** Steps after a rise in which nothing is counted; a non-negative integer, default 0. */
  warmup?: number;
  /** Lowest learning rate: one for all groups, or an array with one per group; default 1e-3. */
  minLr?: number | readonly number[];
  /** Highest learning rate: one for all groups, or an array with one per group; default 1. */
  maxLr?: number | readonly number[];
  /** A change by this much or less is left out; at least 0, default 1e-8. */
  eps?: number;
  /** Print every change with console.log. Default false. */
  verbose?: boolean;
  /** Look at the mean of the last `windowSize` metrics in place of the metric. Default false. */
  smooth?: boolean;
  /** Metrics in the mean; an integer of at least 1, default 50. */
  windowSize?: number;
  /**
   * After so many reductions with all groups at `minLr` everything starts anew; a non-negative
   * integer, default 500.
   */
  resetStart?: number;
}

const OPTIONS = [
  'mode',
  'factor',
  'patience',
  'threshold',
  'thresholdMode',
  'cooldown',
  'warmup',
  'minLr',
  'maxLr',
  'eps',
  'verbose',
  'smooth',
  'windowSize',
  'resetStart',
] as const;
const KEYS = [
  'factor',
  'min_lrs',
  'max_lrs',
  'patience',
  'verbose',
  'cooldown',
  'warmup',
  'cooldown_counter',
  'warmup_counter',
  'mode',
  'threshold',
  'threshold_mode',
  'best',
  'num_bad_epochs',
  'num_good_epochs',
  'eps',
  'last_epoch',
  'smooth',
  'window_size',
  'reset_start',
  'reset_start_original',
  '_last_lr',
  '_init_lrs',
] as const;

/** The options, which a loaded state brings along, and all that changes. */
interface Greedy extends Comparison {
  readonly factor: number;
  readonly minLrs: readonly number[];
  readonly maxLrs: readonly number[];
  readonly patience: number;
  readonly cooldown: number;
  readonly warmup: number;
  readonly eps: number;
  readonly verbose: boolean;
  readonly windowSize: number;
  readonly resetStartOriginal: number;
  resetStart: number;
  cooldownCounter: number;
  warmupCounter: number;
  best: number;
  numBadEpochs: number;
  numGoodEpochs: number;
  /** null: not smoothed. */
  average: StreamingAverage | null;
}

/**
 * Mean of the last values. The sum is updated, not summed anew, so its rounding errors are part of
 * the state.
 */
class StreamingAverage {
  readonly windowSize: number;
  readonly values: number[];
  sum: number;

  constructor(windowSize: number, values: number[] = [], sum = 0) {
    this.windowSize = windowSize;
    this.values = values;
    this.sum = sum;
  }

  add(value: number): number {
    this.values.push(value);
    this.sum += value;
    if (this.values.length > this.windowSize) this.sum -= this.values.shift()!;
    return this.sum / this.values.length;
  }
}

/**
 * Divides every group's learning rate by `factor` when the metric has become better for more than
 * `patience` steps in a row, and multiplies it by `factor` when it has not for more than `patience`
 * steps, within `minLr` and `maxLr`. After `resetStart` reductions with all groups at `minLr`, the
 * learning rates and counters are those of the start again.
 *
 * The state dict holds the counters, the best metric, the values of the streaming average and the
 * options; loading takes the options from it, as in transformers.
 *
 * Source: transformers `GreedyLR` (`"greedy"`); "GreedyLR: A Novel Adaptive Learning Rate
 * Scheduler", arXiv:2512.14527.
 *
 * @example
 * ```ts
 * const options = { patience: 5, minLr: 1e-5, maxLr: 1e-2, smooth: true };
 * const scheduler = new GreedyLR(optimizer, options);
 * optimizer.step();
 * scheduler.step(loss);
 * ```
 */
export class GreedyLR extends LRScheduler {
  #state: Greedy;

  /**
   * @param optimizer - Its groups' learning rates are raised and lowered; construction does not
   * change them.
   * @param o - See {@link GreedyLROptions}.
   * @throws TypeError or RangeError when an option is unknown or out of range, or the optimizer is
   * a relative-step Adafactor.
   */
  constructor(optimizer: Optimizer, o: GreedyLROptions = {}) {
    const [where, all] = called(new.target, o);
    const lrs = checkOptimizer(where, optimizer, all).paramGroups.map((group, i) => scheduledLr(where, group, i));
    const given = options(where, all, OPTIONS);
    const label = (key: string): string => `${where}: ${key}`;
    const { mode = 'min', threshold = 1e-6, thresholdMode = 'abs', minLr = 1e-3, maxLr = 1 } = given;
    const { factor = 0.95, patience = 10, cooldown = 0, warmup = 0, eps = 1e-8, verbose = false } = given;
    const { smooth = false, windowSize = 50, resetStart = 500 } = given;
    const comparison = checkComparison(label, mode, threshold, thresholdMode);
    const window = integer(label('windowSize'), windowSize, { min: 1 });
    const reset = integer(label('resetStart'), resetStart);
    const state: Greedy = {
      ...comparison,
      factor: number(label('factor'), factor, { above: 0, below: 1 }),
      minLrs: checkBounds(label('minLr'), minLr, lrs.length),
      maxLrs: checkBounds(label('maxLr'), maxLr, lrs.length),
      patience: integer(label('patience'), patience),
      cooldown: integer(label('cooldown'), cooldown),
      warmup: integer(label('warmup'), warmup),
      eps: number(label('eps'), eps, { min: 0 }),
      verbose: boolean(label('verbose'), verbose),
      windowSize: window,
      resetStartOriginal: reset,
      resetStart: reset,
      cooldownCounter: 0,
      warmupCounter: 0,
      best: worst(comparison.mode),
      numBadEpochs: 0,
      numGoodEpochs: 0,
      average: boolean(label('smooth'), smooth) ? new StreamingAverage(window) : null,
    };
    checkOrder(label('minLr'), state.minLrs, state.maxLrs);
    super(optimizer, 0, lrs, lrs);
    this.#state = state;
  }

  /**
   * Looks at the metric (with `smooth` at the mean of the last ones) and changes the learning rates
   * when the patience is over.
   *
   * @param metric - The value that should get better.
   * @throws TypeError when it is missing or not a number; RangeError when it is NaN, or infinite
   * with `smooth`. Nothing has changed then.
   */
  override step(metric?: number): void {
    const where = 'GreedyLR.step';
    this.checkIdle();
    const state = this.#state;
    const groups = this.optimizer.paramGroups;
    let current = checkMetric(where, metric);
    if (state.average !== null && !Number.isFinite(current)) {
      throw new RangeError(
        `${where}: metric must be finite with smooth: true, got ${current}: the mean would stay NaN`,
      );
    }
    if (groups.length !== state.minLrs.length) {
      throw new RangeError(
        `${where}: the optimizer has ${groups.length} groups, but had ${state.minLrs.length} when this ` +
          'scheduler was made; make a new one',
      );
    }
    const lrs = groups.map((group, i) => atLeast0(`${where}: lr of group ${i}`, group.lr));

    if (state.average !== null) current = state.average.add(current);
    this.epoch++;
    if (state.cooldownCounter > 0 || state.warmupCounter > 0) {
      if (state.cooldownCounter > 0) state.cooldownCounter--;
      else state.warmupCounter--;
      state.numBadEpochs = 0;
      state.numGoodEpochs = 0;
    } else {
      if (isBetter(current, state.best, state)) {
        state.best = current;
        state.numBadEpochs = 0;
        state.numGoodEpochs++;
      } else {
        state.numBadEpochs++;
        state.numGoodEpochs = 0;
      }
      if (state.numGoodEpochs > state.patience) {
        this.#raise(lrs);
        state.warmupCounter = state.warmup;
        state.numGoodEpochs = 0;
      } else if (state.numBadEpochs > state.patience) {
        this.#lower(lrs);
        state.cooldownCounter = state.cooldown;
        state.numBadEpochs = 0;
      }
    }
    this.lastLrs = groups.map((group) => group.lr!);
  }

  #raise(lrs: readonly number[]): void {
    const state = this.#state;
    for (const [i, group] of this.optimizer.paramGroups.entries()) {
      const raised = Math.min(lrs[i]! / state.factor, state.maxLrs[i]!);
      if (!(raised - lrs[i]! > state.eps)) continue;
      group.lr = raised;
      this.#say(`increasing learning rate of group ${i} to ${raised.toExponential(4)}.`);
    }
    state.resetStart = state.resetStartOriginal;
  }

  #lower(lrs: readonly number[]): void {
    const state = this.#state;
    let allAtLeast = true;
    for (const [i, group] of this.optimizer.paramGroups.entries()) {
      const lowered = Math.max(lrs[i]! * state.factor, state.minLrs[i]!);
      if (lrs[i]! - lowered > state.eps) {
        group.lr = lowered;
        this.#say(`reducing learning rate of group ${i} to ${lowered.toExponential(4)}.`);
      }
      if (group.lr! > state.minLrs[i]!) allAtLeast = false;
    }
    if (allAtLeast && --state.resetStart <= 0) this.#reset();
  }

  #reset(): void {
    const state = this.#state;
    for (const [i, group] of this.optimizer.paramGroups.entries()) group.lr = this.bases[i]!;
    state.best = worst(state.mode);
    state.numGoodEpochs = 0;
    state.warmupCounter = 0;
    state.resetStart = state.resetStartOriginal;
    if (state.average !== null) state.average = new StreamingAverage(state.windowSize);
    this.#say('scheduler reset to its initial state.');
  }

  #say(what: string): void {
    if (this.#state.verbose) console.log(`Epoch ${this.epoch}: ${what}`);
  }

  override stateDict(): Record<string, StateValue> {
    const state = this.#state;
    const dict: Record<string, StateValue> = {
      factor: state.factor,
      min_lrs: [...state.minLrs],
      max_lrs: [...state.maxLrs],
      patience: state.patience,
      verbose: state.verbose,
      cooldown: state.cooldown,
      warmup: state.warmup,
      cooldown_counter: state.cooldownCounter,
      warmup_counter: state.warmupCounter,
      mode: state.mode,
      threshold: state.threshold,
      threshold_mode: state.thresholdMode,
      best: state.best,
      num_bad_epochs: state.numBadEpochs,
      num_good_epochs: state.numGoodEpochs,
      eps: state.eps,
      last_epoch: this.epoch,
      smooth: state.average !== null,
      window_size: state.windowSize,
      reset_start: state.resetStart,
      reset_start_original: state.resetStartOriginal,
      _last_lr: [...this.lastLrs],
      _init_lrs: [...this.bases],
    };
    const { average } = state;
    if (average !== null) {
      dict._streaming_avg = { window_size: average.windowSize, values: [...average.values], sum: average.sum };
    }
    return dict;
  }

  override prepareLoad(stateDict: Record<string, StateValue> | StateValue): () => void {
    const where = 'GreedyLR.loadStateDict';
    const dict = scheduleDict(where, stateDict, '_init_lrs');
    checkKeys(where, dict, KEYS, ['_streaming_avg']);
    const saved = new Saved(where, dict);
    const { label } = saved;
    const groups = this.optimizer.paramGroups.length;
    const windowSize = saved.count('window_size', 1);
    const comparison = saved.comparison();
    const state: Greedy = {
      ...comparison,
      factor: saved.number('factor', { above: 0, below: 1 }),
      minLrs: saved.numbers('min_lrs', groups),
      maxLrs: saved.numbers('max_lrs', groups),
      patience: saved.count('patience'),
      cooldown: saved.count('cooldown'),
      warmup: saved.count('warmup'),
      eps: saved.number('eps', { min: 0 }),
      verbose: boolean(label('verbose'), saved.get('verbose')),
      windowSize,
      resetStartOriginal: saved.count('reset_start_original'),
      resetStart: saved.count('reset_start'),
      cooldownCounter: saved.count('cooldown_counter'),
      warmupCounter: saved.count('warmup_counter'),
      best: saved.best(comparison.mode),
      numBadEpochs: saved.count('num_bad_epochs'),
      numGoodEpochs: saved.count('num_good_epochs'),
      average: boolean(label('smooth'), saved.get('smooth'))
        ? readAverage(label('_streaming_avg'), saved.get('_streaming_avg'), windowSize)
        : null,
    };
    checkOrder(label('min_lrs'), state.minLrs, state.maxLrs);
    const epoch = saved.count('last_epoch');
    const lastLrs = saved.numbers('_last_lr', groups);
    const bases = Object.freeze(saved.numbers('_init_lrs', groups));
    return () => {
      this.#state = state;
      this.epoch = epoch;
      this.bases = bases;
      this.restoreLrs(lastLrs);
    };
  }
}

function checkOrder(label: string, minLrs: readonly number[], maxLrs: readonly number[]): void {
  for (const [i, least] of minLrs.entries()) {
    if (!(least <= maxLrs[i]!)) {
      throw new RangeError(`${label} must be at most maxLr, got ${least} and ${maxLrs[i]} for group ${i}`);
    }
  }
}

function readAverage(label: string, value: unknown, windowSize: number): StreamingAverage {
  const dict = record(label, value);
  checkKeys(label, dict, ['window_size', 'values', 'sum']);
  const window = `${label}.window_size`;
  const size = integer(window, scalar(window, own(dict, 'window_size')), { min: windowSize, max: windowSize });
  const values = own(dict, 'values');
  if (!Array.isArray(values) || values.length > size) {
    throw new RangeError(`${label}.values must be an array of at most ${size} numbers, got ${show(values)}`);
  }
  const read = (key: string, value: unknown): number => number(`${label}.${key}`, scalar(`${label}.${key}`, value));
  return new StreamingAverage(
    size,
    values.map((item, i) => read(`values[${i}]`, item)),
    read('sum', own(dict, 'sum')),
  );
}

/** {@link GreedyLR} as transformers `get_greedy_schedule` makes it. */
export const getGreedySchedule: ScheduleFactory<typeof GreedyLR> = /* @__PURE__ */ factory(
  'getGreedySchedule',
  GreedyLR,
);
