/** Groups that come later, bounds per group, and the words of the metric-driven schedulers. */
import * as T from 'tensorless';
import { describe, expect, it, vi } from 'vitest';
import { optimizerWith } from './golden-schedules.ts';

const add = (optimizer: T.Optimizer, lr = 0.2): void =>
  optimizer.addParamGroup({ params: [new T.Parameter(new Float32Array(1))], lr });
const quiet = <R>(work: () => R): R => {
  const spies = [
    vi.spyOn(console, 'warn').mockImplementation(() => {}),
    vi.spyOn(console, 'log').mockImplementation(() => {}),
  ];
  try {
    return work();
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
};

describe('a group that is added after the scheduler', () => {
  it('is refused by a curve, with the way on', () => {
    const scheduler = T.getConstantSchedule(optimizerWith([0.1]));
    add(scheduler.optimizer);
    expect(() => scheduler.step()).toThrow(/had 1\..*lastEpoch: 0/);
  });

  it('is taken by ReduceLROnPlateau with one bound for all, and refused with one each', () => {
    const one = T.getReduceOnPlateauSchedule(optimizerWith([0.1]), { patience: 0, factor: 0.5 });
    one.step(1);
    add(one.optimizer);
    one.step(2);
    expect(one.getLastLr()).toEqual([0.05, 0.1]);
    const each = T.getReduceOnPlateauSchedule(optimizerWith([0.1]), { minLr: [0] });
    add(each.optimizer);
    expect(() => each.step(1)).toThrow(/give one minLr for all groups/);
  });

  it('is refused by GreedyLR', () => {
    const scheduler = T.getGreedySchedule(optimizerWith([0.1]));
    add(scheduler.optimizer);
    expect(() => scheduler.step(1)).toThrow(/make a new one/);
  });

  it('is reported by AdafactorSchedule', () => {
    const optimizer = new T.Adafactor([new T.Parameter(new Float32Array(1))]);
    const scheduler = T.getAdafactorSchedule(optimizer, { initialLr: 0.5 });
    optimizer.addParamGroup({ params: [new T.Parameter(new Float32Array(1))] });
    quiet(() => scheduler.step());
    expect(scheduler.getLastLr()).toEqual([0.5, 0.5]);
  });
});

describe('options that do not go together', () => {
  it.each<[string, () => unknown, RegExp]>([
    [
      'a relative threshold of 1',
      () => T.getReduceOnPlateauSchedule(optimizerWith([0.1]), { threshold: 1 }),
      /threshold must be less than 1/,
    ],
    [
      'bounds for other groups',
      () => T.getReduceOnPlateauSchedule(optimizerWith([0.1]), { minLr: [0, 0] }),
      /one per group/,
    ],
    [
      'a least rate above the most',
      () => T.getGreedySchedule(optimizerWith([0.1]), { minLr: 0.5, maxLr: 0.2 }),
      /minLr must be at most maxLr/,
    ],
    [
      'both minimal rates',
      () =>
        T.getCosineWithMinLrScheduleWithWarmup(optimizerWith([0.1]), {
          numWarmupSteps: 0,
          numTrainingSteps: 9,
          minLr: 0,
          minLrRate: 0,
        } as never),
      /not both/,
    ],
    [
      'no minimal rate',
      () =>
        T.getCosineWithMinLrScheduleWithWarmup(optimizerWith([0.1]), {
          numWarmupSteps: 0,
          numTrainingSteps: 9,
        } as never),
      /give minLr/,
    ],
    [
      'no length of the stable part',
      () => T.getWsdSchedule(optimizerWith([0.1]), { numWarmupSteps: 0, numDecaySteps: 9 } as never),
      /give numTrainingSteps or numStableSteps/,
    ],
    [
      'an optimizer whose own rate is 0',
      () => T.getPolynomialDecayScheduleWithWarmup(optimizerWith([0]), { numWarmupSteps: 0, numTrainingSteps: 9 }),
      /must be a number greater than 0/,
    ],
    ['a curve that gives no factor', () => new T.LambdaLR(optimizerWith([0.1]), () => Number.NaN), /curve/],
    [
      'one of several curves that gives no factor',
      () => new T.LambdaLR(optimizerWith([0.1, 0.2]), [T.constant(), () => -1]),
      /curve of group 1 must/,
    ],
    [
      'as many curves as there are no groups',
      () => new T.LambdaLR(optimizerWith([0.1]), [T.constant(), T.constant()]),
      /curve/,
    ],
  ])('%s', (_, call, message) => expect(call).toThrow(message));

  it('both lengths of the stable part: the stable one counts, with a warning when they differ', () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const make = (numStableSteps: number) =>
      T.getWsdSchedule(optimizerWith([0.1]), {
        numWarmupSteps: 1,
        numTrainingSteps: 10,
        numDecaySteps: 4,
        numStableSteps,
      });
    make(5);
    expect(warn).not.toHaveBeenCalled();
    make(7);
    expect(warn).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('Give only one of the two'));
    warn.mockRestore();
  });
});

