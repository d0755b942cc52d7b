/**
 * Steps of TensorFlow.js that stay on the GPU: copies between its buffers and those of
 * `webgpuKernels`, in the order of the device's queue. TensorFlow.js takes a tensor's contents for
 * fixed, so each side has buffers of its own.
 */
import { cast, type Tensor, tensor } from '@tensorflow/tfjs-core';
import type { Kernels } from '../engine/kernels.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import { backendOf, nameOf } from './tf-tensors.ts';

type Queue = { submit(commands: object[]): void };

type Commands = {
  copyBufferToBuffer(from: object, fromByte: number, to: object, toByte: number, size: number): void;
  finish(): object;
};

/** What is needed of a `GPUDevice`. */
export interface DeviceLike {
  /** Takes commands. */
  readonly queue: object;
  /** Begins commands. */
  createCommandEncoder(): object;
}

/** Where an array is. */
export interface BufferRange {
  /** A `GPUBuffer`. */
  readonly buffer: object;
  /** First byte. */
  readonly offset: number;
  /** Number of bytes. */
  readonly size: number;
}

/** What is needed of the kernels of `tensorless/webgpu`. */
export interface DeviceKernels extends Kernels {
  /** The device of the backend: `tf.backend().device`. */
  readonly device: DeviceLike;
  /** An array over a buffer. */
  wrap(buffer: object, dtype: 'float32', length: number): Float32Array;
  /** An array with these numbers. */
  upload(array: Float32Array): Float32Array;
  /** Where an array is. */
  rangeOf(array: Float32Array): BufferRange;
  /** Makes the state readable. */
  read(optimizer: Optimizer): Promise<unknown>;
}

/** A gradient on the GPU, until it is released. */
export interface Lease {
  readonly array: Float32Array;
  release(): void;
}

/** The copies of one device. */
export class GpuCopies {
  readonly kernels: DeviceKernels;

  constructor(kernels: DeviceKernels) {
    this.kernels = kernels;
  }

  /** @throws Error when a tensor is not of the kernels' device. */
  check(method: string, tensors: readonly Tensor[]): void {
    const other = tensors.map(backendOf).find((one) => Reflect.get(one, 'device') !== this.kernels.device);
    if (other === undefined) return;
    throw new Error(
      `TfOptimizer.${method}: the kernels are of another device than the backend "${nameOf(other)}"; make them with ` +
        'webgpuKernels(tf.backend().device), on the backend "webgpu"',
    );
  }

  /** Memory for a variable's weights. */
  allocate(length: number): Float32Array {
    return this.kernels.allocate('float32', length);
  }

  /** A tensor's numbers on the GPU, as float32. */
  borrow(one: Tensor): Lease {
    if (one.dtype !== 'float32') {
      const numbers = cast(one, 'float32');
      const lease = this.borrow(numbers);
      return {
        array: lease.array,
        release: () => {
          lease.release();
          numbers.dispose();
        },
      };
    }
    const given = onGpu(one);
    if (given !== undefined) {
      return {
        array: this.kernels.wrap(given.buffer, 'float32', one.size),
        release: () => void given.tensorRef.dispose(),
      };
    }
    const array = this.kernels.upload(one.dataSync<'float32'>());
    return { array, release: () => this.kernels.free(array) };
  }

  /** A tensor's numbers into an array of the kernels. */
  fill(array: Float32Array, one: Tensor): void {
    const given = onGpu(one);
    if (given === undefined) {
      array.set(one.dataSync<'float32'>());
      return;
    }
    const { device } = this.kernels;
    const { buffer, offset, size } = this.kernels.rangeOf(array);
    const commands = device.createCommandEncoder() as Commands;
    commands.copyBufferToBuffer(given.buffer, 0, buffer, offset, size);
    (device.queue as Queue).submit([commands.finish()]);
    given.tensorRef.dispose();
  }

  /** A new tensor of an array's numbers. */
  toTensor(array: Float32Array, shape: number[]): Tensor {
    const { buffer } = this.kernels.rangeOf(array);
    return tensor({ buffer } as Parameters<typeof tensor>[0], shape, 'float32');
  }
}

/** A copy of a tensor's buffer; undefined where its numbers are still, or again, in memory. */
function onGpu(one: Tensor): { buffer: object; tensorRef: Tensor } | undefined {
  try {
    const { buffer, tensorRef } = one.dataToGPU();
    return { buffer: buffer!, tensorRef };
  } catch (error) {
    if ((error as Error).message.includes('not on GPU but on CPU')) return undefined;
    throw error;
  }
}
