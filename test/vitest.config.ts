import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('..', import.meta.url));

export default defineConfig({
  root,
  // Examples import the package by its name; here that is the source, so that no test needs a build
  // first.
  resolve: {
    alias: [
      { find: /^tensorless$/, replacement: `${root}src/index.ts` },
      { find: /^tensorless\/(.+)$/, replacement: `${root}src/$1.ts` },
    ],
  },
  test: {
    include: ['test/*.test.ts'],
    setupFiles: ['test/setup.ts'],
    // By default one core stays free, which on two makes one file at a time.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 120_000,
    hookTimeout: 120_000,
    coverage: {
      include: ['src/**/*.ts'],
      // The command line runs in processes of its own in the tests, the workers' program in
      // threads, WebGPU in processes and pages that have a GPU (`npm run test:webgpu`).
      exclude: [
        'src/simd/assembly/**',
        'src/cli.ts',
        'src/command-line/**',
        'src/threads/worker.ts',
        'src/parallel-worker.ts',
        'src/webgpu/**',
        'src/webgpu.ts',
        'src/frameworks/tf-gpu.ts',
        'src/index.ts',
        'src/simd/bytes.ts',
      ],
      reporter: ['text', 'html', 'json'],
      reportOnFailure: true,
      thresholds: { lines: 98, branches: 97 },
    },
  },
});
