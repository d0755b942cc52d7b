/** Archives that say something twice, and differently. */
import { CheckpointError, decodeTorch } from 'tensorless/torch';
import { describe, expect, it } from 'vitest';
import { readZip, writeZip } from '../src/_zip.ts';

const payload = Uint8Array.of(1, 2, 3, 4);
const plain = (): Uint8Array =>
  writeZip([
    ['a/x', payload],
    ['a/y', Uint8Array.of(5)],
  ]);

/** Where the parts of an archive begin. */
function places(bytes: Uint8Array): { view: DataView; end: number; directory: number; second: number } {
  const view = new DataView(bytes.buffer);
  const end = bytes.length - 22;
  const directory = view.getUint32(end + 16, true);
  return { view, end, directory, second: directory + 46 + 3 };
}

/** The same archive with a zip64 end record and locator, as torch.save writes them. */
function withZip64(change?: (view: DataView, record: number) => void, saturate = false): Uint8Array {
  const source = plain();
  const { end, directory } = places(source);
  const bytes = new Uint8Array(source.length + 76);
  bytes.set(source.subarray(0, end));
  bytes.set(source.subarray(end), end + 76);
  const view = new DataView(bytes.buffer);
  view.setUint32(end, 0x06064b50, true);
  view.setBigUint64(end + 4, 44n, true);
  view.setBigUint64(end + 24, 2n, true);
  view.setBigUint64(end + 32, 2n, true);
  view.setBigUint64(end + 40, BigInt(end - directory), true);
  view.setBigUint64(end + 48, BigInt(directory), true);
  view.setUint32(end + 56, 0x07064b50, true);
  view.setBigUint64(end + 64, BigInt(end), true);
  if (saturate) {
    view.setUint16(end + 76 + 8, 0xffff, true);
    view.setUint16(end + 76 + 10, 0xffff, true);
    view.setUint32(end + 76 + 12, 0xffffffff, true);
    view.setUint32(end + 76 + 16, 0xffffffff, true);
  }
  change?.(view, end);
  return bytes;
}

