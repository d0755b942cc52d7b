/**
 * `tensorless/parallel` for the pages' blocks: its own worker file is TypeScript here, which Node
 * 20 does not take.
 */
import { type ParallelKernels, type ParallelOptions, parallelKernels as start } from 'tensorless/parallel';
import { createWorker } from './_workers.ts';

export { TornStepError } from 'tensorless/parallel';

export function parallelKernels(options: ParallelOptions = {}): Promise<ParallelKernels> {
  return start({ createWorker, ...options });
}
