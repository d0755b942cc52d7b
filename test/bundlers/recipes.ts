/**
 * What docs/bundlers.md says, as projects: their files, the command that builds them and the folder
 * to serve.
 */

export interface Recipe {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  /** `node`, or a command of node_modules, and its arguments. */
  readonly run: readonly [string, ...string[]];
  /** Folder with an index.html; without it the command itself is the test. */
  readonly pages?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const page = (script: string): string =>
  `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>.</title>${script}\n`;
const module = page('<script type="module" src="./main.js"></script>');

const entry = `import { main } from '../program.js';
main().then(
  (report) => (document.title = JSON.stringify(report)),
  (error) => console.error(error),
);
`;

const commonJs = `const assert = require('node:assert');
const { AdamW, Parameter } = require('tensorless');
const { saveTrainingState } = require('tensorless/node');
const weight = new Parameter(Float32Array.of(1, 2), [2]);
const optimizer = new AdamW([weight], { lr: 0.1 });
weight.grad = Float32Array.of(1, 1);
optimizer.step();
assert.ok(weight.data[0] < 1);
assert.strictEqual(typeof saveTrainingState, 'function');
`;

const jestTest = (head: string): string => `${head}
test('a step', () => {
  const weight = new Parameter(Float32Array.of(1, 2), [2]);
  const optimizer = new Adafactor([weight], { lr: 0.1, relativeStep: false, scaleParameter: false });
  weight.grad = Float32Array.of(1, 1);
  optimizer.step();
  expect(weight.data[0]).toBeLessThan(1);
  expect(fastestKernels().name).toBe('simd');
});
`;

const next = (config: string): Record<string, string> => ({
  'package.json': '{ "private": true, "type": "module" }',
  'next.config.mjs': `import { fileURLToPath } from 'node:url';
const root = fileURLToPath(new URL('../..', import.meta.url));
export default { output: 'export', outputFileTracingRoot: root, turbopack: { root }${config} };
`,
  'app/layout.jsx': `export default function Layout({ children }) {
  return <html lang="en"><body>{children}</body></html>;
}
`,
  'app/page.jsx': `'use client';
import { useEffect } from 'react';
import { main } from '../../program.js';

export default function Page() {
  useEffect(() => {
    main().then((report) => { document.title = JSON.stringify(report); }, console.error);
  }, []);
  return <p>training</p>;
}
`,
  // Runs while building, in Node: the same import on the server.
  'app/hash/route.js': `import { main } from '../../../program.js';
export const dynamic = 'force-static';
export async function GET() {
  const report = await main();
  if (report.threads !== report.plain || report.size !== 2) throw new Error(JSON.stringify(report));
  return Response.json(report);
}
`,
});

export const recipes: readonly Recipe[] = [
  {
    name: 'Vite',
    files: { 'index.html': module.replace('main.js', 'src/main.js'), 'src/main.js': entry.replace('../', '../../') },
    run: ['vite', 'build'],
    pages: 'dist',
  },
  {
    name: 'Vite while developing',
    files: {
      'index.html': module.replace('main.js', 'src/main.js'),
      'src/main.js': entry.replace('../', '../../'),
      'dev.mjs': `import { createServer } from 'vite';
import { chromium } from 'playwright-core';
const { CHROMIUM } = process.env;
const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
const server = await createServer({ root: import.meta.dirname, server: { port: 0, host: '127.0.0.1', headers } });
await server.listen();
if (CHROMIUM) {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
  const page = await browser.newPage();
  await page.goto(server.resolvedUrls.local[0]);
  await page.waitForFunction(() => document.title.startsWith('{'), undefined, { timeout: 100_000 });
  const { plain, threads, size } = JSON.parse(await page.title());
  if (size !== 2 || threads !== plain) throw new Error(await page.title());
  await browser.close();
}
await server.close();
`,
    },
    run: ['node', 'dev.mjs'],
  },
  {
    name: 'webpack',
    files: {
      'index.html': page('<script src="./dist/main.js"></script>'),
      'main.js': entry,
      'build.mjs': `import webpack from 'webpack';
webpack({ mode: 'production', context: import.meta.dirname, entry: './main.js', performance: false }, (error, stats) => {
  if (error) throw error;
  console.log(stats.toString({ all: false, errors: true, warnings: true }));
});
`,
    },
    run: ['node', 'build.mjs'],
    pages: '.',
  },
  {
    name: 'rollup',
    files: {
      'dist/index.html': module,
      'main.js': entry,
      'rollup.config.mjs': `import { nodeResolve } from '@rollup/plugin-node-resolve';
export default {
  input: { main: './main.js', 'parallel-worker': 'tensorless/parallel-worker' },
  output: { dir: 'dist', format: 'es', chunkFileNames: '[name].js' },
  plugins: [nodeResolve({ browser: true })],
};
`,
    },
    run: ['rollup', '-c'],
    pages: 'dist',
  },
  {
    name: 'esbuild',
    files: {
      'dist/index.html': module,
      'main.js': entry,
    },
    run: [
      'esbuild',
      'main.js',
      'parallel-worker=tensorless/parallel-worker',
      '--bundle',
      '--format=esm',
      '--outdir=dist',
    ],
    pages: 'dist',
  },
  {
    name: 'Next.js',
    files: next(", serverExternalPackages: ['tensorless']"),
    run: ['next', 'build'],
    pages: 'out',
  },
  {
    name: 'Next.js with webpack',
    files: next(", serverExternalPackages: ['tensorless']"),
    run: ['next', 'build', '--webpack'],
    pages: 'out',
  },
  {
    name: 'CommonJS',
    files: { 'package.json': '{ "type": "commonjs" }', 'train.js': commonJs },
    run: ['node', 'train.js'],
  },
  {
    name: 'CommonJS in TypeScript',
    files: {
      'package.json': '{ "type": "commonjs" }',
      'tsconfig.json':
        '{ "compilerOptions": { "module": "nodenext", "strict": true, "noEmit": true, "types": [] }, "files": ["train.cts"] }',
      'train.cts': `import { AdamW, Parameter } from 'tensorless';
const optimizer: AdamW = new AdamW([new Parameter(new Float32Array(2))], { lr: 0.1 });
optimizer.zeroGrad();
`,
    },
    run: ['node', '../../../../node_modules/typescript/lib/tsc.js', '-p', '.'],
  },
  {
    name: 'jest, CommonJS',
    files: {
      'package.json': '{ "type": "commonjs" }',
      'jest.config.js': `module.exports = {
  transform: {
    '\\\\.[jt]s$': ['babel-jest', { plugins: ['@babel/plugin-transform-modules-commonjs'] }],
  },
  transformIgnorePatterns: ['/node_modules/(?!tensorless/)'],
};
`,
      'train.test.js': jestTest(`const { Adafactor, Parameter } = require('tensorless');
const { fastestKernels } = require('tensorless/simd');`),
    },
    run: ['jest', '--silent'],
  },
  {
    name: 'jest, modules',
    files: {
      'package.json': '{ "type": "module" }',
      'jest.config.js': 'export default { transform: {} };\n',
      'train.test.js': jestTest(`import { Adafactor, Parameter } from 'tensorless';
import { parallelKernels } from 'tensorless/parallel';
import { fastestKernels } from 'tensorless/simd';

test('a worker', async () => {
  const kernels = await parallelKernels({ threads: 2 });
  expect(kernels.size).toBe(2);
  await kernels.close();
});`),
    },
    run: ['jest', '--silent'],
    env: { NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning' },
  },
];
