/**
 * `npm run bench:disk [-- FOLDER]`: checkpoints on disk against Python's safetensors and PyTorch,
 * and against a plain write of the same bytes, interleaved in one run with a warm page cache.
 * TENSORLESS_PYTHON names the Python. Writes bench/results/checkpoints.json, and the page
 * from it.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AdamW, Parameter } from 'tensorless';
import { loadTorch, loadTrainingState, saveTorch, saveTrainingState } from 'tensorless/node';
import { decodeTorch, encodeTorch } from 'tensorless/torch';
import { digits } from './measure.ts';
import { writePage } from './page.ts';
import { findPython } from './pytorch.ts';
import { circumstances, readResults, writeResults } from './results.ts';
import { checkpointsTable } from './tables.ts';

const ROUNDS = 5;
const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'tensorless-bench-'));
const path = join(folder, 'run.safetensors');
const torch = join(folder, 'optimizer.pt');
const python = process.env.TENSORLESS_PYTHON ?? findPython();

/** 512 MiB: parameters and two moments. */
function make(fill: number) {
  const parameters = Array.from({ length: 16 }, (_, i) => {
    return new Parameter(new Float32Array(2_796_202).fill(fill), [2_796_202], { name: `p${i}` });
  });
  return { parameters, optimizer: new AdamW(parameters) };
}

const seconds: Record<string, number[]> = {};
async function timed(what: string, work: () => unknown): Promise<void> {
  const begun = performance.now();
  await work();
  seconds[what] ??= [];
  seconds[what].push(digits((performance.now() - begun) / 1000));
}

/** Runs Python's lines and takes the seconds that they print. */
function timedThere(what: string, code: string): void {
  if (python === null || python === undefined) return;
  const { stdout, status, stderr } = spawnSync(python, ['-c', `import time, sys\n${code}`, path, torch], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  seconds[what] ??= [];
  seconds[what].push(digits(Number(stdout)));
}

async function plainWrite(bytes: Uint8Array): Promise<void> {
  const file = await open(join(folder, 'plain'), 'w');
  await file.writeFile(bytes);
  await file.sync();
  await file.close();
}

const run = make(1);
for (const parameter of run.parameters) {
  parameter.grad = new Float32Array(parameter.data.length).fill(0.5);
  run.optimizer.stepParameter(parameter);
  parameter.grad = null;
}
await saveTrainingState(path, run);
await saveTorch(torch, run.optimizer.stateDict());
const bytes = await readFile(path);
for (let round = 0; round < ROUNDS; round++) {
  await timed('plain write and fsync', () => plainWrite(bytes));
  await timed('saveTrainingState, snapshot: false', () => saveTrainingState(path, run, { snapshot: false }));
  await timed('saveTrainingState', () => saveTrainingState(path, run));
  timedThere(
    'Python: safetensors.numpy.load_file',
    'from safetensors.numpy import load_file\nt = time.time()\nd = load_file(sys.argv[1])\nprint(time.time() - t)',
  );
  const fresh = make(0);
  await timed('loadTrainingState', () => loadTrainingState(path, fresh));
  await timed('loadTrainingState, inPlace', () => loadTrainingState(path, fresh, { inPlace: true }));
  timedThere(
    'Python: torch.load',
    'import torch\nt = time.time()\nd = torch.load(sys.argv[2])\nprint(time.time() - t)',
  );
  await timed('loadTorch', () => loadTorch(torch));
  const inMemory = await readFile(torch);
  await timed('decodeTorch, of bytes', () => decodeTorch(inMemory));
  const dict = run.optimizer.stateDict();
  await timed('encodeTorch', () => encodeTorch(dict));
  timedThere(
    'Python: torch.save into memory',
    'import io, torch\nd = torch.load(sys.argv[2])\nb = io.BytesIO()\nt = time.time()\ntorch.save(d, b)\nprint(time.time() - t)',
  );
}
writeResults('checkpoints', { bytes: statSync(path).size, torchBytes: statSync(torch).size, seconds }, circumstances());
rmSync(folder, { recursive: true });
console.log(checkpointsTable(readResults().checkpoints!));
writePage();
