import { expect, it } from 'vitest';
import { judge, trial } from './fuzz/mutate.ts';

it('2,000 damaged and hostile files are refused by name or read (npm run test:fuzz has more)', () => {
  const seed = Number(process.env.SEED);
  let refused = 0;
  for (let index = 0; index < 2000; index++) {
    const { problem, ...result } = judge(trial(seed, index));
    expect(problem, `npm run test:fuzz -- --seed ${seed} --only ${index}`).toBeUndefined();
    if (result.refused) refused++;
  }
  expect(refused).toBeGreaterThan(1000);
});
