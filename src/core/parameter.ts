/**
 * What is trained: a dense array with a shape, and the gradient beside it. No autodiff and no
 * arithmetic lives here.
 *
 * @module
 */
import { options as checkedOptions, integer, isRecord, iterated, optionalText, show } from './check.ts';
import type { DType, NumericArray } from './dtype.ts';
import { type Float16ArrayLike, float16Bits, tagOf } from './typed-array.ts';

/** The formats that each kind of array holds; where there are two, somebody has to say which. */
export const FORMATS: Readonly<Record<string, readonly DType[]>> = {
  Float32Array: ['float32'],
  Float64Array: ['float64'],
  Float16Array: ['float16'],
  Uint16Array: ['bfloat16', 'float16'],
};

/** The kind of array that a gradient beside data of kind `A` may be, whatever memory it lies in. */
export type GradientOf<A extends NumericArray> = A extends Float32Array
  ? Float32Array
  : A extends Float64Array
    ? Float64Array
    : Uint16Array | Float32Array;

/** Options of a {@link Parameter}. */
export interface ParameterOptions {
  /**
   * Format of the values. Needed for a Uint16Array only, `"bfloat16"` or `"float16"`; else it
   * follows from the array.
   */
  dtype?: DType;
  /** Name for messages, checkpoints and the stochastic rounding's stream. Default none. */
  name?: string;
}

function checkedShape(where: string, shape: unknown, length: number): readonly number[] {
  if (!Array.isArray(shape)) {
    throw new TypeError(
      `${where}: shape must be an array of dimension lengths, such as [rows, columns], got ${show(shape)}`,
    );
  }
  for (const [axis, dim] of shape.entries()) integer(`${where}: shape[${axis}]`, dim);
  const size = sizeOf(shape);
  if (size !== length) {
    throw new RangeError(
      `${where}: shape ${show(shape)} has ${size} elements but data has ${length}; ` + 'give the data its own shape',
    );
  }
  return Object.freeze([...(shape as number[])]);
}

/** Merged with the class: a gradient is read as the array it is, and a Float16Array may be set. */
export interface Parameter<A extends NumericArray = NumericArray> {
  /**
   * The gradient of the loss with respect to `data`: same length and format as `data`, or a
   * Float32Array beside 16-bit data. `null` (the start, and what `zeroGrad` sets): the optimizer
   * leaves this parameter out.
   */
  get grad(): GradientOf<A> | null;
  /** A Float16Array may be set beside float16 data. */
  set grad(gradient: GradientOf<A> | (A extends Uint16Array ? Float16ArrayLike : never) | null);
}

/**
 * A dense row-major array that an optimizer updates in place, with its gradient.
 *
 * Shape `[]` is a scalar, `[n]` a vector, `[..., rows, cols]` one matrix per leading index: that is
 * what Adafactor factors. A linear layer's weight is best given as `[outputs, inputs]`, as in
 * PyTorch. The type of the array is the class's: `new Parameter(new Float32Array(4))` is a
 * `Parameter<Float32Array>`. All but the gradient is fixed: give new values with `data.set`.
 *
 * @example
 * ```ts
 * const weight = new Parameter(new Float32Array(6), [2, 3], { name: 'weight' });
 * weight.grad = new Float32Array(6).fill(0.1);
 * const bias = new Parameter(new Float32Array(2), { name: 'bias' });
 * ```
 */
export class Parameter<A extends NumericArray = NumericArray> {
  /** The values; the optimizer writes into this very array. */
  declare readonly data: A;
  /** Length of every dimension. */
  declare readonly shape: readonly number[];
  /** Format of the values in `data`. */
  declare readonly dtype: DType;
  /** Name for messages, checkpoints and the stochastic rounding's stream. */
  declare readonly name: string | undefined;

  /**
   * @param data - The initial values. A Float16Array is held as the Uint16Array of its bits, over
   * the same memory.
   * @param shape - Length of every dimension; their product is `data.length`. Default
   * `[data.length]`; may be left out before options.
   * @param options - `dtype`, needed only for a Uint16Array (`"bfloat16"` or `"float16"`), and
   * `name`: see {@link ParameterOptions}.
   * @throws TypeError when data is not a typed array of a supported kind, or the dtype is missing
   * or does not fit it.
   * @throws RangeError when the shape does not have `data.length` elements.
   */
  constructor(data: A | Float16ArrayLike, shape?: readonly number[], options?: ParameterOptions);
  /** The same for a vector: shape `[data.length]`. */
  constructor(data: A | Float16ArrayLike, options: ParameterOptions);
  constructor(data: A | Float16ArrayLike, shape?: readonly number[] | ParameterOptions, given?: ParameterOptions) {
    const bare = given === undefined && isRecord(shape);
    const { dtype, name } = checkedOptions('Parameter', bare ? shape : given, ['dtype', 'name']) as ParameterOptions;
    optionalText('Parameter: name', name);
    const where = name === undefined ? 'Parameter' : `Parameter ${show(name)}`;
    const formats = FORMATS[tagOf(data)];
    if (formats === undefined) {
      const repair = Array.isArray(data) ? '; use Float32Array.from(...)' : '';
      throw new TypeError(`${where}: data must be a ${Object.keys(FORMATS).join(' or ')}, got ${show(data)}${repair}`);
    }
    const format = dtype === undefined ? formats[0]! : dtype;
    if (!formats.includes(format) || (dtype === undefined && formats.length > 1)) {
      const bits = formats.length > 1 ? ' (its numbers are bit patterns)' : '';
      throw new TypeError(
        `${where}: dtype of a ${tagOf(data)} must be ${formats.join(' or ')}${bits}, got ${show(dtype)}`,
      );
    }
    const fixed = (value: unknown): PropertyDescriptor => ({ value, enumerable: true });
    Object.defineProperties(this, {
      data: fixed(float16Bits(data)),
      shape: fixed(checkedShape(where, shape === undefined || bare ? [data.length] : shape, data.length)),
      dtype: fixed(format),
      name: fixed(name),
    });
    this.grad = null;
  }
}

/** How messages call a parameter: by its name, or by its index in the optimizer. */
export function label(parameter: Parameter, index?: number): string {
  const { name, shape } = parameter;
  if (name !== undefined) return `parameter ${show(name)}`;
  return index === undefined ? `a parameter of shape ${show(shape)}` : `parameter ${index}`;
}

/** Product of the dimensions; 1 for a scalar. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const dim of shape) size *= dim;
  return size;
}

/**
 * The Parameters of an iterable.
 *
 * @throws TypeError when it is none, or holds something else.
 */
export function parametersOf(where: string, params: unknown): Parameter[] {
  return iterated(`${where}: params`, params, 'Parameters').map((item, i) => {
    if (item instanceof Parameter) return item;
    throw new TypeError(`${where}: params[${i}] must be a Parameter, got ${show(item)}${wrapped(item)}`);
  });
}

/** The repair where an array stands in the place of a Parameter. */
export function wrapped(value: unknown): string {
  return ArrayBuffer.isView(value) ? '; wrap the array: new Parameter(array, shape)' : '';
}
