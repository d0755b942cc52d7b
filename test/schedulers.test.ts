/**
 * Schedulers on optimizers: what construction does, and that a cut anywhere changes no later
 * learning rate.
 */
import * as T from 'tensorless';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { lrsOf, optimizerWith } from './golden-schedules.ts';

const STEPS = 24;
const steps = { numWarmupSteps: 4, numTrainingSteps: STEPS };
/**
 * Falls, rests, falls, with ties: both metric-driven schedules reduce, cool down and reset on it.
 */
const metric = (step: number): number =>
  [5, 4, 4, 4, 4.5, 4, 3.9, 3.9, 3.9, 4, 4, 2, 2, 2, 2, 2.1, 2.1, 1, 1, 1.2, 1.2, 1.2, 1.2, 1.2, 0.5][step] ?? 0.5;

const schedules: Record<string, (optimizer: T.Optimizer) => T.LRScheduler> = {
  constant: (o) => T.getConstantSchedule(o),
  'constant with warm-up': (o) => T.getConstantScheduleWithWarmup(o, { numWarmupSteps: 4 }),
  linear: (o) => T.getLinearScheduleWithWarmup(o, steps),
  cosine: (o) => T.getCosineScheduleWithWarmup(o, steps),
  'cosine with restarts': (o) => T.getCosineWithHardRestartsScheduleWithWarmup(o, { ...steps, numCycles: 3 }),
  'cosine with a minimum': (o) => T.getCosineWithMinLrScheduleWithWarmup(o, { ...steps, minLrRate: 0.1 }),
  'cosine with a minimum, warm-up rate': (o) =>
    T.getCosineWithMinLrScheduleWithWarmupLrRate(o, { ...steps, minLrRate: 0.1, warmupLrRate: 0.3 }),
  polynomial: (o) => T.getPolynomialDecayScheduleWithWarmup(o, { ...steps, power: 1.7 }),
  'inverse square root': (o) => T.getInverseSqrtSchedule(o, { numWarmupSteps: 4 }),
  'warm-up, stable, decay': (o) => T.getWsdSchedule(o, { ...steps, numDecaySteps: 9 }),
  'curve per group': (o) => new T.LambdaLR(o, [T.constant(), (step) => 1 / (1 + step)]),
  plateau: (o) => T.getReduceOnPlateauSchedule(o, { patience: 1, cooldown: 2, factor: 0.5, threshold: 0 }),
  greedy: (o) => T.getGreedySchedule(o, { patience: 1, cooldown: 1, warmup: 1, factor: 0.8 }),
  'greedy, smooth': (o) =>
    T.getGreedySchedule(o, { patience: 0, smooth: true, windowSize: 3, factor: 0.8, resetStart: 9 }),
};

/** Learning rates of both groups from `from` on, the scheduler stepping along. */
function follow(scheduler: T.LRScheduler, from: number, to = STEPS): number[][] {
  const lrs: number[][] = [];
  for (let step = from; step < to; step++) {
    scheduler.optimizer.step();
    if (scheduler instanceof T.EpochScheduler) scheduler.step();
    else scheduler.step(metric(step));
    lrs.push(scheduler.getLastLr());
    expect(lrsOf(scheduler.optimizer)).toEqual(scheduler.getLastLr());
  }
  return lrs;
}

let warn: ReturnType<typeof vi.spyOn>;
beforeEach(() => {
  warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
});
afterEach(() => {
  warn.mockRestore();
});

