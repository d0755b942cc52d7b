/**
 * Learning-rate curves: pure functions from the step to the factor by which the initial learning
 * rate is multiplied.
 *
 * A curve needs no optimizer: print it, plot it, test it, or use it in another training loop. To
 * attach one to an optimizer use the classes in `named.ts`, or `LambdaLR` for a curve of your own;
 * `compose.ts` joins and multiplies curves.
 *
 * All follow Hugging Face transformers (`transformers/optimization.py`, release 5.23) operation by
 * operation, with `pow` and `cos` from `core/math.ts` instead of the C library's, so the values are
 * Python's but for at most one unit in the last place.
 *
 * Every curve takes a non-negative integer (0 is the first training step) and refuses anything else
 * with a TypeError or RangeError: a schedule has no value between two steps, and a NaN would spread
 * into the weights.
 *
 * @module
 */
import { integer, oneOf } from '../core/check.ts';
import { cos, pow } from '../core/math.ts';
import { above0, atLeast0, type CurveKind, curve, fraction, fractionOrNull, someStepsOrNull } from './curve.ts';

/** Options of {@link constantWithWarmup}. */
export interface ConstantWithWarmupOptions {
  /** Steps of linear warm-up before the constant part; 0 for none. */
  numWarmupSteps: number;
}

/** Options of {@link linearWithWarmup}. */
export interface LinearWithWarmupOptions {
  /** Steps of linear warm-up; 0 for none. They are part of `numTrainingSteps`. */
  numWarmupSteps: number;
  /** Steps of the whole training, warm-up included: where the curve reaches its end value. */
  numTrainingSteps: number;
}

/** Options of {@link cosineWithWarmup}. */
export interface CosineWithWarmupOptions extends LinearWithWarmupOptions {
  /**
   * Waves between warm-up and end, at least 0; default 0.5: half a wave, from the top to the
   * bottom. Need not be whole.
   */
  numCycles?: number;
  /**
   * Lowest factor, from 0 to 1; default 0. The wave runs between 1 and it. The warm-up starts at 0
   * all the same.
   */
  minLrRate?: number;
}

/** Options of {@link cosineWithHardRestarts}. */
export interface CosineWithHardRestartsOptions extends LinearWithWarmupOptions {
  /** Half-waves between warm-up and end, each starting at 1 again; at least 0, default 1. */
  numCycles?: number;
}

/** Options of {@link cosineWarmupWithMinLr}. */
export interface CosineWarmupWithMinLrOptions extends LinearWithWarmupOptions {
  /** Waves between warm-up and end, at least 0; default 0.5. */
  numCycles?: number;
  /** Lowest factor of the cosine part, from 0 to 1. */
  minLrRate: number;
  /**
   * Factor at step 0, from 0 to 1. Default null: the warm-up starts one step up, that is
   * at 1 / `numWarmupSteps`.
   */
  warmupLrRate?: number | null;
}

/** Options of {@link polynomialDecayWithWarmup}. */
export interface PolynomialDecayWithWarmupOptions extends LinearWithWarmupOptions {
  /**
   * The learning rate that the curve will be multiplied with; greater than `lrEnd`. A schedule
   * class takes the optimizer's default.
   */
  lrInit: number;
  /** Learning rate at the end, at least 0: a rate, not a factor. Default 1e-7. */
  lrEnd?: number;
  /** Exponent of the decay, at least 0; default 1, a straight line. */
  power?: number;
}

/** Options of {@link inverseSqrt}. */
export interface InverseSqrtOptions {
  /** Steps of linear warm-up; 0 for none. */
  numWarmupSteps: number;
  /**
   * Steps after the warm-up in which the curve falls to 1 / √2; at least 1. Default null:
   * `numWarmupSteps`, or 10000 without warm-up.
   */
  timescale?: number | null;
}

/** Shape of the warm-up and of the decay of {@link warmupStableDecay}. */
export type WsdShape = 'linear' | 'cosine' | '1-sqrt';

/** Options of {@link warmupStableDecay}. */
export interface WarmupStableDecayOptions {
  /** Steps of warm-up; 0 for none. */
  numWarmupSteps: number;
  /** Steps at 1 between warm-up and decay. */
  numStableSteps: number;
  /** Steps of decay; 0 drops to `minLrRatio` at once. */
  numDecaySteps: number;
  /** Shape of the warm-up; default `"linear"`. */
  warmupType?: WsdShape;
  /** Shape of the decay; default `"cosine"`. */
  decayType?: WsdShape;
  /** Factor at the first step, and from the end of the decay on; from 0 to 1, default 0. */
  minLrRatio?: number;
  /** Waves in a cosine decay, at least 0; default 0.5. */
  numCycles?: number;
}

