/**
 * SGD: stochastic gradient descent with the momentum of Polyak 1964 or of Nesterov 1983, after
 * Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning" (PMLR
 * 28), as torch.optim.SGD computes it.
 *
 * No state without momentum, one number per weight with it.
 *
 * @module
 */
import { number } from '../core/check.ts';
import { OWN, places } from '../engine/work.ts';
import {
  sgd as sgd64,
  sgdMomentum as sgdMomentum64,
  sgdNesterov as sgdNesterov64,
} from '../loops/generated/momentum64.ts';
import { sgd as loop, sgdMomentum, sgdNesterov } from '../loops/momentum.ts';
import { type CheckLoops, elementwise } from './elementwise.ts';
import { Optimizer } from './optimizer.ts';
import type { CommonOptions, Params } from './param-group.ts';
import { flag, nonNegative, option, type Rule, SUNK } from './rule.ts';

/** Options of {@link SGD}; names and defaults are those of torch.optim.SGD. */
export interface SGDOptions extends CommonOptions {
  /** Learning rate, at least 0. Default 1e-3. */
  lr?: number;
  /** Factor of the last update's direction in this one. At least 0; default 0: no buffer. */
  momentum?: number;
  /** The gradient enters the momentum times 1 − dampening, but for the first. Default 0. */
  dampening?: number;
  /** Coupled weight decay: added to the gradient, times the weights. At least 0; default 0. */
  weightDecay?: number;
  /** Look ahead along the momentum; needs a momentum, and no dampening. Default false. */
  nesterov?: boolean;
  /** Climb instead of descend. Default false. */
  maximize?: boolean;
}

const N = places(OWN, ['sign', 'decay', 'lr', 'momentum', 'rest', 'nesterov', 'ahead', 'begun']);
const loops = { sgd: loop, sgdMomentum, sgdNesterov };

const sgd: Rule<SGDOptions, typeof loops & CheckLoops> = elementwise<SGDOptions, typeof loops, 'momentum_buffer'>({
  name: 'SGD',
  options: {
    lr: option(1e-3, nonNegative),
    momentum: option(0, nonNegative),
    dampening: option(0, (name, value) => number(name, value)),
    weightDecay: option(0, nonNegative),
    nesterov: option(false, flag, 'newer'),
    maximize: option(false, flag, 'newer'),
  },
  foreign: { foreach: null, differentiable: false, fused: null },
  checkGroup(where, { nesterov, momentum, dampening }, construction) {
    // As PyTorch, which computes what a loaded or changed group says.
    if (!construction || !nesterov || (momentum > 0 && dampening === 0)) return;
    throw new RangeError(
      `${where}: nesterov must be false without momentum or with dampening, ` +
        `got momentum ${momentum} and dampening ${dampening}; pass momentum, such as 0.9, and dampening 0`,
    );
  },
  state: [{ key: 'momentum_buffer', when: ({ momentum }) => momentum !== 0, begun: N.begun, negligible: SUNK }],
  stepless: true,
  numbers: N,
  loops: {
    float32: loops,
    float64: { sgd: sgd64, sgdMomentum: sgdMomentum64, sgdNesterov: sgdNesterov64 },
  },
  prepare(numbers, { lr, momentum, dampening, weightDecay, nesterov, maximize }) {
    numbers[N.sign] = maximize ? -1 : 1;
    numbers[N.decay] = weightDecay;
    numbers[N.lr] = lr!;
    if (momentum === 0) return;
    // The first momentum is the gradient itself.
    const first = numbers[N.begun] === 0;
    numbers[N.momentum] = first ? 0 : momentum;
    numbers[N.rest] = first ? 1 : 1 - dampening;
    numbers[N.nesterov] = nesterov ? 1 : 0;
    numbers[N.ahead] = momentum;
    numbers[N.begun] = 1;
  },
  update({ g, p }, { numbers, state }, from, n) {
    const m = state.momentum_buffer as Float32Array | null;
    const sign = numbers[N.sign]!;
    const decay = numbers[N.decay]!;
    const lr = numbers[N.lr]!;
    const momentum = numbers[N.momentum]!;
    const rest = numbers[N.rest]!;
    const { loops, array, at } = p;
    if (m === null) {
      loops.sgd(array, at, g.array, g.at, n, sign, decay, lr);
    } else if (numbers[N.nesterov] === 1) {
      const ahead = numbers[N.ahead]!;
      loops.sgdNesterov(array, at, g.array, g.at, m, from, n, sign, decay, lr, momentum, rest, ahead);
    } else {
      loops.sgdMomentum(array, at, g.array, g.at, m, from, n, sign, decay, lr, momentum, rest);
    }
  },
});

/**
 * SGD, as in torch.optim.SGD: for a gradient g (−g with `maximize`), element by element,
 *
 * - g ← g + weightDecay · p
 * - m ← momentum · m + (1 − dampening) g, but m ← g the first time
 * - p ← p − lr · m; with `nesterov` p ← p − lr · (g + momentum · m); without momentum
 *   p ← p − lr · g
 *
 * State per parameter, as PyTorch names it: `momentum_buffer` (m), from the first update with
 * momentum on; float64 for float64 parameters, else float32. `step` beside it, which a loaded state
 * may lack.
 *
 * @example
 * ```ts
 * const optimizer = new SGD([weight], { lr: 0.1, momentum: 0.9, nesterov: true });
 * ```
 */
export class SGD extends Optimizer<SGDOptions> {
  /** @internal */
  static readonly rule: Rule = sgd;

  /**
   * @param params - Parameters, or groups with options of their own.
   * @param options - See {@link SGDOptions}.
   * @throws TypeError or RangeError that names the option (unknown, of the wrong kind, out of
   * range, or `nesterov` without momentum or with dampening) or the parameter given twice.
   */
  constructor(params: Params<SGDOptions>, options: SGDOptions = {}) {
    super(sgd, params, options);
  }
}
