/**
 * TensorFlow.js computes the gradients, Adafactor from this library does the updates: a dense
 * network on real handwritten digits (MNIST).
 *
 *   npx tsx docs/examples/tfjs-digits.ts
 */
import '@tensorflow/tfjs-backend-wasm';
import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { Adafactor, getCosineScheduleWithWarmup, type LRScheduler } from 'tensorless';
import { tfOptimizer } from 'tensorless/tfjs';

const PIXELS = 784;
const BATCH = 64;
const EPOCHS = 3;

await tf.setBackend('wasm');
const require = createRequire(import.meta.url);
const pixels: number[] = [];
const labels: number[] = [];
// The digits take turns, so that every batch and the last fifth, kept for the test, hold all of
// them.
const digits = Array.from({ length: 10 }, (_, d) => (require(`mnist/src/digits/${d}.json`) as { data: number[] }).data);
const each = Math.min(...digits.map((data) => data.length)) / PIXELS;
for (let i = 0; i < each; i++) {
  for (const [digit, data] of digits.entries()) {
    for (let k = i * PIXELS; k < (i + 1) * PIXELS; k++) pixels.push(data[k]!);
    labels.push(digit);
  }
}
const training = Math.floor((labels.length * 0.8) / BATCH) * BATCH;
const images = tf.tensor2d(Float32Array.from(pixels), [labels.length, PIXELS]);
const targets = tf.oneHot(tf.tensor1d(labels, 'int32'), 10);
const rest = labels.length - training;

const start = layers.initializers.glorotUniform({ seed: 1 });
const model = layers.sequential({
  layers: [
    layers.layers.dense({ units: 64, activation: 'relu', inputShape: [PIXELS], kernelInitializer: start }),
    layers.layers.dense({ units: 10, activation: 'softmax', kernelInitializer: start }),
  ],
});
let scheduler: LRScheduler | undefined;
const optimizer = tfOptimizer((params) => {
  const adafactor = new Adafactor(params, { lr: 1e-2, relativeStep: false, scaleParameter: false });
  scheduler = getCosineScheduleWithWarmup(adafactor, {
    numWarmupSteps: 20,
    numTrainingSteps: (EPOCHS * training) / BATCH,
  });
  return adafactor;
});
model.compile({ optimizer, loss: 'categoricalCrossentropy', metrics: ['accuracy'] });
await model.fit(tf.slice(images, [0, 0], [training, PIXELS]), tf.slice(targets, [0, 0], [training, 10]), {
  epochs: EPOCHS,
  batchSize: BATCH,
  shuffle: false,
  verbose: 0,
  callbacks: {
    onBatchEnd: () => scheduler?.step(),
    onEpochEnd: (epoch, logs) => console.log(`epoch ${epoch + 1}: loss ${logs!.loss!.toFixed(3)}`),
  },
});
const [, accuracy] = model.evaluate(
  tf.slice(images, [training, 0], [rest, PIXELS]),
  tf.slice(targets, [training, 0], [rest, 10]),
) as tf.Scalar[];
console.log(`test accuracy ${(100 * accuracy!.dataSync()[0]!).toFixed(1)} % on ${rest} digits`);
