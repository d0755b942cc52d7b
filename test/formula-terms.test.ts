/**
 * All formulas once more, slowly, in double, with a switch for every term. The library agrees with
 * the whole formula to 1e-12, and a formula that lacks any one term is far from it: so each row
 * guards the term it names, in the library and in this reference.
 */
import {
  Adafactor,
  type AdafactorOptions,
  AdamW,
  type AdamWOptions,
  type CommonOptions,
  Lion,
  type LionOptions,
  type Optimizer,
  Parameter,
  SGD,
  type SGDOptions,
} from 'tensorless';
import { describe, expect, it } from 'vitest';
import { product, randomNumbers } from './_optimizers.ts';

/** Whether the formula at hand has this term. */
type Has = (term: string) => boolean;
type Numbers<Options> = Required<Omit<Options, keyof CommonOptions>>;
type AdafactorNumbers = Numbers<AdafactorOptions>;
type AdamWNumbers = Numbers<AdamWOptions>;
type LionNumbers = Numbers<LionOptions>;
type SGDNumbers = Numbers<SGDOptions>;

interface State {
  step: number;
  m: number[];
  v: number[];
  rows: number[];
  cols: number[];
  largest: number[];
}

const zeros = (length: number): number[] => new Array<number>(length).fill(0);
const rootMeanSquare = (x: readonly number[]): number => Math.sqrt(x.reduce((sum, a) => sum + a * a, 0) / x.length);

/** Shazeer & Stern 2018, algorithms 4 to 6, with transformers' options, one step. */
function adafactor(
  p: number[],
  g: readonly number[],
  shape: readonly number[],
  state: State,
  options: AdafactorNumbers,
  has: Has,
): void {
  const { eps, clipThreshold, beta1, weightDecay } = options;
  const t = ++state.step;
  let lr = has('lr') ? (options.lr ?? 0) : 1e-2;
  if (options.relativeStep) {
    const most = options.warmupInit && has('warmupInit') ? 1e-6 * t : has('relative step at most 1e-2') ? 1e-2 : 1;
    lr = has('relative step 1/√t') ? Math.min(most, 1 / Math.sqrt(t)) : most;
  }
  if (options.scaleParameter && has('parameter scale')) lr *= Math.max(has('eps2') ? eps[1] : 0, rootMeanSquare(p));
  const decayRate = has('decayRate') ? options.decayRate : -0.8;
  const beta2 = has('growing decay of the second moment') ? 1 - t ** decayRate : 0;
  const squares = g.map((x) => x * x + (has('eps1') ? eps[0] : 0));
  let update: number[];
  if (shape.length >= 2 && has('factorisation')) {
    const [rows, cols] = [shape.at(-2)!, shape.at(-1)!];
    update = zeros(g.length);
    const count = has('one factorisation per leading index') ? product(shape.slice(0, -2)) : 1;
    const tall = (rows * product(shape.slice(0, -2))) / count;
    for (let matrix = 0; matrix < count; matrix++) {
      const at = (i: number, j: number): number => (matrix * tall + i) * cols + j;
      for (let i = 0; i < tall; i++) {
        let mean = 0;
        for (let j = 0; j < cols; j++) mean += squares[at(i, j)]! / cols;
        const k = matrix * tall + i;
        state.rows[k] = beta2 * state.rows[k]! + (1 - beta2) * mean;
      }
      for (let j = 0; j < cols; j++) {
        let mean = 0;
        for (let i = 0; i < tall; i++) mean += squares[at(i, j)]! / tall;
        const k = matrix * cols + j;
        state.cols[k] = beta2 * state.cols[k]! + (1 - beta2) * mean;
      }
      const own = state.rows.slice(matrix * tall, (matrix + 1) * tall);
      const mean = has('division by the mean of R') ? own.reduce((a, b) => a + b, 0) / tall : 1;
      for (let i = 0; i < tall; i++) {
        for (let j = 0; j < cols; j++) {
          update[at(i, j)] = g[at(i, j)]! / Math.sqrt((own[i]! * state.cols[matrix * cols + j]!) / mean);
        }
      }
    }
  } else {
    update = g.map((x, k) => {
      state.v[k] = beta2 * state.v[k]! + (1 - beta2) * squares[k]!;
      return x / Math.sqrt(state.v[k]!);
    });
  }
  const size = rootMeanSquare(update) / (has('clip threshold') ? clipThreshold : 1);
  const clip = has('clip') ? Math.max(1, size) : 1;
  const decay = has('weight decay') ? weightDecay : 0;
  for (let k = 0; k < p.length; k++) {
    let u = (lr * update[k]!) / clip;
    const shrink = (has('lr in the weight decay') ? lr : 1) * decay * p[k]!;
    if (!has('decay outside the momentum')) u += shrink;
    if (beta1 !== null && has('momentum')) {
      state.m[k] = beta1 * state.m[k]! + (has('1 - beta1') ? 1 - beta1 : 1) * u;
      u = state.m[k]!;
    }
    p[k] = p[k]! - (has('decay outside the momentum') ? shrink : 0) - u;
  }
}

