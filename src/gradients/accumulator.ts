/**
 * Gradient accumulation: the gradient of a large batch as the sum of several small ones.
 *
 * @module
 */
import { integer, list, oneOf, record, show } from '../core/check.ts';
import type { NumericArray, StateValue } from '../core/dtype.ts';
import { checkedGradient, isShared, label, Parameter } from '../core/parameter.ts';
import { bfloat16Bits, float16BitsOf, isSixteen, widened } from '../core/sixteen-bits.ts';
import { checkKeys, liveTensorOf, own, stateNumbers, tensorOf } from '../core/state-dict.ts';

/** A running sum: float64 beside float64 parameters, else float32. */
export type GradientSum = Float32Array | Float64Array;

/**
 * Sums the gradients of several batches, so that k batches of n examples train as one of k · n does.
 *
 * The sums are float32 (float64 beside float64 parameters): sixteen bits would lose most of every further batch, as bfloat16 has 8 bits of
 * mantissa. A parameter without a gradient in a batch is left out of that batch; it still counts in the mean's divisor, as a batch
 * whose gradient there is zero.
 *
 * @example
 * ```ts
 * const accumulator = new GradientAccumulator(parameters);
 * for (const batch of batches) {
 *   backward(batch); // sets every grad
 *   accumulator.add();
 *   if (accumulator.step === 4) {
 *     accumulator.apply();
 *     optimizer.step();
 *     accumulator.reset();
 *   }
 * }
 * ```
 */
export class GradientAccumulator {
  readonly #parameters: readonly Parameter[];
  readonly #sums: (GradientSum | null)[];
  /** Sums are kept for the next round and told by this to be empty. */
  readonly #kept: (GradientSum | null)[];
  #step = 0;

  /**
   * @param params - The parameters, in the order that `gradients` and the state dict have.
   * @throws TypeError when params is not an iterable of Parameters; RangeError when it is empty or holds one twice.
   */
  constructor(params: Iterable<Parameter>) {
    if (typeof (params as Iterable<Parameter> | null)?.[Symbol.iterator] !== 'function') {
      throw new TypeError(
        `GradientAccumulator: params must be an array (or other iterable) of Parameters, got ${show(params)}`,
      );
    }
    const parameters = [...params];
    for (const [i, parameter] of parameters.entries()) {
      if (!(parameter instanceof Parameter)) {
        throw new TypeError(`GradientAccumulator: params[${i}] must be a Parameter, got ${show(parameter)}`);
      }
      if (parameters.indexOf(parameter) !== i) {
        throw new RangeError(`GradientAccumulator: ${label(parameter, i)} is given twice; give each Parameter once`);
      }
    }
    if (parameters.length === 0)
      throw new RangeError('GradientAccumulator: params is empty; give at least one Parameter');
    this.#parameters = parameters;
    this.#sums = parameters.map(() => null);
    this.#kept = parameters.map(() => null);
  }

  /** Batches added since the last reset. */
  get step(): number {
    return this.#step;
  }

  /** The running sums, in the order of params; null where no batch had a gradient. Live: the next `add` changes them. */
  get gradients(): readonly (GradientSum | null)[] {
    return this.#sums;
  }

  /**
   * Adds every parameter's current gradient; those that are null are left out.
   *
   * @throws TypeError or RangeError, naming the parameter, when a gradient does not fit; then nothing was added.
   */
  add(): void {
    const gradients = this.#parameters.map((parameter, i) => checkedGradient('GradientAccumulator.add', parameter, i));
    for (const [i, gradient] of gradients.entries()) {
      if (gradient === null) continue;
      const parameter = this.#parameters[i]!;
      const values = numbers(gradient, parameter);
      let sum = this.#sums[i]!;
      if (sum === null) {
        sum = this.#kept[i] ?? newSum(parameter);
        sum.set(values);
        this.#sums[i] = sum;
        this.#kept[i] = sum;
      } else if (sum instanceof Float64Array) addTo64(sum, values as Float64Array);
      else addTo32(sum, values as Float32Array);
    }
    this.#step++;
  }

  /**
   * Writes the mean over the `add` calls (default) or the sum into every parameter's grad, and null where no batch had a gradient. The sums
   * stay: call `reset` before the next round.
   *
   * A gradient array that is there is written into; else a new one is made, float32 beside 16-bit parameters.
   *
   * @throws RangeError when nothing was added since the last reset, or reduction is not one of the two.
   */
  apply(options: { reduction?: 'mean' | 'sum' } = {}): void {
    const given = record('GradientAccumulator.apply: options', options);
    checkKeys('GradientAccumulator.apply: options', given, [], ['reduction']);
    const reduction = oneOf('GradientAccumulator.apply: reduction', given.reduction ?? 'mean', ['mean', 'sum']);
    if (this.#step === 0) {
      throw new RangeError(
        'GradientAccumulator.apply: nothing was added since the last reset; call add() after each batch',
      );
    }
    for (const [i, parameter] of this.#parameters.entries()) {
      checkedGradient('GradientAccumulator.apply', parameter, i);
    }
    // Division, not multiplication with a rounded reciprocal: one rounding instead of two.
    const divisor = reduction === 'mean' ? this.#step : 1;
    for (const [i, parameter] of this.#parameters.entries()) {
      const sum = this.#sums[i]!;
      if (sum === null) parameter.grad = null;
      else writeGradient(parameter, sum, divisor);
    }
  }

