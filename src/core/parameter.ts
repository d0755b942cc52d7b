/**
 * What is trained: a dense array with a shape, and the gradient beside it. No autodiff and no arithmetic lives here.
 *
 * @module
 */
import { options as checkedOptions, integer, show } from './check.ts';
import type { DType, NumericArray } from './dtype.ts';
import { isSixteen } from './sixteen-bits.ts';

/**
 * A Float16Array where the runtime has one (Node 24, current browsers). Spelled structurally so that these types compile
 * with every `lib`; it is worked on through a Uint16Array over the same memory.
 */
export interface Float16ArrayLike {
  /** Tells it from other arrays. */
  readonly [Symbol.toStringTag]: 'Float16Array';
  /** The memory it is a view of. */
  readonly buffer: ArrayBufferLike;
  /** First byte of the view. */
  readonly byteOffset: number;
  /** Number of elements. */
  readonly length: number;
}

/** The formats that each kind of array holds; where there are two, somebody has to say which. */
const FORMATS: Readonly<Record<string, readonly DType[]>> = {
  Float32Array: ['float32'],
  Float64Array: ['float64'],
  Float16Array: ['float16'],
  Uint16Array: ['bfloat16', 'float16'],
};

/** Tells arrays by their tag and not by instanceof, so that arrays of another realm (iframe, vm) are taken too. */
function tagOf(value: unknown): string {
  return ArrayBuffer.isView(value) ? ((value as { [Symbol.toStringTag]?: string })[Symbol.toStringTag] ?? '') : '';
}

/** Whether other threads reach the array's memory. */
export function isShared(array: NumericArray): boolean {
  return Object.prototype.toString.call(array.buffer) === '[object SharedArrayBuffer]';
}

/** The bits of a Float16Array as a Uint16Array over the same memory; every other value as it is. */
export function float16Bits<T>(value: T | Float16ArrayLike): T | Uint16Array {
  if (tagOf(value) !== 'Float16Array') return value as T;
  const array = value as Float16ArrayLike;
  return new Uint16Array(array.buffer, array.byteOffset, array.length);
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
      `${where}: shape ${show(shape)} has ${size} elements but data has ${length}; give the shape that the data was made with`,
    );
  }
  return Object.freeze([...(shape as number[])]);
}

/**
 * A dense row-major array that an optimizer updates in place, with its gradient.
 *
 * Shape `[]` is a scalar, `[n]` a vector, `[..., rows, cols]` one matrix per leading index: that is what Adafactor factors.
 * A linear layer's weight is best given as `[outputs, inputs]`, as in PyTorch.
 *
 * @example
 * ```ts
 * const weight = new Parameter(new Float32Array(6), [2, 3], { name: 'weight' });
 * weight.grad = new Float32Array(6).fill(0.1);
 * ```
 */
export class Parameter {
  /** The values; the optimizer writes into this very array. */
  readonly data: NumericArray;
  /** Length of every dimension. */
  readonly shape: readonly number[];
  /** Format of the values in `data`. */
  readonly dtype: DType;
  /** Name for messages, checkpoints and the stochastic rounding's stream. */
  readonly name: string | undefined;
  /**
   * The gradient of the loss with respect to `data`: same length and format as `data`, or a Float32Array beside 16-bit data.
   * `null` (the start, and what `zeroGrad` sets): the optimizer leaves this parameter out.
   */
  grad: NumericArray | Float16ArrayLike | null = null;

  /**
   * @param data - The initial values. A Float16Array is held as the Uint16Array of its bits, over the same memory.
   * @param shape - Length of every dimension; their product is `data.length`. Default `[data.length]`.
   * @param options - `dtype`: the format, needed only for a Uint16Array (`"bfloat16"` or `"float16"`), else it follows
   * from the array. `name`: shown in messages.
   * @throws TypeError when data is not a typed array of a supported kind, or the dtype is missing or does not fit it.
   * @throws RangeError when the shape does not have `data.length` elements.
   */
  constructor(
    data: NumericArray | Float16ArrayLike,
    shape?: readonly number[],
    options: { dtype?: DType; name?: string } = {},
  ) {
    const { dtype, name } = checkedOptions('Parameter', options, ['dtype', 'name']) as { dtype?: DType; name?: string };
    if (name !== undefined && typeof name !== 'string') {
      throw new TypeError(`Parameter: name must be a string, got ${show(name)}`);
    }
    const where = name === undefined ? 'Parameter' : `Parameter ${JSON.stringify(name)}`;
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
    this.data = float16Bits(data);
    this.shape = checkedShape(where, shape === undefined ? [data.length] : shape, data.length);
    this.dtype = format;
    this.name = name;
  }
}

/** How messages call a parameter: by its name, or by its index in the optimizer. */
export function label(parameter: Parameter, index?: number): string {
  const { name, shape } = parameter;
  if (name !== undefined) return `parameter ${JSON.stringify(name)}`;
  return index === undefined ? `a parameter of shape ${show(shape)}` : `parameter ${index}`;
}

/**
 * The gradient as the loops take it (Float16Array as bits), or null where there is none.
 *
 * @throws TypeError or RangeError, naming the parameter, when it does not fit the data.
 */
export function checkedGradient(where: string, parameter: Parameter, index?: number): NumericArray | null {
  const { grad, data, dtype, shape } = parameter;
  if (grad === null) return null;
  const sixteen = isSixteen(dtype);
  const bits = float16Bits(grad as NumericArray | Float16ArrayLike);
  const tag = tagOf(bits);
  const own = tagOf(data);
  const size = sizeOf(shape);
  const kind = (tag === own || (sixteen && tag === 'Float32Array')) && (bits === grad || dtype === 'float16');
  if (kind && bits.length === size && data.length === size && !overlap(bits, data)) return bits;
  const name = `${where}: ${label(parameter, index)}: grad must`;
  if (!kind) {
    const also = sixteen ? ` of ${dtype} bits, or a Float32Array` : '';
    throw new TypeError(`${name} be a ${own}${also}, or null; got ${show(grad)}`);
  }
  if (bits.length === size && data.length === size) {
    throw new RangeError(`${name} not share memory with the parameter's data; give it an array of its own`);
  }
  const moved = data.length === 0 || bits.length === 0 ? '; was its buffer transferred to another thread?' : '';
  throw new RangeError(
    `${name} have ${size} elements (shape ${show(shape)}), got ${bits.length} beside data of ${data.length}${moved}`,
  );
}

/** Product of the dimensions; 1 for a scalar. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const dim of shape) size *= dim;
  return size;
}

/** Whether two arrays share a byte of memory. */
export function overlap(a: NumericArray, b: NumericArray): boolean {
  return (
    a.buffer === b.buffer && a.byteOffset < b.byteOffset + b.byteLength && b.byteOffset < a.byteOffset + a.byteLength
  );
}
