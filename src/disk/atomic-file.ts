/**
 * Files that are replaced atomically and durably. A temporary file beside the old one is written,
 * flushed to the disk and renamed over it; then the folder is flushed.
 */
import { chmod, chown, type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ByteSink } from '../formats/pieces.ts';
import { ownOf, removeLeftovers, temporaryName } from './leftovers.ts';
import { refuseOthers, shownPath, statsAt, targetOf } from './paths.ts';

/** Saves under way, the last one of each path: the next waits for it. Empty when none is. */
const underWay = new Map<string, Promise<void>>();
/** Temporary files that are being written by this thread. */
const busy = new Set<string>();

/** Temporary files of this thread. @internal */
export function busyFiles(): ReadonlySet<string> {
  return busy;
}

/**
 * Flushes a folder's entries. Where the system does not let a folder be opened or flushed for that
 * (Windows), the rename has to do.
 */
export async function syncFolder(path: string): Promise<void> {
  let folder: FileHandle;
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

/** What a system call takes at once. */
const MOST_AT_ONCE = 2 ** 30;

/** A sink that writes on at a file's end. */
function sinkOf(file: FileHandle): ByteSink {
  let at = 0;
  return {
    async write(bytes) {
      for (let done = 0; done < bytes.length; ) {
        const length = Math.min(bytes.length - done, MOST_AT_ONCE);
        const { bytesWritten } = await file.write(bytes, done, length, at);
        done += bytesWritten;
        at += bytesWritten;
      }
    },
  };
}

/**
 * Gives a new file what the one that it replaces had: permissions always, the owner and group where
 * the process may give files away.
 */
async function keepRights(temporary: string, target: string): Promise<void> {
  const old = statsAt(target);
  if (old === null) return;
  refuseOthers(target, old);
  const now = await stat(temporary);
  if (now.uid !== old.uid || now.gid !== old.gid) {
    await chown(temporary, old.uid, old.gid)
      .catch(() => chown(temporary, now.uid, old.gid))
      .catch(() => {});
  }
  await chmod(temporary, old.mode & 0o7777);
}

/** The error of a file that could not be made; one without a folder says so. */
function missingFolder(folder: string, cause: NodeJS.ErrnoException): Error {
  if (cause.code !== 'ENOENT') return cause;
  const why = `ENOENT: the folder ${shownPath(folder)} does not exist; make it first, or mend the path`;
  return Object.assign(new Error(why, { cause }), { code: 'ENOENT' });
}

async function writeNew(target: string, produce: (sink: ByteSink) => Promise<void>): Promise<void> {
  const folder = dirname(target);
  const base = basename(target);
  await removeLeftovers(folder, ownOf(base), busy);
  // In the same folder, so on one file system: the rename is atomic.
  const temporary = join(folder, temporaryName(base));
  busy.add(temporary);
  try {
    // What replaces a private file is private from the start.
    const file = await open(temporary, 'wx', statsAt(target) === null ? 0o666 : 0o600).catch((cause) => {
      throw missingFolder(folder, cause);
    });
    try {
      await produce(sinkOf(file));
      await keepRights(temporary, target);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  } finally {
    busy.delete(temporary);
  }
  try {
    await syncFolder(folder);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw Object.assign(
      new Error(
        `${shownPath(target)}: the new file is in place, but its folder could not be flushed (${code}): ` +
          'a power cut may bring the old one back; save again',
        { cause },
      ),
      { code },
    );
  }
}

/**
 * Replaces the file at a path, or makes it; several calls for one path are done in their order. A
 * symbolic link stays, the file that it leads to is replaced.
 *
 * When it rejects, the old file is as it was; except when the folder's flush fails, which the error
 * says.
 *
 * @param path - Absolute.
 * @param produce - Writes the contents.
 */
export function replaceFile(path: string, produce: (sink: ByteSink) => Promise<void>): Promise<void> {
  const target = targetOf(path);
  return inTurn(target, () => writeNew(target, produce));
}

/** Does work at a path after what earlier calls do there, whether that succeeds or not. */
export function inTurn(path: string, work: () => Promise<void>): Promise<void> {
  const before = underWay.get(path) ?? Promise.resolve();
  const mine = before.catch(() => {}).then(work);
  underWay.set(path, mine);
  const end = (): void => {
    if (underWay.get(path) === mine) underWay.delete(path);
  };
  mine.then(end, end);
  return mine;
}

/** Replaces a file by these bytes. */
export function replaceBytes(path: string, bytes: Uint8Array): Promise<void> {
  return replaceFile(path, async (sink) => void (await sink.write(bytes)));
}