describe('GreedyLR', () => {
  it('tells what it does when verbose, and starts anew after resetStart reductions at the bottom', () => {
    const log = vi.spyOn(console, 'log').mockImplementation(() => {});
    const scheduler = T.getGreedySchedule(optimizerWith([0.1]), {
      patience: 0,
      factor: 0.5,
      minLr: 0.05,
      verbose: true,
      resetStart: 2,
      smooth: true,
      windowSize: 2,
    });
    const lrs = Array.from({ length: 8 }, (_, i) => {
      scheduler.optimizer.step();
      scheduler.step(i + 1);
      return scheduler.getLastLr()[0];
    });
    expect(lrs).toContain(0.05);
    expect(lrs.slice(lrs.indexOf(0.05))).toContain(0.1);
    const said = log.mock.calls.join('\n');
    expect(said).toContain('reducing learning rate of group 0 to 5.0000e-2');
    expect(said).toContain('reset to its initial state');
    log.mockRestore();
  });

  it('refuses an infinite metric only when it would spoil the mean', () => {
    const smooth = T.getGreedySchedule(optimizerWith([0.1]), { smooth: true });
    expect(() => smooth.step(Number.POSITIVE_INFINITY)).toThrow(/must be finite with smooth/);
    expect(() => T.getGreedySchedule(optimizerWith([0.1])).step(Number.POSITIVE_INFINITY)).not.toThrow();
  });

  it('refuses a streaming mean that is none', () => {
    const scheduler = T.getGreedySchedule(optimizerWith([0.1]), { smooth: true, windowSize: 2 });
    scheduler.step(1);
    const dict = scheduler.stateDict() as { _streaming_avg: { window_size: number; values: number[]; sum: number } };
    for (const [change, message] of [
      [{ values: [1, 2, 3] }, /at most 2 numbers/],
      [{ values: 3 }, /at most 2/],
      [{ window_size: 3 }, /window_size/],
      [{ sum: 'x' }, /sum/],
    ] as const) {
      expect(() =>
        scheduler.loadStateDict({ ...dict, _streaming_avg: { ...dict._streaming_avg, ...change } } as never),
      ).toThrow(message);
    }
  });
});

it('a NaN from weights that are NaN is reported by AdafactorSchedule and not written', () => {
  const parameter = new T.Parameter(Float32Array.of(Number.NaN));
  const optimizer = new T.Adafactor([parameter], { nonFinite: 'propagate' });
  const scheduler = T.getAdafactorSchedule(optimizer);
  parameter.grad = Float32Array.of(1);
  optimizer.step();
  scheduler.step();
  expect(scheduler.getLastLr()).toEqual([Number.NaN]);
  expect(Number.isNaN(optimizer.paramGroups[0]!.lr)).toBe(false);
});

it('learning rates that are no array are refused by name', () => {
  const scheduler = T.getConstantSchedule(optimizerWith([0.1]));
  expect(() => scheduler.loadStateDict({ ...scheduler.stateDict(), _last_lr: 3 } as never)).toThrow(
    /_last_lr must list/,
  );
});

describe('a state dict', () => {
  const optimizer = (): T.AdamW => {
    const parameter = new T.Parameter(new Float32Array(1));
    parameter.grad = new Float32Array(1);
    const one = new T.AdamW([parameter], { lr: 0.1 });
    one.step();
    return one;
  };

  it('with as many curves as there are no groups is refused, and so is a metric that is none', () => {
    const linear = T.getScheduler('linear', optimizer(), { numWarmupSteps: 1, numTrainingSteps: 5 });
    const dict = linear.stateDict() as Record<string, unknown>;
    for (const curves of [[], [null, null], 3]) {
      expect(() => linear.loadStateDict({ ...dict, lr_lambdas: curves } as never)).toThrow(
        /lr_lambdas must list 1 items, one per group/,
      );
    }
    const plateau = T.getScheduler('reduce_lr_on_plateau', optimizer());
    const saved = plateau.stateDict() as Record<string, unknown>;
    plateau.step(1);
    const later = plateau.stateDict() as Record<string, unknown>;
    expect(() => plateau.loadStateDict({ ...later, best: null } as never)).toThrow(
      /best must be a number.*JSON keeps no/,
    );
    for (const best of [Number.NaN, '1']) {
      expect(() => plateau.loadStateDict({ ...saved, best } as never)).toThrow(/best must be a number/);
    }
  });

  it('is not made of what is no curve: one, or one of several', () => {
    expect(() => new T.LambdaLR(optimizer(), 3 as never)).toThrow(/LambdaLR: curve must be a function.*got 3/);
    expect(() => new T.LambdaLR(optimizer(), ['x' as never])).toThrow(
      /LambdaLR: curve must be a function.*got \["x"\]/,
    );
  });
});
