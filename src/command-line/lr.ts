/** `tensorless lr`: the learning rates of a schedule, drawn in the terminal. */
import { readFile } from 'node:fs/promises';
import { number, oneOf } from '../core/check.ts';
import { Parameter } from '../core/parameter.ts';
import { Adafactor } from '../optimizers/adafactor.ts';
import { AdamW } from '../optimizers/adamw.ts';
import { getScheduler, type SchedulerName, SchedulerType } from '../schedules/by-name.ts';
import type { CurveOption } from '../schedules/curve.ts';
import type { ScheduleKind } from '../schedules/curve-schedule.ts';
import * as decays from '../schedules/decays.ts';
import * as classes from '../schedules/names.ts';
import type { LRScheduler } from '../schedules/scheduler.ts';
import { chart, type Room } from './chart.ts';
import { count, named, numeral, UsageError } from './terminal.ts';

type Curves = Readonly<Record<string, ScheduleKind['curve']>>;
type Given = Map<string, string | true>;

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const flagOf = (key: string): string => {
  const short = Object.entries(SHORT).find(([, long]) => long === key)?.[0];
  return `--${short ?? snake(key).replaceAll('_', '-')}`;
};

/** PyTorch's curves under names like those of transformers. */
const CURVES: Curves = Object.fromEntries(
  Object.entries(decays).map(([name, kind]) => [snake(name), kind as ScheduleKind['curve']]),
);
/** Schedules that follow a metric. */
const METRIC: readonly string[] = ['reduce_lr_on_plateau', 'greedy'];

/** Every name that can be drawn. */
export const NAMES: readonly string[] = [...Object.values(SchedulerType), ...Object.keys(CURVES).sort(), 'adafactor'];

/** What is long in code and often typed. */
const SHORT: Readonly<Record<string, string>> = {
  warmup: 'numWarmupSteps',
  steps: 'numTrainingSteps',
  stable: 'numStableSteps',
  decay: 'numDecaySteps',
  cycles: 'numCycles',
};
/** Options that are as long as the picture where they are not given. */
const WHOLE = ['numTrainingSteps', 'totalSteps', 'tMax'];
const MOST = 10_000_000;

/** `--numCycles 2`, `--num-cycles=2`, `--three-phase`: by the option's name in code. */
function parse(args: readonly string[]): { name: string | undefined; given: Given } {
  const given: Given = new Map();
  const names: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (!arg.startsWith('--')) {
      names.push(arg);
      continue;
    }
    const [flag, inline] = arg.slice(2).split(/=(.*)/s) as [string, string?];
    const key = flag.replace(/[-_]+(\w)/g, (_, letter: string) => letter.toUpperCase());
    const next = args[i + 1];
    // A negative number is a value too.
    const value = inline ?? (next === undefined || /^--/.test(next) || key === 'json' ? true : args[++i]!);
    given.set(SHORT[key] ?? key, value);
  }
  if (names.length > 1) throw new UsageError(`tensorless lr takes one schedule, got ${names.join(', ')}`);
  return { name: names[0], given };
}

/** A value of the command line as a value of an option. */
function readValue(text: string | true): unknown {
  if (text === true || text === 'true') return true;
  if (text === 'false') return false;
  if (text === 'null' || text === 'none') return null;
  if (text.includes(',')) return text.split(',').map(readValue);
  const x = Number(text);
  return text.trim() === '' || Number.isNaN(x) ? text : x;
}

/** A number of the command line, taken out of what was given. */
function take(given: Given, key: string, fallback: number, check: (label: string, value: unknown) => number): number {
  const text = given.get(key);
  given.delete(key);
  return text === undefined ? fallback : check(flagOf(key), readValue(text));
}

/** The options of a curve: those given, checked, and what stands for the others. */
function optionsOf(name: string, { options }: ScheduleKind['curve'], given: Given, steps: number): object {
  for (const key of given.keys()) {
    if (Object.hasOwn(options, key)) continue;
    const known = Object.keys(options).map(flagOf);
    throw new UsageError(
      `${name} has no option ${flagOf(key)}; it has ${[...new Set([...known, '--steps', '--lr'])].join(', ')}`,
    );
  }
  const stable = given.has('numStableSteps');
  const entries = Object.entries(options).map(([key, [check, ...fallback]]: [string, CurveOption<unknown>]) => {
    const flag = flagOf(key);
    const text = given.get(key);
    if (text !== undefined) {
      const value = readValue(text);
      return [key, check(flag, key === 'milestones' && typeof value === 'number' ? [value] : value)];
    }
    if (WHOLE.includes(key) && !(stable && key === 'numTrainingSteps')) return [key, steps];
    if (key === 'numWarmupSteps') return [key, 0];
    if (fallback.length === 0) throw new UsageError(`${name} needs ${flag}, such as ${flag} ${example(key, steps)}`);
    return [key, fallback[0]];
  });
  return Object.fromEntries(entries);
}

function example(key: string, steps: number): string {
  if (key === 'milestones') return `${Math.round(0.5 * steps)},${Math.round(0.8 * steps)}`;
  return key === 'gamma' ? '0.99' : /rate/i.test(key) ? '0.1' : String(Math.max(1, Math.round(steps / 10)));
}

