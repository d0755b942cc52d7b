/**
 * The variables of TensorFlow.js that an optimizer trains, and the parameters that stand for them;
 * the optimizer itself, made when they are known; what was saved, until it finds its variables.
 */
import { type serialization, type Tensor, tensor, type Variable } from '@tensorflow/tfjs-core';
import { show } from '../core/check.ts';
import { Parameter } from '../core/parameter.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import { isOptimizer } from '../schedules/scheduler.ts';
import { loadStates, type NamedValue, type VariableState } from './named-state.ts';
import { placesByName, placesOf } from './positions.ts';
import { decodeSettings, encodeSettings, makeFrom, restoreOptions, settingsOf } from './settings.ts';
import { type DeviceKernels, GpuCopies } from './tf-gpu.ts';
import { isReadable, sameShape } from './tf-tensors.ts';

/** Makes the optimizer over the model's variables: called once, when they are known. */
export type MakeOptimizer = (parameters: Parameter[]) => Optimizer;

/** A variable, or what a Layers model has in the place of one (`model.trainableWeights`). */
export type AnyVariable = Variable | LayerVariable;

/** A variable of a Layers model. */
export interface LayerVariable {
  /** The variable of TensorFlow.js behind it. */
  read(): Tensor;
}

/** A variable and its weights. */
type Weights = readonly [variable: Variable, values: Float32Array];

/** A variable that is trained. */
export interface Entry {
  variable: Variable;
  readonly parameter: Parameter<Float32Array>;
  /** What the variable held when the parameter was last equal to it. */
  contents: object | undefined;
}

/** All variables of one optimizer, and the optimizer. */
export class Variables {
  readonly #make: MakeOptimizer | undefined;
  /** By name, in the order in which they appeared. */
  readonly #entries = new Map<string, Entry>();
  #optimizer: Optimizer | undefined;
  /** The names of the last step, in its order. */
  #last: readonly string[] = [];
  /** The configuration of a saved model, until the variables are known. */
  #config: serialization.ConfigDict;
  /** States whose variables are not known yet. */
  #waiting: readonly VariableState[] = [];

  /** The copies of a step that stays on the GPU. */
  readonly gpu: GpuCopies | undefined;

  /** Without `make`, what the configuration says is made. */
  constructor(
    make: MakeOptimizer | undefined,
    { optimizer, settings }: serialization.ConfigDict,
    kernels: DeviceKernels | undefined,
  ) {
    this.#make = make;
    this.gpu = kernels && new GpuCopies(kernels);
    this.#config = settings === undefined ? {} : { optimizer: optimizer ?? null, settings };
    if (settings !== undefined) decodeSettings('TfOptimizer.fromConfig', settings);
  }

  /** undefined before the variables are known. */
  get optimizer(): Optimizer | undefined {
    return this.#optimizer;
  }

  /** In the order in which they appeared. */
  get entries(): Entry[] {
    return [...this.#entries.values()];
  }

  /** The entry of a variable that is known. */
  of({ name }: Variable): Entry {
    return this.#entries.get(name)!;
  }

  /** Weights; none of a variable whose parameter has them already, where reading is dear. */
  async read(variables: readonly Variable[]): Promise<Map<Variable, Float32Array>> {
    const asked = variables.filter((one) => isReadable(one) || this.#entries.get(one.name)?.contents !== one.dataId);
    return new Map(await Promise.all(asked.map(async (one): Promise<Weights> => [one, await one.data<'float32'>()])));
  }

  /** Those that are not known yet; one that has come in the place of another takes over. */
  unknown(method: string, variables: Iterable<AnyVariable>): Variable[] {
    const fresh = new Map<string, Variable>();
    for (const one of variables) {
      const variable = 'read' in one ? (one.read() as Variable) : one;
      const { name, dtype } = variable;
      if (dtype !== 'float32') {
        throw new TypeError(`TfOptimizer.${method}: variable "${name}" must be float32 to be trained, got ${dtype}`);
      }
      const entry = this.#entries.get(name);
      if (entry === undefined) fresh.set(name, variable);
      else if (entry.variable !== variable) replace(method, entry, variable);
    }
    return [...fresh.values()];
  }

  /** {@link Variables.add}, with weights that stay on the GPU. */
  addOnGpu(gpu: GpuCopies, variables: readonly Variable[]): void {
    this.#add(variables, (variable) => {
      const data = gpu.allocate(variable.size);
      gpu.fill(data, variable);
      return data;
    });
  }

  /** Brings the parameters up to date with variables on the GPU that somebody else has changed. */
  fill(gpu: GpuCopies, variables: readonly Variable[]): void {
    for (const entry of variables.map((one) => this.of(one))) {
      if (entry.contents !== entry.variable.dataId) gpu.fill(entry.parameter.data, entry.variable);
      entry.contents = entry.variable.dataId;
    }
  }

  /** Adds variables, all or none; those that come first make the optimizer. */
  add(weights: readonly Weights[]): void {
    const values = new Map(weights);
    this.#add([...values.keys()], (variable) => Float32Array.from(values.get(variable)!));
  }

