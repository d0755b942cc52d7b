/** The optimizer that `tensorless/tfjs` gives to TensorFlow.js. */
import {
  dispose,
  engine,
  keep,
  type Scalar,
  type serialization,
  type Tensor,
  Optimizer as TfBase,
  tensor,
  type Variable,
} from '@tensorflow/tfjs-core';
import type { Parameter } from '../core/parameter.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import { fromNamed, toNamed } from './named-state.ts';
import type { DeviceKernels, GpuCopies, Lease } from './tf-gpu.ts';
import { type Gradients, inOrder, type Listed, listGradients, slopesOf, tensorsOf, trainedOf } from './tf-gradients.ts';
import { checkReadable, checkReads, fromTensor, LentTensors, type NamedTensor, toTensor } from './tf-tensors.ts';
import { type AnyVariable, type MakeOptimizer, Variables } from './tf-variables.ts';

export type { AnyVariable, MakeOptimizer, NamedTensor };

/** Callbacks of a batch, for `model.fit`; from {@link TfOptimizer.callbacks}. */
export interface BatchCallbacks {
  /** From here on gradients are kept. */
  onBatchBegin: () => Promise<void>;
  /** Makes the update with those that were kept. */
  onBatchEnd: () => Promise<void>;
}

/**
 * A `tf.Optimizer` that hands its updates to an optimizer of this library; made by
 * {@link tfOptimizer}, or by TensorFlow.js when it loads a model.
 */
export class TfOptimizer extends TfBase {
  readonly #variables: Variables;
  readonly #lent: LentTensors = new LentTensors();
  /** The gradients of the next step are to be kept. */
  #keeps = false;
  #kept: readonly Listed[] = [];
  #busy = false;
  #disposed = false;

  /** @internal */
  constructor(make: MakeOptimizer | undefined, config: serialization.ConfigDict = {}, kernels?: DeviceKernels) {
    super();
    this.#variables = new Variables(make, config, kernels);
  }

  /** TensorFlow.js takes all that can minimize for an instance. */
  static override [Symbol.hasInstance](value: unknown): value is TfOptimizer {
    return typeof value === 'object' && value !== null && #variables in value;
  }

  /** Name of the class, for TensorFlow.js. */
  static get className(): string {
    return 'TensorlessOptimizer';
  }

  /** The optimizer of a saved model, for TensorFlow.js; its state comes by `setWeights`. */
  static override fromConfig<T extends serialization.Serializable>(
    cls: serialization.SerializableConstructor<T>,
    config: serialization.ConfigDict,
  ): T {
    return new cls(undefined, config);
  }

  /**
   * The optimizer behind this one: for schedulers, `stateDict` and checkpoints.
   *
   * @throws Error before the variables are known: before the first step, unless
   *   {@link TfOptimizer.build} was called.
   */
  get optimizer(): Optimizer {
    const { optimizer } = this.#variables;
    if (optimizer !== undefined) return optimizer;
    throw new Error('TfOptimizer.optimizer: not made yet; take a step first, or name the variables with build()');
  }

  /**
   * The variables' weights as parameters, named as the variables; up to date after each step and
   * after {@link TfOptimizer.readWeights}.
   */
  get parameters(): readonly Parameter[] {
    return this.#variables.entries.map(({ parameter }) => parameter);
  }

  /**
   * Makes the optimizer over these variables now, before the first step: to attach a scheduler, or
   * to load a checkpoint. Variables that appear later become a further group.
   *
   * @throws TypeError when a variable is not float32; RangeError when a state that waits for the
   *   variables does not fit them; Error where tensors cannot be read synchronously.
   */
  build(variables: Iterable<AnyVariable>): this {
    const fresh = this.#unknown('build', variables);
    const { gpu } = this.#variables;
    if (gpu !== undefined) {
      gpu.check('build', fresh);
      this.#variables.addOnGpu(gpu, fresh);
      return this;
    }
    checkReadable('build', fresh);
    this.#variables.add(fresh.map((one) => [one, one.dataSync<'float32'>()]));
    return this;
  }

