/**
 * Lion: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms" (arXiv:2302.06675),
 * algorithm 2 with decoupled decay, as the PyPI package lion-pytorch computes it.
 *
 * One number of state per weight, half of AdamW's. The paper takes a learning rate 3 to 10 times
 * smaller than AdamW's, and a weight decay as much larger.
 *
 * @module
 */
import { OWN, places } from '../engine/work.ts';
import { lion as lion64 } from '../loops/generated/sign-momentum64.ts';
import { lion as loop } from '../loops/sign-momentum.ts';
import { type CheckLoops, elementwise } from './elementwise.ts';
import { Optimizer } from './optimizer.ts';
import type { CommonOptions, Params } from './param-group.ts';
import { nonNegative, option, pairOf, type Rule } from './rule.ts';

/** Options of {@link Lion}; names and defaults are those of lion-pytorch. */
export interface LionOptions extends CommonOptions {
  /** Learning rate, at least 0. Default 1e-4. */
  lr?: number;
  /**
   * β₁ of the update's interpolation and β₂ of the moment, from 0 to less than 1. Default
   * `[0.9, 0.99]`.
   */
  betas?: readonly [number, number];
  /** Decoupled weight decay per step, times the learning rate. At least 0; default 0. */
  weightDecay?: number;
}

const N = places(OWN, ['beta1', 'rest1', 'beta2', 'rest2', 'lr', 'keep']);
const loops = { lion: loop };

const lion: Rule<LionOptions, typeof loops & CheckLoops> = elementwise<LionOptions, typeof loops, 'exp_avg'>({
  name: 'Lion',
  options: {
    lr: option(1e-4, nonNegative),
    betas: option([0.9, 0.99], pairOf('[0.9, 0.99]', 1)),
    weightDecay: option(0, nonNegative),
  },
  state: [{ key: 'exp_avg' }],
  stepless: true,
  numbers: N,
  loops: { float32: loops, float64: { lion: lion64 } },
  prepare(numbers, { lr, betas, weightDecay }) {
    const [beta1, beta2] = betas;
    numbers[N.beta1] = beta1;
    numbers[N.rest1] = 1 - beta1;
    numbers[N.beta2] = beta2;
    numbers[N.rest2] = 1 - beta2;
    numbers[N.lr] = lr!;
    numbers[N.keep] = 1 - lr! * weightDecay;
  },
  update({ g, p }, { numbers, state }, from, n) {
    const m = state.exp_avg as Float32Array;
    const beta1 = numbers[N.beta1]!;
    const rest1 = numbers[N.rest1]!;
    const beta2 = numbers[N.beta2]!;
    const rest2 = numbers[N.rest2]!;
    const lr = numbers[N.lr]!;
    const keep = numbers[N.keep]!;
    p.loops.lion(p.array, p.at, g.array, g.at, m, from, n, beta1, rest1, beta2, rest2, lr, keep);
  },
});

/**
 * Lion, as in the paper's algorithm 2: for a gradient g, element by element,
 *
 * - p ← p · (1 − lr · weightDecay) − lr · sign(β₁ m + (1 − β₁) g)
 * - m ← β₂ m + (1 − β₂) g
 *
 * State per parameter, as lion-pytorch names it: `exp_avg` (m); `step` beside it, which a loaded
 * state may lack. `exp_avg` is float64 for float64 parameters, else float32.
 *
 * @example
 * ```ts
 * const optimizer = new Lion([weight], { lr: 1e-4, weightDecay: 0.1 });
 * ```
 */
export class Lion extends Optimizer<LionOptions> {
  /** @internal */
  static readonly rule: Rule = lion;

  /**
   * @param params - Parameters, or groups with options of their own.
   * @param options - See {@link LionOptions}.
   * @throws TypeError or RangeError that names the option (unknown, of the wrong kind, out of
   * range) or the parameter given twice.
   */
  constructor(params: Params<LionOptions>, options: LionOptions = {}) {
    super(lion, params, options);
  }
}
