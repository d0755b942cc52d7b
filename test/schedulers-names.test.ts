/** One curve, one class, one factory, one name: who is called what, in messages and in bundles. */
import * as T from 'tensorless';
import { describe, expect, it } from 'vitest';
import { bundle } from '../bench/size.ts';
import { optimizerWith } from './golden-schedules.ts';

type Make = (optimizer: T.Optimizer, o?: object) => T.LRScheduler;
type Class = new (optimizer: T.Optimizer, o?: object) => T.LRScheduler;

const all = T as unknown as Record<string, unknown>;
const factories = Object.entries(all).filter(([name]) => /^get.*Schedule/.test(name) && name !== 'getScheduler');
const classes = Object.entries(all).filter(
  ([, value]) => typeof value === 'function' && Object.getPrototypeOf(value) === T.CurveSchedule,
) as [string, Class][];

/** Enough for every schedule. */
const enough = (known: (key: string) => boolean): object =>
  Object.fromEntries(
    Object.entries({ numWarmupSteps: 1, numTrainingSteps: 9, minLrRate: 0.1, numDecaySteps: 2 }).filter(([key]) =>
      known(key),
    ),
  );
const adafactor = (): T.Optimizer => new T.Adafactor([new T.Parameter(new Float32Array(1))]);

describe('the ten classes of a curve', () => {
  it('are ten, and each has a factory', () => {
    expect(classes.length).toBe(10);
    expect(factories.length).toBe(13);
  });

  it.each(classes)('%s is called by its own name, whatever a bundler calls it', (name, Schedule) => {
    expect(Schedule.name).toBe(name);
    expect((Schedule as never as { kind: { name: string } }).kind.name).toBe(name);
    expect(() => new Schedule(optimizerWith([0.1]), { surprise: 1 })).toThrow(
      new RegExp(`^${name}: unknown option "surprise"`),
    );
    expect(() => new Schedule(null as never, {})).toThrow(new RegExp(`^${name}: optimizer must be`));
  });

  it('a class derived by a user is called by that one’s name', () => {
    class Mine extends T.LinearScheduleWithWarmup {}
    expect(() => new Mine(optimizerWith([0.1]), { numWarmupSteps: -1, numTrainingSteps: 3 })).toThrow(
      /^Mine: numWarmupSteps must be/,
    );
    const mine = new Mine(optimizerWith([0.1]), { numWarmupSteps: 1, numTrainingSteps: 3 });
    expect(mine).toBeInstanceOf(T.LinearScheduleWithWarmup);
    expect(mine).toBeInstanceOf(T.LambdaLR);
    expect(() => mine.loadStateDict(3 as never)).toThrow(/^Mine\.loadStateDict/);
  });
});