  /** {@link TfOptimizer.build}, on any backend. */
  async buildAsync(variables: Iterable<AnyVariable>): Promise<this> {
    if (this.#variables.gpu !== undefined) return this.build(variables);
    const fresh = this.#unknown('buildAsync', variables);
    await this.#alone(async () => this.#variables.add([...(await this.#variables.read(fresh))]));
    return this;
  }

  /**
   * The gradients of what `f` returns and one update, as with every optimizer of TensorFlow.js.
   *
   * @throws Error where tensors cannot be read synchronously; otherwise as
   *   {@link TfOptimizer.applyGradients}. No variable has changed then.
   */
  override minimize(f: () => Scalar, returnCost = false, varList?: Variable[]): Scalar | null {
    this.#checkIdle('minimize');
    if (!this.#keeps && this.#variables.gpu === undefined) checkReads('minimize', [engine().backend]);
    const { value, grads } = this.computeGradients(f, varList);
    try {
      this.applyGradients(inOrder(grads, varList));
    } catch (error) {
      value.dispose();
      throw error;
    } finally {
      dispose(grads);
    }
    return costOf(value, returnCost);
  }

  /**
   * {@link TfOptimizer.minimize} on any backend: tensors are read asynchronously, and kernels with
   * threads use them. Leave the variables alone until it has settled.
   */
  async minimizeAsync(f: () => Scalar, returnCost = false, varList?: Variable[]): Promise<Scalar | null> {
    this.#checkIdle('minimizeAsync');
    const { value, grads } = this.computeGradients(f, varList);
    try {
      await this.applyGradientsAsync(inOrder(grads, varList));
    } catch (error) {
      value.dispose();
      throw error;
    } finally {
      dispose(grads);
    }
    return costOf(value, returnCost);
  }

  /**
   * One update of every variable that has a gradient.
   *
   * @throws Error when no variable has the given name, or where tensors cannot be read
   *   synchronously; RangeError when a gradient has another shape than its variable; otherwise as
   *   the optimizer's `step`. No variable has changed then.
   */
  applyGradients(variableGradients: Gradients): void {
    const listed = this.#list('applyGradients', variableGradients);
    if (this.#keeps) {
      // A clone shares the memory; whoever has the gradient may dispose it.
      this.#kept = listed.map((one) => ({ ...one, gradient: one.gradient && keep(one.gradient.clone()) }));
      this.#keeps = false;
      return;
    }
    const { gpu } = this.#variables;
    if (gpu !== undefined) {
      const leases = this.#lease(gpu, 'applyGradients', listed);
      try {
        this.#variables.optimizer?.step();
      } finally {
        this.#forgetGradients();
        for (const lease of leases) lease.release();
      }
      this.#finish(listed);
      return;
    }
    const fresh = this.#unknown('applyGradients', trainedOf(listed));
    checkReadable('applyGradients', [...fresh, ...tensorsOf(listed)]);
    this.#variables.add(fresh.map((one) => [one, one.dataSync<'float32'>()]));
    try {
      for (const { variable, gradient } of listed) {
        if (gradient === null) continue;
        const { parameter } = this.#variables.of(variable);
        parameter.data.set(variable.dataSync<'float32'>());
        parameter.grad = slopesOf(gradient, gradient.dataSync());
      }
      this.#variables.optimizer?.step();
    } finally {
      this.#forgetGradients();
    }
    this.#finish(listed);
  }

  /** {@link TfOptimizer.applyGradients} on any backend. Keep the gradients until it has settled. */
  async applyGradientsAsync(variableGradients: Gradients): Promise<void> {
    const listed = this.#list('applyGradientsAsync', variableGradients);
    await this.#alone(() => this.#step(listed));
  }

  /** The gradients where the kernels can reach them. */
  #lease(gpu: GpuCopies, method: string, listed: readonly Listed[]): Lease[] {
    gpu.check(method, tensorsOf(listed));
    const trained = trainedOf(listed);
    this.#variables.addOnGpu(gpu, this.#variables.unknown(method, trained));
    this.#variables.fill(gpu, trained);
    return listed.flatMap(({ variable, gradient }) => {
      if (gradient === null) return [];
      const lease = gpu.borrow(gradient);
      this.#variables.of(variable).parameter.grad = lease.array;
      return lease;
    });
  }

  async #step(listed: readonly Listed[]): Promise<void> {
    const { gpu } = this.#variables;
    if (gpu !== undefined) {
      const leases = this.#lease(gpu, 'applyGradientsAsync', listed);
      try {
        await this.#variables.optimizer?.stepAsync();
      } finally {
        this.#forgetGradients();
        for (const lease of leases) lease.release();
      }
      this.#finish(listed);
      return;
    }
    const trained = trainedOf(listed);
    const fresh = this.#variables.unknown('applyGradientsAsync', trained);
    const [slopes, weights] = await Promise.all([
      Promise.all(listed.map(({ gradient }) => gradient?.data())),
      this.#variables.read(trained),
    ]);
    this.#variables.add(fresh.map((one) => [one, weights.get(one)!]));
    try {
      for (const [i, { variable, gradient }] of listed.entries()) {
        if (gradient === null) continue;
        const { parameter } = this.#variables.of(variable);
        parameter.data.set(weights.get(variable) ?? []);
        parameter.grad = slopesOf(gradient, slopes[i]!);
      }
      await this.#variables.optimizer?.stepAsync();
    } finally {
      this.#forgetGradients();
    }
    this.#finish(listed);
  }

