/**
 * Every dtype of the format, Node's Buffers, sources piece by piece, and what a writer must not
 * write.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { StateTensor } from 'tensorless';
import {
  type ByteSource,
  blobSource,
  bytesSource,
  CheckpointError,
  decodeSafetensors,
  encodeSafetensors,
  openSafetensors,
} from 'tensorless/safetensors';
import { describe, expect, it } from 'vitest';

const vector = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(fileURLToPath(new URL(`vectors/checkpoints/${name}`, import.meta.url))));
const file = (header: string, data: Uint8Array = new Uint8Array(0)): Uint8Array => {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
};
const one = (): StateTensor => ({ dtype: 'float32', shape: [1], data: Float32Array.of(1.5) });

describe('every dtype', () => {
  it('that the reference writer has is read by PyTorch’s name, and written back as it was', () => {
    const bytes = vector('dtypes.safetensors');
    const { tensors, metadata } = decodeSafetensors(bytes);
    expect(Object.keys(tensors)).toHaveLength(20);
    for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
      expect(dtype).toBe(name);
      expect(shape.reduce((a, b) => a * b, 1) * data.BYTES_PER_ELEMENT).toBeLessThanOrEqual(data.byteLength);
    }
    expect(tensors.float4_e2m1fn_x2!.shape).toEqual([16]);
    expect(tensors.complex64).toMatchObject({ shape: [2], data: expect.any(Uint8Array) });
    expect(tensors.int16!.data).toHaveLength(16);
    expect([...encodeSafetensors(tensors, metadata)]).toEqual([...bytes]);
  });

  it.each([
    ['F6_E2M3', '[8]', 6, 'float6_e2m3'],
    ['F6_E3M2', '[2,2]', 3, 'float6_e3m2'],
    ['F4', '[]', 0, null],
    ['F4', '[2,3]', 3, 'float4_e2m1fn'],
    ['F6_E2M3', '[3]', 2, null],
  ])('%s of shape %s is packed bits', (name, shape, size, dtype) => {
    const bytes = file(`{"a":{"dtype":"${name}","shape":${shape},"data_offsets":[0,${size}]}}`, new Uint8Array(size));
    if (dtype === null) expect(() => decodeSafetensors(bytes)).toThrow(/does not fill its last byte/);
    else {
      const { tensors } = decodeSafetensors(bytes);
      expect(tensors.a!.dtype).toBe(dtype);
      expect(decodeSafetensors(encodeSafetensors({ ...tensors })).tensors).toEqual(tensors);
    }
  });

  it('is refused where the bytes do not fit it', () => {
    const wrong = { dtype: 'int16', shape: [2], data: new Uint16Array(2) };
    expect(() => encodeSafetensors({ a: wrong })).toThrow(/shape \[2\] of int16 needs 4 elements of 1 bytes/);
  });
});

describe('metadata and Buffers', () => {
  it('"__metadata__": null is none', () => {
    expect({ ...decodeSafetensors(file('{"__metadata__":null}')).metadata }).toEqual({});
  });

  it('a Buffer is read wherever it begins, padded or not, into plain arrays', () => {
    for (const padding of ['', ' ', '   ']) {
      const bytes = file(
        `{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}}${padding}`,
        new Uint8Array([...new Uint8Array(Float64Array.of(0.1).buffer), 7]),
      );
      for (let shift = 0; shift < 9; shift++) {
        const buffer = Buffer.concat([Buffer.alloc(shift), bytes]).subarray(shift);
        const { tensors } = decodeSafetensors(buffer);
        expect([...(tensors.a!.data as Float64Array)]).toEqual([0.1]);
        expect(Object.getPrototypeOf(tensors.b!.data)).toBe(Uint8Array.prototype);
        expect([...(tensors.b!.data as Uint8Array)]).toEqual([7]);
      }
    }
    const small = Buffer.from(encodeSafetensors({ a: one() }));
    expect(decodeSafetensors(small).tensors.a!.data).toEqual(Float32Array.of(1.5));
  });
});

describe('a writer', () => {
  it('refuses what its reader would: halves of surrogate pairs in names, keys and values', () => {
    expect(() => encodeSafetensors({ 'a\ud800': one() })).toThrow(/the name "a\\ud800" holds half a surrogate pair/);
    expect(() => encodeSafetensors({}, { '\udc00': 'x' })).toThrow(/half a surrogate pair/);
    expect(() => encodeSafetensors({}, { x: 'y\ud83d' })).toThrow(/half a surrogate pair/);
    expect(() => decodeSafetensors(encodeSafetensors({ '\u{1f600}': one() }, { x: '\u{1f600}' }))).not.toThrow();
  });

  it('refuses a shape that its reader could not count', () => {
    const shape = [0, 2 ** 32, 2 ** 32];
    expect(() => encodeSafetensors({ a: { dtype: 'float32', shape, data: new Float32Array(0) } })).toThrow(/counted/);
  });
});

describe('hostile headers', () => {
  /** What they may cost in time and memory is asked by safetensors-bounds.slow.ts. */
  it.each<[string, string]>([
    ['20,000 nested arrays in a shape', `{"a":{"dtype":"F32","shape":${'['.repeat(20_000)}`],
    ['nested arrays', '['.repeat(4_000_000)],
    ['nested objects', '{"a":'.repeat(1_000_000)],
    ['nested arrays in an unknown key', `{"a":{"x":${'['.repeat(1_000_000)}`],
    ['a shape of a million numbers', `{"a":{"dtype":"F32","shape":[${'1,'.repeat(1_000_000)}2],"data_offsets":[0,4]}}`],
    ['a long name', `{"${'x'.repeat(1_000_000)}":3}`],
    ['a long dtype', `{"a":{"dtype":"${'x'.repeat(1_000_000)}"}}`],
    ['a name of escape sequences', '{"\\u001b[2J\\u202e\\nx":{"dtype":"F33"}}'],
  ])('%s', (_, header) => {
    const bytes = file(header);
    let caught: unknown;
    try {
      decodeSafetensors(bytes);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(CheckpointError);
    const { message } = caught as Error;
    expect(message.length).toBeLessThanOrEqual(300);
    expect(message).toMatch(/^[ -~]+$/);
  });
});

