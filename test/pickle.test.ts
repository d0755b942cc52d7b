/** The odd corners of the pickle reader; the common ones are in torch.test.ts. */
import { CheckpointError, decodeTorch, encodeTorch } from 'tensorless/torch';
import { describe, expect, it } from 'vitest';
import { readPickle } from '../src/formats/torch/pickle-read.ts';
import {
  Budget,
  PyComplex,
  PyGlobal,
  PyList,
  PyStorage,
  PyTensor,
  type PyValue,
  describe as tell,
} from '../src/formats/torch/pickle-values.ts';

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const read = (text: string, legacy = false): PyValue =>
  readPickle(bytesOf(`\x80\x02${text}`), new Budget(1e6), { legacy }).value;
const storage = '(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ';
const rebuild = (args: string, name = '_rebuild_tensor_v2'): string => `ctorch._utils\n${name}\n(${args}tR.`;
const hooks = 'ccollections\nOrderedDict\n)R';
const text = (value: string): string => `X${String.fromCharCode(value.length)}\0\0\0${value}`;

describe('readPickle', () => {
  it('reads long memo indices, empty longs and seven-argument tensors', () => {
    expect(read('X\x01\0\0\0ar\0\x01\0\0j\0\x01\0\0\x86.')).toEqual(['a', 'a']);
    expect(read('\x8a\0.')).toBe(0);
    expect(read('\x8a\x01\xff.')).toBe(-1);
    const tensor = read(rebuild(`${storage}K\0K\x02\x85K\x01\x85\x89${hooks}}`)) as PyTensor;
    expect([tensor.shape, tensor.stride, tensor.offset]).toEqual([[2], [1], 0]);
  });

  it.each<[string, string, RegExp]>([
    ['a dict of no pairs', 'ccollections\nOrderedDict\nK\x01\x85R.', /made of something that holds no pairs/],
    ['a call of something else', 'NN\x85R.', /needs a global and a tuple/],
    ['a storage that is called', 'ctorch\nFloatStorage\n)R.', /torch\.FloatStorage cannot be called/],
    ['a tensor without a storage', rebuild(`NK\0K\x02\x85K\x01\x85\x89${hooks}`), /has no storage/],
    ['a tensor with hooks', rebuild(`${storage}K\0K\x02\x85K\x01\x85\x89K\x01`), /has hooks/],
    [
      'a tensor of 65 dimensions',
      rebuild(`${storage}K\0(${'K\x01'.repeat(65)}t(${'K\x01'.repeat(65)}t\x89${hooks}`),
      /65 dimensions, more than 64/,
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
      'a fraction for an offset',
      rebuild(`${storage}G\x3f\xe0\0\0\0\0\0\0K\x02\x85K\x01\x85\x89${hooks}`),
      /offset must be a non-negative int, got 0\.5/,
    ],
    ['too few arguments', rebuild(storage), /6 or 7 arguments, got 1/],
    ['a persistent id that is none', 'K\x01Q.', /persistent id must be/],
    ['a storage without a type', '(X\x07\0\0\0storageNX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ.', /storage has no type/],
    [
      'a storage with a name for a key',
      '(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0xX\x03\0\0\0cpuK\x04tQ.',
      /no key of digits/,
    ],
    ['a mark for a value', 'N(.', /mark stands where a value/],
    ['a mark on top', '(q\0.', /no value on the stack/],
    ['a name without an end', `c${'x'.repeat(300)}.`, /a name is not ended/],
    ['a dict as a key', '}}Ns.', /got a dict/],
    ['a list as a key', '}]Ns.', /got a list/],
    ['a tuple with a list as a key', '}]\x85Ns.', /got a tuple/],
    ['a global as a key', '}ctorch\nFloatStorage\nNs.', /got torch.FloatStorage/],
  ])('refuses %s', (_, text, message) => {
    expect(() => read(text)).toThrow(message);
  });

  it('tells what a value is', () => {
    const store = new PyStorage('0', undefined, 1);
    const tensor = read(rebuild(`${storage}K\0K\x02\x85K\x01\x85\x89${hooks}`)) as PyTensor;
    const values = [undefined, null, new PyList(), {}, [], store, tensor, 1.5, 3n, 'x', true, new PyComplex(1, 2)];
    expect([...values, new PyGlobal('a.b', 'call'), new Uint8Array(1)].map(tell)).toEqual(
      'nothing,None,a list,a dict,a tuple,a storage,a tensor,1.5,a large int,"x",true,a complex number,a.b,bytes'.split(
        ',',
      ),
    );
  });
});

