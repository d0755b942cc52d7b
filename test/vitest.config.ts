import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('..', import.meta.url));

export default defineConfig({
  root,
  // Examples import the package by its name; here that is the source, so that no test needs a build first.
  resolve: {
    alias: [
      { find: /^tensorless$/, replacement: `${root}src/index.ts` },
      { find: /^tensorless\/(.+)$/, replacement: `${root}src/$1.ts` },
    ],
  },
  test: {
    include: ['test/*.test.ts'],
    setupFiles: ['test/setup.ts'],
    testTimeout: 60_000,
  },
});
