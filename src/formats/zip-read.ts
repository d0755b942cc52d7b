/**
 * The zip container of a `.pt` file: stored entries under one folder. Reading is strict, because a
 * zip says most things twice and readers differ in which they believe: whatever could be read in
 * two ways is refused. All ranges are checked before any content is read. The format is in PKWARE's
 * APPNOTE 6.3.
 */
import { crc32 } from './crc32.ts';
import { CheckpointError } from './error.ts';
import { quoted } from './quote.ts';
import { type Reading, readBytes, type Want } from './reading.ts';

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
/** The longest comment, and the end records before it. */
const SEARCH = 65535 + 22 + 20 + 56;
/**
 * Contents are read, checked and handed on in pieces of so many bytes, which the processor's cache
 * holds.
 */
const PIECE = 1 << 19;

/** An entry as the directory has it. */
export interface ZipEntry {
  readonly name: string;
  /** Where its own header begins. */
  readonly header: number;
  /** Bytes of its content. */
  readonly size: number;
  readonly crc: number;
  /** Its content must end here: where the next entry or the directory begins. */
  readonly limit: number;
}

function fail(what: string): never {
  throw new CheckpointError(`zip: ${what}`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** 64-bit numbers of a file are sizes and offsets; more than 2^53 - 1 bytes there are not. */
function u64(view: DataView, at: number, what: string): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) fail(`${what} at byte ${at} is ${value}, more than any file has`);
  return Number(value);
}

interface Directory {
  readonly count: number;
  readonly size: number;
  readonly offset: number;
  /** Where the directory must end. */
  readonly end: number;
}

function* findDirectory(fileSize: number): Reading<Directory> {
  const start = Math.max(0, fileSize - SEARCH);
  const tail = yield { offset: start, length: fileSize - start };
  const view = viewOf(tail);
  let at = tail.length - 22;
  const least = Math.max(0, tail.length - 65535 - 22);
  while (at >= least && view.getUint32(at, true) !== END) at--;
  if (at < least) fail('no end record; the file is cut off, or is no zip archive');
  const comment = view.getUint16(at + 20, true);
  if (at + 22 + comment !== tail.length)
    fail(`the end record at byte ${start + at} declares ${comment} bytes after it, there are ${tail.length - at - 22}`);
  if (view.getUint16(at + 4, true) !== 0 || view.getUint16(at + 6, true) !== 0) fail('it is one of several disks');
  const here = view.getUint16(at + 8, true);
  const classic = {
    count: view.getUint16(at + 10, true),
    size: view.getUint32(at + 12, true),
    offset: view.getUint32(at + 16, true),
    end: start + at,
  };
  if (here !== classic.count) fail(`the end record counts ${here} and ${classic.count} entries`);
  const saturated = classic.count === 0xffff || classic.size === 0xffffffff || classic.offset === 0xffffffff;
  if (at < 20 || view.getUint32(at - 20, true) !== LOCATOR64) {
    if (saturated) fail('the end record refers to a zip64 record that is not there');
    return classic;
  }
  // The record stands just before its locator, without the extensible part that nobody writes.
  const record = u64(view, at - 12, 'the offset of the zip64 end record');
  const place = at - 76;
  if (place < 0 || record !== start + place || view.getUint32(place, true) !== END64)
    fail(`no zip64 end record at byte ${record}, or it does not end where its locator begins`);
  if (u64(view, place + 4, 'the size of the zip64 end record') !== 44)
    fail(`the zip64 end record at byte ${record} does not end where its locator begins`);
  if (view.getUint32(place + 16, true) !== 0 || view.getUint32(place + 20, true) !== 0)
    fail('it is one of several disks');
  const wide = {
    count: u64(view, place + 32, 'the number of entries'),
    size: u64(view, place + 40, 'the size of the directory'),
    offset: u64(view, place + 48, 'the offset of the directory'),
    end: record,
  };
  if (u64(view, place + 24, 'the number of entries') !== wide.count)
    fail('the zip64 end record has two counts of entries');
  for (const [key, limit] of [
    ['count', 0xffff],
    ['size', 0xffffffff],
    ['offset', 0xffffffff],
  ] as const) {
    // A field of all ones says "see the other record".
    if (classic[key] !== limit && classic[key] !== wide[key])
      fail(`the two end records disagree about the directory's ${key}: ${classic[key]} and ${wide[key]}`);
  }
  return wide;
}

