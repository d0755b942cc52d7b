import fc from 'fast-check';
import {
  type Curve,
  chain,
  constant,
  constantWithWarmup,
  cosineWithWarmup,
  LambdaLR,
  linearWithWarmup,
  scale,
  sequential,
} from 'tensorless';
import { describe, expect, it } from 'vitest';
import { optimizerWith } from './golden-schedules.ts';

const warmup = constantWithWarmup({ numWarmupSteps: 10 });
const decay = linearWithWarmup({ numWarmupSteps: 0, numTrainingSteps: 20 });

describe('sequential', () => {
  it('gives each part its steps and a clock of its own; the last one goes on', () => {
    const curve = sequential([warmup, 15], [constant(), 5], [decay]);
    for (let step = 0; step < 15; step++) expect(curve(step)).toBe(warmup(step));
    for (let step = 15; step < 20; step++) expect(curve(step)).toBe(1);
    for (let step = 20; step < 60; step++) expect(curve(step)).toBe(decay(step - 20));
  });

  it('is the parts, whatever their lengths (none at all too)', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 6 }), (lengths) => {
        const parts = lengths.map((steps, i): [Curve, number] => [(step) => i * 1000 + step, steps]);
        const curve = sequential(...parts);
        const wanted = lengths.flatMap((steps, i) =>
          i === lengths.length - 1 ? [] : Array.from({ length: steps }, (_, step) => i * 1000 + step),
        );
        for (const [step, value] of wanted.entries()) expect(curve(step)).toBe(value);
        for (let step = 0; step < 5; step++)
          expect(curve(wanted.length + step)).toBe((lengths.length - 1) * 1000 + step);
      }),
    );
  });

  it('holds a cosine at its lowest, as its documentation says', () => {
    const curve = sequential(
      [cosineWithWarmup({ numWarmupSteps: 0, numTrainingSteps: 10, minLrRate: 0.1 }), 10],
      [scale(constant(), 0.1)],
    );
    expect(curve(10)).toBe(0.1);
    expect(curve(1000)).toBe(0.1);
  });
});

it('scale and chain multiply, step by step', () => {
  const product = chain(warmup, scale(decay, 0.5), constant());
  for (let step = 0; step < 30; step++) expect(product(step)).toBe(warmup(step) * (decay(step) * 0.5));
});

it('composed curves are curves: a scheduler takes them, and resumes in their middle', () => {
  const curve = chain(sequential([warmup, 12], [decay]), scale(constant(), 0.5));
  const run = (from?: Record<string, never>): [LambdaLR, number[]] => {
    const scheduler = new LambdaLR(optimizerWith([0.2]), curve);
    if (from !== undefined) scheduler.loadStateDict(from);
    return [scheduler, []];
  };
  const [whole, lrs] = run();
  let saved: unknown;
  for (let step = 0; step < 30; step++) {
    whole.optimizer.step();
    whole.step();
    lrs.push(whole.getLastLr()[0]!);
    if (step === 11) saved = structuredClone(whole.stateDict());
  }
  const [resumed] = run(saved as Record<string, never>);
  for (let step = 12; step < 30; step++) {
    resumed.optimizer.step();
    resumed.step();
    expect(resumed.getLastLr()[0]).toBe(lrs[step]);
  }
});

describe('composition refuses', () => {
  it.each<[string, () => unknown, string | RegExp]>([
    ['no part', () => sequential(), 'at least one part'],
    [
      'a part without steps that is not the last',
      () => sequential([constant()], [constant()]),
      'part 0[1] (its steps) must be',
    ],
    ['a negative number of steps', () => sequential([constant(), -1], [constant()]), 'must be'],
    ['a curve alone', () => sequential(constant() as never), 'must be [curve, steps]'],
    ['a number for a curve', () => sequential([3 as never, 3]), 'must be a curve'],
    ['no curve', () => chain(), 'at least one curve'],
    ['a factor that is none', () => scale(constant(), Number.NaN), 'factor must be'],
    ['a negative factor', () => scale(constant(), -1), 'factor must be'],
    ['something else than a curve', () => scale({} as never, 1), 'must be a curve'],
    ['what is no step', () => sequential([constant(), 1], [constant()])(0.5), 'step must be'],
  ])('%s', (_, call, message) => expect(call).toThrow(message));
});

describe('what is composed', () => {
  const curve = constant();
  it.each<[() => unknown, string]>([
    [() => sequential([] as never), 'sequential: part 0 must be'],
    [() => sequential([curve, 1], [curve, 1, 2] as never), 'sequential: part 1 must be'],
    [() => sequential(3 as never, [curve]), 'sequential: part 0 must be'],
    [() => sequential([3 as never, 1], [curve]), 'part 0[0]'],
    [() => sequential([curve, 1.5], [curve]), 'part 0[1] (its steps) must be an integer'],
    [() => sequential([curve], [curve]), 'part 0[1] (its steps)'],
    [() => scale(3 as never, 1), 'scale: curve must be'],
    [() => chain(curve, 3 as never), 'chain: curve 1 must be'],
  ])('is named where it is wrong (%#)', (make, message) => {
    expect(make).toThrow(message);
  });
});
