/**
 * Strictness: what the reference implementation (safetensors 0.8.0) rejects, and what the
 * specification forbids, is refused.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { fromBfloat16, fromFloat16, type StateTensor } from 'tensorless';
import { CheckpointError, decodeSafetensors, encodeSafetensors } from 'tensorless/safetensors';
import { encodeTorch } from 'tensorless/torch';
import { describe, expect, it } from 'vitest';

/** A file with this header text (or bytes) and so many bytes of data. */
function file(header: string | Uint8Array, data = 0, declared?: bigint): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, declared ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}
const f32 = (shape: string, offsets: string, rest = ''): string =>
  `{"dtype":"F32","shape":${shape},"data_offsets":${offsets}${rest}}`;

describe('decodeSafetensors', () => {
  it('reads a file that the reference implementation wrote', () => {
    const folder = fileURLToPath(new URL('vectors/checkpoints/', import.meta.url));
    const expected = (
      JSON.parse(readFileSync(`${folder}expected.json`, 'utf8')) as Record<
        string,
        Record<string, { t: string; shape: number[]; v: (number | boolean)[] }>
      >
    )['params.safetensors']!;
    const { tensors } = decodeSafetensors(new Uint8Array(readFileSync(`${folder}params.safetensors`)));
    expect(Object.keys(tensors).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, { t, shape, v }] of Object.entries(expected)) {
      const { dtype, shape: got, data } = tensors[name]!;
      expect([dtype, got], name).toEqual([t, shape]);
      const numbers =
        dtype === 'bfloat16'
          ? fromBfloat16(data as Uint16Array)
          : dtype === 'float16'
            ? fromFloat16(data as Uint16Array)
            : data;
      expect(Array.from(numbers as Float32Array, Number), name).toEqual(v.map(Number));
    }
  });

  it.each<[string, Uint8Array]>([
    ['no tensors', file('{}      ')],
    ['no padding', file(`{"a":${f32('[1]', '[0,4]')}}`, 4)],
    ['a header in any order', file(`{"b":${f32('[1]', '[4,8]')},"a":${f32('[1]', '[0,4]')}}`, 8)],
    ['leading and trailing whitespace', file(` {"a":${f32('[1]', '[0,4]')}}\n`, 4)],
    ['a scalar', file(`{"a":${f32('[]', '[0,4]')}}`, 4)],
    ['an empty tensor at a boundary', file(`{"a":${f32('[1]', '[0,4]')},"e":${f32('[0,3]', '[4,4]')}}`, 4)],
    ['extra fields', file(`{"a":${f32('[1]', '[0,4]', ',"note":"x"')}}`, 4)],
    ['an empty name', file(`{"":${f32('[1]', '[0,4]')}}`, 4)],
  ])('takes %s', (_, bytes) => {
    expect(() => decodeSafetensors(bytes)).not.toThrow();
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['an empty file', new Uint8Array(0), /too few/],
    ['7 bytes', new Uint8Array(7), /too few/],
    ['a header longer than the file', file('{}', 0, 3n), /header's length is given as 3/],
    ['100,000,000 in a short file', file('{}', 0, 100_000_000n), /header's length/],
    ['100,000,001', file('{}', 0, 100_000_001n), /header's length/],
    ['2^63', file('{}', 0, 1n << 63n), /header's length/],
    ['2^64 - 1', file('{}', 0, (1n << 64n) - 1n), /header's length/],
    ['a header that is not UTF-8', file(Uint8Array.of(0x7b, 0xff, 0x7d)), /not valid UTF-8/],
    ['no header', file(''), /not valid JSON/],
    ['cut JSON', file('{"a":'), /not valid JSON/],
    ['an array at the top', file('[]'), /must be a JSON object/],
    ['a byte order mark', file('\ufeff{}'), /not valid JSON/],
    ['padding with NUL', file('{}\0\0'), /not valid JSON/],
    ['longer data', file(`{"a":${f32('[1]', '[0,4]')}}`, 5), /end at byte/],
    ['shorter data', file(`{"a":${f32('[1]', '[0,4]')}}`, 3), /end at byte/],
    ['data without tensors', file('{}', 4), /end at byte/],
    ['an overlap', file(`{"a":${f32('[2]', '[0,8]')},"b":${f32('[2]', '[4,12]')}}`, 12), /side by side/],
    ['a hole', file(`{"a":${f32('[1]', '[0,4]')},"b":${f32('[1]', '[8,12]')}}`, 12), /side by side/],
    ['a first tensor not at 0', file(`{"a":${f32('[1]', '[4,8]')}}`, 8), /side by side/],
    ['one range twice', file(`{"a":${f32('[1]', '[0,4]')},"b":${f32('[1]', '[0,4]')}}`, 4), /side by side/],
    ['an end before its begin', file(`{"a":${f32('[1]', '[4,0]')}}`, 4), /hold -4/],
    [
      'an empty tensor inside another',
      file(`{"a":${f32('[2]', '[0,8]')},"e":${f32('[0]', '[4,4]')}}`, 8),
      /side by side/,
    ],
    ['a shape that does not fit its range', file(`{"a":${f32('[2]', '[0,4]')}}`, 4), /needs 8 bytes/],
    [
      'a shape over any size',
      file(`{"a":${f32('[4294967296,4294967296]', '[0,4]')}}`, 4),
      /more elements than can be counted/,
    ],
    [
      'an empty shape over any size',
      file(`{"a":${f32('[0,4294967296,4294967296]', '[0,0]')}}`),
      /more elements than can be counted/,
    ],
    ['a negative size', file(`{"a":${f32('[-1]', '[0,4]')}}`, 4), /shape must be/],
    ['a size 2.0', file(`{"a":${f32('[2.0]', '[0,8]')}}`, 8), /integer belongs/],
    ['a size 2e0', file(`{"a":${f32('[2e0]', '[0,8]')}}`, 8), /integer belongs/],
    ['a size as text', file(`{"a":${f32('["2"]', '[0,8]')}}`, 8), /shape must be/],
    ['an offset over 2^64', file(`{"a":${f32('[1]', '[0,18446744073709551616]')}}`, 4), /data_offsets must be/],
    ['one offset', file(`{"a":${f32('[1]', '[0]')}}`, 4), /data_offsets must be two/],
    ['three offsets', file(`{"a":${f32('[1]', '[0,4,4]')}}`, 4), /data_offsets must be two/],
    ['an unknown dtype', file('{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}', 4), /dtype must be one of/],
    ['a lower-case dtype', file('{"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}}', 4), /dtype must be one of/],
    ['no dtype', file('{"a":{"shape":[1],"data_offsets":[0,4]}}', 4), /dtype must be/],
    ['no shape', file('{"a":{"dtype":"F32","data_offsets":[0,4]}}', 4), /shape must be/],
    ['a file of PyTorch', encodeTorch({ a: 1 }), /this is a file of PyTorch; read it with decodeTorch/],
    ['null for a tensor', file('{"a":null}'), /must be an object/],
    ['dtype twice', file('{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4), /"dtype" twice/],
    ['metadata twice', file('{"__metadata__":{},"__metadata__":{}}'), /"__metadata__" twice/],
    ['a tensor twice', file(`{"a":${f32('[1]', '[0,4]')},"a":${f32('[1]', '[0,4]')}}`, 4), /"a" twice/],
    [
      'a name twice, once escaped',
      file(`{"a":${f32('[1]', '[0,4]')},"\\u0061":${f32('[1]', '[0,4]')}}`, 4),
      /"a" twice/,
    ],
    ['a metadata key twice', file('{"__metadata__":{"k":"1","k":"1"}}'), /"k" twice/],
    ['metadata that is a number', file('{"__metadata__":{"k":1}}'), /metadata "k" must be a string/],
    ['metadata that is null', file('{"__metadata__":{"k":null}}'), /metadata "k" must be a string/],
    ['metadata that is text', file('{"__metadata__":"x"}'), /must be an object of strings/],
    ['half a surrogate pair', file('{"__metadata__":{"k":"\\ud800"}}'), /half a surrogate pair/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => decodeSafetensors(bytes)).toThrow(CheckpointError);
    expect(() => decodeSafetensors(bytes)).toThrow(message);
  });

  it('gives views where elements are aligned, copies where they are not', () => {
    const header = `{"a":${f32('[2]', '[0,8]')}}`;
    const aligned = file(header.padEnd(Math.ceil(header.length / 8) * 8), 8);
    expect(decodeSafetensors(aligned).tensors.a!.data.buffer).toBe(aligned.buffer);
    const odd = file(header.padEnd(Math.ceil(header.length / 8) * 8 + 1), 8);
    const copy = decodeSafetensors(odd).tensors.a!.data;
    expect(copy.buffer).not.toBe(odd.buffer);
    odd.fill(1);
    expect([...(copy as Float32Array)]).toEqual([0, 0]);
  });

  it('gives objects that no name can reach out of', () => {
    const { tensors, metadata } = decodeSafetensors(
      file(`{"__metadata__":{"__proto__":"x"},"__proto__":${f32('[1]', '[0,4]')}}`, 4),
    );
    expect(Object.keys(tensors)).toEqual(['__proto__']);
    expect(Object.entries(metadata)).toEqual([['__proto__', 'x']]);
    expect(({} as Record<string, unknown>).dtype).toBeUndefined();
  });

  it('refuses what is no Uint8Array', () => {
    for (const wrong of [null, 'x', new ArrayBuffer(8), [1], new Uint16Array(8)])
      expect(() => decodeSafetensors(wrong as never)).toThrow(TypeError);
  });
});

describe('encodeSafetensors', () => {
  const tensor = fc.oneof(
    fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }).chain((shape) => {
      const length = shape.reduce((a, b) => a * b, 1);
      const make = (dtype: StateTensor['dtype'], data: StateTensor['data']): StateTensor => ({ dtype, shape, data });
      return fc.constantFrom(
        make('float32', new Float32Array(length).fill(1.5)),
        make('float64', new Float64Array(length).fill(0.1)),
        make('bfloat16', new Uint16Array(length).fill(0x3f80)),
        make('float16', new Uint16Array(length).fill(0x3c00)),
        make('int64', new BigInt64Array(length).fill(-5n)),
        make('uint8', new Uint8Array(length).fill(7)),
        make('bool', new Uint8Array(length).fill(1)),
      );
    }),
  );
  const names = fc.string({ unit: 'binary' }).filter((name) => name !== '__metadata__' && !/\p{Surrogate}/u.test(name));

  it('what is written is read back, in an aligned file', () => {
    fc.assert(
      fc.property(fc.dictionary(names, tensor), fc.dictionary(names, names), (tensors, metadata) => {
        const bytes = encodeSafetensors(tensors, metadata);
        expect(Number(new DataView(bytes.buffer).getBigUint64(0, true)) % 8).toBe(0);
        const back = decodeSafetensors(bytes);
        expect({ ...back.tensors }).toEqual({ ...tensors });
        expect({ ...back.metadata }).toEqual({ ...metadata });
        for (const { data } of Object.values(back.tensors)) expect(data.buffer).toBe(bytes.buffer);
      }),
    );
  });

  it.each<[string, () => unknown, RegExp]>([
    [
      'a tensor named __metadata__',
      () => encodeSafetensors({ __metadata__: { dtype: 'uint8', shape: [0], data: new Uint8Array(0) } }),
      /__metadata__/,
    ],
    [
      'a shape that does not fit',
      () => encodeSafetensors({ a: { dtype: 'float32', shape: [3], data: new Float32Array(2) } }),
      /"a"/,
    ],
    [
      'another array than the dtype has',
      () => encodeSafetensors({ a: { dtype: 'float32', shape: [2], data: new Float64Array(2) } }),
      /"a"/,
    ],
    [
      'an unknown dtype',
      () => encodeSafetensors({ a: { dtype: 'int9', shape: [2], data: new Uint8Array(2) } }),
      /dtype must be one of/,
    ],
    ['metadata that is no text', () => encodeSafetensors({}, { k: 1 as never }), /metadata "k" must be a string/],
    ['no tensor', () => encodeSafetensors({ a: null as never }), /"a" must be/],
  ])('refuses %s', (_, call, message) => expect(call).toThrow(message));
});

describe('what cannot be written', () => {
  it('a shape that is none', () => {
    for (const shape of [3, [1.5], [-1]]) {
      const tensor = { dtype: 'float32', shape, data: new Float32Array(3) } as never;
      expect(() => encodeSafetensors({ a: tensor })).toThrow(/shape must be an array of non-negative integers/);
    }
  });

  it('a header longer than readers take', () => {
    expect(() => encodeSafetensors({}, { text: 'x'.repeat(100_000_001) })).toThrow(/header/);
  });
});

describe('decodeSafetensors, exactly', () => {
  it.each(['null', '[]', '3', '"x"', 'true'])('says that a header of %s is no object', (text) => {
    expect(() => decodeSafetensors(file(text))).toThrow(/the header must be a JSON object, got/);
  });

  it.each(['null', '[]', '"x"', '3'])('says that an entry of %s is no object, and metadata neither', (text) => {
    expect(() => decodeSafetensors(file(`{"a":${text}}`))).toThrow(/tensor "a": its entry must be an object, got/);
    if (text === 'null') return;
    expect(() => decodeSafetensors(file(`{"__metadata__":${text}}`))).toThrow(
      /__metadata__ must be an object of strings/,
    );
  });

  it('takes equal strings for keys only where keys stand', () => {
    const entry = f32('[1]', '[0,4]', ',"note":["x","x"],"other":{"x":"x","y":"x"}');
    expect(() => decodeSafetensors(file(`{"a":${entry}}`, 4))).not.toThrow();
    expect(() => decodeSafetensors(file(`{"a":${f32('[1]', '[0,4]', ',"n":{"x":1,"x":2}')}}`, 4))).toThrow(/"x" twice/);
    expect(() => decodeSafetensors(file(`{"a":${f32('[1]', '[0,4]', ',"n":[{"x":1},{"x":2}]')}}`, 4))).not.toThrow();
    expect(() => decodeSafetensors(file(`{"a":${f32('[1]', '[0,4]', ',"n":[[1],"x"],"n":1')}}`, 4))).toThrow(
      /"n" twice/,
    );
  });

  it('tells the byte of a key that comes twice, of half a pair, of a fraction', () => {
    const entry = f32('[0]', '[0,0]');
    const twice = `{"a":${entry},"a":${entry}}`;
    expect(() => decodeSafetensors(file(twice))).toThrow(`(byte ${8 + twice.lastIndexOf('"a"')})`);
    const half = '{"a":{"x":"\\ud800"}}';
    expect(() => decodeSafetensors(file(half))).toThrow(`half a surrogate pair (byte ${8 + half.indexOf('"\\')})`);
    for (const number of ['1.0', '1e0', '1E0']) {
      const text = `{"a":${f32(`[${number}]`, '[0,4]')}}`;
      const at = 8 + text.indexOf(number) + 1;
      expect(() => decodeSafetensors(file(text, 4))).toThrow(`where an integer belongs (byte ${at})`);
    }
  });

  it('leaves true and false in arrays to the check of the shape', () => {
    for (const text of ['[true]', '[false]']) {
      expect(() => decodeSafetensors(file(`{"a":${f32(text, '[0,4]')}}`, 4))).toThrow(/shape must be an array of/);
    }
  });

  it('names what is allowed, and what came', () => {
    expect(() => decodeSafetensors(file('{"a":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}', 1))).toThrow(
      /tensor "a": dtype must be one of F64, F32, .*got "F8"/,
    );
    expect(() => decodeSafetensors(file('{"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}}', 4))).toThrow(
      /got \["F32"\]/,
    );
    expect(() => decodeSafetensors(file(`{"a":${f32('[2,3]', '[0,4]')}}`, 4))).toThrow(
      'tensor "a": shape [2, 3] of F32 needs 24 bytes, data_offsets [0, 4] hold 4',
    );
    expect(() => decodeSafetensors(file(`{"a":${f32('[4294967296,4294967296]', '[0,4]')}}`, 4))).toThrow(
      'shape [4294967296, 4294967296] has more elements than can be counted',
    );
    const short = file(`{"a":${f32('[1]', '[0,4]')}}`, 3);
    expect(() => decodeSafetensors(short)).toThrow(
      `the arrays end at byte ${short.length + 1}, but the file has ${short.length}`,
    );
    expect(() => decodeSafetensors(file('{}', 0, 3n))).toThrow('is given as 3 bytes, but the file has 2 after it');
    expect(() => decodeSafetensors('x' as never)).toThrow(
      'decodeSafetensors: bytes must be a Uint8Array with the file\'s contents, got "x"; read the file first',
    );
    expect(() => decodeSafetensors(new SharedArrayBuffer(8) as never)).toThrow('wrap it: new Uint8Array(buffer)');
  });

  it('takes sizes up to what a number holds', () => {
    // 2^53 - 8 bytes: the size can be counted, the file is not that long.
    const most = (2 ** 53 - 8) / 4;
    expect(() => decodeSafetensors(file(`{"a":${f32(`[${most}]`, `[0,${4 * most}]`)}}`, 4))).toThrow(
      /but the file has/,
    );
    expect(() => decodeSafetensors(file(`{"a":${f32(`[${most + 2}]`, '[0,4]')}}`, 4))).toThrow(/can be counted/);
  });

  it('refuses a header longer than the format allows, however long the file', () => {
    const bytes = new Uint8Array(100_000_010);
    new DataView(bytes.buffer).setBigUint64(0, 100_000_001n, true);
    expect(() => decodeSafetensors(bytes)).toThrow(/header's length is given as 100000001 bytes/);
    new DataView(bytes.buffer).setBigUint64(0, 100_000_000n, true);
    expect(() => decodeSafetensors(bytes)).toThrow(/not valid JSON/);
  });

  it('keeps the cause where the header is no UTF-8', () => {
    try {
      decodeSafetensors(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0xff));
      expect.unreachable();
    } catch (error) {
      expect((error as Error).cause).toBeInstanceOf(Error);
    }
  });

  it('takes empty arrays where others begin or end, in any order', () => {
    const empty = f32('[0]', '[0,0]');
    for (const text of [
      `{"e":${empty},"a":${f32('[1]', '[0,4]')}}`,
      `{"a":${f32('[1]', '[0,4]')},"e":${empty}}`,
      `{"a":${f32('[1]', '[0,4]')},"e":${empty},"f":${f32('[0]', '[4,4]')}}`,
    ]) {
      expect(decodeSafetensors(file(text, 4)).tensors.e!.shape).toEqual([0]);
    }
  });
});

describe('encodeSafetensors, exactly', () => {
  const header = (bytes: Uint8Array): string => {
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    return new TextDecoder().decode(bytes.subarray(8, 8 + length));
  };
  const one = (dtype: 'float32' | 'uint8' = 'float32'): StateTensor => ({
    dtype,
    shape: [1],
    data: dtype === 'uint8' ? new Uint8Array(1) : new Float32Array(1),
  });

  it('orders names by their code points, the shorter first', () => {
    const names = ['b', 'ab', 'a', '\u{1f600}', '\uffff', 'aa', 'abc', ''];
    const text = header(encodeSafetensors(Object.fromEntries(names.map((name) => [name, one()]))));
    expect(Object.keys(JSON.parse(text) as object)).toEqual(['', 'a', 'aa', 'ab', 'abc', 'b', '\uffff', '\u{1f600}']);
  });

  it('orders formats widest first', () => {
    const text = header(encodeSafetensors({ a: one('uint8'), b: one() }));
    expect(Object.keys(JSON.parse(text) as object)).toEqual(['b', 'a']);
  });

  it('writes metadata first, in order, and none where there is none', () => {
    expect(header(encodeSafetensors({ a: one() }, { z: '1', b: '2' }))).toMatch(
      /^\{"__metadata__":\{"b":"2","z":"1"\},"a"/,
    );
    expect(header(encodeSafetensors({ a: one() }))).not.toContain('__metadata__');
  });

  it('says what a tensor needs', () => {
    expect(() => encodeSafetensors({ a: { ...one(), shape: [2, 3] } })).toThrow(
      'tensor "a": shape [2, 3] of float32 needs 6 elements of 4 bytes, got Float32Array(1)',
    );
    expect(() => encodeSafetensors({ a: { ...one(), dtype: 'int9' } })).toThrow(
      /dtype must be one of float32, .*, got "int9"/,
    );
    for (const wrong of [null, undefined, 3, { dtype: 'float32', shape: [1], data: [1] }]) {
      expect(() => encodeSafetensors({ a: wrong as never })).toThrow('tensor "a" must be { dtype, shape, data }, got');
    }
  });
});
