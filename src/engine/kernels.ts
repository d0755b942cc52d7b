/**
 * The public half of an engine: where its arrays live. Engines differ in speed, never in the bits
 * of a result; the order of every sum is written down in `loops/sums.ts`, which is the reference.
 *
 * @module
 */
import { show } from '../core/check.ts';
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

/** The `kernels` option of whatever has one; default the TypeScript loops. */
export function checkedKernels(name: string, kernels: unknown): Kernels {
  if (kernels === undefined) return typescriptKernels;
  const given = kernels as (Partial<Kernels> & { then?: unknown }) | null;
  if (typeof given?.allocate === 'function' && typeof given.free === 'function') return given as Kernels;
  const repair = typeof given?.then === 'function' ? '; await it' : '';
  throw new TypeError(
    `${name}: kernels must be a Kernels object such as simdKernels() returns, got ${show(kernels)}${repair}`,
  );
}
