import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CASES, keyOf, trajectory } from '../../docs/same-bits/trajectory.ts';
import { launch, type Served, serve, watch } from './site.ts';

let browser: Browser;
let site: Served;
beforeAll(async () => {
  [browser, site] = await Promise.all([launch(['--enable-unsafe-webgpu']), serve()]);
});
afterAll(async () => {
  await browser.close();
  site.close();
});

describe('the page of hashes', () => {
  it('has on every engine of Chromium the hashes that Node has', async () => {
    const page = await browser.newPage();
    const problems = watch(page);
    await page.goto(`${site.url}same-bits/`);
    await page.locator('#total', { hasText: /✓ All|differ/ }).waitFor({ timeout: 110_000 });
    const webgpu = !(await page.locator('#missing').innerText()).includes('WebGPU: Not here:');
    if (!webgpu) console.log(await page.locator('#missing').innerText());
    expect(await page.locator('#head th').allInnerTexts()).toEqual([
      'Optimizer',
      'Format',
      'Weights',
      `Node ${process.version}`,
      'This browser, TypeScript',
      'This browser, SIMD',
      'This browser, Threads',
      ...(webgpu ? ['This browser, WebGPU'] : []),
    ]);
    const onGPU = await page.locator('td.equal[id$="-webgpu"]').count();
    expect(onGPU).toBeGreaterThanOrEqual(webgpu ? 4 : 0);
    expect(await page.locator('#total').innerText()).toBe(
      `✓ All ${CASES.length * 3 + onGPU} hashes are equal to Node’s.`,
    );
    // What the build has recorded is what the sources compute now.
    for (const one of [CASES[0]!, CASES.at(-1)!]) {
      const hash = await trajectory(one);
      for (const engine of ['typescript', 'simd', 'threads'])
        expect(await page.locator(`#${keyOf(one)}-${engine}`).getAttribute('title')).toBe(hash);
    }
    expect(problems).toEqual([]);
    await page.close();
  });

  it('offers the same program for other runtimes', async () => {
    const file = fileURLToPath(new URL('../../docs/site/same-bits/same-bits.mjs', import.meta.url));
    const lines = execFileSync(process.execPath, [file], { encoding: 'utf8' }).trim().split('\n');
    expect(lines).toHaveLength(CASES.length);
    expect(lines[1]).toContain(await trajectory(CASES[1]!));
  });

  it('says what a host without its headers lacks', async () => {
    const plain = await serve(0, false);
    const page = await browser.newPage();
    await page.goto(`${plain.url}same-bits/`);
    await page.locator('#missing', { hasText: 'cross-origin isolation' }).waitFor();
    const titles = await page.locator('#head th').allInnerTexts();
    expect(titles.filter((title) => /Threads/.test(title))).toEqual([]);
    await page.close();
    plain.close();
  });
});
