/** State dicts from elsewhere: older releases of PyTorch, other kinds, 0-d tensors, JSON. */
import { readdirSync, readFileSync } from 'node:fs';
import * as T from 'tensorless';
import { describe, expect, it, vi } from 'vitest';
import { camelCase } from './golden.ts';
import { lrsOf, optimizerWith, revive, type StateDict } from './golden-schedules.ts';

interface States {
  torch: string;
  plateau: {
    kwargs: Record<string, unknown>;
    metrics: number[];
    lrs: number[][];
    before: StateDict;
    at: StateDict;
    at_step: number;
    grown: { state: StateDict; lrs: number[][] };
  };
  kinds: Record<string, StateDict>;
}

const folder = new URL('vectors/states/', import.meta.url);
const states = readdirSync(folder).map(
  (file): States => JSON.parse(readFileSync(new URL(file, folder), 'utf8'), revive),
);
const newest = states.find(({ torch }) => torch === '2.13.0')!;
const tensor = (value: number): T.StateTensor => ({ dtype: 'float64', shape: [], data: Float64Array.of(value) });
const step = (value: number): T.StateTensor => ({ dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(value)) });

describe.each(states)('torch $torch: ReduceLROnPlateau', ({ plateau }) => {
  const make = (lrs: readonly number[]): T.ReduceLROnPlateau =>
    new T.ReduceLROnPlateau(optimizerWith(lrs), camelCase(plateau.kwargs));
  const follow = (scheduler: T.LRScheduler, from: number): (number | null)[][] => {
    const lrs = [lrsOf(scheduler.optimizer)];
    for (const metric of plateau.metrics.slice(from)) {
      scheduler.step(metric);
      lrs.push(lrsOf(scheduler.optimizer));
    }
    return lrs;
  };

  it('goes on from before the first step, and from the middle', () => {
    const first = make(plateau.lrs[0]!);
    first.loadStateDict(plateau.before);
    expect(first.getLastLr()).toEqual(plateau.lrs[0]);
    expect(follow(first, 0)).toEqual(plateau.lrs);
    const middle = make(plateau.lrs[plateau.at_step]!);
    middle.loadStateDict(plateau.at);
    expect(follow(middle, plateau.at_step)).toEqual(plateau.lrs.slice(plateau.at_step));
  });

  it('with a group that was added before saving, which gets the common bound', () => {
    const { state } = plateau.grown;
    const scheduler = make([...plateau.lrs[plateau.at_step]!, 0.2]);
    scheduler.loadStateDict(state);
    expect(scheduler.getLastLr()).toEqual([...plateau.lrs[plateau.at_step]!, 0.2]);
    expect(scheduler.stateDict().min_lrs).toEqual([1e-4, 1e-4, 1e-4]);
    // Older releases fail at the next reduction; what follows is the newest one's.
    expect(follow(scheduler, plateau.at_step)).toEqual(newest.plateau.grown.lrs);
  });

  it('but not with bounds of their own, nor with more of them than groups', () => {
    const own = new T.ReduceLROnPlateau(optimizerWith([0.1, 0.2, 0.3]), { minLr: [0, 0, 0] });
    const state = { ...plateau.grown.state, default_min_lr: null };
    expect(() => own.loadStateDict(state)).toThrow(/minLr has 2 items but the optimizer now has 3 groups/);
    expect(() => make([0.1]).loadStateDict(plateau.at)).toThrow(/min_lrs must list 1 items/);
  });
});

describe.each(states)(
  'torch $torch: the state of another kind is refused by that kind’s name',
  ({ kinds, plateau }) => {
    it.each(Object.entries(kinds))('%s', (kind, dict) => {
      for (const scheduler of [
        T.getConstantSchedule(optimizerWith([0.1, 0.2])),
        T.getReduceOnPlateauSchedule(optimizerWith([0.1, 0.2])),
        T.getGreedySchedule(optimizerWith([0.1, 0.2])),
      ]) {
        const before = scheduler.stateDict();
        const goesOn = Object.hasOwn(dict as object, 'last_epoch') ? ', or go on from its last_epoch' : '';
        const name = `the state dict of ${kind}; load it into one of that kind${goesOn}`;
        expect(() => scheduler.loadStateDict(dict)).toThrow(name);
        expect(scheduler.stateDict()).toEqual(before);
      }
    });

    it('ReduceLROnPlateau', () => {
      const scheduler = T.getConstantSchedule(optimizerWith([0.1, 0.2]));
      expect(() => scheduler.loadStateDict(plateau.at)).toThrow('the state dict of ReduceLROnPlateau;');
      expect(() => scheduler.loadStateDict(scheduler.optimizer.stateDict() as never)).toThrow(
        /optimizer; load it into one of that kind$/,
      );
    });
  },
);

