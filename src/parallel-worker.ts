/**
 * A worker of `parallelKernels`, as a file: for `new Worker`, or for bundlers that take a worker by
 * its name, such as Vite's `tensorless/parallel-worker?worker`.
 *
 * @module
 */
import { runParallelWorker } from './threads/worker.ts';

// Not awaited: some bundlers make classic scripts of workers.
runParallelWorker();
