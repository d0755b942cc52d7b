/** Results as tables: for the terminal, and for the page. */
import type { Ratios } from './dead-moments.ts';
import { exponent, type Result, type Row, rowsOf, spread } from './measure.ts';
import type { Checkpoints, DeadMoments, Memory } from './results.ts';
import { MODELS, stateNumbers } from './t5.ts';

/** Three digits or so. */
export const short = (x: number): string =>
  x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x >= 0.1 ? x.toFixed(2) : x.toFixed(3);
const range = ([, least, most]: Row['cost']): string => `${short(least)}-${short(most)}`;

/** A table in Markdown; the first column is of names. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`.replace('|  |', '| |');
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** At most 80 columns. */
export function terminalTable(result: Result): string {
  const lines = rowsOf(result).map(
    ({ name, cost, speed }) =>
      `  ${name.slice(0, 42).padEnd(42)} ${short(cost[0]).padStart(6)} ns ${`${short(speed[0])}x`.padStart(7)}  ` +
      `(${range(speed)})`,
  );
  return [
    result.title,
    `  ns per element; times as fast as ${result.baseline}, round by round (min-max)`,
    ...lines,
  ].join('\n');
}

export function caseTable(result: Result): string {
  const head = ['', 'ns per element', 'min-max', `times as fast as ${result.baseline}`, 'min-max'];
  const rows = rowsOf(result).map(({ name, cost, speed }) => [
    name,
    short(cost[0]),
    range(cost),
    short(speed[0]),
    range(speed),
  ]);
  return `### ${result.title}\n\n${table(head, rows)}`;
}

/** The median cost of a contestant in a case; undefined where it took no part. */
export function costOf(result: Result | undefined, name: string): number | undefined {
  const turns = result?.turns[name];
  return turns === undefined ? undefined : spread(turns)[0];
}

/** Exponents of the time of a step over what `size` says of a case. */
export function exponents(cases: readonly Result[], size: (result: Result) => number): Map<string, number> {
  const points = new Map<string, [number, number][]>();
  for (const result of cases) {
    for (const { name, cost } of rowsOf(result)) {
      points.set(name, [...(points.get(name) ?? []), [size(result), cost[0] * result.elements]]);
    }
  }
  return new Map([...points].filter(([, of]) => of.length > 2).map(([name, of]) => [name, exponent(of)]));
}

export function growthTable(
  adafactor: readonly Result[],
  adamw: readonly Result[],
  parameters: readonly Result[],
): string {
  const rows = (['Adafactor', 'AdamW'] as const).flatMap((formula) => {
    const byElements = exponents(formula === 'Adafactor' ? adafactor : adamw, ({ elements }) => elements);
    const own = parameters.filter(({ title }) => title.startsWith(formula));
    const byParameters = exponents(own, (result) => result.parameters);
    const cell = (x: number | undefined): string => x?.toFixed(2) ?? '—';
    return [...new Set([...byElements.keys(), ...byParameters.keys()])].map((name) => [
      name.includes('Ada') ? name : `${formula}, ${name}`,
      cell(byElements.get(name)),
      cell(byParameters.get(name)),
    ]);
  });
  return table(['', 'elements', 'parameters'], rows);
}

/** Microseconds per parameter and step. */
export function parametersTable(cases: readonly Result[]): string {
  const names = [...new Set(cases.flatMap(({ turns }) => Object.keys(turns)))];
  const cell = (result: Result, name: string): string => {
    const cost = costOf(result, name);
    return cost === undefined ? '—' : short((cost * result.elements) / result.parameters / 1000);
  };
  return table(
    ['', ...cases.map(({ parameters }) => parameters.toLocaleString('en'))],
    names.map((name) => [name, ...cases.map((result) => cell(result, name))]),
  );
}

export function deadTable({ rows, steps }: DeadMoments): string {
  return table(
    ['', 'usual', `mean of ${steps.toLocaleString('en')} steps without gradient`, 'after them', 'gradients of 1e-20'],
    rows.map(({ name, usual, zeros, after, tiny }) => [name, short(usual), short(zeros), short(after), short(tiny)]),
  );
}

/** What every optimizer's cases have in common. */
export function deadSummary({ every }: DeadMoments): string {
  const range = (of: (row: Ratios) => number): string =>
    `${Math.min(...every.map(of)).toFixed(2)} to ${Math.max(...every.map(of)).toFixed(2)}`;
  return (
    `Over all ${every.length} pairs of an optimizer and a number format on an engine, a step after them takes ` +
    `${range(({ after }) => after)} times as long as a usual one, with gradients of 1e-20 ${range(({ tiny }) => tiny)} ` +
    `([each of them](#very-small-numbers-every-optimizer)).`
  );
}

export function everyDeadTable({ every, steps }: DeadMoments): string {
  return table(
    ['', `after ${steps.toLocaleString('en')} steps without gradient`, 'the most on the way', 'gradients of 1e-20'],
    every.map(({ name, after, most, tiny }) => [name, ...[after, most, tiny].map((x) => x.toFixed(2))]),
  );
}

function size(bytes: number): string {
  const mb = bytes / 1e6;
  return mb >= 1e3 ? `${(mb / 1e3).toFixed(1)} GB` : `${mb.toFixed(mb < 10 ? 2 : 1)} MB`;
}

export function memoryTable({ rows }: Memory): string {
  return table(
    ['', 'state', 'process, at the peak of a step'],
    rows.map(({ name, state, peak }) => [name, size(state), peak === null ? '—' : `+ ${size(peak)}`]),
  );
}

/** Computed from the models' shapes. */
export function stateTable(): string {
  const rows = Object.entries(MODELS).map(([name, config]) => {
    const { weights, adafactor, adamw } = stateNumbers(config);
    return [
      name,
      `${(weights / 1e6).toFixed(0)} M`,
      size(4 * adafactor),
      size(4 * adamw),
      (adamw / adafactor).toFixed(0),
    ];
  });
  return table(['', 'weights', 'Adafactor', 'AdamW', 'ratio'], rows);
}

export function checkpointsTable({ bytes, torchBytes, seconds }: Checkpoints): string {
  const best = (what: string): number => Math.min(...(seconds[what] ?? [Number.NaN]));
  const rows = (
    [
      ['loadTrainingState', 'Python: safetensors.numpy.load_file', bytes],
      ['loadTrainingState, inPlace', 'Python: safetensors.numpy.load_file', bytes],
      ['saveTrainingState, snapshot: false', 'plain write and fsync', bytes],
      ['saveTrainingState', 'plain write and fsync', bytes],
      ['loadTorch', 'Python: torch.load', torchBytes],
      ['decodeTorch, of bytes', 'Python: torch.load', torchBytes],
      ['encodeTorch', 'Python: torch.save into memory', torchBytes],
    ] as const
  ).map(([what, against, of]) => {
    const shown = (x: number): string => (Number.isNaN(x) ? '—' : x.toFixed(2));
    const speed = (name: string): string => shown(of / best(name) / 1e9);
    return [what, speed(what), against, speed(against), shown(best(against) / best(what))];
  });
  return table(['', 'GB/s', 'beside', 'GB/s', 'times as fast'], rows);
}
