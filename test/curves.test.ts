/** Every curve in three layers: values by hand, the exact corners, laws. */
import fc from 'fast-check';
import {
  type Curve,
  constant,
  constantWithWarmup,
  cosineWarmupWithMinLr,
  cosineWithHardRestarts,
  cosineWithWarmup,
  inverseSqrt,
  linearWithWarmup,
  polynomialDecayWithWarmup,
  type WsdShape,
  warmupStableDecay,
} from 'tensorless';
import { describe, expect, it } from 'vitest';

const values = (curve: Curve, count: number): number[] => Array.from({ length: count }, (_, step) => curve(step));

/** As an expectation, of which these hundred thousands took 20 seconds. */
function holds(law: boolean, step: number, ...numbers: number[]): void {
  if (!law) throw new Error(`step ${step}: ${numbers.join(', ')}`);
}
/** Equal to rounding: a cosine of a rounded multiple of pi is off by so much. */
const close = (got: readonly number[], wanted: readonly number[]): void => {
  expect(got).toHaveLength(wanted.length);
  for (const [i, x] of got.entries())
    expect(Math.abs(x - wanted[i]!), `step ${i}: ${x}, not ${wanted[i]}`).toBeLessThan(4e-16);
};
const q = Math.SQRT1_2;

describe('by hand', () => {
  it.each<[string, Curve, number[]]>([
    ['constant', constant(), [1, 1, 1]],
    ['constantWithWarmup', constantWithWarmup({ numWarmupSteps: 4 }), [0, 0.25, 0.5, 0.75, 1, 1]],
    [
      'linearWithWarmup',
      linearWithWarmup({ numWarmupSteps: 2, numTrainingSteps: 6 }),
      [0, 0.5, 1, 0.75, 0.5, 0.25, 0, 0],
    ],
    [
      'cosineWithWarmup',
      cosineWithWarmup({ numWarmupSteps: 1, numTrainingSteps: 5 }),
      [0, 1, (1 + q) / 2, 0.5, (1 - q) / 2, 0, (1 - q) / 2],
    ],
    [
      'cosineWithWarmup to a tenth',
      cosineWithWarmup({ numWarmupSteps: 0, numTrainingSteps: 4, minLrRate: 0.1 }),
      [1, 0.1 + (0.9 * (1 + q)) / 2, 0.55, 0.1 + (0.9 * (1 - q)) / 2, 0.1],
    ],
    [
      'cosineWithHardRestarts',
      cosineWithHardRestarts({ numWarmupSteps: 2, numTrainingSteps: 10, numCycles: 2 }),
      [0, 0.5, 1, (1 + q) / 2, 0.5, (1 - q) / 2, 1, (1 + q) / 2, 0.5, (1 - q) / 2, 0, 0],
    ],
    [
      'cosineWarmupWithMinLr',
      cosineWarmupWithMinLr({ numWarmupSteps: 2, numTrainingSteps: 6, minLrRate: 0.1, warmupLrRate: 0.2 }),
      [0.2, 1, 0.1 + (0.9 * (1 + q)) / 2, 0.55, 0.1 + (0.9 * (1 - q)) / 2, 0.1],
    ],
    [
      'cosineWarmupWithMinLr from 1 / w',
      cosineWarmupWithMinLr({ numWarmupSteps: 4, numTrainingSteps: 6, minLrRate: 0 }),
      [0.25, 0.5, 0.75, 1, 0.5, 0],
    ],
    [
      'cosineWarmupWithMinLr, a whole wave',
      cosineWarmupWithMinLr({ numWarmupSteps: 2, numTrainingSteps: 6, minLrRate: 0, numCycles: 1 }),
      [0.5, 1, 0.5, 0, 0.5, 1],
    ],
    [
      'polynomialDecayWithWarmup',
      polynomialDecayWithWarmup({ numWarmupSteps: 2, numTrainingSteps: 6, lrInit: 1, lrEnd: 0.5, power: 2 }),
      [0, 0.5, 1, 0.5 + 0.5 * 0.5625, 0.625, 0.5 + 0.5 * 0.0625, 0.5, 0.5],
    ],
    ['inverseSqrt', inverseSqrt({ numWarmupSteps: 2, timescale: 1 }), [0, 0.5, 1, q, 1 / Math.sqrt(3), 0.5]],
    [
      'warmupStableDecay, linear',
      warmupStableDecay({
        numWarmupSteps: 2,
        numStableSteps: 2,
        numDecaySteps: 4,
        decayType: 'linear',
        minLrRatio: 0.2,
      }),
      [0.2, 0.6, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0.2],
    ],
    [
      'warmupStableDecay, cosine',
      warmupStableDecay({ numWarmupSteps: 2, numStableSteps: 1, numDecaySteps: 2, warmupType: 'cosine' }),
      [0, 0.5, 1, 1, 0.5, 0],
    ],
    [
      'warmupStableDecay, 1-sqrt',
      warmupStableDecay({
        numWarmupSteps: 4,
        numStableSteps: 0,
        numDecaySteps: 4,
        warmupType: '1-sqrt',
        decayType: '1-sqrt',
      }),
      [0, 1 - Math.sqrt(0.75), 1 - q, 0.5, 1, 0.5, 1 - q, 1 - Math.sqrt(0.75), 0],
    ],
  ])('%s', (_, curve, wanted) => close(values(curve, wanted.length), wanted));
});

