/**
 * What the metric-driven schedulers share: when a metric counts as better, and reading the options
 * and state they have in common.
 */
import { type Limits, number, oneOf, show } from '../core/check.ts';
import { own, scalar } from '../core/state-dict.ts';
import { atLeast0 } from './curve.ts';
import { numbers, savedCount } from './saved.ts';

/** Whether a smaller or a larger metric is better. */
export type MetricMode = 'min' | 'max';
/** Whether the threshold is a fraction of the best metric or a difference to it. */
export type ThresholdMode = 'rel' | 'abs';

/** How much better a metric must be to count. */
export interface Comparison {
  readonly mode: MetricMode;
  readonly threshold: number;
  readonly thresholdMode: ThresholdMode;
}

/** The metric that every other one is better than. */
export function worst(mode: MetricMode): number {
  return mode === 'min' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
}

/** As PyTorch's `_is_better`, operation by operation. */
export function isBetter(metric: number, best: number, { mode, threshold, thresholdMode }: Comparison): boolean {
  if (mode === 'min') return metric < (thresholdMode === 'rel' ? best * (1 - threshold) : best - threshold);
  return metric > (thresholdMode === 'rel' ? best * (1 + threshold) : best + threshold);
}

/** The metric of a step. NaN is never better, so it would use up the patience unseen: refused. */
export function checkMetric(where: string, metric: unknown): number {
  if (typeof metric !== 'number') {
    throw new TypeError(`${where}: metric must be a number, such as the validation loss, got ${show(metric)}`);
  }
  if (Number.isNaN(metric)) {
    throw new RangeError(`${where}: metric is NaN; nothing was changed. Look for the step where the loss became NaN`);
  }
  return metric;
}

export function checkComparison(
  label: (key: string) => string,
  mode: unknown,
  threshold: unknown,
  thresholdMode: unknown,
): Comparison {
  const comparison = {
    mode: oneOf(label('mode'), mode, ['min', 'max']),
    threshold: number(label('threshold'), threshold, { min: 0 }),
    thresholdMode: oneOf(label('thresholdMode'), thresholdMode, ['rel', 'abs']),
  };
  if (comparison.mode === 'min' && comparison.thresholdMode === 'rel' && !(comparison.threshold < 1)) {
    throw new RangeError(
      `${label('threshold')} must be less than 1 with thresholdMode: "rel", got ${show(threshold)}: ` +
        'no metric would count as better',
    );
  }
  return comparison;
}

/** One bound for all groups, or an array with one per group. */
export function checkBounds(label: string, value: unknown, groups: number): number[] {
  if (!Array.isArray(value)) return new Array<number>(groups).fill(atLeast0(label, value));
  if (value.length !== groups) {
    throw new RangeError(
      `${label} must be a number, or an array with one per group (the optimizer has ${groups}), got ${value.length}`,
    );
  }
  return value.map((bound, i) => atLeast0(`${label}[${i}]`, bound));
}

/** Reads the keys of a saved state: the check of each is given its label. */
export class Saved {
  readonly #where: string;
  readonly #dict: Record<string, unknown>;

  constructor(where: string, dict: Record<string, unknown>) {
    this.#where = where;
    this.#dict = dict;
  }

  /** How messages call a key. */
  readonly label = (key: string): string => `${this.#where}: ${key}`;

  get(key: string): unknown {
    return own(this.#dict, key);
  }

  count(key: string, least = 0): number {
    return savedCount(this.label(key), this.get(key), least);
  }

  number(key: string, limits: Limits = {}): number {
    return number(this.label(key), scalar(this.label(key), this.get(key)), limits);
  }

  /** How many items a list has; at most `most`, or it is to be refused. */
  length(key: string, most: number): number {
    const value = this.get(key);
    return Array.isArray(value) ? Math.min(value.length, most) : most;
  }

  numbers(key: string, groups: number): number[] {
    return numbers(this.label(key), this.get(key), groups, atLeast0);
  }

  /**
   * The best metric: any number but NaN, since a metric may be infinite. JSON makes null of the
   * infinity that it is before the first step; later an infinity could have been of either sign.
   */
  best(mode: MetricMode): number {
    const [label, value] = [this.label('best'), this.get('best')];
    if (value === null && this.count('last_epoch') === 0) return worst(mode);
    const best = scalar(label, value);
    if (Number.isNaN(best)) throw new TypeError(`${label} must be a number, got NaN`);
    return best;
  }

  comparison(): Comparison {
    return checkComparison(this.label, this.get('mode'), this.number('threshold'), this.get('threshold_mode'));
  }
}
