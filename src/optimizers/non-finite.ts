/**
 * Gradients that hold NaN or infinity: the error, and where they do.
 *
 * @module
 */

import type { DType, NumericArray } from '../core/dtype.ts';
import { label, type Parameter } from '../core/parameter.ts';
import { widened } from '../core/sixteen-bits.ts';

/** A gradient held NaN or infinity (or a number whose square is not finite), and `nonFinite` is `"throw"`. Nothing was changed. */
export class NonFiniteGradientError extends Error {
  /** `"NonFiniteGradientError"`. */
  override readonly name = 'NonFiniteGradientError';
  /** Name of the parameter, or its index in the optimizer. */
  readonly parameter: string;
  /** Index of the first such element in the gradient. */
  readonly index: number;

  /** @internal */
  constructor(where: string, parameter: Parameter, position: number, index: number, value: number) {
    const square = value * value;
    let what = `${value} at index ${index}`;
    if (Number.isFinite(square)) what += ', the largest of numbers whose squares have no finite sum';
    else if (Number.isFinite(value)) what += ', whose square is not finite';
    super(
      `${where}: the gradient of ${label(parameter, position)} is ${what}; nothing was changed. ` +
        'Lower the learning rate or clip with clipGradNorm, or leave such steps out with nonFinite: "skip"',
    );
    this.parameter = parameter.name ?? String(position);
    this.index = index;
  }
}

/** Index and value of the first element whose square is not finite; of the largest when only their sum overflows. @internal */
export function firstNonFinite(gradient: NumericArray, dtype: DType): [index: number, value: number] {
  const values = gradient instanceof Uint16Array ? widened(gradient, dtype === 'float16') : gradient;
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    if (!Number.isFinite(x * x)) return [i, x];
    if (Math.abs(x) > Math.abs(values[largest]!)) largest = i;
  }
  return [largest, values[largest]!];
}
