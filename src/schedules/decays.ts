/**
 * The decays of `torch.optim.lr_scheduler` that are functions of the step, as curves. They have no
 * class and no name in transformers: `new LambdaLR(optimizer, step({ stepSize: 30 }))`.
 *
 * In PyTorch most of these multiply the learning rate of the step before; here each step is
 * computed from the initial one, which is the same but for rounding, and without its sum over many
 * steps.
 *
 * Everything that is exported here is public.
 *
 * @module
 */
import { boolean, integer, oneOf, show } from '../core/check.ts';
import { cos, pow } from '../core/math.ts';
import { above0, atLeast0, type CurveKind, curve, fraction, someSteps } from './curve.ts';

/** Options of {@link step}. */
export interface StepOptions {
  /** Steps from one drop to the next; at least 1. */
  stepSize: number;
  /** The factor of each drop, at least 0; default 0.1. */
  gamma?: number;
}

/** Options of {@link multiStep}. */
export interface MultiStepOptions {
  /** The steps at which the factor drops, in any order; one that stands twice drops twice. */
  milestones: readonly number[];
  /** The factor of each drop, at least 0; default 0.1. */
  gamma?: number;
}

/** Options of {@link exponential}. */
export interface ExponentialOptions {
  /** The factor of every step, at least 0. */
  gamma: number;
}

/** Options of {@link cosineAnnealing}. */
export interface CosineAnnealingOptions {
  /** Steps from the top to the bottom, at least 1: PyTorch's `T_max`. */
  tMax: number;
  /**
   * Lowest factor, from 0 to 1; default 0. PyTorch's `eta_min` is a learning rate: this times the
   * initial one.
   */
  minLrRate?: number;
}

/** Shape of the ways up and down of {@link oneCycle}. */
export type AnnealStrategy = 'cos' | 'linear';

/** Options of {@link oneCycle}. */
export interface OneCycleOptions {
  /** Steps of the whole cycle, at least 1. */
  totalSteps: number;
  /** Fraction of the steps on the way up, from 0 to 1; default 0.3. */
  pctStart?: number;
  /** Shape of the ways: `"cos"` (default) or `"linear"`. */
  annealStrategy?: AnnealStrategy;
  /** The first factor is 1 / `divFactor`; greater than 0, default 25. */
  divFactor?: number;
  /** The last factor is the first one / `finalDivFactor`; greater than 0, default 1e4. */
  finalDivFactor?: number;
  /**
   * Down to the first factor as fast as up, then to the last one. Default false: down to the last
   * one at once.
   */
  threePhase?: boolean;
}

/**
 * Down by `gamma` every `stepSize` steps: gamma^⌊t / stepSize⌋.
 *
 * `step({ stepSize: 2, gamma: 0.5 })` gives 1, 1, 0.5, 0.5, 0.25, ...
 *
 * Source: `torch.optim.lr_scheduler.StepLR`.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export const step: CurveKind<StepOptions> = /* @__PURE__ */ curve(
  'step',
  { stepSize: [someSteps], gamma: [atLeast0, 0.1] },
  ({ stepSize, gamma }) =>
    (t) =>
      pow(gamma, Math.floor(t / stepSize)),
);

/** An array of steps, in ascending order. */
function milestoneSteps(label: string, value: unknown): readonly number[] {
  if (!Array.isArray(value))
    throw new TypeError(`${label} must be an array of steps such as [30, 80], got ${show(value)}`);
  return value.map((milestone, i) => integer(`${label}[${i}]`, milestone)).sort((a, b) => a - b);
}

/**
 * Down by `gamma` at every milestone: gamma to the number of milestones that t has reached.
 *
 * `multiStep({ milestones: [2, 3], gamma: 0.5 })` gives 1, 1, 0.5, 0.25, 0.25, ...
 *
 * Source: `torch.optim.lr_scheduler.MultiStepLR`, which counts a repeated milestone as often as it
 * stands there too.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export const multiStep: CurveKind<MultiStepOptions> = /* @__PURE__ */ curve(
  'multiStep',
  { milestones: [milestoneSteps], gamma: [atLeast0, 0.1] },
  ({ milestones, gamma }) =>
    (t) => {
      const next = milestones.findIndex((milestone) => milestone > t);
      return pow(gamma, next === -1 ? milestones.length : next);
    },
);

