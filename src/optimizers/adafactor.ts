/**
 * Adafactor: Shazeer & Stern 2018, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost" (arXiv:1804.04235), as
 * transformers.optimization.Adafactor computes it.
 *
 * Prefer it to AdamW where memory counts: a matrix's second moment is kept as its row and column averages, rows + cols numbers
 * instead of rows · cols, and there is no first moment unless `beta1` asks for one.
 *
 * @module
 */
import { number, show } from '../core/check.ts';
import { power } from '../core/math.ts';
import { label, Parameter } from '../core/parameter.ts';
import {
  BETA1,
  BETA2,
  createTask,
  EPS,
  KEEP,
  REST2,
  SCALE,
  type StateArray,
  type Task,
  total,
} from '../engine/tasks.ts';
import { factored } from './factored.ts';
import {
  type Formula,
  flag,
  nonNegative,
  type OptionCheck,
  type Slot,
  type StateSpec,
  stateArrayOf,
} from './formula.ts';
import { Optimizer } from './optimizer.ts';
import type { CommonOptions, ParamGroup, Params } from './param-group.ts';

/** Options of {@link Adafactor}; names and defaults are those of transformers. */
export interface AdafactorOptions extends CommonOptions {
  /** External learning rate, at least 0. Default null: computed from the step (`relativeStep`). */
  lr?: number | null;
  /** Regularisation: ε₁ added to the squared gradient, ε₂ the least scale of a parameter. Default `[1e-30, 1e-3]`. */
  eps?: readonly [number, number];
  /** d: an update with a larger root mean square is scaled down to it. Greater than 0; default 1 (paper, section 6). */
  clipThreshold?: number;
  /** Exponent of the second moment's decay, β₂ₜ = 1 − t^decayRate. At most 0; default -0.8 (paper, section 7.2). */
  decayRate?: number;
  /** Decay of a first moment, at least 0 and less than 1. Default null: none, and no memory for it. */
  beta1?: number | null;
  /** Decoupled weight decay per step, times the learning rate. At least 0; default 0. */
  weightDecay?: number;
  /** Multiply the learning rate with the root mean square of the weights (paper, section 8). Default true. */
  scaleParameter?: boolean;
  /** Learning rate min(1e-2, 1 / √t) instead of `lr` (paper, section 9). Default true. */
  relativeStep?: boolean;
  /** With `relativeStep`: min(1e-6 · t, 1 / √t), a linear warm-up. Default false. */
  warmupInit?: boolean;
}

const pair: OptionCheck = (name, value) => {
  if (!Array.isArray(value) || value.length !== 2) {
    throw new TypeError(`${name} must be two numbers, such as [1e-30, 1e-3], got ${show(value)}`);
  }
  return [number(`${name}[0]`, value[0], { min: 0 }), number(`${name}[1]`, value[1], { min: 0 })];
};

function isMatrix(parameter: Parameter): boolean {
  return parameter.shape.length >= 2;
}

/** min(1e-2 or 1e-6 · t, 1 / √t), or lr; times max(ε₂, RMS(P)) with parameter scale. */
function learningRate(group: ParamGroup, step: number, rms: number): number {
  let rate = group.lr ?? 0;
  if (group.relativeStep === true) {
    const least = group.warmupInit === true ? 1e-6 * step : 1e-2;
    rate = Math.min(least, 1 / Math.sqrt(step));
  }
  if (group.scaleParameter !== true) return rate;
  const eps2 = (group.eps as [number, number])[1];
  // As Python's max(eps, rms): a NaN on the right is not larger, a NaN of the weights shows in the update anyway.
  return rate * Math.max(rms, eps2);
}

/** The running averages R and C of one matrix and from them the factors of 1 / V̂_ij = (mean(R) / R_i) · (1 / C_j). */
function factor(task: Task, matrix: number, rowAverage: StateArray, colAverage: StateArray): void {
  const { rows, cols, rowFactor, colFactor, scalars } = task;
  const beta2 = scalars[BETA2]!;
  const rest = scalars[REST2]!;
  const eps = scalars[EPS]!;
  const rowAt = matrix * rows;
  const colAt = matrix * cols;
  let sum = 0;
  for (let i = rowAt; i < rowAt + rows; i++) {
    // ε₁ is added to the mean instead of to every square: the same number, one addition instead of cols.
    const average = beta2 * rowAverage[i]! + rest * (rowFactor[i]! / cols + eps);
    rowAverage[i] = average;
    rowFactor[i] = average;
    sum += average;
  }
  const mean = sum / rows;
  for (let i = rowAt; i < rowAt + rows; i++) rowFactor[i] = mean / rowFactor[i]!;
  for (let j = colAt; j < colAt + cols; j++) {
    const average = beta2 * colAverage[j]! + rest * (colFactor[j]! / rows + eps);
    colAverage[j] = average;
    colFactor[j] = 1 / average;
  }
}