/** One line a curve: w warm-up steps, T in all, and what is exact at the corners. */
interface Row {
  readonly name: string;
  readonly make: (w: number, T: number) => Curve;
  /** At step 0 with a warm-up; at step T. NaN: not a round number, looked at by hand above. */
  readonly first: (w: number) => number;
  readonly last: number;
  /** Past T the factor stays. */
  readonly stays: boolean;
  /**
   * The largest change from one step to the next, times the steps of that part: bounds the jumps at
   * the joints.
   */
  readonly slope: number;
  /** Scaling all step counts scales the curve. */
  readonly scales: boolean;
  /** Never rises after the warm-up, up to T. */
  readonly falls: boolean;
}

const zero = (): number => 0;
const wsd = (warmupType: WsdShape, decayType: WsdShape): Row => ({
  name: `warmupStableDecay, ${warmupType} and ${decayType}`,
  make: (w, T) => {
    const decay = Math.floor((T - w) / 2);
    return warmupStableDecay({
      numWarmupSteps: w,
      numStableSteps: T - w - decay,
      numDecaySteps: decay,
      warmupType,
      decayType,
      minLrRatio: 0.05,
    });
  },
  first: () => 0.05,
  last: 0.05,
  stays: true,
  slope: Number.POSITIVE_INFINITY,
  scales: false,
  falls: true,
});

const rows: Row[] = [
  {
    name: 'constantWithWarmup',
    make: (w) => constantWithWarmup({ numWarmupSteps: w }),
    first: zero,
    last: 1,
    stays: true,
    slope: 1,
    scales: true,
    falls: true,
  },
  {
    name: 'linearWithWarmup',
    make: (w, T) => linearWithWarmup({ numWarmupSteps: w, numTrainingSteps: T }),
    first: zero,
    last: 0,
    stays: true,
    slope: 1,
    scales: true,
    falls: true,
  },
  {
    name: 'cosineWithWarmup',
    make: (w, T) => cosineWithWarmup({ numWarmupSteps: w, numTrainingSteps: T, minLrRate: 0.25 }),
    first: zero,
    last: 0.25,
    stays: false,
    slope: Math.PI / 2,
    scales: true,
    falls: true,
  },
  {
    name: 'cosineWithHardRestarts',
    make: (w, T) => cosineWithHardRestarts({ numWarmupSteps: w, numTrainingSteps: T, numCycles: 3 }),
    first: zero,
    last: 0,
    stays: true,
    slope: Number.POSITIVE_INFINITY,
    scales: true,
    falls: false,
  },
  {
    name: 'cosineWarmupWithMinLr',
    make: (w, T) => cosineWarmupWithMinLr({ numWarmupSteps: w, numTrainingSteps: T + 1, minLrRate: 0.25 }),
    first: (w) => 1 / w,
    last: 0.25,
    stays: false,
    slope: Math.PI / 2,
    scales: false,
    falls: true,
  },
  {
    name: 'polynomialDecayWithWarmup',
    make: (w, T) =>
      polynomialDecayWithWarmup({ numWarmupSteps: w, numTrainingSteps: T, lrInit: 0.5, lrEnd: 0.125, power: 2 }),
    first: zero,
    last: 0.25,
    stays: true,
    slope: 2,
    scales: true,
    falls: true,
  },
  {
    name: 'inverseSqrt',
    make: (w) => inverseSqrt({ numWarmupSteps: w }),
    first: zero,
    last: Number.NaN,
    stays: false,
    slope: 1,
    scales: true,
    falls: true,
  },
  ...(['linear', 'cosine', '1-sqrt'] as const).flatMap((up) =>
    (['linear', 'cosine', '1-sqrt'] as const).map((down) => wsd(up, down)),
  ),
];