  /** Starts anew: no batches, no sums. */
  reset(): void {
    this.#step = 0;
    this.#sums.fill(null);
  }

  /** The sums and the count as plain data, so that a run can be cut in the middle of a round. */
  stateDict(): StateValue {
    return this.#dict(tensorOf);
  }

  /** The parameters, in the order of the sums. @internal */
  get parameters(): readonly Parameter[] {
    return this.#parameters;
  }

  /** The state dict with the live sums themselves, for a file that is written without a copy. @internal */
  liveStateDict(): StateValue {
    return this.#dict(liveTensorOf);
  }

  #dict(toTensor: typeof tensorOf): StateValue {
    return {
      step: this.#step,
      gradients: this.#sums.map((sum, i) => (sum === null ? null : toTensor(sum, this.#parameters[i]!.shape))),
    };
  }

  /**
   * Puts saved sums in place.
   *
   * @throws TypeError or RangeError that names what does not fit; nothing has changed then.
   */
  loadStateDict(stateDict: StateValue): void {
    this.prepareLoad(stateDict)();
  }

  /** Checks a state dict and returns the function that puts it in place and cannot fail: for loading several objects, all or none. */
  prepareLoad(stateDict: StateValue): () => void {
    const where = 'GradientAccumulator.loadStateDict';
    const dict = record(`${where}: the state dict`, stateDict);
    checkKeys(where, dict, ['step', 'gradients']);
    const step = integer(`${where}: step`, own(dict, 'step'));
    const gradients = own(dict, 'gradients');
    if (!Array.isArray(gradients) || gradients.length !== this.#parameters.length) {
      const came = Array.isArray(gradients) ? `${gradients.length}` : show(gradients);
      const names = list(this.#parameters.map((parameter, i) => parameter.name ?? String(i)));
      throw new RangeError(`${where}: gradients must list ${this.#parameters.length} sums (of ${names}), got ${came}`);
    }
    const sums = gradients.map((value, i) => {
      if (value === null) return null;
      const parameter = this.#parameters[i]!;
      return stateNumbers(`${where}: the sum of ${label(parameter, i)}`, value, parameter.shape, parameter.dtype);
    });
    if (step === 0 && sums.some((sum) => sum !== null)) {
      throw new RangeError(`${where}: step is 0, but there are sums; is the state dict complete?`);
    }
    const targets = sums.map((sum, i) => (sum === null ? null : (this.#kept[i] ?? newSum(this.#parameters[i]!))));
    return () => {
      this.#step = step;
      for (const [i, sum] of sums.entries()) {
        const target = targets[i]!;
        if (sum !== null) {
          target!.set(sum);
          this.#kept[i] = target;
        }
        this.#sums[i] = target;
      }
    };
  }
}

/** Zeros, in shared memory where the weights are: so that the threads of `parallelKernels` reach them. */
function newSum({ data, dtype }: Parameter): GradientSum {
  const { length } = data;
  const bytes = length * (dtype === 'float64' ? 8 : 4);
  const buffer = isShared(data) ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
  return dtype === 'float64' ? new Float64Array(buffer) : new Float32Array(buffer);
}

function numbers(gradient: NumericArray, parameter: Parameter): GradientSum {
  return gradient instanceof Uint16Array ? widened(gradient, parameter.dtype === 'float16') : gradient;
}

function addTo32(sum: Float32Array, gradient: Float32Array): void {
  for (let k = 0; k < sum.length; k++) sum[k]! += gradient[k]!;
}

function addTo64(sum: Float64Array, gradient: Float64Array): void {
  for (let k = 0; k < sum.length; k++) sum[k]! += gradient[k]!;
}

/** Writes sum / divisor into the parameter's gradient, rounding once to the format it has. */
function writeGradient(parameter: Parameter, sum: GradientSum, divisor: number): void {
  const gradient = parameter.grad === null ? null : (checkedGradient('', parameter) as NumericArray);
  if (gradient instanceof Uint16Array && isSixteen(parameter.dtype)) {
    const word = new Uint32Array(1);
    const float = new Float32Array(word.buffer);
    const narrow = parameter.dtype === 'float16' ? float16BitsOf : bfloat16Bits;
    for (let k = 0; k < sum.length; k++) {
      float[0] = sum[k]! / divisor;
      gradient[k] = narrow(word[0]!);
    }
    return;
  }
  const target = gradient ?? newSum(parameter);
  for (let k = 0; k < sum.length; k++) target[k] = sum[k]! / divisor;
  if (gradient === null) parameter.grad = target;
}
