/**
 * Any optimizer of this library as an optimizer of TensorFlow.js, for the backends whose tensors
 * can be read synchronously (cpu, wasm, webgl). Needs the package `@tensorflow/tfjs-core`,
 * version 4.
 *
 * TensorFlow.js keeps the weights; each step reads them and their gradients, updates them here, and
 * writes the weights back. The optimizer's state stays here, and is saved in full by
 * `tensorless/checkpoint`. (TensorFlow.js saves an optimizer with the model by `includeOptimizer`,
 * and finds its class again by name: not this one's.)
 *
 * @module
 */
import {
  engine,
  type NamedTensorMap,
  type Tensor,
  Optimizer as TfBase,
  tensor,
  type Variable,
} from '@tensorflow/tfjs-core';
import { record, show } from './core/check.ts';
import type { OptimizerStateDict, StateTensor, StateValue } from './core/dtype.ts';
import { Parameter } from './core/parameter.ts';
import type { Optimizer } from './optimizers/optimizer.ts';

/** A tensor and its name; TensorFlow.js does not export its type. */
export type NamedTensor = Awaited<ReturnType<TfBase['getWeights']>>[number];

/** Makes the optimizer over the model's variables: called once, when they are known. */
export type MakeOptimizer = (parameters: Parameter[]) => Optimizer;

/**
 * A `tf.Optimizer` that hands its updates to an optimizer of this library; made by
 * {@link tfOptimizer}.
 */
export class TfOptimizer extends TfBase {
  readonly #make: MakeOptimizer;
  readonly #variables = new Map<string, { variable: Variable; parameter: Parameter }>();
  #optimizer: Optimizer | undefined;
  /** State from setWeights that waits for its variables. */
  #waiting: NamedTensors | undefined;

  /** @internal */
  constructor(make: MakeOptimizer) {
    super();
    if (typeof make !== 'function') {
      throw new TypeError(
        `tfOptimizer: make must be a function from parameters to an optimizer, such as (params) => new ` +
          `Adafactor(params), got ${show(make)}`,
      );
    }
    this.#make = make;
  }

  /** Name of the class, for TensorFlow.js. */
  static get className(): string {
    return 'TensorlessOptimizer';
  }

  /**
   * The optimizer behind this one: for schedulers, `stateDict` and checkpoints.
   *
   * @throws Error before the variables are known: before the first step, unless
   *   {@link TfOptimizer.build} was called.
   */
  get optimizer(): Optimizer {
    if (this.#optimizer === undefined) {
      throw new Error('TfOptimizer.optimizer: not made yet; take a step first, or name the variables with build()');
    }
    return this.#optimizer;
  }