/** torch.optim.AdamW, and with correctBias: false the AdamW of early transformers, one step. */
function adamw(
  p: number[],
  gradient: readonly number[],
  _shape: readonly number[],
  state: State,
  options: AdamWNumbers,
  has: Has,
): void {
  const { lr, betas, eps, weightDecay, amsgrad, maximize } = options;
  const correctBias = options.correctBias || !has('correctBias: false');
  const t = ++state.step;
  const [beta1, beta2] = betas;
  const correction1 = correctBias && has('bias correction of the first moment') ? 1 - beta1 ** t : 1;
  const correction2 = correctBias && has('bias correction of the second moment') ? 1 - beta2 ** t : 1;
  const decay = has('weight decay') ? (has('lr in the weight decay') ? lr : 1) * weightDecay : 0;
  for (let k = 0; k < p.length; k++) {
    let g = maximize && has('maximize') ? -gradient[k]! : gradient[k]!;
    if (!has('decoupling of the weight decay')) g += weightDecay * p[k]!;
    state.m[k] = has('first moment') ? beta1 * state.m[k]! + (1 - beta1) * g : g;
    state.v[k] = has('second moment') ? beta2 * state.v[k]! + (1 - beta2) * g * g : g * g;
    state.largest[k] = Math.max(state.largest[k]!, state.v[k]!);
    const v = amsgrad && has('amsgrad') ? state.largest[k]! : state.v[k]!;
    let root = Math.sqrt(v / correction2) + (has('eps') ? eps : 0);
    if (!has('eps outside the bias correction')) root = (Math.sqrt(v) + eps) / Math.sqrt(correction2);
    const update = ((has('lr') ? lr : 1e-3) * state.m[k]!) / correction1 / root;
    if (!has('decoupling of the weight decay')) p[k] = p[k]! - update;
    else if (!options.correctBias && has('decay after the update')) p[k] = (p[k]! - update) * (1 - decay);
    else p[k] = p[k]! * (1 - decay) - update;
  }
}

/** torch.optim.SGD, one step. */
function sgd(
  p: number[],
  gradient: readonly number[],
  _shape: readonly number[],
  state: State,
  options: SGDNumbers,
  has: Has,
): void {
  const { lr, momentum, dampening, weightDecay, nesterov, maximize } = options;
  const first = ++state.step === 1 && has('first momentum without dampening');
  for (let k = 0; k < p.length; k++) {
    const climb = maximize && has('maximize');
    const decay = has('weight decay') ? weightDecay * p[k]! : 0;
    let g = climb ? -gradient[k]! : gradient[k]!;
    // Before the sign it would grow the weights in a climb; outside the momentum it is decoupled.
    if (has('coupling of the weight decay')) g += has('decay after maximize') || !climb ? decay : -decay;
    let step = g;
    if (momentum !== 0 && has('momentum')) {
      const rest = has('dampening') && !first ? 1 - dampening : 1;
      state.m[k] = momentum * state.m[k]! + rest * g;
      step = state.m[k]!;
      if (nesterov && has('nesterov')) step = (has('gradient of nesterov') ? g : 0) + momentum * state.m[k]!;
    }
    if (!has('coupling of the weight decay')) step += decay;
    p[k] = p[k]! - (has('lr') ? lr : 1e-3) * step;
  }
}

