/** What people get wrong at first: each is told what to do, or told once that it does nothing. */
import {
  Adafactor,
  AdamW,
  getCosineScheduleWithWarmup,
  getScheduler,
  LinearScheduleWithWarmup,
  Parameter,
} from 'tensorless';
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';

function adamw(lr = 1e-3): AdamW {
  const parameter = new Parameter(new Float32Array(4), [2, 2], { name: 'w' });
  parameter.grad = new Float32Array(4).fill(1);
  return new AdamW([parameter], { lr });
}
/** Calls as JavaScript has them, without types. */
const untyped = (f: unknown): ((...args: unknown[]) => unknown) => f as (...args: unknown[]) => unknown;
const steps = { numWarmupSteps: 1, numTrainingSteps: 10 };

describe('a call that cannot be meant is refused with the repair', () => {
  it.each<[string, () => unknown, string]>([
    [
      'a schedule with its arguments swapped',
      () => untyped(getCosineScheduleWithWarmup)(steps, adamw()),
      'getCosineScheduleWithWarmup: the optimizer comes first, then the options; the two arguments are swapped',
    ],
    [
      'getScheduler with its arguments swapped',
      () => untyped(getScheduler)(adamw(), 'cosine', steps),
      'getScheduler: the name comes first, then the optimizer',
    ],
    [
      'getScheduler with positional step counts, as in Python',
      () => untyped(getScheduler)('cosine', adamw(), 10, 100),
      'getScheduler("cosine"): step counts go by name, such as { numWarmupSteps: 10, numTrainingSteps: 1000 }',
    ],
    [
      'an option of the schedule beside the step counts',
      () => untyped(getScheduler)('cosine_with_min_lr', adamw(), { ...steps, minLr: 1e-5 }),
      'getScheduler("cosine_with_min_lr"): minLr goes into schedulerSpecificKwargs, such as ' +
        '{ schedulerSpecificKwargs: { minLr: ... } }',
    ],
    [
      'state of AdamW for an Adafactor',
      () => {
        const from = adamw();
        from.step();
        new Adafactor([new Parameter(new Float32Array(4), [2, 2])]).loadStateDict(from.stateDict());
      },
      'Adafactor.loadStateDict: param_groups[0]: this is the state of AdamW, not of Adafactor; load it into one of ' +
        'that kind',
    ],
    [
      'state of Adafactor for an AdamW',
      () => {
        const parameter = new Parameter(new Float32Array(4), [2, 2]);
        const from = new Adafactor([parameter]);
        parameter.grad = new Float32Array(4).fill(1);
        from.step();
        adamw().loadStateDict(from.stateDict());
      },
      "AdamW.loadStateDict: param_groups[0]: this is the state of Adafactor (transformers'), not of AdamW; load it " +
        'into one of that kind',
    ],
  ])('%s', (_, call, message) => {
    expect(call).toThrow(message);
  });
});

describe('what does nothing is said once', () => {
  let warn: MockInstance<typeof console.warn>;
  beforeEach(() => {
    warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
  });
  afterEach(() => warn.mockRestore());

  it('steps without a gradient anywhere', async () => {
    const optimizer = adamw();
    optimizer.zeroGrad();
    for (let i = 0; i < 3; i++) optimizer.step();
    await optimizer.stepAsync();
    expect(warn.mock.calls).toEqual([['AdamW.step: no parameter has a gradient']]);
    expect(optimizer.stepCalls).toBe(4);
  });

  it('but not where only some have none, or after a step with gradients', () => {
    const [a, b] = [new Parameter(new Float32Array(1)), new Parameter(new Float32Array(1))];
    const optimizer = new AdamW([a, b]);
    a.grad = new Float32Array(1);
    optimizer.step();
    optimizer.zeroGrad();
    optimizer.step();
    expect(warn).not.toHaveBeenCalled();
  });

  it('two schedulers on one optimizer', () => {
    const optimizer = adamw();
    const linear = new LinearScheduleWithWarmup(optimizer, steps);
    const cosine = getCosineScheduleWithWarmup(optimizer, { ...steps, numWarmupSteps: 2 });
    for (let i = 0; i < 4; i++) {
      optimizer.step();
      linear.step();
      cosine.step();
    }
    expect(warn.mock.calls).toEqual([
      ['LinearScheduleWithWarmup.step(): overwrites an lr set elsewhere'],
      ['CosineScheduleWithWarmup.step(): overwrites an lr set elsewhere'],
    ]);
  });

  it('but not one scheduler, saved and loaded too', () => {
    const run = (): [AdamW, LinearScheduleWithWarmup] => {
      const optimizer = adamw();
      return [optimizer, new LinearScheduleWithWarmup(optimizer, steps)];
    };
    const [optimizer, scheduler] = run();
    optimizer.step();
    scheduler.step();
    for (const order of [0, 1]) {
      const [again, resumed] = run();
      const loads = [
        () => again.loadStateDict(optimizer.stateDict()),
        () => resumed.loadStateDict(scheduler.stateDict()),
      ];
      loads[order]!();
      loads[1 - order]!();
      for (let i = 0; i < 3; i++) {
        again.step();
        resumed.step();
      }
    }
    expect(warn).not.toHaveBeenCalled();
  });
});