  #add(variables: readonly Variable[], dataOf: (variable: Variable) => Float32Array): void {
    if (variables.length === 0) return;
    const entries = variables.map((variable): Entry => {
      const parameter = new Parameter(dataOf(variable), variable.shape, { name: variable.name });
      return { variable, parameter, contents: variable.dataId };
    });
    const parameters = entries.map(({ parameter }) => parameter);
    const optimizer = this.#optimizer;
    if (optimizer === undefined) this.#begin(parameters);
    else optimizer.addParamGroup({ params: parameters });
    for (const entry of entries) this.#entries.set(entry.variable.name, entry);
    if (optimizer === undefined || this.#waiting.length === 0) return;
    // By name alone: how many of them have come by now says nothing.
    const match: typeof placesOf = (_, saved, live) => placesByName(saved, live);
    const beside = optimizer.stateDict().state;
    this.#waiting = loadStates('TfOptimizer.build', optimizer, parameters, this.#waiting, { match, beside });
  }

  /** Makes the optimizer, with what was loaded before its variables were known. */
  #begin(parameters: Parameter[]): void {
    const where = 'TfOptimizer.build';
    const { settings: text } = this.#config;
    const settings = text === undefined ? undefined : decodeSettings(where, text);
    if (this.#make === undefined && settings === undefined) {
      throw new Error(
        `${where}: the model was saved before the optimizer's first step, so nothing is known of it; compile the ` +
          'model with tfOptimizer(make), or save and load it with a className',
      );
    }
    const optimizer = this.#make === undefined ? makeFrom(where, settings!, parameters) : this.#make(parameters);
    if (!isOptimizer(optimizer)) {
      throw new TypeError(`tfOptimizer: make must return an optimizer of this library, got ${show(optimizer)}`);
    }
    try {
      if (settings !== undefined) restoreOptions(where, optimizer, settings);
      if (this.#waiting.length > 0) {
        this.#waiting = loadStates(where, optimizer, parameters, this.#waiting, { match: placesOf });
      }
    } catch (error) {
      optimizer.dispose();
      throw error;
    }
    this.#optimizer = optimizer;
    this.#config = {};
  }

  /** Writes what a step has changed into these variables. */
  finish(order: readonly Variable[], changed: readonly Variable[]): void {
    for (const variable of changed) this.#write(this.of(variable));
    this.#last = order.map(({ name }) => name);
  }

  /** Gives every variable its parameter's weights. */
  write(): void {
    for (const entry of this.#entries.values()) this.#write(entry);
  }

  /** Assigned by copy: on the cpu backend a tensor keeps the array it was made from. */
  #write(entry: Entry): void {
    const { variable, parameter } = entry;
    const fresh =
      this.gpu === undefined
        ? tensor(parameter.data.slice(), variable.shape, 'float32')
        : this.gpu.toTensor(parameter.data, variable.shape);
    variable.assign(fresh);
    entry.contents = fresh.dataId;
    fresh.dispose();
  }

  /** Makes the state readable. */
  async ready(): Promise<void> {
    if (this.gpu !== undefined && this.#optimizer !== undefined) await this.gpu.kernels.read(this.#optimizer);
  }

  /** The state of every variable; also what was loaded and has not found its variable. */
  states(): VariableState[] {
    const state = this.#optimizer?.stateDict().state ?? {};
    const indexOf = new Map(this.#optimizer?.parameters.map((parameter, i) => [parameter, i]));
    const live = this.#inOrder().map((parameter) => ({
      name: parameter.name!,
      state: state[indexOf.get(parameter) ?? -1] as Record<string, NamedValue> | undefined,
    }));
    return [...live, ...this.#waiting];
  }

  /** Puts states in the place of those that are here; without variables they wait. */
  load(method: string, states: readonly VariableState[]): void {
    if (this.#optimizer === undefined) this.#waiting = states;
    else loadStates(`TfOptimizer.${method}`, this.#optimizer, this.#inOrder(), states, { match: placesOf, all: true });
  }

  /** The optimizer's class and groups, as a configuration. */
  config(): serialization.ConfigDict {
    if (this.#optimizer === undefined) return this.#config;
    const settings = settingsOf(this.#optimizer, this.#inOrder());
    return settings === undefined ? {} : { optimizer: settings.kind, settings: encodeSettings(settings) };
  }

  /** The parameters of the last step in its order, then the others. */
  #inOrder(): Parameter[] {
    const names = new Set([...this.#last, ...this.#entries.keys()]);
    return [...names].flatMap((name) => this.#entries.get(name)?.parameter ?? []);
  }
}

function replace(method: string, entry: Entry, variable: Variable): void {
  if (!sameShape(entry.variable, variable)) {
    throw new RangeError(
      `TfOptimizer.${method}: variable "${variable.name}" had shape [${entry.variable.shape.join(', ')}] before, ` +
        `and has [${variable.shape.join(', ')}]; make a new optimizer for a new model`,
    );
  }
  entry.variable = variable;
  entry.contents = undefined;
}
