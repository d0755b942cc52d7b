/** A whole run in one file on disk. */
import { replaceFile } from '../disk/atomic-file.ts';
import { fileSource } from '../disk/file-source.ts';
import { pathOf, shownPath } from '../disk/paths.ts';
import { CheckpointError } from '../formats/error.ts';
import { writePieces } from '../formats/pieces.ts';
import { checkedParts, type TrainingParts } from './training-parts.ts';
import { layOutRun } from './training-state.ts';
import { flag, type ReadOptions, readRun, type WriteOptions } from './training-stream.ts';

/**
 * Saves the parts of a run at a path, piece by piece: the state of the call, also when several
 * saves to one path are under way, which are done in the order of the calls.
 *
 * A symbolic link stays and the file that it leads to is replaced; permissions and, where the
 * process may give files away, the owner are kept. What killed saves to this path have left is
 * removed.
 *
 * @param path - A path, seen from the folder that the process is in at the call, or a file: URL.
 * @throws (rejects) The file system's error (such as ENOSPC, EACCES): the old file is as it was,
 * and no other is left behind. One exception: when the folder cannot be flushed at the very end,
 * the new file is in place, and the error says so; a power cut may then bring the old one back.
 * @throws (rejects) TypeError or RangeError as `encodeTrainingState`; Error with code EISDIR or
 * EINVAL for a folder, FIFO or device.
 */
export async function saveTrainingState(
  path: string | URL,
  parts: TrainingParts,
  options: WriteOptions = {},
): Promise<void> {
  const absolute = pathOf('saveTrainingState', path);
  const copied = flag('saveTrainingState', options, 'snapshot', true);
  const layout = layOutRun('saveTrainingState', parts, copied);
  await replaceFile(absolute, (sink) => writePieces(layout, sink));
}

/**
 * Restores the given parts from a path; all or nothing, unless `inPlace` is true.
 *
 * @returns The extras that were saved.
 * @throws (rejects) CheckpointError when the file does not fit, with the path; nothing has changed
 * then. The file system's error (such as ENOENT) when it cannot be read; with `inPlace`, an error
 * that comes half-way says that the run is torn.
 */
export async function loadTrainingState<Extra = unknown>(
  path: string | URL,
  parts: TrainingParts,
  options: ReadOptions = {},
): Promise<Extra> {
  const absolute = pathOf('loadTrainingState', path);
  const inPlace = flag('loadTrainingState', options, 'inPlace', false);
  const checked = checkedParts('loadTrainingState', parts);
  const source = await fileSource(absolute);
  try {
    return (await readRun(source, checked, inPlace)) as Extra;
  } catch (error) {
    throw named(absolute, error);
  } finally {
    await source.close();
  }
}

/** The error with the path before it, where a format found the fault. */
export function named(path: string, error: unknown): unknown {
  if (!(error instanceof CheckpointError) || error.message.startsWith(shownPath(path))) return error;
  return new CheckpointError(`${shownPath(path)}: ${error.message}`, { cause: error });
}
