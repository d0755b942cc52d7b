/**
 * Records what the README's picture shows, by doing it: the demo's run in one go, the same run
 * killed half-way and resumed, and the same run in Chromium, with SIMD. Minutes of work:
 *
 *   npx tsx docs/story/record.ts
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { AdamW, Parameter } from 'tensorless';
import { split, unigramEntropy } from '../examples/words/data.ts';
import { Store } from '../examples/words/files.ts';
import { DEFAULTS, Run, stateBytes } from '../examples/words/train.ts';
import { MILESTONES, RECORD, type Story } from './picture.ts';

/** The last save before the kill, and the step after which the process kills itself. */
const SAVED = 560;
const KILLED = 600;

const words: string[] = createRequire(import.meta.url)('an-array-of-english-words');
const data = split(words, DEFAULTS.seed);

/** Invented words after `run.step` steps. */
const invent = (run: Run): string[] => Array.from({ length: 4 }, (_, i) => run.invent(i));

/** In a process of its own: trains, saves at one step, and dies without a word at another. */
async function die(folder: string): Promise<never> {
  const run = new Run(DEFAULTS, data);
  const store = new Store(folder);
  while (run.step < KILLED) {
    run.trainStep();
    if (run.step === SAVED) await store.save(run);
  }
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => {});
}

/** The same run in Chromium: its weights' hash and what the browser calls itself. */
async function browse(): Promise<{ name: string; hash: string } | null> {
  const path = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
  if (path === undefined) return null;
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    stdin: {
      contents: `import { simdKernels } from 'tensorless/simd';
import { Run } from './docs/examples/words/train.ts';
import { split } from './docs/examples/words/data.ts';
globalThis.train = (options, words) => {
  const run = new Run(options, split(words, options.seed), simdKernels());
  while (run.step < options.steps) run.trainStep();
  return run.parameters.map(({ data }) => Array.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)));
};`,
      resolveDir: fileURLToPath(new URL('../..', import.meta.url)),
    },
    bundle: true,
    format: 'iife',
    write: false,
  });
  const { chromium } = await import('playwright-core');
  const browser = await chromium.launch({ executablePath: path, args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const page = await browser.newPage();
    await page.addScriptTag({ content: outputFiles[0]!.text });
    const bytes = await page.evaluate(
      ([options, list]) =>
        (globalThis as unknown as { train(o: unknown, w: unknown): number[][] }).train(options, list),
      [DEFAULTS, words] as const,
    );
    const digest = await crypto.subtle.digest('SHA-256', Uint8Array.from(bytes.flat()));
    return { name: `Chromium ${browser.version().split('.')[0]}`, hash: Buffer.from(digest).toString('hex') };
  } finally {
    await browser.close();
  }
}

async function main(): Promise<void> {
  const whole = new Run(DEFAULTS, data);
  const invented: Story['invented'][number][] = [];
  for (;;) {
    if (MILESTONES.includes(whole.step)) invented.push({ step: whole.step, words: invent(whole) });
    if (whole.step === DEFAULTS.steps) break;
    whole.trainStep();
  }
  const hash = await whole.hash();

  const folder = mkdtempSync(join(tmpdir(), 'tensorless-story-'));
  const self = fileURLToPath(import.meta.url);
  const { signal } = spawnSync(process.execPath, ['--import', 'tsx', self, folder], { stdio: 'inherit' });
  if (signal !== 'SIGKILL') throw new Error(`the run was to be killed; it ended with ${signal}`);
  const store = new Store(folder);
  const resumed = await store.load(await store.peek(), data);
  if (resumed.step !== SAVED) throw new Error(`the checkpoint is of step ${resumed.step}`);
  while (resumed.step < DEFAULTS.steps) resumed.trainStep();
  rmSync(folder, { recursive: true });

  const twins = whole.parameters.map(({ data: weights, shape }) => new Parameter(weights.slice(), shape));
  for (const twin of twins) twin.grad = new Float32Array(twin.data.length);
  const adamw = new AdamW(twins);
  adamw.step();
  const browser = await browse();
  const node = `Node ${process.versions.node.split('.')[0]}`;
  const story: Story = {
    steps: DEFAULTS.steps,
    entropy: unigramEntropy(data.heldOut),
    loss: whole.history.map(({ step, loss }) => [step, Number(loss.toFixed(4))]),
    invented,
    saved: SAVED,
    killed: KILLED,
    hashes: [
      { who: `${node}, in one go`, hash },
      { who: `${node}, killed and resumed`, hash: await resumed.hash() },
      ...(browser === null ? [] : [{ who: `${browser.name}, SIMD`, hash: browser.hash }]),
    ],
    bytes: { adafactor: stateBytes(whole.optimizer.stateDict()), adamw: stateBytes(adamw.stateDict()) },
  };
  writeFileSync(RECORD, `${JSON.stringify(story)}\n`);
  console.log(story.hashes);
}

const [folder] = process.argv.slice(2);
await (folder === undefined ? main() : die(folder));