/** Chen et al. 2023, algorithm 2, one step. */
function lion(
  p: number[],
  gradient: readonly number[],
  _shape: readonly number[],
  state: State,
  { lr, betas, weightDecay }: LionNumbers,
  has: Has,
): void {
  const [beta1, beta2] = betas;
  const rate = has('lr') ? lr : 1e-4;
  const decay = has('weight decay') ? (has('lr in the weight decay') ? rate : 1) * weightDecay : 0;
  for (let k = 0; k < p.length; k++) {
    const g = gradient[k]! + (has('decoupling of the weight decay') ? 0 : weightDecay * p[k]!);
    const m = has('moment') ? state.m[k]! : 0;
    const direction = has('interpolation with beta1') ? beta1 * m + (1 - beta1) * g : m + (1 - beta2) * g;
    const before = has('moment of beta2, after the update') ? direction : beta2 * m + (1 - beta2) * g;
    const update = has('sign') ? Math.sign(before) : before;
    const keep = has('decoupling of the weight decay') ? 1 - decay : 1;
    p[k] = p[k]! * keep - rate * update;
    state.m[k] = (has('beta2') ? beta2 : beta1) * m + (1 - (has('beta2') ? beta2 : beta1)) * g;
  }
}

interface Run {
  readonly shape?: readonly number[];
  /** Typical magnitude of the weights. */
  readonly size?: number;
  /** Every gradient is so many times the one before. */
  readonly growth?: number;
  /** Updates before the first, with moments of zero: for terms that only show late. */
  readonly updates?: number;
}

type Row<Options> = readonly [term: string, options: Options, run?: Run];

const matrix = [3, 4];
const external = { relativeStep: false, scaleParameter: false, lr: 0.05 };
/** The clip out of the way, as it would hide a constant factor of the update. */
const unclipped = { ...external, clipThreshold: 1e6 };

const adafactorRows: readonly Row<AdafactorOptions>[] = [
  ['growing decay of the second moment', unclipped],
  ['growing decay of the second moment', unclipped, { shape: [5] }],
  ['growing decay of the second moment', { ...unclipped, decayRate: -0.4 }],
  ['decayRate', { ...unclipped, decayRate: -0.4 }],
  ['eps1', { ...unclipped, eps: [0.1, 1e-3] }],
  ['eps1', { ...unclipped, eps: [0.1, 1e-3] }, { shape: [5] }],
  ['eps2', { eps: [1e-30, 0.5] }, { size: 0.01 }],
  ['parameter scale', {}],
  ['parameter scale', { relativeStep: false, lr: 0.05 }, { size: 3 }],
  ['relative step 1/√t', {}, { updates: 40_000 }],
  ['relative step at most 1e-2', {}],
  ['warmupInit', { warmupInit: true }, { size: 3 }],
  ['lr', external],
  ['factorisation', unclipped],
  ['one factorisation per leading index', unclipped, { shape: [2, 3, 4] }],
  ['division by the mean of R', unclipped],
  ['clip', external, { growth: 3 }],
  ['clip', external, { growth: 3, shape: [5] }],
  ['clip threshold', { ...external, clipThreshold: 0.5 }],
  ['weight decay', { ...external, weightDecay: 0.3 }],
  ['weight decay', { weightDecay: 0.3 }, { shape: [5] }],
  ['lr in the weight decay', { ...external, weightDecay: 0.3 }],
  ['momentum', { ...external, beta1: 0.8 }],
  ['momentum', { ...external, beta1: 0.8 }, { shape: [5] }],
  ['1 - beta1', { ...external, beta1: 0.8 }],
  ['decay outside the momentum', { ...external, beta1: 0.8, weightDecay: 0.3 }],
];

const adamwRows: readonly Row<AdamWOptions>[] = [
  ['first moment', { lr: 0.05 }],
  ['second moment', { lr: 0.05 }],
  ['bias correction of the first moment', { lr: 0.05 }],
  ['bias correction of the second moment', { lr: 0.05 }],
  ['eps', { lr: 0.05, eps: 0.1 }],
  ['eps', { lr: 0.05, eps: 0.1, correctBias: false }],
  ['eps outside the bias correction', { lr: 0.05, eps: 0.1 }],
  ['lr', { lr: 0.05 }],
  ['weight decay', { lr: 0.05, weightDecay: 0.3 }],
  ['weight decay', { lr: 0.05, weightDecay: 0.3, correctBias: false }],
  ['lr in the weight decay', { lr: 0.05, weightDecay: 0.3 }],
  ['decoupling of the weight decay', { lr: 0.05, weightDecay: 0.3 }],
  ['amsgrad', { lr: 0.05, amsgrad: true, betas: [0.9, 0.8] }, { growth: 0.5 }],
  ['amsgrad', { lr: 0.05, amsgrad: true, betas: [0.9, 0.8], correctBias: false }, { growth: 0.5 }],
  ['maximize', { lr: 0.05, maximize: true }],
  ['correctBias: false', { lr: 0.05, correctBias: false }],
  ['decay after the update', { lr: 0.05, weightDecay: 0.3, correctBias: false }],
];

