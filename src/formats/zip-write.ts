/**
 * Writing a zip archive of stored entries, as torch.save lays it out: each content on a multiple of
 * 64 bytes, its checksum behind it, so that one pass over the contents will do. More than 65,534
 * entries and 4 GiB are zip64.
 */
import { crc32 } from './crc32.ts';

const ALIGNMENT = 64;
const FULL32 = 0xffffffff;
const FULL16 = 0xffff;
/**
 * Contents are checked and handed on in pieces of so many bytes, which the processor's cache holds.
 */
const PIECE = 1 << 19;
/** UTF-8 names, and sizes and checksum behind the content. */
const FLAGS = 0x0800;
const FLAGS_BEHIND = 0x0808;

/** What an entry is to hold. */
export interface ZipInput {
  readonly name: string;
  readonly bytes: Uint8Array;
}

interface Placed extends ZipInput {
  readonly nameBytes: Uint8Array;
  readonly header: number;
  /** Where the content begins. */
  readonly start: number;
  /** Bytes behind the content that hold its checksum and sizes; none where it is empty. */
  readonly behind: number;
}

/** Where everything will lie. */
export interface ZipPlan {
  readonly entries: readonly Placed[];
  /** Where the directory begins. */
  readonly directory: number;
  /** Bytes of the directory. */
  readonly directorySize: number;
  readonly zip64: boolean;
  /** Bytes of the whole archive. */
  readonly size: number;
}

/**
 * The zip64 field of an entry in the directory: those of its numbers that do not fit in 32 bits.
 */
function wideFields({ bytes, header }: Placed): number[] {
  const sizes = bytes.length >= FULL32 ? [bytes.length, bytes.length] : [];
  return header >= FULL32 ? [...sizes, header] : sizes;
}

function wideLength(entry: Placed): number {
  const count = wideFields(entry).length;
  return count === 0 ? 0 : 4 + 8 * count;
}

/** Where the parts of an archive will lie. */
export function planZip(inputs: readonly ZipInput[]): ZipPlan {
  const encoder = new TextEncoder();
  let at = 0;
  const entries = inputs.map((input): Placed => {
    const nameBytes = encoder.encode(input.name);
    const header = at;
    const big = input.bytes.length >= FULL32;
    const unpadded = header + 30 + nameBytes.length + (big ? 20 : 0) + 4;
    const start = Math.ceil(unpadded / ALIGNMENT) * ALIGNMENT;
    const behind = input.bytes.length === 0 ? 0 : big ? 24 : 16;
    at = start + input.bytes.length + behind;
    return { ...input, nameBytes, header, start, behind };
  });
  const directorySize = entries.reduce((sum, entry) => sum + 46 + entry.nameBytes.length + wideLength(entry), 0);
  const zip64 = entries.length >= FULL16 || at >= FULL32 || directorySize >= FULL32;
  return { entries, directory: at, directorySize, zip64, size: at + directorySize + (zip64 ? 76 : 0) + 22 };
}

function wide(view: DataView, at: number, value: number): void {
  view.setBigUint64(at, BigInt(value), true);
}

/** An entry's own header, with the padding that puts its content on a multiple of 64 bytes. */
function localHeader({ nameBytes, header, start, behind, bytes: content }: Placed): Uint8Array {
  const bytes = new Uint8Array(start - header);
  const view = new DataView(bytes.buffer);
  const big = content.length >= FULL32;
  view.setUint32(0, 0x04034b50, true);
  view.setUint16(4, big ? 45 : 0, true);
  view.setUint16(6, behind === 0 ? FLAGS : FLAGS_BEHIND, true);
  view.setUint16(26, nameBytes.length, true);
  view.setUint16(28, bytes.length - 30 - nameBytes.length, true);
  bytes.set(nameBytes, 30);
  let at = 30 + nameBytes.length;
  if (big) {
    // The sizes are behind the content; the field says that they are of 64 bits there.
    view.setUint32(18, FULL32, true);
    view.setUint32(22, FULL32, true);
    view.setUint16(at, 1, true);
    view.setUint16(at + 2, 16, true);
    at += 20;
  }
  // PyTorch's padding field: "FB", its length, that many Z.
  view.setUint16(at, 0x4246, true);
  view.setUint16(at + 2, bytes.length - at - 4, true);
  bytes.fill(0x5a, at + 4);
  return bytes;
}

