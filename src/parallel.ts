/**
 * All cores for one step: workers that share the arrays' memory. The bits of a result are the same
 * for any number of threads.
 *
 * ```ts
 * import { parallelKernels } from 'tensorless/parallel';
 *
 * const kernels = await parallelKernels({ threads: 2 });
 * const weight = new Parameter(kernels.allocate('float32', 512 * 512), [512, 512]);
 * const optimizer = new Adafactor([weight], { kernels });
 * weight.grad = kernels.allocate('float32', 512 * 512);
 * await optimizer.stepAsync();
 * await kernels.close();
 * ```
 *
 * @module
 */

import { boolean, options as checkedOptions, integer, show } from './core/check.ts';
import { ENGINE } from './engine/engine.ts';
import { type Kernels, typescriptKernels } from './engine/kernels.ts';
import { Arena } from './simd/arena.ts';
import { arithmeticOf, compileSimd, MOST_PAGES, makeMemory, PAGE, simdEngine, type WasmMemory } from './simd/module.ts';
import { BEYOND, RESERVED } from './simd/places.ts';
import { Crew, type WorkerLike } from './threads/crew.ts';
import { Driver, type TornRange, TornStepError } from './threads/driver.ts';
import { nodeModule } from './threads/node-module.ts';
import { FIRST_WORKER, WORDS } from './threads/protocol.ts';
import { SharedScratch } from './threads/shared-scratch.ts';
import { runParallelWorker } from './threads/worker.ts';

export { runParallelWorker, type TornRange, TornStepError, type WorkerLike };

/** Options of {@link parallelKernels}. */
export interface ParallelOptions {
  /**
   * Threads, the calling one included: from 1 to 32. Default: the cores that the runtime tells of,
   * at most 8.
   */
  threads?: number;
  /**
   * The loops in WebAssembly SIMD, on one memory that all threads share; false: the TypeScript
   * loops. Default true.
   */
  simd?: boolean;
  /**
   * With `simd`: memory for arrays that are worked on without copying, in bytes, as in
   * `simdKernels`. Default 64 MiB.
   */
  arenaBytes?: number;
  /** As in `simdKernels`; `"float32"` needs `simd`. Default `"double"`. */
  arithmetic?: 'double' | 'float32';
  /**
   * Starts a worker that runs {@link runParallelWorker}. Default: the package's own file
   * `tensorless/parallel-worker`. Needed where a bundler has moved it: `() => new Worker(new
   * URL('./worker.js', import.meta.url), { type: 'module'
   * })` with a file that calls `runParallelWorker()`.
   */
  createWorker?: () => WorkerLike;
}

/**
 * {@link Kernels} with threads: `optimizer.stepAsync()` uses them all, `optimizer.step()` the
 * calling one alone.
 */
export interface ParallelKernels extends Kernels {
  /**
   * Threads that work at present, the calling one included. Workers that ended are replaced at the
   * next step.
   */
  readonly size: number;
  /**
   * Ends the workers, after the step at hand. Steps are then done by the calling thread alone;
   * arrays stay usable.
   */
  close(): Promise<void>;
}

const MOST_THREADS = 32;
const USUAL_THREADS = 8;
const DEFAULT_ARENA = 64 * 2 ** 20;
/**
 * Bytes of a worker's own strips for 16-bit arrays: two of 8192 float32 numbers, or four rows of
 * 16384 columns.
 */
const STRIPS = 2 ** 19;
const PATIENCE = 30_000;

interface Runtime {
  process?: { execArgv?: readonly string[] };
  navigator?: { hardwareConcurrency?: number };
}
interface NodeThreads {
  Worker: new (url: URL, options: { execArgv?: string[] }) => WorkerLike;
}

/**
 * Kernels that spread a step over the calling thread and workers: `await optimizer.stepAsync()`.
 *
 * Every thread must reach the arrays: take parameters and gradients from `allocate`, or make them
 * over a SharedArrayBuffer (16-bit ones have to be). What is not shared is worked on by the calling
 * thread alone, with the same bits. Large matrices are split at fixed block boundaries, small ones
 * are grouped, and a step over fewer than 131,072 elements (262,144 with `arithmetic: 'float32'`)
 * is done by the calling thread. The workers do not keep a process alive.
 *
 * A worker that ends in the middle of a step (killed, out of memory) is made up for: its part is
 * done once more. Only where it was writing weights is the step refused, with a
 * {@link TornStepError} that names them, after everything else was applied. The next step starts a
 * new worker.
 *
 * @param options - See {@link ParallelOptions}.
 * @throws Error where the runtime has no SharedArrayBuffer (in a page: it is not cross-origin
 * isolated), no workers, or one of them does not start; with `simd`, where WebAssembly SIMD is
 * missing or forbidden.
 * @throws TypeError or RangeError that names the option that does not fit.
 */