const sgdRows: readonly Row<SGDOptions>[] = [
  ['lr', { lr: 0.05 }],
  ['weight decay', { lr: 0.05, weightDecay: 0.3 }],
  ['weight decay', { lr: 0.05, weightDecay: 0.3, momentum: 0.9 }],
  ['weight decay', { lr: 0.05, weightDecay: 0.3, momentum: 0.9, nesterov: true }],
  ['coupling of the weight decay', { lr: 0.05, weightDecay: 0.3, momentum: 0.9 }],
  ['decay after maximize', { lr: 0.05, weightDecay: 0.3, maximize: true }],
  ['decay after maximize', { lr: 0.05, weightDecay: 0.3, maximize: true, momentum: 0.9 }],
  ['momentum', { lr: 0.05, momentum: 0.9 }],
  ['momentum', { lr: 0.05, momentum: 0.9, nesterov: true }],
  ['dampening', { lr: 0.05, momentum: 0.9, dampening: 0.4 }],
  ['first momentum without dampening', { lr: 0.05, momentum: 0.9, dampening: 0.4 }],
  ['nesterov', { lr: 0.05, momentum: 0.9, nesterov: true }],
  ['gradient of nesterov', { lr: 0.05, momentum: 0.9, nesterov: true }],
  ['maximize', { lr: 0.05, maximize: true }],
  ['maximize', { lr: 0.05, maximize: true, momentum: 0.9 }],
  ['maximize', { lr: 0.05, maximize: true, momentum: 0.9, nesterov: true }],
];

const lionRows: readonly Row<LionOptions>[] = [
  ['sign', { lr: 0.05 }],
  ['moment', { lr: 0.05 }],
  ['interpolation with beta1', { lr: 0.05 }],
  ['moment of beta2, after the update', { lr: 0.05, betas: [0.5, 0.95] }],
  ['beta2', { lr: 0.05, betas: [0.7, 0.95] }],
  ['lr', { lr: 0.05 }],
  ['weight decay', { lr: 0.05, weightDecay: 0.3 }],
  ['lr in the weight decay', { lr: 0.05, weightDecay: 0.3 }],
  ['decoupling of the weight decay', { lr: 0.05, weightDecay: 0.3 }],
];

const STEPS = 12;

function inputs({ shape = matrix, size = 0.5, growth = 1 }: Run): { weights: Float64Array; gradients: Float64Array[] } {
  const random = randomNumbers(7);
  const length = product(shape);
  return {
    weights: Float64Array.from({ length }, () => size * random()),
    gradients: Array.from({ length: STEPS }, (_, step) =>
      Float64Array.from({ length }, () => growth ** step * random()),
    ),
  };
}

/** The trajectory of the formula, without the term that is named. */
function reference<Options>(
  formula: (p: number[], g: readonly number[], shape: readonly number[], state: State, o: Options, has: Has) => void,
  options: Options,
  run: Run,
  asked: Set<string>,
  dropped?: string,
): number[] {
  const { weights, gradients } = inputs(run);
  const p = [...weights];
  const shape = run.shape ?? matrix;
  const n = p.length;
  const state = { step: run.updates ?? 0, m: zeros(n), v: zeros(n), rows: zeros(n), cols: zeros(n), largest: zeros(n) };
  const has: Has = (term) => {
    asked.add(term);
    return term !== dropped;
  };
  for (const gradient of gradients) formula(p, [...gradient], shape, state, options, has);
  return p;
}

/** The same trajectory by the library. */
function trajectory(make: (parameters: Parameter[]) => Optimizer, run: Run): number[] {
  const { weights, gradients } = inputs(run);
  const parameter = new Parameter(weights, run.shape ?? matrix);
  const optimizer = make([parameter]);
  if (run.updates !== undefined) {
    // A first step makes the state, which is then set back to zeros.
    parameter.grad = gradients[0]!;
    const before = weights.slice();
    optimizer.step();
    weights.set(before);
    const saved = optimizer.stateDict();
    const entry = saved.state[0]!;
    entry.step = run.updates;
    for (const value of Object.values(entry)) {
      if (typeof value === 'object') (value as unknown as { data: Float64Array }).data.fill(0);
    }
    optimizer.loadStateDict(saved);
  }
  for (const gradient of gradients) {
    parameter.grad = gradient;
    optimizer.step();
  }
  return [...weights];
}

