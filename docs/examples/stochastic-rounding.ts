/**
 * bfloat16 weights whose updates are a tenth of the distance to the next representable number:
 * rounding to nearest stands still, unbiased rounding arrives.
 *
 *   npx tsx docs/examples/stochastic-rounding.ts
 */
import { AdamW, fromBfloat16, Parameter, toBfloat16 } from 'tensorless';

const COUNT = 256;
const TARGET = 0.75;
/** Distance of neighbours in bfloat16 between 0.5 and 1. */
const ULP = 2 ** -8;

for (const rounding of ['nearest', 'stochastic'] as const) {
  const weight = new Parameter(toBfloat16(new Float32Array(COUNT).fill(1)), [COUNT], {
    dtype: 'bfloat16',
    name: 'weight',
  });
  const optimizer = new AdamW([weight], { lr: ULP / 10, weightDecay: 0, rounding, seed: 1 });
  for (let step = 0; step < 2000; step++) {
    weight.grad = fromBfloat16(weight.data).map((w) => w - TARGET);
    optimizer.step();
  }
  const mean = fromBfloat16(weight.data).reduce((sum, w) => sum + w, 0) / COUNT;
  console.log(`${rounding.padEnd(10)}: mean ${mean.toFixed(4)} after 2000 steps from 1 towards ${TARGET}`);
}
