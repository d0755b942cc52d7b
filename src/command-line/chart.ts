/** A curve drawn with the dots of braille characters, two columns and four rows to a character. */
import { numeral } from './terminal.ts';

/** The size of a picture, in characters, and whether it may have colour. */
export interface Room {
  readonly columns: number;
  readonly rows: number;
  readonly colour: boolean;
}

/** The dots of a braille character from left to right, each column from the top. */
const DOTS = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;

const CYAN = '\u001b[36m';
const DIM = '\u001b[2m';
const PLAIN = '\u001b[0m';

/** Lowest and highest value of the steps that a column of dots stands for. */
function spans(values: Float64Array, columns: number): [low: number, high: number][] {
  const last = values.length - 1;
  const at = (column: number): number => Math.min(last, Math.floor((column * (last + 1)) / columns));
  return Array.from({ length: columns }, (_, column) => {
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    // Where a step begins, with the one before: a line has no gaps.
    const from = at(column) > at(column - 1) ? at(column) - 1 : at(column);
    for (let i = Math.max(0, from); i <= Math.max(at(column), at(column + 1) - 1); i++) {
      low = Math.min(low, values[i]!);
      high = Math.max(high, values[i]!);
    }
    return [low, high];
  });
}

/** Marks below the picture: as many of 0, 1/4, 1/2, 3/4 and the end as there is room for. */
function marks(last: number, width: number): string {
  for (const parts of [4, 2, 1].filter((parts) => parts <= Math.max(1, last))) {
    const line = Array.from({ length: width + 1 }, () => ' ');
    let end = -1;
    let fits = true;
    for (let i = 0; i <= parts; i++) {
      const text = String(Math.round((last * i) / parts));
      const at = Math.min(width - text.length, Math.max(0, Math.round((width * i) / parts - text.length / 2)));
      fits &&= at > end + 1 || i === 0;
      end = at + text.length;
      line.splice(at, text.length, ...text);
    }
    if (fits || parts === 1) return line.join('').trimEnd();
  }
  return '';
}

/** Lines that show values of the steps 0, 1, 2, ... from 0 up to the largest. */
export function chart(values: Float64Array, { columns, rows, colour }: Room): string[] {
  const top = values.reduce((a, b) => Math.max(a, b), 0) || 1;
  const labels = [numeral(top), numeral(top / 2), '0'];
  const margin = Math.max(...labels.map((text) => text.length)) + 3;
  const width = Math.max(8, Math.min(columns - margin - 3, values.length > 1 ? 160 : 8));
  const cells = Array.from({ length: rows }, () => new Uint8Array(width));
  const row = (value: number): number => Math.round((1 - value / top) * (4 * rows - 1));
  for (const [column, [low, high]] of spans(values, 2 * width).entries()) {
    for (let y = row(high); y <= row(low); y++) cells[y >> 2]![column >> 1]! |= DOTS[column % 2]![y % 4]!;
  }
  const paint = (text: string, code: string): string => (colour && text !== '' ? `${code}${text}${PLAIN}` : text);
  const named = new Map([
    [0, labels[0]!],
    [rows >> 1, labels[1]!],
    [rows - 1, labels[2]!],
  ]);
  const lines = cells.map((cell, i) => {
    const label = named.get(i);
    const axis = `${(label ?? '').padStart(margin - 1)} ${label === undefined ? '│' : '┤'}`;
    const drawn = String.fromCharCode(...Array.from(cell, (dots) => (dots === 0 ? 0x20 : 0x2800 + dots))).trimEnd();
    return paint(axis, DIM) + paint(drawn, CYAN);
  });
  return [...lines, paint(`${' '.repeat(margin + 1)}${marks(values.length - 1, width)}`, DIM)];
}
