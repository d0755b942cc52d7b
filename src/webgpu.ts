/**
 * Steps on the GPU: weights, gradients and state in buffers of a WebGPU device that you bring. The
 * bits are those of every other engine.
 *
 * ```ts
 * import { webgpuKernels } from 'tensorless/webgpu';
 *
 * const kernels = webgpuKernels(device);
 * const weight = new Parameter(kernels.wrap(weights, 'float32', 6), [2, 3], { name: 'weight' });
 * const optimizer = new AdamW([weight], { kernels });
 * weight.grad = kernels.wrap(gradients, 'float32', 6);
 * optimizer.step(); // recorded and submitted; nothing is read back
 * await kernels.settle();
 * const { state } = await kernels.stateDict(optimizer);
 * ```
 *
 * @module
 */
import { options as checkedOptions, integer, oneOf, show } from './core/check.ts';
import type { OptimizerStateDict } from './core/dtype.ts';
import { Parameter } from './core/parameter.ts';
import type { StateArray } from './core/state-dict.ts';
import { ENGINE } from './engine/engine.ts';
import type { Kernels } from './engine/kernels.ts';
import type { Optimizer } from './optimizers/optimizer.ts';
import type { Rule, Slot } from './optimizers/rule.ts';
import type { Stepper } from './optimizers/step.ts';
import { arrayAt, checkedRange, type GPUArray, Home, homeOf } from './webgpu/arrays.ts';
import { download } from './webgpu/download.ts';
import { type GPUBufferLike, type GPUDeviceLike, type GPUEncoderLike, type GPUPassLike, USAGE } from './webgpu/gpu.ts';
import { live, Recorder } from './webgpu/recorder.ts';

export type { GPUArray, GPUBufferLike, GPUDeviceLike, GPUEncoderLike, GPUPassLike };

/** Options of {@link webgpuKernels}. */
export interface WebGPUOptions {
  /**
   * `"double"` (default), made of whole numbers: the bits of all other engines, on every
   * GPU. `"float32"`: the hardware's own arithmetic, many times faster; its bits are another GPU's,
   * or another driver's, no more.
   */
  arithmetic?: 'double' | 'float32';
}

/** Which elements of a buffer an array has. */
export interface WrapOptions {
  /** First byte; a multiple of the device's minStorageBufferOffsetAlignment, 256. Default 0. */
  offset?: number;
}

/** Where an array lies. */
export interface GPURange {
  /** The buffer. */
  readonly buffer: GPUBufferLike;
  /** Its first byte there. */
  readonly offset: number;
  /** Bytes, those that round it up included. */
  readonly size: number;
}

/** {@link Kernels} whose arrays are on a GPU. */
export interface WebGPUKernels extends Kernels {
  /** The device. */
  readonly device: GPUDeviceLike;
  /** Which arithmetic. */
  readonly arithmetic: 'double' | 'float32';
  /**
   * An array over a buffer of yours, or a range of it: for a Parameter's data, or its `grad`. The
   * buffer needs the usage STORAGE (and COPY_SRC to be read, COPY_DST to be set). Its elements can
   * not be reached here; `set` writes to the GPU, {@link WebGPUKernels.read} reads.
   *
   * @param buffer - Of this device.
   * @param dtype - Two 16-bit numbers are in a word, the first one in its lower half.
   * @param length - Number of elements.
   * @throws TypeError or RangeError when the buffer is not of that usage or size.
   */
  wrap(buffer: GPUBufferLike, dtype: 'float32', length: number, options?: WrapOptions): Float32Array;
  /** The same for bfloat16 and float16 bits. */
  wrap(buffer: GPUBufferLike, dtype: 'bfloat16' | 'float16', length: number, options?: WrapOptions): Uint16Array;
  /** A copy of an array on the GPU, in a buffer of its own; `free` destroys it. */
  upload<A extends Float32Array | Uint16Array>(array: A): A;
  /** The buffer of an array, and which bytes are the array's: to be bound by your programs. */
  rangeOf(array: Float32Array | Uint16Array): GPURange;
  /**
   * Steps in `record` go to this encoder instead of being submitted. What it returns is returned.
   */
  encode<T>(encoder: GPUEncoderLike, record: () => T): T;
  /**
   * Resolves when all that was submitted is done.
   *
   * @throws NonFiniteGradientError when a gradient was refused; nothing was done from that step on,
   * and the next one is done again.
   */
  settle(): Promise<void>;
  /** The numbers of an array. */
  read<A extends Float32Array | Uint16Array>(array: A): Promise<A>;
  /**
   * The weights of an optimizer as Parameters in memory, of the same names. Until the next step
   * `optimizer.stateDict()` works too, and all that saves it:
   * `saveTrainingState(path, { parameters: await kernels.read(optimizer), optimizer })`.
   */
  read<O>(optimizer: Optimizer<O>): Promise<Parameter[]>;
  /** The state of an optimizer, as `optimizer.stateDict()`. */
  stateDict<O>(optimizer: Optimizer<O>): Promise<OptimizerStateDict>;
}