/** The zip64 extra field's numbers, for those of the three that do not fit in 32 bits. */
function widen(view: DataView, at: number, length: number, fields: number[], name: string): number[] {
  let position = at;
  while (position + 4 <= at + length) {
    const id = view.getUint16(position, true);
    const size = view.getUint16(position + 2, true);
    if (position + 4 + size > at + length) fail(`the extra field of ${quoted(name)} is longer than its room`);
    if (id === 1) {
      let next = position + 4;
      return fields.map((value) => {
        if (value !== 0xffffffff) return value;
        if (next + 8 > position + 4 + size) fail(`the zip64 field of ${quoted(name)} is too short`);
        next += 8;
        return u64(view, next - 8, `a size or offset of ${quoted(name)}`);
      });
    }
    position += 4 + size;
  }
  if (fields.includes(0xffffffff)) fail(`${quoted(name)} refers to a zip64 field that is not there`);
  return fields;
}

function checkName(name: string): void {
  if (name.startsWith('/') || name.includes('\\') || name.includes('\0') || name.split('/').includes('..'))
    fail(`the name ${quoted(name)} leads out of the archive`);
}

/**
 * All entries in the order in which they lie in the file; their ranges do not overlap. No content
 * is read.
 */
export function* readDirectory(fileSize: number): Reading<ZipEntry[]> {
  const directory = yield* findDirectory(fileSize);
  if (directory.offset + directory.size !== directory.end)
    fail(
      `the directory (${directory.size} bytes at ${directory.offset}) does not end where the end record begins, ` +
        `at ${directory.end}`,
    );
  if (directory.count === 0) fail('there are no entries');
  if (directory.count * 46 > directory.size)
    fail(`${directory.count} entries do not fit into a directory of ${directory.size} bytes`);
  const bytes = yield { offset: directory.offset, length: directory.size };
  const view = viewOf(bytes);
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const lowered = new Set<string>();
  const found: { name: string; nameLength: number; header: number; size: number; crc: number }[] = [];
  let at = 0;
  for (let i = 0; i < directory.count; i++) {
    const place = directory.offset + at;
    if (at + 46 > bytes.length || view.getUint32(at, true) !== CENTRAL)
      fail(`entry ${i}: no directory entry at byte ${place}`);
    const flags = view.getUint16(at + 8, true);
    const method = view.getUint16(at + 10, true);
    const crc = view.getUint32(at + 16, true);
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.length) fail(`entry ${i}: the directory is cut off`);
    let name: string;
    try {
      name = decoder.decode(bytes.subarray(at + 46, at + 46 + nameLength));
    } catch {
      fail(`entry ${i}: the name at byte ${place + 46} is not UTF-8`);
    }
    checkName(name);
    const lower = name.toLowerCase();
    if (lowered.has(lower)) fail(`there are two entries ${quoted(name)}`);
    lowered.add(lower);
    if ((flags & 1) !== 0) fail(`${quoted(name)} is encrypted`);
    if (method !== 0)
      fail(`${quoted(name)} is compressed (method ${method}); torch.save stores its entries as they are`);
    const [size, compressed, header] = widen(
      view,
      at + 46 + nameLength,
      extraLength,
      [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)],
      name,
    ) as [number, number, number];
    if (size !== compressed) fail(`${quoted(name)} is stored, but declares ${compressed} of ${size} bytes`);
    if (header + 30 + nameLength + size > directory.offset)
      fail(`${quoted(name)}: ${size} bytes from ${header} on reach into the directory`);
    found.push({ name, nameLength, header, size, crc });
    at = next;
  }
  if (at !== bytes.length)
    fail(`the directory has ${bytes.length - at} bytes more than its ${directory.count} entries`);
  found.sort((a, b) => a.header - b.header);
  return found.map(({ nameLength, ...entry }, i) => {
    const limit = found[i + 1]?.header ?? directory.offset;
    if (entry.header + 30 + nameLength + entry.size > limit)
      fail(`${quoted(entry.name)} overlaps ${quoted(found[i + 1]!.name)}`);
    return { ...entry, limit };
  });
}

