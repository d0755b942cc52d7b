/**
 * Four small batches make the step of one four times the size; summed in bfloat16 they would not.
 *
 *   npx tsx docs/examples/accumulation.ts
 */
import { AdamW, fromBfloat16, GradientAccumulator, Parameter, toBfloat16 } from 'tensorless';

const SIZE = 1000;
const BATCHES = 64;
/** Gradients as a backward pass in bfloat16 gives them. */
const gradients = Array.from({ length: BATCHES }, (_, batch) =>
  toBfloat16(Float32Array.from({ length: SIZE }, (_, k) => 0.1 + 0.05 * Math.sin(k * 7.1 + batch))),
);

const weight = new Parameter(new Uint16Array(SIZE), [SIZE], { dtype: 'bfloat16', name: 'weight' });
const accumulator = new GradientAccumulator([weight]);
const optimizer = new AdamW([weight], { lr: 1e-3 });
for (const gradient of gradients) {
  weight.grad = gradient;
  accumulator.add();
}
const sums = accumulator.gradients[0]!;

const exact = new Float64Array(SIZE);
let naive: Uint16Array = new Uint16Array(SIZE);
for (const gradient of gradients) {
  const numbers = fromBfloat16(gradient);
  const so = fromBfloat16(naive);
  for (let k = 0; k < SIZE; k++) exact[k]! += numbers[k]!;
  naive = toBfloat16(so.map((sum, k) => sum + numbers[k]!));
}
const error = (got: ArrayLike<number>): number =>
  Math.sqrt(exact.reduce((sum, x, k) => sum + ((got[k]! - x) / x) ** 2, 0) / SIZE);
console.log(
  `relative error of the sum of ${BATCHES} gradients: float32 ${error(sums).toExponential(1)}, bfloat16 ` +
    `${error(fromBfloat16(naive)).toExponential(1)}`,
);

accumulator.apply(); // the mean, into weight.grad
optimizer.step();
accumulator.reset();
console.log(`one step made from ${BATCHES} batches; the accumulator is at ${accumulator.step} again`);