  /** What a step leaves behind: new weights, and one step more. */
  #finish(listed: readonly Listed[]): void {
    const changed = listed.flatMap(({ variable, gradient }) => (gradient === null ? [] : variable));
    this.#variables.finish(trainedOf(listed), changed);
    this.incrementIterations();
  }

  /** The gradients are tensors' memory, which TensorFlow.js takes back after the step. */
  #forgetGradients(): void {
    for (const { parameter } of this.#variables.entries) parameter.grad = null;
  }

  /**
   * Callbacks by which `model.fit` and `model.fitDataset` train where tensors cannot be read
   * synchronously: the gradients of a batch are kept, and the update is made when it has ended.
   * They work on every backend. What belongs after the update comes after them:
   * `callbacks: [optimizer.callbacks(), { onBatchEnd: () => scheduler.step() }]`.
   *
   * `fit` computes the validation at the end of an epoch before the last batch has ended, so
   * without its update; `fitDataset` computes it afterwards.
   */
  callbacks(): BatchCallbacks {
    return {
      onBatchBegin: async () => {
        this.#checkIdle('callbacks');
        this.#dropKept();
        this.#keeps = true;
      },
      onBatchEnd: async () => {
        this.#keeps = false;
        if (this.#kept.length === 0) return;
        try {
          await this.#alone(() => this.#step(this.#kept));
        } finally {
          this.#dropKept();
        }
      },
    };
  }

  #dropKept(): void {
    for (const { gradient } of this.#kept) gradient?.dispose();
    this.#kept = [];
  }

  /**
   * Takes over the variables' weights, where something else than this optimizer has changed them:
   * before saving with `tensorless/checkpoint`.
   *
   * @throws Error where tensors cannot be read synchronously.
   */
  readWeights(): void {
    this.#checkIdle('readWeights');
    const { entries } = this.#variables;
    const variables = entries.map(({ variable }) => variable);
    const { gpu } = this.#variables;
    if (gpu !== undefined) {
      this.#variables.fill(gpu, variables);
      return;
    }
    checkReadable('readWeights', variables);
    for (const { variable, parameter } of entries) parameter.data.set(variable.dataSync<'float32'>());
  }

  /** {@link TfOptimizer.readWeights}, on any backend. */
  async readWeightsAsync(): Promise<void> {
    const { entries, gpu } = this.#variables;
    if (gpu !== undefined) return this.readWeights();
    await this.#alone(async () => {
      const read = await Promise.all(entries.map(({ variable }) => variable.data<'float32'>()));
      for (const [i, { parameter }] of entries.entries()) parameter.data.set(read[i]!);
    });
  }

  /**
   * Gives the parameters' weights to the variables: after a checkpoint was loaded into
   * {@link TfOptimizer.parameters}.
   */
  writeWeights(): void {
    this.#checkIdle('writeWeights');
    this.#variables.write();
  }

  /**
   * The state as named tensors, as other optimizers of TensorFlow.js give theirs: the number of
   * steps, then, for the variables of the last step and those before them, each one's arrays under
   * `variable/key`, and its numbers as the words of doubles. The tensors are the optimizer's: their
   * contents are replaced by the next call, and they go with {@link TfOptimizer.dispose}. Options
   * such as the learning rate are in {@link TfOptimizer.getConfig}.
   */
  override async getWeights(): Promise<NamedTensor[]> {
    this.#checkIdle('getWeights');
    await this.#variables.ready();
    const state = toNamed(this.#variables.states()).map(([name, value]): [string, Tensor] => [name, toTensor(value)]);
    return this.#lent.lend([['iter', tensor(this.iterations, [], 'int32')], ...state]);
  }

  /**
   * Puts the state of {@link TfOptimizer.getWeights} in place. It goes by position, as variables
   * have other names in each session: the first variable's state is for the first variable of the
   * next step. Before the first step it waits for the variables.
   *
   * @throws TypeError or RangeError when it does not fit the variables; nothing has changed then.
   */
  override async setWeights(weightValues: NamedTensor[]): Promise<void> {
    this.#checkIdle('setWeights');
    const [steps, ...values] = weightValues;
    if (steps?.tensor?.size !== 1) {
      throw new TypeError(
        'TfOptimizer.setWeights: the list must begin with the number of steps, as getWeights gives it',
      );
    }
    const [iterations] = await steps.tensor.data();
    const state = values.map(async (one) => [one.name, await fromTensor(one.tensor)] as const);
    await this.#variables.ready();
    this.#variables.load('setWeights', fromNamed(await Promise.all(state)));
    this.iterations_ = iterations!;
  }

  /**
   * What TensorFlow.js keeps of the optimizer beside its weights: its class, its groups and their
   * options. Nothing before the variables are known, or when the class is not of this library.
   */
  getConfig(): serialization.ConfigDict {
    return this.#variables.config();
  }

  /** Gives all memory back; unusable afterwards. The variables are the model's and stay. */
  override dispose(): void {
    if (this.#disposed) return;
    this.#checkIdle('dispose');
    this.#disposed = true;
    this.#dropKept();
    this.#lent.dispose();
    this.#variables.optimizer?.dispose();
    super.dispose();
  }

  #checkIdle(method: string): void {
    if (this.#disposed) throw new Error(`TfOptimizer.${method}: this optimizer was disposed; make a new one`);
    if (this.#busy) {
      throw new Error(`TfOptimizer.${method}: something asynchronous of this optimizer is under way; await it first`);
    }
  }

  async #alone<T>(act: () => Promise<T>): Promise<T> {
    this.#busy = true;
    try {
      return await act();
    } finally {
      this.#busy = false;
    }
  }

  #list(method: string, gradients: Gradients): Listed[] {
    this.#checkIdle(method);
    return listGradients(method, gradients);
  }

  #unknown(method: string, variables: Iterable<AnyVariable>): Variable[] {
    this.#checkIdle(method);
    return this.#variables.unknown(method, variables);
  }
}

function costOf(value: Scalar, returnCost: boolean): Scalar | null {
  if (returnCost) return value;
  value.dispose();
  return null;
}
