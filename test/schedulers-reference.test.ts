/**
 * Inputs and numbers of PyTorch's and transformers' own scheduler tests (pytorch
 * test/optim/test_lrscheduler.py, transformers tests/optimization/test_optimization.py), each
 * beside its test's name. docs/schedules.md says which are not here and why.
 */
import * as T from 'tensorless';
import { describe, expect, it, vi } from 'vitest';
import { optimizerWith } from './golden-schedules.ts';

const times = <X>(n: number, x: X): X[] => new Array<X>(n).fill(x);
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const onCurve = (curve: T.Curve | T.Curve[], bases: number[] = [0.05, 0.5]): T.LRScheduler =>
  new T.LambdaLR(optimizerWith(bases), curve);

/**
 * The learning rates of every group, the first ones included; `metrics` for the schedules that
 * watch one.
 */
function follow(scheduler: T.LRScheduler, n: number, metrics?: readonly number[]): number[][] {
  const lrs = scheduler.getLastLr().map((lr) => [lr]);
  for (let step = 1; step < n; step++) {
    scheduler.optimizer.step();
    scheduler.step(metrics?.[step - 1]);
    for (const [i, lr] of scheduler.getLastLr().entries()) lrs[i]!.push(lr);
  }
  return lrs;
}

function close(got: readonly number[], wanted: readonly number[], tolerance = 1e-5): void {
  expect(got.length).toBe(wanted.length);
  for (const [step, lr] of wanted.entries()) {
    expect(Math.abs(got[step]! - lr), `step ${step}: ${got[step]} for ${lr}`).toBeLessThanOrEqual(tolerance);
  }
}

const cosine = (x: number): number => (1 + Math.cos(Math.PI * x)) / 2;
const annealed = (k: number): number => 0.5 + 24.5 * cosine(k / 7);

describe('PyTorch: schedules of the step, on groups with 0.05 and 0.5', () => {
  it.each<[string, T.Curve, number[]]>([
    ['test_step_lr', T.step({ stepSize: 3, gamma: 0.1 }), [0.05, 0.005, 0.0005].flatMap((lr) => times(3, lr))],
    [
      'test_multi_step_lr',
      T.multiStep({ milestones: [2, 5, 9], gamma: 0.1 }),
      [...times(2, 0.05), ...times(3, 0.005), ...times(4, 0.0005), ...times(3, 0.00005)],
    ],
    ['test_exp_lr', T.exponential({ gamma: 0.9 }), range(10).map((x) => 0.05 * 0.9 ** x)],
    [
      'test_cos_anneal_lr',
      T.cosineAnnealing({ tMax: 10, minLrRate: 1e-10 / 0.05 }),
      range(10).map((x) => 1e-10 + (0.05 - 1e-10) * cosine(x / 10)),
    ],
    ['test_constantlr', (t) => (t < 5 ? 0.5 : 1), [...times(5, 0.025), ...times(5, 0.05)]],
    ['test_linearlr', (t) => Math.min(1, 0.5 + t / 8), [0.025, 0.03125, 0.0375, 0.04375, ...times(6, 0.05)]],
    [
      'test_poly_lr',
      T.polynomialDecayWithWarmup({ numWarmupSteps: 0, numTrainingSteps: 5, lrInit: 1, lrEnd: 0, power: 0.9 }),
      [...range(5).map((x) => (1 - x / 5) ** 0.9 * 0.05), ...times(5, 0)],
    ],
    [
      'test_sequentiallr1',
      T.sequential([T.exponential({ gamma: 0.8 }), 3], [T.step({ stepSize: 4, gamma: 0.1 })]),
      [0.05, 0.04, 0.032, ...[0.05, 0.005, 0.0005, 0.00005].flatMap((lr) => times(4, lr))],
    ],
    [
      'test_sequentiallr2',
      T.sequential([T.scale(T.constant(), 0.1), 3], [T.exponential({ gamma: 0.9 })]),
      [...times(3, 0.005), ...range(10).map((x) => 0.05 * 0.9 ** x)],
    ],
    [
      'test_sequentiallr3',
      T.sequential(
        [T.scale(T.constant(), 0.1), 3],
        [T.exponential({ gamma: 0.8 }), 3],
        [T.step({ stepSize: 2, gamma: 0.1 })],
      ),
      [...times(3, 0.005), 0.05, 0.04, 0.032, 0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005],
    ],
    [
      'test_sequentiallr5',
      T.sequential([T.chain((t) => 0.1 + 0.18 * t, T.scale(T.constant(), 0.1)), 5], [T.scale(T.constant(), 0.5)]),
      [0.0005, 0.0014, 0.0023, 0.0032, 0.0041, ...times(5, 0.025)],
    ],
  ])('%s', (_, curve, wanted) => {
    const [first, second] = follow(onCurve(curve), wanted.length);
    close(first!, wanted);
    close(
      second!,
      wanted.map((lr) => 10 * lr),
    );
  });

  it('test_lambda_lr: a curve per group', () => {
    const curves = [(t: number) => 0.9 ** t, (t: number) => 0.8 ** t];
    const [first, second] = follow(onCurve(curves, [0.05, 0.4]), 10);
    close(
      first!,
      range(10).map((x) => 0.05 * 0.9 ** x),
    );
    close(
      second!,
      range(10).map((x) => 0.4 * 0.8 ** x),
    );
  });

  it.each<[string, T.OneCycleOptions, number[]]>([
    [
      'test_onecycle_lr_linear_annealing',
      { totalSteps: 10, finalDivFactor: 2, annealStrategy: 'linear' },
      [1, 13, 25, 21.5, 18, 14.5, 11, 7.5, 4, 0.5],
    ],
    [
      'test_onecycle_lr_linear_annealing_three_phases',
      { totalSteps: 10, divFactor: 25, finalDivFactor: 4, annealStrategy: 'linear', pctStart: 0.4, threePhase: true },
      [1, 9, 17, 25, 17, 9, 1, 0.75, 0.5, 0.25],
    ],
    [
      'test_onecycle_lr_cosine_annealing',
      { totalSteps: 10, finalDivFactor: 2 },
      [1, 13, 25, ...[1, 2, 3, 4, 5, 6].map(annealed), 0.5],
    ],
  ])('%s', (_, o, wanted) => close(follow(onCurve(T.oneCycle(o), [25]), 10)[0]!, wanted));

  it('test_raise_error_when_last_epoch_is_greater_than_0_and_initial_lr_is_not_specified', () => {
    expect(() => new T.LambdaLR(optimizerWith([0.1]), T.step({ stepSize: 3 }), { lastEpoch: 1 })).toThrow(
      /needs an initialLr in group 0/,
    );
  });

  it('test_cos_anneal_lr_continue: made again with lastEpoch, the rates are the same', () => {
    const first = onCurve(T.cosineAnnealing({ tMax: 5, minLrRate: 0.1 }));
    follow(first, 2);
    const second = new T.LambdaLR(first.optimizer, T.cosineAnnealing({ tMax: 5, minLrRate: 0.1 }), { lastEpoch: 0 });
    expect(second.getLastLr()).toEqual(first.getLastLr());
  });

  it('test_old_pattern_warning, test_new_pattern_no_warning', () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    follow(onCurve(T.step({ stepSize: 3 })), 35);
    expect(warn).not.toHaveBeenCalled();
    onCurve(T.step({ stepSize: 3 })).step();
    expect(warn).toHaveBeenCalledOnce();
    warn.mockRestore();
  });

  it('test_step_lr_is_constant_for_constant_epoch: on purpose not; step(2) is one step more, with a word', () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const scheduler = onCurve(T.step({ stepSize: 2 }));
    for (let step = 0; step < 10; step++) {
      scheduler.optimizer.step();
      scheduler.step(2);
    }
    expect(scheduler.lastEpoch).toBe(10);
    expect(warn).toHaveBeenCalledOnce();
    warn.mockRestore();
  });
});

