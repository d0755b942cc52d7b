/**
 * Files on a big-endian machine: one is feigned to the modules, which then reverse the bytes of
 * every element.
 */
import type { StateTensor } from 'tensorless';
import { afterEach, expect, it, vi } from 'vitest';

afterEach(() => {
  vi.unstubAllGlobals();
  vi.resetModules();
});

/** The two modules, on a machine whose 16-bit numbers seem to begin with their high byte. */
async function feigned() {
  vi.resetModules();
  const { Uint16Array: Real } = globalThis;
  vi.stubGlobal('Uint16Array', function swapped(numbers: number[]) {
    return new Real(numbers.map((n) => ((n & 0xff) << 8) | (n >> 8)));
  });
  const modules = [await import('tensorless/safetensors'), await import('tensorless/torch')] as const;
  vi.unstubAllGlobals();
  return modules;
}

const tensors: Record<string, StateTensor> = {
  a: { dtype: 'float32', shape: [2], data: Float32Array.from([1.5, -2]) },
  b: { dtype: 'float64', shape: [1], data: Float64Array.from([Math.PI]) },
  c: { dtype: 'bfloat16', shape: [2], data: Uint16Array.from([0x3f80, 0x4000]) },
  d: { dtype: 'uint8', shape: [3], data: Uint8Array.from([1, 2, 3]) },
};

/**
 * The same tensors with every element's bytes reversed: what such a machine holds in memory for the
 * same numbers.
 */
const reversed: Record<string, StateTensor> = Object.fromEntries(
  Object.entries(tensors).map(([name, tensor]) => {
    const size = tensor.data.BYTES_PER_ELEMENT;
    const bytes = new Uint8Array(tensor.data.slice().buffer);
    for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
    const Type = tensor.data.constructor as Float32ArrayConstructor;
    return [name, { ...tensor, data: new Type(bytes.buffer) } as StateTensor];
  }),
);

it('safetensors: the file is the one of a little-endian machine, and is read back', async () => {
  const real = await import('tensorless/safetensors');
  const [there] = await feigned();
  const file = there.encodeSafetensors(reversed, { by: 'test' });
  expect(Buffer.from(file).equals(Buffer.from(real.encodeSafetensors(tensors, { by: 'test' })))).toBe(true);
  const read = there.decodeSafetensors(file).tensors;
  for (const [name, { data }] of Object.entries(reversed)) {
    expect(Buffer.from(read[name]!.data.slice().buffer).equals(Buffer.from(data.buffer)), name).toBe(true);
  }
});

it('torch: the file is the one of a little-endian machine', async () => {
  const real = await import('tensorless/torch');
  const [, there] = await feigned();
  expect(Buffer.from(there.encodeTorch(reversed)).equals(Buffer.from(real.encodeTorch(tensors)))).toBe(true);
});
