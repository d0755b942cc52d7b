/** What encodeTorch writes; test/torch/ holds it to a real PyTorch. */

import fc from 'fast-check';
import { AdamW, Parameter, type StateTensor, type StateValue } from 'tensorless';
import { decodeTorch, encodeTorch } from 'tensorless/torch';
import { describe, expect, it } from 'vitest';
import { writeTorch } from '../src/formats/torch/files.ts';
import { readZip } from '../src/formats/zip-read.ts';

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
    expect(() => encodeTorch({ t: { dtype: 'int9', shape: [1], data: new Uint8Array(1) } } as never)).toThrow(
      /stateDict\.t: dtype must be one of PyTorch's, such as .* got "int9"/,
    );
    expect(() => encodeTorch({ t: { dtype: 'qint8', shape: [1], data: new Uint8Array(1) } } as never)).toThrow(
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
    expect(both).toContain('other]q\x01(K\x01K\x02e');
    expect(pickle({ betas: [0.5, 0.25] })).toMatch(/betas\(G.{8}G.{8}t/s);
  });

  it('writes keys of digits as texts but for those of state', () => {
    const file = encodeTorch({ '1': 2 });
    expect(decodeTorch(file)).toEqual({ '1': 2 });
    expect(pickle({ '1': 2 })).toContain('X\x01\0\0\0' + '1K\x02');
    const state = pickle({ state: { '0': { a: 1 }, '12': { a: 1 } }, param_groups: [{ params: [0, 12] }] });
    expect(state).toMatch(/K\0}q.\(X.\0\0\0a/s);
    expect(state).toMatch(/K[^a-z]}q.\(X.\0\0\0a/s);
    const odd = pickle({
      state: { '01': { a: 1 }, x1: { a: 1 }, '1x': { a: 1 } },
      param_groups: [{ params: ['01', 'x1', '1x'] }],
    });
    for (const name of ['\x02\0\0\x0001', '\x02\0\0\0x1', '\x02\0\0\x001x']) expect(odd).toContain(`X${name}}q`);
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
    expect(String.fromCharCode(...readPickled)).toContain('X\x01\0\0\x007}q');
    for (const [id, code] of [
      ['5', 'K\x05'],
      ['123', 'K\x7b'],
      ['12345', 'M90'],
    ]) {
      expect(pickle({ state: { [id!]: { a: 1 } }, param_groups: [{ params: [Number(id)] }] })).toContain(`${code}}q`);
    }
  });

  it('names the place of what it cannot write', () => {
    for (const [value, place] of [
      [{ a: [1, undefined] }, 'stateDict.a[1] must be plain data'],
      [{ eps: [1, undefined] }, 'stateDict.eps[1] must be plain data'],
      [{ state: { '0': { x: () => 1 } }, param_groups: [{ params: [0] }] }, 'stateDict.state.0.x must be plain data'],
    ] as const) {
      expect(() => encodeTorch(value as never)).toThrow(place);
    }
    for (const wrong of [3, null, [], new Float32Array(1), undefined]) {
      expect(() => encodeTorch(wrong as never)).toThrow(/stateDict must be an object/);
    }
    const optimizer = new AdamW([new Parameter(new Float32Array(1), [1])]);
    expect(() => encodeTorch(optimizer as never)).toThrow(/this has a stateDict\(\) of its own/);
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

/** The pickle inside a file, as text. */
function pickleOf(bytes: Uint8Array): string {
  return Array.from(readZip(bytes).get('archive/data.pkl')!.bytes, (code) => String.fromCharCode(code)).join('');
}

describe('an optimizer’s dict, wherever it lies', () => {
  const optimizer = (): AdamW => {
    const weight = new Parameter(Float32Array.of(1, 2));
    weight.grad = Float32Array.of(1, 1);
    const made = new AdamW([weight], { lr: 1 });
    made.step();
    return made;
  };

  it.each<[string, (dict: StateValue) => Record<string, StateValue>]>([
    ['alone', (dict) => dict as Record<string, StateValue>],
    ['in a checkpoint', (dict) => ({ epoch: 1, optimizer: dict })],
    ['in lists, deep down', (dict) => ({ a: [{ b: [[dict]] }], optimizer_states: [dict, dict] })],
    ['beside a scheduler that holds it', (dict) => ({ last_epoch: 1, inner: dict })],
  ])('%s', (_, place) => {
    const pickle = pickleOf(encodeTorch(place(optimizer().stateDict() as unknown as StateValue)));
    // An int for a key, a tensor for the count, floats, a tuple.
    expect(pickle).toMatch(/X.\0\0\0state}q.\(K\0}q.\(X.\0\0\0stepctorch\._utils\n_rebuild_tensor_v2/s);
    expect(pickle).toContain('X\x02\0\0\0lrG\x3f\xf0');
    expect(pickle).toMatch(/betas\(G.{8}G.{8}t/s);
    expect(pickle).toMatch(/params]q.\(K\0e/s);
  });

  it('not what only looks like one', () => {
    for (const other of [
      { state: {}, param_groups: 5 },
      { state: {}, param_groups: [5] },
      { state: [], param_groups: [] },
      { state: {}, param_groups: [{ params: 3 }] },
      { state: {}, param_groups: [{ params: [null] }] },
      { state: null, param_groups: [] },
    ] as unknown as Record<string, StateValue>[])
      expect(decodeTorch(encodeTorch({ other }))).toEqual({ other });
  });

  it('with names for keys, and with what an optimizer keeps beside its parameters', () => {
    const dict = {
      state: { 'layer.weight': { step: 3, mu: 1 }, 7: { a: 1 }, global: 5, list: [1] },
      param_groups: [{ lr: 1, params: ['layer.weight', '7'] }],
    } as unknown as Record<string, StateValue>;
    const pickle = pickleOf(encodeTorch(dict));
    expect(pickle).toContain('X\x0c\0\0\0layer.weight}q');
    // The group has the text "7", so the key is a text too.
    expect(pickle).toContain('X\x01\0\0\x007}q');
    expect(pickle).toContain('X\x06\0\0\0globalK\x05');
  });

  it('step: exact, in float32 as long as that holds it', () => {
    const step = (value: number): StateTensor =>
      (
        decodeTorch(
          encodeTorch({ o: { state: { 0: { step: value } }, param_groups: [{ params: [0] }] } }),
        ) as never as {
          o: { state: { 0: { step: StateTensor } } };
        }
      ).o.state[0].step;
    for (const value of [0, 1, 2 ** 24, 2 ** 24 + 2, 2 ** 24 + 1, 2 ** 31 + 1]) {
      expect(Number(step(value).data[0])).toBe(value);
      expect(step(value).dtype).toBe(Math.fround(value) === value ? 'float32' : 'float64');
    }
  });

  it('an int for a count of transformers’ Adafactor, also from a tensor; not from another', () => {
    const count = (step: StateTensor): unknown =>
      (
        decodeTorch(
          encodeTorch({ state: { 0: { step } }, param_groups: [{ clip_threshold: 1, params: [0] }] } as never),
        ) as never as { state: { 0: { step: unknown } } }
      ).state[0].step;
    expect(count({ dtype: 'float32', shape: [], data: Float32Array.of(7) })).toBe(7);
    expect(count({ dtype: 'int64', shape: [], data: BigInt64Array.of(7n) })).toBe(7);
    const half = { dtype: 'float32' as const, shape: [], data: Float32Array.of(7.5) };
    expect(count(half)).toEqual(half);
    const raw = { dtype: 'uint8', shape: [], data: Uint8Array.of(7) };
    expect(count(raw)).toEqual(raw);
  });

  it('a scheduler’s milestones are a Counter of ints, elsewhere a dict of texts', () => {
    const pickle = pickleOf(encodeTorch({ s: { last_epoch: 1, milestones: { 30: 1, 80: 2 }, gamma: 1 } }));
    expect(pickle).toMatch(/milestonesccollections\nCounter\n}q.\(K.K.KPK.u\x85R/s);
    expect(pickle).toContain('gammaG\x3f\xf0');
    expect(pickleOf(encodeTorch({ milestones: { 30: 1 }, gamma: 1, best: 3, d: 1 }))).not.toMatch(/Counter|G/);
  });
});

describe('what was read is written as it was', () => {
  const type = (dtype: string, bytes: number): fc.Arbitrary<StateTensor> =>
    fc.array(fc.nat(3), { maxLength: 3 }).chain((shape) => {
      const length = bytes * shape.reduce((a, b) => a * b, 1);
      return fc.uint8Array({ minLength: length, maxLength: length }).map((raw): StateTensor => {
        const data = raw.slice();
        const Type = {
          float32: Float32Array,
          float64: Float64Array,
          int64: BigInt64Array,
          bfloat16: Uint16Array,
          float16: Uint16Array,
        }[dtype];
        return { dtype, shape, data: Type === undefined ? data : new Type(data.buffer) };
      });
    });
  const tensors = fc.oneof(
    ...Object.entries({
      float32: 4,
      float64: 8,
      int64: 8,
      bfloat16: 2,
      float16: 2,
      uint8: 1,
      uint16: 2,
      uint32: 4,
      uint64: 8,
      float8_e4m3fn: 1,
      complex32: 4,
      complex64: 8,
      complex128: 16,
      int8: 1,
      bits16: 2,
    }).map(([dtype, bytes]) => type(dtype, bytes)),
  );
  /** Narrow ints become int64 when they are read. */
  const widened = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(widened);
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
    const tensor = value as StateTensor;
    if (tensor.dtype === 'int8' && ArrayBuffer.isView(tensor.data))
      return {
        dtype: 'int64',
        shape: tensor.shape,
        data: BigInt64Array.from(new Int8Array((tensor.data as Uint8Array).buffer), BigInt),
      };
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, widened(item)]));
  };
  const keys = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.nat(70000).map(String),
    fc.constantFrom('lr', 'eps', 'step', 'constructor', '__proto__'),
  );
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(null, true, false, -0, 0, 2 ** 53, -(2 ** 53), 1e300, Number.POSITIVE_INFINITY, Number.NaN),
      fc.double(),
      fc.maxSafeInteger(),
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 300n }),
      fc.bigInt({ min: -(2n ** 300n), max: -(2n ** 53n) }),
      fc.string({ unit: 'binary' }),
      fc.uint8Array(),
      tensors,
      fc.array(tie('value')),
      fc.dictionary(keys, tie('value'), { noNullPrototype: true }),
    ),
  }));

  it('all kinds of values, at once and piece by piece', async () => {
    const seed = Number(process.env.SEED);
    await fc.assert(
      fc.asyncProperty(value, async (item) => {
        const file = encodeTorch({ item } as never);
        expect(decodeTorch(file)).toEqual(widened({ item }));
        const pieces: Uint8Array[] = [];
        await writeTorch({ item } as never, {}, async (piece) => {
          pieces.push(piece.slice());
        });
        expect(Buffer.concat(pieces).equals(file)).toBe(true);
      }),
      { seed, numRuns: 300 },
    );
  });

  it('lists and dicts of thousands, in batches as Python writes them', () => {
    for (const count of [999, 1000, 1001, 2500]) {
      const long = {
        list: Array.from({ length: count }, (_, i) => i),
        dict: Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, i])),
      };
      const file = encodeTorch(long);
      expect(decodeTorch(file)).toEqual(long);
      expect(pickleOf(file).split('e').length).toBeGreaterThan(count / 1000);
    }
    const many = Object.fromEntries(Array.from({ length: 70000 }, (_, i) => [`k${i}`, {}]));
    expect(Object.keys(decodeTorch(encodeTorch(many)) as object)).toHaveLength(70000);
  });
});

