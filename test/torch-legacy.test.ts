/**
 * The format from before PyTorch 1.6, made by hand, and tensors that share large storages. Real
 * files are in torch-files.test.ts.
 */
import type { StateTensor, StateValue } from 'tensorless';
import { CheckpointError, decodeTorch } from 'tensorless/torch';
import { describe, expect, it } from 'vitest';
import { type ByteSource, bytesSource } from '../src/formats/byte-source.ts';
import { readTorch } from '../src/formats/torch/files.ts';
import { writeZip } from '../src/formats/zip-write.ts';

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
const text = (value: string): string => `X${String.fromCharCode(value.length)}\0\0\0${value}`;
const int = (n: number): string => `J${String.fromCharCode(n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24)}`;
const tuple = (values: number[]): string => `(${values.map(int).join('')}t`;

const MAGIC = '\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.';
const VERSION = '\x80\x02M\xe9\x03.';
const MACHINE = '\x80\x02}.';
const storage = (type: string, key: string, count: number, view: string): string =>
  `(${text('storage')}ctorch\n${type}Storage\n${text(key)}${text('cpu')}${int(count)}${view}tQ`;
const tensor = (of: string, shape: number[], stride: number[], offset = 0, rest = ''): string =>
  `ctorch._utils\n_rebuild_tensor_v2\n(${of}${int(offset)}${tuple(shape)}${tuple(stride)}\x89ccollections\nOrderedDict\n)R${rest}tR`;
const part = (key: string, begin: number, count: number): string => `(${text(key)}${int(begin)}${int(count)}t`;

interface Legacy {
  magic?: string;
  version?: string;
  machine?: string;
  data: string;
  keys?: string[];
  storages?: [count: number, bytes: Uint8Array][];
}
const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

function legacy({
  magic = MAGIC,
  version = VERSION,
  machine = MACHINE,
  data,
  keys = ['5'],
  storages,
}: Legacy): Uint8Array {
  const head = `${magic}${version}${machine}\x80\x02${data}.\x80\x02](${keys.map(text).join('')}e.`;
  const parts = [bytesOf(head)];
  for (const [count, bytes] of storages ?? [[4, floats(1, 2, 3, 4)]]) {
    const size = new Uint8Array(8);
    new DataView(size.buffer).setBigInt64(0, BigInt(count), true);
    parts.push(size, bytes);
  }
  return new Uint8Array(Buffer.concat(parts));
}

const whole = storage('Float', '5', 4, 'N');

describe('a file from before PyTorch 1.6', () => {
  it('has storages behind its pickles, and views of them', async () => {
    const bytes = legacy({
      data: `](${tensor(whole, [2, 2], [1, 2])}${tensor(storage('Float', '5', 4, part('9', 1, 3)), [2], [1], 1)}e`,
    });
    const expected = [
      { dtype: 'float32', shape: [2, 2], data: Float32Array.of(1, 3, 2, 4) },
      // The view begins at the second element, the tensor at the view's second.
      { dtype: 'float32', shape: [2], data: Float32Array.of(3, 4) },
    ];
    expect(decodeTorch(bytes)).toEqual(expected);
    expect(await readTorch(bytesSource(bytes))).toEqual(expected);
  });

  it('needs no tensor, and may have bytes behind it', () => {
    expect(decodeTorch(legacy({ data: `}${text('a')}K\x01s`, keys: [], storages: [] }))).toEqual({ a: 1 });
    expect(decodeTorch(legacy({ data: 'N', keys: [], storages: [[1, new Uint8Array(4)]] }))).toBe(null);
  });

  it.each<[string, Legacy, RegExp]>([
    [
      'another pickle',
      { magic: '\x80\x02K\x01.', data: 'N' },
      /neither a zip archive nor a legacy file.*another pickle/,
    ],
    ['another version', { version: '\x80\x02K\x01.', data: 'N' }, /version 1001, this file another/],
    ['a machine that is none', { machine: '\x80\x02N.', data: 'N' }, /does not describe the machine/],
    ['a storage that is not listed', { data: tensor(whole, [4], [1]), keys: [] }, /does not list 1 of its storages/],
    ['a storage that no tensor has', { data: tensor(whole, [4], [1]), keys: ['5', '6'] }, /lists the storage "6"/],
    ['a storage listed twice', { data: tensor(whole, [4], [1]), keys: ['5', '5'] }, /lists it twice/],
    ['another count', { data: tensor(whole, [4], [1]), storages: [[3, new Uint8Array(16)]] }, /has 4 elements, and 3/],
    [
      'a count that no file has',
      { data: tensor(whole, [4], [1]), storages: [[-1, new Uint8Array(16)]] },
      /4 elements, and -1/,
    ],
    [
      'a storage that is cut off',
      { data: tensor(whole, [4], [1]), storages: [[4, new Uint8Array(15)]] },
      /storage 5 ends at byte/,
    ],
    [
      'a view past its storage',
      { data: tensor(storage('Float', '5', 4, part('9', 2, 3)), [2], [1]) },
      /past the 4 elements/,
    ],
    ['a call', { data: 'cos\nsystem\n' }, /"os.system" is refused/],
  ])('with %s is refused', async (_, file, message) => {
    const bytes = legacy(file);
    expect(() => decodeTorch(bytes)).toThrow(CheckpointError);
    expect(() => decodeTorch(bytes)).toThrow(message);
    await expect(readTorch(bytesSource(bytes))).rejects.toThrow(message);
  });

  it('with pickles of more than a megabyte is read in larger and larger parts', async () => {
    const long = 'x'.repeat(255);
    const data = `](${`U\xff${long}`.repeat(9000)}e`;
    const bytes = legacy({ data, keys: [], storages: [] });
    const asked: number[] = [];
    const source = bytesSource(bytes);
    const counting: ByteSource = {
      size: source.size,
      read(offset, into) {
        asked.push(into.length);
        return source.read(offset, into);
      },
    };
    expect(await readTorch(counting)).toEqual(new Array(9000).fill(long));
    expect(decodeTorch(bytes)).toEqual(new Array(9000).fill(long));
    expect(asked.slice(1)).toEqual([1 << 20, bytes.length]);
  });

  it('from before 0.2, a tar file, is refused by its name', () => {
    const tar = new Uint8Array(1024);
    tar.set(bytesOf('ustar'), 257);
    expect(() => decodeTorch(tar)).toThrow(
      /a tar file of PyTorch before 0.2, which torch.load\(weights_only=True\) does not/,
    );
  });
});

