import type { Browser, Page } from 'playwright-core';
import { Adafactor, Parameter, type StateTensor } from 'tensorless';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { COLS, Experiment, PATTERNS, ROWS } from '../../docs/why-adafactor/experiment.ts';
import { launch, type Served, serve, watch } from './site.ts';

let browser: Browser;
let site: Served;
let page: Page;
let problems: string[];
beforeAll(async () => {
  [browser, site] = await Promise.all([launch(), serve()]);
});
afterAll(async () => {
  await browser.close();
  site.close();
});
beforeEach(async () => {
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  problems = watch(page);
  await page.goto(`${site.url}why-adafactor/`);
});
afterEach(async () => {
  expect(problems).toEqual([]);
  await page.close();
});

const text = (id: string): Promise<string> => page.locator(`#${id}`).innerText();

describe('why Adafactor works', () => {
  it('counts memory', async () => {
    await page.locator('#rows').fill('24');
    await page.locator('#cols').fill('24');
    expect(await text('memory-said')).toContain(
      '4,096 × 4,096 weights: AdamW keeps 33,554,432 numbers, Adafactor 8,192',
    );
    expect(await page.locator('#models tr').nth(1).innerText()).toMatch(/T5-base\s+223 M\s+1.8 GB\s+1.9 MB\s+917/);
  });

  it('shows R, C and U of the dragged gradient as the library has them', async () => {
    const before = await text('cell');
    await page.locator('#g').scrollIntoViewIfNeeded();
    const cell = (await page.locator('#g > *').nth(13).boundingBox())!;
    await page.mouse.move(cell.x + 5, cell.y + 5);
    await page.mouse.down();
    await page.mouse.move(cell.x + 5, cell.y - 35, { steps: 4 });
    await page.mouse.up();
    const said = await text('cell');
    expect(said).not.toBe(before);
    const [g, r, c, , , u] = [...said.matchAll(/(?:G|R|C|V̂|V|U) (-?[\d.e-]+)/gu)].map(([, value]) => Number(value));
    const gradient = PATTERNS['Activation × error']!();
    expect(g).toBeCloseTo(gradient[13]! + 40 / 80, 2);
    gradient[13] = gradient[13]! + 40 / 80;
    const weight = new Parameter(new Float64Array(ROWS * COLS), [ROWS, COLS]);
    const optimizer = new Adafactor([weight], { lr: 1, relativeStep: false, scaleParameter: false });
    weight.grad = Float64Array.from(gradient);
    optimizer.step();
    const state = optimizer.stateDict().state['0'] as Record<string, StateTensor>;
    expect(r).toBeCloseTo((state.exp_avg_sq_row!.data as Float64Array)[1]!, 3);
    expect(c).toBeCloseTo((state.exp_avg_sq_col!.data as Float64Array)[3]!, 3);
    expect(u).toBeCloseTo(-weight.data[13]!, 2);
  });

  it('is worked by keyboard', async () => {
    await page.locator('#g > *').first().focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('+');
    const cell = page.locator('#g > *').nth(1);
    expect(await cell.evaluate((element) => element === document.activeElement)).toBe(true);
    const value = Math.min(1, PATTERNS['Activation × error']!()[1]! + 0.1);
    expect(Number(await cell.getAttribute('aria-valuenow'))).toBeCloseTo(value, 2);
  });

  it('shows where the estimate is exact, where it fails, and when the clip holds', async () => {
    expect(await text('fit')).toBe('V̂ is V, exactly.');
    expect(await text('clip-said')).toContain('below the threshold');
    await page.getByRole('button', { name: 'Outlier' }).click();
    expect(await text('fit')).toMatch(/^V̂ misplaces [\d.]+ % of V/);
    await page.getByRole('button', { name: 'Activation × error' }).click();
    await page.getByRole('button', { name: 'Take 10, with noise' }).click();
    expect(await text('moment')).toContain('Step 11');
    await page.locator('#scale').fill('1');
    expect(await text('clip-said')).toMatch(/divided by (2|3|4)\.\d/);
  });
});

it('the experiment keeps one moment in full beside the library’s factors', () => {
  const experiment = new Experiment();
  const gradient = PATTERNS.Noise!();
  for (let i = 0; i < 3; i++) experiment.take(gradient);
  const { exact, r, c, rms, clipped } = experiment.look(gradient, 0.5);
  for (const [i, value] of exact.entries()) expect(value).toBeCloseTo(gradient[i]! ** 2, 12);
  expect(r).toHaveLength(ROWS);
  expect(c).toHaveLength(COLS);
  expect(clipped).toBeCloseTo(Math.min(rms, 0.5), 12);
});