/** Largest difference, as a part of the trajectory's largest number. */
function distance(got: readonly number[], expected: readonly number[]): number {
  const largest = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((x, k) => Math.abs(got[k]! - x))) / largest;
}

function named<Options>(rows: readonly Row<Options>[]): { term: string; options: Options; run: Run }[] {
  return rows.map(([term, options, run = {}]) => ({ term, options, run }));
}

const adafactorDefaults: AdafactorNumbers = {
  lr: null,
  eps: [1e-30, 1e-3],
  clipThreshold: 1,
  decayRate: -0.8,
  beta1: null,
  weightDecay: 0,
  scaleParameter: true,
  relativeStep: true,
  warmupInit: false,
};
const adamwDefaults: AdamWNumbers = {
  lr: 1e-3,
  betas: [0.9, 0.999],
  eps: 1e-8,
  weightDecay: 1e-2,
  correctBias: true,
  amsgrad: false,
  maximize: false,
};

const sgdDefaults: SGDNumbers = {
  lr: 1e-3,
  momentum: 0,
  dampening: 0,
  weightDecay: 0,
  nesterov: false,
  maximize: false,
};
const lionDefaults: LionNumbers = { lr: 1e-4, betas: [0.9, 0.99], weightDecay: 0 };

describe('Adafactor', () => {
  const asked = new Set<string>();

  it.each(named(adafactorRows))('has $term (with $options, $run)', ({ term, options, run }) => {
    const all = { ...adafactorDefaults, ...options };
    const whole = reference(adafactor, all, run, asked);
    expect(
      distance(
        trajectory((parameters) => new Adafactor(parameters, options), run),
        whole,
      ),
    ).toBeLessThan(1e-12);
    expect(distance(reference(adafactor, all, run, asked, term), whole)).toBeGreaterThan(1e-3);
  });

  it('has a row for every term above', () => {
    expect([...asked].sort()).toEqual([...new Set(adafactorRows.map(([term]) => term))].sort());
  });
});

describe('AdamW', () => {
  const asked = new Set<string>();

  it.each(named(adamwRows))('has $term (with $options, $run)', ({ term, options, run }) => {
    const all = { ...adamwDefaults, ...options };
    const whole = reference(adamw, all, run, asked);
    expect(
      distance(
        trajectory((parameters) => new AdamW(parameters, options), run),
        whole,
      ),
    ).toBeLessThan(1e-12);
    expect(distance(reference(adamw, all, run, asked, term), whole)).toBeGreaterThan(1e-3);
  });

  it('has a row for every term above', () => {
    expect([...asked].sort()).toEqual([...new Set(adamwRows.map(([term]) => term))].sort());
  });
});

describe('Lion', () => {
  const asked = new Set<string>();

  it.each(named(lionRows))('has $term (with $options, $run)', ({ term, options, run }) => {
    const all = { ...lionDefaults, ...options };
    const whole = reference(lion, all, run, asked);
    expect(
      distance(
        trajectory((parameters) => new Lion(parameters, options), run),
        whole,
      ),
    ).toBeLessThan(1e-12);
    expect(distance(reference(lion, all, run, asked, term), whole)).toBeGreaterThan(1e-3);
  });

  it('has a row for every term above', () => {
    expect([...asked].sort()).toEqual([...new Set(lionRows.map(([term]) => term))].sort());
  });
});

describe('SGD', () => {
  const asked = new Set<string>();

  it.each(named(sgdRows))('has $term (with $options, $run)', ({ term, options, run }) => {
    const all = { ...sgdDefaults, ...options };
    const whole = reference(sgd, all, run, asked);
    expect(
      distance(
        trajectory((parameters) => new SGD(parameters, options), run),
        whole,
      ),
    ).toBeLessThan(1e-12);
    expect(distance(reference(sgd, all, run, asked, term), whole)).toBeGreaterThan(1e-3);
  });

  it('has a row for every term above', () => {
    expect([...asked].sort()).toEqual([...new Set(sgdRows.map(([term]) => term))].sort());
  });
});
