/**
 * Training states on disk, atomically and durably; for Node, Deno and Bun.
 *
 * A save writes a temporary file in the same folder, flushes it to the disk, and renames it over the old one; then it flushes the folder. Whatever
 * happens in between (a kill, a full disk, a power cut), the path holds the old state or the new one, never a mix.
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { decodeTrainingState, encodeTrainingState, type TrainingParts } from './checkpoint.ts';
import { CheckpointError } from './formats/error.ts';

/** Flushes a folder's entries; where the system does not let a folder be opened for that (Windows), the rename has to do. */
async function syncFolder(path: string): Promise<void> {
  let folder: Awaited<ReturnType<typeof open>>;
  try {
    folder = await open(path, 'r');
  } catch {
    return;
  }
  try {
    await folder.sync();
  } catch (error) {
    if (!['EPERM', 'EINVAL', 'EISDIR', 'ENOTSUP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  } finally {
    await folder.close();
  }
}

/** Puts bytes at a path, atomically and durably; on any failure the old file is as it was. @internal */
export async function writeAtomically(path: string, bytes: Uint8Array): Promise<void> {
  const folder = dirname(path);
  // A name of its own, so that saves to one path at the same time do not meet; one file system, so that the rename is atomic.
  const temporary = join(folder, `.${basename(path)}.${randomUUID()}.tmp`);
  // A private model stays private: a new file gets the old one's permissions.
  const mode = await stat(path).then(
    (old) => old.mode & 0o777,
    () => 0o666,
  );
  const file = await open(temporary, 'wx', mode);
  try {
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(folder);
}

/**
 * Saves the parts of a run at a path. The state is taken at the call, so that training can go on while it is written.
 *
 * @throws The file system's error (such as ENOSPC, EACCES); the old file is as it was, and no other is left behind.
 * @throws TypeError or RangeError as `encodeTrainingState`.
 */
export async function saveTrainingState(path: string, parts: TrainingParts): Promise<void> {
  await writeAtomically(path, encodeTrainingState(parts));
}

/**
 * Restores the given parts from a path; all or nothing.
 *
 * @returns The extras that were saved.
 * @throws CheckpointError when the file does not fit, with the path; nothing has changed then. The file system's error (such as ENOENT) when it cannot be read.
 */
export async function loadTrainingState(path: string, parts: TrainingParts): Promise<unknown> {
  const bytes = await readFile(path);
  try {
    return decodeTrainingState(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), parts);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    throw new CheckpointError(`${path}: ${error.message}`, { cause: error });
  }
}