describe('what torch.load(weights_only=True) reads', () => {
  const call = (name: string, args: string): PyValue => read(`c${name.replace(' ', '\n')}\n${args}R.`);

  it.each<[string, PyValue]>([
    ['sets, of Python 2 and 3', call('__builtin__ set', ']q\0(K\x01K\x02e\x85')],
    ['', call('builtins set', '](K\x01K\x02e\x85')],
    ['sizes', call('torch Size', 'K\x01K\x02\x86\x85')],
    ['a set of protocol 4', (read('\x8f\x94(K\x01K\x02\x90.') as PyList).items!],
  ])('%s', (_, value) => {
    expect(value).toEqual([1, 2]);
  });

  it('dicts of every kind, with attributes and without', () => {
    const attributes = `}${text('_metadata')}}s`;
    expect(read(`ccollections\nOrderedDict\n)R(${text('a')}K\x01u${attributes}b.`)).toEqual({ a: 1 });
    // Python 2: a list of pairs.
    expect(read(`ccollections\nOrderedDict\n](]${text('a')}aK\x01a]${text('b')}aK\x02ae\x85R.`)).toEqual({
      a: 1,
      b: 2,
    });
    expect(read(`ccollections\nCounter\n}K\x1eK\x01s\x85R.`)).toEqual({ 30: 1 });
    expect(read('ccollections\nOrderedDict\n)\x81.')).toEqual({});
    expect(() => read(`]${attributes}b.`)).toThrow(/a state is set on a list/);
    expect(() => read('}Nb.')).toThrow(/must be a dict, got None/);
  });

  it('bytes, text of Python 2, complex numbers, devices, layouts', () => {
    const latin1 = text('latin1');
    expect(read(`c_codecs\nencode\nX\x03\0\0\0a\xc3\xbf${latin1}\x86R.`)).toEqual(Uint8Array.of(97, 255));
    expect(call('__builtin__ bytearray', `c_codecs\nencode\n${text('ab')}${latin1}\x86R\x85`)).toEqual(bytesOf('ab'));
    expect(call('builtins bytearray', ')')).toEqual(new Uint8Array(0));
    expect(read('U\x02ab.')).toBe('ab');
    expect(read('C\x02a\xff.')).toEqual(Uint8Array.of(97, 255));
    expect(read('B\x02\0\0\0a\xff.')).toEqual(Uint8Array.of(97, 255));
    expect(call('builtins complex', 'K\x01G\xbf\xf0\0\0\0\0\0\0\x86')).toEqual(new PyComplex(1, -1));
    expect(call('torch device', `${text('cuda')}K\x01\x86`)).toBe('cuda:1');
    expect(call('torch device', `${text('cpu')}\x85`)).toBe('cpu');
    expect(call('torch.serialization _get_layout', `${text('torch.strided')}\x85`)).toBe('torch.strided');
    expect((read('ctorch\nfloat8_e4m3fn\n.') as PyGlobal).name).toBe('torch.float8_e4m3fn');
  });

  it('bytes hold bytes, in latin1, and are not made of numbers', () => {
    expect(() => read(`c_codecs\nencode\nX\x03\0\0\0\xe2\x82\xac${text('latin1')}\x86R.`)).toThrow(
      /a character that is none/,
    );
    expect(() => read(`c_codecs\nencode\n${text('a')}${text('rot13')}\x86R.`)).toThrow(/in "rot13", not in latin1/);
    // bytearray(10 ** 9) would be a billion zeros.
    expect(() => call('builtins bytearray', 'J\0\xca\x9a\x3b\x85')).toThrow(/cannot be called with 1 arguments/);
    expect(() => call('torch Tensor', 'J\0\xca\x9a\x3b\x85')).toThrow(/torch.Tensor cannot be called/);
  });

  it('protocol 4: frames, short texts, names from the stack, a memo that counts', () => {
    const stack = (module: string, name: string): string =>
      `\x8c${String.fromCharCode(module.length)}${module}\x94\x8c${String.fromCharCode(name.length)}${name}\x94\x93`;
    expect(read(`\x95\x10\0\0\0\0\0\0\0(${stack('collections', 'OrderedDict')}\x94)Rh\x01h\x00t.`)).toEqual([
      {},
      'OrderedDict',
      'collections',
    ]);
    expect(() => read(`${stack('os', 'system')}.`)).toThrow(/"os.system" is refused/);
    expect(() => read(`NN\x93.`)).toThrow(/a global has no name/);
    expect(read(`\x8d\x01\0\0\0\0\0\0\0a.`)).toBe('a');
    expect(read(`\x96\x01\0\0\0\0\0\0\0a.`)).toEqual(bytesOf('a'));
    expect(() => read(`\x8e\x01\0\0\0\0\0\0\xffa.`)).toThrow(/cut off/);
  });

  it('tensors: of the first releases, of untyped storages, with a sign or a conjugate, parameters', () => {
    const untyped = storage.replace('torch\nFloat', 'torch.storage\nUntyped').replace('K\x04tQ', 'K\x10tQ');
    const parts = 'K\x01K\x02\x85K\x01\x85';
    const first = read(rebuild(`${storage}${parts}`, '_rebuild_tensor')) as PyTensor;
    expect([first.offset, first.shape, first.type.name]).toEqual([1, [2], 'float32']);
    const third = (dtype: string, metadata = ''): PyTensor =>
      read(rebuild(`${untyped}${parts}\x89${hooks}ctorch\n${dtype}\n${metadata}`, '_rebuild_tensor_v3')) as PyTensor;
    expect(third('uint16').type.name).toBe('uint16');
    // 16 bytes are two elements of complex64, and the second is the last.
    expect(() => third('complex64')).toThrow(/reaches to element 2 of a storage with 2/);
    expect(() => third('qint8')).toThrow(/no scale/);
    const flags = (both: string): string => `}(${text('neg')}${both}${text('conj')}${both}${text('other')}Nu`;
    const signed = third('complex32', flags('\x88'));
    expect([signed.negative, signed.conjugate]).toEqual([true, true]);
    expect([third('uint8', flags('\x89')).negative, third('uint8', 'N').negative]).toEqual([false, false]);
    expect(() => third('uint8', flags('\x88'))).toThrow(/uint8 has no conjugate/);
    expect(() => third('float8_e8m0fnu', `}${text('neg')}\x88s`)).toThrow(/cannot be negative/);
    const made = rebuild(`${storage}${parts}\x89${hooks}`).slice(0, -1);
    for (const [name, args] of [
      ['torch._utils _rebuild_parameter', `(${made}\x88${hooks}t`],
      ['torch._utils _rebuild_parameter_with_state', `(${made}\x88${hooks}}t`],
      ['torch.nn.parameter Parameter', `${made}\x88\x86`],
    ] as const)
      expect(call(name, args)).toBeInstanceOf(PyTensor);
    const typed = `ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch\nTensor\n(${storage}${parts}\x89${hooks}t}tR.`;
    expect(read(typed)).toBeInstanceOf(PyTensor);
    expect(() => read(typed.replace('torch\nTensor', 'torch\nSize'))).toThrow(/of the class torch.Size/);
    const itself = 'ctorch._tensor\n_rebuild_from_type_v2\nq\0';
    expect(() => read(`${itself}(h\0ctorch\nTensor\n)}tR.`)).toThrow(/cannot be called/);
    expect(() => read(`${itself}(c_codecs\nencode\nctorch\nTensor\n${text('a')}${text('latin1')}\x86}tR.`)).toThrow(
      /cannot be called/,
    );
  });

  it.each([
    ['_rebuild_sparse_tensor', 'a sparse tensor; save tensor.to_dense() instead'],
    ['_rebuild_qtensor', 'a quantized tensor; save tensor.int_repr()'],
    ['_rebuild_nested_tensor', 'a nested tensor; save its parts'],
    ['_rebuild_meta_tensor_no_storage', 'a tensor on the meta device'],
    ['_rebuild_wrapper_subclass', 'a tensor of a subclass'],
    ['_rebuild_device_tensor_from_numpy', 'a tensor of another device; save tensor.cpu()'],
  ])('but not %s, by name', (name, what) => {
    expect(() => read(`ctorch._utils\n${name}\n.`)).toThrow(`torch._utils.${name} makes ${what}`);
  });

  it.each([
    'os system',
    'posix system',
    'nt system',
    'sys exit',
    'builtins eval',
    '__builtin__ eval',
    'builtins getattr',
    'builtins bytes',
    'builtins frozenset',
    'builtins object',
    'collections defaultdict',
    'numpy ndarray',
    'numpy._core.multiarray _reconstruct',
    'torch load',
    'torch FooStorage',
    'torch Storage',
    'torch.storage TypedStorage',
    'torch.nn Parameter',
    'torch.nn.modules.linear Linear',
    'torch._utils _rebuild',
    'torch.hub load',
    'torch __proto__',
    '__proto__ __proto__',
    'constructor constructor',
    'collections constructor',
    ' ',
    'torch.serialization load',
    'builtins.set __init__',
    'torch._utils _rebuild_tensor_v2.__globals__',
    'copyreg _reconstructor',
    'copy_reg _reconstructor',
    '_codecs decode',
  ])('and never %s', (name) => {
    const [module, what] = name.split(' ');
    expect(() => read(`c${module}\n${what}\n)R.`)).toThrow(
      /the global "[^"]*" is refused; only plain data and tensors are read/,
    );
  });

  const parts = 'K\x01K\x02\x85K\x01\x85';
  const plain = `ctorch._utils\n_rebuild_tensor_v2\n(${storage}${parts}\x89${hooks}tR`;
  it.each<[string, string, RegExp]>([
    ['collections OrderedDict', '}}\x86', /OrderedDict cannot be called with 2 arguments like these/],
    ['collections OrderedDict', ']]K\x01aa\x85', /made of something that holds no pairs/],
    ['builtins set', 'K\x01\x85', /builtins.set cannot be called with 1 arguments/],
    ['torch Size', '))\x86', /torch.Size cannot be called with 2 arguments/],
    ['builtins bytearray', 'NN\x86', /bytearray cannot be called with 2 arguments/],
    ['_codecs encode', `${text('a')}\x85`, /bytes are not \(text, codec\)/],
    ['builtins complex', 'K\x01\x85', /complex cannot be called with 1 arguments/],
    ['builtins complex', `K\x01${text('a')}\x86`, /complex cannot be called with 2 arguments/],
    ['torch device', ')', /torch.device cannot be called with 0 arguments/],
    ['torch device', 'K\x01\x85', /torch.device cannot be called with 1 arguments/],
    ['torch device', `${text('cuda')}${text('a')}\x86`, /index of a device must be a non-negative int, got "a"/],
    ['torch.serialization _get_layout', 'K\x01\x85', /_get_layout cannot be called with 1 arguments/],
    ['torch._utils _rebuild_tensor', `${storage}\x85`, /_rebuild_tensor cannot be called with 1 arguments/],
    ['torch._utils _rebuild_tensor_v3', `${storage}\x85`, /rebuilt from 7 or 8 arguments, got 1/],
    [
      'torch._utils _rebuild_tensor_v3',
      `(${storage}${parts}\x89${hooks}ctorch\nFloatStorage\nt`,
      /a tensor's dtype is torch.FloatStorage/,
    ],
    ['torch._utils _rebuild_tensor_v2', `(${storage}${parts}\x89${hooks}K\x01t`, /a tensor's metadata is 1/],
    ['torch._utils _rebuild_tensor_v2', `(${storage}${parts}K\x00${hooks}t`, /not rebuilt as torch.save writes it/],
    ['torch._utils _rebuild_tensor_v2', `(${storage}K\0K\x02\x85K\x01K\x01\x86\x89${hooks}t`, /differ in length/],
    ['torch._utils _rebuild_parameter', `${plain}\x85`, /_rebuild_parameter cannot be called with 1 arguments/],
    ['torch._utils _rebuild_parameter', `(N\x88${hooks}t`, /_rebuild_parameter cannot be called with 3 arguments/],
    ['torch.nn.parameter Parameter', 'N\x85', /Parameter cannot be called with 1 arguments/],
    ['torch._tensor _rebuild_from_type_v2', 'N\x85', /_rebuild_from_type_v2 cannot be called with 1 arguments/],
  ])('%s is called as Python calls it: not with %j', (name, args, message) => {
    expect(() => call(name, args)).toThrow(message);
  });

  it('no container, mark or value is kept waiting out of all proportion', () => {
    const small = (pickle: string): PyValue => readPickle(bytesOf(`\x80\x02${pickle}`), new Budget(1e6), {}).value;
    expect(() => small('('.repeat(2_200_000))).toThrow(/marks out of all proportion/);
    expect(() => small('N'.repeat(2_200_000))).toThrow(/wait for a container out of all proportion/);
  });

  it('a storage has a size that a file can have, and a key of digits', () => {
    const large = storage.replace('K\x04tQ', '\x8a\x07\xff\xff\xff\xff\xff\xff\x1ftQ');
    expect(() => read(`${large}.`)).toThrow(/a storage is larger than any file/);
    expect(() => read(`${storage.replace('X\x03\0\0\0cpu', 'N')}.`)).toThrow(/no key of digits, or no location/);
  });

  it('keys as Python prints them', () => {
    expect(read(`}(K\x01NNN\x88N\x89N${text('a')}\x85N${text('a')}K\x02\x86Nu.`)).toEqual({
      1: null,
      None: null,
      True: null,
      False: null,
      "('a',)": null,
      "('a', 2)": null,
    });
  });

  it('halves of surrogate pairs, as Python writes them', () => {
    expect(read('X\x05\0\0\0a\xed\xa0\xbdb.')).toBe('a\ud83db');
    expect(read('X\x07\0\0\0\xc3\xa4\xed\xbf\xbf\xc3\xa4.')).toBe('\u00e4\udfff\u00e4');
    for (const wrong of ['\xed\xa0', '\xed\xa0a', '\xed\xc0\x80', '\xff\xed\xa0\x80', '\xed\xa0\x80\xff'])
      expect(() => read(`X${String.fromCharCode(wrong.length)}\0\0\0${wrong}.`)).toThrow(/not UTF-8/);
    const long = 'x\ud800'.repeat(9000);
    expect(decodeTorch(encodeTorch({ [long]: long }))).toEqual({ [long]: long });
  });

  it('names no container that is not there, and no value below a mark', () => {
    for (const [pickle, message] of [
      ['N(a.', /no value on the stack|mark stands/],
      ['N(\x85.', /the stack is empty/],
      ['NN(\x86.', /the stack is empty/],
      ['N(R.', /mark stands/],
      ['NR.', /the stack is empty/],
      ['}(NN.', /1 values are left over|2 values|3 values/],
    ] as const)
      expect(() => read(pickle)).toThrow(message);
  });

  it('storages of the format before zip have a view, of the others none', () => {
    const legacy = storage.replace('K\x04tQ', 'K\x04NtQ');
    expect((read(`${legacy}.`, true) as PyStorage).count).toBe(4);
    expect(() => read(`${storage}.`, true)).toThrow(/a persistent id must be/);
    expect(() => read(`${legacy}.`)).toThrow(/a persistent id must be/);
    const view = (key: string): string => storage.replace('K\x04tQ', `K\x04(${text('9')}${key}ttQ`);
    const part = read(`${view('K\x01K\x02')}.`, true) as PyStorage;
    expect([part.key, part.begin, part.count]).toEqual(['0', 1, 2]);
    expect(() => read(`${view('K\x03K\x02')}.`, true)).toThrow(/reaches past the 4 elements/);
    expect(() => read(`${view('K\x03')}.`, true)).toThrow(/must be \(key, offset, count\)/);
  });
});