const zipped = (data: string, content: Uint8Array): Uint8Array =>
  writeZip([
    ['a/data.pkl', bytesOf(`\x80\x02${data}.`)],
    ['a/version', bytesOf('3\n')],
    ['a/data/0', content],
  ]);
const of = (type: string, count: number): string => storage(type, '0', count, '');

/** Without a listing of a hundred thousand differences. */
const same = (a: ArrayBufferView, b: ArrayBufferView): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));

describe('tensors that share a storage of several pieces', () => {
  const count = 400_000;
  const content = Float32Array.from({ length: count }, (_, i) => i);
  const ranges = [
    [0, 10],
    [5, 300_000],
    [131_071, 2],
    [131_072, 131_072],
    [262_143, 137_857],
    [399_999, 1],
    [100, 0],
    [0, 400_000],
  ] as const;

  it.each([
    ['side by side and one over the other', ranges],
    ['in another order', [...ranges].reverse()],
    ['one that is a part', [[7, 399_000]] as const],
  ])('%s', async (_, parts) => {
    const list = parts.map(([begin, length]) => tensor(of('Float', count), [length], [1], begin));
    const bytes = zipped(`](${list.join('')}e`, new Uint8Array(content.buffer));
    for (const value of [decodeTorch(bytes), await readTorch(bytesSource(bytes))]) {
      for (const [i, [begin, length]] of parts.entries())
        expect(same((value as StateTensor[])[i]!.data, content.subarray(begin, begin + length)), `part ${i}`).toBe(
          true,
        );
    }
  });

  it('all that is read is read once, and none of it in one buffer', async () => {
    const list = ranges.map(([begin, length]) => tensor(of('Float', count), [length], [1], begin));
    const bytes = zipped(`](${list.join('')}e`, new Uint8Array(content.buffer));
    const source = bytesSource(bytes);
    let total = 0;
    let most = 0;
    await readTorch({
      size: source.size,
      read(offset, into) {
        total += into.length;
        most = Math.max(most, into.length);
        return source.read(offset, into);
      },
    });
    expect(most).toBeLessThanOrEqual(1 << 19);
    // The directory and the headers are asked for besides.
    expect(total).toBeLessThan(bytes.length + 6 * (1 << 19));
  });

  it('a source that fails is heard of', async () => {
    const bytes = zipped('N', new Uint8Array(content.buffer));
    const failing = readTorch({ size: bytes.length, read: () => Promise.reject(new Error('disk')) });
    await expect(failing).rejects.toThrow('disk');
  });
});

