/**
 * `npm run bench`: this library's engines and its peers side by side in one run; `-- --quick` in
 * under a minute. Peers have a package of their own (bench/peers); PyTorch is asked where a Python
 * has it. What was measured goes into `bench/results/`, and the page is written from there.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Contestant, type Shape, WINDOW } from './contestants.ts';
import { everyOptimizer } from './dead-moments.ts';
import { isolated } from './isolated.ts';
import * as javascript from './javascript.ts';
import { difference, digits, type Result, race, spread } from './measure.ts';
import { memory } from './memory.ts';
import { writePage } from './page.ts';
import { findPython, Torch } from './pytorch.ts';
import { circumstances, type DeadMoments, NAMES, type Results, writeResults } from './results.ts';
import { sizes } from './size.ts';
import { MODELS, matrices } from './t5.ts';
import { terminalTable } from './tables.ts';

/** What this program measures; the rest is that of bench:disk. */
const OWN = NAMES.filter((name) => name !== 'checkpoints');

const HELP = `npm run bench -- [options]

  --quick          fewer sizes and turns, nothing written; under a minute
  --only A,B       some parts only, out of ${OWN.join(', ')}
  --page           measure nothing, write the page from bench/results/
  --help           this text

Otherwise writes bench/results/, docs/performance.md and docs/performance.svg.
`;