describe('PyTorch: ReduceLROnPlateau, from 0.5', () => {
  const abs = { thresholdMode: 'abs' } as const;
  const rel = { thresholdMode: 'rel', threshold: 0.1 } as const;
  const slow = { patience: 5, cooldown: 5 };
  it.each<[string, T.ReduceLROnPlateauOptions, number[], number[][]]>([
    ['1', { ...abs, threshold: 0.01, ...slow }, range(20).map((i) => 10 - i * 0.0167), [times(10, 0.5)]],
    [
      '2',
      { ...abs, threshold: 0.1, patience: 5 },
      range(22).map((i) => 10 - i * 0.0165),
      [[...times(6, 0.5), ...times(7, 0.05), ...times(7, 0.005), ...times(2, 0.0005)]],
    ],
    [
      '3',
      { ...abs, mode: 'max', ...slow },
      [...times(2, -0.8), ...times(20, -0.234)],
      [[...times(8, 0.5), ...times(11, 0.05), ...times(3, 0.005)]],
    ],
    ['4', { ...rel, mode: 'max', patience: 3 }, range(20).map((i) => 1.5 * 1.025 ** i), [times(20, 0.5)]],
    [
      '5',
      { ...rel, mode: 'max', ...slow },
      range(20).map((i) => 1.5 * 1.005 ** i),
      [[...times(6, 0.5), ...times(11, 0.05), ...times(3, 0.005)]],
    ],
    ['6', rel, range(20).map((i) => 1.5 * 0.85 ** i), [times(20, 0.5)]],
    [
      '7',
      { ...rel, ...slow },
      [...times(7, 1), 0.6, ...times(12, 0.5)],
      [[...times(6, 0.5), ...times(11, 0.05), ...times(3, 0.005)]],
    ],
    [
      '8',
      { ...rel, mode: 'max', minLr: [0.4, 0.3], ...slow },
      range(20).map((i) => 1.5 * 1.005 ** i),
      [
        [...times(6, 0.5), ...times(14, 0.4)],
        [...times(6, 0.5), ...times(14, 0.3)],
      ],
    ],
  ])('test_reduce_lr_on_plateau%s', (_, o, metrics, targets) => {
    const scheduler = new T.ReduceLROnPlateau(optimizerWith([0.5, 0.5]), o);
    const [first] = targets;
    expect(scheduler.getLastLr()).toEqual([0.5, 0.5]);
    // As PyTorch's test: the rate is looked at before the step that takes the metric of the same
    // number.
    const lrs: number[][] = [[], []];
    for (const [step] of first!.entries()) {
      scheduler.optimizer.step();
      scheduler.step(metrics[step]);
      for (const [i, lr] of scheduler.getLastLr().entries()) lrs[i]!.push(lr);
    }
    for (const [i, target] of targets.entries()) close(lrs[i]!, target);
  });

  it('test_reduce_lr_on_plateau_state_dict: loading takes the options along', () => {
    const first = new T.ReduceLROnPlateau(optimizerWith([0.05, 0.5]), { factor: 0.1, patience: 2 });
    for (const score of [1, 2, 3, 4, 3, 4, 5, 3, 2, 1]) first.step(score);
    const second = new T.ReduceLROnPlateau(optimizerWith([0.05, 0.5]), { mode: 'max', factor: 0.5, patience: 10 });
    second.loadStateDict(first.stateDict());
    expect(second.stateDict()).toEqual(first.stateDict());
  });
});

