/**
 * Both formulas once more, slowly, in double, with a switch for every term. The library agrees with the whole formula to 1e-12, and a formula that
 * lacks any one term is far from it: so each row guards the term it names, in the library and in this reference.
 */
import { Adafactor, type AdafactorOptions, AdamW, type AdamWOptions, Parameter } from 'tensorless';
import { describe, expect, it } from 'vitest';
import { product, randomNumbers } from './_optimizers.ts';

/** Names of the terms that are left out. */
type Dropped = ReadonlySet<string>;

interface State {
  step: number;
  m: number[];
  v: number[];
  rows: number[];
  cols: number[];
}

const zeros = (length: number): number[] => new Array<number>(length).fill(0);
const rootMeanSquare = (x: readonly number[]): number => Math.sqrt(x.reduce((sum, a) => sum + a * a, 0) / x.length);

/** Shazeer & Stern 2018, algorithms 4 to 6, with transformers' options, one step. */
function adafactor(
  p: number[],
  g: readonly number[],
  shape: readonly number[],
  state: State,
  options: Required<Omit<AdafactorOptions, 'kernels' | 'seed' | 'rounding' | 'nonFinite'>>,
  dropped: Dropped,
): void {
  const { eps, clipThreshold, decayRate, beta1, weightDecay, scaleParameter, relativeStep, warmupInit } = options;
  const has = (term: string): boolean => !dropped.has(term);
  const t = ++state.step;
  let lr = options.lr ?? 0;
  if (relativeStep) {
    const cap = warmupInit && has('warmupInit') ? 1e-6 * t : 1e-2;
    lr = has('relative step 1/√t') ? Math.min(cap, 1 / Math.sqrt(t)) : cap;
    if (!has('relative step cap')) lr = 1 / Math.sqrt(t);
  }
  if (scaleParameter && has('parameter scale')) lr *= has('eps2') ? Math.max(eps[1], rootMeanSquare(p)) : rootMeanSquare(p);
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
    if (beta1 !== null && has('momentum')) {
      state.m[k] = beta1 * state.m[k]! + (has('1 - beta1') ? 1 - beta1 : 1) * u;
      u = state.m[k]!;
    }
    p[k] = p[k]! - (has('lr in the weight decay') ? lr : 1) * decay * p[k]! - u;
  }
}

/** torch.optim.AdamW, and with correctBias: false the AdamW of early transformers, one step. */
function adamw(
  p: number[],
  gradient: readonly number[],
  state: State,
  options: Required<Omit<AdamWOptions, 'kernels' | 'seed' | 'rounding' | 'nonFinite'>>,
  dropped: Dropped,
): void {
  const { lr, betas, eps, weightDecay, correctBias, amsgrad, maximize } = options;
  const has = (term: string): boolean => !dropped.has(term);
  const t = ++state.step;
  const [beta1, beta2] = betas;
  for (let k = 0; k < p.length; k++) {
    const g = maximize && has('maximize') ? -gradient[k]! : gradient[k]!;
    state.m[k] = has('first moment') ? beta1 * state.m[k]! + (1 - beta1) * g : g;
    state.v[k] = has('second moment') ? beta2 * state.v[k]! + (1 - beta2) * g * g : g * g;
    state.rows[k] = Math.max(state.rows[k]!, state.v[k]!);
    const v = amsgrad && has('amsgrad') ? state.rows[k]! : state.v[k]!;
    const corrected = correctBias === has('correctBias: false');
    const first = correctBias ? corrected : !corrected ? false : false;
    const correct1 = (correctBias || !has('correctBias: false')) && has('bias correction of the first moment');
    const correct2 = (correctBias || !has('correctBias: false')) && has('bias correction of the second moment');
    void first;
    const mHat = correct1 ? state.m[k]! / (1 - beta1 ** t) : state.m[k]!;
    const vHat = correct2 ? v / (1 - beta2 ** t) : v;
    const decay = has('weight decay') ? (has('lr in the weight decay') ? lr : 1) * weightDecay : 0;
    const update = (lr * mHat) / (Math.sqrt(vHat) + (has('eps') ? eps : 0));
    const decayLast = !correctBias && has('decay after the update');
    p[k] = decayLast ? (p[k]! - update) * (1 - decay) : p[k]! * (1 - decay) - update;
  }
}