describe.each(rows)('$name', ({ name, make, first, last, stays, slope, scales, falls }) => {
  it('has exact corners: 0, the end of the warm-up, the last step and past it', () => {
    for (const [w, T] of [
      [1, 2],
      [4, 20],
      [10, 100],
      [7, 1000],
    ] as const) {
      const curve = make(w, T);
      expect(curve(0), `step 0 of ${w}, ${T}`).toBe(first(w));
      const top = name === 'cosineWarmupWithMinLr' ? w - 1 : w;
      expect(curve(top), `step ${top} of ${w}, ${T}`).toBe(1);
      if (!Number.isNaN(last)) expect(curve(T), `step ${T} of ${w}, ${T}`).toBeCloseTo(last, 15);
      if (stays) for (const beyond of [T + 1, T + 1000, 2 ** 40]) expect(curve(beyond)).toBe(curve(T));
      else for (const beyond of [T + 1, T + 1000]) expect(Number.isFinite(curve(beyond))).toBe(true);
    }
  });

  it('starts at the top without a warm-up, and takes a warm-up longer than the training', () => {
    expect(make(0, 10)(0)).toBeGreaterThan(0.9);
    const long = make(20, 20);
    for (let step = 0; step < 60; step++) {
      expect(long(step)).toBeGreaterThanOrEqual(0);
      expect(long(step)).toBeLessThanOrEqual(1);
    }
  });

  const lengths = fc
    .tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 2, max: 400 }))
    .map(([w, rest]) => [w, w + rest] as const);

  it('stays between 0 and 1, rises in the warm-up and does not rise after it', () => {
    fc.assert(
      fc.property(lengths, ([w, T]) => {
        const all = values(make(w, T), T + 20);
        for (const [step, x] of all.entries()) {
          const before = all[step - 1]!;
          holds(x >= 0 && x <= 1, step, x);
          if (step > 0 && step < w) holds(x > before, step, x, before);
          if (falls && step > w && step <= T) holds(x <= before, step, x, before);
        }
      }),
    );
  });

  it('is continuous: no step changes more than its part’s slope allows', () => {
    if (slope === Number.POSITIVE_INFINITY) return; // jumps at restarts, and infinite slopes of square roots
    fc.assert(
      fc.property(lengths, ([w, T]) => {
        const all = values(make(w, T), T + 1);
        for (let step = 1; step <= T; step++) {
          const top = name === 'cosineWarmupWithMinLr' ? w - 1 : w;
          const allowed = step <= top ? 1 / w : slope / (name === 'inverseSqrt' ? w : T - w);
          const change = Math.abs(all[step]! - all[step - 1]!);
          holds(change <= allowed * (1 + 1e-12), step, change, allowed);
        }
      }),
    );
  });

  it('scales with its step counts', () => {
    if (!scales) return; // one step ahead of the clock, or parts whose lengths are rounded
    fc.assert(
      fc.property(lengths, fc.integer({ min: 2, max: 9 }), ([w, T], factor) => {
        const small = make(w, T);
        const large = make(factor * w, factor * T);
        for (let step = 0; step <= T; step++) {
          const [one, other] = [large(factor * step), small(step)];
          holds(Math.abs(one - other) < 1e-12, step, one, other);
        }
      }),
    );
  });

  it('refuses what is no step', () => {
    for (const step of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '1', null, undefined, 1n]) {
      expect(() => make(2, 10)(step as number)).toThrow(/step must be/);
    }
  });
});

describe('laws of their own', () => {
  it('polynomial: a higher power lies below, and power 1 is linear', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.1, max: 8, noNaN: true }),
        fc.double({ min: 0.01, max: 4, noNaN: true }),
        (power, more) => {
          const make = (p: number): Curve =>
            polynomialDecayWithWarmup({ numWarmupSteps: 5, numTrainingSteps: 50, lrInit: 1, lrEnd: 0, power: p });
          for (let step = 6; step < 50; step++) expect(make(power + more)(step)).toBeLessThan(make(power)(step));
        },
      ),
    );
    const linear = linearWithWarmup({ numWarmupSteps: 5, numTrainingSteps: 50 });
    const power1 = polynomialDecayWithWarmup({ numWarmupSteps: 5, numTrainingSteps: 50, lrInit: 1, lrEnd: 0 });
    for (let step = 0; step < 60; step++) expect(Math.abs(power1(step) - linear(step))).toBeLessThan(1e-15);
  });

  it('cosine: whole waves end where they began, and a minimum lifts the curve between it and 1', () => {
    const whole = cosineWithWarmup({ numWarmupSteps: 0, numTrainingSteps: 40, numCycles: 2 });
    for (const step of [0, 20, 40]) expect(whole(step)).toBeCloseTo(1, 14);
    const plain = cosineWithWarmup({ numWarmupSteps: 3, numTrainingSteps: 40 });
    const lifted = cosineWithWarmup({ numWarmupSteps: 3, numTrainingSteps: 40, minLrRate: 0.3 });
    for (let step = 3; step <= 40; step++)
      expect(Math.abs(lifted(step) - (0.3 + 0.7 * plain(step)))).toBeLessThan(1e-15);
  });

  it('hard restarts: every cycle repeats the first', () => {
    const curve = cosineWithHardRestarts({ numWarmupSteps: 5, numTrainingSteps: 65, numCycles: 3 });
    for (let step = 5; step < 25; step++) {
      expect(Math.abs(curve(step + 20) - curve(step))).toBeLessThan(1e-14);
      expect(Math.abs(curve(step + 40) - curve(step))).toBeLessThan(1e-14);
    }
  });

  it('inverse square root: halves when the distance is quadrupled', () => {
    const curve = inverseSqrt({ numWarmupSteps: 0, timescale: 10 });
    expect(curve(30)).toBe(0.5);
    expect(curve(150)).toBe(0.25);
    expect(inverseSqrt({ numWarmupSteps: 0 })(30_000)).toBe(0.5);
  });
});