const formula: Formula = {
  name: 'Adafactor',
  defaults: {
    lr: null,
    eps: Object.freeze([1e-30, 1e-3]),
    clipThreshold: 1,
    decayRate: -0.8,
    beta1: null,
    weightDecay: 0,
    scaleParameter: true,
    relativeStep: true,
    warmupInit: false,
  },
  checks: {
    lr: (name, value) => (value === null ? null : number(name, value, { min: 0 })),
    eps: pair,
    clipThreshold: (name, value) => number(name, value, { above: 0 }),
    decayRate: (name, value) => number(name, value, { max: 0 }),
    beta1: (name, value) => (value === null ? null : number(name, value, { min: 0, below: 1 })),
    weightDecay: nonNegative,
    scaleParameter: flag,
    relativeStep: flag,
    warmupInit: flag,
  },
  ownOptions: [],
  foreignKeys: {},
  hasRms: true,
  kinds: factored,

  checkGroup(where, group, construction) {
    if (construction && group.relativeStep === true && group.lr !== null) {
      throw new RangeError(
        `${where}: lr must be null with relativeStep: true, which computes its own, got ${show(group.lr)}; ` +
          'leave lr out, or pass relativeStep: false to use it',
      );
    }
    if (group.relativeStep === false && group.lr === null) {
      throw new RangeError(
        `${where}: lr must be a number with relativeStep: false, got null; pass lr, such as 1e-3, or relativeStep: true`,
      );
    }
    if (group.warmupInit === true && group.relativeStep === false) {
      throw new RangeError(
        `${where}: warmupInit: true needs relativeStep: true; for a warm-up of your own lr use a schedule with numWarmupSteps`,
      );
    }
  },

  checkForeign() {},

  createTask(parameter, scratch) {
    const { data, shape, dtype } = parameter;
    return createTask(isMatrix(parameter) ? 'matrix' : 'vector', data, shape, dtype, scratch);
  },

  stateSpecs(parameter, group) {
    const { shape } = parameter;
    const specs: StateSpec[] = [];
    if (group.beta1 !== null) specs.push({ key: 'exp_avg', shape });
    if (isMatrix(parameter)) {
      specs.push({ key: 'exp_avg_sq_row', shape: shape.slice(0, -1) });
      specs.push({ key: 'exp_avg_sq_col', shape: [...shape.slice(0, -2), shape.at(-1)!] });
    } else specs.push({ key: 'exp_avg_sq', shape });
    return specs;
  },

  passes: 3,

  gradientSum(task) {
    if (task.kind === 'vector') return total(task, 0);
    let sum = 0;
    for (let i = 0; i < task.rowFactor.length; i++) sum += task.rowFactor[i]!;
    return sum;
  },

  bind(slot, stateOf) {
    const { task, group } = slot;
    task.m = group.beta1 === null ? null : stateArrayOf(formula, slot, 'exp_avg', stateOf);
    if (task.kind === 'vector') task.v = stateArrayOf(formula, slot, 'exp_avg_sq', stateOf);
    else {
      stateArrayOf(formula, slot, 'exp_avg_sq_row', stateOf);
      stateArrayOf(formula, slot, 'exp_avg_sq_col', stateOf);
    }
  },

  prepare(slot, pass) {
    if (pass === 1) prepareMeasure(slot);
    else if (pass === 2) prepareApply(slot);
  },
};

let known = { step: 0, decayRate: 0, beta2: 0 };

/** β₂ₜ = 1 − t^decayRate, kept for the next parameter of the same step. */
function decayAt(step: number, decayRate: number): number {
  if (known.step !== step || known.decayRate !== decayRate) {
    known = { step, decayRate, beta2: step === 1 ? 0 : 1 - power(step, decayRate) };
  }
  return known.beta2;
}

