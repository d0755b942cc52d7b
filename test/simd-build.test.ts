import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { importShared } from '../src/simd/module.ts';
import { compile, generate, target } from '../tools/simd.ts';

it('simd/bytes.ts is simd/assembly/exports.ts compiled (else: npm run build:simd)', async () => {
  expect(readFileSync(target, 'utf8')).toBe(await generate());
});

it('one byte makes it the module that the compiler writes for a shared memory', async () => {
  const bytes = await compile(false);
  importShared(bytes);
  expect(Buffer.from(bytes).equals(Buffer.from(await compile(true)))).toBe(true);
});
