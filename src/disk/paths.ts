/** Paths as people give them: strings and file: URLs, through symbolic links to the file itself. */
import { lstatSync, readlinkSync, realpathSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brief, escaped, shortened } from '../formats/quote.ts';

/** Links that are followed one after another; more are a circle. */
const MOST_LINKS = 40;

/**
 * The absolute path: a later `process.chdir` does not change it.
 *
 * @throws TypeError when it is no string and no file: URL.
 */
export function pathOf(where: string, path: string | URL): string {
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return resolve(path);
  if (Object.prototype.toString.call(path) === '[object URL]' && (path as URL).protocol === 'file:') {
    return fileURLToPath(path);
  }
  throw new TypeError(`${where}: the path must be a non-empty string or a file: URL, got ${brief(path)}`);
}

/** A path in a message: its end, where it is long. */
export function shownPath(path: string): string {
  return escaped(path.length <= 100 ? path : `...${path.slice(-97)}`);
}

/** What lies at a path, links followed; null when there is nothing. */
export function statsAt(path: string): Stats | null {
  return statSync(path, { throwIfNoEntry: false }) ?? null;
}

/**
 * Refuses what is no ordinary file, before it is opened: to open a FIFO would wait for its other
 * end. `hint`: what else can be done with a folder.
 */
export function refuseOthers(path: string, stats: Stats, hint = ''): void {
  if (stats.isFile()) return;
  const folder = stats.isDirectory();
  const kind = folder ? 'a folder' : stats.isFIFO() ? 'a FIFO' : 'a device or socket';
  const code = folder ? 'EISDIR' : 'EINVAL';
  throw Object.assign(
    new Error(`${code}: ${shownPath(path)} is ${kind}; give the path of a file${folder ? hint : ''}`),
    { code },
  );
}

/**
 * The file that a save to a path replaces: at the end of symbolic links, also where that file does
 * not exist yet.
 *
 * @throws Error with a code when something else than a file is there.
 */
export function targetOf(path: string): string {
  const target = throughLinks(path);
  const stats = statsAt(target);
  if (stats !== null) refuseOthers(path, stats);
  return target;
}

/** What is at the end of symbolic links, also where nothing is there yet. */
export function throughLinks(path: string): string {
  let target = path;
  for (let links = 0; lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink() === true; links++) {
    if (links === MOST_LINKS) {
      throw Object.assign(new Error(`ELOOP: ${shownPath(path)} is a circle of symbolic links`), { code: 'ELOOP' });
    }
    // Where folders are links too, a link's `..` leads up from the folder that it really lies in.
    target = resolve(realFolder(target), readlinkSync(target));
  }
  return join(realFolder(target), basename(target));
}

/** The folder of a file, without links; that it is missing is said where the file is made. */
function realFolder(path: string): string {
  const folder = dirname(path);
  try {
    return realpathSync(folder);
  } catch {
    return folder;
  }
}

/** An error of the file system or a format, with the path before it where it is not in it. */
export function at(path: string, message: string): string {
  return `${shownPath(path)}: ${shortened(message, 300)}`;
}
