/**
 * The loops in WebAssembly SIMD: an optional engine, several times as fast as the TypeScript loops and with the same bits.
 *
 * ```ts
 * import { simdKernels } from 'tensorless/simd';
 *
 * const kernels = simdKernels({ arenaBytes: 256 * 2 ** 20 });
 * const weight = new Parameter(kernels.allocate('float32', 512 * 512), [512, 512]);
 * const optimizer = new Adafactor([weight], { kernels });
 * ```
 *
 * @module
 */
import { Arena } from './_arena.ts';
import { options as checkedOptions, integer } from './_check.ts';
import { simdBytes } from './_simd-bytes.ts';
import { RESERVED, simdLoops, type WasmLoops } from './_simd-loops.ts';
import { simdSixteen, type WasmSixteen } from './_simd-sixteen.ts';
import type { Kernels, Loops64 } from './kernels.ts';

/** Options of {@link simdKernels}. */
export interface SimdOptions {
  /**
   * Memory for `allocate`, in bytes: parameters and gradients that are to be worked on without copying, and the optimizer's state.
   * A multiple of 64 goes to each array. Most systems hand it out as it is first used. Default 64 MiB; 0: everything is copied.
   */
  arenaBytes?: number;
}

/** The part of the WebAssembly JavaScript API that is used; its types are in the DOM library, which Node's programs do not have. */
interface WebAssemblyApi {
  readonly Memory: new (descriptor: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { env: { memory: object } },
  ) => { readonly exports: Record<string, (...args: number[]) => void> };
  validate(bytes: Uint8Array): boolean;
}

const PAGE = 65536;
/** What a 32-bit address reaches. */
const MOST_PAGES = 65536;
const DEFAULT_ARENA = 64 * 2 ** 20;
const REPAIR = 'leave the kernels option out, which gives the TypeScript loops and the same bits';

/** Compiled at the first call; instances share it. */
let compiled: object | undefined;

function compile(api: WebAssemblyApi | undefined): object {
  if (typeof api?.Module !== 'function' || typeof api.validate !== 'function') {
    throw new Error(`simdKernels: this runtime has no WebAssembly; ${REPAIR}`);
  }
  const bytes = Uint8Array.from(atob(simdBytes), (character) => character.charCodeAt(0));
  if (!api.validate(bytes)) {
    throw new Error(`simdKernels: this runtime's WebAssembly has no SIMD (fixed-width, 128 bits); ${REPAIR}`);
  }
  try {
    return new api.Module(bytes);
  } catch (cause) {
    throw new Error(
      `simdKernels: this runtime refuses to compile WebAssembly (${cause instanceof Error ? cause.message : String(cause)}); ` +
        `in a page, allow it in the Content-Security-Policy with script-src 'wasm-unsafe-eval', or ${REPAIR}`,
      { cause },
    );
  }
}

/**
 * Kernels in WebAssembly SIMD, with a memory of their own whose size is fixed here.
 *
 * Arrays from `allocate` are worked on where they are; all others go through small copies. Optimizers put their state into the same memory while there
 * is room, else into ordinary arrays, and `optimizer.dispose()` gives it back. The results' bits are those of the TypeScript loops, so a
 * run can be continued with either. Starts at once, without a promise, from bytes in the package.
 *
 * @param options - `arenaBytes`: memory for `allocate`.
 * @throws Error where WebAssembly or its SIMD is missing, or a Content-Security-Policy forbids it.
 * @throws TypeError or RangeError when arenaBytes is not a number of bytes below 4 GiB, or more than the system gives.
 */
export function simdKernels(options: SimdOptions = {}): Kernels {
  const { arenaBytes = DEFAULT_ARENA } = checkedOptions('simdKernels', options, ['arenaBytes']);
  const bytes = integer('simdKernels: arenaBytes', arenaBytes, { min: 0, max: MOST_PAGES * PAGE - RESERVED });
  const api = (globalThis as unknown as { WebAssembly?: WebAssemblyApi }).WebAssembly;
  compiled ??= compile(api);
  const { Memory, Instance } = api!;
  // Counted in whole lines, so that the last one is not lost.
  const room = Math.min(Math.ceil(bytes / 64) * 64, MOST_PAGES * PAGE - RESERVED);
  const pages = Math.ceil((RESERVED + room) / PAGE);
  let memory: { readonly buffer: ArrayBuffer };
  try {
    memory = new Memory({ initial: pages, maximum: pages });
  } catch (cause) {
    throw new RangeError(
      `simdKernels: the system gives no memory of ${pages * PAGE} bytes; ask for less with arenaBytes, arrays elsewhere are worked on too`,
      { cause },
    );
  }
  const { exports } = new Instance(compiled, { env: { memory } });
  const arena = new Arena(memory.buffer, RESERVED, room);

  function allocate(dtype: 'float32', length: number): Float32Array;
  function allocate(dtype: 'float64', length: number): Float64Array;
  function allocate(dtype: 'float32' | 'float64', length: number): Float32Array | Float64Array {
    return arena.allocate(dtype, length);
  }
  return {
    name: 'simd',
    allocate,
    fits: (dtype, length) => arena.fits(dtype, length),
    owns: (array) => arena.owns(array),
    checkLive: (array) => {
      arena.holds(array);
    },
    free: (array) => arena.free(array),
    float32: simdLoops(arena, wasmLoops(exports, '32'), 4),
    float64: simdLoops(arena, wasmLoops(exports, '64'), 8) as unknown as Loops64,
    sixteen: simdSixteen(memory.buffer, exports as unknown as WasmSixteen),
  };
}

function wasmLoops(exports: Record<string, (...args: number[]) => void>, bits: '32' | '64'): WasmLoops {
  return {
    reduce: exports[`reduce${bits}`]!,
    measure: exports[`measure${bits}`]!,
    apply: exports[`apply${bits}`]!,
    applyMomentum: exports[`applyMomentum${bits}`]!,
    sumSquares: exports[`sumSquares${bits}`]!,
    measureVector: exports[`measureVector${bits}`]!,
    applyVector: exports[`applyVector${bits}`]!,
    adam: exports[`adam${bits}`]!,
  };
}
