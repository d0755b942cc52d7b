/**
 * What can be explored: every schedule by name, its arguments with their ranges, the rates it
 * gives, and its code.
 */
import {
  Adafactor,
  AdafactorSchedule,
  AdamW,
  type Curve,
  cosineAnnealing,
  exponential,
  getScheduler,
  LambdaLR,
  type LRScheduler,
  multiStep,
  oneCycle,
  Parameter,
  type SchedulerName,
  step,
} from 'tensorless';

export interface Argument {
  readonly name: string;
  readonly initial: number | string;
  /**
   * A slider's range; or a list to choose from. `steps` stands for the number of training steps.
   */
  readonly range?: readonly [least: number, most: number | 'steps', step: number];
  readonly choices?: readonly string[];
}

/** A name of transformers, or a curve of PyTorch's schedules, which have no name there. */
export type Name =
  | SchedulerName
  | 'adafactor'
  | 'step'
  | 'multi_step'
  | 'exponential'
  | 'cosine_annealing'
  | 'one_cycle';

export interface Schedule {
  readonly title: string;
  /** What makes it: a factory, or a curve. */
  readonly factory: string;
  /** The curve; `steps` is the number of training steps. */
  readonly curve?: (o: never) => Curve;
  /** The curve's options from the arguments, where they differ. */
  readonly options?: (given: Readonly<Record<string, number | string>>, steps: number) => Record<string, unknown>;
  /** Whether it takes numWarmupSteps and numTrainingSteps. */
  readonly warmup: boolean;
  readonly training: boolean;
  readonly special: readonly Argument[];
}

const cycles = (initial: number): Argument => ({ name: 'numCycles', initial, range: [0.5, 8, 0.5] });
const shape = (name: string): Argument => ({
  name,
  initial: name === 'warmupType' ? 'linear' : 'cosine',
  choices: ['linear', 'cosine', '1-sqrt'],
});
const factor: Argument = { name: 'factor', initial: 0.5, range: [0.05, 0.95, 0.05] };
const gamma: Argument = { name: 'gamma', initial: 0.5, range: [0.05, 1, 0.05] };
const patience: Argument = { name: 'patience', initial: 10, range: [0, 100, 1] };

