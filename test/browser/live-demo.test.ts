import { createRequire } from 'node:module';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { split } from '../../docs/examples/words/data.ts';
import { DEFAULTS, Run } from '../../docs/examples/words/train.ts';
import { launch, serve, shots } from './site.ts';

const STEPS = 120;
let browser: Browser;
let context: BrowserContext;
let site: Awaited<ReturnType<typeof serve>>;

beforeAll(async () => {
  [browser, site] = await Promise.all([launch(), serve()]);
  context = await browser.newContext({ viewport: { width: 1000, height: 1000 } });
});
afterAll(async () => {
  await browser.close();
  site.close();
});

async function open(): Promise<Page> {
  const page = await context.newPage();
  page.on('pageerror', (error) => {
    throw error;
  });
  await page.goto(`${site.url}live-demo/`);
  return page;
}

describe('the live demo', () => {
  it('survives reloads and a closed page, and ends with the weights that Node has', async () => {
    const words: string[] = createRequire(import.meta.url)('an-array-of-english-words');
    const run = new Run({ ...DEFAULTS, steps: STEPS }, split(words, DEFAULTS.seed));
    while (run.step < STEPS) run.trainStep();
    const expected = await run.hash();

    let page = await open();
    await page.locator('#line', { hasText: 'Press' }).waitFor();
    await page.locator('#steps').fill(String(STEPS));
    await page.getByRole('button', { name: 'Start anew' }).click();
    await page.locator('#line', { hasText: /^step [1-9]/ }).waitFor();
    await page.waitForTimeout(1600);
    await page.reload();
    await page.locator('#line', { hasText: /^step [1-9]|^Done/ }).waitFor();
    await page.waitForTimeout(1200);
    await page.close();
    page = await open();
    await page.locator('#result').waitFor({ timeout: 60_000 });
    expect(await page.locator('#line').innerText()).toMatch(/^Done: 120 steps \(simd kernels/);
    expect(await page.locator('#hash').innerText()).toBe(expected);
    expect((await page.locator('#words').innerText()).split(', ')).toHaveLength(12);
    expect(await page.locator('#loss [aria-label="line"] path').count()).toBe(1);
    await page.screenshot({ path: `${shots}live-demo.png`, fullPage: true });
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.setViewportSize({ width: 360, height: 900 });
    await page.waitForTimeout(200);
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    await page.screenshot({ path: `${shots}live-demo-dark-narrow.png`, fullPage: true });
    await page.close();
  });

  it('pauses, saves, and goes on', async () => {
    const page = await open();
    await page.locator('#result').waitFor();
    await page.locator('#steps').fill('5000');
    await page.getByRole('button', { name: 'Start anew' }).click();
    await page.locator('#line', { hasText: /^step [1-9]/ }).waitFor();
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.locator('#line', { hasText: 'Paused and saved' }).waitFor();
    const paused = Number(/after step (\d+)/.exec(await page.locator('#line').innerText())![1]);
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.locator('#line', { hasText: /^step [1-9]/ }).waitFor();
    expect(Number(/step (\d+)/.exec(await page.locator('#line').innerText())![1])).toBeGreaterThan(paused);
    await page.close();
  });
});