/** The archive with sizes or offset of its first entry in a zip64 extra field of the directory. */
function wideEntry(
  fields: readonly ('size' | 'compressed' | 'offset')[],
  extra: readonly bigint[],
  shorten = 0,
): Uint8Array {
  const source = plain();
  const { directory, end } = places(source);
  const field = new Uint8Array(4 + 8 * extra.length);
  const fieldView = new DataView(field.buffer);
  fieldView.setUint16(0, 1, true);
  fieldView.setUint16(2, 8 * extra.length - shorten, true);
  for (const [i, value] of extra.entries()) fieldView.setBigUint64(4 + 8 * i, value, true);
  const at = directory + 49;
  const bytes = new Uint8Array(source.length + field.length);
  bytes.set(source.subarray(0, at));
  bytes.set(field, at);
  bytes.set(source.subarray(at), at + field.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(directory + 30, field.length, true);
  if (fields.includes('compressed')) view.setUint32(directory + 20, 0xffffffff, true);
  if (fields.includes('size')) view.setUint32(directory + 24, 0xffffffff, true);
  if (fields.includes('offset')) view.setUint32(directory + 42, 0xffffffff, true);
  view.setUint32(end + field.length + 12, end - directory + field.length, true);
  return bytes;
}

describe('readZip', () => {
  it('reads what writeZip wrote, with and without zip64 records', () => {
    for (const bytes of [plain(), withZip64(), withZip64(undefined, true)]) {
      expect([...readZip(bytes)].map(([name, entry]) => [name, [...entry.bytes]])).toEqual([
        ['a/x', [1, 2, 3, 4]],
        ['a/y', [5]],
      ]);
    }
  });

  it('reads sizes and offsets from a zip64 field, in its fixed order', () => {
    for (const bytes of [
      wideEntry(['offset'], [0n]),
      wideEntry(['size', 'compressed'], [4n, 4n]),
      wideEntry(['size', 'compressed', 'offset'], [4n, 4n, 0n]),
    ]) {
      expect([...readZip(bytes).get('a/x')!.bytes]).toEqual([1, 2, 3, 4]);
    }
  });

  it('steps over other extra fields, and reads a comment’s length', () => {
    const bytes = wideEntry([], [7n]);
    const { view, directory } = { view: new DataView(bytes.buffer), directory: places(plain()).directory };
    view.setUint16(directory + 49, 0x5455, true);
    expect(readZip(bytes).size).toBe(2);
    const commented = new Uint8Array(plain().length + 3);
    commented.set(plain());
    new DataView(commented.buffer).setUint16(plain().length - 2, 3, true);
    expect(readZip(commented).size).toBe(2);
  });

  const changed = (change: (bytes: Uint8Array, at: ReturnType<typeof places>) => void): Uint8Array => {
    const bytes = plain();
    change(bytes, places(bytes));
    return bytes;
  };
  it.each<[string, Uint8Array, RegExp]>([
    ['several disks', changed((_, { view, end }) => view.setUint16(end + 4, 1, true)), /several disks/],
    ['two counts', changed((_, { view, end }) => view.setUint16(end + 8, 1, true)), /counts 1 and 2 entries/],
    [
      'a comment that is not there',
      changed((_, { view, end }) => view.setUint16(end + 20, 9, true)),
      /declares 9 bytes after it/,
    ],
    [
      'a missing zip64 record',
      changed((_, { view, end }) => view.setUint32(end + 16, 0xffffffff, true)),
      /zip64 record that is not there/,
    ],
    [
      'a directory that ends elsewhere',
      changed((_, { view, end }) => view.setUint32(end + 12, 1, true)),
      /does not end where/,
    ],
    ['no entries', writeZip([]), /no entries/],
    [
      'more entries than have room',
      changed((_, { view, end }) => {
        view.setUint16(end + 8, 9, true);
        view.setUint16(end + 10, 9, true);
      }),
      /9 entries do not fit/,
    ],
    [
      'fewer entries than there are',
      changed((_, { view, end }) => {
        view.setUint16(end + 8, 1, true);
        view.setUint16(end + 10, 1, true);
      }),
      /bytes more than its 1 entries/,
    ],
    [
      'a directory entry that is none',
      changed((_, { view, second }) => view.setUint32(second, 7, true)),
      /entry 1: no directory entry/,
    ],
    ['a name past the directory', changed((_, { view, second }) => view.setUint16(second + 28, 999, true)), /cut off/],
    [
      'an encrypted entry',
      changed((_, { view, directory }) => view.setUint16(directory + 8, 0x0801, true)),
      /encrypted/,
    ],
    [
      'a compressed entry',
      changed((_, { view, directory }) => view.setUint16(directory + 10, 8, true)),
      /compressed \(method 8\)/,
    ],
    [
      'two sizes',
      changed((_, { view, directory }) => view.setUint32(directory + 20, 3, true)),
      /declares 3 of 4 bytes/,
    ],
    [
      'an offset to nowhere',
      changed((_, { view, directory }) => view.setUint32(directory + 42, 5, true)),
      /no entry at byte 5/,
    ],
    [
      'an offset past the data',
      changed((_, { view, directory }) => view.setUint32(directory + 42, 0x7fffffff, true)),
      /no entry at byte/,
    ],
    [
      'a size into the directory',
      changed((_, { view, directory }) => {
        view.setUint32(directory + 20, 4000, true);
        view.setUint32(directory + 24, 4000, true);
      }),
      /reach into the directory/,
    ],
    ['two names', changed((bytes) => (bytes[32] = 0x7a)), /another name/],
    ['names of two lengths', changed((_, { view }) => view.setUint16(26, 2, true)), /another name|reach into/],
    [
      'overlapping entries',
      changed((_, { view, directory, second }) =>
        view.setUint32(second + 42, view.getUint32(directory + 42, true), true),
      ),
      /another name|overlaps/,
    ],
    ['a name that is not UTF-8', changed((bytes, { directory }) => (bytes[directory + 46] = 0xff)), /not UTF-8/],
    [
      'a zip64 record elsewhere',
      withZip64((view, record) => view.setBigUint64(record + 64, 0n, true)),
      /no zip64 end record at byte 0/,
    ],
    [
      'a zip64 record past its locator',
      withZip64((view, record) => view.setBigUint64(record + 64, BigInt(record + 40), true)),
      /no zip64 end record/,
    ],
    [
      'a zip64 record of another length',
      withZip64((view, record) => view.setBigUint64(record + 4, 50n, true)),
      /does not end where its locator begins/,
    ],
    ['several disks in zip64', withZip64((view, record) => view.setUint32(record + 16, 2, true)), /several disks/],
    ['two counts in zip64', withZip64((view, record) => view.setBigUint64(record + 24, 3n, true)), /two counts/],
    [
      'end records that disagree',
      withZip64((view, record) => view.setBigUint64(record + 48, 1n, true)),
      /disagree about the directory's offset/,
    ],
    [
      'a number no file has',
      withZip64((view, record) => view.setBigUint64(record + 48, 2n ** 60n, true)),
      /more than any file has/,
    ],
    [
      'a missing zip64 field',
      changed((_, { view, directory }) => view.setUint32(directory + 42, 0xffffffff, true)),
      /zip64 field that is not there/,
    ],
    ['a zip64 field that is too short', wideEntry(['size', 'compressed', 'offset'], [4n, 4n]), /too short/],
    ['an extra field that is longer than its room', wideEntry([], [0n], -60), /longer than its room/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => readZip(bytes)).toThrow(CheckpointError);
    expect(() => readZip(bytes)).toThrow(message);
  });

  it('refuses entries that share bytes', () => {
    // A second entry inside the payload of the first.
    const inner = writeZip([['a/y', Uint8Array.of(5)]]).subarray(0, 65);
    const outer = writeZip([
      ['a/x', inner],
      ['a/y', Uint8Array.of(5)],
    ]);
    const { view, second } = places(outer);
    view.setUint32(second + 42, 64, true);
    expect(() => readZip(outer)).toThrow(/"a\/y" overlaps "a\/x"/);
  });
});

it('writeZip refuses more entries than zip counts without zip64', () => {
  const empty = new Uint8Array(0);
  expect(() => writeZip(Array.from({ length: 65535 }, (_, i) => [`a/${i}`, empty] as const))).toThrow(/save in parts/);
});

it('an entry without a folder is no file of torch.save', () => {
  expect(() => decodeTorch(writeZip([['data.pkl', payload]]))).toThrow(/is in no folder/);
  expect(() =>
    decodeTorch(
      writeZip([
        ['a/version', Uint8Array.of(0x78)],
        ['a/data.pkl', payload],
      ]),
    ),
  ).toThrow(/version must be from 1 to 10/);
});
