/** The odd corners of the pickle reader; the common ones are in torch.test.ts. */
import { decodeTorch, encodeTorch } from 'tensorless/torch';
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
} from '../src/_pickle.ts';

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
