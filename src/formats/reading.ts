/**
 * Readers that ask for bytes: a generator yields what it wants and gets it, so that the same reader
 * serves bytes in memory at once and a {@link ByteSource} piece by piece.
 */
import type { ByteSource } from './byte-source.ts';

/** The bytes that a reader asks for; within the source's size. */
export interface Want {
  readonly offset: number;
  readonly length: number;
  /** Where to put them: `length` bytes of its own that the reader keeps. */
  readonly into?: Uint8Array;
  /** What will be asked for next, with `into` too: it may be read while the reader is at work. */
  next?: Want | undefined;
}

/** A reader. Bytes that it was given without `into` are good until it asks again. */
export type Reading<T> = Generator<Want, T, Uint8Array>;

/** Small wants are served from a piece of this size, so that thousands of them need few reads. */
const WINDOW = 1 << 19;

/** Runs a reader on bytes in memory. What it wants is not copied, except `into` its own. */
export function readBytes<T>(bytes: Uint8Array, reading: Reading<T>): T {
  let step = reading.next();
  while (step.done !== true) {
    const { offset, length, into } = step.value;
    const part = bytes.subarray(offset, offset + length);
    into?.set(part);
    step = reading.next(into ?? part);
  }
  return step.value;
}

/** Runs a reader on a source. At most a window is held beside what the reader holds or asks for. */
export async function readSource<T>(source: ByteSource, reading: Reading<T>): Promise<T> {
  let window = new Uint8Array(0);
  let start = 0;
  let held = 0;
  let ahead: { readonly want: Want; readonly done: Promise<void> } | undefined;
  try {
    let step = reading.next();
    while (step.done !== true) {
      const want = step.value;
      const { offset, length, into, next } = want;
      let part = into;
      if (part !== undefined) {
        await (ahead?.want === want ? ahead.done : source.read(offset, part));
        ahead = undefined;
        if (next?.into !== undefined) {
          ahead = { want: next, done: source.read(next.offset, next.into) };
          // Its failure is told when it is asked for.
          ahead.done.catch(() => {});
        }
      } else if (length > WINDOW) {
        part = new Uint8Array(length);
        await source.read(offset, part);
      } else {
        if (offset < start || offset + length > start + held) {
          if (window.length === 0) window = new Uint8Array(Math.min(WINDOW, source.size));
          start = offset;
          held = Math.min(window.length, source.size - offset);
          await source.read(start, window.subarray(0, held));
        }
        part = window.subarray(offset - start, offset - start + length);
      }
      step = reading.next(part);
    }
    return step.value;
  } finally {
    // Nothing reads on when the caller closes the source.
    await ahead?.done.catch(() => {});
  }
}