export const SCHEDULES: Readonly<Record<Name, Schedule>> = {
  constant: { title: 'Constant', factory: 'getConstantSchedule', warmup: false, training: false, special: [] },
  constant_with_warmup: {
    title: 'Constant with warm-up',
    factory: 'getConstantScheduleWithWarmup',
    warmup: true,
    training: false,
    special: [],
  },
  linear: { title: 'Linear', factory: 'getLinearScheduleWithWarmup', warmup: true, training: true, special: [] },
  cosine: {
    title: 'Cosine',
    factory: 'getCosineScheduleWithWarmup',
    warmup: true,
    training: true,
    special: [cycles(0.5)],
  },
  cosine_with_restarts: {
    title: 'Cosine with hard restarts',
    factory: 'getCosineWithHardRestartsScheduleWithWarmup',
    warmup: true,
    training: true,
    special: [{ name: 'numCycles', initial: 3, range: [1, 10, 1] }],
  },
  polynomial: {
    title: 'Polynomial decay',
    factory: 'getPolynomialDecayScheduleWithWarmup',
    warmup: true,
    training: true,
    special: [
      { name: 'lrEnd', initial: 1e-7, range: [0, 5e-4, 1e-5] },
      { name: 'power', initial: 2, range: [0.25, 6, 0.25] },
    ],
  },
  inverse_sqrt: {
    title: 'Inverse square root',
    factory: 'getInverseSqrtSchedule',
    warmup: true,
    training: false,
    special: [{ name: 'timescale', initial: 100, range: [1, 'steps', 1] }],
  },
  cosine_with_min_lr: {
    title: 'Cosine to a minimum',
    factory: 'getCosineWithMinLrScheduleWithWarmup',
    warmup: true,
    training: true,
    special: [{ name: 'minLrRate', initial: 0.1, range: [0, 1, 0.01] }, cycles(0.5)],
  },
  cosine_warmup_with_min_lr: {
    title: 'Cosine to a minimum, warm-up from a rate',
    factory: 'getCosineWithMinLrScheduleWithWarmupLrRate',
    warmup: true,
    training: true,
    special: [
      { name: 'minLrRate', initial: 0.1, range: [0, 1, 0.01] },
      { name: 'warmupLrRate', initial: 0.3, range: [0, 1, 0.01] },
      cycles(0.5),
    ],
  },
  warmup_stable_decay: {
    title: 'Warm-up, stable, decay',
    factory: 'getWsdSchedule',
    warmup: true,
    training: true,
    special: [
      { name: 'numDecaySteps', initial: 300, range: [0, 'steps', 1] },
      shape('warmupType'),
      shape('decayType'),
      { name: 'minLrRatio', initial: 0, range: [0, 1, 0.01] },
    ],
  },
  reduce_lr_on_plateau: {
    title: 'Reduce on plateau (a made-up loss)',
    factory: 'getReduceOnPlateauSchedule',
    warmup: false,
    training: false,
    special: [factor, patience, { name: 'cooldown', initial: 0, range: [0, 100, 1] }],
  },
  greedy: {
    title: 'Greedy (a made-up loss)',
    factory: 'getGreedySchedule',
    warmup: false,
    training: false,
    special: [{ ...factor, initial: 0.9 }, patience, { name: 'windowSize', initial: 20, range: [1, 100, 1] }],
  },
  adafactor: {
    title: 'Adafactor’s own (relative step)',
    factory: 'getAdafactorSchedule',
    warmup: false,
    training: false,
    special: [{ name: 'warmupInit', initial: 'true', choices: ['true', 'false'] }],
  },
  step: {
    title: 'Step (PyTorch)',
    factory: 'step',
    curve: step,
    warmup: false,
    training: false,
    special: [{ name: 'stepSize', initial: 200, range: [1, 'steps', 1] }, gamma],
  },
  multi_step: {
    title: 'Milestones (PyTorch)',
    factory: 'multiStep',
    curve: multiStep,
    options: ({ first, second, ...rest }) => ({ milestones: [first, second], ...rest }),
    warmup: false,
    training: false,
    special: [
      { name: 'first', initial: 300, range: [0, 'steps', 1] },
      { name: 'second', initial: 800, range: [0, 'steps', 1] },
      gamma,
    ],
  },
  exponential: {
    title: 'Exponential (PyTorch)',
    factory: 'exponential',
    curve: exponential,
    warmup: false,
    training: false,
    special: [{ name: 'gamma', initial: 0.997, range: [0.98, 1, 0.0005] }],
  },
  cosine_annealing: {
    title: 'Cosine that holds at its end',
    factory: 'cosineAnnealing',
    curve: cosineAnnealing,
    warmup: false,
    training: false,
    special: [
      { name: 'tMax', initial: 800, range: [1, 'steps', 1] },
      { name: 'minLrRate', initial: 0.1, range: [0, 1, 0.01] },
    ],
  },
  one_cycle: {
    title: 'One cycle (PyTorch)',
    factory: 'oneCycle',
    curve: oneCycle,
    options: ({ threePhase, ...rest }, totalSteps) => ({ totalSteps, ...rest, threePhase: threePhase === 'true' }),
    warmup: false,
    training: false,
    special: [
      { name: 'pctStart', initial: 0.3, range: [0, 1, 0.01] },
      { name: 'annealStrategy', initial: 'cos', choices: ['cos', 'linear'] },
      { name: 'divFactor', initial: 25, range: [1, 100, 1] },
      { name: 'finalDivFactor', initial: 10000, range: [1, 10000, 1] },
      { name: 'threePhase', initial: 'false', choices: ['false', 'true'] },
    ],
  },
};

export interface Choice {
  readonly name: Name;
  readonly arguments: Readonly<Record<string, number | string>>;
}

/** Every argument of a schedule, warm-up first. */
export function argumentsOf(name: Name): readonly Argument[] {
  const { warmup, special } = SCHEDULES[name];
  return [
    ...(warmup ? [{ name: 'numWarmupSteps', initial: 100, range: [0, 'steps', 1] } as Argument] : []),
    ...special,
  ];
}

export function initialChoice(name: Name): Choice {
  return {
    name,
    arguments: Object.fromEntries(argumentsOf(name).map((argument) => [argument.name, argument.initial])),
  };
}

/**
 * A loss that falls, rests twice, and trembles: what the two schedules that watch one are shown.
 */
