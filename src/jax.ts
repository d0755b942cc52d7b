/**
 * Any optimizer of this library for jax-js. Needs the package `@jax-js/jax`.
 *
 * A step takes a tree of weights and one of gradients, and returns the tree of new weights, on the
 * device where the old ones were. jax-js lets nobody write into its arrays, so a step copies:
 * gradients from the device, new weights to it, and weights from it where they are not those that
 * the last step returned. All else stays here, and is saved by `tensorless/checkpoint`.
 *
 * @module
 */
import { defaultDevice, Array as JaxArray, numpy } from '@jax-js/jax';
import { show } from './core/check.ts';
import type { NumericArray } from './core/dtype.ts';
import { Parameter } from './core/parameter.ts';
import { float16Bits } from './core/typed-array.ts';
import type { Optimizer } from './optimizers/optimizer.ts';
import { isOptimizer } from './schedules/scheduler.ts';

/** The gradients of a tree: as the tree is, or null where there are none. */
export type Gradients<Tree> = Tree extends JaxArray
  ? JaxArray | null
  : { [K in keyof Tree]: Gradients<Tree[K]> } | null;

/** Makes the optimizer over the tree's arrays: called once, when they are known. */
export type MakeOptimizer = (parameters: Parameter[]) => Optimizer;

/** The array of an array's numbers, as jax-js gives it. */
type Numbers = Awaited<ReturnType<JaxArray['data']>>;

interface Entry {
  readonly parameter: Parameter;
  /** The parameter's data, in the class that jax-js has for the dtype. */
  readonly numbers: Numbers;
  /** The array whose numbers the parameter has. */
  current: JaxArray | undefined;
}

/** A leaf of a tree; `path` names it. */
interface Leaf {
  readonly path: string;
  readonly array: JaxArray;
  readonly gradient: JaxArray | null;
}

/** The dtypes that are trained. */
const TRAINED: readonly string[] = ['float32', 'float64', 'float16'];

/**
 * An optimizer for trees of jax-js arrays; made by {@link jaxOptimizer}.
 *
 * Its methods take ownership of the arrays that are given to them, as functions of jax-js do: give
 * `tree.ref(params)` to use them again.
 */
export class JaxOptimizer {
  readonly #make: MakeOptimizer;
  /** By path, in the order in which they appeared. */
  readonly #entries = new Map<string, Entry>();
  #optimizer: Optimizer | undefined;
  #busy = false;

  /** @internal */
  constructor(make: MakeOptimizer) {
    if (typeof make !== 'function') {
      throw new TypeError(
        `jaxOptimizer: make must be a function from parameters to an optimizer, such as (params) => new ` +
          `AdamW(params), got ${show(make)}`,
      );
    }
    this.#make = make;
  }

  /**
   * The optimizer behind this one: for schedulers, `stateDict` and checkpoints.
   *
   * @throws Error before the arrays are known: before the first step, unless
   *   {@link JaxOptimizer.build} was called.
   */
  get optimizer(): Optimizer {
    if (this.#optimizer !== undefined) return this.#optimizer;
    throw new Error('JaxOptimizer.optimizer: not made yet; take a step first, or await build(tree.ref(params))');
  }

  /**
   * The arrays as parameters, named by their paths, such as `layers.0.weight`; up to date after
   * each step.
   */
  get parameters(): readonly Parameter[] {
    return [...this.#entries.values()].map(({ parameter }) => parameter);
  }

  /**
   * Makes the optimizer over these arrays now, before the first step: to attach a scheduler, or to
   * load a checkpoint. Arrays that appear later become a further group. Integers and booleans are
   * not trained.
   *
   * @throws TypeError when a leaf is no array.
   */
  async build<Tree>(params: Tree): Promise<this> {
    await this.#alone('build', async () => {
      const leaves = leavesOf('build', params, null);
      await this.#read(leaves);
      for (const { array } of leaves) array.dispose();
    });
    return this;
  }

