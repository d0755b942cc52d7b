/**
 * Gradient accumulation: the gradient of a large batch as the sum of several small ones.
 *
 * @module
 */
import { options as checkedOptions, integer, listOf, number, oneOf, record, show } from '../core/check.ts';
import type { StateValue } from '../core/dtype.ts';
import { matchNames } from '../core/match-names.ts';
import { Occupied } from '../core/occupied.ts';
import { label, type Parameter, parametersOf } from '../core/parameter.ts';
import { checkKeys, liveTensorOf, own, scalar, stateArray, tensorOf } from '../core/state-dict.ts';
import { isShared } from '../core/typed-array.ts';
import { checkedKernels, type Kernels, typescriptKernels } from '../engine/kernels.ts';
import { allocateOwn, freeOwn } from '../engine/memory.ts';
import type { Work } from '../engine/work.ts';
import { formatOf, GradientPasses, one, type Runs } from './gradient-passes.ts';

/** A running sum: float64 beside float64 parameters, else float32. */
export type GradientSum = Float32Array | Float64Array;

/** Options of {@link GradientAccumulator}. */
export interface AccumulatorOptions {
  /**
   * Where the sums live and whose loops do the work: give the optimizer's. Default: the TypeScript
   * loops; the bits are the same.
   */
  kernels?: Kernels;
}