/** One of the shapes. */
function shape(label: string, value: unknown): WsdShape {
  return oneOf(label, value, ['linear', 'cosine', '1-sqrt']);
}

/** step / warmup, on the way up; the caller has made sure that step < warmup. */
function rising(step: number, warmup: number): number {
  return step / Math.max(1, warmup);
}

/** How much of the way from the warm-up's to the training's end is done; goes on past 1. */
function progress(step: number, warmup: number, training: number): number {
  return (step - warmup) / Math.max(1, training - warmup);
}

/**
 * 1 at every step.
 *
 * Source: transformers `get_constant_schedule`.
 */
export const constant: CurveKind<Record<never, never>> = /* @__PURE__ */ curve('constant', {}, () => () => 1);

/**
 * A linear warm-up from 0, then 1. With w = `numWarmupSteps`:
 *
 * - t \< w: t / w
 * - then: 1
 *
 * `constantWithWarmup({ numWarmupSteps: 4 })` gives 0, 0.25, 0.5, 0.75, 1, 1, ...
 *
 * Source: transformers `get_constant_schedule_with_warmup`. Goyal et al. 2017, arXiv:1706.02677,
 * section 2.2 argue for a gradual warm-up.
 *
 * @throws TypeError or RangeError when `numWarmupSteps` is not a non-negative integer, or an option
 * is unknown.
 */
export const constantWithWarmup: CurveKind<ConstantWithWarmupOptions> = /* @__PURE__ */ curve(
  'constantWithWarmup',
  { numWarmupSteps: [integer] },
  ({ numWarmupSteps: warmup }) =>
    (t) =>
      t < warmup ? rising(t, warmup) : 1,
);

/**
 * A linear warm-up from 0 to 1, then linearly down to 0. With w = `numWarmupSteps`, T =
 * `numTrainingSteps`:
 *
 * - t \< w: t / w
 * - w ≤ t \< T: (T − t) / (T − w)
 * - T ≤ t: 0
 *
 * `linearWithWarmup({ numWarmupSteps: 2, numTrainingSteps: 6 })` gives 0, 0.5, 1, 0.75, 0.5, 0.25,
 * 0, 0, ...
 *
 * A warm-up as long as the training or longer is taken: the curve rises up to step w − 1 and is 0
 * from step w on.
 *
 * Source: transformers `get_linear_schedule_with_warmup`; Devlin et al. 2018, "BERT",
 * arXiv:1810.04805, appendix A.2.
 *
 * @throws TypeError or RangeError when a step count is not a non-negative integer, or an option is
 * unknown.
 */
export const linearWithWarmup: CurveKind<LinearWithWarmupOptions> = /* @__PURE__ */ curve(
  'linearWithWarmup',
  { numWarmupSteps: [integer], numTrainingSteps: [integer] },
  ({ numWarmupSteps: warmup, numTrainingSteps: training }) => {
    const decay = Math.max(1, training - warmup);
    return (t) => (t < warmup ? rising(t, warmup) : Math.max(0, (training - t) / decay));
  },
);

/**
 * A linear warm-up from 0 to 1, then a cosine wave from 1 down to `minLrRate`. With w =
 * `numWarmupSteps`, T = `numTrainingSteps`, c = `numCycles`, m = `minLrRate`:
 *
 * - t \< w: t / w
 * - then: m + (1 − m) · (1 + cos 2πc (t − w) / (T − w)) / 2
 *
 * The wave goes on past T, as in transformers: with half a wave the factor rises again after the
 * last step. To hold it there, end with `sequential([curve, T], [scale(constant(), m)])`. A warm-up
 * as long as the training or longer leaves a wave of period 1 / c steps.
 *
 * Source: transformers `get_cosine_schedule_with_warmup` and, with `minLrRate`,
 * `get_cosine_with_min_lr_schedule_with_warmup`; Loshchilov & Hutter 2016, "SGDR: Stochastic
 * Gradient Descent with Warm Restarts", arXiv:1608.03983, equation 5.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export const cosineWithWarmup: CurveKind<CosineWithWarmupOptions> = /* @__PURE__ */ curve(
  'cosineWithWarmup',
  { numWarmupSteps: [integer], numTrainingSteps: [integer], numCycles: [atLeast0, 0.5], minLrRate: [fraction, 0] },
  ({ numWarmupSteps: warmup, numTrainingSteps: training, numCycles: cycles, minLrRate: least }) =>
    (t) => {
      if (t < warmup) return rising(t, warmup);
      const wave = 0.5 * (1 + cos(Math.PI * cycles * 2 * progress(t, warmup, training)));
      return Math.max(0, wave * (1 - least) + least);
    },
);

