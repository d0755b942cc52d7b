/**
 * What is trained: a dense array with a shape, and the gradient beside it. No autodiff and no arithmetic lives here.
 *
 * @module
 */
import { show } from './_check.ts';
import type { DType, NumericArray } from './dtype.ts';

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

const DTYPES: readonly DType[] = ['float32', 'float64', 'bfloat16', 'float16'];

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
  if (shape === undefined) return Object.freeze([length]);
  if (!Array.isArray(shape)) {
    throw new TypeError(
      `${where}: shape must be an array of dimension lengths, such as [rows, columns], got ${show(shape)}`,
    );
  }
  let size = 1;
  for (const [axis, dim] of shape.entries()) {
    if (!Number.isSafeInteger(dim) || !(dim >= 0)) {
      throw new RangeError(`${where}: shape[${axis}] must be a non-negative integer, got ${show(dim)}`);
    }
    size *= dim;
  }
  if (size !== length) {
    throw new RangeError(
      `${where}: shape [${shape.join(', ')}] has ${size} elements but data has ${length}; give the shape that the data was made with`,
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
    if (typeof options !== 'object' || options === null) {
      throw new TypeError(`Parameter: options must be an object such as { name: 'weight' }, got ${show(options)}`);
    }
    for (const key of Object.keys(options)) {
      if (key !== 'dtype' && key !== 'name') {
        throw new RangeError(`Parameter: unknown option ${JSON.stringify(key)}. Known options: "dtype", "name"`);
      }
    }
    const { dtype, name } = options;
    if (name !== undefined && typeof name !== 'string') {
      throw new TypeError(`Parameter: name must be a string, got ${show(name)}`);
    }
    const where = name === undefined ? 'Parameter' : `Parameter ${JSON.stringify(name)}`;
    if (dtype !== undefined && !DTYPES.includes(dtype)) {
      throw new RangeError(
        `${where}: dtype must be one of ${DTYPES.map((d) => `"${d}"`).join(', ')}, got ${show(dtype)}`,
      );
    }
    const tag = tagOf(data);
    let inferred: DType;
    if (tag === 'Float32Array') inferred = 'float32';
    else if (tag === 'Float64Array') inferred = 'float64';
    else if (tag === 'Float16Array') inferred = 'float16';
    else if (tag === 'Uint16Array') {
      if (dtype !== 'bfloat16' && dtype !== 'float16') {
        throw new TypeError(
          `${where}: a Uint16Array holds bit patterns, so dtype must say which: { dtype: "bfloat16" } or { dtype: "float16" }, got ${show(dtype)}`,
        );
      }
      inferred = dtype;
    } else {
      const repair = Array.isArray(data) ? '; use Float32Array.from(...)' : '';
      throw new TypeError(
        `${where}: data must be a Float32Array, Float64Array, Float16Array or Uint16Array, got ${show(data)}${repair}`,
      );
    }
    if (dtype !== undefined && dtype !== inferred) {
      throw new TypeError(
        `${where}: dtype ${show(dtype)} does not fit a ${tag}, which holds ${inferred}; leave dtype out`,
      );
    }
    this.data = float16Bits(data);
    this.shape = checkedShape(where, shape, data.length);
    this.dtype = inferred;
    this.name = name;
  }
}

/** How messages call a parameter: by its name, or by its index in the optimizer. */
export function label(parameter: Parameter, index?: number): string {
  if (parameter.name !== undefined) return `parameter ${JSON.stringify(parameter.name)}`;
  return index === undefined ? `a parameter of shape [${parameter.shape.join(', ')}]` : `parameter ${index}`;
}

/**
 * The gradient as the loops take it (Float16Array as bits), or null where there is none.
 *
 * @throws TypeError or RangeError, naming the parameter, when it does not fit the data.
 */
export function checkedGradient(parameter: Parameter, name: string): NumericArray | null {
  const { grad, data, dtype } = parameter;
  if (grad === null) return null;
  const tag = tagOf(grad);
  const sixteen = dtype === 'bfloat16' || dtype === 'float16';
  const fits =
    tag === tagOf(data) || (sixteen && tag === 'Float32Array') || (dtype === 'float16' && tag === 'Float16Array');
  if (!fits) {
    const expected = sixteen ? `a Float32Array, or ${dtype} bits in a Uint16Array` : `a ${tagOf(data)}`;
    throw new TypeError(`${name}: grad must be ${expected} (its data is ${dtype}), or null; got ${show(grad)}`);
  }
  if (grad.length !== data.length || data.length !== sizeOf(parameter.shape)) {
    const moved = data.length === 0 || grad.length === 0 ? '; was its buffer transferred to another thread?' : '';
    throw new RangeError(
      `${name}: grad must have ${sizeOf(parameter.shape)} elements (shape [${parameter.shape.join(', ')}]), got ${grad.length} beside data of ${data.length}${moved}`,
    );
  }
  const bits = float16Bits(grad as NumericArray | Float16ArrayLike);
  if (overlap(bits, data)) {
    throw new RangeError(`${name}: grad must not share memory with the parameter's data; give it an array of its own`);
  }
  return bits;
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
