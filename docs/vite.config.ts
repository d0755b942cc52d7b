/** The pages that run this library in the browser: the schedule explorer and the live demo. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: at('.'),
  base: './',
  logLevel: 'warn',
  resolve: {
    alias: [
      { find: /^tensorless$/, replacement: at('../src/index.ts') },
      { find: /^tensorless\/(.+)$/, replacement: at('../src/$1.ts') },
    ],
  },
  worker: { format: 'es' },
  build: {
    outDir: at('site'),
    emptyOutDir: false,
    target: 'es2022',
    chunkSizeWarningLimit: 4000,
    rolldownOptions: { input: [at('explorer/index.html'), at('live-demo/index.html')] },
  },
});
