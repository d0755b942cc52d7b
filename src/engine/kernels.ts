/**
 * The seam between the optimizers' formulas and the loops that do the arithmetic. Engines differ in speed, never in the
 * bits of a result; the order of every sum is written down in `loops/sums.ts`, which is the reference.
 *
 * @module
 */

import type { NumericArray } from '../core/dtype.ts';
import type { LoopsSixteen } from '../core/sixteen-bits.ts';
import type * as adamLoops from '../loops/adam.ts';
import type * as adamLoops64 from '../loops/generated/adam64.ts';
import type * as matrixLoops64 from '../loops/generated/matrix64.ts';
import type * as sumLoops64 from '../loops/generated/sums64.ts';
import type * as vectorLoops64 from '../loops/generated/vector64.ts';
import type * as matrixLoops from '../loops/matrix.ts';
import type * as sumLoops from '../loops/sums.ts';
import type * as vectorLoops from '../loops/vector.ts';
import type { Stepper } from '../optimizers/stepper.ts';
import type { Scratch } from './tasks.ts';

/** The loops for one array type; their meaning, arguments and order of summation are those of `loops/*.ts`. */
export type Loops32 = typeof sumLoops &
  typeof matrixLoops &
  typeof vectorLoops &
  typeof adamLoops & {
    /** 0 when `length` numbers from `offset` are finite, else NaN; absent where it is not faster than `sumSquares`. */
    readonly nonFinite?: ((x: Float32Array, offset: number, length: number) => number) | undefined;
  };
/** {@link Loops32} for Float64Array. */
export type Loops64 = typeof sumLoops64 & typeof matrixLoops64 & typeof vectorLoops64 & typeof adamLoops64;

/**
 * The engine of an optimizer: where its arrays live and which loops work on them. 16-bit parameters are widened block by block and
 * worked on by the float32 loops.
 */
export interface Kernels {
  /** For messages and benchmarks, such as `"typescript"`. */
  readonly name: string;
  /**
   * A zeroed array that these kernels work on without copying.
   *
   * @throws RangeError when the kernels' memory is used up.
   */
  allocate(dtype: 'float32', length: number): Float32Array;
  /** The same for float64. */
  allocate(dtype: 'float64', length: number): Float64Array;
  /** Whether `allocate` has room for that array; an ordinary array serves too, only slower. */
  fits(dtype: 'float32' | 'float64', length: number): boolean;
  /** Whether the array is one from `allocate` that has not been freed. */
  owns(array: Float32Array | Float64Array): boolean;
  /**
   * Refuses an array of these kernels that was freed. Optimizers ask before a step touches anything.
   *
   * @throws Error when the array was freed.
   */
  checkLive(array: Float32Array | Float64Array): void;
  /**
   * Gives the memory of an array from `allocate` back; the array must not be used afterwards.
   *
   * @throws Error when it was freed already, or is not from `allocate`.
   */
  free(array: Float32Array | Float64Array): void;
  /** Loops over float32 arrays; default the TypeScript ones, as for the next two. @internal */
  readonly float32?: Loops32;
  /** @internal */
  readonly float64?: Loops64;
  /** @internal */
  readonly sixteen?: LoopsSixteen;
  /** From here to `forget` nobody but the loops writes to this array: a copy of it may be kept from pass to pass. @internal */
  keep?(array: NumericArray): void;
  /** The end of what `keep` said. @internal */
  forget?(): void;
  /** Scratch memory of a task; default `new Float64Array`. @internal */
  readonly scratch?: Scratch;
  /** Where `stepAsync` spreads its work. Default: it is done at once. @internal */
  readonly threads?: Threads;
}

/** Several threads for one step. @internal */
export interface Threads {
  /**
   * The course of a step, as {@link Stepper.update}, with each pass over many parameters at once; the calls of several optimizers wait for one another.
   *
   * @throws TornStepError at its end where a thread ended while it wrote weights.
   */
  step(stepper: Stepper, where: string): Promise<void>;
  /** Forgets what the threads know of an optimizer. */
  forget(stepper: Stepper): void;
}

function allocate(dtype: 'float32', length: number): Float32Array;
function allocate(dtype: 'float64', length: number): Float64Array;
function allocate(dtype: 'float32' | 'float64', length: number): Float32Array | Float64Array {
  return dtype === 'float32' ? new Float32Array(length) : new Float64Array(length);
}

/** The pure TypeScript loops: the default and the reference. Its arrays are ordinary ones, and freeing them does nothing. */
export const typescriptKernels: Kernels = {
  name: 'typescript',
  allocate,
  fits: () => true,
  owns: () => true,
  checkLive() {},
  free() {},
};

/** An array for an optimizer's own use: in the kernels' memory while there is room, else an ordinary one. */
export function allocateOwn(
  kernels: Kernels,
  dtype: 'float32' | 'float64',
  length: number,
): Float32Array | Float64Array {
  if (dtype === 'float32')
    return kernels.fits(dtype, length) ? kernels.allocate(dtype, length) : new Float32Array(length);
  return kernels.fits(dtype, length) ? kernels.allocate(dtype, length) : new Float64Array(length);
}

/** Gives an array of {@link allocateOwn} back. */
export function freeOwn(kernels: Kernels, array: Float32Array | Float64Array): void {
  if (kernels.owns(array)) kernels.free(array);
}
