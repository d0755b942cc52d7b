import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import * as tensorless from 'tensorless';
import { AdamW, getLinearScheduleWithWarmup, Parameter } from 'tensorless';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { SCHEDULES } from '../../docs/explorer/schedules.ts';
import { launch, overflow, serve, shots, violations } from './site.ts';

const exported: Record<string, unknown> = { ...tensorless };
const file = (name: string): string => fileURLToPath(new URL(`recorded/${name}`, import.meta.url));
let browser: Browser;
let site: Awaited<ReturnType<typeof serve>>;
let page: Page;
const problems: string[] = [];

beforeAll(async () => {
  [browser, site] = await Promise.all([launch(), serve()]);
});
afterAll(async () => {
  await browser.close();
  site.close();
});
beforeEach(async () => {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  page = await context.newPage();
  problems.length = 0;
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  await page.goto(`${site.url}explorer/`);
});
afterEach(async () => {
  expect(problems).toEqual([]);
  await page.context().close();
});

const line = (index = 0): Promise<string | null> =>
  page.locator('#chart [aria-label="line"] path').nth(index).getAttribute('d');
const readout = (): Promise<string> => page.locator('#readout').innerText();

describe('the schedule explorer', () => {
  it('shows a curve that follows its sliders at once, by keyboard alone', async () => {
    await page.locator('#curves select').first().focus();
    const before = await line();
    await page.keyboard.press('Tab');
    // The remove button stands between the name and the arguments.
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('a0-numWarmupSteps');
    await page.keyboard.press('ArrowRight');
    expect(await page.locator('#a0-numWarmupSteps').inputValue()).toBe('101');
    expect(await line()).not.toBe(before);
  });

  it('tells the step and the rates under the pointer, equal to the library’s', async () => {
    const box = (await page.locator('#chart svg').boundingBox())!;
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    const step = Number(await page.locator('#probe-step').innerText());
    expect(step).toBeGreaterThan(400);
    expect(step).toBeLessThan(600);
    const optimizer = new AdamW([new Parameter(new Float32Array(1))], { lr: 1e-3 });
    const scheduler = getLinearScheduleWithWarmup(optimizer, { numWarmupSteps: 100, numTrainingSteps: 1000 });
    for (let i = 0; i < step; i++) {
      optimizer.step();
      scheduler.step();
    }
    const rate = scheduler.getLastLr()[0]!;
    const shown = Number(/Linear: ([\d.e-]+)/.exec(await readout())![1]);
    expect(Math.abs(shown / rate - 1)).toBeLessThan(1e-4);
  });

  it('draws every schedule, several side by side, on a linear and a logarithmic axis', async () => {
    const names = await page
      .locator('#curves select')
      .first()
      .locator('option')
      .evaluateAll((options) => options.map((option) => (option as HTMLOptionElement).value));
    expect(names.length).toBeGreaterThanOrEqual(18);
    for (const name of names) {
      await page.locator('#curves .top select').first().selectOption(name);
      expect(await line(), name).toMatch(/^M[\d.]+,/);
      expect(await page.locator('.error:visible').count(), name).toBe(0);
    }
    for (let i = 0; i < 6; i++) await page.getByRole('button', { name: 'Add a schedule' }).click();
    expect(await page.locator('#chart [aria-label="line"] path').count()).toBe(8);
    expect(await page.getByRole('button', { name: 'Add a schedule' }).isDisabled()).toBe(true);
    const linear = await line(1);
    await page.getByLabel('Logarithmic axis').check();
    expect(await line(1)).not.toBe(linear);
  });

  it('copies code that makes the very schedule', async () => {
    await page.locator('#curves .top select').first().selectOption('warmup_stable_decay');
    await page.getByRole('button', { name: 'Copy the code' }).first().click();
    const code = await page.evaluate(() => navigator.clipboard.readText());
    const [, names, body] = /^import { (.*) } from 'tensorless';\n\n([\s\S]*)$/.exec(code)!;
    const make = new Function(...names!.split(', '), 'parameters', `${body}\nreturn { optimizer, scheduler };`);
    const { optimizer, scheduler } = make(...names!.split(', ').map((name) => exported[name]), [
      new Parameter(new Float32Array(1)),
    ]) as { optimizer: AdamW; scheduler: tensorless.LRScheduler };
    await page.locator('#probe').fill('850');
    for (let i = 0; i < 850; i++) {
      optimizer.step();
      scheduler.step();
    }
    const shown = Number(/decay: ([\d.e-]+)/.exec(await readout())![1]);
    expect(Math.abs(shown / scheduler.getLastLr()[0]! - 1)).toBeLessThan(1e-4);
  });

  it('is shared by its address', async () => {
    await page.locator('#curves .top select').first().selectOption('polynomial');
    await page.locator('#a0-power').fill('3');
    await page.locator('#steps').fill('500');
    await page.locator('#steps').press('Enter');
    await page.getByRole('button', { name: 'Copy the link' }).click();
    const link = await page.evaluate(() => navigator.clipboard.readText());
    const before = await line();
    const other = await page.context().newPage();
    await other.goto(link);
    expect(await other.locator('#chart [aria-label="line"] path').first().getAttribute('d')).toBe(before);
    expect(await other.locator('#a0-power').inputValue()).toBe('3');
    expect(await other.locator('#steps').inputValue()).toBe('500');
  });

  it('ignores an address that makes no sense, and says what is wrong with an argument', async () => {
    await page.goto(`${site.url}explorer/#steps=-4&lr=x&s=__proto__,a:1&s=linear,numWarmupSteps:2.5`);
    await page.reload();
    expect(await page.locator('#steps').inputValue()).toBe('1000');
    await page.locator('#steps').fill('1');
    await page.locator('#steps').press('Enter');
    expect(await page.locator('#steps-error').innerText()).toBe(
      'Training steps must be a whole number from 2 to 20,000, got 1.',
    );
    expect(await page.locator('#curves .error:visible').innerText()).toContain('numWarmupSteps must be');
  });

  it('says what is wrong with a number until it is right, and keeps what was typed', async () => {
    await page.locator('#lr').fill('-5');
    await page.locator('#lr').press('Enter');
    expect(await page.locator('#lr-error').innerText()).toBe(
      'The initial learning rate must be greater than 0, got -5.',
    );
    expect(await page.locator('#lr').inputValue()).toBe('-5');
    expect(await page.locator('#lr').getAttribute('aria-invalid')).toBe('true');
    await page.locator('#lr').fill('0.1');
    await page.locator('#lr').press('Enter');
    expect(await page.locator('#lr-error').isVisible()).toBe(false);
    await page.locator('#a0-numWarmupSteps-exact').fill('-5');
    expect(await page.locator('#curves .error:visible').innerText()).toContain('numWarmupSteps');
    await page.locator('#a0-numWarmupSteps-exact').fill('50');
    expect(await page.locator('.error:visible').count()).toBe(0);
    expect(await page.locator('#a0-numWarmupSteps').inputValue()).toBe('50');
  });

  it('has the slider’s handle under the rule, at every step and width', async () => {
    for (const width of [390, 1280]) {
      await page.setViewportSize({ width, height: 900 });
      await page.waitForTimeout(100);
      for (const step of [0, 250, 1000]) {
        await page.locator('#probe').fill(String(step));
        const [handle, rule] = await page.evaluate(() => {
          const slider = document.getElementById('probe') as HTMLInputElement;
          const box = slider.getBoundingClientRect();
          const part = slider.valueAsNumber / Number(slider.max);
          const line = document.querySelector('#chart [aria-label="rule"] line')!.getBoundingClientRect();
          return [box.left + 8 + part * (box.width - 16), line.left + line.width / 2];
        });
        expect(Math.abs(handle! - rule!), `${width} px, step ${step}`).toBeLessThan(1);
      }
    }
  });

  it('has at most nine lines on a logarithmic axis', async () => {
    await page.getByLabel('Logarithmic axis').check();
    expect(await page.locator('#chart [aria-label="y-grid"] line').count()).toBeLessThanOrEqual(9);
  });

  it('lays the recorded rates of a dropped trainer_state.json over the curves', async () => {
    const { readFile } = await import('node:fs/promises');
    const bytes = [...(await readFile(file('trainer_state.json')))];
    const transfer = await page.evaluateHandle((data) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(data)], 'trainer_state.json'));
      return transfer;
    }, bytes);
    await page.dispatchEvent('#drop', 'drop', { dataTransfer: transfer });
    await page.locator('#recorded', { hasText: 'trainer_state.json (20 rates)' }).waitFor();
    expect(await page.locator('#steps').inputValue()).toBe('60');
    expect(await page.locator('#chart [aria-label="recorded"]').count()).toBe(20);
    expect(await page.locator('.compared').first().innerText()).toMatch(/^Off the recorded rates by up to/);
    await page.locator('#a0-numWarmupSteps-exact').fill('12');
    await page.locator('#lr').fill('3e-4');
    await page.locator('#lr').press('Enter');
    expect(await page.locator('.compared').first().innerText()).toBe(
      'Equal to the recorded rates, which are those used for each step.',
    );
    await page.screenshot({ path: `${shots}explorer-recorded.png`, fullPage: true });
  });

  it('reads scheduler.pt too, and says what is wrong with a file', async () => {
    await page.locator('#file').setInputFiles([file('scheduler.pt'), file('trainer_state.json')]);
    await page.locator('#recorded', { hasText: 'scheduler.pt (1 rate), trainer_state.json (20 rates)' }).waitFor();
    expect(await page.locator('#lr').inputValue()).toBe('0.0003');
    await page
      .locator('#file')
      .setInputFiles({ name: 'model.json', mimeType: 'application/json', buffer: Buffer.from('{"a": 1}') });
    expect(await page.locator('#record-error').innerText()).toBe(
      'model.json has no "log_history"; drop the trainer_state.json of a Trainer checkpoint.',
    );
    await page.locator('#file').setInputFiles({ name: 'x.pt', mimeType: '', buffer: Buffer.from([1, 2, 3]) });
    await page.locator('#record-error', { hasText: /^x\.pt: / }).waitFor();
  });

  it('offers every curve and every scheduler that the library exports', async () => {
    const used = new Set(Object.values(SCHEDULES).map(({ factory }) => factory));
    const notSchedules = ['getScheduler'];
    const factories = Object.keys(exported).filter((name) => /^get.*Sched/.test(name) && !notSchedules.includes(name));
    expect(factories.filter((name) => !used.has(name))).toEqual([]);
    for (const curve of ['step', 'multiStep', 'exponential', 'cosineAnnealing', 'oneCycle'])
      expect(used).toContain(curve);
  });

  it.each(['light', 'dark'] as const)('is legible and usable in %s, wide and narrow', async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    for (const [name, width] of [
      ['wide', 1200],
      ['narrow', 390],
    ] as const) {
      await page.setViewportSize({ width, height: 900 });
      await page.screenshot({ path: `${shots}explorer-${colorScheme}-${name}.png`, fullPage: true });
      expect(await overflow(page)).toBeLessThanOrEqual(0);
      expect(await violations(page)).toEqual([]);
    }
  });
});
