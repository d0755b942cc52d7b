/**
 * Clipping of all gradients together: by their joint norm (Pascanu, Mikolov & Bengio 2013, "On the
 * difficulty of training recurrent neural networks"), or element by element. Adafactor clips its
 * updates by itself; transformers' documentation advises against clipping gradients beside it.
 *
 * @module
 */
import { options as checkedOptions, number } from '../core/check.ts';
import type { NumericArray } from '../core/dtype.ts';
import { checkedGradient } from '../core/gradient.ts';
import { pow } from '../core/math.ts';
import { label, type Parameter, parametersOf } from '../core/parameter.ts';
import { bfloat16Bits, float16BitsOf, widened } from '../core/sixteen-bits.ts';
import { isFloat64, isUint16 } from '../core/typed-array.ts';
import { sumSquares as sumSquares64 } from '../loops/generated/sums64.ts';
import { sumSquares } from '../loops/sums.ts';

type Numbers = Float32Array | Float64Array;

/** A gradient, each once, with its parameter. */
interface Given {
  readonly name: string;
  readonly gradient: NumericArray;
  readonly half: boolean;
}

function gradientsOf(where: string, params: Iterable<Parameter>): Given[] {
  const given = new Map<Parameter, Given>();
  for (const [i, parameter] of parametersOf(where, params).entries()) {
    const gradient = checkedGradient(where, parameter, i);
    if (gradient === null || given.has(parameter)) continue;
    given.set(parameter, { name: label(parameter, i), gradient, half: parameter.dtype === 'float16' });
  }
  return [...given.values()];
}

function numbersOf({ gradient, half }: Given): Numbers {
  return isUint16(gradient) ? widened(gradient, half) : gradient;
}

/**
 * Scales all gradients in place by min(1, maxNorm / (norm + 1e-6)) of their joint norm, as
 * torch.nn.utils.clip_grad_norm_ does. Parameters without a gradient are left out.
 *
 * @param params - The parameters whose gradients are clipped together.
 * @param maxNorm - Largest norm, at least 0. Infinity: nothing is scaled, only the norm returned,
 * also when it is not finite.
 * @param options - `normType`: p of the norm, greater than 0; default 2. Infinity: the largest
 * absolute value.
 * @returns The norm before, in double, also of 16-bit gradients (PyTorch rounds it to their
 * format); 0 when there is no gradient.
 * @throws RangeError when the norm is NaN or infinite and maxNorm is not (nothing was scaled), or
 * maxNorm is less than 0, or normType not greater.
 * @throws TypeError when params is not an iterable of Parameters, or a gradient does not fit its
 * parameter.
 */
export function clipGradNorm(
  params: Iterable<Parameter>,
  maxNorm: number,
  options: { normType?: number } = {},
): number {
  const where = 'clipGradNorm';
  const most = positive(`${where}: maxNorm`, maxNorm, { min: 0 });
  const given = checkedOptions(where, options, ['normType']);
  const p = positive(`${where}: normType`, given.normType === undefined ? 2 : given.normType, { above: 0 });
  const gradients = gradientsOf(where, params);
  const norm = normOf(gradients, p);
  if (most === Number.POSITIVE_INFINITY) return norm;
  if (!Number.isFinite(norm)) {
    const worst = gradients.find((one) => !Number.isFinite(normOf([one], p)))?.name ?? 'several parameters together';
    throw new RangeError(
      `${where}: the norm is ${norm}, because of the gradient of ${worst}; nothing was scaled. ` +
        'Leave this batch out, or lower the learning rate',
    );
  }
  const coefficient = most / (norm + 1e-6);
  if (coefficient < 1) for (const one of gradients) scale(one, coefficient);
  return norm;
}

/** A number within limits, or Infinity. */
function positive(label: string, value: unknown, limits: { min?: number; above?: number }): number {
  return value === Number.POSITIVE_INFINITY ? value : number(label, value, limits);
}

/** The joint p-norm. */
function normOf(gradients: readonly Given[], p: number): number {
  let sum = 0;
  if (p === 2) {
    for (const one of gradients) sum += squares(numbersOf(one));
    return Math.sqrt(sum);
  }
  let largest = 0;
  for (const one of gradients) {
    for (const x of numbersOf(one)) {
      if (p === 1) sum += Math.abs(x);
      // NaN is the largest of all.
      else if (!(Math.abs(x) <= largest)) largest = Math.abs(x) > largest ? Math.abs(x) : Number.NaN;
    }
  }
  if (p === 1) return sum;
  if (p === Number.POSITIVE_INFINITY || !(largest > 0 && largest < Number.POSITIVE_INFINITY)) return largest;
  // Of numbers up to 1, so that no power overflows.
  for (const one of gradients) for (const x of numbersOf(one)) sum += x === 0 ? 0 : pow(Math.abs(x) / largest, p);
  return largest * pow(sum, 1 / p);
}

function squares(numbers: Numbers): number {
  if (isFloat64(numbers)) return sumSquares64(numbers, 0, numbers.length);
  return sumSquares(numbers, 0, numbers.length);
}

/**
 * Clamps every gradient element to [-clipValue, clipValue], as torch.nn.utils.clip_grad_value_
 * does: the bounds rounded to the gradient's format, NaN left as it is. Parameters without a
 * gradient are left out.
 *
 * @param params - The parameters whose gradients are clipped.
 * @param clipValue - Largest absolute value, at least 0; Infinity changes nothing but is allowed.
 * @throws TypeError or RangeError when clipValue or params is wrong, or a gradient does not fit its
 * parameter; nothing was clipped.
 */
export function clipGradValue(params: Iterable<Parameter>, clipValue: number): void {
  const most = positive('clipGradValue: clipValue', clipValue, { min: 0 });
  for (const { gradient, half } of gradientsOf('clipGradValue', params)) {
    if (isUint16(gradient)) clamp16(gradient, half, most);
    else {
      for (let k = 0; k < gradient.length; k++) {
        const x = gradient[k]!;
        if (x > most) gradient[k] = most;
        else if (x < -most) gradient[k] = -most;
      }
    }
  }
}

function clamp16(gradient: Uint16Array, half: boolean, most: number): void {
  const bits = new Uint32Array(Float32Array.of(most).buffer)[0]!;
  const bound = half ? float16BitsOf(bits) : bfloat16Bits(bits);
  const infinity = half ? 0x7c00 : 0x7f80;
  for (let k = 0; k < gradient.length; k++) {
    const x = gradient[k]!;
    const magnitude = x & 0x7fff;
    // Patterns of one sign are in the order of their numbers; beyond infinity they are NaN.
    if (magnitude > bound && magnitude <= infinity) gradient[k] = (x & 0x8000) | bound;
  }
}

function scale({ gradient, half }: Given, coefficient: number): void {
  if (!isUint16(gradient)) {
    for (let k = 0; k < gradient.length; k++) gradient[k]! *= coefficient;
    return;
  }
  const numbers = widened(gradient, half);
  const words = new Uint32Array(numbers.buffer);
  const narrow = half ? float16BitsOf : bfloat16Bits;
  for (let k = 0; k < gradient.length; k++) {
    numbers[k]! *= coefficient;
    gradient[k] = narrow(words[k]!);
  }
}
