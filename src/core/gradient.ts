/** Gradients at the door: whether they fit their parameter, and the error where they hold NaN. */
import { show } from './check.ts';
import { isSixteen, type NumericArray } from './dtype.ts';
import { label, type Parameter, sizeOf } from './parameter.ts';
import { widened } from './sixteen-bits.ts';
import { float16Bits, isUint16, overlap, tagOf } from './typed-array.ts';

/**
 * The gradient as the loops take it (Float16Array as bits), or null where there is none.
 *
 * @throws TypeError or RangeError, naming the parameter, when it does not fit the data.
 */
export function checkedGradient(where: string, parameter: Parameter, index?: number): NumericArray | null {
  const { grad, data, dtype, shape } = parameter;
  if (grad === null) return null;
  const sixteen = isSixteen(dtype);
  const bits = float16Bits(grad);
  const tag = tagOf(bits);
  const own = tagOf(data);
  const size = sizeOf(shape);
  const kind = (tag === own || (sixteen && tag === 'Float32Array')) && (bits === grad || dtype === 'float16');
  const whole = kind && bits.length === size && data.length === size;
  if (whole && !overlap(bits, data)) return bits;
  const name = `${where}: ${label(parameter, index)}: grad must`;
  if (!kind) {
    const also = sixteen ? ` of ${dtype} bits, or a Float32Array` : '';
    throw new TypeError(`${name} be a ${own}${also}, or null; got ${show(grad)}`);
  }
  if (whole) {
    throw new RangeError(`${name} not share memory with the parameter's data; give it an array of its own`);
  }
  const moved = data.length === 0 || bits.length === 0 ? '; was its buffer transferred to another thread?' : '';
  throw new RangeError(
    `${name} have ${size} elements (shape ${show(shape)}), got ${bits.length} beside data of ${data.length}${moved}`,
  );
}

/**
 * A gradient held NaN or infinity (or a number whose square is not finite), and `nonFinite` is
 * `"throw"`. Nothing was changed.
 */
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

/**
 * Index and value of the first element whose square is not finite; of the largest when only their
 * sum overflows.
 */
export function firstNonFinite(gradient: NumericArray, half: boolean): [index: number, value: number] {
  const values = isUint16(gradient) ? widened(gradient, half) : gradient;
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    if (!Number.isFinite(x * x)) return [i, x];
    if (Math.abs(x) > Math.abs(values[largest]!)) largest = i;
  }
  return [largest, values[largest]!];
}
