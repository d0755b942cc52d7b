/**
 * Adafactor: Shazeer & Stern 2018, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost"
 * (arXiv:1804.04235), as transformers.optimization.Adafactor computes it.
 *
 * Prefer it to AdamW where memory counts: a matrix's second moment is kept as its row and column
 * averages, rows + cols numbers instead of rows · cols, and there is no first moment unless `beta1`
 * asks for one.
 *
 * | parameter | pass 0, writes no weight or state | pass 1 | pass 2 |
 * | --- | --- | --- | --- |
 * | rank 2 and more | row and column sums of G² | sums of U² and P² | P, momentum |
 * | rank 0 and 1 | sum of G² | sums of U² and P² | P, V, momentum |
 *
 * The weights are looked at in pass 1 and not in pass 0, after which all other parameters have
 * their turn: they are still in the caches when pass 2 writes them.
 *
 * @module
 */
import { number, show } from '../core/check.ts';
import { power } from '../core/math.ts';
import type { Parameter } from '../core/parameter.ts';
import type { StateArray } from '../core/state-dict.ts';
import { flatBlock, type Pass, rowsBlock } from '../engine/pass.ts';
import type { Strip } from '../engine/strip.ts';
import { goesFar, OWN, places, total, type Work } from '../engine/work.ts';
import * as matrix64 from '../loops/generated/matrix64.ts';
import { sumSquares as sumSquares64, sumSquaresFar as sumSquaresFar64 } from '../loops/generated/sums64.ts';
import * as vector64 from '../loops/generated/vector64.ts';
import * as matrix from '../loops/matrix.ts';
import { sumSquares, sumSquaresFar } from '../loops/sums.ts';
import * as vector from '../loops/vector.ts';
import { check, checkBlock } from './elementwise.ts';
import { Optimizer } from './optimizer.ts';
import type { CommonOptions, ParamGroup, Params } from './param-group.ts';
import { flag, nonNegative, option, pairOf, type Rule, type Slot, SUNK, twins } from './rule.ts';

/** Options of {@link Adafactor}; names and defaults are those of transformers. */
export interface AdafactorOptions extends CommonOptions {
  /** External learning rate, at least 0. Default null: computed from the step (`relativeStep`). */
  lr?: number | null;
  /**
   * Regularisation: ε₁ added to the squared gradient, ε₂ the least scale of a parameter. Default
   * `[1e-30, 1e-3]`.
   */
  eps?: readonly [number, number];
  /**
   * d: an update with a larger root mean square is scaled down to it. Greater than 0; default 1
   * (paper, section 6).
   */
  clipThreshold?: number;
  /**
   * Exponent of the second moment's decay, β₂ₜ = 1 − t^decayRate. At most 0; default -0.8 (paper,
   * section 7.2).
   */
  decayRate?: number;
  /**
   * Decay of a first moment, at least 0 and less than 1. Default null: none, and no memory for it.
   */
  beta1?: number | null;
  /** Decoupled weight decay per step, times the learning rate. At least 0; default 0. */
  weightDecay?: number;
  /**
   * Multiply the learning rate with the root mean square of the weights (paper, section 8). Default
   * true.
   */
  scaleParameter?: boolean;
  /** Learning rate min(1e-2, 1 / √t) instead of `lr` (paper, section 9). Default true. */
  relativeStep?: boolean;
  /** With `relativeStep`: min(1e-6 · t, 1 / √t), a linear warm-up. Default false. */
  warmupInit?: boolean;
}

/** Places of the loops' numbers, and of what is remembered of the last update. */
const N = places(OWN, ['beta2', 'rest2', 'eps1', 'beta1', 'keep', 'scale', 'rms', 'rate']);
/** Partial sums of a block: of G² (a vector's), of U², of P². */
const SUM = { gradient: 0, update: 1, weights: 2 } as const;

/** Own arrays of a matrix: the sums, the factors of 1 / V̂ (of U²), and the factors of the step. */
type Own = 'rowSums' | 'colSums' | 'rowInverse' | 'colInverse' | 'rowScale' | 'colScale';
type State = 'exp_avg' | 'exp_avg_sq_row' | 'exp_avg_sq_col' | 'exp_avg_sq';
type AdafactorWork = Work<State, Own>;
type Group = ParamGroup<AdafactorOptions>;

