/** The built pages, a Chromium to look at them with, and what every page has to fulfil. */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';

export { type Served, serve } from '../../docs/build/serve.ts';

const SITE = fileURLToPath(new URL('../../docs/site/', import.meta.url));
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);

/** `more`: further flags. */
export function launch(more: readonly string[] = []): Promise<Browser> {
  if (CHROMIUM === undefined) throw new Error('test:browser needs a Chromium: apt-get install chromium');
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...more,
    ],
  });
}

/** Where screenshots go, for a person to look at; not kept. */
export const shots: string = fileURLToPath(new URL('../../docs/site/screenshots/', import.meta.url));

/** All built pages of a folder, as addresses below the site's root. */
export const built = (folder = ''): string[] =>
  readdirSync(SITE + folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.html'))
    .map((name) => folder + name.replace(/(^|\/)index\.html$/, '$1'))
    .sort();

/** Errors of a page, as they happen. */
export function watch(page: Page): string[] {
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  return problems;
}

/** How far a page is wider than its window, in pixels. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

/** What axe finds wrong with a page. */
export async function violations(page: Page): Promise<string[]> {
  await page.addScriptTag({ path: axe });
  return page.evaluate(async () => {
    type Found = { id: string; nodes: { html: string }[] }[];
    const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: Found }> } };
    return (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes[0]!.html.slice(0, 200)}`);
  });
}