describe('encodeTorch says what it cannot write, and where', () => {
  const tensor = (dtype: string, data: unknown, shape: unknown = [2]): unknown => ({ dtype, shape, data });
  // biome-ignore lint/suspicious/noSparseArray: that is the case
  const holes: unknown[] = [1, , 3];

  it.each<[unknown, string]>([
    [{ a: { b: holes } }, 'stateDict.a.b[1] is a hole; fill it, with null for None'],
    [{ a: new Map() }, 'stateDict.a must be plain data, got Map'],
    [{ a: new Date(0) }, 'stateDict.a must be plain data, got Date'],
    [{ a: Symbol('x') }, 'stateDict.a must be plain data, got a symbol'],
    [{ a: new Float64Array(1) }, 'stateDict.a must be plain data, got Float64Array(1)'],
    [{ a: 2n ** 2048n }, 'stateDict.a must be an int of at most 255 bytes'],
    [{ 'a.b\u202e\n': undefined }, 'stateDict["a.b\\u202e\\n"] must be plain data, got undefined'],
    [{ t: tensor('float32', new Int32Array(2)) }, 'stateDict.t: float32 needs Float32Array, got Int32Array(2)'],
    [{ t: tensor('uint16', new Uint16Array(2)) }, 'stateDict.t: uint16 needs Uint8Array, got Uint16Array(2)'],
    [{ t: tensor('complex64', new Uint8Array(15)) }, 'shape [2] of complex64 does not fit Uint8Array(15)'],
    [{ t: tensor('float32', new Float32Array(2), [-1, -2]) }, 'does not fit'],
    [{ t: tensor('float32', new Float32Array(2), [0.5, 4]) }, 'does not fit'],
    [{ t: tensor('toString', new Uint8Array(2)) }, 'dtype must be one of PyTorch'],
  ])('%o', (value, message) => {
    expect(() => encodeTorch(value as never)).toThrow(message);
  });

  it('in a short sentence, whatever the names', () => {
    let deep: unknown = () => 1;
    for (let i = 0; i < 25; i++) deep = { ['x'.repeat(300)]: [deep] };
    const message = ((): string => {
      try {
        encodeTorch({ deep } as never);
      } catch (error) {
        return (error as Error).message;
      }
      return '';
    })();
    expect(message).toContain('must be plain data');
    expect(message.length).toBeLessThan(300);
  });

  it('before the first piece', async () => {
    let pieces = 0;
    const failing = writeTorch({ a: 1, b: undefined as never }, {}, () => void pieces++);
    await expect(failing).rejects.toThrow('stateDict.b must be plain data');
    expect(pieces).toBe(0);
    await expect(writeTorch({ a: 1 }, {}, () => Promise.reject(new Error('full')))).rejects.toThrow('full');
  });
});
