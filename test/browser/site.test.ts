import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { built, launch, overflow, type Served, serve, shots, violations, watch } from './site.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const WIDTHS = [390, 768, 1280];
const PAGES = ['', 'explorer/', 'live-demo/', 'why-adafactor/', 'same-bits/'];
/** Of the API one page of each kind: they are all made by the same templates. */
const API = [
  'api/',
  'api/modules/index.html',
  'api/classes/index.Adafactor.html',
  'api/functions/index.getScheduler.html',
  'api/interfaces/index.AdamWOptions.html',
  'api/types/index.Curve.html',
];

let browser: Browser;
let site: Served;
let page: Page;

beforeAll(async () => {
  [browser, site] = await Promise.all([launch(), serve()]);
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
});
afterAll(async () => {
  await browser.close();
  site.close();
});

describe('the site', () => {
  it('has no broken link, anchor or picture, a title and a description on every page', async () => {
    const pages = new Map<string, string>();
    const queue = ['', ...built()];
    const broken: string[] = [];
    const links: [from: string, path: string, hash: string][] = [];
    while (queue.length > 0) {
      const path = queue.pop()!;
      if (pages.has(path)) continue;
      const response = await fetch(site.url + path);
      const isPage = response.headers.get('content-type')?.startsWith('text/html') === true;
      const html = response.ok && isPage ? await response.text() : '';
      pages.set(path, html);
      if (!response.ok) broken.push(path);
      if (html === '') continue;
      const title = /<title>([^<]+)<\/title>/.exec(html)?.[1] ?? '';
      const description = /<meta name="description" content="([^"]+)"/.exec(html)?.[1] ?? '';
      if (!/tensorless/.test(title) || (/\//.test(title) && !/^(api|source)/.test(path)))
        broken.push(`${path}: ${title}`);
      if (description.length < 15) broken.push(`${path}: description "${description}"`);
      for (const [, target] of html.matchAll(/(?:href|src)="([^"]+)"/g)) {
        const text = target!.replaceAll('&amp;', '&');
        if (/^(https?:|data:|mailto:)/.test(text)) continue;
        const url = new URL(text, site.url + path);
        const to = decodeURIComponent(url.pathname.slice(1)).replace(/(^|\/)index\.html$/, '$1');
        links.push([path, to, url.hash]);
        queue.push(to);
      }
    }
    for (const [from, to, hash] of links) {
      const html = pages.get(to) ?? '';
      if (hash.length > 1 && html !== '' && !html.includes(`id="${decodeURIComponent(hash.slice(1))}"`))
        broken.push(`${from}: ${to}${hash}`);
    }
    expect([...new Set(broken)]).toEqual([]);
    expect(pages.size).toBeGreaterThan(100);
  });

  it('leads with one header from every page to every place and back', async () => {
    for (const path of [...PAGES, 'guides/simd.html', API[1]!, built('source/')[0]!]) {
      await page.goto(site.url + path);
      const links = await page.locator('#places a').evaluateAll((all) => all.map((a) => (a as HTMLAnchorElement).href));
      expect(
        links.map((link) => link.slice(site.url.length)),
        path,
      ).toEqual(['guides/quick-start.html', 'explorer/', 'live-demo/', 'why-adafactor/', 'same-bits/', 'api/']);
      expect(await page.locator('.home').evaluate((a) => (a as HTMLAnchorElement).href), path).toBe(site.url);
    }
  });

  it('groups the guides by what a reader comes for', async () => {
    await page.goto(`${site.url}guides/quick-start.html`);
    expect(await page.locator('.sidebar h2').allInnerTexts()).toEqual([
      'Start',
      'Guides',
      'Reference',
      'For contributors',
    ]);
    expect(await page.locator('.sidebar [aria-current="page"]').innerText()).toBe('Quick start');
  });

  it('finds the guide first, then the API, without a network', async () => {
    const outside: string[] = [];
    page.on('request', (request) => {
      if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(site.url)) outside.push(request.url());
    });
    for (const [query, first, address] of [
      ['adafactor', 'Adafactor, explained', 'guides/adafactor.html'],
      ['accumul', 'Accumulating and clipping gradients', 'guides/accumulation.html'],
      ['simd', 'SIMD', 'guides/simd.html'],
      ['checkpoints', 'Checkpoints', 'guides/checkpoints.html'],
    ] as const) {
      await page.goto(site.url);
      // The page's script may come after the page: a key pressed before it is lost.
      const input = page.locator('#search-input');
      await expect
        .poll(async () => {
          if (!(await input.isVisible())) await page.keyboard.press('/');
          return input.isVisible();
        })
        .toBe(true);
      await input.fill(query);
      await page.locator('#found a').first().waitFor();
      expect(await page.locator('#found .kind').first().innerText()).toBe('Guides');
      expect((await page.locator('#found a').first().innerText()).split('\n')[0], query).toBe(first);
      expect(await page.locator('#found .kind').allInnerTexts(), query).toContain('API');
      await page.keyboard.press('Enter');
      await page.waitForURL(`${site.url}${address}`);
    }
    expect(outside).toEqual([]);
  });

  it('keeps the colours that a reader chose, on all pages', async () => {
    const own = await browser.newPage({ colorScheme: 'dark' });
    const background = (): Promise<string> => own.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await own.goto(site.url);
    const dark = await background();
    await own.getByRole('button', { name: 'Colours: as the system' }).click();
    const light = await background();
    expect(light).toBe('rgb(255, 255, 255)');
    expect(light).not.toBe(dark);
    for (const path of ['guides/schedules.html', 'explorer/', 'api/']) {
      await own.goto(site.url + path);
      expect(await background(), path).toBe(light);
    }
    await own.close();
  });

  it('typesets formulas', async () => {
    await page.goto(`${site.url}guides/adafactor.html`);
    expect(await page.locator('main math').count()).toBeGreaterThan(10);
    expect(await page.locator('main').innerText()).not.toContain('$');
    expect(await page.evaluate(() => document.fonts.check('16px "STIX Two Math"'))).toBe(true);
  });

  it('shows the pictures of a guide', async () => {
    await page.goto(`${site.url}guides/schedules.html`);
    for (const image of await page.locator('main img').all()) {
      await image.scrollIntoViewIfNeeded();
      await expect.poll(() => image.evaluate((img) => (img as HTMLImageElement).naturalWidth)).toBeGreaterThan(0);
    }
  });
});

