/**
 * A Layers model of TensorFlow.js, trained with a schedule, saved with its optimizer, and resumed
 * by a second process; against a run without the cut.
 *
 *   npx tsx docs/examples/tfjs-resume.ts
 */
import '@tensorflow/tfjs-backend-cpu';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { AdamW, getCosineScheduleWithWarmup, type LRScheduler } from 'tensorless';
import { TfOptimizer, tfOptimizer } from 'tensorless/tfjs';

const SCHEDULE = { numWarmupSteps: 5, numTrainingSteps: 40 };

await tf.setBackend('cpu');
const numbers = (length: number, salt: number): Float32Array =>
  Float32Array.from({ length }, (_, k) => (((k + 1) * salt) % 101) / 101 - 0.5);
const x = tf.tensor2d(numbers(400, 37), [100, 4]);
const y = tf.tensor2d(numbers(100, 53), [100, 1]);

/** An epoch has 5 steps. */
function train(model: layers.LayersModel, epochs: number, scheduler: () => LRScheduler): Promise<unknown> {
  const callbacks = { onBatchEnd: async () => scheduler().step() };
  return model.fit(x, y, { epochs, batchSize: 20, shuffle: false, verbose: 0, callbacks });
}

const weightsOf = (model: layers.LayersModel): string =>
  JSON.stringify(model.getWeights().map((weight) => [...weight.dataSync()]));

/** In a browser, or with tfjs-node, that is `model.save('indexeddb://...')` or `'file://...'`. */
function fileHandler(path: string): tf.io.IOHandler {
  return {
    async save({ weightData, ...rest }) {
      writeFileSync(`${path}.json`, JSON.stringify(rest));
      writeFileSync(`${path}.bin`, new Uint8Array(weightData as ArrayBuffer));
      return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
    },
    async load() {
      const { buffer } = Uint8Array.from(readFileSync(`${path}.bin`));
      return { ...(JSON.parse(readFileSync(`${path}.json`, 'utf8')) as tf.io.ModelArtifacts), weightData: buffer };
    },
  };
}

const [path] = process.argv.slice(2);
if (path === undefined) {
  const start = layers.initializers.glorotUniform({ seed: 1 });
  const model = layers.sequential({
    layers: [
      layers.layers.dense({ units: 8, activation: 'tanh', inputShape: [4], kernelInitializer: start }),
      layers.layers.dense({ units: 1, kernelInitializer: start }),
    ],
  });
  let scheduler: LRScheduler | undefined;
  const optimizer = tfOptimizer((params) => {
    const adamw = new AdamW(params, { lr: 0.05 });
    scheduler = getCosineScheduleWithWarmup(adamw, SCHEDULE);
    return adamw;
  });
  model.compile({ optimizer, loss: 'meanSquaredError' });
  await train(model, 3, () => scheduler!);
  const folder = mkdtempSync(join(tmpdir(), 'tfjs-resume-'));
  const file = join(folder, 'model');
  await model.save(fileHandler(file), { includeOptimizer: true });
  console.log(`saved after ${optimizer.iterations} steps`);

  const args = ['--import', 'tsx', fileURLToPath(import.meta.url), file];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  const [, resumed] = stdout.match(/^resumed: (.*)$/m) ?? [];
  if (resumed === undefined) throw new Error(stderr);
  await train(model, 5, () => scheduler!);
  console.log(`another process went on to step 40: the same bits as without the cut: ${resumed === weightsOf(model)}`);
  rmSync(folder, { recursive: true });
} else {
  // A process that only loads makes the class known first.
  tf.serialization.registerClass(TfOptimizer);
  const model = await layers.loadLayersModel(fileHandler(path));
  const optimizer = (model.optimizer as TfOptimizer).build(model.trainableWeights);
  const scheduler = getCosineScheduleWithWarmup(optimizer.optimizer, {
    ...SCHEDULE,
    lastEpoch: optimizer.iterations - 1,
  });
  await train(model, 5, () => scheduler);
  console.log(`resumed: ${weightsOf(model)}`);
}
