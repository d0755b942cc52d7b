/**
 * The zip container of a `.pt` file: stored entries under one folder. Reading is strict, because a zip says most things twice and readers differ in which
 * they believe: whatever could be read in two ways is refused. The format is in PKWARE's APPNOTE 6.3.
 */
import { show } from '../core/check.ts';
import { CheckpointError } from './error.ts';

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
/** The longest comment, and the end record before it. */
const SEARCH = 65535 + 22;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = (c & 1) === 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});

/** CRC-32 of zip and zlib. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** A part of the archive's bytes, and where it lies. */
export interface ZipEntry {
  readonly bytes: Uint8Array;
  readonly offset: number;
}

function fail(what: string): never {
  throw new CheckpointError(`zip: ${what}`);
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

function findDirectory(bytes: Uint8Array, view: DataView): Directory {
  let at = bytes.length - 22;
  const least = Math.max(0, bytes.length - SEARCH);
  while (at >= least && view.getUint32(at, true) !== END) at--;
  if (at < least) fail('no end record; the file is cut off, or is no zip archive');
  const comment = view.getUint16(at + 20, true);
  if (at + 22 + comment !== bytes.length)
    fail(`the end record at byte ${at} declares ${comment} bytes after it, there are ${bytes.length - at - 22}`);
  if (view.getUint16(at + 4, true) !== 0 || view.getUint16(at + 6, true) !== 0) fail('it is one of several disks');
  const here = view.getUint16(at + 8, true);
  const classic = {
    count: view.getUint16(at + 10, true),
    size: view.getUint32(at + 12, true),
    offset: view.getUint32(at + 16, true),
    end: at,
  };
  if (here !== classic.count) fail(`the end record counts ${here} and ${classic.count} entries`);
  const saturated = classic.count === 0xffff || classic.size === 0xffffffff || classic.offset === 0xffffffff;
  if (at < 20 || view.getUint32(at - 20, true) !== LOCATOR64) {
    if (saturated) fail('the end record refers to a zip64 record that is not there');
    return classic;
  }
  const record = u64(view, at - 12, 'the offset of the zip64 end record');
  if (record + 56 > at - 20 || view.getUint32(record, true) !== END64) fail(`no zip64 end record at byte ${record}`);
  if (u64(view, record + 4, 'the size of the zip64 end record') + 12 + record !== at - 20)
    fail(`the zip64 end record at byte ${record} does not end where its locator begins`);
  if (view.getUint32(record + 16, true) !== 0 || view.getUint32(record + 20, true) !== 0)
    fail('it is one of several disks');
  const wide = {
    count: u64(view, record + 32, 'the number of entries'),
    size: u64(view, record + 40, 'the size of the directory'),
    offset: u64(view, record + 48, 'the offset of the directory'),
    end: record,
  };
  if (u64(view, record + 24, 'the number of entries') !== wide.count)
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
    if (position + 4 + size > at + length) fail(`the extra field of ${show(name)} is longer than its room`);
    if (id === 1) {
      let next = position + 4;
      return fields.map((value) => {
        if (value !== 0xffffffff) return value;
        if (next + 8 > position + 4 + size) fail(`the zip64 field of ${show(name)} is too short`);
        next += 8;
        return u64(view, next - 8, `a size or offset of ${show(name)}`);
      });
    }
    position += 4 + size;
  }
  if (fields.includes(0xffffffff)) fail(`${show(name)} refers to a zip64 field that is not there`);
  return fields;
}

function checkName(name: string): void {
  if (name.startsWith('/') || name.includes('\\') || name.includes('\0') || name.split('/').includes('..'))
    fail(`the name ${show(name)} leads out of the archive`);
}

/**
 * All entries by name. Nothing is copied.
 *
 * @param allowMissingCrc - Takes a checksum of 0 for an absent one (torch.serialization.set_crc32_options(False)).
 */
