import * as T from 'tensorless';
import { describe, expect, it, vi } from 'vitest';
import { optimizerWith } from './golden-schedules.ts';

/** Compiled, never run: a name and its options are checked together. */
void types;
function types(optimizer: T.Optimizer, ada: T.Adafactor, any: T.SchedulerName): T.LRScheduler[] {
  const steps = { numWarmupSteps: 1, numTrainingSteps: 2 };
  const linear: T.LinearScheduleWithWarmup = T.getScheduler('linear', optimizer, steps);
  const plateau: T.ReduceLROnPlateau = T.getScheduler('reduce_lr_on_plateau', optimizer);
  const wsd: T.WarmupStableDecaySchedule = T.getScheduler('warmup_stable_decay', optimizer, {
    numWarmupSteps: 1,
    schedulerSpecificKwargs: { numDecaySteps: 3, numStableSteps: 4, decayType: '1-sqrt' },
  });
  const list: T.LRScheduler[] = [
    linear,
    plateau,
    wsd,
    T.getScheduler('constant', optimizer),
    T.getScheduler('greedy', optimizer, { schedulerSpecificKwargs: { patience: 3 } }),
    T.getScheduler('cosine', optimizer, { ...steps, schedulerSpecificKwargs: { numCycles: 1 } }),
    T.getScheduler('cosine_with_min_lr', optimizer, { ...steps, schedulerSpecificKwargs: { minLr: 1e-5 } }),
    T.getScheduler('warmup_stable_decay', optimizer, { ...steps, schedulerSpecificKwargs: { numDecaySteps: 1 } }),
    T.getScheduler(T.SchedulerType.LINEAR!, optimizer, steps),
    T.getScheduler(T.SchedulerType.POLYNOMIAL, optimizer, { ...steps, schedulerSpecificKwargs: { power: 2 } }),
    // A name that is only known at run time takes any options.
    T.getScheduler(any, optimizer, steps),
    T.getScheduler(any, optimizer),
    T.getScheduler(T.SchedulerType.COSINE!, optimizer, steps),
    T.getWsdSchedule(optimizer, { numWarmupSteps: 1, numDecaySteps: 1, numTrainingSteps: 4 }),
    T.getWsdSchedule(optimizer, { numWarmupSteps: 1, numDecaySteps: 1, numStableSteps: 4 }),
    T.getAdafactorSchedule(ada, { initialLr: 0.1 }),
    new T.LambdaLR(optimizer, [T.constant()], { lastEpoch: -1 }),
    new T.LambdaLR(optimizer, (step: number) => 1 / (step + 1)),
  ];
  // @ts-expect-error an unknown name
  T.getScheduler('cosin', optimizer);
  // @ts-expect-error numTrainingSteps is missing
  T.getScheduler('linear', optimizer, { numWarmupSteps: 1 });
  // @ts-expect-error the options are missing
  T.getScheduler('cosine', optimizer);
  // @ts-expect-error a linear schedule has no cycles
  T.getScheduler('linear', optimizer, { ...steps, schedulerSpecificKwargs: { numCycles: 1 } });
  // @ts-expect-error a constant schedule has no warm-up
  T.getScheduler('constant', optimizer, { numWarmupSteps: 1 });
  // @ts-expect-error minLr or minLrRate is needed
  T.getScheduler('cosine_with_min_lr', optimizer, steps);
  T.getScheduler('cosine_with_min_lr', optimizer, {
    ...steps,
    // @ts-expect-error not both
    schedulerSpecificKwargs: { minLr: 1e-5, minLrRate: 0.1 },
  });
  // @ts-expect-error how long the stable part is, is not said
  T.getScheduler('warmup_stable_decay', optimizer, {
    numWarmupSteps: 1,
    schedulerSpecificKwargs: { numDecaySteps: 3 },
  });
  T.getScheduler('polynomial', optimizer, {
    ...steps,
    // @ts-expect-error snake case
    schedulerSpecificKwargs: { lr_end: 0 },
  });
  // @ts-expect-error a shape that does not exist
  T.warmupStableDecay({ numWarmupSteps: 1, numStableSteps: 1, numDecaySteps: 1, decayType: 'sqrt' });
  // @ts-expect-error a required option is missing
  T.linearWithWarmup({ numWarmupSteps: 1 });
  // @ts-expect-error AdamW has no learning rate of its own to report
  T.getAdafactorSchedule(new T.AdamW([]));
  return list;
}