describe.each(Object.entries(schedules))('%s', (name, make) => {
  it('cut after any step and continued by new objects, gives the same learning rates to the bit', () => {
    const whole = follow(make(optimizerWith([0.1, 0.3])), 0);
    if (name !== 'constant') expect(new Set(whole.map(String)).size).toBeGreaterThan(2);
    for (let cut = 0; cut <= STEPS; cut++) {
      const first = make(optimizerWith([0.1, 0.3]));
      expect(follow(first, 0, cut)).toEqual(whole.slice(0, cut));
      // Through text, as it would be saved; the infinities of the metric-driven ones need a
      // structured clone.
      const saved = structuredClone({ scheduler: first.stateDict(), optimizer: first.optimizer.stateDict() });
      const second = make(optimizerWith([0.1, 0.3]));
      second.optimizer.loadStateDict(saved.optimizer);
      second.loadStateDict(saved.scheduler);
      expect(second.getLastLr()).toEqual(first.getLastLr());
      expect(second.lastEpoch).toBe(cut);
      expect(follow(second, cut)).toEqual(whole.slice(cut));
      follow(first, cut);
      expect(second.stateDict()).toEqual(first.stateDict());
    }
  });

  it('leaves a state dict that does not fit where it is', () => {
    const scheduler = make(optimizerWith([0.1, 0.3]));
    follow(scheduler, 0, 3);
    const before = scheduler.stateDict();
    const broken: unknown[] = [
      null,
      3,
      [],
      {},
      { ...before, _last_lr: [1] },
      // PyTorch 2.0 has none in ReduceLROnPlateau before the first step.
      ...(name === 'plateau' ? [] : [{ ...before, _last_lr: undefined }]),
      { ...before, last_epoch: -3 },
      { ...before, last_epoch: 1.5 },
    ];
    broken.push({ ...before, surprise: 1 }, { ...before, _last_lr: ['a', 'b'] }, optimizerWith([1]).stateDict());
    for (const dict of broken) {
      expect(() => scheduler.loadStateDict(dict as never), JSON.stringify(dict)).toThrow(/loadStateDict/);
      expect(scheduler.stateDict()).toEqual(before);
      expect(lrsOf(scheduler.optimizer)).toEqual(scheduler.getLastLr());
    }
  });

  it('refuses an option it does not know', () => {
    const factory =
      { plateau: T.getReduceOnPlateauSchedule, greedy: T.getGreedySchedule }[name] ?? T.getConstantSchedule;
    expect(() => factory(optimizerWith([0.1]), { pacience: 3 } as object)).toThrow(/unknown option "pacience"/);
  });
});

describe('a scheduler', () => {
  it('sets the rates of step 0 on construction, records initialLr, and keeps the groups’ ratio', () => {
    const optimizer = optimizerWith([0.1, 0.3]);
    const scheduler = T.getCosineScheduleWithWarmup(optimizer, steps);
    expect(lrsOf(optimizer)).toEqual([0, 0]);
    expect(optimizer.paramGroups.map(({ initialLr }) => initialLr)).toEqual([0.1, 0.3]);
    for (const [a, b] of follow(scheduler, 0)) expect(b! / 3).toBeCloseTo(a!, 15);
  });

  it('warns once, with the repair, when it steps before the optimizer', () => {
    const scheduler = T.getLinearScheduleWithWarmup(optimizerWith([0.1]), steps);
    scheduler.step();
    scheduler.step();
    expect(warn).toHaveBeenCalledExactlyOnceWith(
      expect.stringContaining('Call optimizer.step() first, then scheduler.step()'),
    );
  });

  it('does not warn in the right order, nor after a resume', () => {
    const first = T.getLinearScheduleWithWarmup(optimizerWith([0.1]), steps);
    follow(first, 0, 3);
    const second = T.getLinearScheduleWithWarmup(optimizerWith([0.1]), steps);
    second.loadStateDict(first.stateDict());
    follow(second, 3, 5);
    expect(warn).not.toHaveBeenCalled();
  });

  it('replaces another in the middle of a run, with lastEpoch', () => {
    const optimizer = optimizerWith([0.1, 0.2]);
    follow(T.getConstantScheduleWithWarmup(optimizer, { numWarmupSteps: 4 }), 0, 8);
    const linear = T.getLinearScheduleWithWarmup(optimizer, { ...steps, lastEpoch: 7 });
    expect(linear.lastEpoch).toBe(8);
    expect(linear.baseLrs).toEqual([0.1, 0.2]);
    const curve = T.linearWithWarmup(steps);
    expect(linear.getLastLr()).toEqual([0.1 * curve(8), 0.2 * curve(8)]);
  });

  it('needs initialLr to begin in the middle, and refuses a lastEpoch that is none', () => {
    expect(() => T.getLinearScheduleWithWarmup(optimizerWith([0.1]), { ...steps, lastEpoch: 7 })).toThrow(/initialLr/);
    for (const lastEpoch of [-2, 0.5, Number.NaN, '1', null]) {
      expect(() =>
        T.getLinearScheduleWithWarmup(optimizerWith([0.1]), { ...steps, lastEpoch: lastEpoch as number }),
      ).toThrow(/lastEpoch must be/);
    }
  });

  it('is refused for an Adafactor that computes its own step size, with the way out', () => {
    const optimizer = new T.Adafactor([new T.Parameter(new Float32Array(2))]);
    for (const make of Object.values(schedules))
      expect(() => make(optimizer)).toThrow(/AdafactorSchedule|as many|per group/);
    expect(() => T.getLinearScheduleWithWarmup(optimizer, steps)).toThrow(/Use AdafactorSchedule/);
    expect(optimizer.paramGroups[0]!.lr).toBe(null);
    expect(optimizer.paramGroups[0]!.initialLr).toBeUndefined();
  });

  it('refuses what is no optimizer, and as many curves as there are no groups', () => {
    for (const wrong of [null, undefined, {}, [], 'adamw'])
      expect(() => T.getConstantSchedule(wrong as never)).toThrow(/must be an Optimizer/);
    expect(() => new T.LambdaLR(optimizerWith([0.1]), [T.constant(), T.constant()])).toThrow();
    expect(() => new T.LambdaLR(optimizerWith([0.1]), 3 as never)).toThrow(TypeError);
  });
});

