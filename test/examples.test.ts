/** The programs in docs/examples, run as their headers say. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

function run(name: string): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', `docs/examples/${name}.ts`], {
    cwd: root,
    encoding: 'utf8',
  });
  expect(status, stderr).toBe(0);
  return stdout;
}

/** The number after these words. */
function after(words: string, output: string): number {
  const found = output.slice(output.indexOf(words) + words.length).match(/-?[\d.]+(e[-+]\d+)?/);
  expect(output).toContain(words);
  return Number(found?.[0]);
}

/** What each must print. A further example is a further entry. */
const examples: Record<string, (output: string) => void> = {
  'plain-loop'(output) {
    expect(after('step 0  loss', output)).toBeGreaterThan(5);
    // The noise that no line can follow has a mean square of 0.005.
    expect(after('step 200  loss', output)).toBeLessThan(0.006);
    expect(after('step 200  loss 0.0051  lr', output)).toBe(0);
    expect(Math.abs(after('y =', output) - 3)).toBeLessThan(0.05);
  },
  accumulation(output) {
    expect(after('largest error of a weight', output)).toBeLessThan(0.05);
    expect(after('largest difference to 100 steps of 32 examples:', output)).toBeLessThan(1e-5);
    expect(after('sum', output)).toBe(410);
    expect(after('kept in bfloat16', output)).toBe(256);
  },
  'fused-backward'(output) {
    // Eight gradients of 256 KiB, against one; the collector may see one more.
    expect(Math.abs(after('step():          peak of the gradients', output) - 2)).toBeLessThan(0.3);
    expect(after('stepParameter(): peak of the gradients', output)).toBeLessThanOrEqual(0.5);
    expect(output).toContain('the same weights, to the last bit');
  },
  'stochastic-rounding'(output) {
    const last = output.trim().split('\n').at(-1)!.trim().split(/\s+/).map(Number);
    expect(last[0]).toBe(1000);
    expect(last[2]).toBe(1);
    expect(last[1]).toBeGreaterThan(1.45);
    expect(Math.abs(last[3]! - last[1]!)).toBeLessThan(0.005);
  },
};

/** Programs with tests of their own. */
const elsewhere = ['demo', 'tfjs-digits'];

describe('docs/examples', () => {
  it.each(Object.entries(examples))('%s prints what it promises', (name, check) => {
    check(run(name));
  });

  it('are all run, and each says how', () => {
    const files = readdirSync(`${root}docs/examples`).filter((file) => file.endsWith('.ts'));
    const names = files.map((file) => file.slice(0, -3)).filter((name) => !elsewhere.includes(name));
    expect(names.sort()).toEqual(Object.keys(examples).sort());
    for (const name of names) {
      expect(readFileSync(`${root}docs/examples/${name}.ts`, 'utf8')).toContain(`npx tsx docs/examples/${name}.ts`);
    }
  });
});
