/**
 * The whole of it in a plain loop: fits y = 2 x1 - 3 x2 + 1 by Adafactor.
 *
 *   npx tsx docs/examples/plain-loop.ts
 */
import { Adafactor, getLinearScheduleWithWarmup, Parameter } from 'tensorless';

const STEPS = 300;
const weights = new Parameter(new Float32Array(2), [2], { name: 'weights' });
const bias = new Parameter(new Float32Array(1), [1], { name: 'bias' });
const optimizer = new Adafactor([weights, bias], { lr: 0.1, relativeStep: false, scaleParameter: false });
const scheduler = getLinearScheduleWithWarmup(optimizer, { numWarmupSteps: 10, numTrainingSteps: STEPS });

/** Mean squared error over some points, and its gradients. */
function backward(): number {
  const gradient = new Float32Array(2);
  const biasGradient = new Float32Array(1);
  let loss = 0;
  for (let i = 0; i < 20; i++) {
    const x = [Math.sin(i), Math.cos(2 * i)] as const;
    const error = weights.data[0]! * x[0] + weights.data[1]! * x[1] + bias.data[0]! - (2 * x[0] - 3 * x[1] + 1);
    loss += error ** 2 / 20;
    gradient[0]! += (2 * error * x[0]) / 20;
    gradient[1]! += (2 * error * x[1]) / 20;
    biasGradient[0]! += (2 * error) / 20;
  }
  weights.grad = gradient;
  bias.grad = biasGradient;
  return loss;
}

for (let step = 0; step < STEPS; step++) {
  const loss = optimizer.step(backward);
  scheduler.step();
  if (step % 60 === 0) console.log(`step ${String(step).padStart(3)}: loss ${loss!.toFixed(6)}`);
}
console.log(`weights ${[...weights.data].map((w) => w.toFixed(3)).join(', ')}; bias ${bias.data[0]!.toFixed(3)}`);