// One by one: a bundler turns the modules themselves into objects with getters.
const float32 = {
  check: check.float32.check,
  sumSquares,
  sumSquaresFar,
  reduce: matrix.reduce,
  measure: matrix.measure,
  apply: matrix.apply,
  applyMomentum: matrix.applyMomentum,
  measureVector: vector.measureVector,
  applyVector: vector.applyVector,
  applyVectorMomentum: vector.applyVectorMomentum,
};
const float64 = {
  check: check.float64.check,
  sumSquares: sumSquares64,
  sumSquaresFar: sumSquaresFar64,
  reduce: matrix64.reduce,
  measure: matrix64.measure,
  apply: matrix64.apply,
  applyMomentum: matrix64.applyMomentum,
  measureVector: vector64.measureVector,
  applyVector: vector64.applyVector,
  applyVectorMomentum: vector64.applyVectorMomentum,
};
type AdafactorLoops = typeof float32;
type AdafactorStrip = Strip<AdafactorLoops>;

// ---------------------------------------------------------------- passes

/** Pass 0 of a matrix: row and column sums of G²; columns of several blocks are kept apart. */
function reduceRows(
  strip: AdafactorStrip,
  work: AdafactorWork,
  block: number,
  columns: Float64Array,
  at: number,
): void {
  const { cols, blocksEach } = work.cut;
  const { colSums } = work.own;
  const alone = blocksEach === 1;
  const sums = alone ? colSums : columns;
  const sumsAt = alone ? block * cols : at;
  sums.fill(0, sumsAt, sumsAt + cols);
  rowsBlock(strip, work, block, 'gradient', true, reduceStrip, sums, sumsAt);
}

function reduceStrip(
  { g }: AdafactorStrip,
  work: AdafactorWork,
  row: number,
  count: number,
  _from: number,
  _into: number,
  sums: Float64Array,
  sumsAt: number,
): void {
  g.loops.reduce(g.array, g.at, count, work.cut.cols, work.own.rowSums, row, sums, sumsAt, goesFar(work));
}

/** Pass 1 of a matrix: the sums of U² and P². */
function measureRows(
  { g, p }: AdafactorStrip,
  work: AdafactorWork,
  row: number,
  count: number,
  _: number,
  into: number,
): void {
  const { cut, sums, own } = work;
  const { cols } = cut;
  const { rowInverse, colInverse } = own;
  const colAt = Math.floor(row / cut.rows) * cols;
  const update = into + SUM.update;
  const far = goesFar(work);
  sums[update] = g.loops.measure(g.array, g.at, count, cols, rowInverse, row, colInverse, colAt, sums[update]!, far);
  sums[into + SUM.weights]! += p.loops[far ? 'sumSquaresFar' : 'sumSquares'](p.array, p.at, count * cols);
}

/** Pass 2 of a matrix: P, through the first moment where there is one. */
function applyRows({ g, p }: AdafactorStrip, work: AdafactorWork, row: number, count: number, from: number): void {
  const { cols, rows } = work.cut;
  const { rowScale, colScale } = work.own;
  const { numbers, state } = work;
  const { loops, array, at } = p;
  const colAt = Math.floor(row / rows) * cols;
  const keep = numbers[N.keep]!;
  const m = state.exp_avg as Float32Array | null;
  if (m === null) loops.apply(array, g.array, at, count, cols, rowScale, row, colScale, colAt, keep);
  else {
    const beta1 = numbers[N.beta1]!;
    loops.applyMomentum(array, g.array, at, m, from, count, cols, rowScale, row, colScale, colAt, keep, beta1);
  }
}

/** Pass 1 of a vector: the sums of U² and P². */
function measureFlat({ g, p }: AdafactorStrip, work: AdafactorWork, from: number, n: number, into: number): void {
  const { sums, numbers, state } = work;
  const v = state.exp_avg_sq as Float32Array;
  const beta2 = numbers[N.beta2]!;
  const rest2 = numbers[N.rest2]!;
  const eps1 = numbers[N.eps1]!;
  sums[into + SUM.update]! += g.loops.measureVector(g.array, g.at, v, from, n, beta2, rest2, eps1);
  sums[into + SUM.weights]! += p.loops.sumSquares(p.array, p.at, n);
}

