/** TensorFlow.js and jax-js on WebGPU, which Chromium has without a GPU where it is asked to. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Run } from './frameworks.page.ts';
import { launch } from './site.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

let browser: Browser;
let page: Page;
let close: () => void;
let hasGpu = false;
beforeAll(async () => {
  const { outputFiles } = await build({
    entryPoints: [`${root}test/browser/frameworks.page.ts`],
    bundle: true,
    write: false,
    format: 'iife',
    target: 'es2023',
    alias: {
      tensorless: `${root}src/index.ts`,
      ...Object.fromEntries(
        ['checkpoint', 'jax', 'tfjs', 'webgpu'].map((door) => [`tensorless/${door}`, `${root}src/${door}.ts`]),
      ),
    },
  });
  const script = outputFiles[0]!.text;
  const server = createServer((_, response) => {
    response
      .setHeader('content-type', 'text/html; charset=utf-8')
      .end(`<!doctype html><title>run</title><script>${script.replaceAll('</script', '<\\/script')}</script>`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  browser = await launch(['--enable-unsafe-webgpu']);
  close = () => {
    server.closeAllConnections();
    server.close();
  };
  page = await browser.newPage();
  page.on('console', (message) => console.log(message.text()));
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  hasGpu = await page.evaluate(() => (globalThis as unknown as { hasGpu(): Promise<boolean> }).hasGpu());
  if (!hasGpu) console.log('skipped: this Chromium has no WebGPU adapter, not even with --enable-unsafe-webgpu');
});
afterAll(async () => {
  await browser?.close();
  close?.();
});

it('TensorFlow.js trains, saves and resumes on WebGPU as on its cpu backend', async (test) => {
  if (!hasGpu) test.skip('no WebGPU adapter');
  const run = (backend: string): Promise<Run> =>
    page.evaluate(
      (name) => (globalThis as unknown as { tensorflow(name: string): Promise<Run> }).tensorflow(name),
      backend,
    );
  const cpu = await run('cpu');
  const gpu = await run('webgpu');
  const kernels = await run('kernels');
  console.log(`loss on the cpu ${cpu.loss}, on WebGPU ${gpu.loss}`);
  expect(gpu.refusals).toEqual([
    expect.stringContaining('"webgpu" cannot be read synchronously'),
    expect.stringContaining('await optimizer.minimizeAsync'),
  ]);
  expect(kernels.refusals).toEqual([
    expect.stringContaining('is NaN'),
    expect.stringContaining('the kernels are of another device than the backend "cpu"'),
  ]);
  for (const one of [gpu, kernels]) expect(one.leaked).toBe(0);
  // What stays on the GPU has the bits of what is read back.
  expect(kernels.loss).toBe(gpu.loss);
  expect(kernels.weights).toEqual(gpu.weights);
  for (const one of [gpu, kernels]) expect(one.resumed).toEqual(one.weights);
  expect(Math.abs(gpu.loss - cpu.loss)).toBeLessThan(1e-4 * cpu.loss);
  for (const [i, weights] of gpu.weights.entries())
    for (const [k, value] of weights.entries()) expect(value).toBeCloseTo(cpu.weights[i]![k]!, 2);
});

it('jax-js trains and resumes on WebGPU as on its wasm device', async (test) => {
  if (!hasGpu) test.skip('no WebGPU adapter');
  type Result = { losses: number[]; weights: number[][]; device: string };
  const run = (device: string): Promise<Result> =>
    page.evaluate((name) => (globalThis as unknown as { jaxjs(name: string): Promise<Result> }).jaxjs(name), device);
  const wasm = await run('wasm');
  const gpu = await run('webgpu');
  console.log(`last loss on wasm ${wasm.losses.at(-1)}, on WebGPU ${gpu.losses.at(-1)}`);
  expect([wasm.device, gpu.device]).toEqual(['wasm', 'webgpu']);
  expect(gpu.losses.at(-1)).toBeLessThan(gpu.losses[0]! * 0.8);
  for (const [i, loss] of gpu.losses.entries()) expect(Math.abs(loss - wasm.losses[i]!)).toBeLessThan(1e-4 * loss);
});
