import { createRequire } from 'node:module';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { split } from '../../docs/examples/words/data.ts';
import { DEFAULTS, Run } from '../../docs/examples/words/train.ts';
import { launch, overflow, type Served, serve, shots, violations, watch } from './site.ts';

const STEPS = 120;
let browser: Browser;
let context: BrowserContext;
let site: Served;
let page: Page;
let problems: string[];

beforeAll(async () => {
  // Chromium's own adapter on the CPU is given where it is asked for.
  [browser, site] = await Promise.all([launch(['--enable-unsafe-webgpu']), serve()]);
});
afterAll(async () => {
  await browser.close();
  site.close();
});
beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 1280, height: 1000 } });
  page = await context.newPage();
  await open();
});
afterEach(async () => {
  expect(problems).toEqual([]);
  await context.close();
});

async function open(): Promise<void> {
  problems = watch(page);
  await page.goto(`${site.url}live-demo/`);
}

const line = (text: RegExp): Promise<void> => page.locator('#line', { hasText: text }).waitFor({ timeout: 90_000 });
const button = (name: string): Promise<void> => page.getByRole('button', { name, exact: true }).click();
const stepNow = async (): Promise<number> =>
  Number(/step (\d+)/i.exec(await page.locator('#line').innerText())?.[1] ?? Number.NaN);

/** Steps that Node does with TypeScript, to compare with. */
async function hashInNode(steps: number): Promise<string> {
  const words: string[] = createRequire(import.meta.url)('an-array-of-english-words');
  const run = new Run({ ...DEFAULTS, steps }, split(words, DEFAULTS.seed));
  while (run.step < steps) run.trainStep();
  return run.hash();
}

async function start(steps: number): Promise<void> {
  await line(/^step/);
  await page.locator('summary').click();
  await page.locator('#steps').fill(String(steps));
  await button('Start this run');
  await line(new RegExp(`^step \\d+ of ${steps},`));
}

