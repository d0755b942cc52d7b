import { mergeConfig } from 'vitest/config';
import base from './vitest.config.ts';

/**
 * The tests that reach the optimizers, curves and decoders in their own process; those that start
 * others would not see a mutant.
 */
export default mergeConfig(base, {
  test: {
    exclude: [
      'demo',
      'examples',
      'cli',
      'docs',
      'node-files',
      'tfjs',
      'size',
      'package',
      'architecture',
      'words-model',
      'schedule-pictures',
      'simd',
      'parallel',
      'threads',
      'memory',
      'big-endian',
      'simd-build',
      'math',
      'low-precision',
    ].map((name) => `test/${name}.test.ts`),
  },
});
