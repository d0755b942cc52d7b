/**
 * Four batches of 8 examples, accumulated, against one batch of 32, on least squares; and what sums in bfloat16 would do.
 *
 *     npx tsx docs/examples/accumulation.ts
 */
import { AdamW, fromBfloat16, GradientAccumulator, Parameter, toBfloat16 } from 'tensorless';

const WIDTH = 16;
const truth = Array.from({ length: WIDTH }, (_, k) => Math.cos(k));

/** Mean gradient of the squared error over the examples `first` to `first + count - 1`. */
function gradient(weights: ArrayLike<number>, first: number, count: number): Float64Array {
  const result = new Float64Array(WIDTH);
  for (let example = first; example < first + count; example++) {
    const x = truth.map((_, k) => Math.sin((example + 1) * (k + 1)));
    const error = x.reduce((sum, xk, k) => sum + xk * (weights[k]! - truth[k]!), 0);
    for (let k = 0; k < WIDTH; k++) result[k]! += (2 * error * x[k]!) / count;
  }
  return result;
}

const small = new Parameter(new Float32Array(WIDTH));
const large = new Parameter(new Float32Array(WIDTH));
const [accumulated, whole] = [new AdamW([small], { lr: 0.02 }), new AdamW([large], { lr: 0.02 })];
const accumulator = new GradientAccumulator([small]);

for (let step = 0; step < 100; step++) {
  for (let batch = 0; batch < 4; batch++) {
    small.grad = Float32Array.from(gradient(small.data, 32 * step + 8 * batch, 8));
    accumulator.add();
  }
  accumulator.apply(); // the mean over the four into small.grad
  accumulated.step();
  accumulator.reset();

  large.grad = Float32Array.from(gradient(large.data, 32 * step, 32));
  whole.step();
}

const difference = Math.max(...truth.map((_, k) => Math.abs(small.data[k]! - large.data[k]!)));
const error = Math.max(...truth.map((value, k) => Math.abs(small.data[k]! - value)));
console.log(`100 steps of 4 x 8 examples: largest error of a weight ${error.toFixed(3)}`);
console.log(`largest difference to 100 steps of 32 examples: ${difference.toExponential(0)}`);

// The same gradient 512 times: the sum should be 512 times as large.
const p = new Parameter(toBfloat16([0]), [1], { dtype: 'bfloat16' });
p.grad = toBfloat16([0.8]);
const each = fromBfloat16(p.grad)[0]!;
const sums = new GradientAccumulator([p]);
let narrow = 0;
for (let batch = 0; batch < 512; batch++) {
  sums.add();
  narrow = fromBfloat16(toBfloat16([narrow + each]))[0]!;
}
console.log(`512 gradients of ${each}: sum ${sums.gradients[0]![0]}, kept in bfloat16 ${narrow}`);