describe('the live demo', () => {
  it('starts at once, shows words as they get better, and ends with the hash that Node had', async () => {
    // Nothing was pressed.
    await line(/^step [1-9]\d* of 400/);
    await page.locator('#words li').nth(3).waitFor({ timeout: 90_000 });
    await page.locator('#verdict', { hasText: /Equal|differ/ }).waitFor({ timeout: 110_000 });
    expect(await page.locator('#verdict').innerText()).toBe('✓ Equal to the last bit.');
    expect(await page.locator('#hash').innerText()).toMatch(/^[0-9a-f]{64}$/);
    expect(await page.locator('#hash').innerText()).toBe(await page.locator('#node-hash').innerText());
    expect(await page.locator('#words li b').allInnerTexts()).toEqual([
      '0',
      '10',
      '25',
      '50',
      '100',
      '150',
      '200',
      '300',
      '400',
    ]);
    expect(await page.locator('#state').innerText()).toBe('3,492 bytes');
    expect(await page.locator('#adamw').innerText()).toBe('343,320 bytes');
    await page.screenshot({ path: `${shots}live-demo-done.png`, fullPage: true });
  });

  it('goes on after kills, reloads and changes of the engine, to the weights that Node has', async () => {
    const expected = await hashInNode(STEPS);

    await start(STEPS);
    await page.waitForTimeout(1500);
    if (await page.getByRole('button', { name: 'Kill', exact: true }).isEnabled()) {
      await button('Kill');
      await line(/^Killed at step \d+\. Its last save is after step \d+/);
      await page.screenshot({ path: `${shots}live-demo-killed.png`, fullPage: true });
      await button('Resume');
      await line(/^step|^Done/);
      expect(await page.locator('#loss [aria-label="killed"]').count()).toBe(1);
      expect(await page.locator('#loss [aria-label="resumed"]').count()).toBe(1);
    }
    for (const engine of ['TypeScript', 'Threads', 'SIMD']) {
      await page.locator('#engines label', { hasText: engine }).click();
      await line(/^step|^Done/);
    }
    await page.reload();
    await line(/^step|^Done/);
    await page.close();
    page = await context.newPage();
    await open();
    await line(/^Done/);
    await expect.poll(() => page.locator('#hash').innerText()).toBe(expected);
    expect(await page.locator('#node-hash').innerText()).toBe(
      'npm run demo -- --steps 120 --seed 1 --optimizer adafactor --schedule linear',
    );
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.setViewportSize({ width: 390, height: 900 });
    await page.waitForTimeout(200);
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    expect(await violations(page)).toEqual([]);
    await page.screenshot({ path: `${shots}live-demo-dark-narrow.png`, fullPage: true });
  });

  it('stays paused through a reload, and goes on when told', async () => {
    await start(5000);
    await line(/^step [1-9]/);
    await button('Pause');
    await line(/^Paused and saved after step \d+/);
    const paused = await stepNow();
    expect(await page.getByRole('button', { name: 'Kill', exact: true }).isDisabled()).toBe(true);
    await page.reload();
    await line(/^Paused and saved/);
    expect(await stepNow()).toBe(paused);
    await button('Go on');
    await expect.poll(stepNow, { timeout: 20_000 }).toBeGreaterThan(paused);
    await button('Pause');
    await line(/^Paused/);
  });

  it('goes to WebGPU and back in mid-run, to the weights that Node has', async () => {
    await line(/^step/);
    const radio = page.locator('#engines input[value="webgpu"]');
    if (await radio.isDisabled()) {
      console.log(`no WebGPU here: ${await page.locator('#engine-note').innerText()}`);
      expect(await page.locator('#engine-note').innerText()).toMatch(/WebGPU: Not here: .{20}/);
      return;
    }
    const steps = 40;
    const expected = await hashInNode(steps);
    /** On with an engine, for three steps at least. */
    const on = async (engine: string): Promise<void> => {
      const from = await stepNow();
      await page.locator(`#engines input[value="${engine}"]`).check();
      await expect.poll(stepNow, { timeout: 90_000, interval: 20 }).toBeGreaterThan(from + 2);
      expect(await page.locator(`#engines input[value="${engine}"]`).isChecked()).toBe(true);
    };
    await radio.check();
    await page.locator('#engine-note', { hasText: 'Each one waits for gradients' }).waitFor();
    await start(steps);
    await on('webgpu');
    await page.screenshot({ path: `${shots}live-demo-webgpu.png`, fullPage: true });
    await on('typescript');
    await on('webgpu');
    await button('Pause');
    await line(/^Paused and saved after step \d+/);
    const paused = await stepNow();
    expect(paused).toBeLessThan(steps);
    await page.reload();
    await line(/^Paused and saved/);
    expect([await stepNow(), await radio.isChecked()]).toEqual([paused, true]);
    await button('Go on');
    await line(/^Done/);
    await expect.poll(() => page.locator('#hash').innerText()).toBe(expected);
    console.log(`WebGPU: ${await page.locator('#speed').innerText()} steps a second`);
    expect(await page.locator('#error').isHidden()).toBe(true);
    expect(await radio.isChecked()).toBe(true);
    // An adapter on a busy CPU compiles for many seconds.
  }, 300_000);

  it('offers four engines, and says why one is not to be had', async () => {
    await line(/^step/);
    expect(await page.locator('#engines label').allInnerTexts()).toEqual(['TypeScript', 'SIMD', 'Threads', 'WebGPU']);
    const plain = await serve(0, false);
    await page.goto(`${plain.url}live-demo/`);
    await line(/^step/);
    expect(await page.locator('#engines input[value="threads"]').isDisabled()).toBe(true);
    expect(await page.locator('#engine-note').innerText()).toContain('cross-origin isolation');
    plain.close();
  });

  it('disables WebGPU where there is no adapter, and says so', async () => {
    const bare = await launch();
    const own = await bare.newPage();
    await own.goto(`${site.url}live-demo/`);
    await own.locator('#line', { hasText: /^step/ }).waitFor();
    const note = await own.locator('#engine-note').innerText();
    if (await own.locator('#engines input[value="webgpu"]').isEnabled()) console.log(`there is one here: ${note}`);
    else expect(note).toMatch(/WebGPU: Not here: .*(no adapter|no WebGPU)/);
    // One that was chosen before is not missed.
    await own.evaluate(() => localStorage.setItem('engine', 'webgpu'));
    await own.reload();
    await own.locator('#line', { hasText: /^step/ }).waitFor();
    expect(await own.locator('#engines input:checked').count()).toBe(1);
    await bare.close();
  });
});