const steps = { numWarmupSteps: 2, numTrainingSteps: 10 };
const classes: Record<T.SchedulerName, [scheduler: new (...args: never) => T.LRScheduler, special?: object]> = {
  linear: [T.LinearScheduleWithWarmup],
  cosine: [T.CosineScheduleWithWarmup],
  cosine_with_restarts: [T.CosineWithHardRestartsScheduleWithWarmup],
  polynomial: [T.PolynomialDecayScheduleWithWarmup],
  constant: [T.ConstantSchedule],
  constant_with_warmup: [T.ConstantScheduleWithWarmup],
  inverse_sqrt: [T.InverseSqrtSchedule],
  reduce_lr_on_plateau: [T.ReduceLROnPlateau],
  cosine_with_min_lr: [T.CosineWithMinLrScheduleWithWarmup, { minLrRate: 0.1 }],
  cosine_warmup_with_min_lr: [T.CosineWarmupWithMinLrSchedule, { minLrRate: 0.1 }],
  warmup_stable_decay: [T.WarmupStableDecaySchedule, { numDecaySteps: 3 }],
  greedy: [T.GreedyLR],
};
const names = Object.keys(classes) as T.SchedulerName[];
const get = (name: string, o?: object): T.LRScheduler =>
  T.getScheduler(name as T.SchedulerName, optimizerWith([0.1]), o as T.AnySchedulerOptions);

describe('getScheduler', () => {
  it.each(names)('makes the class of "%s"', (name) => {
    const [scheduler, special] = classes[name];
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const made = get(name, { ...steps, ...(special === undefined ? {} : { schedulerSpecificKwargs: special }) });
    expect(made.constructor).toBe(scheduler);
    warn.mockRestore();
  });

  it('knows every name under its key in SchedulerType, which is frozen', () => {
    expect(Object.values(T.SchedulerType).sort()).toEqual([...names].sort());
    expect(T.SchedulerType.LINEAR).toBe('linear');
    expect(T.SchedulerType.REDUCE_ON_PLATEAU).toBe('reduce_lr_on_plateau');
    expect(Object.isFrozen(T.SchedulerType)).toBe(true);
  });

  it('hands the special options to the schedule', () => {
    const scheduler = get('polynomial', { ...steps, schedulerSpecificKwargs: { power: 2, lrEnd: 0, lastEpoch: -1 } });
    for (let t = 0; t < 6; t++) scheduler.step();
    expect(scheduler.getLastLr()[0]).toBe(0.1 * 0.25);
  });

  it('warns when a schedule without warm-up is given one, and takes the total silently', () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    for (const name of ['constant', 'reduce_lr_on_plateau', 'greedy']) {
      get(name, { numWarmupSteps: 0, numTrainingSteps: 10 });
      expect(warn).not.toHaveBeenCalled();
      get(name, { numWarmupSteps: 5 });
      expect(warn).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('"constant_with_warmup" has one'));
      warn.mockClear();
    }
    warn.mockRestore();
  });

  it.each([
    ['cosin', {}, /must be one of "linear".* got "cosin"\. Did you mean "cosine"\?/],
    ['Linear', steps, /Did you mean "linear"/],
    ['toString', {}, /must be one of/],
    ['linear', {}, /getScheduler\("linear"\): numWarmupSteps is needed/],
    ['linear', { numWarmupSteps: 1 }, /numTrainingSteps is needed/],
    ['constant_with_warmup', { numTrainingSteps: 3 }, /numWarmupSteps is needed/],
    ['linear', { ...steps, num_cycles: 3 }, /unknown option "num_cycles".*Known options/],
    ['linear', { ...steps, schedulerSpecificKwargs: { numCycles: 3 } }, /unknown option "numCycles"/],
    ['constant', { schedulerSpecificKwargs: { power: 3 } }, /unknown option "power"/],
    ['cosine', { ...steps, schedulerSpecificKwargs: { num_cycles: 3 } }, /Did you mean "numCycles"\?/],
    ['cosine', { ...steps, schedulerSpecificKwargs: { numWarmupSteps: 3 } }, /beside schedulerSpecificKwargs/],
    ['cosine', { ...steps, schedulerSpecificKwargs: 3 }, /schedulerSpecificKwargs must be an object, got 3/],
    ['cosine', { ...steps, schedulerSpecificKwargs: JSON.parse('{"__proto__": {"numCycles": 3}}') }, /"__proto__"/],
    ['constant', { numTrainingSteps: 1.5 }, /numTrainingSteps must be an integer at least 0, got 1\.5/],
    [
      'warmup_stable_decay',
      { numWarmupSteps: 1, schedulerSpecificKwargs: { numDecaySteps: 1 } },
      /give numTrainingSteps or numStableSteps/,
    ],
    ['cosine_with_min_lr', steps, /give minLr, such as 1e-5, or minLrRate/],
  ])('refuses %s with %o', (name, o, message) => {
    expect(() => get(name, o)).toThrow(message);
  });
});