/**
 * A linear warm-up from 0 to 1, then `numCycles` half-waves from 1 to 0, each beginning at 1 again.
 * With w = `numWarmupSteps`, T = `numTrainingSteps`, c = `numCycles`:
 *
 * - t \< w: t / w
 * - w ≤ t \< T: (1 + cos π (c (t − w) / (T − w) mod 1)) / 2
 * - T ≤ t: 0
 *
 * A warm-up as long as the training or longer is followed by 1 at step w (where T − w counts as 1),
 * then 0.
 *
 * Source: transformers `get_cosine_with_hard_restarts_schedule_with_warmup`; Loshchilov & Hutter
 * 2016, arXiv:1608.03983, with periods of equal length (their T_mult = 1).
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export const cosineWithHardRestarts: CurveKind<CosineWithHardRestartsOptions> = /* @__PURE__ */ curve(
  'cosineWithHardRestarts',
  { numWarmupSteps: [integer], numTrainingSteps: [integer], numCycles: [atLeast0, 1] },
  ({ numWarmupSteps: warmup, numTrainingSteps: training, numCycles: cycles }) =>
    (t) => {
      if (t < warmup) return rising(t, warmup);
      const done = progress(t, warmup, training);
      return done >= 1 ? 0 : Math.max(0, 0.5 * (1 + cos(Math.PI * ((cycles * done) % 1))));
    },
);

/**
 * A warm-up from a factor above 0, then a cosine wave down to `minLrRate`, both one step ahead of
 * {@link cosineWithWarmup}: no step is spent at 0, and the lowest factor is reached at the last
 * training step, T − 1, not after it. With w = `numWarmupSteps`, T = `numTrainingSteps`, c =
 * `numCycles`, m = `minLrRate`, s = `warmupLrRate`:
 *
 * - t \< w: (t + 1) / w, or with s: s + (1 − s) · t / (w − 1)
 * - then: m + (1 − m) · (1 + cos 2πc (t − w + 1) / (T − w)) / 2
 *
 * Step w − 1 is the top. The wave goes on past T − 1, as in transformers. With a warm-up as long as
 * the training or longer, T − w counts as 1; with one step of warm-up and s, w − 1 does.
 *
 * Source: transformers `get_cosine_with_min_lr_schedule_with_warmup_lr_rate`.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export const cosineWarmupWithMinLr: CurveKind<CosineWarmupWithMinLrOptions> = /* @__PURE__ */ curve(
  'cosineWarmupWithMinLr',
  {
    numWarmupSteps: [integer],
    numTrainingSteps: [integer],
    numCycles: [atLeast0, 0.5],
    minLrRate: [fraction],
    warmupLrRate: [fractionOrNull, null],
  },
  ({ numWarmupSteps: warmup, numTrainingSteps: training, numCycles: cycles, minLrRate: least, warmupLrRate: first }) =>
    (t) => {
      if (t < warmup) {
        return first === null ? (t + 1) / Math.max(1, warmup) : first + ((1 - first) * t) / Math.max(1, warmup - 1);
      }
      const wave = 0.5 * (1 + cos(Math.PI * cycles * 2 * progress(t + 1, warmup, training)));
      return Math.max(0, wave * (1 - least) + least);
    },
);

/**
 * A linear warm-up from 0 to 1, then polynomially down to the learning rate `lrEnd`. With w =
 * `numWarmupSteps`, T = `numTrainingSteps`, p = `power`:
 *
 * - t \< w: t / w
 * - w ≤ t ≤ T: ((lrInit − lrEnd) · (1 − (t − w) / (T − w))^p + lrEnd) / lrInit
 * - T \< t: lrEnd / lrInit
 *
 * `lrEnd` is a learning rate, as in transformers; a curve gives factors, hence `lrInit`. Groups
 * with other learning rates end at the same fraction of theirs, not at `lrEnd`.
 *
 * A warm-up as long as the training or longer is followed by lrEnd / lrInit. (For w = T
 * transformers divides by zero at step T.)
 *
 * Source: transformers `get_polynomial_decay_schedule_with_warmup`, after fairseq and the original
 * BERT code.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range, or `lrEnd`
 * is not below `lrInit`.
 */
