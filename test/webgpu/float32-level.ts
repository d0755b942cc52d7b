/** The float32 level: how far it is from exact arithmetic, beside PyTorch in float32. */
import { Adafactor, AdamW, Lion, type Optimizer, Parameter, SGD } from 'tensorless';
import { webgpuKernels } from 'tensorless/webgpu';
import type { Golden, GoldenArray } from '../golden.ts';
import { check, type Given } from './suite.ts';

const classes = { Adafactor, AdamW, Lion, SGD };
/** How many times PyTorch's error it may have. */
const MOST = 1.5;

function numbersOf({ dtype, data }: GoldenArray): Float32Array | Float64Array {
  const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
  return dtype === 'float64' ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer);
}

function optionsOf({ options }: Golden): Record<string, unknown> {
  const camel = (name: string): string => name.replaceAll(/_([a-z])/g, (_, c: string) => c.toUpperCase());
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]));
}

/** Root of the summed squared differences. */
function distance(a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]): number {
  let sum = 0;
  for (const [i, row] of b.entries()) for (let k = 0; k < row.length; k++) sum += (a[i]![k]! - row[k]!) ** 2;
  return Math.sqrt(sum);
}

export async function float32Level(device: GPUDevice, goldens: Given['goldens'], say: Given['say']): Promise<void> {
  const kernels = webgpuKernels(device, { arithmetic: 'float32' });
  const ratios: number[] = [];
  for (const { name, golden } of goldens) {
    const make = classes[golden.optimizer.split('.').at(-1) as keyof typeof classes];
    const parameters = golden.params.map(({ array, name: called }) => {
      return new Parameter(kernels.upload(numbersOf(array) as Float32Array), array.shape, { name: called });
    });
    const optimizer: Optimizer = new make(parameters, { ...optionsOf(golden), kernels } as object);
    for (const row of golden.grads) {
      for (const [i, grad] of row.entries()) {
        parameters[i]!.grad = grad === null ? null : kernels.upload(numbersOf(grad) as Float32Array);
      }
      optimizer.step();
    }
    const weights = (await kernels.read(optimizer)).map(({ data }) => data);
    const exact = golden.exact!.map(numbersOf);
    const theirs = golden.after.at(-1)!.map(numbersOf);
    const ratio = distance(weights, exact) / distance(theirs, exact);
    check(`${name} in float32: ${ratio} times PyTorch's error`, ratio <= MOST);
    ratios.push(ratio);
    optimizer.dispose();
  }
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  const largest = Math.max(...ratios);
  say(
    `float32 level, ${ratios.length} recorded runs: ${mean.toFixed(3)} times PyTorch's error on average, ` +
      `at most ${largest.toFixed(3)}`,
  );
}