export function readZip(bytes: Uint8Array, allowMissingCrc = false): Map<string, ZipEntry> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const directory = findDirectory(bytes, view);
  if (directory.offset + directory.size !== directory.end)
    fail(
      `the directory (${directory.size} bytes at ${directory.offset}) does not end where the end record begins, at ${directory.end}`,
    );
  if (directory.count === 0) fail('there are no entries');
  if (directory.count * 46 > directory.size)
    fail(`${directory.count} entries do not fit into a directory of ${directory.size} bytes`);
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const entries = new Map<string, ZipEntry>();
  const lowered = new Set<string>();
  const ranges: [start: number, end: number, name: string][] = [];
  let at = directory.offset;
  for (let i = 0; i < directory.count; i++) {
    if (at + 46 > directory.end || view.getUint32(at, true) !== CENTRAL)
      fail(`entry ${i}: no directory entry at byte ${at}`);
    const flags = view.getUint16(at + 8, true);
    const method = view.getUint16(at + 10, true);
    const crc = view.getUint32(at + 16, true);
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > directory.end) fail(`entry ${i}: the directory is cut off`);
    const rawName = bytes.subarray(at + 46, at + 46 + nameLength);
    let name: string;
    try {
      name = decoder.decode(rawName);
    } catch {
      fail(`entry ${i}: the name at byte ${at + 46} is not UTF-8`);
    }
    checkName(name);
    const lower = name.toLowerCase();
    if (lowered.has(lower)) fail(`there are two entries ${show(name)}`);
    lowered.add(lower);
    if ((flags & 1) !== 0) fail(`${show(name)} is encrypted`);
    if (method !== 0) fail(`${show(name)} is compressed (method ${method}); torch.save stores its entries as they are`);
    const [size, compressed, header] = widen(
      view,
      at + 46 + nameLength,
      extraLength,
      [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)],
      name,
    ) as [number, number, number];
    if (size !== compressed) fail(`${show(name)} is stored, but declares ${compressed} of ${size} bytes`);
    if (header + 30 > directory.offset || view.getUint32(header, true) !== LOCAL)
      fail(`${show(name)}: no entry at byte ${header}`);
    const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
    if (start + size > directory.offset) fail(`${show(name)}: ${size} bytes from ${start} on reach into the directory`);
    const localName = bytes.subarray(header + 30, header + 30 + view.getUint16(header + 26, true));
    if (localName.length !== rawName.length || localName.some((byte, k) => byte !== rawName[k]))
      fail(`${show(name)} has another name at byte ${header + 30}`);
    const payload = bytes.subarray(start, start + size);
    ranges.push([header, start + size, name]);
    if (!(allowMissingCrc && crc === 0) && crc32(payload) !== crc)
      fail(`${show(name)} is damaged: its checksum does not match`);
    entries.set(name, { bytes: payload, offset: start });
    at = next;
  }
  if (at !== directory.end)
    fail(`the directory has ${directory.end - at} bytes more than its ${directory.count} entries`);
  ranges.sort((a, b) => a[0] - b[0]);
  for (let i = 1; i < ranges.length; i++) {
    if (ranges[i]![0] < ranges[i - 1]![1]) fail(`${show(ranges[i]![2])} overlaps ${show(ranges[i - 1]![2])}`);
  }
  return entries;
}

const ALIGNMENT = 64;
const MOST_BYTES = 0xffffffff;

/**
 * An archive of stored entries, each payload on a multiple of 64 bytes as torch.save puts it.
 *
 * @throws RangeError for 4 GiB and more, and for 65,535 entries and more, which would need zip64.
 */
export function writeZip(entries: readonly (readonly [name: string, payload: Uint8Array])[]): Uint8Array {
  const encoder = new TextEncoder();
  let at = 0;
  const placed = entries.map(([name, payload]) => {
    const nameBytes = encoder.encode(name);
    const header = at;
    const unpadded = header + 30 + nameBytes.length + 4;
    const padding = (ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT;
    at = unpadded + padding + payload.length;
    return { nameBytes, payload, header, padding, start: unpadded + padding, crc: crc32(payload) };
  });
  const offset = at;
  const size = placed.reduce((sum, { nameBytes }) => sum + 46 + nameBytes.length, 0);
  if (offset + size > MOST_BYTES || entries.length >= 0xffff)
    throw new RangeError(
      `encodeTorch: a file of ${offset + size} bytes with ${entries.length} entries is too large; save in parts`,
    );
  const bytes = new Uint8Array(offset + size + 22);
  const view = new DataView(bytes.buffer);
  // The fields that a local header and its directory entry share, from "version needed" to the name's length.
  const common = (to: number, { crc, payload, nameBytes }: (typeof placed)[number]): void => {
    view.setUint16(to + 2, 0x0800, true);
    view.setUint32(to + 10, crc, true);
    view.setUint32(to + 14, payload.length, true);
    view.setUint32(to + 18, payload.length, true);
    view.setUint16(to + 22, nameBytes.length, true);
  };
  let directory = offset;
  for (const entry of placed) {
    const { nameBytes, payload, header, padding, start } = entry;
    view.setUint32(header, LOCAL, true);
    common(header + 4, entry);
    view.setUint16(header + 28, padding + 4, true);
    bytes.set(nameBytes, header + 30);
    // PyTorch's padding field: "FB", its length, that many Z.
    view.setUint16(header + 30 + nameBytes.length, 0x4246, true);
    view.setUint16(header + 32 + nameBytes.length, padding, true);
    bytes.fill(0x5a, start - padding, start);
    bytes.set(payload, start);
    view.setUint32(directory, CENTRAL, true);
    common(directory + 6, entry);
    view.setUint32(directory + 42, header, true);
    bytes.set(nameBytes, directory + 46);
    directory += 46 + nameBytes.length;
  }
  view.setUint32(directory, END, true);
  view.setUint16(directory + 8, entries.length, true);
  view.setUint16(directory + 10, entries.length, true);
  view.setUint32(directory + 12, size, true);
  view.setUint32(directory + 16, offset, true);
  return bytes;
}