describe('options', () => {
  const bad = [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '3', null, undefined, 2n, [3]];
  it.each<[string, (o: never) => Curve, object, string[]]>([
    ['constantWithWarmup', constantWithWarmup, { numWarmupSteps: 1 }, ['numWarmupSteps']],
    [
      'linearWithWarmup',
      linearWithWarmup,
      { numWarmupSteps: 1, numTrainingSteps: 5 },
      ['numWarmupSteps', 'numTrainingSteps'],
    ],
    [
      'cosineWithWarmup',
      cosineWithWarmup,
      { numWarmupSteps: 1, numTrainingSteps: 5 },
      ['numWarmupSteps', 'numTrainingSteps'],
    ],
    [
      'cosineWithHardRestarts',
      cosineWithHardRestarts,
      { numWarmupSteps: 1, numTrainingSteps: 5 },
      ['numWarmupSteps', 'numTrainingSteps'],
    ],
    [
      'cosineWarmupWithMinLr',
      cosineWarmupWithMinLr,
      { numWarmupSteps: 1, numTrainingSteps: 5, minLrRate: 0.1 },
      ['numWarmupSteps', 'numTrainingSteps', 'minLrRate'],
    ],
    [
      'polynomialDecayWithWarmup',
      polynomialDecayWithWarmup,
      { numWarmupSteps: 1, numTrainingSteps: 5, lrInit: 1 },
      ['numWarmupSteps', 'numTrainingSteps', 'lrInit'],
    ],
    ['inverseSqrt', inverseSqrt, { numWarmupSteps: 1 }, ['numWarmupSteps']],
    [
      'warmupStableDecay',
      warmupStableDecay,
      { numWarmupSteps: 1, numStableSteps: 1, numDecaySteps: 1 },
      ['numWarmupSteps', 'numStableSteps', 'numDecaySteps'],
    ],
  ])(
    '%s refuses step counts that are none, by name, and unknown options with what was meant',
    (name, make, good, needed) => {
      expect(() => make(good as never)).not.toThrow();
      for (const key of needed) {
        for (const value of key === 'lrInit' || key === 'minLrRate' ? [-1, Number.NaN, '3', 2n] : bad) {
          expect(() => make({ ...good, [key]: value } as never), `${key}: ${String(value)}`).toThrow(
            new RegExp(`^${name}: ${key} must be`),
          );
        }
      }
      expect(() => make({ ...good, numWarmupStep: 3 } as never)).toThrow('Did you mean "numWarmupSteps"?');
      expect(() => make(3 as never)).toThrow(TypeError);
    },
  );

  it.each<[string, () => Curve]>([
    ['minLrRate', () => cosineWithWarmup({ numWarmupSteps: 0, numTrainingSteps: 5, minLrRate: 1.1 })],
    ['numCycles', () => cosineWithWarmup({ numWarmupSteps: 0, numTrainingSteps: 5, numCycles: -1 })],
    ['lrEnd', () => polynomialDecayWithWarmup({ numWarmupSteps: 0, numTrainingSteps: 5, lrInit: 1e-3, lrEnd: 1e-3 })],
    [
      'power',
      () => polynomialDecayWithWarmup({ numWarmupSteps: 0, numTrainingSteps: 5, lrInit: 1, power: Number.NaN }),
    ],
    ['timescale', () => inverseSqrt({ numWarmupSteps: 0, timescale: 0 })],
    [
      'decayType',
      () => warmupStableDecay({ numWarmupSteps: 0, numStableSteps: 1, numDecaySteps: 1, decayType: 'sqrt' as never }),
    ],
    [
      'warmupLrRate',
      () => cosineWarmupWithMinLr({ numWarmupSteps: 1, numTrainingSteps: 5, minLrRate: 0, warmupLrRate: 2 }),
    ],
  ])('%s out of its range is refused by name', (key, make) => {
    expect(make).toThrow(new RegExp(`: ${key} must be`));
  });
});
