/**
 * What is bundled: trains without and with SIMD, and with a worker, and tells the weights' hashes.
 */
import { Adafactor, getScheduler, type Kernels, Parameter } from 'tensorless';
import { parallelKernels } from 'tensorless/parallel';
import { decodeSafetensors, encodeSafetensors } from 'tensorless/safetensors';
import { simdKernels } from 'tensorless/simd';

const SIDE = 512;

async function train(kernels?: Kernels): Promise<string> {
  const make = (): Float32Array => kernels?.allocate('float32', SIDE * SIDE) ?? new Float32Array(SIDE * SIDE);
  const weight = new Parameter(make(), [SIDE, SIDE], { name: 'weight' });
  const optimizer = new Adafactor([weight], {
    lr: 0.01,
    relativeStep: false,
    scaleParameter: false,
    ...(kernels && { kernels }),
  });
  const scheduler = getScheduler('cosine', optimizer, { numWarmupSteps: 1, numTrainingSteps: 5 });
  const grad = make();
  for (let step = 0; step < 3; step++) {
    for (let i = 0; i < grad.length; i++) grad[i] = Math.imul(i + step, 0x9e3779b1) / 2 ** 31;
    weight.grad = grad;
    await optimizer.stepAsync();
    scheduler.step();
  }
  const { tensors } = decodeSafetensors(
    encodeSafetensors({ weight: { dtype: 'float32', shape: [4], data: weight.data.slice(0, 4) } }),
  );
  if (tensors.weight?.data[3] !== weight.data[3]) throw new Error('safetensors gave other bits');
  let hash = 0x811c9dc5;
  for (const word of new Uint32Array(weight.data.buffer, weight.data.byteOffset, weight.data.length))
    hash = Math.imul(hash ^ word, 0x01000193);
  return (hash >>> 0).toString(16);
}

/** Hashes, and how many threads there were. */
export interface Report {
  readonly plain: string;
  readonly simd: string;
  readonly threads: string;
  readonly size: number;
}

export async function main(options: Parameters<typeof parallelKernels>[0] = {}): Promise<Report> {
  const kernels = await parallelKernels({ threads: 2, ...options });
  const report = {
    plain: await train(),
    simd: await train(simdKernels()),
    threads: await train(kernels),
    size: kernels.size,
  };
  await kernels.close();
  return report;
}
