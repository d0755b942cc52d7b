/**
 * bfloat16 weights and updates of a tenth of an ulp. Rounded to nearest every update is lost; rounded stochastically one in ten moves the weight by a
 * whole ulp, and the mean goes where float32 goes.
 *
 *     npx tsx docs/examples/stochastic-rounding.ts
 */
import { AdamW, type DType, fromBfloat16, Parameter, toBfloat16 } from 'tensorless';

const COUNT = 256;
const ULP = 2 ** -7; // of a bfloat16 between 1 and 2
const TARGET = 1.5;

function weights(dtype: DType): Parameter {
  const ones = new Float32Array(COUNT).fill(1);
  return new Parameter(dtype === 'bfloat16' ? toBfloat16(ones) : ones, [COUNT], { dtype, name: 'weights' });
}

const numbers = ({ data }: Parameter): Float32Array =>
  data instanceof Uint16Array ? fromBfloat16(data) : (data as Float32Array);

const options = { lr: ULP / 10, weightDecay: 0 };
const runs = [
  { parameter: weights('float32'), rounding: 'nearest' },
  { parameter: weights('bfloat16'), rounding: 'nearest' },
  { parameter: weights('bfloat16'), rounding: 'stochastic' },
] as const;
const optimizers = runs.map(({ parameter, rounding }) => new AdamW([parameter], { ...options, rounding, seed: 1 }));

console.log(`mean of ${COUNT} weights on their way from 1 to ${TARGET}, lr a tenth of an ulp`);
console.log('step   float32   bfloat16 nearest   bfloat16 stochastic');
for (let step = 0; step <= 1000; step++) {
  if (step % 200 === 0) {
    const means = runs.map(({ parameter }) => numbers(parameter).reduce((sum, x) => sum + x, 0) / COUNT);
    console.log(
      `${String(step).padStart(4)}   ${means[0]!.toFixed(3)}     ${means[1]!.toFixed(3)}              ${means[2]!.toFixed(3)}`,
    );
  }
  for (const [i, { parameter }] of runs.entries()) {
    parameter.grad = numbers(parameter).map((x) => x - TARGET); // of the loss (x - target)² / 2
    optimizers[i]!.step();
  }
}