function readArguments(): { quick: boolean; only?: string; page: boolean; help: boolean } {
  const flag = { type: 'boolean', default: false } as const;
  try {
    const { values } = parseArgs({ options: { quick: flag, only: { type: 'string' }, page: flag, help: flag } });
    const wrong = values.only?.split(',').filter((name) => !(OWN as readonly string[]).includes(name)) ?? [];
    if (wrong.length > 0) throw new Error(`--only: there is no part ${wrong.join(', ')}`);
    return values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${HELP}`);
    process.exit(2);
  }
}

const args = readArguments();
if (args.help) {
  process.stdout.write(HELP);
  process.exit();
}
if (args.page) {
  writePage();
  process.exit();
}
const { quick } = args;
const asked = new Set<string>(args.only?.split(',') ?? (quick ? ['adafactor', 'adamw', 'differences'] : OWN));
const rounds = quick ? 3 : 9;
const milliseconds = quick ? 45 : 120;
const begun = performance.now();

/** The line that is under way; only where somebody watches. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
}

function say(text: string): void {
  progress('');
  if (process.stderr.isTTY) process.stderr.write('\r');
  console.log(text);
}

const peers = fileURLToPath(new URL('peers', import.meta.url));
if (!existsSync(`${peers}/node_modules`)) {
  say('Installing the peers (bench/peers), once ...');
  const { status } = spawnSync('npm', ['ci'], { cwd: peers, stdio: 'inherit', shell: process.platform === 'win32' });
  if (status !== 0) throw new Error('npm ci in bench/peers failed');
}
const version = (name: string): string =>
  (JSON.parse(readFileSync(`${peers}/node_modules/${name}/package.json`, 'utf8')) as { version: string }).version;

const python = findPython();
const { threads } = javascript;
const installed = python === undefined ? undefined : new Torch(python, 'as installed');
const best = python === undefined ? undefined : new Torch(python, 'at its best');
if (python === undefined)
  say(
    'No Python with torch and transformers here: PyTorch is left out.\n' +
      '`npm run test:torch` makes one; TENSORLESS_PYTHON may name another.',
  );
if (!javascript.hasSingle) say('SIMD has no float32 level here: it is left out.');

type Wanted = readonly [torch: Torch | undefined, kind: string, name: string, threads: number];
const torchs = (wanted: readonly Wanted[]): Contestant[] =>
  wanted.flatMap(([torch, kind, name, count]) => torch?.contestant(kind, name, count) ?? []);

const torchAdafactor = torchs([
  [best, 'transformers Adafactor', 'transformers Adafactor, best', 1],
  [installed, 'transformers Adafactor', 'transformers Adafactor, as installed', 1],
  [best, 'torch Adafactor', 'torch Adafactor, best', 1],
  [best, 'transformers Adafactor', `transformers Adafactor, best, ${threads} threads`, threads],
]);
const torchAdamW = torchs([
  [best, 'torch AdamW foreach', 'torch AdamW foreach, best', 1],
  [installed, 'torch AdamW foreach', 'torch AdamW foreach, as installed', 1],
  [best, 'torch AdamW fused', 'torch AdamW fused', 1],
  [best, 'torch AdamW foreach', `torch AdamW foreach, best, ${threads} threads`, threads],
  [best, 'torch AdamW fused', `torch AdamW fused, ${threads} threads`, threads],
]);
const COMPILED = 'torch AdamW compiled';
const compiled: Contestant[] = [];
if (!quick && ['adamw', 'dead-moments', 'differences'].some((name) => asked.has(name)) && best !== undefined) {
  progress('Trying torch.compile');
  // It needs a C++ compiler, and takes minutes over the parameters of a whole model.
  if ((await best.ask<{ compiles: boolean }>({ do: 'compiles' })).compiles)
    compiled.push({ ...Torch.lasting(python!, COMPILED, COMPILED, 1), most: 2 ** 20, mostParameters: 1 });
  else say('torch.compile does not run here (it needs a C++ compiler): it is left out.');
}
const torchClip = torchs([[best, 'torch clip_grad_norm_', 'torch clip_grad_norm_', 1]]);
const torchAdd = torchs([[best, 'torch _foreach_add_', 'torch _foreach_add_', 1]]);
const apartAlready = new Set([...torchAdafactor, ...torchAdamW, ...compiled, ...torchClip, ...torchAdd]);

const adafactor: readonly Contestant[] = [...javascript.adafactor, ...torchAdafactor];
const adamw: readonly Contestant[] = [...javascript.adamw, ...torchAdamW, ...compiled];
const { dtypes } = javascript;

const versions = await best?.ask<Record<string, string>>({ do: 'versions' });
const on = circumstances([
  `TensorFlow.js ${version('@tensorflow/tfjs-core')}`,
  `jax-js ${version('@jax-js/jax')}`,
  ...(versions === undefined
    ? []
    : [`PyTorch ${versions.torch}, transformers ${versions.transformers}, Python ${versions.python}`]),
]);

/** Measures a part and writes its file. */
async function part<K extends keyof Results>(name: K, measure: () => Promise<Results[K]>): Promise<void> {
  if (!asked.has(name)) return;
  const results = await measure();
  if (quick) return;
  writeResults(name, results, on);
  say(`(${((performance.now() - begun) / 60_000).toFixed(1)} min) bench/results/${name}.json`);
}

const FORMULAS: Readonly<Record<string, string>> = { adafactor: 'Adafactor', adamw: 'AdamW' };
const TOLERANCE: Readonly<Record<string, number>> = { bfloat16: 1e-2, float16: 2e-3 };
await part('differences', async () => {
  say('Equal weights after three steps (largest difference to float64):');
  const rows: [string, number][] = [];
  for (const contestant of [...adafactor, ...adamw, ...dtypes]) {
    const { name, formula } = contestant;
    const named = name.includes('Ada') ? name : `${FORMULAS[formula]}, ${name}`;
    progress(named);
    const error = await difference(contestant);
    const tolerance = TOLERANCE[name.split(', ')[1] ?? ''] ?? 1e-5;
    rows.push([named, digits(error)]);
    say(`  ${named.padEnd(54)} ${error.toExponential(1)}`);
    if (!(error <= tolerance)) throw new Error(`${name} computes something else: ${error} is over ${tolerance}`);
  }
  return { rows };
});

/** PyTorch has processes of its own already. */
const apart = (contestants: readonly Contestant[]): Contestant[] =>
  contestants.map((one) => (apartAlready.has(one) ? one : isolated(one)));

type Case = readonly [title: string, shapes: readonly Shape[]];

async function races(
  cases: readonly Case[],
  contestants: readonly Contestant[],
  baseline: string,
  turns: number = rounds,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const [title, shapes] of cases) {
    const result = await race(
      { title, shapes, contestants: apart(contestants), baseline },
      turns,
      milliseconds,
      progress,
    );
    say(`\n${terminalTable(result)}`);
    results.push(result);
  }
  return results;
}

const squares = (name: string, lengths: readonly number[]): Case[] =>
  lengths.map((side) => [`${name}, ${side} × ${side}`, [[side, side]]]);

const sides = quick ? [256, 1024] : [64, 256, 1024, 4096];
const BASE_ADAFACTOR = 'transformers Adafactor, best';
const BASE_ADAMW = 'torch AdamW foreach, best';

await part('adafactor', async () => ({ cases: await races(squares('Adafactor', sides), adafactor, BASE_ADAFACTOR) }));
await part('adamw', async () => ({ cases: await races(squares('AdamW', sides), adamw, BASE_ADAMW) }));
await part('model', async () => {
  const shapes = matrices(MODELS['T5-small']!);
  const whole = (all: readonly Contestant[]): Contestant[] => all.filter(({ name }) => !name.includes('as installed'));
  return {
    cases: [
      ...(await races([['Adafactor, T5-small', shapes]], whole(adafactor), BASE_ADAFACTOR, 3)),
      ...(await races([['AdamW, T5-small', shapes]], whole(adamw), BASE_ADAMW, 3)),
    ],
  };
});
await part('parameters', async () => {
  const cases = (name: string): Case[] =>
    [40, 400, 4000].map((count) => [`${name}, ${count} parameters`, Array.from({ length: count }, () => [16, 16])]);
  const usual = (all: readonly Contestant[]): Contestant[] =>
    all.filter(
      ({ name, most }) => most === undefined && !/copied|installed|torch.*threads|compiled|former.*threads/.test(name),
    );
  return {
    cases: [
      ...(await races(cases('Adafactor'), usual(adafactor), BASE_ADAFACTOR, 3)),
      ...(await races(cases('AdamW'), usual(adamw), BASE_ADAMW, 3)),
    ],
  };
});
await part('gradients', async () => {
  const of = (formula: 'clip' | 'accumulate'): Contestant[] =>
    javascript.gradients.filter((one) => one.formula === formula);
  const baseline = 'a copy of the same numbers';
  return {
    cases: [
      ...(await races(squares('clipGradNorm', [1024, 4096]), [...of('clip'), ...torchClip], baseline)),
      ...(await races(squares('GradientAccumulator.add', [1024, 4096]), [...of('accumulate'), ...torchAdd], baseline)),
    ],
  };
});
await part('formats', async () => ({
  cases: await races(squares('Formats', [1024]), dtypes, 'Adafactor, float32', 3),
}));

const SIDE = 256;
const STEPS = 3000;
/** Turns of the three cases, each a window long but for the steps without gradient. */
const PIECES = 10;
await part('dead-moments', async (): Promise<DeadMoments> => {
  say(`\nAdamW, ${SIDE} × ${SIDE}: usual; mean of ${STEPS} steps without gradient; after them; gradients of 1e-20`);
  const rows: DeadMoments['rows'][number][] = [];
  const shapes: Shape[] = [[SIDE, SIDE]];
  const each = (nanoseconds: number): number => digits(nanoseconds / SIDE ** 2);
  const torch = ['torch AdamW foreach', 'torch AdamW fused', ...compiled.map(({ name }) => name)];
  const contestants = [
    ...apart(javascript.adamw).filter(({ name }) => !/copied|threads|jax|TensorFlow/.test(name)),
    ...(best === undefined ? [] : torch.map((kind) => Torch.lasting(python!, kind, kind, 1))),
  ];
  for (const contestant of contestants) {
    const { name } = contestant;
    progress(`Very small numbers: ${name}`);
    const [usual, zeros, tiny] = [
      await contestant.start(shapes),
      await contestant.start(shapes),
      await contestant.start(shapes),
    ];
    for (const one of [usual, zeros]) await one.stretch(100, 0.25);
    await tiny.stretch(100, 1e-20);
    const times = { usual: [] as number[], zeros: [] as number[], after: [] as number[], tiny: [] as number[] };
    for (let piece = 0; piece < PIECES; piece++) {
      times.usual.push(await usual.stretch(WINDOW, 0.25));
      times.zeros.push(await zeros.stretch(STEPS / PIECES, 0));
      times.tiny.push(await tiny.stretch(WINDOW, 1e-20));
    }
    for (let piece = 0; piece < PIECES; piece++) times.after.push(await zeros.stretch(WINDOW, 0));
    for (const one of [usual, zeros, tiny]) await one.close();
    const middle = (of: number[]): number => each(spread(of)[0]);
    const mean = times.zeros.reduce((sum, time) => sum + time, 0) / PIECES;
    const row = { usual: middle(times.usual), zeros: each(mean), after: middle(times.after), tiny: middle(times.tiny) };
    rows.push({ name, ...row });
    say(`  ${name.padEnd(44)} ${Object.values(row).join('  ')}`);
  }
  progress('Very small numbers: every optimizer');
  return { side: SIDE, steps: STEPS, rows, every: everyOptimizer() };
});
await part('memory', () => memory(python, progress));
await part('sizes', async () => ({ rows: await sizes() }));
installed?.close();
best?.close();
if (quick) say('\nNothing was written: `npm run bench`, half an hour, writes docs/performance.md.');
else {
  const what = 'docs/performance.md, docs/performance.svg';
  say(writePage() ? `\nWritten: ${what}` : `\nNot written before a whole run: ${what}`);
}