/** The numbers of a list, or of a file. */
async function metricOf(name: string, text: string | true | undefined): Promise<number[]> {
  if (typeof text !== 'string')
    throw new UsageError(`${name} follows a metric: give --metric 3.1,2.7,2.7, or a file with a number per step`);
  const words = /^[\d.,eE+-]+$/.test(text) ? text : await named(text, () => readFile(text, 'utf8'));
  const all = words.split(/[\s,]+/).filter((word) => word !== '');
  return all.map((word, i) => number(`--metric: number ${i + 1}`, Number(word)));
}

/** The learning rates of steps 0, 1, 2, ... */
async function ratesOf(name: string, given: Given, lr: number): Promise<Float64Array> {
  const metric = METRIC.includes(name) ? await metricOf(name, given.get('metric')) : undefined;
  given.delete('metric');
  const longest = ['totalSteps', 'tMax'].map((key) => given.get(key)).find((text) => text !== undefined);
  const atMost = (label: string, value: unknown): number => number(label, value, { min: 1, max: MOST });
  const fallback = longest === undefined ? 1000 : atMost('--steps', readValue(longest));
  const steps = metric?.length ?? take(given, 'numTrainingSteps', fallback, atMost);
  const rates = new Float64Array(steps + 1);
  const parameters = [new Parameter(new Float32Array(1))];
  const optimizer = new AdamW(parameters, { lr });
  const curve =
    CURVES[name] ??
    // biome-ignore lint/performance/noDynamicNamespaceImportAccess: the name says which one
    (classes[name as SchedulerName] as { kind?: ScheduleKind } | undefined)?.kind?.curve;
  if (curve !== undefined) {
    const factor = curve.of(optionsOf(name, curve, given, steps) as never, name, optimizer);
    return rates.map((_, step) => lr * factor(step));
  }
  const rest = Object.fromEntries([...given].map(([key, text]) => [key, readValue(text)]));
  if (name === 'adafactor') {
    // Its own step sizes, without the weights' root mean square.
    const own = new Adafactor(parameters, { ...rest, scaleParameter: false });
    for (let step = 0; step <= steps; step++) {
      parameters[0]!.grad = new Float32Array(1);
      own.step();
      rates[step] = own.effectiveLr(parameters[0]!)!;
    }
    return rates;
  }
  const scheduler: LRScheduler = getScheduler<SchedulerName>(name as SchedulerName, optimizer, {
    schedulerSpecificKwargs: rest,
  });
  for (let step = 0; step <= steps; step++) {
    rates[step] = scheduler.getLastLr()[0]!;
    if (step < steps) scheduler.step(metric![step]!);
  }
  return rates;
}

/** The steps at which something turns, in their order, and what each is. */
function turnsOf(rates: Float64Array): [step: number, what: string][] {
  const last = rates.length - 1;
  let top = 0;
  for (let step = 1; step <= last; step++) if (rates[step]! > rates[top]!) top = step;
  let bottom = top;
  for (let step = top; step <= last; step++) if (rates[step]! < rates[bottom]!) bottom = step;
  const turns = new Map<number, string[]>();
  const add = (step: number, what: string): void => void turns.set(step, [...(turns.get(step) ?? []), what]);
  add(0, 'first');
  if (bottom > top || top > 0) add(top, 'highest');
  if (bottom > top) add(bottom, top > 0 ? 'lowest since' : 'lowest');
  if (last > 1) add(last - 1, 'last step');
  add(last, 'after the last');
  return [...turns].sort(([a], [b]) => a - b).map(([step, what]) => [step, what.join(', ')]);
}

/** What the command prints. */
export async function lr(args: readonly string[], room: Room): Promise<string> {
  const { name, given } = parse(args);
  if (name === undefined) throw new UsageError(`tensorless lr: name a schedule: ${NAMES.join(', ')}`);
  const json = given.delete('json');
  const settings = [...given].map(([key, text]) => `${flagOf(key).slice(2)} ${text === true ? '' : text}`.trim());
  let rates: Float64Array;
  let known: string;
  try {
    known = oneOf('schedule', snake(name).replaceAll('-', '_'), NAMES);
    rates = await ratesOf(
      known,
      given,
      take(given, 'lr', 1e-3, (flag, x) => number(flag, x, { min: 0 })),
    );
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) {
      throw new UsageError(error.message.replace(/\b(min|num|warmup)[A-Z]\w+/g, flagOf));
    }
    throw error;
  }
  if (json) return `${JSON.stringify({ schedule: known, rates: [...rates] })}\n`;
  const turns = turnsOf(rates);
  const width = Math.max(...turns.map(([step]) => count(step).length));
  const digits = Math.max(...turns.map(([step]) => numeral(rates[step]!).length));
  const title = [known, ...settings].join(', ');
  return `${[
    title.length < room.columns ? `  ${title}` : `  ${known}`,
    '',
    ...chart(rates, room),
    '',
    ...turns.map(
      ([step, what]) => `  step ${count(step).padStart(width)}  ${numeral(rates[step]!).padEnd(digits)}  ${what}`,
    ),
  ].join('\n')}\n`;
}
