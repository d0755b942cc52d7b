/** `tensorless diff`: which tensors of two files differ, and how far. */
import { escaped, shortened } from '../formats/quote.ts';
import { type Contents, type Item, openContents, scalarsOf } from './contents.ts';
import { matcher } from './inspect.ts';
import { distanceOf, isReadable } from './numbers.ts';
import { count, named, numeral, Progress, plural, table } from './terminal.ts';

/** Lines of numbers beside the tensors that are shown at most. */
const MOST_NUMBERS = 20;

/** What the command prints, and whether the files are the same. */
export async function diff(a: string, b: string, filter?: string): Promise<{ text: string; same: boolean }> {
  const first = await named(a, () => openContents(a));
  try {
    const second = await named(b, () => openContents(b));
    try {
      return await compare(first, second, matcher(filter));
    } finally {
      await second.file.close();
    }
  } finally {
    await first.file.close();
  }
}

async function compare(
  a: Contents,
  b: Contents,
  matches: (name: string) => boolean,
): Promise<{ text: string; same: boolean }> {
  const [numbersOfA, numbersOfB] = [scalarsOf(a), scalarsOf(b)];
  const items = ({ items }: Contents): Map<string, Item> =>
    new Map(
      items.filter(({ name, place }) => matches(name) || matches(place)).map((item) => [item.place, item] as const),
    );
  const [left, right] = [items(a), items(b)];
  // A step that is a tensor in one file and a number in the other is compared as a number.
  for (const place of [...left.keys(), ...right.keys()])
    if (left.has(place) !== right.has(place) && numbersOfA.has(place) && numbersOfB.has(place)) {
      left.delete(place);
      right.delete(place);
    }
  const total = [...left.values(), ...right.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  const progress = new Progress('comparing', total);
  const rows: string[][] = [];
  let same = 0;
  for (const [name, item] of left) {
    const other = right.get(name);
    if (other === undefined) {
      rows.push([name, 'only in the first', '', '']);
      continue;
    }
    const [one, two] = [`[${item.shape.join(', ')}]`, `[${other.shape.join(', ')}]`];
    if (one !== two) {
      rows.push([name, `shape ${one} and ${two}`, '', '']);
      continue;
    }
    const formats = item.dtype === other.dtype ? '' : `${item.dtype} and ${other.dtype}`;
    if (formats !== '' && !(isReadable(item.dtype) && isReadable(other.dtype))) {
      rows.push([name, formats, '', '']);
      continue;
    }
    const { differing, largest } = await distanceOf(item, other, progress);
    if (differing === 0 && formats === '') same++;
    else rows.push([name, formats || 'values', count(differing), numeral(largest)]);
  }
  for (const name of right.keys()) if (!left.has(name)) rows.push([name, 'only in the second', '', '']);
  progress.end();
  const numbers = numbersThatDiffer(numbersOfA, numbersOfB, matches);
  const lines = [`${plural(same, 'tensor')} the same, ${count(rows.length)} different`];
  if (rows.length > 0) lines.push('', ...table(['tensor', 'difference', 'elements', 'largest'], rows, 2));
  if (numbers.length > 0) lines.push('', ...numbers.slice(0, MOST_NUMBERS));
  if (numbers.length > MOST_NUMBERS) lines.push(`  and ${count(numbers.length - MOST_NUMBERS)} more`);
  return { text: `${lines.join('\n')}\n`, same: rows.length === 0 && numbers.length === 0 };
}

/** Steps, learning rates and everything else beside the arrays. */
function numbersThatDiffer(
  left: ReadonlyMap<string, string>,
  right: ReadonlyMap<string, string>,
  matches: (name: string) => boolean,
): string[] {
  const lines: string[] = [];
  const shown = (value: string | undefined): string =>
    value === undefined ? 'not there' : escaped(shortened(value, 30));
  for (const key of new Set([...left.keys(), ...right.keys()])) {
    const [x, y] = [left.get(key), right.get(key)];
    if (x !== y && matches(key)) lines.push(`  ${escaped(shortened(key, 60))}: ${shown(x)} and ${shown(y)}`);
  }
  return lines;
}