describe('readPickle, exactly', () => {
  it('names the byte and the opcode that it does not know, with its letter where it has one', () => {
    expect(() => read('\x01')).toThrow(/opcode 0x01(?! \()/);
    expect(() => read(' ')).toThrow(/opcode 0x20(?! \()/);
    expect(() => read('!')).toThrow(/opcode 0x21 \(!\)/);
    expect(() => read('\x7f')).toThrow(/opcode 0x7f(?! \()/);
    expect(() => read('~')).toThrow(/opcode 0x7e \(~\)/);
  });

  it('wants a protocol, and says where it ends', () => {
    expect(() => readPickle(Uint8Array.of(0x81, 2, 0x4e, 0x2e), new Budget(4))).toThrow(/begin with its protocol/);
    expect(readPickle(bytesOf('\x80\x02N.NN'), new Budget(6)).end).toBe(4);
    expect(readPickle(bytesOf('ab\x80\x02N.'), new Budget(6), { start: 2 }).end).toBe(6);
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
    expect(() => read('ctorch\nFloatStorage\n)R.')).toThrow(/torch\.FloatStorage cannot be called/);
  });

  it('takes tensors of 64 dimensions, and empty ones wherever they lie, as PyTorch does', () => {
    const ones = 'K\x01'.repeat(64);
    expect((read(rebuild(`${storage}K\0(${ones}t(${ones}t\x89${hooks}`)) as PyTensor).shape).toHaveLength(64);
    const empty = (start: number): unknown =>
      read(rebuild(`${storage}K${String.fromCharCode(start)}K\0\x85K\x01\x85\x89${hooks}`));
    expect((empty(4) as PyTensor).offset).toBe(4);
    expect((empty(5) as PyTensor).offset).toBe(5);
    const full = (start: number): unknown =>
      read(rebuild(`${storage}K${String.fromCharCode(start)}K\x02\x85K\x01\x85\x89${hooks}`));
    expect((full(2) as PyTensor).offset).toBe(2);
    expect(() => full(3)).toThrow(CheckpointError);
  });

  it.each([
    ['requires_grad that is no bool', rebuild(`${storage}K\0K\x02\x85K\x01\x85N${hooks}`)],
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

  it('takes memo indices in any order', () => {
    const get = (i: number): string => `j${String.fromCharCode(i & 255, i >> 8, 0, 0)}`;
    const set = (i: number): string => `r${String.fromCharCode(i & 255, i >> 8, 0, 0)}`;
    expect(
      read(`K\x07${set(500)}K\x08${set(0)}K\x09${set(1)}${get(500)}${get(0)}${get(1)}t.`.replace('K', '(K')),
    ).toEqual([7, 8, 9, 7, 8, 9]);
    // The later one counts, as in Python.
    expect(read(`(Nq\0\x88q\0h\0t.`)).toEqual([null, true, true]);
  });
});
