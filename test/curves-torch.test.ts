/**
 * The curves of torch.optim.lr_scheduler, against what PyTorch recorded
 * (test/vectors/make_curves.py), and their corners.
 */
import { readdirSync, readFileSync } from 'node:fs';
import * as T from 'tensorless';
import { describe, expect, it } from 'vitest';
import { lrsOf, optimizerWith } from './golden-schedules.ts';

interface Recorded {
  curve: keyof typeof curves;
  options: never;
  base_lrs: number[];
  lrs: number[][];
}

const { step, multiStep, exponential, cosineAnnealing, oneCycle } = T;
const curves = { step, multiStep, exponential, cosineAnnealing, oneCycle };

const folder = new URL('vectors/curves/', import.meta.url);
const recorded = readdirSync(folder).map(
  (file) => [file.slice(0, -5), JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Recorded] as const,
);

/** PyTorch multiplies the rate of the step before, so its last bits are a sum of roundings. */
const TOLERANCE = 1e-12;

describe.each(recorded)('%s', (_, { curve, options, base_lrs: bases, lrs }) => {
  const make: (o: never) => T.Curve = curves[curve];

  it('gives the recorded learning rates', () => {
    const optimizer = optimizerWith(bases);
    const scheduler = new T.LambdaLR(optimizer, make(options));
    for (const [step, wanted] of lrs.entries()) {
      if (step > 0) {
        optimizer.step();
        scheduler.step();
      }
      for (const [i, lr] of lrsOf(optimizer).entries()) {
        expect(Math.abs(lr! - wanted[i]!), `step ${step}: ${lr} for ${wanted[i]}`).toBeLessThanOrEqual(
          TOLERANCE * wanted[i]! + 1e-17 * bases[i]!,
        );
      }
    }
  });

  it('is resumed to the bit', () => {
    const whole = new T.LambdaLR(optimizerWith(bases), make(options));
    for (let step = 0; step < 12; step++) {
      whole.optimizer.step();
      whole.step();
    }
    const second = new T.LambdaLR(optimizerWith(bases), make(options));
    second.loadStateDict(structuredClone(whole.stateDict()));
    expect(second.getLastLr()).toEqual(whole.getLastLr());
  });
});

const values = (curve: T.Curve, n: number): number[] => Array.from({ length: n }, (_, step) => curve(step));

describe('corners', () => {
  it('step, multiStep and exponential count from the initial rate', () => {
    expect(values(T.step({ stepSize: 2, gamma: 0.5 }), 7)).toEqual([1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]);
    expect(values(T.multiStep({ milestones: [3, 2], gamma: 0.5 }), 5)).toEqual([1, 1, 0.5, 0.25, 0.25]);
    expect(values(T.multiStep({ milestones: [2, 2], gamma: 0.5 }), 4)).toEqual([1, 1, 0.25, 0.25]);
    expect(T.multiStep({ milestones: [0], gamma: 0.5 })(0)).toBe(0.5);
    expect(values(T.multiStep({ milestones: [] }), 3)).toEqual([1, 1, 1]);
    expect(values(T.exponential({ gamma: 0.5 }), 4)).toEqual([1, 0.5, 0.25, 0.125]);
    expect(values(T.exponential({ gamma: 0 }), 3)).toEqual([1, 0, 0]);
    expect(T.step({ stepSize: 1 })(2)).toBeCloseTo(0.01, 15);
  });

  it('milestones that are changed afterwards change nothing', () => {
    const milestones = [2];
    const curve = T.multiStep({ milestones, gamma: 0.5 });
    milestones[0] = 0;
    expect(curve(1)).toBe(1);
  });

  it('cosineAnnealing holds at its end, where cosineWithWarmup goes up again', () => {
    const curve = T.cosineAnnealing({ tMax: 10, minLrRate: 0.1 });
    const wave = T.cosineWithWarmup({ numWarmupSteps: 0, numTrainingSteps: 10, minLrRate: 0.1 });
    for (let step = 0; step < 10; step++) expect(Math.abs(curve(step) - wave(step))).toBeLessThan(1e-15);
    for (const step of [10, 11, 15, 20, 2 ** 40]) expect(curve(step)).toBe(0.1);
    expect(wave(15)).toBeGreaterThan(0.5);
    expect(T.cosineAnnealing({ tMax: 1 })(0)).toBe(1);
  });

  it('oneCycle has its corners, holds at its end, and takes one step', () => {
    const curve = T.oneCycle({ totalSteps: 20, pctStart: 0.5, divFactor: 4, finalDivFactor: 8 });
    expect([curve(0), curve(9), curve(19), curve(20), curve(10_000)]).toEqual([0.25, 1, 1 / 32, 1 / 32, 1 / 32]);
    const three = T.oneCycle({ totalSteps: 20, pctStart: 0.4, divFactor: 4, finalDivFactor: 8, threePhase: true });
    expect([three(0), three(7), three(14), three(19)]).toEqual([0.25, 1, 0.25, 1 / 32]);
    expect(T.oneCycle({ totalSteps: 1, divFactor: 2, finalDivFactor: 2 })(0)).toBe(0.25);
    // The way up is over at step 0, where PyTorch divides by zero.
    expect(T.oneCycle({ totalSteps: 10, pctStart: 0.1 })(0)).toBe(1);
  });
});

it.each<[string, () => T.Curve, RegExp]>([
  ['step', () => T.step({ stepSize: 0 }), /^step: stepSize must be an integer at least 1, got 0/],
  ['step', () => T.step({} as never), /^step: stepSize must be an integer/],
  ['step', () => T.step({ stepSize: 1, gamma: -1 }), /^step: gamma must be/],
  ['multiStep', () => T.multiStep({ milestones: 3 as never }), /^multiStep: milestones must be an array of steps/],
  ['multiStep', () => T.multiStep({ milestones: [3, -1] }), /^multiStep: milestones\[1\] must be an integer/],
  ['exponential', () => T.exponential({ gamma: Number.NaN }), /^exponential: gamma must be/],
  ['cosineAnnealing', () => T.cosineAnnealing({ tMax: 0 }), /^cosineAnnealing: tMax must be/],
  ['cosineAnnealing', () => T.cosineAnnealing({ tMax: 3, etaMin: 0 } as never), /unknown option "etaMin"/],
  ['oneCycle', () => T.oneCycle({ totalSteps: 10, pctStart: 1.1 }), /^oneCycle: pctStart must be/],
  ['oneCycle', () => T.oneCycle({ totalSteps: 10, annealStrategy: 'CATS' as never }), /must be one of "cos", "linear"/],
  ['oneCycle', () => T.oneCycle({} as never), /^oneCycle: totalSteps must be/],
  ['oneCycle', () => T.oneCycle({ totalSteps: 10, divFactor: 0 }), /^oneCycle: divFactor must be/],
  ['oneCycle', () => T.oneCycle({ totalSteps: 10, threePhase: 1 as never }), /^oneCycle: threePhase must be true/],
])('%s refuses what is none of its options', (_, make, message) => expect(make).toThrow(message));
