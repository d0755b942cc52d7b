/**
 * A training loop and nothing else: a straight line through noisy points, AdamW with a warm-up and a linear decay.
 *
 *     npx tsx docs/examples/plain-loop.ts
 */
import { AdamW, getLinearScheduleWithWarmup, Parameter } from 'tensorless';

const points = Array.from({ length: 50 }, (_, i) => {
  const x = i / 25 - 1;
  return { x, y: 3 * x - 2 + 0.1 * Math.sin(100 * i) };
});

const weight = new Parameter(new Float32Array(1), [1], { name: 'weight' });
const bias = new Parameter(new Float32Array(1), [1], { name: 'bias' });
const optimizer = new AdamW([{ params: [weight] }, { params: [bias], weightDecay: 0 }], { lr: 0.1 });
const schedule = getLinearScheduleWithWarmup(optimizer, { numWarmupSteps: 10, numTrainingSteps: 200 });

/** Mean squared error, and its gradient into the parameters. */
function backward(): number {
  let loss = 0;
  let dWeight = 0;
  let dBias = 0;
  for (const { x, y } of points) {
    const error = weight.data[0]! * x + bias.data[0]! - y;
    loss += error ** 2 / points.length;
    dWeight += (2 * error * x) / points.length;
    dBias += (2 * error) / points.length;
  }
  weight.grad = Float32Array.of(dWeight);
  bias.grad = Float32Array.of(dBias);
  return loss;
}

for (let step = 0; step <= 200; step++) {
  const loss = backward();
  if (step % 50 === 0) console.log(`step ${step}  loss ${loss.toFixed(4)}  lr ${schedule.getLastLr()[0]!.toFixed(4)}`);
  if (step === 200) break;
  optimizer.step();
  schedule.step();
}
console.log(`y = ${weight.data[0]!.toFixed(2)} x + ${bias.data[0]!.toFixed(2)}; the points were made with 3 x + -2`);