describe('messages name what was called', () => {
  it.each(factories)('%s', (name, value) => {
    const make = value as Make;
    const optimizer = name === 'getAdafactorSchedule' ? adafactor() : optimizerWith([0.1]);
    expect(make.name).toBe(name);
    expect(() => make(optimizer, { surprise: 1 })).toThrow(new RegExp(`^${name}: unknown option "surprise"`));
    expect(() => make(null as never)).toThrow(new RegExp(`^${name}: optimizer must be`));
    expect(() => make({} as never, optimizer)).toThrow(new RegExp(`^${name}: the optimizer comes first`));
    expect(() => make(optimizer, 3 as never)).toThrow(new RegExp(`^${name}: options must be an object, got 3`));
  });

  const steps = { numWarmupSteps: -1, numTrainingSteps: 3 };
  it.each<[string, () => unknown]>([
    ['linearWithWarmup', () => T.linearWithWarmup(steps)],
    ['LinearScheduleWithWarmup', () => new T.LinearScheduleWithWarmup(optimizerWith([0.1]), steps)],
    ['getLinearScheduleWithWarmup', () => T.getLinearScheduleWithWarmup(optimizerWith([0.1]), steps)],
    ['getScheduler("linear")', () => T.getScheduler('linear', optimizerWith([0.1]), steps)],
  ])('%s names itself for a wrong step count', (name, call) => {
    expect(call).toThrow(`${name}: numWarmupSteps must be an integer at least 0, got -1`);
  });

  it.each<[string, () => unknown]>([
    ['LambdaLR', () => new T.LambdaLR(T.constant() as never, optimizerWith([0.1]) as never)],
    ['ConstantSchedule', () => new T.ConstantSchedule({} as never, optimizerWith([0.1]) as never)],
    ['ReduceLROnPlateau', () => new T.ReduceLROnPlateau({} as never, optimizerWith([0.1]) as never)],
    ['AdafactorSchedule', () => new T.AdafactorSchedule({} as never, adafactor() as never)],
    ['getScheduler("linear")', () => T.getScheduler('linear', {} as never, optimizerWith([0.1]) as never)],
  ])('%s says that its arguments are swapped', (name, call) => {
    expect(call).toThrow(`${name}: the optimizer comes first, then the options; the two arguments are swapped`);
  });

  it('getScheduler says that the name comes first', () => {
    expect(() => T.getScheduler<T.SchedulerName>(optimizerWith([0.1]) as never, 'linear' as never)).toThrow(
      'getScheduler: the name comes first, then the optimizer',
    );
  });

  it('also for what LambdaLR refuses', () => {
    const o = { numWarmupSteps: 1, numTrainingSteps: 3 };
    expect(() => T.getLinearScheduleWithWarmup(adafactor(), o)).toThrow(/^getLinearScheduleWithWarmup: Adafactor/);
    expect(() => new T.LinearScheduleWithWarmup(adafactor(), o)).toThrow(/^LinearScheduleWithWarmup: Adafactor/);
    expect(() => T.getLinearScheduleWithWarmup(optimizerWith([0.1]), { ...o, lastEpoch: 2 })).toThrow(
      /^getLinearScheduleWithWarmup: lastEpoch: 2 needs an initialLr in group 0/,
    );
  });

  it('getScheduler’s own options are named by it, with the name', () => {
    expect(() =>
      T.getScheduler('cosine', optimizerWith([0.1]), {
        numWarmupSteps: 1,
        numTrainingSteps: 3,
        schedulerSpecificKwargs: { numCycles: -1 },
      }),
    ).toThrow('getScheduler("cosine"): numCycles must be a finite number at least 0, got -1');
  });
});

it('a curve carries the names of its options, and its schedule takes them and lastEpoch', () => {
  expect(Object.keys(T.cosineWithWarmup.options)).toEqual([
    'numWarmupSteps',
    'numTrainingSteps',
    'numCycles',
    'minLrRate',
  ]);
  expect(T.cosineWithWarmup.options.numCycles[1]).toBe(0.5);
  for (const [name, Schedule] of classes) {
    const { options } = (Schedule as never as { kind: { curve: { options: object } } }).kind.curve;
    const made = new Schedule(
      optimizerWith([0.1]),
      enough((key) => Object.hasOwn(options, key)),
    );
    expect(made.lastEpoch, name).toBe(0);
    expect(() => new Schedule(optimizerWith([0.1]), { surprise: 1 })).toThrow(
      `Known options: ${[...Object.keys(options), 'lastEpoch'].map((key) => `"${key}"`).join(', ')}`,
    );
  }
});

it('a bundle of one schedule holds no other curve, also where static fields are written out', async () => {
  const { text } = await bundle(`export { getLinearScheduleWithWarmup } from 'tensorless';`);
  for (const absent of ['cosineWith', 'polynomialDecay', 'inverseSqrt', 'ConstantSchedule', 'minLr', 'numStableSteps'])
    expect(text).not.toContain(absent);
  expect(text).toContain('"LinearScheduleWithWarmup"');
});