  /**
   * One update of every array that has a gradient. It takes both trees, and returns one of the same
   * structure. Kernels with threads are used.
   *
   * @param grads - As `grad` and `valueAndGrad` return them; null for an array, or a part of the
   * tree, without a gradient.
   * @throws TypeError or RangeError when the trees do not fit each other or those before; otherwise
   * as the optimizer's `stepAsync`. Nothing has changed then, and both trees are still the
   * caller's.
   */
  async update<Tree>(params: Tree, grads: Gradients<Tree>): Promise<Tree> {
    return this.#alone('update', async () => {
      const leaves = leavesOf('update', params, grads);
      const trained = leaves.filter(({ array, gradient }) => gradient !== null && isTrained(array));
      const [slopes] = await Promise.all([
        Promise.all(trained.map(({ gradient }) => gradient!.ref.data())),
        this.#read(leaves),
      ]);
      try {
        for (const [i, { path }] of trained.entries()) {
          this.#entries.get(path)!.parameter.grad = slopes[i] as Parameter['grad'];
        }
        await this.#optimizer?.stepAsync();
      } finally {
        for (const { parameter } of this.#entries.values()) parameter.grad = null;
      }
      const changed = new Map(trained.map(({ path, array }) => [path, this.#upload(path, array)]));
      for (const { path, array, gradient } of leaves) {
        gradient?.dispose();
        if (changed.has(path)) array.dispose();
      }
      return rebuilt(params, (path, array) => changed.get(path) ?? array) as Tree;
    });
  }

  /**
   * A tree of the parameters' weights, of the structure of the one given: after a checkpoint was
   * loaded into {@link JaxOptimizer.parameters}. It takes the given tree; what is not trained moves
   * over to the one that it returns.
   */
  weights<Tree>(params: Tree): Tree {
    this.#checkIdle('weights');
    const leaves = leavesOf('weights', params, null).filter(({ array }) => isTrained(array));
    for (const { path, array } of leaves) this.#entry('weights', path, array);
    const fresh = new Map(leaves.map(({ path, array }) => [path, this.#upload(path, array)]));
    for (const { array } of leaves) array.dispose();
    return rebuilt(params, (path, array) => fresh.get(path) ?? array) as Tree;
  }

  /**
   * Gives the optimizer's memory back; unusable afterwards. The arrays are the caller's and stay.
   */
  dispose(): void {
    this.#checkIdle('dispose');
    this.#optimizer?.dispose();
  }

  /** Brings the parameters up to date with the arrays, and makes those that are missing. */
  async #read(leaves: readonly Leaf[]): Promise<void> {
    const known = leaves.filter(({ array }) => isTrained(array));
    for (const { path, array } of known) if (this.#entries.has(path)) this.#entry('update', path, array);
    const stale = known.filter(({ path, array }) => this.#entries.get(path)?.current !== array);
    const read = await Promise.all(stale.map(({ array }) => array.ref.data()));
    const fresh: [path: string, entry: Entry][] = [];
    for (const [i, { path, array }] of stale.entries()) {
      const entry = this.#entries.get(path);
      if (entry === undefined) {
        const numbers = read[i]!;
        const parameter: Parameter = new Parameter(numbers as Float32Array, array.shape, { name: path });
        fresh.push([path, { parameter, numbers, current: array }]);
      } else {
        entry.parameter.data.set(float16Bits(read[i]!) as NumericArray);
        entry.current = array;
      }
    }
    if (fresh.length === 0) return;
    const params = fresh.map(([, { parameter }]) => parameter);
    if (this.#optimizer === undefined) this.#optimizer = this.#made(params);
    else this.#optimizer.addParamGroup({ params });
    for (const [path, entry] of fresh) this.#entries.set(path, entry);
  }

  #made(params: Parameter[]): Optimizer {
    const optimizer = this.#make(params);
    if (isOptimizer(optimizer)) return optimizer;
    throw new TypeError(`jaxOptimizer: make must return an optimizer of this library, got ${show(optimizer)}`);
  }

  /** The entry of an array that is known. */
  #entry(method: string, path: string, array: JaxArray): Entry {
    const entry = this.#entries.get(path);
    if (entry === undefined) {
      throw new RangeError(`JaxOptimizer.${method}: ${path} is not known yet; await build(tree.ref(params)) first`);
    }
    const { shape, dtype } = entry.parameter;
    if (dtype === array.dtype && shape.length === array.ndim && shape.every((n, i) => n === array.shape[i]))
      return entry;
    throw new RangeError(
      `JaxOptimizer.${method}: ${path} was ${dtype} of shape [${shape.join(', ')}], and is ${array.dtype} of ` +
        `[${array.shape.join(', ')}] now; make a new optimizer for a new model`,
    );
  }

  /** An array of the parameter's weights, where the old one is. */
  #upload(path: string, old: JaxArray): JaxArray {
    const entry = this.#entries.get(path)!;
    // An array with a device of its own stays there; others go where jax-js computes.
    const device = old.device === defaultDevice() ? {} : { device: old.device };
    entry.current = numpy.array(entry.numbers, { shape: [...old.shape], dtype: old.dtype, ...device });
    return entry.current;
  }

  #checkIdle(method: string): void {
    if (this.#busy) {
      throw new Error(`JaxOptimizer.${method}: something asynchronous of this optimizer is under way; await it first`);
    }
  }

  async #alone<T>(method: string, act: () => Promise<T>): Promise<T> {
    this.#checkIdle(method);
    this.#busy = true;
    try {
      return await act();
    } finally {
      this.#busy = false;
    }
  }
}

const isTrained = ({ dtype, size }: JaxArray): boolean => TRAINED.includes(dtype) && size > 0;

const isBranch = (node: unknown): node is Record<string, unknown> =>
  Array.isArray(node) || (typeof node === 'object' && node !== null && node.constructor === Object);

/** What leads to a child; the root of a tree that is one array is called so. */
const ROOT = 'params';
const childPath = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

/** All arrays of a tree with their gradients, after a check of both trees. */
function leavesOf(method: string, params: unknown, grads: unknown): Leaf[] {
  const where = `JaxOptimizer.${method}`;
  const leaves: Leaf[] = [];
  const seen = new Set<string>();
  const visit = (node: unknown, gradient: unknown, path: string): void => {
    const name = path === '' ? ROOT : path;
    if (node instanceof JaxArray) {
      if (seen.has(name)) throw new RangeError(`${where}: two arrays have the path ${name}; rename a key with a dot`);
      seen.add(name);
      leaves.push({ path: name, array: node, gradient: checkedGradient(where, name, node, gradient ?? null) });
      return;
    }
    if (!isBranch(node)) {
      const tracer = typeof node === 'object' && node !== null && 'aval' in node;
      throw new TypeError(
        `${where}: ${name} must be an array of jax-js, got ${tracer ? 'a tracer' : show(node)}; ` +
          (tracer ? 'call it outside of jit and grad' : 'make one with numpy.array'),
      );
    }
    const keys = Object.keys(node);
    if (gradient !== null && gradient !== undefined) {
      const fits = isBranch(gradient) && Array.isArray(gradient) === Array.isArray(node);
      const missing = fits ? keys.find((key) => !Object.hasOwn(gradient, key)) : undefined;
      const more = fits ? Object.keys(gradient).find((key) => !Object.hasOwn(node, key)) : undefined;
      if (!fits || missing !== undefined || more !== undefined) {
        const what = fits
          ? `${missing === undefined ? 'have no' : 'have a'} "${missing ?? more}"`
          : 'have its structure';
        throw new RangeError(`${where}: the gradients of ${name} must ${what}; pass what grad returned for this tree`);
      }
    }
    for (const key of keys) visit(node[key], (gradient as typeof node | null)?.[key], childPath(path, key));
  };
  visit(params, grads, '');
  return leaves;
}

function checkedGradient(where: string, name: string, array: JaxArray, gradient: unknown): JaxArray | null {
  if (gradient === null) return null;
  if (!(gradient instanceof JaxArray)) {
    throw new TypeError(`${where}: the gradient of ${name} must be an array of jax-js, got ${show(gradient)}`);
  }
  const { shape } = gradient;
  if (shape.length === array.ndim && shape.every((length, i) => length === array.shape[i])) return gradient;
  throw new RangeError(
    `${where}: the gradient of ${name} must have its shape [${array.shape.join(', ')}], got [${shape.join(', ')}]`,
  );
}

/** A tree of the same structure with other arrays. */
function rebuilt(node: unknown, leaf: (path: string, array: JaxArray) => JaxArray, path = ''): unknown {
  if (node instanceof JaxArray) return leaf(path === '' ? ROOT : path, node);
  if (Array.isArray(node)) return node.map((child, i) => rebuilt(child, leaf, childPath(path, String(i))));
  const entries = Object.entries(node as Record<string, unknown>);
  return Object.fromEntries(entries.map(([key, child]) => [key, rebuilt(child, leaf, childPath(path, key))]));
}

/**
 * Any optimizer of this library for trees of jax-js arrays.
 *
 * @param make - Called once with a parameter for each array, when they are known (at the first
 * step, or at `build`); makes the optimizer, and is a good place to attach a scheduler to it.
 *
 * @example
 * ```ts
 * const optimizer = jaxOptimizer((params) => new AdamW(params, { lr: 1e-3 }));
 * const [loss, grads] = valueAndGrad(lossOf)(tree.ref(params), batch);
 * params = await optimizer.update(params, grads);
 * ```
 */
export function jaxOptimizer(make: MakeOptimizer): JaxOptimizer {
  return new JaxOptimizer(make);
}
