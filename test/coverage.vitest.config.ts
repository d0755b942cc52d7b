/** All tests, the slow ones too: `npm run coverage`. */
import { defineConfig, mergeConfig } from 'vitest/config';
import config from './vitest.config.ts';

export default mergeConfig(config, defineConfig({ test: { include: ['test/*.slow.ts'] } }));
