/** The tests of time, memory and disks that take long: `npm run test:slow`. */
import { defineConfig, mergeConfig } from 'vitest/config';
import config from './vitest.config.ts';

const { include: _, ...test } = config.test!;
export default mergeConfig({ ...config, test }, defineConfig({ test: { include: ['test/*.slow.ts'] } }));
