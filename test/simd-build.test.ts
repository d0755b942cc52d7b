import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { generate, target } from '../src/assembly/build.ts';

it('src/_simd-bytes.ts is src/assembly/index.ts compiled (else: npm run build:simd)', async () => {
  expect(readFileSync(target, 'utf8')).toBe(await generate());
});
