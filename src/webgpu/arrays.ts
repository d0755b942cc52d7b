/**
 * Arrays on a GPU in the clothes of typed arrays: of the kind and length that the numbers on the
 * GPU have, so that a Parameter, its gradient and its state can be such ones, and without an
 * element of their own. What reads their memory is told to read them by the kernels first.
 */
import { show } from '../core/check.ts';
import { isShared, tagOf } from '../core/typed-array.ts';
import type { GPUBufferLike, GPUDeviceLike } from './gpu.ts';

/** Where an array is found. */
export const HOME: unique symbol = Symbol('tensorless.webgpu.home');

/** Typed arrays of the kinds that there are on a GPU. */
export type GPUArray = Float32Array | Uint16Array;

/** An array's place on a GPU. */
export class Home {
  readonly device: GPUDeviceLike;
  readonly buffer: GPUBufferLike | null;
  /** First byte, and number of elements of `bytes` bytes. */
  readonly offset: number;
  readonly length: number;
  readonly bytes: 2 | 4;
  /** Whether it was made by `allocate`. */
  readonly own: boolean;
  freed = false;
  /** The numbers, where they have been read since they changed. */
  host: GPUArray | undefined;
  /** What WebGPU has against the buffer; told once it is known. */
  fault: string | undefined;

  constructor(
    device: GPUDeviceLike,
    buffer: GPUBufferLike | null,
    offset: number,
    length: number,
    bytes: 2 | 4,
    own: boolean,
  ) {
    this.device = device;
    this.buffer = buffer;
    this.offset = offset;
    this.length = length;
    this.bytes = bytes;
    this.own = own;
  }

  /** Bytes of whole words: the last 16-bit number may have a word for itself. */
  get size(): number {
    return Math.ceil((this.length * this.bytes) / 4) * 4;
  }

  /** Writes numbers to the GPU, in the queue's order. */
  write(numbers: ArrayLike<number>, at = 0): void {
    if (this.freed) throw new Error('webgpuKernels: this array was freed and is still in use; make a new one');
    if (homeOf(numbers) !== undefined) throw new TypeError('set: the numbers must be in memory; read them first');
    if (numbers.length + at > this.length) {
      throw new RangeError(`set: ${numbers.length} numbers from ${at} do not fit into ${this.length} on the GPU`);
    }
    if (this.bytes === 2 && ((at & 1) !== 0 || ((numbers.length & 1) !== 0 && at + numbers.length !== this.length))) {
      throw new RangeError('set: 16-bit numbers go to the GPU in pairs: from an even place, an even number of them');
    }
    this.host = undefined;
    const plain = tagOf(numbers) === (this.bytes === 4 ? 'Float32Array' : 'Uint16Array');
    const whole = plain && numbers.length % 2 === 0 && !isShared(numbers as GPUArray);
    const bytes = whole ? (numbers as GPUArray) : copied(numbers, this.bytes);
    const size = Math.ceil((numbers.length * this.bytes) / 4) * 4;
    if (size === 0) return;
    this.device.queue.writeBuffer(
      this.buffer!,
      this.offset + at * this.bytes,
      bytes.buffer as ArrayBuffer,
      bytes.byteOffset,
      size,
    );
  }
}

/** In memory of its own, padded to whole words. */
function copied(numbers: ArrayLike<number>, bytes: 2 | 4): GPUArray {
  const copy = bytes === 4 ? new Float32Array(numbers.length) : new Uint16Array(numbers.length + (numbers.length & 1));
  copy.set(numbers);
  return copy;
}

/** The place of an array on a GPU; undefined for one in memory. */
export function homeOf(array: unknown): Home | undefined {
  return (array as { readonly [HOME]?: Home })[HOME];
}

/** What an array on a GPU has of typed arrays; it has no bytes here. */
const KEPT: ReadonlySet<string | symbol> = /* @__PURE__ */ new Set<string | symbol>([
  'constructor',
  'length',
  'set',
  'byteLength',
  'toString',
  'toLocaleString',
  Symbol.toStringTag,
]);

/** The array at this place. */
export function arrayAt(home: Home): GPUArray {
  const array: GPUArray = home.bytes === 4 ? new Float32Array(0) : new Uint16Array(0);
  const elsewhere = (): never => {
    throw new TypeError(
      `this array of ${home.length} numbers is on a GPU: it is for optimizers with the webgpuKernels that it is ` +
        'from; its numbers are read with await kernels.read(array)',
    );
  };
  // Its methods would find nothing to do, and say nothing of it.
  for (const name of Reflect.ownKeys(Object.getPrototypeOf(Float32Array.prototype))) {
    if (!KEPT.has(name)) Object.defineProperty(array, name, { get: elsewhere });
  }
  return Object.defineProperties(array, {
    [HOME]: { value: home },
    length: { value: home.length },
    set: { value: (numbers: ArrayLike<number>, at?: number) => home.write(numbers, at) },
  });
}

/** Checks a range of a buffer for {@link Home}. */
export function checkedRange(
  where: string,
  device: GPUDeviceLike,
  buffer: unknown,
  offset: number,
  length: number,
  bytes: 2 | 4,
): Home {
  const given = buffer as Partial<GPUBufferLike> | null;
  if (typeof given?.size !== 'number' || typeof given.destroy !== 'function') {
    throw new TypeError(`${where}: buffer must be a GPUBuffer, got ${show(buffer)}`);
  }
  const { usage, size } = given as GPUBufferLike;
  if ((usage & 128) === 0) {
    throw new TypeError(
      `${where}: buffer must have the usage STORAGE, got ${usage}; create it with GPUBufferUsage.STORAGE`,
    );
  }
  const unit = device.limits.minStorageBufferOffsetAlignment;
  if (offset % unit !== 0) {
    throw new RangeError(
      `${where}: offset must be a multiple of ${unit}, the device's minStorageBufferOffsetAlignment, got ${offset}`,
    );
  }
  const home = new Home(device, given as GPUBufferLike, offset, length, bytes, false);
  if (offset + home.size > size) {
    const odd = bytes === 2 && length % 2 === 1 ? ', the last one with a word for itself' : '';
    throw new RangeError(
      `${where}: ${length} elements of ${bytes} bytes${odd} from byte ${offset} need ${offset + home.size} bytes, ` +
        `but the buffer has ${size}`,
    );
  }
  return home;
}
