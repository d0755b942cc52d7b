/** Which loops can do the optimizer's work here, and why others cannot. */
import { type Kernels, typescriptKernels } from 'tensorless';
import { parallelKernels } from 'tensorless/parallel';
import { simdKernels } from 'tensorless/simd';

export type EngineName = 'typescript' | 'simd' | 'threads' | 'webgpu';

export interface Engine {
  readonly name: EngineName;
  readonly title: string;
  /** What is to be known of it, or why it is not to be had. */
  readonly note: string;
  readonly available: boolean;
}

export interface Made {
  readonly kernels: Kernels;
  /** Whether a step has to be awaited. */
  readonly asynchronous: boolean;
  close(): Promise<void>;
}

const nothing = async (): Promise<void> => {};

const MAKE: Readonly<Record<EngineName, () => Promise<Made>>> = {
  typescript: async () => ({ kernels: typescriptKernels, asynchronous: false, close: nothing }),
  simd: async () => ({ kernels: simdKernels(), asynchronous: false, close: nothing }),
  threads: async () => {
    const createWorker = (): Worker => new Worker(new URL('./thread.ts', import.meta.url), { type: 'module' });
    const threads = Math.max(2, Math.min(4, navigator.hardwareConcurrency));
    const kernels = await parallelKernels({ threads, arenaBytes: 2 ** 20, createWorker });
    return { kernels, asynchronous: true, close: () => kernels.close() };
  },
  webgpu: () => Promise.reject(new Error('this demo does not run on WebGPU yet')),
};

export const makeEngine = (name: EngineName): Promise<Made> => MAKE[name]();

function simdMissing(): string {
  try {
    simdKernels();
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

/** All engines, those that this browser lacks with the reason. */
export function engines(): Engine[] {
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
      note: 'For models whose gradients are on the GPU too (tensorless/webgpu); those of this one are not.',
      available: false,
    },
  ];
}

/** The fastest of those that are there for a model of this size. */
export const usual = (all: readonly Engine[]): EngineName =>
  all.some(({ name, available }) => name === 'simd' && available) ? 'simd' : 'typescript';
