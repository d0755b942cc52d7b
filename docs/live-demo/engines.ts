/** Which loops can do the optimizer's work here, and why others cannot. */
import { type Kernels, typescriptKernels } from 'tensorless';
import { parallelKernels } from 'tensorless/parallel';
import { simdKernels } from 'tensorless/simd';
import { type WebGPUKernels, webgpuKernels } from 'tensorless/webgpu';

export type EngineName = 'typescript' | 'simd' | 'threads' | 'webgpu';

export interface Engine {
  readonly name: EngineName;
  readonly title: string;
  /** What is to be known of it, or why it is not to be had. */
  readonly note: string;
  readonly available: boolean;
  /** A GPU's programs that the CPU computes. */
  readonly slow?: boolean;
}

export interface Made {
  readonly kernels: Kernels;
  /** Whether a step has to be awaited. */
  readonly asynchronous: boolean;
  close(): Promise<void>;
}

const nothing = async (): Promise<void> => {};

/** One for all runs: its programs are compiled once. */
let kept: Promise<WebGPUKernels> | undefined;

async function kernelsOfGPU(): Promise<WebGPUKernels> {
  const forget = (): void => {
    kept = undefined;
  };
  try {
    const found = await adapter();
    if (typeof found === 'string') throw new Error(`no WebGPU: ${found}`);
    const device = await found.requestDevice();
    device.lost.then(forget);
    return webgpuKernels(device);
  } catch (error) {
    forget();
    throw error;
  }
}

const MAKE: Readonly<Record<EngineName, () => Promise<Made>>> = {
  typescript: async () => ({ kernels: typescriptKernels, asynchronous: false, close: nothing }),
  simd: async () => ({ kernels: simdKernels(), asynchronous: false, close: nothing }),
  threads: async () => {
    const createWorker = (): Worker => new Worker(new URL('./thread.ts', import.meta.url), { type: 'module' });
    const threads = Math.max(2, Math.min(4, navigator.hardwareConcurrency));
    const kernels = await parallelKernels({ threads, arenaBytes: 2 ** 20, createWorker });
    return { kernels, asynchronous: true, close: () => kernels.close() };
  },
  webgpu: async () => {
    kept ??= kernelsOfGPU();
    return { kernels: await kept, asynchronous: true, close: nothing };
  },
};

/** How long a browser may take to find an adapter. */
const PATIENCE = 5000;

/** A GPU, or why there is none. */
async function adapter(): Promise<GPUAdapter | string> {
  const { gpu } = navigator as { gpu?: GPU };
  if (gpu === undefined) {
    return globalThis.isSecureContext
      ? 'this browser has no WebGPU, or it is switched off.'
      : 'browsers have WebGPU in secure contexts only: over https, or from localhost.';
  }
  try {
    const late = new Promise<'late'>((resolve) => setTimeout(() => resolve('late'), PATIENCE));
    const found = await Promise.race([gpu.requestAdapter(), late]);
    if (found === 'late') return `the browser found no adapter in ${PATIENCE / 1000} seconds.`;
    return found ?? 'this browser has WebGPU, but gives no adapter: no GPU, or one that it does not trust.';
  } catch (error) {
    return (error as Error).message;
  }
}

export const makeEngine = (name: EngineName): Promise<Made> => MAKE[name]();

function simdMissing(): string {
  try {
    simdKernels();
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

function noteOf({ info }: GPUAdapter): string {
  const name = info.description || info.architecture || info.vendor || 'a GPU';
  const steps = `The steps on ${name}. Each one waits for gradients that go there and weights that come back`;
  return info.isFallbackAdapter
    ? `${steps}. This adapter computes a GPU’s programs on the CPU: seconds to begin, then a few steps a second.`
    : `${steps}: it is for models whose gradients are on the GPU.`;
}

/** All engines, those that this browser lacks with the reason. */
export async function engines(): Promise<Engine[]> {
  const gpu = await adapter();
  const noSimd = simdMissing();
  const isolated = globalThis.crossOriginIsolated === true;
  return [
    { name: 'typescript', title: 'TypeScript', note: 'Plain loops, in any browser.', available: true },
    {
      name: 'simd',
      title: 'SIMD',
      note: noSimd === '' ? 'WebAssembly, two to four numbers at once.' : `Not here: ${noSimd}`,
      available: noSimd === '',
    },
    {
      name: 'threads',
      title: 'Threads',
      note: isolated
        ? 'SIMD with workers. This model is so small (under 131,072 weights) that one thread does all of it.'
        : 'Not here: the host has to send the two headers of cross-origin isolation, as npm run docs:serve does.',
      available: isolated && noSimd === '',
    },
    {
      name: 'webgpu',
      title: 'WebGPU',
      note: typeof gpu === 'string' ? `Not here: ${gpu}` : noteOf(gpu),
      available: typeof gpu !== 'string',
      slow: typeof gpu !== 'string' && gpu.info.isFallbackAdapter,
    },
  ];
}

/** The fastest of those that are there for a model of this size. */
export const usual = (all: readonly Engine[]): EngineName =>
  all.some(({ name, available }) => name === 'simd' && available) ? 'simd' : 'typescript';
