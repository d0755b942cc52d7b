/** A run of 300 MB goes into the browser's own storage and out again, piece by piece. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { expect, it } from 'vitest';
import { launch } from './site.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

it('in the private file system and in IndexedDB', async () => {
  const { outputFiles } = await build({
    entryPoints: [`${root}test/browser/large-run.page.ts`],
    bundle: true,
    write: false,
    format: 'iife',
    target: 'es2023',
    alias: { tensorless: `${root}src/index.ts`, 'tensorless/checkpoint': `${root}src/checkpoint.ts` },
  });
  const script = outputFiles[0]!.text;
  const server = createServer((_, response) => {
    response
      .setHeader('content-type', 'text/html; charset=utf-8')
      .end(`<!doctype html><title>run</title><script>${script.replaceAll('</script', '<\\/script')}</script>`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browser = await launch();
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const sizes = await page.evaluate(() => (globalThis as unknown as { largeRun(): Promise<unknown> }).largeRun());
    expect(sizes).toEqual({ files: expect.any(Number), database: expect.any(Number) });
    for (const size of Object.values(sizes as Record<string, number>)) expect(size).toBeGreaterThan(300e6);
  } finally {
    await browser.close();
    server.closeAllConnections();
    server.close();
  }
});
