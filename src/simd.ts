/**
 * The loops in WebAssembly SIMD: an optional engine, two to four times as fast as the TypeScript
 * loops and with the same bits.
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

import { options as checkedOptions, integer } from './core/check.ts';
import { ENGINE } from './engine/engine.ts';
import { type Kernels, typescriptKernels } from './engine/kernels.ts';
import { Arena } from './simd/arena.ts';
import { Copies } from './simd/copies.ts';
import { arithmeticOf, compileSimd, MOST_PAGES, makeMemory, PAGE, simdEngine } from './simd/module.ts';
import { BEYOND, RESERVED } from './simd/places.ts';

/** Options of {@link simdKernels}. */
export interface SimdOptions {
  /**
   * Memory for `allocate`, in bytes: parameters and gradients that are to be worked on without
   * copying, and the optimizer's state. A multiple of 64 goes to each array. Most systems hand it
   * out as it is first used. Default 64 MiB; 0: everything is copied.
   */
  arenaBytes?: number;
  /**
   * `"double"`: the bits of the TypeScript loops. `"float32"`: float32 and 16-bit parameters are
   * worked on in single precision, 1.2 to 2.4 times as fast; as close to exact arithmetic as
   * PyTorch, and the same bits on every machine, runtime and thread count within this level.
   * Float64 parameters are done as ever. Default `"double"`.
   */
  arithmetic?: 'double' | 'float32';
}

const DEFAULT_ARENA = 64 * 2 ** 20;
/**
 * Bytes for copies that are kept through a step: copied Adafactor steps of 128² to 300² take an
 * eighth less, of 64² and 362² a thirtieth (Node 20.20). With 4 MiB 1024² would gain a tenth, but
 * 512², whose arrays and copies no longer fit into the second cache (2 MiB), would lose as much.
 */
const COPIES = 2 ** 20;
/** Where the arena begins. */
const FIXED = RESERVED + COPIES;
/** Bytes that a memory can have for arrays. */
const MOST = MOST_PAGES * PAGE - FIXED - BEYOND;
const REPAIR = {
  double: 'leave the kernels option out, which gives the TypeScript loops and the same bits',
  float32: 'leave the kernels option out, which gives the TypeScript loops, in double',
};

/**
 * Kernels in WebAssembly SIMD, with a memory of their own whose size is fixed here.
 *
 * Arrays from `allocate` are worked on where they are; all others go through small copies.
 * Optimizers put their state into the same memory while there is room, else into ordinary arrays,
 * and `optimizer.dispose()` gives it back. The results' bits are those of the TypeScript loops, so
 * a run can be continued with either; with `arithmetic: 'float32'` they are those of that level.
 * Starts at once, without a promise, from bytes in the package.
 *
 * @param options - `arenaBytes`: memory for `allocate`; `arithmetic`: the level.
 * @throws Error where WebAssembly or its SIMD is missing, or a Content-Security-Policy forbids it.
 * @throws TypeError or RangeError when arenaBytes is not a number of bytes below 4 GiB, or more
 *   than the system gives, or arithmetic is neither of the two.
 */
export function simdKernels(options: SimdOptions = {}): Kernels {
  const given = checkedOptions('simdKernels', options, ['arenaBytes', 'arithmetic']);
  const { arenaBytes = DEFAULT_ARENA } = given;
  const level = arithmeticOf('simdKernels', given.arithmetic);
  const bytes = integer('simdKernels: arenaBytes', arenaBytes, { min: 0, max: MOST });
  compileSimd('simdKernels', false, REPAIR[level], level);
  // Counted in whole lines, so that the last one is not lost.
  const room = Math.min(Math.ceil(bytes / 64) * 64, MOST);
  const memory = makeMemory('simdKernels', Math.ceil((FIXED + room + BEYOND) / PAGE), false);
  const arena = new Arena('simdKernels', memory.buffer, FIXED, room);
  const copies = new Copies(RESERVED, COPIES);

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
    checkLive: (array) => arena.checkLive(array),
    free: (array) => arena.free(array),
    [ENGINE]: {
      ...simdEngine(memory, arena, 0, false, copies, level),
      keep: (array) => {
        if (array.BYTES_PER_ELEMENT === 2 || arena.address(array as Float32Array) >= 0) return;
        copies.keep(array as Float32Array);
      },
      forget: () => copies.forget(),
    },
  };
}

/**
 * {@link simdKernels} where WebAssembly SIMD runs and is allowed, else the TypeScript loops: the
 * same bits either way, but with `arithmetic: 'float32'`, as TypeScript's are always those of
 * double.
 *
 * @param options - As of {@link simdKernels}.
 * @throws TypeError or RangeError when an option is wrong, or the system does not give that memory.
 */
export function fastestKernels(options: SimdOptions = {}): Kernels {
  try {
    return simdKernels(options);
  } catch (error) {
    // Wrong options and too little memory are told by these two.
    if (error instanceof TypeError || error instanceof RangeError) throw error;
    return typescriptKernels;
  }
}