/** Whether these bytes are a name in UTF-8. */
function isName(bytes: Uint8Array, name: string): boolean {
  if (bytes.length === name.length) {
    let i = 0;
    while (i < name.length && name.charCodeAt(i) === bytes[i] && bytes[i]! < 128) i++;
    if (i === name.length) return true;
  }
  const expected = new TextEncoder().encode(name);
  return bytes.length === expected.length && bytes.every((byte, k) => byte === expected[k]);
}

/** Where an entry's content begins, by its own header, which must agree with the directory. */
function* startOf({ name, header, size, limit }: ZipEntry): Reading<number> {
  const fixed = viewOf(yield { offset: header, length: 30 });
  if (fixed.getUint32(0, true) !== LOCAL) fail(`${quoted(name)}: no entry at byte ${header}`);
  const nameLength = fixed.getUint16(26, true);
  const start = header + 30 + nameLength + fixed.getUint16(28, true);
  if (start + size > limit) fail(`${quoted(name)}: ${size} bytes from ${start} on overlap what follows`);
  const own = yield { offset: header + 30, length: nameLength };
  if (!isName(own, name)) fail(`${quoted(name)} has another name at byte ${header + 30}`);
  return start;
}

function failChecksum({ name, crc }: ZipEntry): never {
  // As torch.serialization.set_crc32_options(False) leaves it.
  const repair = crc === 0 ? '; a file that was saved without checksums is read with { allowMissingCrc: true }' : '';
  fail(`${quoted(name)} is damaged: its checksum does not match${repair}`);
}

/**
 * Reads an entry's content piece by piece and holds it to its checksum.
 *
 * @param into - Where the content goes, if it is to be kept.
 * @param take - Gets each piece as it comes, with its place in the content.
 * @param allowMissingCrc - Takes a checksum of 0 for an absent one.
 */
export function* readContent(
  entry: ZipEntry,
  allowMissingCrc: boolean,
  into?: Uint8Array,
  take?: (piece: Uint8Array, at: number) => void,
): Reading<void> {
  const start = yield* startOf(entry);
  const checked = !(allowMissingCrc && entry.crc === 0);
  const wantAt = (at: number): Want | undefined => {
    if (at >= entry.size) return undefined;
    const length = Math.min(PIECE, entry.size - at);
    const want = { offset: start + at, length };
    return into === undefined ? want : { ...want, into: into.subarray(at, at + length) };
  };
  let crc = 0;
  let at = 0;
  for (let want = wantAt(0); want !== undefined; want = want.next) {
    want.next = wantAt(at + PIECE);
    const piece = yield want;
    if (checked) crc = crc32(piece, crc);
    take?.(piece, at);
    at += piece.length;
  }
  if (checked && crc !== entry.crc) failChecksum(entry);
}

/**
 * An entry's whole content, where it is small or is needed in one. Not copied where the bytes lie
 * in memory.
 */
export function* readWhole(entry: ZipEntry, allowMissingCrc: boolean): Reading<Uint8Array> {
  const start = yield* startOf(entry);
  const bytes = yield { offset: start, length: entry.size };
  if (!(allowMissingCrc && entry.crc === 0) && crc32(bytes) !== entry.crc) failChecksum(entry);
  return bytes;
}

/**
 * All entries of an archive in memory, by name; nothing is copied. `offset`: where the content
 * begins.
 */
export function readZip(
  bytes: Uint8Array,
  allowMissingCrc = false,
): Map<string, { readonly bytes: Uint8Array; readonly offset: number }> {
  const all = new Map<string, { bytes: Uint8Array; offset: number }>();
  for (const entry of readBytes(bytes, readDirectory(bytes.length))) {
    const content = readBytes(bytes, readWhole(entry, allowMissingCrc));
    all.set(entry.name, { bytes: content, offset: content.byteOffset - bytes.byteOffset });
  }
  return all;
}
