/**
 * Curves made of curves: one after the other, multiplied, scaled. The results are curves again, so
 * a `LambdaLR` takes them, with state dict, resume, groups and all.
 *
 * @module
 */
import { integer, number, show } from '../core/check.ts';
import type { Curve } from './curve.ts';

/**
 * One part of {@link sequential}: a curve and how many steps it lasts. The last part's number can
 * be left out.
 */
export type SequentialPart = readonly [curve: Curve, steps?: number];

function checkCurve(label: string, value: unknown): Curve {
  if (typeof value !== 'function') {
    throw new TypeError(
      `${label} must be a curve (a function from step to factor) such as constant(), got ${show(value)}`,
    );
  }
  return value as Curve;
}

/**
 * Curves one after the other. Each part lasts its number of steps and has a clock of its own that
 * starts at 0; the last one goes on for ever, so its number may be left out (and is not used).
 *
 * optax `join_schedules` takes the same curves but the steps at which they begin (boundaries) in
 * place of their lengths, and learning rates in place of factors. PyTorch `SequentialLR` takes
 * milestones and schedulers, each of which has written to the optimizer on construction, which it
 * then undoes; here nothing is written before the `LambdaLR`.
 *
 * @example Warm up over 100 steps, hold for 900, then anneal to a tenth over 1000 and stay there
 * ```ts
 * const curve = sequential(
 *   [constantWithWarmup({ numWarmupSteps: 100 }), 1000],
 *   [cosineWithWarmup({ numWarmupSteps: 0, numTrainingSteps: 1000, minLrRate: 0.1 }), 1000],
 *   [scale(constant(), 0.1)],
 * );
 * ```
 *
 * @throws TypeError or RangeError when there is no part, one is not `[curve, steps]`, or a number
 * of steps is not a non-negative integer.
 */
export function sequential(...parts: readonly SequentialPart[]): Curve {
  if (parts.length === 0) throw new RangeError('sequential: give at least one part, [curve, steps]');
  const curves: Curve[] = [];
  const starts: number[] = [];
  let start = 0;
  for (const [i, part] of parts.entries()) {
    const label = `sequential: part ${i}`;
    if (!Array.isArray(part) || part.length < 1 || part.length > 2) {
      throw new TypeError(`${label} must be [curve, steps], got ${show(part)}`);
    }
    const [curve, steps] = part as unknown as [unknown, unknown];
    curves.push(checkCurve(`${label}[0]`, curve));
    starts.push(start);
    if (steps !== undefined || i < parts.length - 1) start += integer(`${label}[1] (its steps)`, steps);
  }
  return (step) => {
    const t = integer('sequential: step', step);
    let i = curves.length - 1;
    while (t < starts[i]!) i--;
    return curves[i]!(t - starts[i]!);
  };
}

/**
 * The curve multiplied by a constant.
 *
 * @throws TypeError or RangeError when curve is not a function, or factor not a finite number of at
 * least 0.
 */
export function scale(curve: Curve, factor: number): Curve {
  const inner = checkCurve('scale: curve', curve);
  const by = number('scale: factor', factor, { min: 0 });
  return (step) => inner(step) * by;
}

/**
 * The product of curves at every step, as PyTorch's `ChainedScheduler` of closed-form schedules: a
 * warm-up, say, times a decay.
 *
 * @throws TypeError or RangeError when there is no curve, or one is not a function.
 */
export function chain(...curves: readonly Curve[]): Curve {
  if (curves.length === 0) throw new RangeError('chain: give at least one curve');
  const all = curves.map((curve, i) => checkCurve(`chain: curve ${i}`, curve));
  return (step) => {
    let product = 1;
    for (const curve of all) product *= curve(step);
    return product;
  };
}
