/** Workers that run the source, which Node 20 does not take unbuilt; for tests and bench. */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { buildSync } from 'esbuild';

let program: URL | undefined;

/** For the `createWorker` of `parallelKernels`. */
export function createWorker(): Worker {
  if (program === undefined) {
    const { outputFiles } = buildSync({
      entryPoints: [fileURLToPath(new URL('../src/parallel-worker.ts', import.meta.url))],
      bundle: true,
      format: 'esm',
      platform: 'neutral',
      write: false,
    });
    program = new URL(`data:text/javascript;base64,${Buffer.from(outputFiles[0]!.contents).toString('base64')}`);
  }
  return new Worker(program);
}