/** After the sums over G: the second moment, and for a matrix the factors of 1 / V̂. */
function prepareMeasure(slot: Slot): void {
  const { task, group, parameter } = slot;
  const { scalars } = task;
  const beta2 = decayAt(slot.step, group.decayRate as number);
  scalars[BETA2] = beta2;
  scalars[REST2] = 1 - beta2;
  scalars[EPS] = (group.eps as [number, number])[0];

  // The means over an empty dimension are not numbers; there is nothing to update either.
  if (task.kind === 'vector' || parameter.data.length === 0) return;
  const rowAverage = slot.arrays.get('exp_avg_sq_row')!;
  const colAverage = slot.arrays.get('exp_avg_sq_col')!;
  for (let matrix = 0; matrix < task.lead; matrix++) factor(task, matrix, rowAverage, colAverage);
}

/** After the sums over U and P: the learning rate, and the clip, which divides by RMS(U) / d where that is more than 1 (paper, section 6). */
function prepareApply(slot: Slot): void {
  const { task, group, parameter } = slot;
  const { scalars, rowFactor, colFactor } = task;
  slot.rms = rootMeanSquare(total(task, 1), parameter);
  const lr = learningRate(group, slot.step, slot.rms);
  slot.lr = lr;
  const clip = rootMeanSquare(total(task, 0), parameter) / (group.clipThreshold as number);
  const beta1 = group.beta1 as number | null;
  scalars[KEEP] = 1 - (group.weightDecay as number) * lr;
  scalars[BETA1] = beta1 ?? 0;
  const scale = (lr / (clip > 1 || Number.isNaN(clip) ? clip : 1)) * (beta1 === null ? 1 : 1 - beta1);
  if (task.kind === 'vector') scalars[SCALE] = scale;
  else {
    for (let i = 0; i < rowFactor.length; i++) rowFactor[i] = Math.sqrt(rowFactor[i]!) * scale;
    for (let j = 0; j < colFactor.length; j++) colFactor[j] = Math.sqrt(colFactor[j]!);
  }
}

function rootMeanSquare(sum: number, parameter: Parameter): number {
  const { length } = parameter.data;
  return length === 0 ? 0 : Math.sqrt(sum / length);
}

/**
 * Adafactor, as in transformers.optimization.Adafactor: factored second moments over the last two dimensions of every parameter of rank 2 and
 * more (one factorisation per leading index), relative step, parameter scale, and clipping by the update's root mean square.
 *
 * For a matrix G of shape rows × cols at step t, with β₂ₜ = 1 − t^decayRate:
 *
 * - R ← β₂ₜ R + (1 − β₂ₜ) · (mean over each row of G² + ε₁), C the same over columns
 * - V̂_ij = R_i C_j / mean(R), U = G / √V̂, U ← U / max(1, RMS(U) / d)
 * - α = max(ε₂, RMS(P)) · min(1e-2, 1 / √t), or lr
 * - P ← P − α · weightDecay · P − α U, or with `beta1` minus the running average of α U
 *
 * Vectors and scalars keep the whole second moment. State per parameter, as PyTorch names it: `step`, `RMS`, `exp_avg_sq_row` and `exp_avg_sq_col`
 * (rank 2 and more) or `exp_avg_sq`, `exp_avg` (with `beta1`); float64 for float64 parameters, else float32.
 *
 * @example The settings recommended for fine-tuning T5
 * ```ts
 * const optimizer = new Adafactor([weight], { lr: 1e-3, scaleParameter: false, relativeStep: false });
 * ```
 */
export class Adafactor extends Optimizer {
  /**
   * @param params - Parameters, or groups with options of their own.
   * @param options - See {@link AdafactorOptions}.
   * @throws TypeError or RangeError that names the option: unknown, of the wrong kind or out of range, `lr` beside `relativeStep`, neither of
   * both, `warmupInit` without `relativeStep`; or a parameter given twice.
   */
  constructor(params: Params, options: AdafactorOptions = {}) {
    super(formula, params, options);
  }

  /**
   * The learning rate used at this parameter's last update, relative step and parameter scale applied; undefined before the first. After a
   * resume it is computed from the loaded state.
   *
   * @throws RangeError when the parameter is not one of this optimizer's.
   */
  effectiveLr(parameter: Parameter): number | undefined {
    const slot: Slot | undefined = this.slotOf(parameter);
    if (slot === undefined) {
      const what = parameter instanceof Parameter ? label(parameter) : show(parameter);
      throw new RangeError(`Adafactor.effectiveLr: ${what} is not a parameter of this optimizer`);
    }
    if (slot.step === 0) return undefined;
    slot.lr ??= learningRate(slot.group, slot.step, slot.rms);
    return slot.lr;
  }
}