/** What stands behind a content. */
function descriptor({ bytes: { length }, behind }: Placed, crc: number): Uint8Array {
  const bytes = new Uint8Array(behind);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x08074b50, true);
  view.setUint32(4, crc, true);
  if (behind === 24) {
    wide(view, 8, length);
    wide(view, 16, length);
  } else {
    view.setUint32(8, length, true);
    view.setUint32(12, length, true);
  }
  return bytes;
}

function directoryOf({ entries, directorySize }: ZipPlan, crcs: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(directorySize);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [i, entry] of entries.entries()) {
    const { nameBytes, header, behind, bytes: content } = entry;
    const fields = wideFields(entry);
    const size = Math.min(content.length, FULL32);
    view.setUint32(at, 0x02014b50, true);
    view.setUint16(at + 6, fields.length > 0 ? 45 : 0, true);
    view.setUint16(at + 8, behind === 0 ? FLAGS : FLAGS_BEHIND, true);
    view.setUint32(at + 16, crcs[i]!, true);
    view.setUint32(at + 20, size, true);
    view.setUint32(at + 24, size, true);
    view.setUint16(at + 28, nameBytes.length, true);
    view.setUint16(at + 30, wideLength(entry), true);
    view.setUint32(at + 42, Math.min(header, FULL32), true);
    bytes.set(nameBytes, at + 46);
    at += 46 + nameBytes.length;
    if (fields.length > 0) {
      view.setUint16(at, 1, true);
      view.setUint16(at + 2, 8 * fields.length, true);
      for (const [k, value] of fields.entries()) wide(view, at + 4 + 8 * k, value);
      at += 4 + 8 * fields.length;
    }
  }
  return bytes;
}

function endRecords({ entries, directory, directorySize, zip64 }: ZipPlan): Uint8Array {
  const bytes = new Uint8Array(zip64 ? 98 : 22);
  const view = new DataView(bytes.buffer);
  const count = entries.length;
  const at = bytes.length - 22;
  if (zip64) {
    view.setUint32(0, 0x06064b50, true);
    wide(view, 4, 44);
    view.setUint16(14, 45, true);
    wide(view, 24, count);
    wide(view, 32, count);
    wide(view, 40, directorySize);
    wide(view, 48, directory);
    view.setUint32(56, 0x07064b50, true);
    wide(view, 64, directory + directorySize);
    view.setUint32(72, 1, true);
  }
  view.setUint32(at, 0x06054b50, true);
  view.setUint16(at + 8, Math.min(count, FULL16), true);
  view.setUint16(at + 10, Math.min(count, FULL16), true);
  view.setUint32(at + 12, Math.min(directorySize, FULL32), true);
  view.setUint32(at + 16, Math.min(directory, FULL32), true);
  return bytes;
}

/**
 * The archive's bytes, in order, in pieces; those of contents are parts of the inputs' own memory.
 */
export function* zipPieces(plan: ZipPlan): Generator<Uint8Array, void, void> {
  const crcs: number[] = [];
  for (const entry of plan.entries) {
    yield localHeader(entry);
    const { bytes, behind } = entry;
    let crc = 0;
    for (let at = 0; at < bytes.length; at += PIECE) {
      const piece = bytes.subarray(at, at + PIECE);
      crc = crc32(piece, crc);
      yield piece;
    }
    if (behind > 0) yield descriptor(entry, crc);
    crcs.push(crc);
  }
  yield directoryOf(plan, crcs);
  yield endRecords(plan);
}

/** The archive in one array. @throws RangeError where the runtime cannot hold one so large. */
export function writeZip(inputs: readonly (readonly [name: string, bytes: Uint8Array])[]): Uint8Array {
  const plan = planZip(inputs.map(([name, bytes]) => ({ name, bytes })));
  return joined(plan);
}

/**
 * The pieces of a plan in one array. @throws RangeError where the runtime cannot hold one so large.
 */
export function joined(plan: ZipPlan): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(plan.size);
  } catch {
    throw new RangeError(
      `encodeTorch: an array of ${plan.size} bytes cannot be had here; write the file piece by piece, by ` +
        `saveTorch of tensorless/node`,
    );
  }
  let at = 0;
  for (const piece of zipPieces(plan)) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
