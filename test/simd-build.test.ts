import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { importShared } from '../src/simd/module.ts';
import { compile, generate, targets } from '../tools/simd.ts';

describe.each(targets)('$name', (target) => {
  it('is simd/assembly/ compiled (else: npm run build:simd)', async () => {
    expect(readFileSync(target.target, 'utf8')).toBe(await generate(target));
  });

  it('one byte makes it the module that the compiler writes for a shared memory', async () => {
    const bytes = await compile(target, false);
    importShared(bytes);
    expect(Buffer.from(bytes).equals(Buffer.from(await compile(target, true)))).toBe(true);
  });
});
