import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch, serve, shots } from './site.ts';

let browser: Browser;
let site: Awaited<ReturnType<typeof serve>>;
let page: Page;

beforeAll(async () => {
  [browser, site] = await Promise.all([launch(), serve()]);
  page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
});
afterAll(async () => {
  await browser.close();
  site.close();
});

describe('the documentation site', () => {
  it('has no broken link, anchor or picture', async () => {
    const pages = new Map<string, string>();
    const queue = ['index.html'];
    const broken: string[] = [];
    const links: [from: string, path: string, hash: string][] = [];
    while (queue.length > 0) {
      const path = queue.pop()!;
      if (pages.has(path)) continue;
      const response = await fetch(site.url + path);
      const html = response.ok && path.endsWith('.html') ? await response.text() : '';
      pages.set(path, html);
      if (!response.ok) continue;
      for (const [, target] of html.matchAll(/(?:href|src)="([^"]+)"/g)) {
        const text = target!.replaceAll('&amp;', '&');
        if (/^(https?:|data:|mailto:)/.test(text)) continue;
        const url = new URL(text, site.url + path);
        const to = decodeURIComponent(url.pathname.slice(1));
        links.push([path, to, url.hash]);
        queue.push(to);
      }
    }
    for (const [from, to, hash] of links) {
      const html = pages.get(to);
      const response = html === '' ? await fetch(site.url + to) : undefined;
      if (response !== undefined && !response.ok) broken.push(`${from}: ${to}`);
      else if (
        hash.length > 1 &&
        html !== '' &&
        !to.startsWith('explorer') &&
        !html!.includes(`id="${decodeURIComponent(hash.slice(1))}"`)
      )
        broken.push(`${from}: ${to}${hash}`);
    }
    expect([...new Set(broken)]).toEqual([]);
    expect(pages.size).toBeGreaterThan(60);
  });

  it('is found through by its search, without a network', async () => {
    const outside: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(site.url) && !request.url().startsWith('data:')) outside.push(request.url());
    });
    await page.goto(site.url);
    // The page's script may come after the page: a key pressed before it is lost.
    const input = page.locator('#tsd-search-input');
    await expect
      .poll(async () => {
        if (!(await input.isVisible())) await page.keyboard.press('/');
        return input.isVisible();
      })
      .toBe(true);
    await input.pressSequentially('accumulating');
    await page.locator('#tsd-search-results li').first().waitFor();
    expect(await page.locator('#tsd-search-results').innerText()).toMatch(/accumulat/i);
    expect(outside).toEqual([]);
  });

  it('shows its guide pages', async () => {
    await page.goto(`${site.url}documents/docs_schedules.html`);
    expect(
      await page
        .locator('img')
        .evaluateAll((images) => images.every((image) => (image as HTMLImageElement).naturalWidth > 0)),
    ).toBe(true);
    await page.screenshot({ path: `${shots}site-schedules.png` });
    await page.getByRole('link', { name: 'Schedule explorer' }).first().click();
    await page.locator('#chart svg').waitFor();
  });
});