/**
 * Sums the gradients of several batches, so that k batches of n examples train as one of k · n
 * does.
 *
 * The sums are float32 (float64 beside float64 parameters): sixteen bits would lose most of every
 * further batch, as bfloat16 has 8 bits of mantissa. A parameter without a gradient in a batch is
 * left out of that batch; it still counts in the mean's divisor, as a batch whose gradient there is
 * zero.
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
  /** The work of each sum, with the gradient's format that it is for. */
  readonly #works: (Work | undefined)[] = [];
  readonly #kernels: Kernels;
  readonly #passes: GradientPasses;
  #step = 0;
  #weight = 0;
  /** An asynchronous method is under way. */
  #busy = false;

  /**
   * @param params - The parameters, in the order that `gradients` and the state dict have.
   * @param options - `kernels`: those of the optimizer.
   * @throws TypeError when params is not an iterable of Parameters; RangeError when it is empty or
   * holds one twice.
   */
  constructor(params: Iterable<Parameter>, options: AccumulatorOptions = {}) {
    const given = checkedOptions('GradientAccumulator', options, ['kernels']);
    this.#kernels = checkedKernels('GradientAccumulator', given.kernels);
    this.#passes = new GradientPasses(this.#kernels);
    const parameters = parametersOf('GradientAccumulator', params);
    const seen = new Set<Parameter>();
    for (const [i, parameter] of parameters.entries()) {
      if (seen.has(parameter)) {
        throw new RangeError(`GradientAccumulator: ${label(parameter, i)} is given twice; give each Parameter once`);
      }
      seen.add(parameter);
    }
    if (parameters.length === 0) {
      throw new RangeError('GradientAccumulator: params is empty; give at least one Parameter');
    }
    this.#parameters = parameters;
    this.#sums = parameters.map(() => null);
    this.#kept = parameters.map(() => null);
  }

  /** Batches added since the last reset. */
  get step(): number {
    return this.#step;
  }

  /**
   * The running sums, in the order of params; null where no batch had a gradient. Live: the next
   * `add` changes them.
   */
  get gradients(): readonly (GradientSum | null)[] {
    return this.#sums;
  }

  /**
   * Adds every parameter's current gradient times a weight; those that are null are left out.
   *
   * @param options - `weight`: what this batch counts, finite and at least 0, default 1. Where
   * losses are means over batches of unequal size, give the number of examples (or tokens) behind
   * each.
   * @throws TypeError or RangeError, naming the parameter or option, when one does not fit; then
   * nothing was added.
   */
  add(options: { weight?: number } = {}): void {
    const { runs, done } = this.#adding('add', options);
    try {
      this.#passes.run(runs);
      done();
    } finally {
      this.#passes.end();
    }
  }

  /**
   * {@link GradientAccumulator.add} on all threads of the kernels (`parallelKernels`); with other
   * kernels it is done before this returns. The bits are the same. Until it has settled, gradients
   * must be left alone, and the other methods refuse.
   *
   * @throws TornStepError when a worker ended while it added: sums that it names may be half added
   * to, and the batch is not counted; `reset`. Otherwise as `add`.
   */
  async addAsync(options: { weight?: number } = {}): Promise<void> {
    const { runs, done } = this.#adding('addAsync', options);
    this.#busy = true;
    try {
      await this.#passes.runAsync(runs);
      done();
    } finally {
      this.#passes.end();
      this.#busy = false;
    }
  }

  /** What is to be run, after all checks and allocations, and what is to be noted afterwards. */
  #adding(method: string, options: { weight?: number }): { runs: Runs<void>; done: () => void } {
    const where = this.#begin(method);
    const given = checkedOptions(where, options, ['weight']);
    const weight = number(`${where}: weight`, given.weight === undefined ? 1 : given.weight, { min: 0 });
    const passes = this.#passes;
    const gradients = this.#parameters.map((parameter, i) => passes.gradientOf(where, parameter, i));
    const [first, further]: [Work[], Work[]] = [[], []];
    try {
      for (const [i, gradient] of gradients.entries()) {
        if (gradient === null) continue;
        const parameter = this.#parameters[i]!;
        const dtype = formatOf(gradient, parameter.dtype);
        const sum = (this.#kept[i] ??= this.#newSum(parameter));
        const known = this.#works[i]?.dtype === dtype ? this.#works[i] : undefined;
        const work = passes.take(label(parameter, i), sum, gradient, dtype, known);
        this.#works[i] = work;
        (this.#sums[i] === null ? first : further).push(work);
      }
    } catch (error) {
      passes.end();
      throw error;
    }
    function* runs(): Runs<void> {
      if (weight === 1) yield { pass: 'assign', works: first };
      else for (const { p } of first) p.fill(0);
      yield weight === 1 ? { pass: 'add', by: 1, works: further } : { pass: 'add', by: weight };
    }
    const done = (): void => {
      for (const [i, gradient] of gradients.entries()) if (gradient !== null) this.#sums[i] = this.#kept[i]!;
      this.#step++;
      this.#weight += weight;
    };
    return { runs: runs(), done };
  }

  /**
   * Writes the weighted mean (default: the sum of weight · gradient over the sum of the weights of
   * all batches) or the sum of weight · gradient into every parameter's grad, and null where no
   * batch had a gradient. The sums stay: call `reset` before the next round.
   *
   * A gradient array that is there is written into, unless it shares memory with weights, a sum or
   * another parameter's; else a new one is made, float32 beside 16-bit parameters.
   *
   * @throws RangeError when nothing was added since the last reset, the weights of a mean sum to 0,
   * or reduction is not one of the two.
   */
  apply(options: { reduction?: 'mean' | 'sum' } = {}): void {
    const { passes, runs, done } = this.#applying('apply', options);
    try {
      passes.run(runs);
      done();
    } finally {
      passes.dispose();
    }
  }

  /**
   * {@link GradientAccumulator.apply} on all threads of the kernels, as `addAsync` is `add`.
   *
   * @throws TornStepError when a worker ended while it wrote gradients: call it again. Otherwise as
   * `apply`.
   */
  async applyAsync(options: { reduction?: 'mean' | 'sum' } = {}): Promise<void> {
    const { passes, runs, done } = this.#applying('applyAsync', options);
    this.#busy = true;
    try {
      await passes.runAsync(runs);
      done();
    } finally {
      passes.dispose();
      this.#busy = false;
    }
  }

  #applying(
    method: string,
    options: { reduction?: 'mean' | 'sum' },
  ): { passes: GradientPasses; runs: Runs<void>; done: () => void } {
    const where = this.#begin(method);
    const given = checkedOptions(where, options, ['reduction']);
    const reduction = oneOf(`${where}: reduction`, given.reduction ?? 'mean', ['mean', 'sum']);
    if (this.#step === 0) {
      throw new RangeError(`${where}: nothing was added since the last reset; call add() after each batch`);
    }
    if (reduction === 'mean' && this.#weight === 0) {
      throw new RangeError(`${where}: the weights of all batches sum to 0, so there is no mean; give one above 0`);
    }
    const passes = new GradientPasses(this.#kernels);
    const there = this.#parameters.map((parameter, i) => passes.gradientOf(where, parameter, i));
    const taken = new Occupied<true>();
    for (const { data } of this.#parameters) taken.add(data, true);
    for (const sum of this.#kept) if (sum !== null) taken.add(sum, true);
    const targets = this.#parameters.map((parameter, i) => {
      if (this.#sums[i] === null) return null;
      const own = there[i]!;
      return own !== null && taken.add(own, true) === undefined ? own : newSum(parameter);
    });
    try {
      for (const [i, parameter] of this.#parameters.entries()) {
        const target = targets[i]!;
        if (target === null) continue;
        passes.take(label(parameter, i), target, this.#sums[i]!, formatOf(target, parameter.dtype));
      }
    } catch (error) {
      passes.dispose();
      throw error;
    }
    const done = (): void => {
      for (const [i, parameter] of this.#parameters.entries()) {
        const target = targets[i]!;
        if (target === null) parameter.grad = null;
        else if (target !== there[i]) parameter.grad = target as Float32Array;
      }
    };
    // By 1 for a sum: it is the number itself.
    return { passes, runs: one({ pass: 'divide', by: reduction === 'mean' ? this.#weight : 1 }), done };
  }

  /** Refuses while an asynchronous method is under way. */
  #begin(method: string): string {
    const where = `GradientAccumulator.${method}`;
    if (this.#busy) throw new Error(`${where}: an addAsync or applyAsync is under way; await it first`);
    return where;
  }

  /** Starts anew: no batches, no sums. */
  reset(): void {
    this.#begin('reset');
    this.#step = 0;
    this.#weight = 0;
    this.#sums.fill(null);
  }

  /**
   * Starts anew and gives the sums' memory back to the kernels; the next `add` allocates it again.
   */
  dispose(): void {
    this.#begin('dispose');
    this.reset();
    this.#passes.dispose();
    for (const [i, sum] of this.#kept.entries()) {
      this.#kept[i] = null;
      this.#works[i] = undefined;
      if (sum !== null) freeOwn(this.#kernels, sum);
    }
  }

  /**
   * The sums and the counts as plain data, so that a run can be cut in the middle of a round. Where
   * every parameter has a name, they are saved too, and sums find their parameters by them.
   */
  stateDict(): StateValue {
    return this.#dict(tensorOf);
  }

  /** The parameters, in the order of the sums. @internal */
  get parameters(): readonly Parameter[] {
    return this.#parameters;
  }

  /**
   * The state dict with the live sums themselves, for a file that is written without a copy.
   *
   * @internal
   */
  liveStateDict(): StateValue {
    return this.#dict(liveTensorOf);
  }

  #dict(toTensor: typeof tensorOf): StateValue {
    this.#begin('stateDict');
    const names = this.#parameters.map(({ name }) => name);
    return {
      step: this.#step,
      ...(this.#weight !== this.#step && { weight: this.#weight }),
      gradients: this.#sums.map((sum, i) => (sum === null ? null : toTensor(sum, this.#parameters[i]!.shape))),
      ...(names.every((name) => name !== undefined) && { param_names: names }),
    };
  }

  /**
   * Puts saved sums in place: by name where both sides have names, else by position.
   *
   * @throws TypeError or RangeError that names what does not fit; nothing has changed then.
   */
  loadStateDict(stateDict: StateValue): void {
    this.prepareLoad(stateDict)();
  }

  /**
   * Checks a state dict and returns the function that puts it in place, allocates nothing and
   * cannot fail: for loading several objects, all or none.
   *
   * @internal
   */
  prepareLoad(stateDict: StateValue): () => void {
    const where = this.#begin('loadStateDict');
    const dict = record(`${where}: the state dict`, stateDict);
    checkKeys(where, dict, ['step', 'gradients'], ['weight', 'param_names']);
    const step = integer(`${where}: step`, scalar(`${where}: step`, own(dict, 'step')));
    const given = own(dict, 'weight');
    // Before there were weights every batch counted 1.
    const weight =
      given === undefined ? step : number(`${where}: weight`, scalar(`${where}: weight`, given), { min: 0 });
    const parameters = this.#parameters;
    const gradients = listOf(`${where}: gradients`, dict.gradients, parameters.length, 'sums, one a parameter');
    const places = matchNames(
      where,
      savedNames(where, own(dict, 'param_names'), parameters.length),
      parameters.map(({ name }) => name),
    );
    const sums: (GradientSum | null)[] = parameters.map(() => null);
    for (const [i, value] of gradients.entries()) {
      const place = places[i]!;
      const parameter = parameters[place]!;
      if (value === null) continue;
      const at = `${where}: the sum of ${label(parameter, place)}`;
      sums[place] = stateArray(at, value, parameter.shape, parameter.dtype);
    }
    if (step === 0 && sums.some((sum) => sum !== null)) {
      throw new RangeError(`${where}: step is 0, but there are sums; is the state dict complete?`);
    }
    const room = sums.map((sum, i) =>
      sum === null ? this.#kept[i]! : (this.#kept[i] ??= this.#newSum(parameters[i]!)),
    );
    return () => {
      this.#step = step;
      this.#weight = weight;
      for (const [i, sum] of sums.entries()) {
        this.#sums[i] = sum === null ? null : room[i]!;
        if (sum !== null) room[i]!.set(sum);
      }
    };
  }

  /** An empty sum in the kernels' memory. */
  #newSum(parameter: Parameter): GradientSum {
    if (this.#kernels === typescriptKernels) return newSum(parameter);
    return allocateOwn(this.#kernels, parameter.dtype === 'float64' ? 'float64' : 'float32', parameter.data.length);
  }
}

function savedNames(where: string, names: unknown, count: number): (string | undefined)[] {
  if (names === undefined) return new Array(count).fill(undefined);
  if (Array.isArray(names) && names.length === count && names.every((name) => typeof name === 'string')) return names;
  throw new TypeError(`${where}: param_names must list ${count} names, one a sum; got ${show(names)}`);
}

/**
 * Zeros, in shared memory where the weights are: so that the threads of `parallelKernels` reach
 * them.
 */
function newSum({ data, dtype }: Parameter): GradientSum {
  const { length } = data;
  const bytes = length * (dtype === 'float64' ? 8 : 4);
  const buffer = isShared(data) ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
  return dtype === 'float64' ? new Float64Array(buffer) : new Float32Array(buffer);
}
