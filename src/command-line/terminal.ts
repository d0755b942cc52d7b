/** What goes to the terminal: escaped, in columns, quiet when nobody reads it any more. */
import process from 'node:process';
import { CheckpointError } from '../formats/error.ts';
import { escaped } from '../formats/quote.ts';

/** What a person is told in one sentence. */
export class UsageError extends Error {}

/** Ends quietly when the reader of a pipe has gone (`tensorless inspect FILE | head`). */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

/** The room for a picture: of the terminal, or of 80 columns where there is none. */
export function room(): { columns: number; rows: number; colour: boolean } {
  const { stdout } = process;
  const terminal = stdout.isTTY === true && stdout.columns > 0;
  const { columns, rows } = terminal ? stdout : { columns: 80, rows: 30 };
  return {
    columns,
    rows: Math.max(5, Math.min(15, Math.round(columns / 7), rows - 12)),
    colour: terminal && stdout.hasColors(),
  };
}

/** A number with separators. */
export const count = (n: number): string => n.toLocaleString('en');

/** `1 tensor`, `2 tensors`. */
export const plural = (n: number, one: string): string => `${count(n)} ${one}${n === 1 ? '' : 's'}`;

/** A number as a person wants it: of so many digits, exact where it is an integer. */
export function numeral(x: number, digits = 6): string {
  return Number.isInteger(x) && Math.abs(x) < 1e7 ? String(x) : String(Number(x.toPrecision(digits)));
}

/** At most so many characters, the last ones: names differ at their ends. */
function endOf(name: string, most: number): string {
  if (name.length <= most) return name;
  const from = name.length - most + 3;
  return `...${name.slice(/[\udc00-\udfff]/.test(name[from]!) ? from + 1 : from)}`;
}

/** Lines in columns: the first and those of `left` to the left, the others to the right. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[], left: number): string[] {
  const names = rows.map((row) => escaped(row[0]!));
  const widths = titles.map((title, column) => {
    let width = title.length;
    for (const [i, row] of rows.entries()) width = Math.max(width, (column === 0 ? names[i]! : row[column]!).length);
    return width;
  });
  // A terminal has an edge; a pipe has not, and gets whole names.
  if (process.stdout.isTTY === true) {
    const others = widths.slice(1).reduce((sum, width) => sum + width + 2, 2);
    widths[0] = Math.min(widths[0]!, Math.max(12, (process.stdout.columns ?? 80) - others - 1));
  }
  const padded = (cell: string, i: number): string => (i < left ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!));
  const line = (cells: readonly string[]): string => `  ${cells.map(padded).join('  ')}`.trimEnd();
  const first = (name: string): string => endOf(name, widths[0]!);
  return [line(titles), ...rows.map((row, i) => line([first(names[i]!), ...row.slice(1)]))];
}

/** A line on the error stream that says how far long work is; nothing where that is no terminal. */
export class Progress {
  readonly #what: string;
  readonly #total: number;
  #done = 0;
  #shown = 0;

  constructor(what: string, total: number) {
    this.#what = what;
    this.#total = total;
  }

  add(bytes: number): void {
    this.#done += bytes;
    const now = Date.now();
    if (process.stderr.isTTY !== true || now - this.#shown < 200) return;
    this.#shown = now;
    process.stderr.write(`\r${this.#what} ${Math.floor((100 * this.#done) / Math.max(1, this.#total))} %`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#shown > 0) process.stderr.write('\r\u001b[K');
  }
}

/** Puts the file's name before what is wrong with it. */
export async function named<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = { ENOENT: 'there is no such file', EISDIR: 'it is a folder', EACCES: 'it may not be read' }[code ?? ''];
    if (why !== undefined) throw new UsageError(`${escaped(path)}: ${why}`);
    if (code !== undefined) throw new UsageError(message.includes(path) ? message : `${escaped(path)}: ${message}`);
    if (!(error instanceof CheckpointError)) throw error;
    throw new UsageError(`${escaped(path)}: ${message}`);
  }
}
