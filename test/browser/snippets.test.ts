/** The guides' snippets run in the page, and print what their comments say. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { built, launch, type Served, serve, watch } from './site.ts';

let browser: Browser;
let site: Served;
let ran = 0;

beforeAll(async () => {
  [browser, site] = await Promise.all([launch(), serve()]);
});
afterAll(async () => {
  await browser.close();
  site.close();
});

it.each(['', ...built('guides/')])('%s', async (path) => {
  const page = await browser.newPage();
  const problems = watch(page);
  await page.goto(site.url + path);
  for (const snippet of await page.locator('.snippet:has(.run)').all()) {
    const code = await snippet.locator('pre').first().innerText();
    await snippet.locator('.run').click();
    await snippet.locator('.run', { hasText: 'Run again' }).waitFor();
    const output = snippet.locator('.output');
    expect(await output.evaluate((element) => element.classList.contains('failed')), await output.innerText()).toBe(
      false,
    );
    const printed = (await output.innerText()).split('\n');
    // As test/docs.test.ts reads them; a comment of three dots stands for output that is not the point.
    const said = [...code.matchAll(/console\.log\(.*\);(?: \/\/ (.*))?$/gm)].map(([, text]) => text);
    if (said.length === printed.length)
      for (const [i, text] of said.entries())
        if (text !== undefined && text !== '...') expect(printed[i], code).toBe(text);
    ran++;
  }
  expect(problems).toEqual([]);
  await page.close();
});

it('that were many', () => expect(ran).toBeGreaterThan(25));
