/**
 * AdamW: Kingma & Ba 2015, "Adam" (arXiv:1412.6980) with the decoupled weight decay of Loshchilov &
 * Hutter 2019 (arXiv:1711.05101), as torch.optim.AdamW computes it; AMSGrad after Reddi, Kale &
 * Kumar 2018 (arXiv:1904.09237).
 *
 * Two numbers of state per weight; where that is too much, take Adafactor.
 *
 * @module
 */
import { show } from '../core/check.ts';
import { pow } from '../core/math.ts';
import { OWN, places } from '../engine/work.ts';
import { adam, amsgrad } from '../loops/adam.ts';
import { adam as adam64, amsgrad as amsgrad64 } from '../loops/generated/adam64.ts';
import { type CheckLoops, elementwise } from './elementwise.ts';
import { Optimizer } from './optimizer.ts';
import type { CommonOptions, Params } from './param-group.ts';
import { flag, nonNegative, option, pairOf, type Rule, SUNK } from './rule.ts';

/** Options of {@link AdamW}; names and defaults are those of torch.optim.AdamW. */
export interface AdamWOptions extends CommonOptions {
  /** Learning rate, at least 0. Default 1e-3. */
  lr?: number;
  /**
   * Decay of the first and second moment, each at least 0 and less than 1. Default `[0.9, 0.999]`.
   */
  betas?: readonly [number, number];
  /** Added to the root of the second moment. At least 0; default 1e-8. */
  eps?: number;
  /** Decoupled weight decay per step, times the learning rate. At least 0; default 1e-2. */
  weightDecay?: number;
  /**
   * Divide the moments by 1 − βᵗ. Default true. With false: raw moments, and the decay comes after
   * the update, as in the original BERT and in early transformers' AdamW.
   */
  correctBias?: boolean;
  /** Use the largest second moment so far. Default false. */
  amsgrad?: boolean;
  /** Climb instead of descend. Default false. */
  maximize?: boolean;
}

const N = places(OWN, ['sign', 'rest1', 'beta2', 'rest2', 'scale', 'eps', 'keepBefore', 'keepAfter']);
const loops = { adam, amsgrad };
type State = 'exp_avg' | 'exp_avg_sq' | 'max_exp_avg_sq';

/** 1 − β₁ᵗ and 1 − β₂ᵗ of the last parameter: most often those of the next one too. */
interface Corrections {
  step: number;
  beta1: number;
  beta2: number;
  first: number;
  second: number;
}

const adamw: Rule<AdamWOptions, typeof loops & CheckLoops, Corrections> = elementwise<
  AdamWOptions,
  typeof loops,
  State,
  Corrections