export const polynomialDecayWithWarmup: CurveKind<PolynomialDecayWithWarmupOptions> = /* @__PURE__ */ curve(
  'polynomialDecayWithWarmup',
  {
    numWarmupSteps: [integer],
    numTrainingSteps: [integer],
    lrInit: [above0],
    lrEnd: [atLeast0, 1e-7],
    power: [atLeast0, 1],
  },
  ({ numWarmupSteps: warmup, numTrainingSteps: training, lrInit, lrEnd, power }, where) => {
    if (!(lrEnd < lrInit)) {
      throw new RangeError(
        `${where}: lrEnd must be less than lrInit (${lrInit}), the learning rate that the decay starts from, ` +
          `got ${lrEnd}`,
      );
    }
    return (t) => {
      if (t < warmup) return rising(t, warmup);
      if (t > training || training === warmup) return lrEnd / lrInit;
      const remaining = 1 - (t - warmup) / (training - warmup);
      return ((lrInit - lrEnd) * pow(remaining, power) + lrEnd) / lrInit;
    };
  },
);

/**
 * A linear warm-up from 0 to 1, then the inverse square root. With w = `numWarmupSteps`, s =
 * `timescale`:
 *
 * - t \< w: t / w
 * - then: 1 / √((t − w + s) / s)
 *
 * It does not depend on the length of the training and never ends: 1 at step w, 1 / 2 at step w + 3
 * s.
 *
 * Source: transformers `get_inverse_sqrt_schedule`, after Zhai et al. 2021, "Scaling Vision
 * Transformers", arXiv:2106.04560 (big_vision); the shape is that of Vaswani et al. 2017,
 * arXiv:1706.03762, section 5.3.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export const inverseSqrt: CurveKind<InverseSqrtOptions> = /* @__PURE__ */ curve(
  'inverseSqrt',
  { numWarmupSteps: [integer], timescale: [someStepsOrNull, null] },
  ({ numWarmupSteps: warmup, timescale }) => {
    const scale = timescale ?? (warmup === 0 ? 10_000 : warmup);
    const shift = scale - warmup;
    return (t) => (t < warmup ? rising(t, warmup) : 1 / Math.sqrt((t + shift) / scale));
  },
);

/**
 * Warm-up, a stable part at 1, decay (WSD). With w = `numWarmupSteps`, s = `numStableSteps`, d =
 * `numDecaySteps`, m = `minLrRatio`, c = `numCycles`:
 *
 * - t \< w: m + (1 − m) · up(t / w)
 * - w ≤ t \< w + s: 1
 * - w + s ≤ t \< w + s + d: m + (1 − m) · down((t − w − s) / d)
 * - w + s + d ≤ t: m
 *
 * | shape | up(x) | down(x) |
 * | --- | --- | --- |
 * | `"linear"` | x | 1 − x |
 * | `"cosine"` | (1 − cos πx) / 2 | (1 + cos 2πcx) / 2 |
 * | `"1-sqrt"` | 1 − √(1 − x) | 1 − √x |
 *
 * Source: transformers `get_wsd_schedule`; Hu et al. 2024, "MiniCPM", arXiv:2404.06395, section 4;
 * the 1-sqrt decay is from Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond
 * Fixed Training Durations", arXiv:2405.18392.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export const warmupStableDecay: CurveKind<WarmupStableDecayOptions> = /* @__PURE__ */ curve(
  'warmupStableDecay',
  {
    numWarmupSteps: [integer],
    numStableSteps: [integer],
    numDecaySteps: [integer],
    warmupType: [shape, 'linear'],
    decayType: [shape, 'cosine'],
    minLrRatio: [fraction, 0],
    numCycles: [atLeast0, 0.5],
  },
  // numStableSteps may be negative here, where a schedule derived it from a total that the other
  // two parts exceed.
  ({ numWarmupSteps: warmup, numStableSteps: stable, numDecaySteps: decay, ...o }) => {
    const between = (x: number): number => Math.max(0, x * (1 - o.minLrRatio) + o.minLrRatio);
    return (t) => {
      if (t < warmup) {
        const x = rising(t, warmup);
        if (o.warmupType === 'linear') return between(x);
        return between(o.warmupType === 'cosine' ? 0.5 * (1 - cos(Math.PI * x)) : 1 - Math.sqrt(1 - x));
      }
      if (t < warmup + stable) return 1;
      if (t >= warmup + stable + decay) return o.minLrRatio;
      const x = (t - warmup - stable) / Math.max(1, decay);
      if (o.decayType === 'linear') return between(1 - x);
      return between(o.decayType === 'cosine' ? 0.5 * (1 + cos(Math.PI * o.numCycles * 2 * x)) : 1 - Math.sqrt(x));
    };
  },
);
