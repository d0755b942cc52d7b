/** The odd corners of the pickle reader; the common ones are in torch.test.ts. */
import { CheckpointError, decodeTorch, encodeTorch } from 'tensorless/torch';
import { describe, expect, it } from 'vitest';
import {
  PyDict,
  PyGlobal,
  PyList,
  PyStorage,
  PyTensor,
  PyTuple,
  readPickle,
  describe as tell,
} from '../src/formats/pickle.ts';
import { readZip } from '../src/formats/zip-read.ts';

const read = (text: string): unknown => readPickle(Uint8Array.from(`\x80\x02${text}`, (c) => c.charCodeAt(0)));
const storage = '(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ';
const rebuild = (args: string): string => `ctorch._utils\n_rebuild_tensor_v2\n(${args}tR.`;
const hooks = 'ccollections\nOrderedDict\n)R';

describe('readPickle', () => {
  it('reads long memo indices, empty longs and seven-argument tensors', () => {
    expect(read('X\x01\0\0\0ar\0\x01\0\0j\0\x01\0\0\x86.')).toEqual(new PyTuple(['a', 'a']));
    expect(read('\x8a\0.')).toBe(0n);
    expect(read('\x8a\x01\xff.')).toBe(-1n);
    const tensor = read(rebuild(`${storage}K\0K\x02\x85K\x01\x85\x89${hooks}}`)) as PyTensor;
    expect([tensor.shape, tensor.stride, tensor.offset]).toEqual([[2], [1], 0]);
  });

  it.each<[string, string, RegExp]>([
    ['a memo index out of proportion', 'Nr\0\0\0\x7f.', /memo index 2130706432/],
    ['a call with other arguments', 'ccollections\nOrderedDict\nK\x01\x85R.', /cannot be called like this/],
    ['a call of something else', 'NN\x85R.', /needs a global and a tuple/],
    ['a storage that is called', 'ctorch\nFloatStorage\n)R.', /cannot be called like this/],
    ['a tensor without a storage', rebuild(`NK\0K\x02\x85K\x01\x85\x89${hooks}`), /has no storage/],
    ['a tensor with hooks', rebuild(`${storage}K\0K\x02\x85K\x01\x85\x89N`), /has hooks/],
    [
      'a tensor of nine dimensions',
      rebuild(`${storage}K\0(${'K\x01'.repeat(9)}t(${'K\x01'.repeat(9)}t\x89${hooks}`),
      /9 dimensions/,
    ],
    [
      'a tensor larger than any file',
      rebuild(
        `${storage}K\0\x8a\x07\xff\xff\xff\xff\xff\xff\x1f\x8a\x07\xff\xff\xff\xff\xff\xff\x1f\x86K\0K\0\x86\x89${hooks}`,
      ),
      /larger than any file/,
    ],
    ['a shape that is no tuple', rebuild(`${storage}K\0K\x02K\x01\x85\x89${hooks}`), /shape of a tensor is no tuple/],
    [
      'a float for an offset',
      rebuild(`${storage}G\0\0\0\0\0\0\0\0K\x02\x85K\x01\x85\x89${hooks}`),
      /offset must be a non-negative int, got 0/,
    ],
    ['too few arguments', rebuild(storage), /6 or 7 arguments, got 1/],
    ['a persistent id that is none', 'K\x01Q.', /persistent id must be/],
    ['a storage without a type', '(X\x07\0\0\0storageNX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ.', /storage has no type/],
    [
      'a storage with a name for a key',
      '(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0xX\x03\0\0\0cpuK\x04tQ.',
      /no key of digits/,
    ],
    ['a mark for a value', '(.', /mark stands where a value/],
    ['a mark on top', '(q\0.', /no value on the stack/],
    ['a name without an end', `c${'x'.repeat(300)}.`, /a name is not ended/],
    ['a dict as a key', '}}Ns.', /got a dict/],
    ['a list as a key', '}]Ns.', /got a list/],
    ['a tuple as a key', '})Ns.', /got a tuple/],
    ['None as a key', '}NNs.', /got None/],
    ['a global as a key', '}ctorch\nFloatStorage\nNs.', /got torch.FloatStorage/],
  ])('refuses %s', (_, text, message) => {
    expect(() => read(text)).toThrow(message);
  });

  it('tells what a value is', () => {
    const store = new PyStorage('torch FloatStorage', '0', 1);
    expect(
      [
        undefined,
        new PyList(),
        new PyDict(),
        store,
        new PyTensor(store, 0, [], []),
        1.5,
        3n,
        'x',
        true,
        new PyGlobal('a b'),
      ].map(tell),
    ).toEqual(['nothing', 'a list', 'a dict', 'a storage', 'a tensor', '1.5', '3', '"x"', 'true', 'a.b']);
  });
});

