/** Reading arrays back from a GPU. */
import type { GPUArray, Home } from './arrays.ts';
import { type GPUBufferLike, type GPUDeviceLike, READ, USAGE } from './gpu.ts';

/** The numbers of arrays, each in memory of its own. */
export async function download(device: GPUDeviceLike, homes: readonly Home[]): Promise<GPUArray[]> {
  const without = homes.find(({ buffer }) => buffer !== null && (buffer.usage & USAGE.copySource) === 0);
  if (without !== undefined) {
    throw new TypeError(
      `kernels.read: the buffer must have the usage COPY_SRC, got ${without.buffer!.usage}; ` +
        'create it with GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC',
    );
  }
  const encoder = device.createCommandEncoder();
  const staged: (GPUBufferLike | null)[] = homes.map(({ buffer, offset, size }) => {
    if (size === 0) return null;
    const staging = device.createBuffer({ size, usage: USAGE.mapRead | USAGE.copyTarget });
    encoder.copyBufferToBuffer(buffer!, offset, staging, 0, size);
    return staging;
  });
  device.queue.submit([encoder.finish()]);
  const numbers: GPUArray[] = [];
  for (const [i, { bytes, length }] of homes.entries()) {
    const array = bytes === 4 ? new Float32Array(length) : new Uint16Array(length);
    const staging = staged[i];
    if (staging !== null && staging !== undefined) {
      await staging.mapAsync(READ);
      const mapped = staging.getMappedRange();
      array.set(bytes === 4 ? new Float32Array(mapped, 0, length) : new Uint16Array(mapped, 0, length));
      staging.destroy();
    }
    numbers.push(array);
  }
  return numbers;
}
