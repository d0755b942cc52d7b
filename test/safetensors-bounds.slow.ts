/**
 * What hostile headers may cost: 64 MiB and 20 times the file, 100 ms for each megabyte on a
 * machine as usual; and what is said of them.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { HOSTILE } from './_bounds.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const script = fileURLToPath(new URL('_bounds.ts', import.meta.url));

describe('bounds', () => {
  it.each(HOSTILE.map(([what], i) => [what, i] as const))('%s', (what, index) => {
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--expose-gc', '--max-old-space-size=8192', '--import', 'tsx', script, String(index)],
      { cwd: root, encoding: 'utf8' },
    );
    expect(stderr).toBe('');
    const result = JSON.parse(stdout) as Record<'size' | 'milliseconds' | 'allowed' | 'taken' | 'hidden', number> &
      Record<'name' | 'message', string>;
    const { size, milliseconds, allowed, taken, hidden, name, message } = result;
    console.log(
      `${what}: ${(size / 1e6).toFixed(0)} MB, ${milliseconds.toFixed(0)} of ${allowed.toFixed(0)} ms, ${(taken / size).toFixed(1)} ` +
        `times (+${(hidden / size).toFixed(1)}), ${message?.slice(0, 100)}`,
    );
    expect(taken + hidden).toBeLessThan((64 << 20) + 20 * size);
    expect(milliseconds).toBeLessThan(allowed);
    if (name !== undefined) {
      expect(name).toBe('CheckpointError');
      expect(message.length).toBeLessThanOrEqual(300);
    }
  });
});