export function madeUpLoss(step: number, steps: number): number {
  const t = step / steps;
  const level = t < 0.25 ? 3 - 6 * t : t < 0.5 ? 1.5 : t < 0.7 ? 1.5 - 4 * (t - 0.5) : 0.7;
  return level + 0.02 * Math.sin(step * 12.9898);
}

const METRIC = new Set<Name>(['reduce_lr_on_plateau', 'greedy']);

function options({ name, arguments: given }: Choice, steps: number): Record<string, unknown> {
  const { warmup, training, options: mapped } = SCHEDULES[name];
  if (mapped !== undefined) return mapped(given, steps);
  const { numWarmupSteps, ...special } = given;
  return {
    ...(warmup && { numWarmupSteps }),
    ...(training && { numTrainingSteps: steps }),
    ...special,
    ...(name === 'greedy' && { smooth: true }),
  };
}

function scheduler(choice: Choice, steps: number, optimizer: AdamW): LRScheduler {
  const { curve } = SCHEDULES[choice.name];
  const given = options(choice, steps);
  if (curve !== undefined) return new LambdaLR(optimizer, curve(given as never));
  const { numWarmupSteps, numTrainingSteps, ...schedulerSpecificKwargs } = given;
  return getScheduler<SchedulerName>(choice.name as SchedulerName, optimizer, {
    ...(numWarmupSteps !== undefined && { numWarmupSteps: numWarmupSteps as number }),
    ...(numTrainingSteps !== undefined && { numTrainingSteps: numTrainingSteps as number }),
    schedulerSpecificKwargs,
  });
}

/** Adafactor computes its rates itself, for a weight whose root mean square is 1. */
function relativeRates({ arguments: { warmupInit } }: Choice, steps: number): Float64Array {
  const weight = new Parameter(new Float32Array(1).fill(1), [1]);
  const optimizer = new Adafactor([weight], { scaleParameter: false, warmupInit: warmupInit === 'true' });
  const made = new AdafactorSchedule(optimizer);
  weight.grad = new Float32Array(1);
  return Float64Array.from({ length: steps + 1 }, () => {
    optimizer.step();
    made.step();
    return made.getLastLr()[0]!;
  });
}

/** The learning rate of every step from 0 to `steps`, by stepping the real scheduler. */
export function rates(choice: Choice, steps: number, lr: number): Float64Array {
  if (choice.name === 'adafactor') return relativeRates(choice, steps);
  const weight = new Parameter(new Float32Array(1));
  weight.grad = new Float32Array(1);
  const optimizer = new AdamW([weight], { lr });
  const made = scheduler(choice, steps, optimizer);
  return Float64Array.from({ length: steps + 1 }, (_, step) => {
    if (step > 0) {
      optimizer.step();
      if (METRIC.has(choice.name)) made.step(madeUpLoss(step, steps));
      else made.step();
    }
    return made.getLastLr()[0]!;
  });
}

/** Code that makes the schedule, ready to paste. */
export function code(choice: Choice, steps: number, lr: number): string {
  if (choice.name === 'adafactor')
    return `import { Adafactor, getAdafactorSchedule } from 'tensorless';

const optimizer = new Adafactor(parameters, { scaleParameter: false, warmupInit: ${choice.arguments.warmupInit} });
const scheduler = getAdafactorSchedule(optimizer); // reports its rates`;
  const { factory, curve } = SCHEDULES[choice.name];
  const entries = Object.entries(options(choice, steps)).map(
    ([key, value]) =>
      `  ${key}: ${typeof value === 'string' ? `'${value}'` : Array.isArray(value) ? `[${value.join(', ')}]` : value},`,
  );
  const argument = entries.length === 0 ? '' : `{\n${entries.join('\n')}\n}`;
  const metric = METRIC.has(choice.name) ? '\n// after each step: scheduler.step(loss)' : '';
  const made =
    curve === undefined
      ? `${factory}(optimizer${argument && `, ${argument}`});`
      : `new LambdaLR(optimizer, ${factory}(${argument}));`;
  return `import { AdamW, ${curve === undefined ? factory : `LambdaLR, ${factory}`} } from 'tensorless';

const optimizer = new AdamW(parameters, { lr: ${lr} });
const scheduler = ${made}${metric}`;
}
