/**
 * Files that PyTorch wrote, and files that PyTorch will read; test/torch/ holds them to a real
 * PyTorch.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  Adafactor,
  type AdafactorOptions,
  AdamW,
  fromBfloat16,
  fromFloat16,
  getLinearScheduleWithWarmup,
  Parameter,
  type StateTensor,
  type StateValue,
} from 'tensorless';
import { loadTorch } from 'tensorless/node';
import { encodeSafetensors } from 'tensorless/safetensors';
import { CheckpointError, decodeTorch, encodeTorch } from 'tensorless/torch';
import { describe, expect, it } from 'vitest';
import { readZip } from '../src/formats/zip-read.ts';
import { writeZip } from '../src/formats/zip-write.ts';

const folder = fileURLToPath(new URL('vectors/checkpoints/', import.meta.url));
const file = (name: string): Uint8Array => new Uint8Array(readFileSync(`${folder}${name}`));

type Expected =
  | null
  | boolean
  | string
  | Expected[]
  | { i: string }
  | { f: string }
  | { tuple: Expected[] }
  | { dict: [Expected, Expected][] }
  | { t: StateTensor['dtype']; shape: number[]; v: (number | boolean)[] };
const expected = JSON.parse(readFileSync(`${folder}expected.json`, 'utf8')) as Record<string, Expected>;
const float = (text: string): number =>
  ({ inf: Number.POSITIVE_INFINITY, '-inf': Number.NEGATIVE_INFINITY, nan: Number.NaN })[text] ?? Number(text);

/** What decodeTorch gives for a recorded value; tensors as { dtype, shape, numbers }. */
function plain(value: Expected): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(plain);
  if ('i' in value) return Number.isSafeInteger(Number(value.i)) ? Number(value.i) : BigInt(value.i);
  if ('f' in value) return float(value.f);
  if ('tuple' in value) return value.tuple.map(plain);
  if ('dict' in value) return Object.fromEntries(value.dict.map(([key, item]) => [String(plain(key)), plain(item)]));
  return {
    // The narrower integers are widened; state dicts have none, other checkpoints do.
    dtype: /^int(8|16|32)$/.test(value.t) ? 'int64' : value.t,
    shape: value.shape,
    numbers: value.v.map((x) => (typeof x === 'string' ? float(x) : Number(x))),
  };
}

function comparable(value: StateValue): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(comparable);
  if (ArrayBuffer.isView(value)) return value;
  if ('dtype' in value && ArrayBuffer.isView(value.data)) {
    const { dtype, shape, data } = value as StateTensor;
    const numbers =
      dtype === 'bfloat16'
        ? fromBfloat16(data as Uint16Array)
        : dtype === 'float16'
          ? fromFloat16(data as Uint16Array)
          : data;
    return { dtype, shape, numbers: Array.from(numbers as Float32Array, Number) };
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, comparable(item)]));
}

const files = readdirSync(folder).filter((name) => name.endsWith('.pt'));

