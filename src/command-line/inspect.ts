/** `tensorless inspect`: what is in a file. */
import type { StateValue } from '../core/dtype.ts';
import { brackets, escaped, quoted, shortened } from '../formats/quote.ts';
import { type Contents, type Dict, type Item, isDict, openContents, single } from './contents.ts';
import { type Stats, statsOf } from './numbers.ts';
import { count, named, numeral, Progress, plural, table } from './terminal.ts';

/** Options of the command. */
export interface InspectOptions {
  readonly json: boolean;
  readonly stats: boolean;
  /** Only tensors whose names have this text; `*` stands for any text. */
  readonly filter?: string | undefined;
}

/** Whether a name is asked for. */
export function matcher(filter: string | undefined): (name: string) => boolean {
  if (filter === undefined) return () => true;
  const parts = filter.split('*');
  return (name) => {
    let from = 0;
    return parts.every((part) => {
      const at = name.indexOf(part, from);
      from = at + part.length;
      return at >= 0;
    });
  };
}

/** The options of every group; numbers also where PyTorch has tensors. */
function groupsOf({ optimizer }: Contents): { parameters: number; options: Dict }[] {
  const groups = optimizer?.param_groups;
  if (!Array.isArray(groups)) return [];
  return groups.filter(isDict).map(({ params, param_names: _, ...options }) => {
    const shown = Object.entries(options).map(([key, value]): [string, StateValue] => [key, single(value) ?? value]);
    return { parameters: Array.isArray(params) ? params.length : 0, options: Object.fromEntries(shown) };
  });
}

function summary(contents: Contents): { step: number | null; learningRates: (number | null)[] | null } {
  const { optimizer, scheduler } = contents;
  const state = optimizer?.state;
  const entries = isDict(state) ? Object.values(state).filter(isDict) : [];
  const steps = entries.flatMap((entry) => single(entry.step) ?? []);
  const lastLr = scheduler?._last_lr;
  const rates = optimizer
    ? groupsOf(contents).map(({ options }) => single(options.lr))
    : Array.isArray(lastLr)
      ? lastLr.map(single)
      : null;
  return {
    step: steps.length > 0 ? steps.reduce((a, b) => Math.max(a, b)) : single(scheduler?.last_epoch),
    learningRates: rates,
  };
}

function optionText(value: StateValue): string {
  if (value === null) return 'none';
  if (Array.isArray(value)) return brackets(value);
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' ? quoted(value) : typeof value === 'boolean' ? String(value) : 'an object';
}

/** Lines of at most 80 columns where words allow it. */
function wrapped(words: readonly string[]): string[] {
  const lines: string[] = [];
  let line = ' ';
  for (const [i, text] of words.entries()) {
    const word = i < words.length - 1 ? `${text},` : text;
    if (line.length + 1 + word.length > 80 && line.trim() !== '') {
      lines.push(line);
      line = '     ';
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

/** A name and what it is, in two lines where one of 80 columns has no room. */
function headline(name: string, what: string): string[] {
  return name.length + what.length + 2 > 80 ? [`${name}:`, `  ${what}`] : [`${name}: ${what}`];
}

/** What the command prints. */
export async function inspect(path: string, options: InspectOptions): Promise<string> {
  return named(path, async () => {
    const contents = await openContents(path);
    try {
      const matches = matcher(options.filter);
      const items = contents.items.filter(({ name }) => matches(name));
      const stats = options.stats ? await allStats(items) : null;
      return options.json ? asJson(path, contents, items, stats) : asText(path, contents, items, stats);
    } finally {
      await contents.file.close();
    }
  });
}

async function allStats(items: readonly Item[]): Promise<(Stats | null)[]> {
  const progress = new Progress(
    'reading',
    items.reduce((sum, { bytes }) => sum + bytes, 0),
  );
  const all: (Stats | null)[] = [];
  for (const item of items) all.push(await statsOf(item, progress));
  progress.end();
  return all;
}

function asJson(path: string, contents: Contents, items: readonly Item[], stats: (Stats | null)[] | null): string {
  const { format, what, metadata, size } = contents;
  const tensors = items.map(({ name, dtype, shape, bytes }, i) => {
    return { name, dtype, shape, bytes, ...(stats && { stats: stats[i] }) };
  });
  const groups = groupsOf(contents);
  const whole = { file: path, format, what, bytes: size, ...summary(contents), groups, metadata, tensors };
  const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);
  return `${JSON.stringify(whole, plain, 2)}\n`;
}

function asText(path: string, contents: Contents, items: readonly Item[], stats: (Stats | null)[] | null): string {
  const { step, learningRates } = summary(contents);
  const bytes = items.reduce((sum, item) => sum + item.bytes, 0);
  const left = contents.items.length - items.length;
  const others = left > 0 ? ` (${count(left)} others not shown)` : '';
  const lines = [
    ...headline(escaped(path), `${contents.format}, ${contents.what}`),
    `  ${count(contents.size)} bytes, ${plural(items.length, 'tensor')} with ${count(bytes)} bytes${others}`,
  ];
  if (step !== null) lines.push(`  step ${step}`);
  // Those of an optimizer are among its groups' options.
  if (learningRates !== null && contents.optimizer === undefined) {
    const shown = learningRates.slice(0, 8).map((lr) => lr ?? 'computed by the optimizer');
    lines.push(`  learning rate ${shown.join(', ')}${learningRates.length > 8 ? ', ...' : ''}`);
  }
  for (const [i, { parameters, options }] of groupsOf(contents).entries()) {
    const shown = Object.entries(options).map(([key, value]) => {
      const text = key === 'lr' && value === null ? 'computed by the optimizer' : optionText(value);
      return `${escaped(shortened(key, 40))} ${text}`;
    });
    lines.push(...wrapped([`group ${i}: ${plural(parameters, 'parameter')}`, ...shown]));
  }
  for (const [key, value] of Object.entries(contents.metadata))
    lines.push(`  ${escaped(shortened(key, 60))}: ${escaped(shortened(value, 60))}`);
  if (items.length > 0) {
    const titles = ['tensor', 'dtype', 'shape', ...(stats ? ['nan', 'min', 'max', 'norm'] : ['bytes'])];
    const rows = items.map((item, i) => {
      const cells = [item.name, item.dtype, `[${item.shape.join(', ')}]`];
      return [...cells, ...(stats === null ? [count(item.bytes)] : statCells(stats[i]!))];
    });
    lines.push('', ...table(titles, rows, 3));
  }
  return `${lines.join('\n')}\n`;
}

function statCells(stats: Stats | null): string[] {
  if (stats === null) return ['-', '-', '-', '-'];
  const { nan, infinite, min, max, norm } = stats;
  const number = (x: number | null): string => (x === null ? '-' : numeral(x, 4));
  const bad = infinite > 0 ? `${count(nan)} +${count(infinite)} inf` : count(nan);
  return [bad, number(min), number(max), number(norm)];
}