describe('encodeTorch and decodeTorch', () => {
  it('write what foreign state dicts hold: steps in tensors, float64 states, other keys', () => {
    const scalar = (value: number) => ({ dtype: 'float32' as const, shape: [], data: Float32Array.of(value) });
    const wide = { dtype: 'float64' as const, shape: [2], data: Float64Array.of(1, 2) };
    const group = { lr: 1, eps: [1e-30, 1e-3], clip_threshold: 1, params: [0] };
    const dict = { state: { '0': { step: scalar(7), exp_avg_sq: wide, RMS: 0.1 } }, param_groups: [group], note: 'x' };
    expect(decodeTorch(encodeTorch(dict))).toEqual({
      ...dict,
      state: { '0': { step: 7, exp_avg_sq: wide, RMS: { dtype: 'float64', shape: [], data: Float64Array.of(0.1) } } },
    });
  });

  it('refuse what has no place in a file', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 70; i++) deep = [deep];
    expect(() => encodeTorch({ deep } as never)).toThrow(/nested more than 64 deep/);
    expect(() => encodeTorch({ t: { dtype: 'int8', shape: [1], data: new Uint8Array(1) } } as never)).toThrow(
      /dtype must be one of/,
    );
    expect(() => encodeTorch({ t: { dtype: 'uint8', shape: 1, data: new Uint8Array(1) } } as never)).toThrow(
      /does not fit/,
    );
    expect(() => encodeTorch({ state: { '5': {} }, param_groups: [{ params: [0] }] } as never)).toThrow(
      /"5", but no group lists/,
    );
  });

  it('read a file in shared memory', () => {
    const bytes = encodeTorch({ a: 1 });
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    expect(decodeTorch(shared)).toEqual({ a: 1 });
  });
});