const { getReduceOnPlateauSchedule, getGreedySchedule } = T;
describe.each([getReduceOnPlateauSchedule, getGreedySchedule])('$name', (factory) => {
  it.each([Number.NaN, undefined, null, '1', 1n])('refuses %s for a metric, with nothing changed', (wrong) => {
    const scheduler = factory(optimizerWith([0.1]), { patience: 1 });
    follow(scheduler, 0, 4);
    const before = scheduler.stateDict();
    expect(() => scheduler.step(wrong as number)).toThrow(/metric/);
    expect(scheduler.stateDict()).toEqual(before);
  });
});

describe('AdafactorSchedule', () => {
  const train = (optimizer: T.Adafactor, parameters: T.Parameter[]): void => {
    for (const parameter of parameters) parameter.grad = new Float32Array(parameter.data.length).fill(0.5);
    optimizer.step();
  };
  const build = (): [T.Adafactor, T.Parameter[], T.AdafactorSchedule] => {
    const parameters = [new T.Parameter(Float32Array.of(3, 4, 5, 6), [2, 2]), new T.Parameter(Float32Array.of(1, 2))];
    const optimizer = new T.Adafactor([{ params: [parameters[0]!] }, { params: [parameters[1]!] }], {
      warmupInit: true,
    });
    return [optimizer, parameters, new T.AdafactorSchedule(optimizer, { initialLr: 0.25 })];
  };

  it('reports initialLr before the first step, then what Adafactor used, also after zeroGrad', () => {
    const [optimizer, parameters, scheduler] = build();
    expect(scheduler.getLastLr()).toEqual([0.25, 0.25]);
    for (let step = 0; step < 3; step++) {
      train(optimizer, parameters);
      optimizer.zeroGrad();
      scheduler.step();
      expect(scheduler.getLastLr()).toEqual(parameters.map((parameter) => optimizer.effectiveLr(parameter)));
    }
  });

  it('reports the same after a resume', () => {
    const [optimizer, parameters, scheduler] = build();
    train(optimizer, parameters);
    scheduler.step();
    const [other, , resumed] = build();
    other.loadStateDict(structuredClone(optimizer.stateDict()));
    resumed.loadStateDict(structuredClone(scheduler.stateDict()));
    expect(resumed.getLastLr()).toEqual(scheduler.getLastLr());
  });

  it('is for Adafactor only', () => {
    expect(() => new T.AdafactorSchedule(optimizerWith([0.1]) as never)).toThrow(/Adafactor/);
    const [optimizer] = build();
    expect(() => new T.AdafactorSchedule(optimizer, { initialLr: -1 })).toThrow(/initialLr must be/);
  });
});
