/**
 * Fused backward: every layer is updated as soon as its gradient is there, and the gradient is
 * dropped. The weights are those of step(), to the last bit; of all gradients only one is in memory
 * at a time.
 *
 *     npx tsx docs/examples/fused-backward.ts
 */
import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Adafactor, Parameter } from 'tensorless';

const LAYERS = 8;
const WIDTH = 256;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/**
 * Bytes of all arrays that are in use. V8 frees their memory beside the collection; the second one
 * waits for the first.
 */
function bytesInUse(): number {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

/**
 * y = tanh(W x), layer after layer; trained so that the last y becomes 0.5 everywhere. Returns the
 * hash of the weights and the peak of the gradients (and the optimizer's few numbers).
 */
function train(fused: boolean): { hash: string; peak: number } {
  const layers = Array.from({ length: LAYERS }, (_, layer) => {
    const data = Float32Array.from({ length: WIDTH * WIDTH }, (_, k) => 0.1 * Math.sin(k * (layer + 1)));
    return new Parameter(data, [WIDTH, WIDTH], { name: `layer ${layer}` });
  });
  const optimizer = new Adafactor(layers);
  const activations = Array.from({ length: LAYERS + 1 }, () => new Float32Array(WIDTH).fill(1));
  const start = bytesInUse();
  let peak = 0;

  for (let step = 0; step < 5; step++) {
    for (const [l, { data }] of layers.entries()) {
      const [x, y] = [activations[l]!, activations[l + 1]!];
      for (let i = 0; i < WIDTH; i++) {
        let sum = 0;
        for (let j = 0; j < WIDTH; j++) sum += data[i * WIDTH + j]! * x[j]!;
        y[i] = Math.tanh(sum);
      }
    }

    let dy = activations[LAYERS]!.map((y) => y - 0.5);
    for (let l = LAYERS - 1; l >= 0; l--) {
      const layer = layers[l]!;
      const [x, y] = [activations[l]!, activations[l + 1]!];
      const dx = new Float32Array(WIDTH);
      const gradient = new Float32Array(WIDTH * WIDTH);
      for (let i = 0; i < WIDTH; i++) {
        const d = dy[i]! * (1 - y[i]! ** 2);
        for (let j = 0; j < WIDTH; j++) {
          gradient[i * WIDTH + j] = d * x[j]!;
          dx[j]! += d * layer.data[i * WIDTH + j]!; // before the update changes the weight
        }
      }
      dy = dx;
      layer.grad = gradient;
      if (step === 4) peak = Math.max(peak, bytesInUse() - start);
      if (fused) {
        optimizer.stepParameter(layer);
        layer.grad = null;
      }
    }
    if (!fused) optimizer.step();
    optimizer.zeroGrad();
  }

  const hash = createHash('sha256');
  for (const { data } of layers) hash.update(data);
  return { hash: hash.digest('hex').slice(0, 16), peak };
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const plain = train(false);
const fused = train(true);
console.log(`step():          peak of the gradients ${mebibytes(plain.peak)}, weights ${plain.hash}`);
console.log(`stepParameter(): peak of the gradients ${mebibytes(fused.peak)}, weights ${fused.hash}`);
console.log(plain.hash === fused.hash ? 'the same weights, to the last bit' : 'different weights');