  /**
   * The variables' weights as parameters, named as the variables; up to date after each step and
   * after {@link TfOptimizer.readWeights}.
   */
  get parameters(): readonly Parameter[] {
    return [...this.#variables.values()].map(({ parameter }) => parameter);
  }

  /**
   * Makes the optimizer over these variables now, before the first step: to attach a scheduler, or
   * to load a checkpoint. Variables that appear later become a further group.
   *
   * @throws TypeError when a variable is not float32.
   */
  build(variables: Iterable<Variable>): this {
    const fresh: Parameter[] = [];
    for (const variable of variables) {
      if (this.#variables.has(variable.name)) continue;
      if (variable.dtype !== 'float32') {
        throw new TypeError(
          `TfOptimizer: variable "${variable.name}" must be float32 to be trained, got ${variable.dtype}`,
        );
      }
      const parameter = new Parameter(Float32Array.from(variable.dataSync()), variable.shape, { name: variable.name });
      this.#variables.set(variable.name, { variable, parameter });
      fresh.push(parameter);
    }
    if (fresh.length === 0) return this;
    if (this.#optimizer === undefined) this.#optimizer = this.#make(fresh);
    else this.#optimizer.addParamGroup({ params: fresh });
    if (this.#waiting !== undefined) this.#putWeights(this.#waiting);
    return this;
  }

  /**
   * One update of every variable that has a gradient.
   *
   * @throws Error when no variable has the given name; otherwise as the optimizer's `step`. No
   *   variable has changed then.
   */
  applyGradients(variableGradients: NamedTensorMap | NamedTensor[]): void {
    const gradients: [name: string, gradient: Tensor | null][] = Array.isArray(variableGradients)
      ? variableGradients.map(({ name, tensor: gradient }) => [name, gradient])
      : Object.entries(variableGradients);
    const known = engine().registeredVariables;
    for (const [name] of gradients) {
      if (known[name] === undefined) throw new Error(`TfOptimizer.applyGradients: there is no variable "${name}"`);
    }
    this.build(gradients.map(([name]) => known[name]!));
    const changed: string[] = [];
    try {
      for (const [name, gradient] of gradients) {
        if (gradient === null || gradient === undefined) continue;
        const { variable, parameter } = this.#variables.get(name)!;
        parameter.data.set(variable.dataSync<'float32'>());
        parameter.grad = gradient.dataSync<'float32'>();
        changed.push(name);
      }
      this.#optimizer?.step();
    } finally {
      // The gradients are tensors' memory, which TensorFlow.js takes back after the step.
      this.#optimizer?.zeroGrad();
    }
    for (const name of changed) this.#write(name);
    this.incrementIterations();
  }

  /**
   * Takes over the variables' weights, where something else than this optimizer has changed them:
   * before saving.
   */
  readWeights(): void {
    for (const { variable, parameter } of this.#variables.values()) parameter.data.set(variable.dataSync<'float32'>());
  }

  /**
   * Gives the parameters' weights to the variables: after a checkpoint was loaded into
   * {@link TfOptimizer.parameters}.
   */
  writeWeights(): void {
    for (const name of this.#variables.keys()) this.#write(name);
  }

  /** Assigned by copy: on the cpu backend a tensor keeps the array it was made from. */
  #write(name: string): void {
    const { variable, parameter } = this.#variables.get(name)!;
    const fresh = tensor((parameter.data as Float32Array).slice(), variable.shape, 'float32');
    variable.assign(fresh);
    fresh.dispose();
  }

  /**
   * The state as named tensors, as other optimizers of TensorFlow.js give theirs: the number of
   * steps, then each variable's arrays under `variable/key`, and its numbers as the words of
   * doubles. Options such as the learning rate are not in it; a checkpoint has them.
   */
  override async getWeights(): Promise<NamedTensor[]> {
    const weights = [await this.saveIterations()];
    if (this.#optimizer === undefined) return weights;
    const names = [...this.#variables.keys()];
    for (const [index, entry] of Object.entries(this.#optimizer.stateDict().state)) {
      for (const [key, value] of Object.entries(entry)) {
        const name = `${names[Number(index)]}/${key}`;
        if (typeof value === 'number') {
          const words = new Int32Array(Float64Array.of(value).buffer);
          weights.push({ name, tensor: tensor(words, [2], 'int32') });
        } else {
          const { data, shape } = value as StateTensor;
          weights.push({ name, tensor: tensor((data as Float32Array).slice(), shape, 'float32') });
        }
      }
    }
    return weights;
  }

  /**
   * Puts the state of {@link TfOptimizer.getWeights} in place; before the first step it waits for
   * the variables.
   *
   * @throws TypeError or RangeError when it does not fit the variables; nothing has changed then.
   */
  override async setWeights(weightValues: NamedTensor[]): Promise<void> {
    const values: NamedTensors = new Map();
    for (const { name, tensor: value } of weightValues.slice(1)) {
      const data = await value.data();
      values.set(
        name,
        value.dtype === 'int32'
          ? new Float64Array(Int32Array.from(data).buffer)[0]!
          : { dtype: 'float32', shape: [...value.shape], data: Float32Array.from(data) },
      );
    }
    if (this.#optimizer === undefined) this.#waiting = values;
    else this.#putWeights(values);
    await this.extractIterations(weightValues);
  }

  #putWeights(values: NamedTensors): void {
    const state: OptimizerStateDict['state'] = {};
    const names = [...this.#variables.keys()];
    for (const [path, value] of values) {
      const slash = path.lastIndexOf('/');
      const index = names.indexOf(path.slice(0, slash));
      if (index < 0) {
        throw new RangeError(
          `TfOptimizer.setWeights: "${path}" is the state of no variable here; known are ${names.join(', ')}`,
        );
      }
      state[index] = { ...record('state', state[index] ?? {}), [path.slice(slash + 1)]: value } as Record<
        string,
        StateValue
      >;
    }
    this.optimizer.loadStateDict({ ...this.optimizer.stateDict(), state });
    this.#waiting = undefined;
  }

  /**
   * Nothing: the options are in the function that makes the optimizer, which cannot be serialised.
   */
  getConfig(): Record<string, never> {
    return {};
  }

  /** Gives all memory back; unusable afterwards. The variables are the model's and stay. */
  override dispose(): void {
    this.#optimizer?.dispose();
    super.dispose();
  }
}

type NamedTensors = Map<string, StateTensor | number>;

/**
 * Any optimizer of this library as a `tf.Optimizer`: for `minimize`, `applyGradients`, and
 * `model.compile({ optimizer })`.
 *
 * @param make - Called once with a parameter for each trainable variable, when they are known (at
 * the first step, or at `build`); makes the optimizer, and is a good place to attach a scheduler to
 * it.
 *
 * @example
 * ```ts
 * const optimizer = tfOptimizer((params) => new Adafactor(params));
 * model.compile({ optimizer, loss: 'categoricalCrossentropy' });
 * ```
 */
export function tfOptimizer(make: MakeOptimizer): TfOptimizer {
  return new TfOptimizer(make);
}