describe('elements in every order', () => {
  it.each<[string, string, Uint8Array, number[], number[], number, StateValue]>([
    [
      'turned, of 16 bytes',
      'ComplexDouble',
      Uint8Array.from({ length: 64 }, (_, i) => i),
      [2, 2],
      [1, 2],
      0,
      'complex128',
    ],
    ['of three axes', 'Short', Uint8Array.from({ length: 48 }, (_, i) => i), [2, 3, 4], [1, 2, 6], 0, 'int64'],
    ['repeated', 'Byte', Uint8Array.of(1, 2, 3), [2, 3, 2], [0, 1, 0], 0, 'uint8'],
    ['every third', 'Half', Uint8Array.from({ length: 40 }, (_, i) => i), [5], [3], 2, 'float16'],
    ['overlapping', 'Double', Uint8Array.from({ length: 80 }, (_, i) => i), [4, 3], [2, 1], 1, 'float64'],
    [
      'larger than a tile',
      'Float',
      new Uint8Array(Float32Array.from({ length: 5000 }, (_, i) => i).buffer),
      [70, 40],
      [1, 70],
      3,
      'float32',
    ],
    [
      'larger than a tile, with room',
      'Byte',
      Uint8Array.from({ length: 9000 }, (_, i) => i * 7),
      [33, 65],
      [2, 100],
      5,
      'uint8',
    ],
  ])('%s', async (_, type, content, shape, stride, offset, dtype) => {
    const size = { complex128: 16, float64: 8, float32: 4, float16: 2, uint8: 1, int64: 2 }[dtype as string]!;
    // One byte before, so that nothing lies on a multiple of its size.
    const file = zipped(tensor(of(type, content.length / size), shape, stride, offset), content);
    const moved = new Uint8Array(file.length + 1);
    moved.set(file, 1);
    const expected: number[] = [];
    const walk = (axis: number, place: number): void => {
      if (axis === shape.length) for (let k = 0; k < size; k++) expected.push(content[place * size + k]!);
      else for (let i = 0; i < shape[axis]!; i++) walk(axis + 1, place + i * stride[axis]!);
    };
    walk(0, offset);
    for (const value of [decodeTorch(file), decodeTorch(moved.subarray(1)), await readTorch(bytesSource(file))]) {
      const { data, ...rest } = value as StateTensor;
      expect(rest).toEqual({ dtype, shape });
      const narrow = dtype === 'int64' ? Int16Array.from(data as BigInt64Array, Number) : data;
      expect([...new Uint8Array(narrow.buffer, narrow.byteOffset, narrow.byteLength)]).toEqual(expected);
    }
  });

  it('of a machine with the high byte first, in all formats', () => {
    const big = (data: string, content: Uint8Array): StateTensor =>
      decodeTorch(
        writeZip([
          ['a/data.pkl', bytesOf(`\x80\x02${data}.`)],
          ['a/version', bytesOf('3\n')],
          ['a/data/0', content],
          ['a/byteorder', bytesOf('big')],
        ]),
      ) as StateTensor;
    const neg = `}${text('neg')}\x88s`;
    expect(big(tensor(of('Int', 2), [2], [1], 0, neg), Uint8Array.of(0, 0, 1, 0, 255, 255, 255, 255)).data).toEqual(
      BigInt64Array.of(-256n, 1n),
    );
    expect(big(tensor(of('Long', 1), [1], [1], 0, neg), Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 0)).data).toEqual(
      BigInt64Array.of(-256n),
    );
    const two = Uint8Array.of(0x3f, 0x80, 0, 0, 0x40, 0, 0, 0);
    const conj = `}${text('conj')}\x88s`;
    expect(big(tensor(of('ComplexFloat', 1), [1], [1], 0, conj), two).data).toEqual(floats(1, -2));
    expect(big(tensor(of('Float', 2), [2], [1], 0, neg), two).data).toEqual(Float32Array.of(-1, -2));
  });

  it('negated where there is one zero only: what would be the other is NaN', () => {
    const untyped = `(${text('storage')}ctorch.storage\nUntypedStorage\n${text('0')}${text('cpu')}${int(4)}tQ`;
    const of = (dtype: string): unknown =>
      (
        decodeTorch(
          zipped(
            tensor(untyped, [4], [1], 0, `ctorch\n${dtype}\n}${text('neg')}\x88s`).replace('_v2', '_v3'),
            Uint8Array.of(0, 0x80, 1, 0x81),
          ),
        ) as StateTensor
      ).data;
    expect(of('float8_e5m2')).toEqual(Uint8Array.of(0x80, 0, 0x81, 1));
    expect(of('float8_e5m2fnuz')).toEqual(Uint8Array.of(0, 0x80, 0x81, 1));
  });

  it('truth is 0 or 1, whatever the byte', () => {
    expect(decodeTorch(zipped(tensor(of('Bool', 4), [4], [1]), Uint8Array.of(0, 1, 2, 255)))).toEqual({
      dtype: 'bool',
      shape: [4],
      data: Uint8Array.of(0, 1, 1, 1),
    });
  });
});