describe('PyTorch: ReduceLROnPlateau and a group that comes later', () => {
  const o = { thresholdMode: 'rel', threshold: 0.1, patience: 5, cooldown: 5 } as const;
  const metrics = [...times(7, 1), 0.6, ...times(12, 0.5)];

  it('test_add_param_group_does_not_break_reduce_lr_on_plateau', () => {
    const scheduler = new T.ReduceLROnPlateau(optimizerWith([0.5, 0.5]), o);
    const lrs: number[] = [];
    for (const [epoch, metric] of metrics.entries()) {
      if (epoch === 8) {
        scheduler.optimizer.addParamGroup({ params: [new T.Parameter(new Float32Array(6), [2, 3])], lr: 0.05 });
      }
      scheduler.optimizer.step();
      scheduler.step(metric);
      lrs.push(scheduler.getLastLr()[0]!);
    }
    close(lrs, [...times(6, 0.5), ...times(11, 0.05), ...times(3, 0.005)]);
  });

  it('test_add_param_group_errors_reduce_lr_on_plateau: at the first step, not only at the reduction', () => {
    const scheduler = new T.ReduceLROnPlateau(optimizerWith([0.5, 0.5]), { ...o, patience: 0, minLr: [1e-5, 1e-4] });
    scheduler.optimizer.addParamGroup({ params: [new T.Parameter(new Float32Array(6), [2, 3])], lr: 0.05 });
    expect(() => scheduler.step(1)).toThrow(/minLr has 2 items but the optimizer now has 3 groups/);
  });
});

describe('transformers: ScheduleInitTest, lr 10', () => {
  const steps = { numWarmupSteps: 2, numTrainingSteps: 10 };
  const o = (): T.AdamW => optimizerWith([10]);
  const cases: [string, () => T.LRScheduler, number[]][] = [
    ['get_constant_schedule', () => T.getConstantSchedule(o()), times(10, 10)],
    [
      'get_constant_schedule_with_warmup',
      () => T.getConstantScheduleWithWarmup(o(), { numWarmupSteps: 4 }),
      [0, 2.5, 5, 7.5, 10, 10, 10, 10, 10, 10],
    ],
    [
      'get_linear_schedule_with_warmup',
      () => T.getLinearScheduleWithWarmup(o(), steps),
      [0, 5, 10, 8.75, 7.5, 6.25, 5, 3.75, 2.5, 1.25],
    ],
    [
      'get_cosine_schedule_with_warmup',
      () => T.getCosineScheduleWithWarmup(o(), steps),
      [0, 5, 10, 9.61, 8.53, 6.91, 5, 3.08, 1.46, 0.38],
    ],
    [
      'get_cosine_with_hard_restarts_schedule_with_warmup',
      () => T.getCosineWithHardRestartsScheduleWithWarmup(o(), { ...steps, numCycles: 2 }),
      [0, 5, 10, 8.53, 5, 1.46, 10, 8.53, 5, 1.46],
    ],
    [
      'get_polynomial_decay_schedule_with_warmup',
      () => T.getPolynomialDecayScheduleWithWarmup(o(), { ...steps, power: 2, lrEnd: 1e-7 }),
      [0, 5, 10, 7.656, 5.625, 3.906, 2.5, 1.406, 0.625, 0.156],
    ],
    [
      'get_inverse_sqrt_schedule',
      () => T.getInverseSqrtSchedule(o(), { numWarmupSteps: 2 }),
      [0, 5, 10, 8.165, 7.071, 6.325, 5.774, 5.345, 5, 4.714],
    ],
  ];
  it.each(cases)('%s, straight and saved half-way', (_, make, wanted) => {
    const [straight] = follow(make(), 10);
    close(straight!, wanted, 1e-2);
    const first = make();
    const [before] = follow(first, 6);
    const second = make();
    second.loadStateDict(structuredClone(first.stateDict()));
    const [after] = follow(second, 5);
    expect([...before!, ...after!.slice(1)]).toEqual(straight);
  });
});
