/** Every recorded schedule of transformers: learning rates, state dicts, resuming. */
import { describe, expect, it } from 'vitest';
import { camelCase } from './golden.ts';
import {
  factoryOf,
  type GoldenSchedule,
  goldenSchedules,
  lrsOf,
  optimizerWith,
  type StateDict,
} from './golden-schedules.ts';

/**
 * cos and pow may differ from the C library's by one unit in the last place: 1.2e-16 of the initial
 * learning rate.
 */
const TOLERANCE = 1.2e-16;

function expectLrs(
  got: readonly (number | null)[],
  expected: readonly number[],
  golden: GoldenSchedule,
  at: string,
): void {
  expect(got.length, at).toBe(expected.length);
  for (const [i, lr] of expected.entries()) {
    expect(Math.abs((got[i] ?? Number.NaN) - lr), `${at}, group ${i}: ${got[i]} for ${lr}`).toBeLessThanOrEqual(
      TOLERANCE * golden.base_lrs[i]!,
    );
  }
}

/** Same keys in the same order, same values; `_last_lr` as {@link expectLrs}. */
function expectState(got: StateDict, expected: StateDict, golden: GoldenSchedule, at: string): void {
  expect(Object.keys(got), at).toEqual(Object.keys(expected));
  expectLrs(got._last_lr as number[], expected._last_lr as number[], golden, `${at}, _last_lr`);
  const { _last_lr: _got, ...gotRest } = got;
  const { _last_lr: _expected, ...expectedRest } = expected;
  expect(gotRest, at).toEqual(expectedRest);
}

describe.each(goldenSchedules)('%s', (_name, golden) => {
  const make = factoryOf(golden.factory);
  const options = camelCase(golden.kwargs);
  const metricAt = (t: number): number | undefined => golden.metrics?.[t];

  it('gives the recorded learning rates and state dicts at every step', () => {
    const optimizer = optimizerWith(golden.base_lrs);
    const scheduler = make(optimizer, options);
    for (const [t, lrs] of golden.lrs.entries()) {
      if (t > 0) {
        optimizer.step();
        scheduler.step(metricAt(t - 1));
      }
      expectLrs(lrsOf(optimizer), lrs, golden, `step ${t}`);
      expect(scheduler.getLastLr()).toEqual(lrsOf(optimizer));
      expect(scheduler.lastEpoch).toBe(t);
      const saved = golden.state_dicts[t];
      if (saved !== undefined) expectState(scheduler.stateDict(), saved, golden, `step ${t}`);
    }
  });

  it.each(Object.keys(golden.state_dicts))("goes on from PyTorch's state dict of step %s", (key) => {
    const start = Number(key);
    const optimizer = optimizerWith(golden.base_lrs);
    const scheduler = make(optimizer, options);
    scheduler.loadStateDict(golden.state_dicts[key]!);
    expectLrs(lrsOf(optimizer), golden.lrs[start]!, golden, 'after loading');
    expectState(scheduler.stateDict(), golden.state_dicts[key]!, golden, 'after loading');
    for (let t = start + 1; t < golden.lrs.length; t++) {
      optimizer.step();
      scheduler.step(metricAt(t - 1));
      expectLrs(lrsOf(optimizer), golden.lrs[t]!, golden, `step ${t}`);
    }
  });

  const { resume } = golden;
  if (resume === undefined) return; // the metric-driven ones have no lastEpoch
  it('goes on from lastEpoch on groups that have an initialLr', () => {
    const { last_epoch: lastEpoch, lrs } = resume;
    const optimizer = optimizerWith(golden.base_lrs);
    for (const [i, group] of optimizer.paramGroups.entries()) group.initialLr = golden.base_lrs[i]!;
    const scheduler = make(optimizer, { ...options, lastEpoch });
    for (const [t, expected] of lrs.entries()) {
      if (t > 0) {
        optimizer.step();
        scheduler.step();
      }
      expectLrs(lrsOf(optimizer), expected, golden, `${t} steps on`);
      expect(scheduler.lastEpoch).toBe(lastEpoch + 1 + t);
    }
  });
});
