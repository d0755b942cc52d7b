/** What encodeTorch writes; test/torch/ holds it to a real PyTorch. */
import { Adafactor, AdamW, Parameter, type StateValue } from 'tensorless';
import { decodeTorch, encodeTorch } from 'tensorless/torch';
import { describe, expect, it } from 'vitest';
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
