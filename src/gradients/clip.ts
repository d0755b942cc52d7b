/**
 * Clipping by the joint norm of all gradients: Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks".
 * Adafactor clips its updates by itself; transformers' documentation advises against clipping gradients beside it.
 *
 * @module
 */
import { number, show } from '../core/check.ts';
import type { NumericArray } from '../core/dtype.ts';
import { checkedGradient, label, Parameter } from '../core/parameter.ts';
import { bfloat16Bits, float16BitsOf, isSixteen, widened } from '../core/sixteen-bits.ts';
import { sumSquares as sumSquares64 } from '../loops/generated/sums64.ts';
import { sumSquares } from '../loops/sums.ts';

/**
 * Scales all gradients in place by min(1, maxNorm / (norm + 1e-6)) of their joint L2 norm, as torch.nn.utils.clip_grad_norm_ does. Parameters
 * without a gradient are left out.
 *
 * @param params - The parameters whose gradients are clipped together.
 * @param maxNorm - Largest norm, at least 0.
 * @returns The norm before, in double; 0 when there is no gradient.
 * @throws RangeError when the norm is NaN or infinite (nothing was scaled), or maxNorm is not a finite number of at least 0.
 * @throws TypeError when params is not an iterable of Parameters, or a gradient does not fit its parameter.
 */
export function clipGradNorm(params: Iterable<Parameter>, maxNorm: number): number {
  const most = number('clipGradNorm: maxNorm', maxNorm, { min: 0 });
  if (params instanceof Parameter || typeof (params as Iterable<Parameter> | null)?.[Symbol.iterator] !== 'function') {
    throw new TypeError(`clipGradNorm: params must be an array (or other iterable) of Parameters, got ${show(params)}`);
  }
  const gradients = new Map<Parameter, NumericArray>();
  let sum = 0;
  let worst = '';
  let index = 0;
  for (const parameter of params) {
    if (!(parameter instanceof Parameter)) {
      throw new TypeError(`clipGradNorm: params[${index}] must be a Parameter, got ${show(parameter)}`);
    }
    const name = label(parameter, index);
    const gradient = checkedGradient('clipGradNorm', parameter, index++);
    if (gradient === null || gradients.has(parameter)) continue;
    const own = squares(gradient, parameter);
    if (!Number.isFinite(own) && worst === '') worst = name;
    sum += own;
    gradients.set(parameter, gradient);
  }
  const norm = Math.sqrt(sum);
  if (!Number.isFinite(norm)) {
    throw new RangeError(
      `clipGradNorm: the norm is ${norm}, because of the gradient of ${worst || 'several parameters together'}; nothing was scaled. ` +
        'Leave this batch out, or lower the learning rate',
    );
  }
  const coefficient = most / (norm + 1e-6);
  if (coefficient < 1) for (const [parameter, gradient] of gradients) scale(gradient, parameter, coefficient);
  return norm;
}

function squares(gradient: NumericArray, parameter: Parameter): number {
  if (gradient instanceof Float64Array) return sumSquares64(gradient, 0, gradient.length);
  const numbers = gradient instanceof Uint16Array ? widened(gradient, parameter.dtype === 'float16') : gradient;
  return sumSquares(numbers, 0, numbers.length);
}

function scale(gradient: NumericArray, parameter: Parameter, coefficient: number): void {
  if (!(gradient instanceof Uint16Array) || !isSixteen(parameter.dtype)) {
    for (let k = 0; k < gradient.length; k++) gradient[k]! *= coefficient;
    return;
  }
  const half = parameter.dtype === 'float16';
  const numbers = widened(gradient, half);
  const words = new Uint32Array(numbers.buffer);
  const narrow = half ? float16BitsOf : bfloat16Bits;
  for (let k = 0; k < gradient.length; k++) {
    numbers[k]! *= coefficient;
    gradient[k] = narrow(words[k]!);
  }
}