/**
 * Kernels for parameters in buffers of a WebGPU device: `optimizer.step()` records the commands of
 * a step and submits them; nothing is read back. `await optimizer.stepAsync()` also waits for them.
 *
 * A gradient that is not finite is found on the GPU. With `nonFinite: "skip"` the step is left out
 * there; with `"throw"` nothing is done from that step on, until the next await, or the next call,
 * tells it.
 *
 * @param device - A `GPUDevice`. It stays yours.
 * @param options - See {@link WebGPUOptions}.
 * @throws TypeError when the device is none, or an option is wrong.
 */
export function webgpuKernels(device: GPUDeviceLike, options: WebGPUOptions = {}): WebGPUKernels {
  const where = 'webgpuKernels';
  const given = checkedOptions(where, options, ['arithmetic']);
  const level = oneOf(`${where}: arithmetic`, given.arithmetic ?? 'double', ['double', 'float32']);
  if (typeof (device as Partial<GPUDeviceLike> | null)?.createComputePipeline !== 'function') {
    const repair = typeof (device as { then?: unknown } | null)?.then === 'function' ? '; await it' : '';
    throw new TypeError(`${where}: device must be a GPUDevice, got ${show(device)}${repair}`);
  }
  const recorder = new Recorder(device, level);
  /** The arrays that are asked for, while it is found out which an optimizer has. */
  let asked: Home[] | undefined;

  const ownHome = (at: string, array: unknown): Home => {
    const home = homeOf(array);
    if (home !== undefined && home.device === device) return home;
    throw new TypeError(`${at}: array must be one of these kernels, got ${show(array)}`);
  };
  const make = (dtype: 'float32' | 'sixteen', length: number, what: string): GPUArray => {
    integer(`${what}: length`, length);
    const bytes = dtype === 'float32' ? 4 : 2;
    const size = Math.max(4, Math.ceil((length * bytes) / 4) * 4);
    if (size > device.limits.maxBufferSize) {
      throw new RangeError(
        `${what}: the device's buffers have at most ${device.limits.maxBufferSize} bytes, not ${size}`,
      );
    }
    const usage = USAGE.storage | USAGE.copySource | USAGE.copyTarget;
    let home: Home | undefined;
    recorder.watch(
      (message) => new RangeError(`${what}: the GPU has no ${size} bytes: ${message}`),
      () => {
        home = new Home(device, device.createBuffer({ label: 'tensorless', size, usage }), 0, length, bytes, true);
      },
    );
    return arrayAt(home!);
  };
  const read = async (target: unknown): Promise<GPUArray | Parameter[]> => {
    const at = 'kernels.read';
    if (ArrayBuffer.isView(target)) {
      const home = ownHome(at, target);
      live(at, 'array', home);
      await recorder.settle(at);
      return (await download(device, [home]))[0]!;
    }
    const optimizer = target as Optimizer;
    await recorder.settle(at);
    if (recorder.pending) {
      throw new Error(`${at}: there are steps in an encoder that was not submitted; submit it first`);
    }
    await recorder.results.read(optimizer.parameters);
    const homes: Home[] = [];
    asked = homes;
    try {
      optimizer.stateDict();
    } finally {
      asked = undefined;
    }
    const weights = optimizer.parameters.map(({ data }) => ownHome(at, data));
    const numbers = await download(device, [...weights, ...homes]);
    for (const [i, home] of homes.entries()) home.host = numbers[weights.length + i]!;
    return optimizer.parameters.map(({ shape, dtype, name }, i) => {
      return new Parameter(numbers[i]!, shape, { dtype, ...(name !== undefined && { name }) });
    });
  };
  const kernels: Kernels = {
    name: 'webgpu',
    allocate: ((dtype: string, length: number): GPUArray => {
      if (dtype === 'float32') return make('float32', length, `${where}.allocate`);
      throw new TypeError(`${where}.allocate: dtype must be "float32", got ${show(dtype)}; a GPU has no float64`);
    }) as Kernels['allocate'],
    fits: () => true,
    owns: (array) => homeOf(array)?.own === true && !homeOf(array)!.freed,
    checkLive: (array) => {
      const home = homeOf(array);
      if (home !== undefined) live(where, 'an array', home);
    },
    free: (array) => {
      const home = ownHome(`${where}.free`, array);
      if (home.freed) throw new Error(`${where}.free: this array was freed already; free it once`);
      if (!home.own) throw new TypeError(`${where}.free: this array is over a buffer of yours; destroy that`);
      home.freed = true;
      home.buffer!.destroy();
    },
    [ENGINE]: {
      executor: {
        async run(course: Stepper) {
          course.run();
          await recorder.settle('stepAsync', course);
        },
        forget: (owner) => recorder.forget(owner),
      },
      device: {
        gradient: (at, parameter, index) => (parameter.grad === null ? null : recorder.gradient(at, parameter, index)),
        step(course: Stepper, slots: readonly Slot[], rule: Rule, memo) {
          recorder.step(course, slots, rule, memo);
        },
        read: (array) => {
          const home = ownHome('stateDict', array);
          if (asked !== undefined) {
            asked.push(home);
            return new Float32Array(0);
          }
          if (home.host !== undefined && !recorder.pending) return home.host as StateArray;
          throw new Error(
            'stateDict: the state is on the GPU; await kernels.read(optimizer) first, or kernels.stateDict(optimizer)',
          );
        },
      },
    },
  };
  return {
    ...kernels,
    device,
    arithmetic: level,
    wrap: ((buffer: GPUBufferLike, dtype: string, length: number, wrapOptions: WrapOptions = {}): GPUArray => {
      const at = 'kernels.wrap';
      oneOf(`${at}: dtype`, dtype, ['float32', 'bfloat16', 'float16']);
      integer(`${at}: length`, length);
      const { offset } = checkedOptions(at, wrapOptions, ['offset']);
      const from = integer(`${at}: offset`, offset ?? 0);
      const home = checkedRange(at, device, buffer, from, length, dtype === 'float32' ? 4 : 2);
      return arrayAt(home);
    }) as WebGPUKernels['wrap'],
    upload: ((array: GPUArray): GPUArray => {
      const at = 'kernels.upload';
      const tag = ArrayBuffer.isView(array) ? array[Symbol.toStringTag] : '';
      if (tag !== 'Float32Array' && tag !== 'Uint16Array') {
        throw new TypeError(
          `${at}: array must be a Float32Array, or a Uint16Array of 16-bit numbers, got ${show(array)}`,
        );
      }
      const made = make(tag === 'Float32Array' ? 'float32' : 'sixteen', array.length, at);
      made.set(array);
      return made;
    }) as WebGPUKernels['upload'],
    rangeOf(array) {
      const { buffer, offset, size } = ownHome('kernels.rangeOf', array);
      return { buffer: buffer!, offset, size };
    },
    encode(encoder, record) {
      const before = recorder.encoder;
      recorder.encoder = encoder;
      try {
        return record();
      } finally {
        recorder.encoder = before;
      }
    },
    settle: () => recorder.settle('kernels.settle'),
    read: read as WebGPUKernels['read'],
    async stateDict(optimizer) {
      await read(optimizer);
      return optimizer.stateDict();
    },
  };
}
