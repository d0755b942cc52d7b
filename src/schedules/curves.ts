/**
 * Learning-rate curves: pure functions from the step to the factor by which the initial learning rate is multiplied.
 *
 * A curve needs no optimizer: print it, plot it, test it, or use it in another training loop. To attach one to an optimizer use
 * the classes in `schedules.ts`, or `LambdaLR` for a curve of your own; `compose.ts` joins and multiplies curves.
 *
 * All follow Hugging Face transformers (`transformers/optimization.py`, release 5.23) operation by operation, with `pow` and `cos` from
 * `core/math.ts` instead of the C library's, so the values are Python's but for at most one unit in the last place.
 *
 * Every curve takes a non-negative integer (0 is the first training step) and refuses anything else with a TypeError or RangeError: a
 * schedule has no value between two steps, and a NaN would spread into the weights.
 *
 * @module
 */
import { integer, number, oneOf, options, show } from '../core/check.ts';
import { cos, pow } from '../core/math.ts';

/** Maps a step (0, 1, 2, ...) to the factor by which the initial learning rate is multiplied. */
export type Curve = (step: number) => number;

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
  /** Waves between warm-up and end, at least 0; default 0.5: half a wave, from the top to the bottom. Need not be whole. */
  numCycles?: number;
  /** Lowest factor, from 0 to 1; default 0. The wave runs between 1 and it. The warm-up starts at 0 all the same. */
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
  /** Factor at step 0, from 0 to 1. Default null: the warm-up starts one step up, at 1 / `numWarmupSteps`. */
  warmupLrRate?: number | null;
}