/**
 * Down by `gamma` at every step: gamma^t.
 *
 * Source: `torch.optim.lr_scheduler.ExponentialLR`.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export const exponential: CurveKind<ExponentialOptions> = /* @__PURE__ */ curve(
  'exponential',
  { gamma: [atLeast0] },
  ({ gamma }) =>
    (t) =>
      pow(gamma, t),
);

/** From start to end, x from 0 to 1. */
function anneal(strategy: AnnealStrategy, start: number, end: number, x: number): number {
  return strategy === 'linear' ? (end - start) * x + start : end + ((start - end) / 2) * (cos(Math.PI * x) + 1);
}

/**
 * Down along half a cosine wave, then constant. With T = `tMax`, m = `minLrRate`:
 *
 * - t \< T: m + (1 − m) · (1 + cos πt / T) / 2
 * - then: m
 *
 * It holds at its end. PyTorch's CosineAnnealingLR goes up again after `T_max`, as {@link
 * cosineWithWarmup} does, of which this is the half-wave without warm-up.
 *
 * Source: `torch.optim.lr_scheduler.CosineAnnealingLR` up to `T_max`; Loshchilov & Hutter 2016,
 * arXiv:1608.03983.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export const cosineAnnealing: CurveKind<CosineAnnealingOptions> = /* @__PURE__ */ curve(
  'cosineAnnealing',
  { tMax: [someSteps], minLrRate: [fraction, 0] },
  ({ tMax, minLrRate }) =>
    (t) =>
      t < tMax ? anneal('cos', 1, minLrRate, t / tMax) : minLrRate,
);

/**
 * The 1cycle policy: up from 1 / `divFactor` to 1, then down to 1 / (`divFactor` ·
 * `finalDivFactor`), and constant from step `totalSteps` − 1 on. The factor is relative to the top
 * of the cycle: PyTorch's `max_lr` is the learning rate that the optimizer is made with.
 *
 * With T = `totalSteps`, p = `pctStart`, s = 1 / `divFactor`, e = s / `finalDivFactor` the corners
 * are
 *
 * - s at step 0, 1 at pT − 1, e at T − 1
 * - with `threePhase`: s at step 0, 1 at pT − 1, s at 2pT − 2, e at T − 1
 *
 * and between them the factor goes along half a cosine wave or a straight line; a corner may lie
 * between two steps.
 *
 * Momentum is not cycled: a curve is a factor of the learning rate alone. It is
 * `cycle_momentum=False` in PyTorch, whose default is to lower momentum (or beta1) from 0.95 to
 * 0.85 while the learning rate rises. To do so here, set the groups' `betas` beside
 * `scheduler.step()`. PyTorch refuses a step after T; here the factor stays.
 *
 * Source: `torch.optim.lr_scheduler.OneCycleLR`; Smith & Topin 2017, "Super-Convergence",
 * arXiv:1708.07120.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export const oneCycle: CurveKind<OneCycleOptions> = /* @__PURE__ */ curve(
  'oneCycle',
  {
    totalSteps: [someSteps],
    pctStart: [fraction, 0.3],
    annealStrategy: [(label, value) => oneOf(label, value, ['cos', 'linear']), 'cos'],
    divFactor: [above0, 25],
    finalDivFactor: [above0, 1e4],
    threePhase: [boolean, false],
  },
  ({ totalSteps, pctStart, annealStrategy, divFactor, finalDivFactor, threePhase }) => {
    const first = 1 / divFactor;
    const last = first / finalDivFactor;
    // Where each phase ends, and with which factor.
    const phases: [end: number, factor: number][] = [[pctStart * totalSteps - 1, 1]];
    if (threePhase) phases.push([2 * pctStart * totalSteps - 2, first]);
    phases.push([totalSteps - 1, last]);
    return (t) => {
      const now = Math.min(t, totalSteps - 1);
      const i = phases.findIndex(([end]) => now <= end);
      const [start, from] = phases[i - 1] ?? [0, first];
      const [end, to] = phases[i]!;
      // A phase of no length, at which PyTorch divides by zero, is over at once.
      return end === start ? to : anneal(annealStrategy, from, to, (now - start) / (end - start));
    };
  },
);
