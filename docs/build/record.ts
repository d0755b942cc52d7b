/**
 * What Node computes when the site is built, for the pages to compare with and to draw: nothing of
 * it is written down anywhere else. The jobs run in processes of their own, and what they say is
 * kept until a source changes.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { split, unigramEntropy } from '../examples/words/data.ts';
import { Run, type RunOptions, stateBytes } from '../examples/words/train.ts';
import { isSampled, RECORDED, sample } from '../live-demo/words.ts';
import { CASES, keyOf, trajectory } from '../same-bits/trajectory.ts';
import { ROOT } from './guides.ts';
import type { Recorded, RecordedRun } from './recorded.ts';

const here = fileURLToPath(import.meta.url);
const CACHE = `${ROOT}node_modules/.cache/tensorless/`;

function words(options: RunOptions): RecordedRun | Promise<RecordedRun> {
  const list: string[] = createRequire(import.meta.url)('an-array-of-english-words');
  const data = split(list, options.seed);
  const run = new Run(options, data);
  const samples = [sample(run)];
  while (run.step < options.steps) {
    run.trainStep();
    if (isSampled(run.step, options.steps)) samples.push(sample(run));
  }
  return run.hash().then((hash) => ({
    options,
    hash,
    samples,
    history: run.history,
    unigram: unigramEntropy(data.heldOut),
    weights: run.parameters.reduce((sum, { data: { length } }) => sum + length, 0),
    stateBytes: stateBytes(run.optimizer.stateDict()),
  }));
}

/** One run of `npm run demo` to its end, or to `kill` steps and SIGKILL; what it printed. */
function demo(args: string[], kill = Number.POSITIVE_INFINITY): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', 'docs/examples/demo.ts', ...args], { cwd: ROOT });
    let [out, err] = ['', ''];
    child.stderr.on('data', (chunk) => (err += chunk));
    child.stdout.on('data', (chunk) => {
      out += chunk;
      const steps = [...out.matchAll(/^ *(\d+)\/\d+ {2}loss/gm)].map(([, step]) => Number(step));
      if (Math.max(0, ...steps) >= kill) child.kill('SIGKILL');
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0 || signal === 'SIGKILL') resolve(out);
      else reject(new Error(`the demo ended with ${code}: ${err}`));
    });
  });
}

async function killed(): Promise<Recorded['killed']> {
  const out = mkdtempSync(join(tmpdir(), 'tensorless-site-'));
  const { steps } = RECORDED[0]!;
  try {
    const first = await demo(['--steps', String(steps), '--out', out], steps * 0.45);
    const second = await demo(['--resume', '--out', out]);
    const at = Math.max(...[...first.matchAll(/^ *(\d+)\/\d+ {2}loss/gm)].map(([, step]) => Number(step)));
    const resumedAt = Number(/after step (\d+)/.exec(second)?.[1]);
    const hash = /\b[0-9a-f]{64}\b/.exec(second)?.[0];
    if (hash === undefined || !(resumedAt > 0)) throw new Error(`the demo did not resume: ${second}`);
    return { at, resumedAt, hash };
  } finally {
    rmSync(out, { recursive: true });
  }
}

async function bits(): Promise<Recorded['bits']> {
  const out: Record<string, string> = {};
  for (const one of CASES) out[keyOf(one)] = await trajectory(one);
  return out;
}

const JOBS: Readonly<Record<string, () => unknown>> = {
  ...Object.fromEntries(RECORDED.map((options, i) => [`words-${i}`, () => words(options)])),
  killed,
  bits,
};

/** What a job's result depends on: the sources, and the runtime. */
function fingerprint(): string {
  const folders = ['src', 'docs/examples'].flatMap((folder) =>
    readdirSync(ROOT + folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .sort()
      .map((name) => `${folder}/${name}`),
  );
  const hash = createHash('sha256').update(process.version);
  for (const file of [...folders, 'docs/live-demo/words.ts', 'docs/same-bits/trajectory.ts'])
    hash.update(readFileSync(ROOT + file));
  return hash.digest('hex').slice(0, 16);
}

function job(name: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', here, name], { cwd: ROOT });
    let out = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.pipe(process.stderr);
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve(JSON.parse(out)) : reject(new Error(`recording ${name} failed`)),
    );
  });
}

/** All that Node computed, from the cache where nothing has changed. */
export async function recorded(): Promise<Recorded> {
  const file = `${CACHE}${fingerprint()}.json`;
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Recorded;
  const results = Object.fromEntries(
    await Promise.all(Object.keys(JOBS).map(async (name) => [name, await job(name)] as const)),
  );
  const runs = RECORDED.map((_, i) => results[`words-${i}`] as RecordedRun);
  const out: Recorded = {
    runtime: `Node ${process.version}`,
    runs,
    killed: results.killed as Recorded['killed'],
    bits: results.bits as Recorded['bits'],
  };
  if (out.killed.hash !== runs[0]!.hash) throw new Error('a killed and resumed run ended with other weights');
  rmSync(CACHE, { recursive: true, force: true });
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(file, JSON.stringify(out));
  return out;
}

if (process.argv[1] === here) process.stdout.write(JSON.stringify(await JOBS[process.argv[2]!]!()));