/** Pass 2 of a vector: P and V, through the first moment where there is one. */
function applyFlat({ g, p }: AdafactorStrip, work: AdafactorWork, from: number, n: number): void {
  const { numbers, state } = work;
  const v = state.exp_avg_sq as Float32Array;
  const m = state.exp_avg as Float32Array | null;
  const { loops, array: w, at } = p;
  const beta2 = numbers[N.beta2]!;
  const rest2 = numbers[N.rest2]!;
  const eps1 = numbers[N.eps1]!;
  const scale = numbers[N.scale]!;
  const keep = numbers[N.keep]!;
  if (m === null) loops.applyVector(w, at, g.array, g.at, v, from, n, beta2, rest2, eps1, scale, keep);
  else {
    const beta1 = numbers[N.beta1]!;
    loops.applyVectorMomentum(w, at, g.array, g.at, m, from, v, from, n, beta2, rest2, eps1, scale, keep, beta1);
  }
}

const passes: readonly Pass[] = [
  {
    writes: false,
    columnSums: 'colSums',
    block(strip: AdafactorStrip, work: AdafactorWork, block, columns, at) {
      if (work.cut.matrix) reduceRows(strip, work, block, columns, at);
      else checkBlock(strip, work, block);
    },
  },
  {
    writes: false,
    block(strip: AdafactorStrip, work: AdafactorWork, block) {
      if (work.cut.matrix) rowsBlock(strip, work, block, 'both', true, measureRows);
      else flatBlock(strip, work, block, 'both', false, measureFlat);
    },
  },
  {
    writes: true,
    block(strip: AdafactorStrip, work: AdafactorWork, block) {
      if (work.cut.matrix) rowsBlock(strip, work, block, 'update', true, applyRows);
      else flatBlock(strip, work, block, 'update', false, applyFlat);
    },
  },
];

// ---------------------------------------------------------------- what comes between them

/** min(1e-2 or 1e-6 · t, 1 / √t), or lr; times max(ε₂, RMS(P)) with parameter scale. */
function learningRate(group: Group, step: number, rms: number): number {
  let rate = group.lr ?? 0;
  if (group.relativeStep) {
    const least = group.warmupInit ? 1e-6 * step : 1e-2;
    rate = Math.min(least, 1 / Math.sqrt(step));
  }
  if (!group.scaleParameter) return rate;
  // As Python's max(eps, rms): a NaN of the weights shows in the update anyway.
  return rate * Math.max(rms, group.eps[1]);
}

/**
 * The running averages R and C of one matrix and from them the factors of
 * 1 / V̂_ij = (mean(R) / R_i) · (1 / C_j).
 */
function factor(work: AdafactorWork, lead: number, rowAverage: StateArray, colAverage: StateArray): void {
  const { rows, cols } = work.cut;
  const { rowSums, colSums, rowInverse, colInverse } = work.own;
  const { numbers } = work;
  const beta2 = numbers[N.beta2]!;
  const rest2 = numbers[N.rest2]!;
  const eps1 = numbers[N.eps1]!;
  const rowAt = lead * rows;
  const colAt = lead * cols;
  let sum = 0;
  for (let i = rowAt; i < rowAt + rows; i++) {
    // ε₁ is added to the mean instead of to every square: the same number, one addition for cols.
    const average = beta2 * rowAverage[i]! + rest2 * (rowSums[i]! / cols + eps1);
    rowAverage[i] = average;
    rowInverse[i] = average;
    sum += average;
  }
  const mean = sum / rows;
  for (let i = rowAt; i < rowAt + rows; i++) rowInverse[i] = mean / rowInverse[i]!;
  for (let j = colAt; j < colAt + cols; j++) {
    const average = beta2 * colAverage[j]! + rest2 * (colSums[j]! / rows + eps1);
    colAverage[j] = average;
    colInverse[j] = 1 / average;
  }
}

/** β₂ₜ of the last parameter: most often that of the next one too. */
interface Decay {
  step: number;
  decayRate: number;
  beta2: number;
}

