/**
 * First equal weights, then time: contestants take turns within one run, because the machine's
 * speed drifts between runs.
 */
import { type Contestant, ours, type Running, type Shape } from './contestants.ts';

export interface Case {
  readonly title: string;
  readonly shapes: readonly Shape[];
  readonly contestants: readonly Contestant[];
  /** Name of the contestant that ratios are taken to; the first one where it is not there. */
  readonly baseline: string;
}

/** The raw turns of a case. */
export interface Result {
  readonly title: string;
  readonly elements: number;
  readonly parameters: number;
  readonly baseline: string;
  /** Nanoseconds per element and step, a number a turn; by contestant. */
  readonly turns: Readonly<Record<string, readonly number[]>>;
}

export interface Row {
  readonly name: string;
  /** Nanoseconds per element and step: median, least and most over the turns. */
  readonly cost: readonly [median: number, least: number, most: number];
  /** How many times as fast as the baseline, turn by turn. */
  readonly speed: readonly [median: number, least: number, most: number];
}

export function spread(samples: readonly number[]): [number, number, number] {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return [median, sorted[0]!, sorted.at(-1)!];
}

export function elementsOf(shapes: readonly Shape[]): number {
  return shapes.reduce((sum, [rows, cols]) => sum + rows * cols, 0);
}

const CHECK_SHAPES: readonly Shape[] = [[48, 80]];
const CHECK_STEPS = 3;

/**
 * Largest difference of a contestant's weights to the same formula in float64 after three steps,
 * relative to the largest weight.
 */
export async function difference(contestant: Contestant): Promise<number> {
  const { formula, decay, name } = contestant;
  if (formula !== 'adafactor' && formula !== 'adamw') throw new Error(`${name} has no weights to compare`);
  const exact = await ours('exact', formula, { dtype: 'float64', decay }).start(CHECK_SHAPES);
  const running = await contestant.start(CHECK_SHAPES);
  const expected = await exact.advance(CHECK_STEPS);
  const got = await running.advance(CHECK_STEPS);
  await running.close();
  const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return expected.reduce((most, x, k) => Math.max(most, Math.abs(x - got[k]!)), 0) / largest;
}

export async function race(
  { title, shapes, contestants, baseline }: Case,
  rounds: number,
  milliseconds: number,
  progress: (text: string) => void,
): Promise<Result> {
  const elements = elementsOf(shapes);
  const able = contestants.filter(
    ({ most = Number.POSITIVE_INFINITY, mostParameters = most }) => elements <= most && shapes.length <= mostParameters,
  );
  const running: Running[] = [];
  for (const contestant of able) {
    progress(`${title}: starting ${contestant.name}`);
    running.push(await contestant.start(shapes));
  }
  const costs: number[][] = able.map(() => []);
  // One round more than is counted: the first warms every contestant up.
  for (let round = 0; round <= rounds; round++) {
    for (const [i, contestant] of able.entries()) {
      progress(`${title}: ${round === 0 ? 'warm-up' : `round ${round} of ${rounds}`}, ${contestant.name}`);
      const nanoseconds = await running[i]!.measure(milliseconds);
      if (round > 0) costs[i]!.push(nanoseconds / elements);
    }
  }
  for (const one of running) await one.close();
  const turns = Object.fromEntries(able.map(({ name }, i) => [name, costs[i]!.map(digits)]));
  const base = able.find(({ name }) => name === baseline) ?? able[0]!;
  return { title, elements, parameters: shapes.length, baseline: base.name, turns };
}

/** Four digits: more is noise. */
export function digits(x: number): number {
  return Number(x.toPrecision(4));
}

/** The rows of a case's table. */
export function rowsOf({ baseline, turns }: Result): Row[] {
  const base = turns[baseline]!;
  return Object.entries(turns).map(([name, costs]) => ({
    name,
    cost: spread(costs),
    speed: spread(costs.map((cost, turn) => base[turn]! / cost)),
  }));
}

/** Slope of log time over log elements: 1 is linear growth. */
export function exponent(points: readonly (readonly [elements: number, nanoseconds: number])[]): number {
  const xs = points.map(([elements]) => Math.log(elements));
  const ys = points.map(([, time]) => Math.log(time));
  const mean = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0) / numbers.length;
  const [mx, my] = [mean(xs), mean(ys)];
  return xs.reduce((sum, x, i) => sum + (x - mx) * (ys[i]! - my), 0) / xs.reduce((sum, x) => sum + (x - mx) ** 2, 0);
}
