/** Whole safetensors files, in memory and piece by piece. */
import type { NumericArray, StateTensor } from '../core/dtype.ts';
import { type ByteSource, checkBytes } from './byte-source.ts';
import {
  arrayOf,
  bytesOf,
  dtypeOf,
  type ElementFormat,
  elementBytes,
  LITTLE_ENDIAN,
  swapBytes,
} from './element-formats.ts';
import { CheckpointError } from './error.ts';
import { brief, quoted, some } from './quote.ts';
import { type Entry, type Header, headerLength, type Layout, layOut, readHeader } from './safetensors-header.ts';

/** What {@link decodeSafetensors} finds in a file. */
export interface SafetensorsContents {
  /** The arrays by name, in the order of their bytes; an object without prototype. */
  tensors: Record<string, StateTensor>;
  /** Strings beside them; an object without prototype. */
  metadata: Record<string, string>;
}

/** What the header tells of one array. */
export interface TensorInfo {
  /** Its format, as in a {@link StateTensor}. */
  readonly dtype: string;
  /** Length of every dimension. */
  readonly shape: readonly number[];
  /** Bytes that it takes in the file. */
  readonly byteLength: number;
}

/** A safetensors file whose header has been read. */
export interface SafetensorsFile {
  /** Strings beside the arrays; an object without prototype. */
  readonly metadata: Record<string, string>;
  /** What is in it, by name, in the order of the bytes. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * Reads one array.
   *
   * @param into - An array of the tensor's own kind and length to read into; default a new one.
   * When reading fails, it may hold part of the bytes.
   * @throws (rejects) CheckpointError when there is no such tensor; TypeError or RangeError when
   * `into` does not fit; the source's error.
   */
  read(name: string, into?: NumericArray | BigInt64Array | Uint8Array): Promise<StateTensor>;
}

/** The file of a layout, in one piece. @internal */
export function joined({ head, arrays, size }: Layout): Uint8Array {
  const file = new Uint8Array(size);
  file.set(head);
  let at = head.length;
  for (const { bytes, size: element } of arrays) {
    file.set(bytes, at);
    if (!LITTLE_ENDIAN) swapBytes(file.subarray(at, at + bytes.length), element);
    at += bytes.length;
  }
  return file;
}

/**
 * Writes arrays into one safetensors file: widest format first, then by name, as the reference
 * writer does.
 *
 * @param tensors - Arrays by name; `"__metadata__"` is not a name.
 * @param metadata - Strings to keep beside them.
 * @throws TypeError or RangeError, naming the tensor, when one is not { dtype, shape, data } with
 * matching sizes, a metadata value is no string, or a text holds half a surrogate pair.
 */
export function encodeSafetensors(
  tensors: Record<string, StateTensor>,
  metadata: Record<string, string> = {},
): Uint8Array {
  return joined(layOut('encodeSafetensors', Object.entries(tensors), metadata));
}

/** The header of a file in memory. @internal */
export function headerOf(where: string, bytes: Uint8Array): Header {
  checkBytes(where, bytes);
  const length = headerLength(bytes, bytes.length);
  // A copy: a TextDecoder takes no shared memory everywhere.
  return readHeader(new Uint8Array(bytes.subarray(8, 8 + length)), bytes.length);
}

/** An array of a file in memory: a view of it where it is aligned, else a copy. @internal */
export function tensorIn(file: Uint8Array, start: number, { format, shape, begin, end }: Entry): StateTensor {
  let bytes = bytesOf(file).subarray(start + begin, start + end);
  if (!LITTLE_ENDIAN && elementBytes(format) > 1) {
    bytes = new Uint8Array(bytes);
    swapBytes(bytes, elementBytes(format));
  }
  return { ...dtypeOf(format, shape), data: arrayOf(format, bytes) };
}

/**
 * Reads a safetensors file. Arrays are views of `bytes` where their position is aligned to the
 * element (which the usual writers see to), else copies: change `bytes` afterwards and the arrays
 * change.
 *
 * Formats that JavaScript has no array for (int8, uint32, float8 ...) keep PyTorch's name as their
 * dtype, and their bytes, little-endian, in a Uint8Array.
 *
 * @returns The arrays by name in the order of their bytes (an object without prototype), and the
 * metadata.
 * @throws CheckpointError that says what is wrong and where: header length, JSON, a key twice,
 * dtype, shape, and byte ranges that leave holes, overlap or do not cover the file.
 * @throws TypeError when bytes is not a Uint8Array (a Buffer is one).
 */
export function decodeSafetensors(bytes: Uint8Array): SafetensorsContents {
  const { entries, metadata, start } = headerOf('decodeSafetensors', bytes);
  const tensors: Record<string, StateTensor> = Object.create(null);
  for (const entry of entries) tensors[entry.name] = tensorIn(bytes, start, entry);
  return { tensors, metadata };
}

/** Checks a source, and reads the header of the file that it holds. @internal */
export async function openHeader(where: string, source: ByteSource): Promise<Header> {
  if (typeof source?.read !== 'function' || !Number.isSafeInteger(source.size) || source.size < 0) {
    throw new TypeError(`${where}: source must be a ByteSource { size, read }, got ${brief(source)}`);
  }
  const first = new Uint8Array(8);
  if (source.size >= 8) await source.read(0, first);
  const bytes = new Uint8Array(headerLength(first, source.size));
  await source.read(8, bytes);
  return readHeader(bytes, source.size);
}

/** Refuses an array that a tensor's bytes cannot be read into. */
function checkTarget(where: string, format: ElementFormat, byteLength: number, into: ArrayBufferView): void {
  if (!ArrayBuffer.isView(into) || (into as Uint8Array)[Symbol.toStringTag] !== format.array) {
    throw new TypeError(`${where}: into must be a ${format.array} for ${format.dtype}, got ${brief(into)}`);
  }
  if (into.byteLength === byteLength) return;
  const length = byteLength / elementBytes(format);
  throw new RangeError(`${where}: into must have ${length} elements, got ${brief(into)}`);
}

/**
 * Opens a safetensors file of any size: reads its header alone, and each array when it is asked
 * for.
 *
 * @param source - For example `blobSource(file)`, `await fileSource(path)`, or your own over HTTP
 * ranges.
 * @throws (rejects) CheckpointError as {@link decodeSafetensors}, or the source's error.
 */
export async function openSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const { entries, metadata, start } = await openHeader('openSafetensors', source);
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const tensors = new Map<string, TensorInfo>();
  for (const { name, format, shape, begin, end } of entries) {
    tensors.set(name, { ...dtypeOf(format, shape), byteLength: end - begin });
  }
  return {
    metadata,
    tensors,
    async read(name, into) {
      const entry = byName.get(name);
      if (entry === undefined) {
        throw new CheckpointError(
          `safetensors: there is no tensor ${quoted(name)}; the file has ${some([...byName.keys()]) || 'none'}`,
        );
      }
      const { format, shape, begin, end } = entry;
      if (into !== undefined) checkTarget(`safetensors: tensor ${quoted(name)}`, format, end - begin, into);
      const bytes = into === undefined ? new Uint8Array(end - begin) : bytesOf(into);
      await source.read(start + begin, bytes);
      if (!LITTLE_ENDIAN) swapBytes(bytes, elementBytes(format));
      return { ...dtypeOf(format, shape), data: into ?? arrayOf(format, bytes) };
    },
  };
}