>({
  name: 'AdamW',
  options: {
    lr: option(1e-3, nonNegative),
    betas: option([0.9, 0.999], pairOf('[0.9, 0.999]', 1)),
    eps: option(1e-8, nonNegative),
    weightDecay: option(1e-2, nonNegative),
    amsgrad: option(false, flag, 'newer'),
    maximize: option(false, flag, 'newer'),
    correctBias: option(true, flag, 'never'),
  },
  foreign: { foreach: null, capturable: false, differentiable: false, fused: null, decoupled_weight_decay: true },
  checkSaved(where, group) {
    const live: Record<string, unknown> = group;
    const decoupled = live.decoupled_weight_decay;
    live.decoupled_weight_decay = true;
    if (decoupled === true || group.weightDecay === 0) return;
    throw new RangeError(
      `${where}: decoupled_weight_decay must be true, got ${show(decoupled)}: ` +
        'this is the state of Adam with coupled weight decay, which AdamW is not',
    );
  },
  state: [
    { key: 'exp_avg', negligible: SUNK },
    { key: 'exp_avg_sq', negligible: { float32: 2 ** -110 } },
    { key: 'max_exp_avg_sq', when: ({ amsgrad }) => amsgrad },
  ],
  // A V of 2^-110 is as good as 0 beside ε only.
  exact: ({ eps, betas, correctBias }) => eps * (correctBias ? Math.sqrt(1 - betas[1]) : 1) < 2 ** -36,
  numbers: N,
  loops: { float32: loops, float64: { adam: adam64, amsgrad: amsgrad64 } },
  memo: () => ({ step: 0, beta1: 0, beta2: 0, first: 1, second: 1 }),
  prepare(numbers, { lr, betas, eps, weightDecay, correctBias, maximize }, step, memo) {
    const [beta1, beta2] = betas;
    const rate = lr!;
    if (memo.step !== step || memo.beta1 !== beta1 || memo.beta2 !== beta2) {
      memo.step = step;
      memo.beta1 = beta1;
      memo.beta2 = beta2;
      memo.first = 1 - pow(beta1, step);
      memo.second = 1 - pow(beta2, step);
    }
    const keep = 1 - rate * weightDecay;
    // m / (1−β₁ᵗ) / (√v / √(1−β₂ᵗ) + ε) with the corrections moved out of the element: into the
    // scale and into ε.
    const root = correctBias ? Math.sqrt(memo.second) : 1;
    numbers[N.scale] = correctBias ? (rate / memo.first) * root : rate;
    numbers[N.eps] = eps * root;
    numbers[N.sign] = maximize ? -1 : 1;
    numbers[N.rest1] = 1 - beta1;
    numbers[N.beta2] = beta2;
    numbers[N.rest2] = 1 - beta2;
    numbers[N.keepBefore] = correctBias ? keep : 1;
    numbers[N.keepAfter] = correctBias ? 1 : keep;
  },
  update({ g, p }, { numbers, state }, from, n) {
    const m = state.exp_avg as Float32Array;
    const v = state.exp_avg_sq as Float32Array;
    const largest = state.max_exp_avg_sq as Float32Array | null;
    const sign = numbers[N.sign]!;
    const rest1 = numbers[N.rest1]!;
    const beta2 = numbers[N.beta2]!;
    const rest2 = numbers[N.rest2]!;
    const scale = numbers[N.scale]!;
    const eps = numbers[N.eps]!;
    const keep = numbers[N.keepBefore]!;
    const after = numbers[N.keepAfter]!;
    const { loops, array, at } = p;
    if (largest === null) {
      loops.adam(array, at, g.array, g.at, m, v, from, n, sign, rest1, beta2, rest2, scale, eps, keep, after);
    } else {
      loops.amsgrad(
        array,
        at,
        g.array,
        g.at,
        m,
        v,
        largest,
        from,
        n,
        sign,
        rest1,
        beta2,
        rest2,
        scale,
        eps,
        keep,
        after,
      );
    }
  },
});

/**
 * AdamW, as in torch.optim.AdamW: for a gradient g at step t, element by element,
 *
 * - m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g²
 * - p ← p · (1 − lr · weightDecay) − lr · m̂ / (√v̂ + eps) with m̂ = m / (1 − β₁ᵗ), v̂ =
 *   v / (1 − β₂ᵗ)
 *
 * State per parameter, as PyTorch names it: `step`, `exp_avg` (m), `exp_avg_sq` (v),
 * `max_exp_avg_sq` (with `amsgrad`); float64 for float64 parameters, else float32 (PyTorch keeps a
 * 16-bit parameter's state in 16 bits; float32 loses less).
 *
 * @example
 * ```ts
 * const groups = [{ params: weight }, { params: bias, weightDecay: 0 }];
 * const optimizer = new AdamW(groups, { lr: 3e-4 });
 * ```
 */
export class AdamW extends Optimizer<AdamWOptions> {
  /** @internal */
  static readonly rule: Rule = adamw;

  /**
   * @param params - Parameters, or groups with options of their own.
   * @param options - See {@link AdamWOptions}.
   * @throws TypeError or RangeError that names the option (unknown, of the wrong kind, out of
   *   range) or the parameter given twice.
   */
  constructor(params: Params<AdamWOptions>, options: AdamWOptions = {}) {
    super(adamw, params, options);
  }
}