/** A source that counts what is asked of it. */
function counted(bytes: Uint8Array): ByteSource & { asked: number } {
  const inner = bytesSource(bytes);
  return {
    size: inner.size,
    asked: 0,
    read(offset, into) {
      this.asked += into.length;
      return inner.read(offset, into);
    },
  };
}

describe('openSafetensors', () => {
  const bytes = encodeSafetensors(
    { a: one(), big: { dtype: 'float32', shape: [500, 100], data: new Float32Array(50_000).fill(2) } },
    { note: 'x' },
  );

  it('reads the header alone, and each array when it is asked for', async () => {
    const source = counted(bytes);
    const opened = await openSafetensors(source);
    expect(source.asked).toBeLessThan(400);
    expect({ ...opened.metadata }).toEqual({ note: 'x' });
    expect([...opened.tensors]).toEqual([
      ['a', { dtype: 'float32', shape: [1], byteLength: 4 }],
      ['big', { dtype: 'float32', shape: [500, 100], byteLength: 200_000 }],
    ]);
    expect(await opened.read('a')).toEqual(one());
    const into = new Float32Array(50_000);
    const tensor = await opened.read('big', into);
    expect(tensor.data).toBe(into);
    expect(into.every((x) => x === 2)).toBe(true);
  });

  it('refuses names that are not there and arrays that do not fit, and reads nothing into them', async () => {
    const opened = await openSafetensors(bytesSource(bytes));
    await expect(opened.read('b')).rejects.toThrow('there is no tensor "b"; the file has "a", "big"');
    await expect(opened.read('a', new Float32Array(2))).rejects.toThrow(/into must have 1 elements/);
    await expect(opened.read('a', new Float64Array(1))).rejects.toThrow(/into must be a Float32Array for float32/);
  });

  it('reads a Blob, and one with a raw dtype', async () => {
    const opened = await openSafetensors(
      blobSource(new Blob([vector('dtypes.safetensors') as Uint8Array<ArrayBuffer>])),
    );
    expect(await opened.read('int8')).toEqual(decodeSafetensors(vector('dtypes.safetensors')).tensors.int8);
    expect(await opened.read('bfloat16')).toEqual(decodeSafetensors(vector('dtypes.safetensors')).tensors.bfloat16);
  });

  it('refuses damaged files and sources that are none', async () => {
    await expect(openSafetensors(bytesSource(bytes.slice(0, -1)))).rejects.toThrow(CheckpointError);
    await expect(openSafetensors(bytesSource(new Uint8Array(3)))).rejects.toThrow(/too few/);
    await expect(openSafetensors(bytes as never)).rejects.toThrow(TypeError);
    expect(() => blobSource(3 as never)).toThrow(TypeError);
    expect(() => bytesSource(new ArrayBuffer(3) as never)).toThrow(TypeError);
    await expect(bytesSource(bytes).read(bytes.length - 1, new Uint8Array(2))).rejects.toThrow(RangeError);
    await expect(blobSource(new Blob(['abc'])).read(2, new Uint8Array(2))).rejects.toThrow(RangeError);
    const liar = blobSource({ size: 9, slice: () => new Blob(['x']) });
    await expect(liar.read(0, new Uint8Array(2))).rejects.toThrow(/gave 1 of 2 bytes/);
  });
});