/** After the sums over G: the second moment, and for a matrix the factors of 1 / V̂. */
function beforeMeasure({ work, group, step, parameter }: Slot<Group, AdafactorWork>, memo: Decay): void {
  if (memo.step !== step || memo.decayRate !== group.decayRate) {
    memo.beta2 = step === 1 ? 0 : 1 - power(step, group.decayRate);
    memo.step = step;
    memo.decayRate = group.decayRate;
  }
  const { numbers, cut, state } = work;
  numbers[N.beta2] = memo.beta2;
  numbers[N.rest2] = 1 - memo.beta2;
  numbers[N.eps1] = group.eps[0];
  // The means over an empty dimension are not numbers; there is nothing to update either.
  if (!cut.matrix || parameter.data.length === 0) return;
  for (let lead = 0; lead < cut.lead; lead++) factor(work, lead, state.exp_avg_sq_row!, state.exp_avg_sq_col!);
}

/**
 * After the sums over U and P: the learning rate, and the clip, which divides by RMS(U) / d where
 * that is more than 1 (paper, section 6).
 */
function beforeApply({ work, group, step, parameter }: Slot<Group, AdafactorWork>): void {
  const { numbers, cut, own } = work;
  const { length } = parameter.data;
  const rms = rootMeanSquare(total(work, SUM.weights), length);
  const rate = learningRate(group, step, rms);
  numbers[N.rms] = rms;
  numbers[N.rate] = rate;
  const clip = rootMeanSquare(total(work, SUM.update), length) / group.clipThreshold;
  const { beta1 } = group;
  numbers[N.keep] = 1 - group.weightDecay * rate;
  numbers[N.beta1] = beta1 ?? 0;
  const scale = (rate / (clip > 1 || Number.isNaN(clip) ? clip : 1)) * (beta1 === null ? 1 : 1 - beta1);
  numbers[N.scale] = scale;
  if (!cut.matrix) return;
  const { rowInverse, colInverse, rowScale, colScale } = own;
  for (let i = 0; i < rowScale.length; i++) rowScale[i] = Math.sqrt(rowInverse[i]!) * scale;
  for (let j = 0; j < colScale.length; j++) colScale[j] = Math.sqrt(colInverse[j]!);
}

function rootMeanSquare(sum: number, length: number): number {
  return length === 0 ? 0 : Math.sqrt(sum / length);
}

// ---------------------------------------------------------------- the rule

const adafactor: Rule<AdafactorOptions, AdafactorLoops, Decay> = {
  name: 'Adafactor',
  options: {
    lr: option(null, (name, value) => (value === null ? null : number(name, value, { min: 0 }))),
    eps: option([1e-30, 1e-3], pairOf('[1e-30, 1e-3]')),
    clipThreshold: option(1, (name, value) => number(name, value, { above: 0 })),
    decayRate: option(-0.8, (name, value) => number(name, value, { max: 0 })),
    beta1: option(null, (name, value) => (value === null ? null : number(name, value, { min: 0, below: 1 }))),
    weightDecay: option(0, nonNegative),
    scaleParameter: option(true, flag),
    relativeStep: option(true, flag),
    warmupInit: option(false, flag),
  },
  checkGroup(where, group, construction) {
    if (construction && group.relativeStep && group.lr !== null) {
      throw new RangeError(
        `${where}: lr must be null with relativeStep: true, got ${show(group.lr)}; ` +
          'leave lr out, or pass relativeStep: false to use it',
      );
    }
    if (!group.relativeStep && group.lr === null) {
      throw new RangeError(
        `${where}: lr must be a number with relativeStep: false, got null; ` +
          'pass lr, such as 1e-3, or relativeStep: true',
      );
    }
    if (group.warmupInit && !group.relativeStep) {
      throw new RangeError(
        `${where}: warmupInit: true needs relativeStep: true; for your own lr use a schedule with numWarmupSteps`,
      );
    }
  },
  state: [
    { key: 'exp_avg', shape: (shape) => shape, when: ({ beta1 }) => beta1 !== null, negligible: SUNK },
    { key: 'exp_avg_sq_row', shape: (shape, { matrix }) => (matrix ? shape.slice(0, -1) : null) },
    {
      key: 'exp_avg_sq_col',
      shape: (shape, { matrix }) => (matrix ? [...shape.slice(0, -2), shape.at(-1)!] : null),
    },
    { key: 'exp_avg_sq', shape: (shape, { matrix }) => (matrix ? null : shape) },
  ],
  savedNumbers: { RMS: N.rms },
  matrices: true,
  numbers: OWN + Object.keys(N).length,
  sums: Object.keys(SUM).length,
  own({ matrix, lead, rows, cols }) {
    const [r, c] = matrix ? [lead * rows, lead * cols] : [0, 0];
    return { rowSums: r, colSums: c, rowInverse: r, colInverse: c, rowScale: r, colScale: c };
  },
  loops: twins(float32, float64),
  // A square below 2^-110 counts as 0 there: against ε₁, and of a vector's U² against d², not much.
  exact: ({ eps, clipThreshold }, { matrix }) => eps[0] * (matrix ? 1 : Math.min(1, clipThreshold) ** 2) < 2 ** -100,
  passes,
  memo: () => ({ step: 0, decayRate: 0, beta2: 0 }),
  before(slot: Slot<Group, AdafactorWork>, pass, memo) {
    if (pass === 1) beforeMeasure(slot, memo);
    else beforeApply(slot);
  },
  gradientSum(work) {
    if (!work.cut.matrix) return total(work, SUM.gradient);
    const { rowSums } = (work as AdafactorWork).own;
    let sum = 0;
    for (let i = 0; i < rowSums.length; i++) sum += rowSums[i]!;
    return sum;
  },
};

