/** TensorFlow.js: tf.train.adam on its cpu and wasm backends. */
import { createRequire } from 'node:module';
import { type Contestant, LR, timed, values } from '../contestants.ts';

const require = createRequire(import.meta.url);

/** The little of TensorFlow.js that is used here; its own types need the DOM's. */
interface Tensor {
  dataSync(): Float32Array;
  dispose(): void;
}
interface Tf {
  /** No greeting, no warnings. */
  enableProdMode(): void;
  setBackend(name: string): Promise<boolean>;
  tensor(values: Float32Array, shape: readonly number[]): Tensor;
  variable(tensor: Tensor, trainable: boolean, name: string): Tensor;
  train: { adam(lr: number): { applyGradients(gradients: Record<string, Tensor>): void; dispose(): void } };
}

export function tfjs(backend: 'cpu' | 'wasm'): Contestant {
  const name = `TensorFlow.js Adam, ${backend}`;
  let runs = 0;
  return {
    name,
    formula: 'adamw',
    decay: 0,
    most: 1024 * 1024,
    async start(shapes) {
      const tf: Tf = require('@tensorflow/tfjs-core');
      tf.enableProdMode();
      require(`@tensorflow/tfjs-backend-${backend}`);
      await tf.setBackend(backend);
      const run = ++runs;
      const gradients: Record<string, Tensor> = {};
      const weights = shapes.map(([rows, cols], i) => {
        const key = `${backend}${run}w${i}`;
        gradients[key] = tf.tensor(values(rows * cols, 104729), [rows, cols]);
        return tf.variable(tf.tensor(values(rows * cols, 7919), [rows, cols]), true, key);
      });
      const optimizer = tf.train.adam(LR);
      const { measure, ...rest } = timed(name, {
        step: () => optimizer.applyGradients(gradients),
        weights: () => weights[0]!.dataSync(),
        close() {
          for (const tensor of [...weights, ...Object.values(gradients)]) tensor.dispose();
          optimizer.dispose();
        },
      });
      return {
        ...rest,
        // Contestants take turns, and the backend is a global setting.
        async measure(milliseconds) {
          await tf.setBackend(backend);
          return measure(milliseconds);
        },
      };
    },
  };
}
