/**
 * Tensors of TensorFlow.js: which can be read synchronously, and how they keep an optimizer's
 * state.
 */
import { engine, KernelBackend, type Tensor, tensor, type Variable, variable } from '@tensorflow/tfjs-core';
import type { NamedValue } from './named-state.ts';

/** The backend that has a tensor's contents. */
export function backendOf({ dataId }: Tensor): KernelBackend {
  return engine().state.tensorInfo.get(dataId)?.backend ?? engine().backend;
}

/** The name of a backend. */
export function nameOf(backend: KernelBackend): string {
  return Object.entries(engine().registry).find(([, one]) => one === backend)?.[0] ?? engine().backendName;
}

/**
 * Whether a backend reads synchronously. `webgpu` has the method, by way of a canvas, but was seen
 * to give zeros and to lose the device.
 */
export function reads(backend: KernelBackend): boolean {
  const device: unknown = Reflect.get(backend, 'device');
  const isGpu = typeof device === 'object' && device !== null && 'createComputePipeline' in device;
  return !isGpu && backend !== engine().registry.webgpu && backend.readSync !== KernelBackend.prototype.readSync;
}

/** Whether a tensor can be read synchronously. */
export function isReadable(one: Tensor): boolean {
  return reads(backendOf(one));
}

/** @throws Error with what to do, where a tensor of such a backend cannot be read synchronously. */
export function checkReads(method: string, backends: readonly KernelBackend[]): void {
  const deaf = backends.find((backend) => !reads(backend));
  if (deaf === undefined) return;
  throw new Error(
    `TfOptimizer.${method}: tensors of the backend "${nameOf(deaf)}" cannot be read synchronously; ` +
      (method === 'minimize' || method === 'applyGradients'
        ? `await optimizer.${method}Async(...), or give model.fit { callbacks: optimizer.callbacks() }`
        : `await optimizer.${method}Async(...)`),
  );
}

/** {@link checkReads} of these tensors' backends. */
export function checkReadable(method: string, tensors: readonly Tensor[]): void {
  checkReads(method, tensors.map(backendOf));
}

export function sameShape(one: Tensor, other: Tensor): boolean {
  return one.shape.length === other.shape.length && one.shape.every((length, i) => length === other.shape[i]);
}

/** Numbers are kept as the two words of a double, since tensors have none. */
export function toTensor(value: NamedValue): Tensor {
  if (typeof value === 'number') return tensor(new Int32Array(Float64Array.of(value).buffer), [2], 'int32');
  return tensor((value.data as Float32Array).slice(), value.shape, 'float32');
}

export async function fromTensor(one: Tensor): Promise<NamedValue> {
  const data = await one.data();
  if (one.dtype === 'int32') return new Float64Array(Int32Array.from(data).buffer)[0]!;
  return { dtype: 'float32', shape: [...one.shape], data: Float32Array.from(data) };
}

/** A tensor and its name; TensorFlow.js does not export its type. */
export interface NamedTensor {
  /** Name, such as `weight/exp_avg`. */
  name: string;
  /** What is so called. */
  tensor: Tensor;
}

/**
 * Tensors that are handed out and stay their owner's: each name has one, whose contents are
 * replaced when it is handed out again.
 */
export class LentTensors {
  readonly #variables = new Map<string, Variable>();

  /** Hands out all of these, and takes back those that are not among them. */
  lend(values: Iterable<readonly [name: string, fresh: Tensor]>): NamedTensor[] {
    const lent = [...values].map(([name, fresh]) => ({ name, tensor: this.#lendOne(name, fresh) }));
    const names = new Set(lent.map(({ name }) => name));
    for (const name of this.#variables.keys()) if (!names.has(name)) this.#takeBack(name);
    return lent;
  }

  #lendOne(name: string, fresh: Tensor): Variable {
    let one = this.#variables.get(name);
    if (one !== undefined && !one.isDisposed && one.dtype === fresh.dtype && sameShape(one, fresh)) {
      one.assign(fresh);
    } else {
      this.#takeBack(name);
      one = variable(fresh, false);
      this.#variables.set(name, one);
    }
    fresh.dispose();
    return one;
  }

  #takeBack(name: string): void {
    const one = this.#variables.get(name);
    if (one?.isDisposed === false) one.dispose();
    this.#variables.delete(name);
  }

  dispose(): void {
    this.lend([]);
  }
}
