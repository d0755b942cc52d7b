import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { importShared } from '../src/simd/module.ts';
import { compile, moduleOf, targets } from '../tools/simd.ts';

describe.each(targets)('$name', (target) => {
  // Seconds each, so that no module is compiled twice.
  const own = compile(target, false);

  it('is simd/assembly/ compiled (else: npm run build:simd)', async () => {
    expect(readFileSync(target.target, 'utf8')).toBe(moduleOf(target, await own));
  });

  it('one byte makes it the module that the compiler writes for a shared memory', async () => {
    const bytes = (await own).slice();
    importShared(bytes);
    expect(Buffer.from(bytes).equals(Buffer.from(await compile(target, true)))).toBe(true);
  });
});
