/** Archives that say something twice, and differently. */
import { crc32 as zlibCrc32 } from 'node:zlib';
import { CheckpointError, decodeTorch } from 'tensorless/torch';
import { describe, expect, it } from 'vitest';
import { crc32, slicedCrc32 } from '../src/formats/crc32.ts';
import { type Reading, readBytes } from '../src/formats/reading.ts';
import { readDirectory, readZip } from '../src/formats/zip-read.ts';
import { planZip, writeZip, zipPieces } from '../src/formats/zip-write.ts';

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
      /"a\/x": 4 bytes from 2147483647 on reach into the directory/,
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
    expect(() => readZip(outer)).toThrow(/"a\/x" overlaps "a\/y"/);
  });
});

describe('zip64', () => {
  const empty = new Uint8Array(0);

  it.each([65534, 65535, 70000])('%i entries are written and read', (count) => {
    const bytes = writeZip(Array.from({ length: count }, (_, i) => [`a/${i}`, empty] as const));
    const view = new DataView(bytes.buffer);
    const wide = view.getUint32(bytes.length - 22 - 20, true) === 0x07064b50;
    expect(wide).toBe(count >= 65535);
    expect(view.getUint16(bytes.length - 12, true)).toBe(Math.min(count, 0xffff));
    expect(readBytes(bytes, readDirectory(bytes.length))).toHaveLength(count);
  });

  it('an archive of 13 GB, whose contents are made up: every place and size is where its header says', () => {
    // Lengths without memory: only the plan and the headers are made.
    const of = (length: number): Uint8Array => ({ length, subarray: () => empty }) as never;
    const plan = planZip([
      { name: 'a/small', bytes: of(10) },
      { name: 'a/huge', bytes: of(5 * 2 ** 30) },
      { name: 'a/after', bytes: of(7) },
      { name: 'a/limit', bytes: of(0xffffffff) },
      { name: 'a/below', bytes: of(0xfffffffe) },
      { name: 'a/none', bytes: of(0) },
    ]);
    // What lies at which place; the rest is zeros.
    const known = new Map<number, Uint8Array>();
    const places = plan.entries.map(({ header }) => header);
    let at = 0;
    let entry = -1;
    for (const piece of zipPieces(plan)) {
      if (piece.length === 0) continue;
      const isLocal = new DataView(piece.buffer, piece.byteOffset).getUint32(0, true) === 0x04034b50;
      if (isLocal) at = places[++entry]!;
      const { start, bytes, behind } = plan.entries[entry]!;
      if (!isLocal && piece.length === behind && !known.has(start + bytes.length)) at = start + bytes.length;
      known.set(at, piece.slice());
      at += piece.length;
    }
    expect(at).toBe(plan.size);
    expect(plan.zip64).toBe(true);
    const read = (offset: number, length: number): Uint8Array => {
      const result = new Uint8Array(length);
      for (const [from, piece] of known) {
        for (let i = 0; i < piece.length; i++)
          if (from + i >= offset && from + i < offset + length) result[from + i - offset] = piece[i]!;
      }
      return result;
    };
    const run = <T>(reading: Reading<T>): T => {
      let step = reading.next();
      while (step.done !== true) step = reading.next(read(step.value.offset, step.value.length));
      return step.value;
    };
    const found = run(readDirectory(plan.size));
    expect(found.map(({ name, header, size }) => [name, header, size])).toEqual(
      plan.entries.map(({ name, header, bytes }) => [name, header, bytes.length]),
    );
    for (const { start } of plan.entries) expect(start % 64).toBe(0);
    // The sizes behind a content are of 64 bits where its header has a zip64 field, else of 32.
    expect(plan.entries.map(({ behind }) => behind)).toEqual([16, 24, 16, 24, 16, 0]);
    const wide = new DataView(read(plan.entries[1]!.start + 5 * 2 ** 30, 24).buffer);
    expect([wide.getUint32(0, true), wide.getBigUint64(8, true), wide.getBigUint64(16, true)]).toEqual([
      0x08074b50,
      5n * 2n ** 30n,
      5n * 2n ** 30n,
    ]);
    const local = read(plan.entries[1]!.header, 64);
    const field = new DataView(local.buffer);
    expect([field.getUint32(18, true), field.getUint16(36, true), field.getUint16(38, true)]).toEqual([
      0xffffffff, 1, 16,
    ]);
  });
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

describe('a name that leads out of the archive', () => {
  /** The archive with another name, of the same length, in both places. */
  const named = (name: string): Uint8Array => {
    const bytes = plain();
    const { directory } = places(bytes);
    const text = new TextEncoder().encode(name);
    bytes.set(text, 30);
    bytes.set(text, directory + 46);
    return bytes;
  };

  it.each(['/ax', 'a\\x', 'a\0x', '../', 'a//'])('%j is refused, or is none', (name) => {
    if (name === 'a//') expect(readZip(named(name)).has(name)).toBe(true);
    else expect(() => readZip(named(name))).toThrow(`the name ${JSON.stringify(name)} leads out of the archive`);
  });

  it('two dots inside a name lead nowhere', () => {
    expect(readZip(writeZip([['a/..b/c..', payload]])).has('a/..b/c..')).toBe(true);
    for (const name of ['a/../b', 'a/b/..']) expect(() => readZip(writeZip([[name, payload]]))).toThrow(/leads out/);
  });

  it('a byte order mark is a part of a name', () => {
    const name = '\ufeffa/x';
    expect([...readZip(writeZip([[name, payload]])).keys()]).toEqual([name]);
  });
});

describe('an unusual archive that can be read in one way only', () => {
  it('lists its entries in another order than it stores them', () => {
    const bytes = plain();
    const { directory, second, end } = places(bytes);
    const [one, two] = [bytes.slice(directory, second), bytes.slice(second, end)];
    bytes.set(two, directory);
    bytes.set(one, directory + two.length);
    expect([...readZip(bytes)].map(([name, entry]) => [name, [...entry.bytes]])).toEqual([
      ['a/x', [1, 2, 3, 4]],
      ['a/y', [5]],
    ]);
  });

  it('has a comment in its directory', () => {
    const source = plain();
    const { second, end, directory } = places(source);
    const bytes = new Uint8Array(source.length + 5);
    bytes.set(source.subarray(0, second));
    bytes.set(source.subarray(second), second + 5);
    const view = new DataView(bytes.buffer);
    view.setUint16(directory + 32, 5, true);
    view.setUint32(end + 5 + 12, end + 5 - directory, true);
    expect([...readZip(bytes).keys()]).toEqual(['a/x', 'a/y']);
  });

  it('has no room before its end record for a zip64 locator', () => {
    const bytes = new Uint8Array(22);
    new DataView(bytes.buffer).setUint32(0, 0x06054b50, true);
    expect(() => readZip(bytes)).toThrow(/there are no entries/);
  });
});

describe('readZip refuses', () => {
  it.each<[string, (view: DataView, end: number) => void, RegExp]>([
    ['a directory on another disk', (view, end) => view.setUint16(end + 6, 1, true), /several disks/],
    [
      'a saturated count alone',
      (view, end) => [8, 10].map((at) => view.setUint16(end + at, 0xffff, true)),
      /not there/,
    ],
    ['a saturated size alone', (view, end) => view.setUint32(end + 12, 0xffffffff, true), /not there/],
    [
      'a comment, saying how much follows',
      (view, end) => view.setUint16(end + 20, 9, true),
      /bytes after it, there are 0$/,
    ],
  ])('%s', (_, change, message) => {
    const bytes = plain();
    change(new DataView(bytes.buffer), bytes.length - 22);
    expect(() => readZip(bytes)).toThrow(message);
  });

  it.each<[string, number, number, RegExp]>([
    ['the disk of the zip64 directory', 20, 2, /several disks/],
    ['an unreasonable offset of the zip64 record', 64 + 7, 0x40, /the offset of the zip64 end record at byte \d+ is/],
    ['an unreasonable size of the zip64 record', 4 + 7, 0x40, /the size of the zip64 end record at byte \d+ is/],
    ['an unreasonable count', 32 + 7, 0x40, /the number of entries at byte \d+ is/],
    ['an unreasonable second count', 24 + 7, 0x40, /the number of entries at byte \d+ is/],
    ['an unreasonable size of the directory', 40 + 7, 0x40, /the size of the directory at byte \d+ is/],
    ['an unreasonable offset of the directory', 48 + 7, 0x40, /the offset of the directory at byte \d+ is/],
  ])('%s', (_, place, byte, message) => {
    expect(() => readZip(withZip64((view, record) => view.setUint8(record + place, byte)))).toThrow(message);
  });

  it('a number of a zip64 field that no file has, by the entry’s name', () => {
    expect(() => readZip(wideEntry(['offset'], [2n ** 60n]))).toThrow(/a size or offset of "a\/x" at byte \d+ is/);
  });

  it('a name’s place, an entry’s place and the rest of the directory, in bytes', () => {
    const bytes = plain();
    const { directory, view } = places(bytes);
    bytes[directory + 46] = 0xff;
    expect(() => readZip(bytes)).toThrow(`the name at byte ${directory + 46} is not UTF-8`);
    const other = plain();
    other[32] = 0x7a;
    expect(() => readZip(other)).toThrow('has another name at byte 30');
    const fewer = plain();
    const end = fewer.length - 22;
    for (const at of [8, 10]) new DataView(fewer.buffer).setUint16(end + at, 1, true);
    expect(() => readZip(fewer)).toThrow('the directory has 49 bytes more than its 1 entries');
    expect(view.getUint16(end + 8, true)).toBe(2);
  });

  it('a checksum of 0 for an absent one, unless that is allowed', () => {
    const bytes = plain();
    const { view, directory } = places(bytes);
    view.setUint32(directory + 16, 0, true);
    expect(() => readZip(bytes)).toThrow(/checksum/);
    expect(readZip(bytes, true).size).toBe(2);
    view.setUint32(directory + 16, 1, true);
    expect(() => readZip(bytes, true)).toThrow(/checksum/);
  });
});

it('writeZip marks names as UTF-8 and aligns every payload to 64 bytes with a field that readers step over', () => {
  const bytes = plain();
  const { view, directory, second } = places(bytes);
  for (const entry of [directory, second]) expect(view.getUint16(entry + 8, true)).toBe(0x0808);
  expect(view.getUint16(6, true)).toBe(0x0808);
  // Checksum and sizes stand behind the content.
  const behind = 33 + view.getUint16(28, true) + 4;
  expect(view.getUint32(behind, true)).toBe(0x08074b50);
  expect(view.getUint32(behind + 4, true)).toBe(view.getUint32(directory + 16, true));
  expect([view.getUint32(behind + 8, true), view.getUint32(behind + 12, true)]).toEqual([4, 4]);
  for (const [, { offset }] of readZip(bytes)) expect(offset % 64).toBe(0);
  const room = view.getUint16(28, true);
  expect(view.getUint16(33, true)).toBe(0x4246);
  expect(view.getUint16(35, true)).toBe(room - 4);
  expect([...bytes.subarray(37, 33 + room)].every((byte) => byte === 0x5a)).toBe(true);
});

it('contents that overlap are refused before any is read', () => {
  // Each entry claims all that follows it: to check their sums would take a second and more.
  const count = 20000;
  const bytes = writeZip(Array.from({ length: count }, (_, i) => [`a/${i}`, payload] as const));
  const view = new DataView(bytes.buffer);
  const directory = view.getUint32(bytes.length - 6, true);
  for (let at = directory; view.getUint32(at, true) === 0x02014b50; at += 46 + view.getUint16(at + 28, true)) {
    const size = directory - view.getUint32(at + 42, true) - 64;
    view.setUint32(at + 20, size, true);
    view.setUint32(at + 24, size, true);
  }
  const asked: number[] = [];
  const reading = readDirectory(bytes.length);
  expect(() => {
    let step = reading.next();
    while (step.done !== true) {
      const { offset, length } = step.value;
      asked.push(offset);
      step = reading.next(bytes.subarray(offset, offset + length));
    }
  }).toThrow('zip: "a/0" overlaps "a/1"');
  expect(asked.every((offset) => offset >= Math.min(directory, bytes.length - 65700))).toBe(true);
});

describe('crc32', () => {
  it('is that of zip, by zlib and by tables, whatever the pieces', () => {
    const bytes = Uint8Array.from({ length: 4099 }, (_, i) => (i * 7919) >> 3);
    for (const length of [0, 1, 9, 15, 16, 17, 63, 64, 65, 4099]) {
      const part = bytes.subarray(0, length);
      expect(slicedCrc32(part)).toBe(zlibCrc32(part));
      expect(crc32(part)).toBe(zlibCrc32(part));
      for (const cut of [1, 16, 30])
        if (cut < length) expect(crc32(part.subarray(cut), crc32(part.subarray(0, cut)))).toBe(zlibCrc32(part));
    }
    expect(slicedCrc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
  });

  it('does without node:zlib', () => {
    const { getBuiltinModule } = process;
    const bytes = new Uint8Array(1000).fill(7);
    for (const missing of [
      undefined,
      () => undefined,
      () => ({}),
      () => {
        throw new Error('not allowed');
      },
    ]) {
      process.getBuiltinModule = missing as never;
      try {
        expect(crc32(bytes)).toBe(zlibCrc32(bytes));
      } finally {
        process.getBuiltinModule = getBuiltinModule;
      }
    }
  });
});
