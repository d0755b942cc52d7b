/**
 * AdamW: Kingma & Ba 2015, "Adam" (arXiv:1412.6980) with the decoupled weight decay of Loshchilov & Hutter 2019 (arXiv:1711.05101), as
 * torch.optim.AdamW computes it; AMSGrad after Reddi, Kale & Kumar 2018 (arXiv:1904.09237).
 *
 * Two numbers of state per weight; where that is too much, take Adafactor.
 *
 * @module
 */

import { number, show } from '../core/check.ts';
import { pow } from '../core/math.ts';
import { BETA2, createTask, EPS, KEEP, KEEP_AFTER, REST1, REST2, SCALE, SIGN, total } from '../engine/tasks.ts';
import { adamKinds } from './adam-tasks.ts';
import { type Formula, flag, nonNegative, type StateSpec, stateArrayOf } from './formula.ts';
import { Optimizer } from './optimizer.ts';
import type { CommonOptions, Params } from './param-group.ts';

/** Options of {@link AdamW}; names and defaults are those of torch.optim.AdamW. */
export interface AdamWOptions extends CommonOptions {
  /** Learning rate, at least 0. Default 1e-3. */
  lr?: number;
  /** Decay of the first and second moment, each at least 0 and less than 1. Default `[0.9, 0.999]`. */
  betas?: readonly [number, number];
  /** Added to the root of the second moment. At least 0; default 1e-8. */
  eps?: number;
  /** Decoupled weight decay per step, times the learning rate. At least 0; default 1e-2. */
  weightDecay?: number;
  /**
   * Divide the moments by 1 − βᵗ. Default true. With false: raw moments, and the decay comes after the update, as in the original BERT and
   * in early transformers' AdamW.
   */
  correctBias?: boolean;
  /** Use the largest second moment so far. Default false. */
  amsgrad?: boolean;
  /** Climb instead of descend. Default false. */
  maximize?: boolean;
}

const formula: Formula = {
  name: 'AdamW',
  defaults: {
    lr: 1e-3,
    betas: Object.freeze([0.9, 0.999]),
    eps: 1e-8,
    weightDecay: 1e-2,
    amsgrad: false,
    maximize: false,
    correctBias: true,
  },
  checks: {
    lr: nonNegative,
    betas: (name, value) => {
      if (!Array.isArray(value) || value.length !== 2) {
        throw new TypeError(`${name} must be two numbers, such as [0.9, 0.999], got ${show(value)}`);
      }
      const limits = { min: 0, below: 1 };
      return [number(`${name}[0]`, value[0], limits), number(`${name}[1]`, value[1], limits)];
    },
    eps: nonNegative,
    weightDecay: nonNegative,
    amsgrad: flag,
    maximize: flag,
    correctBias: flag,
  },
  ownOptions: ['correctBias'],
  foreignKeys: { foreach: null, capturable: false, differentiable: false, fused: null, decoupled_weight_decay: true },
  hasRms: false,
  kinds: adamKinds,

  checkGroup() {},

  checkForeign(label, key, value, group) {
    if (value !== null && typeof value !== 'boolean') {
      throw new TypeError(`${label} must be true, false or null, got ${show(value)}`);
    }
    if (key === 'decoupled_weight_decay' && value !== true && group.weightDecay !== 0) {
      throw new RangeError(
        `${label} must be true, got ${show(value)}: this is the state of Adam with coupled weight decay, which AdamW is not`,
      );
    }
  },

  createTask(parameter, scratch) {
    const { data, shape, dtype } = parameter;
    return createTask('adam', data, shape, dtype, scratch);
  },

  stateSpecs({ shape }, group) {
    const specs: StateSpec[] = [
      { key: 'exp_avg', shape },
      { key: 'exp_avg_sq', shape },
    ];
    if (group.amsgrad === true) specs.push({ key: 'max_exp_avg_sq', shape });
    return specs;
  },

  passes: 2,

  gradientSum(task) {
    return total(task, 0);
  },

  bind(slot, stateOf) {
    const { task, group } = slot;
    task.m = stateArrayOf(formula, slot, 'exp_avg', stateOf);
    task.v = stateArrayOf(formula, slot, 'exp_avg_sq', stateOf);
    task.largest = group.amsgrad === true ? stateArrayOf(formula, slot, 'max_exp_avg_sq', stateOf) : null;
  },

  prepare(slot, pass) {
    const { task, group, step } = slot;
    const { scalars } = task;
    if (pass === 0) return;
    const [beta1, beta2] = group.betas as [number, number];
    const lr = group.lr!;
    const correct = group.correctBias === true;
    const keep = 1 - lr * (group.weightDecay as number);
    // m / (1−β₁ᵗ) / (√v / √(1−β₂ᵗ) + ε) with the corrections moved out of the element: into the scale and into ε.
    const root = correct ? Math.sqrt(1 - pow(beta2, step)) : 1;
    scalars[SCALE] = correct ? (lr / (1 - pow(beta1, step))) * root : lr;
    scalars[EPS] = (group.eps as number) * root;
    scalars[SIGN] = group.maximize === true ? -1 : 1;
    scalars[REST1] = 1 - beta1;
    scalars[BETA2] = beta2;
    scalars[REST2] = 1 - beta2;
    scalars[KEEP] = correct ? keep : 1;
    scalars[KEEP_AFTER] = correct ? 1 : keep;
  },
};

/**
 * AdamW, as in torch.optim.AdamW: for a gradient g at step t, element by element,
 *
 * - m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g²
 * - p ← p · (1 − lr · weightDecay) − lr · m̂ / (√v̂ + eps) with m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
 *
 * State per parameter, as PyTorch names it: `step`, `exp_avg` (m), `exp_avg_sq` (v), `max_exp_avg_sq` (with `amsgrad`); float64 for float64
 * parameters, else float32 (PyTorch keeps a 16-bit parameter's state in 16 bits; float32 loses less).
 *
 * @example
 * ```ts
 * const optimizer = new AdamW([{ params: [weight] }, { params: [bias], weightDecay: 0 }], { lr: 3e-4 });
 * ```
 */
export class AdamW extends Optimizer {
  /**
   * @param params - Parameters, or groups with options of their own.
   * @param options - See {@link AdamWOptions}.
   * @throws TypeError or RangeError that names the option (unknown, of the wrong kind, out of range) or the parameter given twice.
   */
  constructor(params: Params, options: AdamWOptions = {}) {
    super(formula, params, options);
  }
}
