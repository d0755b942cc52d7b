/**
 * Moving many arrays between memory and a file in pieces of a few megabytes: nothing as large as
 * the file is needed.
 */
import type { ByteSource } from './byte-source.ts';
import { LITTLE_ENDIAN, swapBytes } from './element-formats.ts';
import type { Layout } from './safetensors-header.ts';

/** Bytes that are read or written at once: large enough that a call's cost does not show. */
export const PIECE: number = 8 << 20;
/** Arrays up to this size are gathered, so that a file of many small ones takes few calls. */
const SMALL = 256 << 10;
/**
 * Reads under way at a time: they run on threads where the runtime has them, and fresh memory takes
 * its time.
 */
const LANES = 4;

/**
 * Where a file's bytes go, one piece after the other: a file, a `FileSystemWritableFileStream`, a
 * database.
 */
export interface ByteSink {
  /**
   * Takes the next bytes. They are the writer's again when the promise settles: copy them to keep
   * them.
   *
   * @throws (rejects) When they cannot be written; nothing more is then given.
   */
  write(bytes: Uint8Array): Promise<unknown>;
}

/**
 * Whether other threads reach an array's memory; not every runtime's file system takes such an
 * array.
 */
function isSharedMemory(bytes: Uint8Array): boolean {
  return Object.prototype.toString.call(bytes.buffer) === '[object SharedArrayBuffer]';
}

/** Writes a laid out file piece by piece. */
export async function writePieces({ head, arrays }: Layout, sink: ByteSink): Promise<void> {
  const gathered = new Uint8Array(PIECE);
  let filled = 0;
  const flush = async (): Promise<void> => {
    if (filled > 0) await sink.write(gathered.subarray(0, filled));
    filled = 0;
  };
  const put = async (bytes: Uint8Array, size: number): Promise<void> => {
    const direct = bytes.length > SMALL && (LITTLE_ENDIAN || size === 1) && !isSharedMemory(bytes);
    if (direct) await flush();
    for (let at = 0; at < bytes.length; ) {
      if (direct) {
        await sink.write(bytes.subarray(at, at + PIECE));
        at += PIECE;
        continue;
      }
      // Room for whole elements only: big-endian machines reverse each.
      const room = Math.floor((PIECE - filled) / size) * size;
      const part = bytes.subarray(at, at + room);
      gathered.set(part, filled);
      if (!LITTLE_ENDIAN) swapBytes(gathered.subarray(filled, filled + part.length), size);
      filled += part.length;
      at += part.length;
      if (PIECE - filled < 8) await flush();
    }
  };
  await put(head, 1);
  for (const { bytes, size } of arrays) await put(bytes, size);
  await flush();
}

/** One array to be read. */
export interface Reading {
  /** Where its bytes lie in the source. */
  readonly offset: number;
  /** Where they go. */
  readonly into: Uint8Array;
  /** Bytes of an element. */
  readonly size: number;
}

/**
 * Reads arrays, several pieces at a time. When it rejects, no read is under way any more.
 *
 * @param progress - Told how many bytes have come so far.
 */
export async function readPieces(
  source: ByteSource,
  readings: Iterable<Reading>,
  progress?: (bytes: number) => void,
): Promise<void> {
  const jobs = jobsOf([...readings].sort((a, b) => a.offset - b.offset));
  let failed = false;
  let done = 0;
  const lane = async (): Promise<void> => {
    // Scratch memory of this lane, made when the first gathered job comes.
    let scratch: Uint8Array | undefined;
    for (let job = jobs.next(); !job.done && !failed; job = jobs.next()) {
      const { offset, length, parts } = job.value;
      try {
        const only = parts.length === 1 ? parts[0]!.into : undefined;
        if (only !== undefined && !isSharedMemory(only)) await source.read(offset, only);
        else {
          scratch ??= new Uint8Array(PIECE);
          await source.read(offset, scratch.subarray(0, length));
          for (const { offset: from, into } of parts) {
            into.set(scratch.subarray(from - offset, from - offset + into.length));
          }
        }
      } catch (error) {
        failed = true;
        throw error;
      }
      if (!LITTLE_ENDIAN) for (const { into, size } of parts) swapBytes(into, size);
      done += length;
      progress?.(done);
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: LANES }, lane));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

interface Job {
  readonly offset: number;
  readonly length: number;
  readonly parts: readonly Reading[];
}

/** Large arrays cut into pieces, small neighbours gathered. */
function* jobsOf(readings: readonly Reading[]): Generator<Job, void> {
  let run: Reading[] = [];
  let begin = 0;
  let end = 0;
  for (const reading of readings) {
    const { offset, into, size } = reading;
    const { length } = into;
    if (length === 0) continue;
    if (run.length > 0 && (offset !== end || length > SMALL || end + length - begin > PIECE)) {
      yield { offset: begin, length: end - begin, parts: run };
      run = [];
    }
    if (length <= SMALL) {
      if (run.length === 0) begin = offset;
      run.push(reading);
      end = offset + length;
      continue;
    }
    for (let at = 0; at < length; at += PIECE) {
      const piece = into.subarray(at, at + PIECE);
      yield { offset: offset + at, length: piece.length, parts: [{ offset: offset + at, into: piece, size }] };
    }
  }
  if (run.length > 0) yield { offset: begin, length: end - begin, parts: run };
}
