/** What `bench/webgpu.ts` measures in each runtime: steps on the GPU, and by way of the CPU. */
import { Adafactor, AdamW, type Kernels, Parameter, type Params } from 'tensorless';
import { simdKernels } from 'tensorless/simd';
import { webgpuKernels } from 'tensorless/webgpu';

const SIDE = 512;
const LENGTH = SIDE * SIDE;
const TURNS = 7;

const optimizers = {
  AdamW: (params: Params, kernels: Kernels) => new AdamW(params, { kernels }),
  Adafactor: (params: Params, kernels: Kernels) => new Adafactor(params, { kernels }),
};

/** Nanoseconds an element, the median of turns that take turns. */
export interface Measured {
  readonly optimizer: keyof typeof optimizers;
  readonly double: number;
  readonly float32: number;
  /** Gradient read, step with SIMD, weights written. */
  readonly around: number;
}

interface Given {
  device(): Promise<GPUDevice>;
  say(line: string): void;
}

const numbers = (salt: number): Float32Array =>
  Float32Array.from({ length: LENGTH }, (_, k) => (((k * 7919 + salt) % 1009) - 504) / 1009);

/** Says one line of JSON. */
export async function measure({ device: open, say }: Given): Promise<void> {
  const device = await open();
  const rows: Measured[] = [];
  for (const optimizer of ['AdamW', 'Adafactor'] as const) {
    const steps: Record<string, () => Promise<unknown>> = {};
    for (const arithmetic of ['float32', 'double'] as const) {
      const kernels = webgpuKernels(device, { arithmetic });
      const weight = new Parameter(kernels.upload(numbers(1)), [SIDE, SIDE]);
      weight.grad = kernels.upload(numbers(2));
      const made = optimizers[optimizer]([weight], kernels);
      steps[arithmetic] = () => made.stepAsync();
    }
    const kernels = webgpuKernels(device);
    const weights = kernels.upload(numbers(1));
    const gradient = kernels.upload(numbers(2));
    const simd = simdKernels();
    const weight = new Parameter(simd.allocate('float32', LENGTH), [SIDE, SIDE]);
    weight.data.set(numbers(1));
    const made = optimizers[optimizer]([weight], simd);
    weight.grad = simd.allocate('float32', LENGTH);
    steps.around = async () => {
      weight.grad!.set(await kernels.read(gradient));
      made.step();
      weights.set(weight.data);
      // Until it is there.
      await device.queue.onSubmittedWorkDone();
    };
    const times: Record<string, number[]> = {};
    for (let turn = -1; turn < TURNS; turn++) {
      for (const [name, step] of Object.entries(steps)) {
        const begun = performance.now();
        await step();
        if (turn >= 0) (times[name] ??= []).push(((performance.now() - begun) * 1e6) / LENGTH);
      }
    }
    const median = (name: string): number => times[name]!.toSorted((a, b) => a - b)[Math.floor(TURNS / 2)]!;
    rows.push({ optimizer, double: median('double'), float32: median('float32'), around: median('around') });
  }
  say(JSON.stringify(rows));
}
