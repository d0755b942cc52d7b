/** Every example runs with its one command and says what it promises. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tensorless-examples-'));
afterAll(() => rmSync(folder, { recursive: true }));

const examples: Record<string, { args?: string[]; says: RegExp[] }> = {
  'plain-loop.ts': { says: [/^step {3}0: loss 7\./m, /^weights 2\.000, -3\.000; bias 1\.000$/m] },
  'accumulation.ts': { says: [/float32 (0\.0e\+0|\d\.\de-[5-9]), bfloat16 \d\.\de-2$/m, /accumulator is at 0 again/] },
  'fused-backward.ts': {
    // Measured: eight gradients of 256 KiB against one; the collector may be late by one.
    says: [/^step\(\): .* 2\.0 MiB/m, /^stepParameter\(\): .* 0\.[35] MiB/m, /^the same weights, to the last bit$/m],
  },
  'stochastic-rounding.ts': { says: [/^nearest {3}: mean 1\.0000/m, /^stochastic: mean 0\.7[45]/m] },
  'resume.ts': { says: [/without the cut: true/] },
  'pytorch-handover.ts': { args: [folder], says: [/optimizer\.pt: \d+ bytes/, /read back: step 10/] },
  'jax-resume.ts': { says: [/^loss \d\.\d{3} at the first step, 0\.0\d+ at the last$/m, /without the cut: true$/m] },
  'tfjs-resume.ts': { says: [/^saved after 15 steps$/m, /without the cut: true$/m] },
  'tfjs-digits.ts': { says: [/^test accuracy (9[0-9]\.\d|100\.0) % on \d+ digits$/m] },
};

it('all examples are run here, or have tests of their own', () => {
  const files = readdirSync(join(root, 'docs/examples')).filter((name) => name.endsWith('.ts'));
  expect(files.sort()).toEqual([...Object.keys(examples), 'demo.ts'].sort());
});

it.concurrent.each(Object.entries(examples))('%s', (name, { args = [], says }) => {
  const path = `docs/examples/${name}`;
  expect(readFileSync(join(root, path), 'utf8')).toContain(`npx tsx ${path}`);
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', path, ...args], {
    cwd: root,
    encoding: 'utf8',
  });
  expect(status, stderr).toBe(0);
  for (const text of says) expect(stdout).toMatch(text);
});