describe('decodeTorch', () => {
  it.each(files)('reads %s', (name) => {
    expect(comparable(decodeTorch(file(name)))).toEqual(plain(expected[name]!));
  });

  it.each(files.filter((name) => name.startsWith('ada') && name.endsWith('optimizer.pt')))(
    '%s loads into an optimizer',
    (name) => {
      const dict = decodeTorch(file(name)) as unknown as ReturnType<Adafactor['stateDict']>;
      const half = name.includes('bf16') ? 'bfloat16' : name.includes('f16') ? 'float16' : undefined;
      const params = [[4, 3], [2, 3, 4], [5], []].map((shape) => {
        const length = shape.reduce((a, b) => a * b, 1);
        return half === undefined
          ? new Parameter(new Float32Array(length), shape)
          : new Parameter(new Uint16Array(length), shape, { dtype: half });
      });
      const groups = dict.param_groups.map((group) => ({ params: group.params.map((id) => params[id]!) }));
      const optimizer = name.startsWith('adamw') ? new AdamW(groups) : new Adafactor(groups);
      optimizer.loadStateDict(dict);
      expect(optimizer.stateDict().state['0']!.step).toBe(5);
    },
  );

  it('gives elements of their own, whatever the file’s memory becomes', () => {
    const bytes = file('values.pt');
    const { base } = decodeTorch(bytes) as { base: StateTensor };
    bytes.fill(0);
    expect([...(base.data as Float32Array)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });
});

const optimizers: [string, (params: Parameter[]) => Adafactor | AdamW][] = (
  [
    ['relative step', {}],
    ['momentum', { lr: 0.01, relativeStep: false, beta1: 0.9 }],
    ['T5', { lr: 1e-3, relativeStep: false, scaleParameter: false }],
  ] as [string, AdafactorOptions][]
).map(([name, options]) => [`Adafactor, ${name}`, (params) => new Adafactor(params, options)]);
optimizers.push(
  ['AdamW', (params) => new AdamW(params)],
  ['AdamW, amsgrad', (params) => new AdamW(params, { amsgrad: true })],
);

describe('encodeTorch', () => {
  it.each(optimizers)('%s: what is read back continues with the same bits', (_, make) => {
    const build = () => {
      const params = [[4, 3], [2, 3, 4], [5], []].map(
        (shape) =>
          new Parameter(
            new Float32Array(shape.reduce((a, b) => a * b, 1)).map((_, k) => Math.fround(k / 7 - 0.4)),
            shape,
          ),
      );
      const optimizer = make(params);
      const step = (t: number): void => {
        for (const parameter of params)
          parameter.grad = (parameter.data as Float32Array).map((_, k) => Math.sin(k + t));
        optimizer.step();
      };
      return { params, optimizer, step };
    };
    const a = build();
    const b = build();
    for (let t = 0; t < 4; t++) a.step(t);
    for (const [i, { data }] of a.params.entries()) (b.params[i]!.data as Float32Array).set(data);
    b.optimizer.loadStateDict(decodeTorch(encodeTorch(a.optimizer.stateDict())));
    for (let t = 4; t < 8; t++) {
      a.step(t);
      b.step(t);
    }
    expect(b.params.map(({ data }) => data)).toEqual(a.params.map(({ data }) => data));
  });

  it('writes what PyTorch writes: int keys, tuples, floats, and step and RMS in the optimizer’s way', () => {
    const parameter = new Parameter(new Float32Array(6).fill(1), [2, 3]);
    parameter.grad = new Float32Array(6).fill(1);
    const adafactor = new Adafactor([parameter], { lr: 1, relativeStep: false });
    const scheduler = getLinearScheduleWithWarmup(adafactor, { numWarmupSteps: 0, numTrainingSteps: 2 });
    adafactor.step();
    const entry = (decodeTorch(encodeTorch(adafactor.stateDict())) as unknown as ReturnType<Adafactor['stateDict']>)
      .state['0']!;
    expect(entry.step).toBe(1);
    expect(entry.RMS).toEqual({ dtype: 'float32', shape: [], data: Float32Array.of(1) });
    const pickle = (bytes: Uint8Array): string =>
      Array.from(readZip(bytes).get('archive/data.pkl')!.bytes, (byte) => String.fromCharCode(byte)).join('');
    const text = pickle(encodeTorch(adafactor.stateDict()));
    expect(text).toMatch(/X.\0\0\0state}q.\(K\0}q.\(/s); // the key 0 is an int
    expect(text).toContain('X\x02\0\0\0lrG\x3f\xf0'); // 1.0, a float
    expect(text.replaceAll('\0', '')).toMatch(/eps\(G.{4,8}G.{4,8}t/s);
    expect(pickle(encodeTorch(scheduler.stateDict()))).toMatch(/X.\0\0\0base_lrs]q.\(G\?\xf0/s);
    const adamw = new AdamW([parameter]);
    adamw.step();
    expect(
      (decodeTorch(encodeTorch(adamw.stateDict())) as unknown as ReturnType<AdamW['stateDict']>).state['0']!.step,
    ).toEqual({
      dtype: 'float32',
      shape: [],
      data: Float32Array.of(1),
    });
  });

  it('keys by name for torch.distributed', () => {
    const params = [new Parameter(new Float32Array(4), [2, 2]), new Parameter(new Float32Array(2))];
    for (const parameter of params) parameter.grad = new Float32Array(parameter.data.length).fill(1);
    const optimizer = new AdamW(params);
    optimizer.step();
    const dict = decodeTorch(
      encodeTorch(optimizer.stateDict(), { parameterNames: ['0', 'layer.bias'] }),
    ) as unknown as ReturnType<AdamW['stateDict']>;
    expect(Object.keys(dict.state)).toEqual(['0', 'layer.bias']);
    expect(dict.param_groups[0]!.params).toEqual(['0', 'layer.bias']);
    for (const parameterNames of [['a'], ['a', 'a'], ['a', 'b', 'c'], ['a', 3]]) {
      expect(() => encodeTorch(optimizer.stateDict(), { parameterNames: parameterNames as string[] })).toThrow(
        '2 different strings',
      );
    }
    expect(() => encodeTorch({ a: 1 }, { parameterNames: ['a'] })).toThrow('beside the state dict of an optimizer');
  });

  it('keeps everything that state dicts hold', () => {
    const value = {
      none: null,
      flags: [true, false],
      numbers: [
        0,
        255,
        256,
        65535,
        65536,
        2 ** 31,
        -1,
        -129,
        -(2 ** 31) - 1,
        2 ** 53,
        0.5,
        -0,
        Number.NaN,
        Number.POSITIVE_INFINITY,
      ],
      text: 'grüße — 😀',
      nested: { a: [{ b: [] }] },
      tensors: [
        { dtype: 'int64' as const, shape: [2], data: BigInt64Array.of(-1n, 2n ** 40n) },
        { dtype: 'bool' as const, shape: [2], data: Uint8Array.of(0, 1) },
        { dtype: 'bfloat16' as const, shape: [0, 3], data: new Uint16Array(0) },
        { dtype: 'float32' as const, shape: [1, 2], data: new Float32Array(Uint32Array.of(0x7fc12345, 1).buffer) },
      ],
    };
    expect(decodeTorch(encodeTorch(value))).toEqual(value);
    const hostile = JSON.parse('{"__proto__": {"polluted": 1}}') as Record<string, StateValue>;
    const back = decodeTorch(encodeTorch(hostile)) as Record<string, StateValue>;
    expect(Object.hasOwn(back, '__proto__')).toBe(true);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  it('aligns every payload to 64 bytes', () => {
    const bytes = encodeTorch({ a: { dtype: 'float32', shape: [3], data: Float32Array.of(1, 2, 3) } });
    for (const { offset } of readZip(bytes).values()) expect(offset % 64).toBe(0);
  });

  it.each([
    ['a function', { f: () => 1 }, 'stateDict.f must be plain data'],
    ['a bare array', { a: new Float32Array(2) }, 'stateDict.a must be plain data'],
    ['a tensor of the wrong size', { a: { dtype: 'float32', shape: [3], data: new Float32Array(2) } }, 'does not fit'],
    ['a list', [1], 'stateDict must be an object'],
  ])('refuses %s', (_, value, message) => {
    expect(() => encodeTorch(value as never)).toThrow(message);
  });
});

/** A file with this pickle and these entries beside it. */
function archive(pickle: string, extra: [string, Uint8Array][] = []): Uint8Array {
  const bytes = Uint8Array.from(pickle, (x) => x.charCodeAt(0));
  return writeZip([['archive/data.pkl', bytes], ['archive/version', Uint8Array.of(0x33, 0x0a)], ...extra]);
}
const P = '\x80\x02';
const storage = (key: string, count: string): string =>
  `(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0${key}X\x03\0\0\0cpu${count}tQ`;
const tensor = (shape: string, stride: string, offset = 'K\0', key = '0', count = 'K\x02'): string =>
  `ctorch._utils\n_rebuild_tensor_v2\n(${storage(key, count)}${offset}${shape}${stride}\x89ccollections\nOrderedDict\n)RtR`;
const two: [string, Uint8Array][] = [['archive/data/0', new Uint8Array(8)]];

describe('decodeTorch refuses', () => {
  it.each<[string, Uint8Array, RegExp]>([
    ['an empty file', new Uint8Array(0), /no end record/],
    [
      'a safetensors file',
      encodeSafetensors({ a: { dtype: 'float32', shape: [1], data: new Float32Array(1) } }),
      /this is a safetensors file; read it with decodeSafetensors/,
    ],
    ['text', new TextEncoder().encode('hello, this is no archive at all'), /no end record/],
    ['a call', archive(`${P}cos\nsystem\nX\x02\0\0\0ls\x85R.`), /byte 2: the global "os\.system" is refused/],
    ['a global that is not called', archive(`${P}cnumpy\nndarray\n.`), /"numpy\.ndarray" is refused/],
    ['a state of a plain value', archive(`${P}]}b.`), /a state is set on a list, which has none/],
    ['a later protocol', archive('\x80\x06}.'), /protocol is later than 5/],
    ['no protocol', archive('}.'), /does not begin with its protocol/],
    ['what follows STOP', archive(`${P}}.}`), /follow the end/],
    ['two values', archive(`${P}}}.`), /1 values are left over/],
    ['an empty stack', archive(`${P}.`), /the stack is empty/],
    ['a missing mark', archive(`${P}]e.`), /there is no mark/],
    ['an unset memo', archive(`${P}h\x07.`), /memo 7 was never set/],
    ['a string past the end', archive(`${P}X\xff\xff\xff\x7fa.`), /cut off/],
    ['a string that is not UTF-8', archive(`${P}X\x01\0\0\0\xff.`), /not UTF-8/],
    ['a key without a value', archive(`${P}}(Nu.`), /a key has no value/],
    ['a dict as a key', archive(`${P}}(}Nu.`), /a dict key must be a str, a number, None or a tuple/],
    ['a key twice', archive(`${P}}(K\x01NK\x01Nu.`), /"1" is there twice/],
    ['a key as int and as str', archive(`${P}}(K\x01NX\x01\0\0\x001Nu.`), /as int and as str/],
    ['appending to a dict', archive(`${P}}Na.`), /no list/],
    ['setting on a list', archive(`${P}]NNs.`), /no dict/],
    ['a list that contains itself', archive(`${P}]q\0h\0a.`), /contains itself/],
    ['deep nesting', archive(`${P}${']'.repeat(100)}${'a'.repeat(99)}.`), /nested more than 64 deep/],
    [
      'a bomb of shared references',
      archive(
        `${P}]q\0${Array.from({ length: 40 }, (_, i) => `](h${String.fromCharCode(i)}h${String.fromCharCode(i)}eq${String.fromCharCode(i + 1)}`).join('')}${'\x85'}.`,
      ),
      /left over|unfold/,
    ],
    ['a global as data', archive(`${P}ccollections\nOrderedDict\n.`), /which is no data/],
    [
      'a tensor past its storage',
      archive(`${P}${tensor('K\x03\x85', 'K\x01\x85')}.`, two),
      /reaches to element 2 of a storage with 2/,
    ],
    [
      'a tensor with a negative stride',
      archive(`${P}${tensor('K\x02\x85', 'J\xff\xff\xff\xff\x85')}.`, two),
      /stride must be a non-negative int/,
    ],
    ['shape and stride of different length', archive(`${P}${tensor('K\x02\x85', ')')}.`, two), /differ in length/],
    ['a huge expanded tensor', archive(`${P}${tensor('J\xff\xff\xff\x7f\x85', 'K\0\x85')}.`, two), /unfold/],
    ['a missing storage', archive(`${P}${tensor('K\x02\x85', 'K\x01\x85')}.`), /"archive\/data\/0" is missing/],
    [
      'a storage of another size',
      archive(`${P}${tensor('K\x02\x85', 'K\x01\x85', 'K\0', '0', 'K\x03')}.`, two),
      /has 8 bytes, its 3 elements need 12/,
    ],
    [
      'a storage told in two ways',
      archive(`${P}](${storage('0', 'K\x02')}${storage('0', 'K\x03')}e.`, two),
      /described in two ways/,
    ],
    [
      'an entry outside the folder',
      writeZip([
        ['archive/data.pkl', new Uint8Array(1)],
        ['other/version', new Uint8Array(1)],
      ]),
      /not in the folder/,
    ],
    [
      'no version',
      writeZip([['archive/data.pkl', Uint8Array.of(0x80, 2, 0x4e, 0x2e)]]),
      /"archive\/version" is missing/,
    ],
    ['a TorchScript file', archive(`${P}N.`, [['archive/constants.pkl', new Uint8Array(1)]]), /TorchScript/],
    [
      'an unknown byte order',
      archive(`${P}N.`, [['archive/byteorder', new TextEncoder().encode('mixed')]]),
      /byte order/,
    ],
    ['a name that leads out', writeZip([['archive/../x', new Uint8Array(1)]]), /leads out/],
    [
      'two entries of one name',
      writeZip([
        ['a/x', new Uint8Array(1)],
        ['a/X', new Uint8Array(1)],
      ]),
      /two entries/,
    ],
  ])('%s', (_, bytes, message) => {
    expect(() => decodeTorch(bytes)).toThrow(CheckpointError);
    expect(() => decodeTorch(bytes)).toThrow(message);
  });

  it('every truncation, and every damaged byte of a payload', () => {
    const bytes = file('adafactor-relative-f32.optimizer.pt');
    for (let length = 0; length < bytes.length; length += 7) {
      expect(() => decodeTorch(bytes.slice(0, length)), `${length} bytes`).toThrow(CheckpointError);
    }
    for (const [name, entry] of readZip(bytes)) {
      if (entry.bytes.length === 0) continue;
      const damaged = bytes.slice();
      damaged[entry.offset]! ^= 1;
      expect(() => decodeTorch(damaged), name).toThrow(/damaged: its checksum/);
    }
  });

  it('absent checksums, unless told', async () => {
    const bytes = file('minimal-handwritten.pt');
    const view = new DataView(bytes.buffer);
    const expectedValue = decodeTorch(bytes);
    for (let at = 0; at < bytes.length - 4; at++)
      if (view.getUint32(at, true) === 0x02014b50) view.setUint32(at + 16, 0, true);
    expect(() => decodeTorch(bytes)).toThrow(
      /damaged.*saved without checksums is read with \{ allowMissingCrc: true \}/,
    );
    expect(decodeTorch(bytes, { allowMissingCrc: true })).toEqual(expectedValue);
    const at = mkdtempSync(join(tmpdir(), 'tensorless-crc-'));
    try {
      const path = join(at, 'no-crc.pt');
      writeFileSync(path, bytes);
      await expect(loadTorch(path)).rejects.toThrow(/no-crc.pt: .*allowMissingCrc/);
      expect(await loadTorch(path, { allowMissingCrc: true })).toEqual(expectedValue);
    } finally {
      rmSync(at, { recursive: true });
    }
  });

  it('what is no file, and unknown options', () => {
    expect(() => decodeTorch(new ArrayBuffer(3) as never)).toThrow('wrap it: new Uint8Array(buffer)');
    expect(() => decodeTorch('x' as never)).toThrow(TypeError);
    expect(() => decodeTorch(new Uint8Array(0), { map: 1 } as never)).toThrow('unknown option "map"');
  });
});

it('files of big-endian machines are read', () => {
  const data = new Uint8Array(8);
  new DataView(data.buffer).setFloat32(0, 1.5, false);
  new DataView(data.buffer).setFloat32(4, -2, false);
  const bytes = archive(`${P}${tensor('K\x02\x85', 'K\x01\x85')}.`, [
    ['archive/data/0', data],
    ['archive/byteorder', new TextEncoder().encode('big')],
  ]);
  expect(decodeTorch(bytes)).toEqual({ dtype: 'float32', shape: [2], data: Float32Array.of(1.5, -2) });
});

describe('decodeTorch, exactly', () => {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  /** A file with other entries beside its pickle. */
  const withEntries = (entries: readonly (readonly [string, Uint8Array])[]): Uint8Array => {
    const pickle = [...readZip(encodeTorch({ a: 1 }))].find(([name]) => name.endsWith('/data.pkl'))![1].bytes;
    return writeZip([...entries, ['archive/data.pkl', pickle]]);
  };

  it.each(['1', '2', '9', '10', '3\n'])('takes version %j', (version) => {
    expect(decodeTorch(withEntries([['archive/version', text(version)]]))).toEqual({ a: 1 });
  });

  it.each(['0', '11', '100', 'x1', '1x', '', '-1'])('refuses version %j', (version) => {
    expect(() => decodeTorch(withEntries([['archive/version', text(version)]]))).toThrow(
      /version must be from 1 to 10/,
    );
  });

  it('refuses what is no Uint8Array, with the repair where there is one', () => {
    const bytes = encodeTorch({ a: 1 });
    expect(() => decodeTorch(bytes.buffer as never)).toThrow(/got ArrayBuffer; wrap it: new Uint8Array\(buffer\)$/);
    for (const wrong of [new Uint16Array(4), null, [1]]) {
      expect(() => decodeTorch(wrong as never)).toThrow(
        /bytes must be a Uint8Array with the file's contents, got [^;]*$/,
      );
    }
    expect(() => decodeTorch('x.pt' as never)).toThrow(/got "x.pt"; read the file first, or see tensorless\/node/);
    expect(() => decodeTorch(bytes, { allowMissingCRC: true } as never)).toThrow(/unknown option.*allowMissingCrc/s);
  });

  it('gives arrays of the type that belongs to the format', () => {
    const arrays = {
      a: new Float32Array(2),
      b: new Float64Array(2),
      c: new BigInt64Array(2),
      d: new Uint8Array(2),
      e: new Uint8Array(2),
      f: new Uint16Array(2),
      g: new Uint16Array(2),
    };
    const dtypes = ['float32', 'float64', 'int64', 'uint8', 'bool', 'bfloat16', 'float16'] as const;
    const dict = Object.fromEntries(
      Object.entries(arrays).map(([name, data], i) => [name, { dtype: dtypes[i]!, shape: [2], data }]),
    );
    const back = decodeTorch(encodeTorch(dict as never)) as unknown as Record<string, StateTensor>;
    for (const [name, data] of Object.entries(arrays)) {
      expect(back[name]!.data.constructor, name).toBe(data.constructor);
      expect(back[name]!.dtype).toBe(dict[name]!.dtype);
    }
  });
});