describe.each([...PAGES, ...built('guides/'), ...API])('%s', (path) => {
  it('scrolls sideways at no width, and logs no error', async () => {
    const own = await browser.newPage();
    const problems = watch(own);
    await own.goto(site.url + path);
    for (const width of WIDTHS) {
      await own.setViewportSize({ width, height: 900 });
      await own.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
      expect(await overflow(own), `${width} px`).toBeLessThanOrEqual(0);
    }
    expect(problems).toEqual([]);
    await own.close();
  });

  it('is accessible, light and dark', async () => {
    for (const [colorScheme, width] of [
      ['light', 390],
      ['dark', 1280],
    ] as const) {
      const own = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
      await own.goto(site.url + path);
      expect(await violations(own), colorScheme).toEqual([]);
      const name = path.replace(/\W+/g, '-') || 'landing';
      await own.screenshot({ path: `${shots}${name}-${colorScheme}-${width}.png` });
      await own.close();
    }
  });
});

it('npm run docs:serve says where the site is', async () => {
  const child = spawn(process.execPath, ['--import', 'tsx', 'docs/build/serve.ts', '--port', '0'], { cwd: ROOT });
  try {
    const said = await new Promise<string>((resolve) => child.stdout.once('data', (chunk) => resolve(String(chunk))));
    const url = /http:\/\/127\.0\.0\.1:\d+\//.exec(said)![0];
    const response = await fetch(`${url}guides/quick-start.html`);
    expect(response.headers.get('cross-origin-opener-policy')).toBe('same-origin');
    expect(await response.text()).toContain('<h1>Quick start</h1>');
    expect((await fetch(`${url}../../package.json`)).status).toBe(404);
  } finally {
    child.kill();
  }
});
