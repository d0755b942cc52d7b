/** The tests of time, memory, disks and pages that take long, one at a time: `npm run test:slow`. */
import { defineConfig, mergeConfig } from 'vitest/config';
import config from './vitest.config.ts';

const { include: _, ...test } = config.test!;
export default mergeConfig(
  { ...config, test },
  defineConfig({
    // What another process took of a time is measured again.
    test: { include: ['test/*.slow.ts'], maxWorkers: 1, retry: 2 },
  }),
);
