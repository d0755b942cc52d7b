/** docs/performance.md is what its program makes of bench/results/. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Result } from '../bench/measure.ts';
import { PAGE, PICTURE, page, picture } from '../bench/page.ts';
import { type AllResults, readResults } from '../bench/results.ts';

const on = { date: '2026-01-02', machine: 'a machine, 2 cores, linux x64', versions: 'Node 20.20.2' };
const raced = (title: string, elements: number, turns: Result['turns'], parameters = 1): Result => ({
  title,
  elements,
  parameters,
  baseline: Object.keys(turns)[0]!,
  turns,
});
const adamw = (side: number): Result =>
  raced(`AdamW, ${side} × ${side}`, side ** 2, {
    'torch AdamW foreach, best': [4, 2, 3],
    tensorless: [6, 3, 6],
    'tensorless, SIMD': [1.5, 1.25, 1],
    'torch AdamW fused': [1, 1, 1],
  });
const made: AllResults = {
  adamw: { on, cases: [256, 512, 1024].map(adamw) },
  model: { on, cases: [raced('AdamW, T5-small', 6e7, adamw(1).turns, 99)] },
  parameters: {
    on,
    cases: [10, 100, 1000].map((n) => raced(`AdamW, ${n} parameters`, 256 * n, { tensorless: [n, n, n] }, n)),
  },
  'dead-moments': {
    on: { ...on, date: '2026-01-03' },
    side: 256,
    steps: 3000,
    rows: [{ name: 'tensorless', usual: 3, zeros: 3.5, after: 4, tiny: 3.25 }],
    every: [
      { name: 'Lion; float32, SIMD', after: 0.98, most: 1.2, tiny: 1 },
      { name: 'SGD; float64, SIMD', after: 1.04, most: 1.04, tiny: 1.5 },
    ],
  },
  memory: {
    on,
    model: 'T5-small',
    rows: [
      { name: 'Adafactor, tensorless', state: 740_000, peak: 2_000_000 },
      { name: 'torch AdamW fused', state: 484e6, peak: null },
    ],
  },
  differences: { on, rows: [['AdamW, tensorless', 5.9e-8]] },
  checkpoints: {
    on,
    bytes: 5e8,
    torchBytes: 3e8,
    seconds: { loadTrainingState: [0.5, 0.25], 'Python: safetensors.numpy.load_file': [0.5, 1] },
  },
};

describe('the page', () => {
  const text = page(made);

  it('begins with the result: a sentence, the picture, a table of medians', () => {
    const first = text.slice(0, text.indexOf('- Measured on'));
    expect(first).toContain("AdamW: 6.00 in TypeScript, 1.25 with SIMD; torch's foreach 3.00, its fused 1.00.");
    expect(first).toContain('](performance.svg)');
    expect(first).toContain('| ns per element | AdamW, 256 × 256 | AdamW, 1024 × 1024 | AdamW, T5-small |');
    expect(first).toContain('| torch AdamW, fused | 1.00 | 1.00 | 1.00 |');
    expect(first).not.toContain('float32 level');
  });

  it('takes ratios turn by turn, against the baseline of the case', () => {
    expect(text).toContain('| tensorless, SIMD | 1.25 | 1.00-1.50 | 2.67 | 1.60-3.00 |');
  });

  it('sums up the very small numbers of every optimizer, and has them in full further down', () => {
    expect(text).toContain(
      'Over all 2 pairs of an optimizer and a number format on an engine, a step after them takes 0.98 to 1.04 times ' +
        'as long as a usual one, with gradients of 1e-20 1.00 to 1.50 ([each of them]',
    );
    expect(text).toContain('| Lion; float32, SIMD | 0.98 | 1.20 | 1.00 |');
  });

  it('has exponents over elements and over parameters', () => {
    expect(text).toContain('| AdamW, tensorless | 1.00 | 2.00 |');
    expect(text).toContain('| | 10 | 100 | 1,000 |');
  });

  it('tells what was measured apart from what was computed, and where a part is of another day', () => {
    expect(text).toContain('### Measured');
    expect(text).toContain('| torch AdamW fused | 484.0 MB | — |');
    expect(text.indexOf('### State')).toBeGreaterThan(text.indexOf('### Measured'));
    expect(text).toMatch(/## Very small numbers\n[^#]*Measured on 2026-01-03/);
    expect(text).toContain('| loadTrainingState | 2.00 | Python: safetensors.numpy.load_file | 1.00 | 2.00 |');
    expect(text.trimEnd().endsWith('- AdamW, tensorless: 5.9e-8')).toBe(true);
  });

  it('keeps its section on checkpoints where there is no file of it, and takes none that is not there', () => {
    const { checkpoints, memory, ...rest } = made;
    const other = page(rest, '\nas it was\n');
    expect(other).toContain('## Checkpoints\n\nas it was\n\n## Very small numbers, every optimizer');
    expect(other).not.toContain('### Measured');
    expect(() => page({})).toThrow('npm run bench');
  });
});

it('the picture has a bar for each, the least first, light and dark', () => {
  const svg = picture(made);
  const labels = [...svg.matchAll(/class="label \w+"[^>]*>([^<]*)</g)].map(([, label]) => label);
  expect(labels).toEqual(['torch AdamW, fused', 'tensorless, SIMD', 'torch AdamW, foreach', 'tensorless, TypeScript']);
  expect(svg).toContain('prefers-color-scheme: dark');
});

it('docs/performance.md and its picture are written from bench/results/ (npm run bench -- --page)', () => {
  const all = readResults();
  const { adafactor, adamw: measured } = all;
  // Without a whole run there, the page is an older one.
  if (adafactor === undefined || measured === undefined) return;
  const [, below] = readFileSync(PAGE, 'utf8').split('## Checkpoints\n');
  expect(readFileSync(PAGE, 'utf8')).toBe(page(all, below?.split('\n## ')[0] ?? null));
  expect(readFileSync(PICTURE, 'utf8')).toBe(picture(all));
});
