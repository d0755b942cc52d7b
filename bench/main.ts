/**
 * `npm run bench`: this library's engines and its peers side by side in one run; `-- --quick` in
 * under a minute. Peers have a package of their own (bench/peers); PyTorch is asked where a Python
 * has it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Contestant, Shape } from './contestants.ts';
import { isolated } from './isolated.ts';
import * as javascript from './javascript.ts';
import { difference, type Result, race } from './measure.ts';
import { findPython, Torch } from './pytorch.ts';
import { chart, page, type Section, terminalTable } from './report.ts';
import { sizes } from './size.ts';
import { MODELS, matrices } from './t5.ts';

const HELP = `npm run bench -- [options]

  --quick    fewer sizes and turns, nothing written; under a minute
  --help     this text

Otherwise writes docs/performance.md and docs/performance.svg.
`;

function readArguments(): { quick: boolean; help?: boolean } {
  try {
    return parseArgs({ options: { quick: { type: 'boolean', default: false }, help: { type: 'boolean' } } }).values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${HELP}`);
    process.exit(2);
  }
}

const args = readArguments();
if (args.help === true) {
  process.stdout.write(HELP);
  process.exit();
}
const quick = args.quick;
const rounds = quick ? 3 : 7;
const milliseconds = quick ? 45 : 250;

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
    'No Python with torch and transformers here: PyTorch is left out. `npm run test:torch` makes one; ' +
      'TENSORLESS_PYTHON may name another.',
  );

const torchAdafactor: Contestant[] =
  best === undefined || installed === undefined
    ? []
    : [
        best.contestant('transformers Adafactor', 'transformers Adafactor, best', 1),
        installed.contestant('transformers Adafactor', 'transformers Adafactor, as installed', 1),
        best.contestant('torch Adafactor', 'torch Adafactor, best', 1),
        best.contestant('transformers Adafactor', `transformers Adafactor, best, ${threads} threads`, threads),
      ];
const torchAdamW: Contestant[] =
  best === undefined || installed === undefined
    ? []
    : [
        best.contestant('torch AdamW foreach', 'torch AdamW foreach, best', 1),
        installed.contestant('torch AdamW foreach', 'torch AdamW foreach, as installed', 1),
        best.contestant('torch AdamW fused', 'torch AdamW fused', 1),
        best.contestant('torch AdamW foreach', `torch AdamW foreach, best, ${threads} threads`, threads),
        best.contestant('torch AdamW fused', `torch AdamW fused, ${threads} threads`, threads),
      ];

const torch = new Set([...torchAdafactor, ...torchAdamW]);
const adafactor: readonly Contestant[] = [...javascript.adafactor, ...torchAdafactor];
const adamw: readonly Contestant[] = [...javascript.adamw, ...torchAdamW];
const { dtypes } = javascript;

const FORMULAS = { adafactor: 'Adafactor', adamw: 'AdamW' } as const;
const TOLERANCE: Readonly<Record<string, number>> = { bfloat16: 1e-2, float16: 2e-3 };
say('Equal weights after three steps (largest difference to float64):');
const checks: string[] = [];
for (const contestant of [...adafactor, ...adamw, ...dtypes]) {
  const named = contestant.name.includes('Ada')
    ? contestant.name
    : `${FORMULAS[contestant.formula]}, ${contestant.name}`;
  const error = await difference(contestant);
  const tolerance = TOLERANCE[contestant.name.split(', ')[1] ?? ''] ?? 1e-5;
  checks.push(`${named}: ${error.toExponential(1)}`);
  say(`  ${named.padEnd(44)} ${error.toExponential(1)}`);
  if (!(error <= tolerance))
    throw new Error(`${contestant.name} computes something else: ${error} is over ${tolerance}`);
}

/** PyTorch has processes of its own already. */
const apart = (contestants: readonly Contestant[]): Contestant[] =>
  contestants.map((one) => (torch.has(one) ? one : isolated(one)));

async function races(
  cases: readonly (readonly [title: string, shapes: readonly Shape[]])[],
  contestants: readonly Contestant[],
  baseline: string,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const [title, shapes] of cases) {
    const result = await race(
      { title, shapes, contestants: apart(contestants), baseline },
      rounds,
      milliseconds,
      progress,
    );
    say(`\n${terminalTable(result)}`);
    results.push(result);
  }
  return results;
}

const squares = (name: string, lengths: readonly number[]): [string, Shape[]][] =>
  lengths.map((side) => [`${name}, ${side} × ${side}`, [[side, side]]]);

const sides = quick ? [64, 256, 1024] : [64, 256, 1024, 4096];
const sections: Section[] = [
  {
    heading: 'Adafactor',
    text: 'float32, all defaults (relative step, parameter scale, clipping), one full step of one matrix.',
    results: await races(squares('Adafactor', sides), adafactor, 'transformers Adafactor, best'),
    growth: true,
  },
  {
    heading: 'AdamW',
    text:
      'float32, weight decay 0.01; TensorFlow.js has Adam without decay. jax-js and TensorFlow.js take part ' +
      'up to 1024 × 1024.',
    results: await races(squares('AdamW', sides), adamw, 'torch AdamW foreach, best'),
    growth: true,
  },
];
if (!quick) {
  sections.push({
    heading: 'Number formats',
    text: 'The TypeScript and the SIMD loops on other formats; 16-bit weights with 16-bit gradients.',
    results: await races(squares('Formats', [256, 1024]), dtypes, 'Adafactor, float32'),
  });
  const t5 = matrices(MODELS['T5-small']!);
  sections.push({
    heading: 'A real model',
    text: `One optimizer over the ${t5.length} matrices of T5-small.`,
    results: [
      ...(await races([['Adafactor, T5-small', t5]], adafactor, 'transformers Adafactor, best')),
      ...(await races([['AdamW, T5-small', t5]], adamw, 'torch AdamW foreach, best')),
    ],
  });
}

if (!quick) {
  const asked = await best?.ask<Record<string, string>>({ do: 'versions' });
  const versions = [
    `Node ${process.versions.node} (V8 ${process.versions.v8})`,
    `TensorFlow.js ${version('@tensorflow/tfjs-core')}`,
    `jax-js ${version('@jax-js/jax')}`,
    ...(asked === undefined
      ? []
      : [`PyTorch ${asked.torch}, transformers ${asked.transformers}, Python ${asked.python}`]),
  ].join('; ');
  const machine = `${cpus()[0]?.model ?? 'unknown'}, ${threads} cores, ${process.platform} ${process.arch}`;
  const date = new Date().toISOString().slice(0, 10);
  const docs = fileURLToPath(new URL('../docs', import.meta.url));
  const file = `${docs}/performance.md`;
  // The section of `npm run bench:disk` stays.
  const [, disk] = readFileSync(file, 'utf8').split('## Checkpoints\n');
  const text = page(sections, { machine, versions, date, rounds, checks, sizes: await sizes() });
  writeFileSync(file, disk === undefined ? text : `${text.trimEnd()}\n\n## Checkpoints\n${disk}`);
  writeFileSync(`${docs}/performance.svg`, chart(sections));
  say('\nWritten: docs/performance.md, docs/performance.svg');
}
installed?.close();
best?.close();
