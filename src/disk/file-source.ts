/** Files as sources of bytes. */
import { open } from 'node:fs/promises';
import { type ByteSource, checkRange } from '../formats/byte-source.ts';
import { CheckpointError } from '../formats/error.ts';
import { PIECE } from '../formats/pieces.ts';
import { pathOf, refuseOthers, shownPath, statsAt } from './paths.ts';

/** A file that is open for reading, until it is closed. */
export interface FileSource extends ByteSource, AsyncDisposable {
  /** Closes the file; `await using` does it by itself. */
  close(): Promise<void>;
}

/** Reads at a time for one large range: fresh memory takes its time, on any thread. */
const LANES = 4;

/**
 * Opens a file of any size as a source of bytes.
 *
 * @param path - A path or file: URL.
 * @throws (rejects) The file system's error (such as ENOENT); one with code EISDIR or EINVAL for a
 * folder, FIFO or device.
 */
export async function fileSource(path: string | URL): Promise<FileSource> {
  const absolute = pathOf('fileSource', path);
  const stats = statsAt(absolute);
  const hint = "; loadTrainerCheckpoint and loadWeights take folders of Hugging Face's libraries";
  if (stats !== null) refuseOthers(absolute, stats, hint);
  const file = await open(absolute, 'r');
  const { size } = await file.stat();

  async function fill(offset: number, into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const { bytesRead } = await file.read(into, done, into.length - done, offset + done);
      if (bytesRead === 0) {
        throw new CheckpointError(
          `${shownPath(absolute)}: the file ends at byte ${offset + done}; it was cut while read`,
        );
      }
      done += bytesRead;
    }
  }

  return {
    size,
    async read(offset, into) {
      checkRange('fileSource.read', size, offset, into.length);
      if (into.length <= PIECE) return fill(offset, into);
      let next = 0;
      const lane = async (): Promise<void> => {
        while (next < into.length) {
          const from = next;
          next += PIECE;
          await fill(offset + from, into.subarray(from, from + PIECE));
        }
      };
      const ends = await Promise.allSettled(Array.from({ length: LANES }, lane));
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
    },
    close: () => file.close(),
    [Symbol.asyncDispose]: () => file.close(),
  };
}