/** Options of {@link polynomialDecayWithWarmup}. */
export interface PolynomialDecayWithWarmupOptions extends LinearWithWarmupOptions {
  /** The learning rate that the curve will be multiplied with; greater than `lrEnd`. A schedule class takes the optimizer's default. */
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
  /** Steps after the warm-up in which the curve falls to 1 / √2; at least 1. Default null: `numWarmupSteps`, or 10000 without warm-up. */
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

const WARMUP = ['numWarmupSteps'] as const;
const TRAINING = ['numWarmupSteps', 'numTrainingSteps'] as const;
const SHAPES = ['linear', 'cosine', '1-sqrt'] as const;

/** A curve that refuses what is not a step. */
function curve(name: string, factor: Curve): Curve {
  const label = `${name}: step`;
  return (step) => factor(integer(label, step));
}

/** The options of a curve, to be read by kind. Functions, so that a bundle has only the kinds that its curves need. */
interface Given {
  readonly name: string;
  readonly values: Readonly<Record<string, unknown>>;
}

function given(name: string, o: unknown, known: readonly string[]): Given {
  return { name, values: options(name, o, known) };
}

/** null is not "left out": it is refused where the option's type does not have it. */
function orDefault({ values }: Given, key: string, fallback: unknown): unknown {
  return values[key] === undefined ? fallback : values[key];
}

function steps({ name, values }: Given, key: string): number {
  return integer(`${name}: ${key}`, values[key]);
}

/** null counts as left out. */
function stepsOr({ name, values }: Given, key: string, fallback: number): number {
  return integer(`${name}: ${key}`, values[key] ?? fallback, { min: 1 });
}

function atLeast0(read: Given, key: string, fallback: number): number {
  return number(`${read.name}: ${key}`, orDefault(read, key, fallback), { min: 0 });
}

function rate(read: Given, key: string, fallback?: number): number {
  return number(`${read.name}: ${key}`, orDefault(read, key, fallback), { min: 0, max: 1 });
}

function rateOrNull(read: Given, key: string): number | null {
  return (read.values[key] ?? null) === null ? null : rate(read, key);
}

function above0({ name, values }: Given, key: string): number {
  return number(`${name}: ${key}`, values[key], { above: 0 });
}

function shape(read: Given, key: string, fallback: WsdShape): WsdShape {
  return oneOf(`${read.name}: ${key}`, orDefault(read, key, fallback), SHAPES);
}

/** step / warmup, on the way up; the caller has made sure that step < warmup. */
function rising(step: number, warmup: number): number {
  return step / Math.max(1, warmup);
}

/** How much of the way from the end of the warm-up to the end of the training is done; goes on past 1. */
function progress(step: number, warmup: number, training: number): number {
  return (step - warmup) / Math.max(1, training - warmup);
}

/**
 * 1 at every step.
 *
 * Source: transformers `get_constant_schedule`.
 */
export function constant(): Curve {
  return curve('constant', () => 1);
}

/**
 * A linear warm-up from 0, then 1. With w = `numWarmupSteps`:
 *
 * - t \< w: t / w
 * - then: 1
 *
 * `constantWithWarmup({ numWarmupSteps: 4 })` gives 0, 0.25, 0.5, 0.75, 1, 1, ...
 *
 * Source: transformers `get_constant_schedule_with_warmup`. Goyal et al. 2017, arXiv:1706.02677, section 2.2 argue for a gradual warm-up.
 *
 * @throws TypeError or RangeError when `numWarmupSteps` is not a non-negative integer, or an option is unknown.
 */
export function constantWithWarmup(o: ConstantWithWarmupOptions): Curve {
  const name = 'constantWithWarmup';
  const warmup = steps(given(name, o, WARMUP), 'numWarmupSteps');
  return curve(name, (t) => (t < warmup ? rising(t, warmup) : 1));
}

/**
 * A linear warm-up from 0 to 1, then linearly down to 0. With w = `numWarmupSteps`, T = `numTrainingSteps`:
 *
 * - t \< w: t / w
 * - w ≤ t \< T: (T − t) / (T − w)
 * - T ≤ t: 0
 *
 * `linearWithWarmup({ numWarmupSteps: 2, numTrainingSteps: 6 })` gives 0, 0.5, 1, 0.75, 0.5, 0.25, 0, 0, ...
 *
 * A warm-up as long as the training or longer is taken: the curve rises up to step w − 1 and is 0 from step w on.
 *
 * Source: transformers `get_linear_schedule_with_warmup`; Devlin et al. 2018, "BERT", arXiv:1810.04805, appendix A.2.
 *
 * @throws TypeError or RangeError when a step count is not a non-negative integer, or an option is unknown.
 */
export function linearWithWarmup(o: LinearWithWarmupOptions): Curve {
  const name = 'linearWithWarmup';
  const read = given(name, o, TRAINING);
  const warmup = steps(read, 'numWarmupSteps');
  const training = steps(read, 'numTrainingSteps');
  const decay = Math.max(1, training - warmup);
  return curve(name, (t) => (t < warmup ? rising(t, warmup) : Math.max(0, (training - t) / decay)));
}

/**
 * A linear warm-up from 0 to 1, then a cosine wave from 1 down to `minLrRate`. With w = `numWarmupSteps`, T = `numTrainingSteps`,
 * c = `numCycles`, m = `minLrRate`:
 *
 * - t \< w: t / w
 * - then: m + (1 − m) · (1 + cos 2πc (t − w) / (T − w)) / 2
 *
 * The wave goes on past T, as in transformers: with half a wave the factor rises again after the last step. To hold it there, end with
 * `sequential([curve, T], [scale(constant(), m)])`. A warm-up as long as the training or longer leaves a wave of period 1 / c steps.
 *
 * Source: transformers `get_cosine_schedule_with_warmup` and, with `minLrRate`, `get_cosine_with_min_lr_schedule_with_warmup`;
 * Loshchilov & Hutter 2016, "SGDR: Stochastic Gradient Descent with Warm Restarts", arXiv:1608.03983, equation 5.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export function cosineWithWarmup(o: CosineWithWarmupOptions): Curve {
  const name = 'cosineWithWarmup';
  const read = given(name, o, [...TRAINING, 'numCycles', 'minLrRate']);
  const warmup = steps(read, 'numWarmupSteps');
  const training = steps(read, 'numTrainingSteps');
  const cycles = atLeast0(read, 'numCycles', 0.5);
  const least = rate(read, 'minLrRate', 0);
  return curve(name, (t) => {
    if (t < warmup) return rising(t, warmup);
    const wave = 0.5 * (1 + cos(Math.PI * cycles * 2 * progress(t, warmup, training)));
    return Math.max(0, wave * (1 - least) + least);
  });
}

/**
 * A linear warm-up from 0 to 1, then `numCycles` half-waves from 1 to 0, each beginning at 1 again. With w = `numWarmupSteps`,
 * T = `numTrainingSteps`, c = `numCycles`:
 *
 * - t \< w: t / w
 * - w ≤ t \< T: (1 + cos π (c (t − w) / (T − w) mod 1)) / 2
 * - T ≤ t: 0
 *
 * A warm-up as long as the training or longer is followed by 1 at step w (where T − w counts as 1), then 0.
 *
 * Source: transformers `get_cosine_with_hard_restarts_schedule_with_warmup`; Loshchilov & Hutter 2016, arXiv:1608.03983, with periods of
 * equal length (their T_mult = 1).
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export function cosineWithHardRestarts(o: CosineWithHardRestartsOptions): Curve {
  const name = 'cosineWithHardRestarts';
  const read = given(name, o, [...TRAINING, 'numCycles']);
  const warmup = steps(read, 'numWarmupSteps');
  const training = steps(read, 'numTrainingSteps');
  const cycles = atLeast0(read, 'numCycles', 1);
  return curve(name, (t) => {
    if (t < warmup) return rising(t, warmup);
    const done = progress(t, warmup, training);
    return done >= 1 ? 0 : Math.max(0, 0.5 * (1 + cos(Math.PI * ((cycles * done) % 1))));
  });
}

/**
 * A warm-up from a factor above 0, then a cosine wave down to `minLrRate`, both one step ahead of {@link cosineWithWarmup}: no step is
 * spent at 0, and the lowest factor is reached at the last training step, T − 1, not after it. With w = `numWarmupSteps`,
 * T = `numTrainingSteps`, c = `numCycles`, m = `minLrRate`, s = `warmupLrRate`:
 *
 * - t \< w: (t + 1) / w, or with s: s + (1 − s) · t / (w − 1)
 * - then: m + (1 − m) · (1 + cos 2πc (t − w + 1) / (T − w)) / 2
 *
 * Step w − 1 is the top. The wave goes on past T − 1, as in transformers. With a warm-up as long as the training or longer, T − w counts as 1;
 * with one step of warm-up and s, w − 1 does.
 *
 * Source: transformers `get_cosine_with_min_lr_schedule_with_warmup_lr_rate`.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export function cosineWarmupWithMinLr(o: CosineWarmupWithMinLrOptions): Curve {
  const name = 'cosineWarmupWithMinLr';
  const read = given(name, o, [...TRAINING, 'numCycles', 'minLrRate', 'warmupLrRate']);
  const warmup = steps(read, 'numWarmupSteps');
  const training = steps(read, 'numTrainingSteps');
  const cycles = atLeast0(read, 'numCycles', 0.5);
  const least = rate(read, 'minLrRate');
  const first = rateOrNull(read, 'warmupLrRate');
  return curve(name, (t) => {
    if (t < warmup) {
      return first === null ? (t + 1) / Math.max(1, warmup) : first + ((1 - first) * t) / Math.max(1, warmup - 1);
    }
    const wave = 0.5 * (1 + cos(Math.PI * cycles * 2 * progress(t + 1, warmup, training)));
    return Math.max(0, wave * (1 - least) + least);
  });
}

/**
 * A linear warm-up from 0 to 1, then polynomially down to the learning rate `lrEnd`. With w = `numWarmupSteps`, T = `numTrainingSteps`,
 * p = `power`:
 *
 * - t \< w: t / w
 * - w ≤ t ≤ T: ((lrInit − lrEnd) · (1 − (t − w) / (T − w))^p + lrEnd) / lrInit
 * - T \< t: lrEnd / lrInit
 *
 * `lrEnd` is a learning rate, as in transformers; a curve gives factors, hence `lrInit`. Groups with other learning rates end at the same fraction
 * of theirs, not at `lrEnd`.
 *
 * A warm-up as long as the training or longer is followed by lrEnd / lrInit. (For w = T transformers divides by zero at step T.)
 *
 * Source: transformers `get_polynomial_decay_schedule_with_warmup`, after fairseq and the original BERT code.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range, or `lrEnd` is not below `lrInit`.
 */
export function polynomialDecayWithWarmup(o: PolynomialDecayWithWarmupOptions): Curve {
  const name = 'polynomialDecayWithWarmup';
  const read = given(name, o, [...TRAINING, 'lrInit', 'lrEnd', 'power']);
  const warmup = steps(read, 'numWarmupSteps');
  const training = steps(read, 'numTrainingSteps');
  const lrInit = above0(read, 'lrInit');
  const lrEnd = atLeast0(read, 'lrEnd', 1e-7);
  const power = atLeast0(read, 'power', 1);
  if (!(lrEnd < lrInit)) {
    throw new RangeError(
      `${name}: lrEnd must be less than lrInit (${show(lrInit)}), the learning rate that the decay starts from, got ${show(lrEnd)}`,
    );
  }
  return curve(name, (t) => {
    if (t < warmup) return rising(t, warmup);
    if (t > training || training === warmup) return lrEnd / lrInit;
    const remaining = 1 - (t - warmup) / (training - warmup);
    return ((lrInit - lrEnd) * pow(remaining, power) + lrEnd) / lrInit;
  });
}

/**
 * A linear warm-up from 0 to 1, then the inverse square root. With w = `numWarmupSteps`, s = `timescale`:
 *
 * - t \< w: t / w
 * - then: 1 / √((t − w + s) / s)
 *
 * It does not depend on the length of the training and never ends: 1 at step w, 1 / 2 at step w + 3 s.
 *
 * Source: transformers `get_inverse_sqrt_schedule`, after Zhai et al. 2021, "Scaling Vision Transformers", arXiv:2106.04560 (big_vision);
 * the shape is that of Vaswani et al. 2017, arXiv:1706.03762, section 5.3.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export function inverseSqrt(o: InverseSqrtOptions): Curve {
  const name = 'inverseSqrt';
  const read = given(name, o, [...WARMUP, 'timescale']);
  const warmup = steps(read, 'numWarmupSteps');
  const timescale = stepsOr(read, 'timescale', warmup === 0 ? 10_000 : warmup);
  const shift = timescale - warmup;
  return curve(name, (t) => (t < warmup ? rising(t, warmup) : 1 / Math.sqrt((t + shift) / timescale)));
}

/**
 * Warm-up, a stable part at 1, decay (WSD). With w = `numWarmupSteps`, s = `numStableSteps`, d = `numDecaySteps`, m = `minLrRatio`,
 * c = `numCycles`:
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
 * Source: transformers `get_wsd_schedule`; Hu et al. 2024, "MiniCPM", arXiv:2404.06395, section 4; the 1-sqrt decay is from Hägele et al. 2024,
 * "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", arXiv:2405.18392.
 *
 * @throws TypeError or RangeError when an option is unknown, missing, or out of range.
 */
export function warmupStableDecay(o: WarmupStableDecayOptions): Curve {
  const name = 'warmupStableDecay';
  const stable = steps(given(name, o, WSD), 'numStableSteps');
  return warmupStableDecayOf(name, o, stable);
}

const WSD = [
  'numWarmupSteps',
  'numStableSteps',
  'numDecaySteps',
  'warmupType',
  'decayType',
  'minLrRatio',
  'numCycles',
] as const;

/** As {@link warmupStableDecay}; `stable` may be negative, where it was derived from a total that the other two parts exceed. @internal */
export function warmupStableDecayOf(name: string, o: object, stable: number): Curve {
  const read = given(name, o, WSD);
  const warmup = steps(read, 'numWarmupSteps');
  const decay = steps(read, 'numDecaySteps');
  const up = shape(read, 'warmupType', 'linear');
  const down = shape(read, 'decayType', 'cosine');
  const least = rate(read, 'minLrRatio', 0);
  const cycles = atLeast0(read, 'numCycles', 0.5);
  const between = (x: number): number => Math.max(0, x * (1 - least) + least);
  return curve(name, (t) => {
    if (t < warmup) {
      const x = rising(t, warmup);
      if (up === 'linear') return between(x);
      return between(up === 'cosine' ? 0.5 * (1 - cos(Math.PI * x)) : 1 - Math.sqrt(1 - x));
    }
    if (t < warmup + stable) return 1;
    if (t >= warmup + stable + decay) return least;
    const x = (t - warmup - stable) / Math.max(1, decay);
    if (down === 'linear') return between(1 - x);
    return between(down === 'cosine' ? 0.5 * (1 + cos(Math.PI * cycles * 2 * x)) : 1 - Math.sqrt(x));
  });
}