describe('readPickle, exactly', () => {
  const bytes = (...codes: number[]): Uint8Array => Uint8Array.from(codes);

  it('names the byte and the opcode that it does not know, with its letter where it has one', () => {
    expect(() => read('\x01')).toThrow(/opcode 0x01(?! \()/);
    expect(() => read(' ')).toThrow(/opcode 0x20(?! \()/);
    expect(() => read('!')).toThrow(/opcode 0x21 \(!\)/);
    expect(() => read('\x7f')).toThrow(/opcode 0x7f(?! \()/);
    expect(() => read('~')).toThrow(/opcode 0x7e \(~\)/);
  });

  it('wants protocol 2, and nothing after the end', () => {
    expect(() => readPickle(bytes(0x81, 2, 0x4e, 0x2e))).toThrow(/protocol 2/);
    expect(() => readPickle(bytes(0x80, 3, 0x4e, 0x2e))).toThrow(/protocol 2/);
    expect(() => read('N.NN')).toThrow(/2 bytes follow the end/);
  });

  it('takes a name of 200 bytes and none longer; an empty one too', () => {
    expect(() => read(`c${'x'.repeat(200)}\ny\n.`)).toThrow(/x y|x\.y|not allowed|refused/);
    expect(() => read(`c${'x'.repeat(201)}\ny\n.`)).toThrow(/a name is not ended/);
    expect(() => read('c\n\n.')).not.toThrow(/a name is not ended/);
  });

  it('keeps a byte order mark in a text', () => {
    expect(read('X\x04\0\0\0\xef\xbb\xbfa.')).toBe('\ufeffa');
  });

  it('names what cannot be called, by module and name', () => {
    expect(() => read('ctorch\nFloatStorage\n)R.')).toThrow(/torch\.FloatStorage cannot be called like this/);
  });

  it('takes tensors of eight dimensions, and empty ones at the end of their storage', () => {
    const ones = 'K\x01'.repeat(8);
    expect((read(rebuild(`${storage}K\0(${ones}t(${ones}t\x89${hooks}`)) as PyTensor).shape).toHaveLength(8);
    const empty = (start: number): unknown =>
      read(rebuild(`${storage}K${String.fromCharCode(start)}K\0\x85K\x01\x85\x89${hooks}`));
    expect((empty(4) as PyTensor).offset).toBe(4);
    expect(() => empty(5)).toThrow(CheckpointError);
    const full = (start: number): unknown =>
      read(rebuild(`${storage}K${String.fromCharCode(start)}K\x02\x85K\x01\x85\x89${hooks}`));
    expect((full(2) as PyTensor).offset).toBe(2);
    expect(() => full(3)).toThrow(CheckpointError);
  });

  it.each([
    ['requires_grad that is no bool', rebuild(`${storage}K\0K\x02\x85K\x01\x85N${hooks}`)],
    ['hooks', rebuild(`${storage}K\0K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RX\x01\0\0\0aNs`)],
    ['a negative offset', rebuild(`${storage}\x8a\x01\xffK\x02\x85K\x01\x85\x89${hooks}`)],
    ['an id that is no tuple', ']Q.'],
    ['an id of four', '(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cputQ.'],
    ['an id of something else', '(X\x07\0\0\0storagfctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ.'],
    ['a key with letters before', '(X\x07\0\0\0storagectorch\nFloatStorage\nX\x02\0\0\0x0X\x03\0\0\0cpuK\x04tQ.'],
    ['a key with letters after', '(X\x07\0\0\0storagectorch\nFloatStorage\nX\x02\0\0\x000xX\x03\0\0\0cpuK\x04tQ.'],
    ['a key that is a number', '(X\x07\0\0\0storagectorch\nFloatStorage\nK\0X\x03\0\0\0cpuK\x04tQ.'],
    ['a place that is no text', '(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000NK\x04tQ.'],
    ['one key with two types', `${storage}0${storage.replace('Float', 'Double')}.`],
    ['one key with two counts', `${storage}0${storage.replace('K\x04tQ', 'K\x05tQ')}.`],
  ])('refuses %s', (_, text) => {
    expect(() => read(text)).toThrow(CheckpointError);
  });

  it('says which count is wrong', () => {
    expect(() => read('(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuNtQ.')).toThrow(
      /count of a storage/,
    );
  });

  it('takes memo indices up to a bound that a real file does not reach', () => {
    const memo = (index: number): string =>
      `Nr${String.fromCharCode(index & 255, (index >> 8) & 255, (index >> 16) & 255, (index >> 24) & 255)}.`;
    let least = 0;
    let most = 2 ** 31 - 1;
    while (most - least > 1) {
      const middle = Math.floor((least + most) / 2);
      try {
        read(memo(middle));
        least = middle;
      } catch {
        most = middle;
      }
    }
    expect(most).toBeGreaterThanOrEqual(1e6);
    expect(() => read(memo(most))).toThrow(`memo index ${most} is out of all proportion`);
  });
});

describe('encodeTorch, exactly', () => {
  /** The pickle inside a file. */
  const pickle = (value: Record<string, unknown>): string => {
    const entry = [...readZip(encodeTorch(value as never))].find(([name]) => name.endsWith('/data.pkl'))!;
    return Array.from(entry[1].bytes, (code) => String.fromCharCode(code)).join('');
  };

  it('writes ints in the shortest form that Python writes', () => {
    for (const [value, code] of [
      [0, 'K\0'],
      [255, 'K\xff'],
      [256, 'M\0\x01'],
      [65535, 'M\xff\xff'],
      [65536, 'J\0\0\x01\0'],
      [-1, 'J\xff\xff\xff\xff'],
      [2 ** 31 - 1, 'J\xff\xff\xff\x7f'],
      [-(2 ** 31), 'J\0\0\0\x80'],
      [2 ** 31, '\x8a\x05\0\0\0\x80\0'],
    ] as const) {
      expect(pickle({ k: value }), String(value)).toContain(`X\x01\0\0\0k${code}`);
      expect(decodeTorch(encodeTorch({ k: value }))).toEqual({ k: value });
    }
  });

  it('writes eps and betas as tuples, other arrays as lists', () => {
    const both = pickle({ eps: [1, 2], other: [1, 2] });
    expect(both).toMatch(/eps\(G.{8}G.{8}t/s);
    expect(both).toContain('other](K\x01K\x02e');
    expect(pickle({ betas: [0.5, 0.25] })).toMatch(/betas\(G.{8}G.{8}t/s);
  });

  it('writes keys of digits as texts but for those of state', () => {
    const file = encodeTorch({ '1': 2 });
    expect(decodeTorch(file)).toEqual({ '1': 2 });
    expect(pickle({ '1': 2 })).toContain('X\x01\0\0\0' + '1K\x02');
    const state = pickle({ state: { '0': { a: 1 }, '12': { a: 1 } }, param_groups: [{ params: [0, 12] }] });
    expect(state).toContain('K\0}(X\x01\0\0\0a');
    expect(state).toContain('K\x0c}(X\x01\0\0\0a');
    const odd = pickle({
      state: { '01': { a: 1 }, x1: { a: 1 }, '1x': { a: 1 } },
      param_groups: [{ params: ['01', 'x1', '1x'] }],
    });
    for (const name of ['\x02\0\0\x0001', '\x02\0\0\0x1', '\x02\0\0\x001x']) expect(odd).toContain(`X${name}}(`);
  });

  it('writes storages on the cpu, and tensors that need no gradient', () => {
    const text = pickle({ t: { dtype: 'float32', shape: [1], data: Float32Array.of(1) } });
    expect(text).toContain('X\x03\0\0\0cpuK\x01tQ');
    expect(text).toContain('\x89ccollections');
  });

  it('writes a float64 optimizer’s RMS in float64, beside wide arrays only', () => {
    const group = { lr: 1, clip_threshold: 1, params: [0] };
    const rms = (dtype: 'float32' | 'float64', shape: number[]): unknown => {
      const Type = dtype === 'float64' ? Float64Array : Float32Array;
      const entry = { step: 1, v: { dtype, shape, data: new Type(1) }, RMS: 0.1 };
      const back = decodeTorch(encodeTorch({ state: { '0': entry }, param_groups: [group] } as never));
      return (back as never as { state: { 0: { RMS: { dtype: string } } } }).state[0].RMS.dtype;
    };
    expect(rms('float64', [1])).toBe('float64');
    expect(rms('float32', [1])).toBe('float32');
    expect(rms('float64', [])).toBe('float32');
  });

  it('counts in a Python int where a group is Adafactor’s, else in a float32 tensor', () => {
    const step = (groups: object[]): unknown => {
      const back = decodeTorch(encodeTorch({ state: { '0': { step: 3 } }, param_groups: groups } as never));
      return (back as never as { state: { 0: { step: unknown } } }).state[0].step;
    };
    const tensor = { dtype: 'float32', shape: [], data: Float32Array.of(3) };
    expect(step([{ params: [0] }])).toEqual(tensor);
    expect(step([{ clip_threshold: 1, params: [0] }])).toBe(3);
    expect(step([{ params: [0] }, { clip_threshold: 1, params: [] }])).toBe(3);
  });

  it('leaves other numbers of an entry as they are, and names that are digits as texts', () => {
    const dict = { state: { '0': { step: 3, other: 0.5 } }, param_groups: [{ params: [0] }] };
    const entry = (decodeTorch(encodeTorch(dict as never)) as never as { state: { 0: { other: unknown } } }).state[0];
    expect(entry.other).toBe(0.5);
    const readPickled = [...readZip(encodeTorch(dict as never, { parameterNames: ['7'] }))].find(([name]) =>
      name.endsWith('/data.pkl'),
    )![1].bytes;
    expect(String.fromCharCode(...readPickled)).toContain('X\x01\0\0\x007}(');
    for (const [id, code] of [
      ['5', 'K\x05'],
      ['123', 'K\x7b'],
      ['12345', 'M90'],
    ]) {
      expect(pickle({ state: { [id!]: { a: 1 } }, param_groups: [{ params: [Number(id)] }] })).toContain(`${code}}(X`);
    }
  });

  it('names the place of what it cannot write', () => {
    for (const [value, place] of [
      [{ a: [1, undefined] }, 'stateDict.a[1] must be plain data'],
      [{ eps: [1, undefined] }, 'stateDict.eps[1] must be plain data'],
      [{ state: { '0': { x: () => 1 } }, param_groups: [{ params: [0] }] }, 'state.0.x must be plain data'],
    ] as const) {
      expect(() => encodeTorch(value as never)).toThrow(place);
    }
    for (const wrong of [3, null, [], new Float32Array(1), undefined]) {
      expect(() => encodeTorch(wrong as never)).toThrow(/stateDict must be an object/);
    }
    expect(() => encodeTorch({ t: { dtype: 'float32', shape: [2], data: new Float32Array(1) } })).toThrow(
      /does not fit/,
    );
  });

  it('nests 64 deep, and no deeper; what it wrote is read back', () => {
    const nested = (depth: number): Record<string, unknown> => {
      let value: unknown = 1;
      for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { k: value };
      return { a: value };
    };
    const deepest = nested(63);
    expect(decodeTorch(encodeTorch(deepest as never))).toEqual(deepest);
    expect(() => encodeTorch(nested(64) as never)).toThrow(/nested more than 64 deep/);
  });

  it('gives properties that can be changed and deleted', () => {
    const back = decodeTorch(encodeTorch({ a: 1 })) as Record<string, number>;
    back.a = 2;
    delete back.a;
    expect(back).toEqual({});
  });
});
