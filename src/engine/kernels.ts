/**
 * The public half of an engine: where its arrays live. Engines differ in speed, never in the bits
 * of a result; the order of every sum is written down in `loops/sums.ts`, which is the reference.
 *
 * @module
 */
import { ENGINE, type Engine } from './engine.ts';
import { type Memory, ordinary } from './memory.ts';

/**
 * Where an optimizer's arrays live, and which loops work on them. 16-bit parameters are widened
 * strip by strip and worked on by the float32 loops.
 */
export interface Kernels extends Memory {
  /** @internal */
  readonly [ENGINE]?: Engine;
}

/**
 * The pure TypeScript loops: the default and the reference. Its arrays are ordinary ones, and
 * freeing them does nothing.
 */
export const typescriptKernels: Kernels = {
  name: 'typescript',
  allocate: ordinary as Kernels['allocate'],
  fits: () => true,
  owns: () => true,
  checkLive() {},
  free() {},
};

const plain: Engine = {};

/** The engine of these kernels; those of somebody else's making are memory alone. */
export function engineOf(kernels: Kernels): Engine {
  return kernels[ENGINE] ?? plain;
}