describe('0-d tensors stand for numbers', () => {
  it('in a curve’s dict', () => {
    const scheduler = T.getLinearScheduleWithWarmup(optimizerWith([0.1]), { numWarmupSteps: 2, numTrainingSteps: 9 });
    const dict = scheduler.stateDict();
    scheduler.loadStateDict({
      ...dict,
      last_epoch: step(3),
      _step_count: step(4),
      base_lrs: [tensor(0.1)],
      _last_lr: [tensor(0.05)],
    });
    expect(scheduler.stateDict()).toEqual({ ...dict, last_epoch: 3, _step_count: 4, _last_lr: [0.05] });
  });

  it.each([T.getReduceOnPlateauSchedule, T.getGreedySchedule])('in every number of $name’s', (factory) => {
    const scheduler = factory(optimizerWith([0.1]), { patience: 1 }) as T.LRScheduler;
    for (const metric of [3, 2, 2.5]) scheduler.step(metric);
    const dict = scheduler.stateDict();
    const tensors = Object.fromEntries(
      Object.entries(dict).map(([key, value]) => {
        const one = (x: unknown): unknown => (typeof x === 'number' ? tensor(x) : x);
        return [key, Array.isArray(value) ? value.map(one) : one(value)];
      }),
    );
    const other = factory(optimizerWith([0.1])) as T.LRScheduler;
    other.loadStateDict(tensors as StateDict);
    expect(other.stateDict()).toEqual(dict);
  });
});

describe('a state dict that went through JSON', () => {
  const through = (dict: unknown): StateDict => JSON.parse(JSON.stringify(dict)) as StateDict;

  it.each(['min', 'max'] as const)('before the first step and after it is taken (%s)', (mode) => {
    for (const make of [T.getReduceOnPlateauSchedule, T.getGreedySchedule]) {
      const scheduler = make(optimizerWith([0.1]), { mode }) as T.LRScheduler;
      for (const metric of [undefined, 3]) {
        if (metric !== undefined) scheduler.step(metric);
        const other = make(optimizerWith([0.1]), { mode }) as T.LRScheduler;
        other.loadStateDict(through(scheduler.stateDict()));
        expect(other.stateDict()).toEqual(scheduler.stateDict());
      }
    }
    const curve = T.getCosineScheduleWithWarmup(optimizerWith([0.1]), { numWarmupSteps: 2, numTrainingSteps: 9 });
    curve.loadStateDict(through(curve.stateDict()));
  });

  it('is refused, with the repair, where it cannot be told what was lost', () => {
    const plateau = T.getReduceOnPlateauSchedule(optimizerWith([0.1]));
    plateau.step(Number.NEGATIVE_INFINITY);
    expect(() => plateau.loadStateDict(through(plateau.stateDict()))).toThrow(
      'ReduceLROnPlateau.loadStateDict: best must be a number or a tensor with one element, got null (JSON ' +
        'keeps no NaN, Infinity or typed array',
    );
    const curve = T.getConstantSchedule(optimizerWith([0.1]));
    const dict = { ...curve.stateDict(), last_epoch: tensor(3) };
    curve.loadStateDict(dict);
    expect(() => curve.loadStateDict(through(dict))).toThrow(/last_epoch must be a number.*JSON keeps no/);
    expect(() => curve.loadStateDict({ ...dict, _last_lr: [null] })).toThrow(
      /_last_lr\[0\] must be a number.*JSON keeps no/,
    );
  });
});

