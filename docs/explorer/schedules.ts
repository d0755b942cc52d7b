/** What can be explored: every schedule by name, its arguments with their ranges, the rates it gives, and the code that makes it. */
import { AdamW, getScheduler, Parameter, type SchedulerName } from 'tensorless';

export interface Argument {
  readonly name: string;
  readonly initial: number | string;
  /** A slider's range; or a list to choose from. `steps` stands for the number of training steps. */
  readonly range?: readonly [least: number, most: number | 'steps', step: number];
  readonly choices?: readonly string[];
}

export interface Schedule {
  readonly title: string;
  readonly factory: string;
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
const patience: Argument = { name: 'patience', initial: 10, range: [0, 100, 1] };

export const SCHEDULES: Readonly<Record<SchedulerName, Schedule>> = {
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
};

export interface Choice {
  readonly name: SchedulerName;
  readonly arguments: Readonly<Record<string, number | string>>;
}

/** Every argument of a schedule, warm-up first. */
export function argumentsOf(name: SchedulerName): readonly Argument[] {
  const { warmup, special } = SCHEDULES[name];
  return [
    ...(warmup ? [{ name: 'numWarmupSteps', initial: 100, range: [0, 'steps', 1] } as Argument] : []),
    ...special,
  ];
}

export function initialChoice(name: SchedulerName): Choice {
  return {
    name,
    arguments: Object.fromEntries(argumentsOf(name).map((argument) => [argument.name, argument.initial])),
  };
}

/** A loss that falls, rests twice, and trembles: what the two schedules that watch one are shown. */
export function madeUpLoss(step: number, steps: number): number {
  const t = step / steps;
  const level = t < 0.25 ? 3 - 6 * t : t < 0.5 ? 1.5 : t < 0.7 ? 1.5 - 4 * (t - 0.5) : 0.7;
  return level + 0.02 * Math.sin(step * 12.9898);
}

const METRIC = new Set<SchedulerName>(['reduce_lr_on_plateau', 'greedy']);

function options({ name, arguments: given }: Choice, steps: number): Record<string, unknown> {
  const { numWarmupSteps, ...special } = given;
  const { warmup, training } = SCHEDULES[name];
  return {
    ...(warmup && { numWarmupSteps }),
    ...(training && { numTrainingSteps: steps }),
    ...special,
    ...(name === 'greedy' && { smooth: true }),
  };
}

/** The learning rate of every step from 0 to `steps`, by stepping the real scheduler. */
export function rates(choice: Choice, steps: number, lr: number): Float64Array {
  const optimizer = new AdamW([new Parameter(new Float32Array(1))], { lr });
  const { numWarmupSteps, numTrainingSteps, ...schedulerSpecificKwargs } = options(choice, steps);
  const scheduler = getScheduler<SchedulerName>(choice.name, optimizer, {
    ...(numWarmupSteps !== undefined && { numWarmupSteps: numWarmupSteps as number }),
    ...(numTrainingSteps !== undefined && { numTrainingSteps: numTrainingSteps as number }),
    schedulerSpecificKwargs,
  });
  return Float64Array.from({ length: steps + 1 }, (_, step) => {
    if (step > 0) {
      optimizer.step();
      scheduler.step(madeUpLoss(step, steps));
    }
    return scheduler.getLastLr()[0]!;
  });
}

/** Code that makes the schedule, ready to paste. */
export function code(choice: Choice, steps: number, lr: number): string {
  const { factory } = SCHEDULES[choice.name];
  const entries = Object.entries(options(choice, steps)).map(
    ([key, value]) => `  ${key}: ${typeof value === 'string' ? `'${value}'` : value},`,
  );
  const argument = entries.length === 0 ? '' : `, {\n${entries.join('\n')}\n}`;
  const metric = METRIC.has(choice.name) ? '\n// after each step: scheduler.step(loss)' : '';
  return `import { AdamW, ${factory} } from 'tensorless';

const optimizer = new AdamW(parameters, { lr: ${lr} });
const scheduler = ${factory}(optimizer${argument});${metric}`;
}
