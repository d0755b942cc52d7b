/** Where a file's bytes come from, piece by piece. */
import { brief } from './quote.ts';

/**
 * Bytes of known number that can be read at any place: a file, a Blob, HTTP ranges, a zip entry, an
 * array.
 */
export interface ByteSource {
  /** Number of bytes. */
  readonly size: number;
  /**
   * Fills `into` with the bytes from `offset` on. Calls may overlap in time.
   *
   * @throws (rejects) When the range is not within `size`, or the bytes cannot be read; `into` is
   * then of no use.
   */
  read(offset: number, into: Uint8Array): Promise<void>;
}

/** A part of a {@link BlobLike}. */
export interface BlobSlice {
  /** Its bytes. */
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** The part of a `Blob` that {@link blobSource} uses. */
export interface BlobLike {
  /** Number of bytes. */
  readonly size: number;
  /** A part of it. */
  slice(start?: number, end?: number): BlobSlice;
}

/** Refuses a range that is not within the source. @internal */
export function checkRange(where: string, size: number, offset: number, length: number): void {
  if (Number.isSafeInteger(offset) && offset >= 0 && length <= size - offset) return;
  throw new RangeError(
    `${where}: ${length} bytes from ${brief(offset)} on are not within its ${size} bytes; ask for a part of it`,
  );
}

/** Refuses what is no Uint8Array, with the repair. @internal */
export function checkBytes(where: string, bytes: unknown): asserts bytes is Uint8Array {
  const tag = Object.prototype.toString.call(bytes);
  if (tag === '[object Uint8Array]' && ArrayBuffer.isView(bytes)) return;
  let repair = '';
  if (typeof bytes === 'string') repair = '; read the file first, or see tensorless/node, which takes paths';
  if (/^\[object (Shared)?ArrayBuffer\]$/.test(tag)) repair = '; wrap it: new Uint8Array(buffer)';
  throw new TypeError(`${where}: bytes must be a Uint8Array with the file's contents, got ${brief(bytes)}${repair}`);
}

/**
 * Bytes in memory as a source.
 *
 * @throws TypeError when `bytes` is no Uint8Array.
 */
export function bytesSource(bytes: Uint8Array): ByteSource {
  checkBytes('bytesSource', bytes);
  return {
    size: bytes.length,
    async read(offset, into) {
      checkRange('bytesSource.read', bytes.length, offset, into.length);
      into.set(bytes.subarray(offset, offset + into.length));
    },
  };
}

/**
 * A Blob or a browser's File as a source: only the parts that are asked for come into memory.
 *
 * @throws TypeError when `blob` has no `size` and `slice`.
 */
export function blobSource(blob: BlobLike): ByteSource {
  if (typeof blob?.size !== 'number' || typeof blob.slice !== 'function') {
    throw new TypeError(`blobSource: blob must be a Blob or File, got ${brief(blob)}`);
  }
  const { size } = blob;
  return {
    size,
    async read(offset, into) {
      checkRange('blobSource.read', size, offset, into.length);
      const part = new Uint8Array(await blob.slice(offset, offset + into.length).arrayBuffer());
      if (part.length !== into.length) {
        throw new RangeError(`blobSource.read: the Blob gave ${part.length} of ${into.length} bytes from ${offset} on`);
      }
      into.set(part);
    },
  };
}