export async function parallelKernels(options: ParallelOptions = {}): Promise<ParallelKernels> {
  const where = 'parallelKernels';
  const given = checkedOptions(where, options, ['threads', 'simd', 'arenaBytes', 'arithmetic', 'createWorker']);
  const threads = integer(`${where}: threads`, given.threads ?? cores(), { min: 1, max: MOST_THREADS });
  const simd = boolean(`${where}: simd`, given.simd ?? true);
  const level = arithmeticOf(where, given.arithmetic);
  if (level === 'float32' && !simd) {
    throw new RangeError(
      `${where}: arithmetic must be "double" with simd: false, got "float32"; leave out simd, or arithmetic`,
    );
  }
  const region = RESERVED + STRIPS;
  const most = MOST_PAGES * PAGE - threads * region - BEYOND;
  const bytes = integer(`${where}: arenaBytes`, given.arenaBytes ?? DEFAULT_ARENA, { min: 0, max: most });
  if (given.createWorker !== undefined && typeof given.createWorker !== 'function') {
    throw new TypeError(
      `${where}: createWorker must be a function that returns a new Worker, got ${show(given.createWorker)}`,
    );
  }
  if (typeof SharedArrayBuffer === 'undefined') {
    throw new Error(
      `${where}: this runtime has no SharedArrayBuffer; in a page, serve it with Cross-Origin-Opener-Policy: ` +
        `same-origin and ` +
        'Cross-Origin-Embedder-Policy: require-corp, or use simdKernels, which needs none',
    );
  }
  const createWorker = (given.createWorker as (() => WorkerLike) | undefined) ?? workerMaker(where);
  let memory: WasmMemory | null = null;
  let arena: Arena | null = null;
  if (simd) {
    const repair = level === 'double' ? 'and the same bits' : 'in double, and no arithmetic';
    compileSimd(where, true, `pass simd: false, which gives the TypeScript loops ${repair}`, level);
    const room = Math.min(Math.ceil(bytes / 64) * 64, most);
    memory = makeMemory(where, Math.ceil((threads * region + room + BEYOND) / PAGE), true);
    arena = new Arena(where, memory.buffer, threads * region, room);
  }
  const words = new Int32Array(new SharedArrayBuffer(4 * WORDS));
  const crew = new Crew(createWorker, (who) => ({
    kind: 'start',
    words,
    who,
    simd: memory && { memory, base: (1 + who - FIRST_WORKER) * region, strips: STRIPS, level },
  }));
  const driver = new Driver(crew, words, memory?.buffer ?? null, level);
  await crew.start(threads - 1, PATIENCE);
  return {
    ...sharedMemory(arena),
    [ENGINE]: {
      ...(memory !== null && simdEngine(memory, arena!, 0, true, undefined, level)),
      scratch: new SharedScratch().take,
      executor: driver,
    },
    get size() {
      return 1 + crew.alive.length;
    },
    close: () => driver.close(),
  };
}

/**
 * Arrays that all threads reach: in the arena while there is room, else each in a SharedArrayBuffer
 * of its own.
 */
function sharedMemory(arena: Arena | null): Kernels {
  const live = new WeakSet<Float32Array | Float64Array>();
  const freed = new WeakSet<Float32Array | Float64Array>();

  function allocate(dtype: 'float32', length: number): Float32Array;
  function allocate(dtype: 'float64', length: number): Float64Array;
  function allocate(dtype: 'float32' | 'float64', length: number): Float32Array | Float64Array {
    if (arena?.fits(dtype, length) === true) return arena.allocate(dtype, length);
    if (dtype !== 'float32' && dtype !== 'float64') {
      throw new TypeError(
        `parallelKernels.allocate: dtype must be "float32" or "float64", got ${show(dtype)}; for 16 bits make a ` +
          `Uint16Array over a SharedArrayBuffer`,
      );
    }
    integer('parallelKernels.allocate: length', length);
    const buffer = new SharedArrayBuffer((dtype === 'float32' ? 4 : 8) * length);
    const array = dtype === 'float32' ? new Float32Array(buffer) : new Float64Array(buffer);
    live.add(array);
    return array;
  }
  return {
    ...typescriptKernels,
    name: 'parallel',
    allocate,
    fits: () => true,
    owns: (array) => live.has(array) || arena?.owns(array) === true,
    checkLive: (array) => {
      if (freed.has(array)) {
        throw new Error(
          `parallelKernels: ${show(array)} was freed and is still in use; free an array after its last step, or ` +
            `make a new Parameter with a new array`,
        );
      }
      arena?.checkLive(array);
    },
    free: (array) => {
      if (live.delete(array)) freed.add(array);
      else if (freed.has(array)) throw new Error('parallelKernels.free: this array was freed already; free it once');
      else if (arena !== null) arena.free(array);
      else {
        throw new TypeError(
          `parallelKernels.free: array must be one that allocate of these same kernels returned, got ` +
            `${show(array)}; an ordinary array needs no free`,
        );
      }
    },
  };
}

/** Cores that the runtime tells of, at most {@link USUAL_THREADS}. */
function cores(): number {
  const told =
    (globalThis as Runtime).navigator?.hardwareConcurrency ??
    nodeModule<{ availableParallelism(): number }>('os')?.availableParallelism();
  return Math.max(1, Math.min(told ?? 1, USUAL_THREADS));
}

/** The global of browsers, Deno and Bun, by the name that bundlers look for. */
declare const Worker: new (url: URL, options: { type: 'module' }) => WorkerLike;

/** Starts the worker's file that stands beside this one. */
function workerMaker(where: string): () => WorkerLike {
  // Kept apart from `new URL`: bundlers take along, or miss, whatever is named in one breath.
  const here: string | undefined = import.meta.url;
  // TypeScript where the source is run as it is.
  const file = here?.endsWith('.ts') === true ? './parallel-worker.ts' : './parallel-worker.js';
  const node = nodeModule<NodeThreads>('worker_threads');
  if (node !== undefined) {
    // What `node --input-type=module -e` was told is for its text, not for the worker's file.
    const { execArgv = [] } = (globalThis as Runtime).process ?? {};
    const options = execArgv.some((arg) => arg.startsWith('--input-type')) ? { execArgv: [] } : {};
    return () => new node.Worker(new URL(file, here), options);
  }
  if (typeof Worker === 'undefined') {
    throw new Error(`${where}: this runtime has no workers; use simdKernels, or leave the kernels option out`);
  }
  if (file.endsWith('.ts')) return () => new Worker(new URL(file, here), { type: 'module' });
  // Bundlers know a worker by this very form.
  return () => new Worker(new URL('./parallel-worker.js', import.meta.url), { type: 'module' });
}
