/**
 * Temporary files: names that tell whose they are, and the removal of those whose writer was
 * killed.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { threadId } from 'node:worker_threads';

/**
 * Characters of a file's own name in a temporary one; what no file system allows would be more than
 * 255 bytes.
 */
const MOST_BYTES = 120;
/**
 * A writer that cannot be asked (of another machine, another thread) is taken for dead after so
 * long without a write.
 */
const STALE = 3600_000;

const FORM = /^\.(.*)\.([0-9a-f]{8})\.([0-9a-f]{6})-(\d+)-(\d+)-[0-9a-f]{12}\.tmp$/s;
/** As version 0.1.0 named them. */
const FIRST_FORM = /^\.(.*)\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/s;

const digest = (text: string, length: number): string =>
  createHash('sha256').update(text).digest('hex').slice(0, length);

/** The start of a name, cut between characters. */
function headOf(base: string): string {
  let bytes = 0;
  let head = '';
  for (const char of base) {
    bytes += Buffer.byteLength(char);
    if (bytes > MOST_BYTES) break;
    head += char;
  }
  return head;
}

/** A temporary name for a file, beside it. */
export function temporaryName(base: string): string {
  const owner = `${digest(hostname(), 6)}-${process.pid}-${threadId}-${randomBytes(6).toString('hex')}`;
  return `.${headOf(base)}.${digest(base, 8)}.${owner}.tmp`;
}

/** Whether a process of this machine runs; true where that cannot be told. */
function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Whether the writer of a temporary file that this thread is not writing may still be at it. */
function mayLive(host: string, pid: number, thread: number): boolean {
  if (host !== digest(hostname(), 6)) return true;
  // This very thread's number, but not its file: an earlier process had the number.
  return pid === process.pid ? thread !== threadId : runs(pid);
}

/**
 * Removes what killed saves have left in a folder.
 *
 * @param own - Whether a temporary file of this name's beginning is of a file in question.
 * @param busy - Temporary files that are being written now, by path.
 */
export async function removeLeftovers(
  folder: string,
  own: (base: string) => boolean,
  busy: ReadonlySet<string>,
): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    if (!name.startsWith('.') || !name.endsWith('.tmp')) continue;
    const path = join(folder, name);
    if (busy.has(path)) continue;
    const [, head, hash, host, pid, thread] = FORM.exec(name) ?? [];
    const first = head === undefined ? FIRST_FORM.exec(name)?.[1] : undefined;
    if (first === undefined && (head === undefined || !own(`${head}.${hash}`))) continue;
    if (first !== undefined && !own(`${first}.${digest(first, 8)}`)) continue;
    if (first !== undefined || mayLive(host!, Number(pid), Number(thread))) {
      const age = await stat(path).then(
        (stats) => Date.now() - stats.mtimeMs,
        () => 0,
      );
      if (age < STALE) continue;
    }
    await rm(path, { force: true, recursive: true }).catch(() => {});
  }
}

/** What {@link removeLeftovers} is asked about for one file. */
export function ownOf(base: string): (head: string) => boolean {
  const whole = `${headOf(base)}.${digest(base, 8)}`;
  return (head) => head === whole;
}

/** The same for every file whose short name has a form. */
export function ownOfForm(form: RegExp): (head: string) => boolean {
  return (head) => {
    const base = head.slice(0, -9);
    return form.test(base) && head === `${base}.${digest(base, 8)}`;
  };
}