/**
 * Adafactor, as in transformers.optimization.Adafactor: factored second moments over the last two
 * dimensions of every parameter of rank 2 and more (one factorisation per leading index), relative
 * step, parameter scale, and clipping by the update's root mean square.
 *
 * For a matrix G of shape rows × cols at step t, with β₂ₜ = 1 − t^decayRate:
 *
 * - R ← β₂ₜ R + (1 − β₂ₜ) · (mean over each row of G² + ε₁), C the same over columns
 * - V̂_ij = R_i C_j / mean(R), U = G / √V̂, U ← U / max(1, RMS(U) / d)
 * - α = max(ε₂, RMS(P)) · min(1e-2, 1 / √t), or lr
 * - P ← P − α · weightDecay · P − α U, or with `beta1` minus the running average of α U
 *
 * Vectors and scalars keep the whole second moment. State per parameter, as PyTorch names it:
 * `step`, `RMS`, `exp_avg_sq_row` and `exp_avg_sq_col` (rank 2 and more) or `exp_avg_sq`, `exp_avg`
 * (with `beta1`); float64 for float64 parameters, else float32.
 *
 * @example The settings recommended for fine-tuning T5
 * ```ts
 * const options = { lr: 1e-3, scaleParameter: false, relativeStep: false };
 * const optimizer = new Adafactor([weight], options);
 * ```
 */
export class Adafactor extends Optimizer<AdafactorOptions> {
  /** @internal */
  static readonly rule: Rule = adafactor;

  /**
   * @param params - Parameters, or groups with options of their own.
   * @param options - See {@link AdafactorOptions}.
   * @throws TypeError or RangeError that names the option: unknown, of the wrong kind or out of
   * range, `lr` beside `relativeStep`, neither of both, `warmupInit` without `relativeStep`; or a
   * parameter given twice.
   */
  constructor(params: Params<AdafactorOptions>, options: AdafactorOptions = {}) {
    super(adafactor, params, options);
  }

  /**
   * The learning rate used at this parameter's last update, relative step and parameter scale
   * applied; undefined before the first. After a resume it is computed from the loaded state.
   *
   * @throws RangeError when the parameter is not one of this optimizer's.
   */
  effectiveLr(parameter: Parameter): number | undefined {
    const { step, work, group } = this.slotOf('Adafactor.effectiveLr', parameter);
    if (step === 0) return undefined;
    const { numbers } = work;
    // A loaded state has the RMS alone.
    if (Number.isNaN(numbers[N.rate]!)) numbers[N.rate] = learningRate(group, step, numbers[N.rms]!);
    return numbers[N.rate];
  }
}