describe('step with an argument', () => {
  it('goes on by one step and says so once', () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const scheduler = T.getLinearScheduleWithWarmup(optimizerWith([0.1]), { numWarmupSteps: 2, numTrainingSteps: 9 });
    const other = T.getLinearScheduleWithWarmup(optimizerWith([0.1]), { numWarmupSteps: 2, numTrainingSteps: 9 });
    for (const argument of [5, 2, undefined, null]) {
      for (const one of [scheduler, other]) one.optimizer.step();
      scheduler.step(argument as number);
      other.step();
      expect(scheduler.getLastLr()).toEqual(other.getLastLr());
    }
    expect(warn).toHaveBeenCalledExactlyOnceWith(
      'LinearScheduleWithWarmup.step() takes no argument, got 5: goes on by one step. ' +
        'To jump make a new one with { lastEpoch }.',
    );
    warn.mockClear();
    const parameter = new T.Parameter(new Float32Array(1));
    parameter.grad = new Float32Array(1);
    const adafactor = T.getAdafactorSchedule(new T.Adafactor([parameter]));
    adafactor.optimizer.step();
    adafactor.step(Number.NaN);
    adafactor.step(0);
    expect(warn).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('AdafactorSchedule.step() takes no argument'));
    warn.mockRestore();
  });
});

describe('None, where transformers has it', () => {
  const steps = { numWarmupSteps: 2, numTrainingSteps: 10 };
  const lrs = (scheduler: T.LRScheduler): number[] =>
    Array.from({ length: 12 }, () => {
      const [lr] = scheduler.getLastLr();
      scheduler.optimizer.step();
      scheduler.step();
      return lr!;
    });
  const o = (): T.AdamW => optimizerWith([0.1]);

  it.each<[string, () => T.LRScheduler, () => T.LRScheduler]>([
    [
      'minLr',
      () => T.getCosineWithMinLrScheduleWithWarmup(o(), { ...steps, minLr: null, minLrRate: 0.1 }),
      () => T.getCosineWithMinLrScheduleWithWarmup(o(), { ...steps, minLrRate: 0.1 }),
    ],
    [
      'minLrRate and warmupLrRate',
      () =>
        T.getCosineWithMinLrScheduleWithWarmupLrRate(o(), {
          ...steps,
          minLr: 0.01,
          minLrRate: null,
          warmupLrRate: null,
        }),
      () => T.getCosineWithMinLrScheduleWithWarmupLrRate(o(), { ...steps, minLr: 0.01 }),
    ],
    [
      'numStableSteps',
      () => T.getWsdSchedule(o(), { ...steps, numDecaySteps: 3, numStableSteps: null }),
      () => T.getWsdSchedule(o(), { ...steps, numDecaySteps: 3 }),
    ],
    [
      'numTrainingSteps',
      () => T.getWsdSchedule(o(), { numWarmupSteps: 2, numTrainingSteps: null, numDecaySteps: 3, numStableSteps: 5 }),
      () => T.getWsdSchedule(o(), { numWarmupSteps: 2, numDecaySteps: 3, numStableSteps: 5 }),
    ],
    [
      'timescale',
      () => T.getInverseSqrtSchedule(o(), { numWarmupSteps: 2, timescale: null }),
      () => T.getInverseSqrtSchedule(o(), { numWarmupSteps: 2 }),
    ],
    [
      'getScheduler: step counts and schedulerSpecificKwargs',
      () =>
        T.getScheduler<T.SchedulerName>('constant', o(), {
          numWarmupSteps: null,
          numTrainingSteps: null,
          schedulerSpecificKwargs: null,
        }),
      () => T.getScheduler('constant', o()),
    ],
  ])('%s', (_, withNull, without) => expect(lrs(withNull())).toEqual(lrs(without())));

  it('is refused where transformers needs a number', () => {
    expect(() => T.getCosineWithMinLrScheduleWithWarmup(o(), { ...steps, minLr: null } as never)).toThrow(/give minLr/);
    expect(() => T.getCosineScheduleWithWarmup(o(), { ...steps, numCycles: null } as never)).toThrow(/numCycles must/);
    expect(() => T.getScheduler('linear', o(), { numWarmupSteps: null } as never)).toThrow(/numWarmupSteps is needed/);
  });
});
