/**
 * Checkpoint folders of a real Trainer (`npm run test:torch`): its run goes on here and its losses
 * are those of the uninterrupted run when it takes over again, from one file and from shards, with
 * its own trainer_state.json and with the library's.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Adafactor, AdamW, getLinearScheduleWithWarmup, Parameter } from 'tensorless';
import { loadTrainerCheckpoint, loadWeights, saveTrainerCheckpoint } from 'tensorless/node';
import { decodeSafetensors } from 'tensorless/safetensors';

const root = fileURLToPath(new URL('../..', import.meta.url));
const here = fileURLToPath(new URL('.', import.meta.url));
const python = process.env.TENSORLESS_PYTHON ?? join(root, '.venv/bin/python');
if (!existsSync(python)) throw new Error(`${python} is missing: npm run test:torch makes it`);

function trainer(...args: string[]): void {
  const { status, stdout, stderr } = spawnSync(python, [join(here, 'trainer.py'), ...args], {
    encoding: 'utf8',
    timeout: 300_000,
    killSignal: 'SIGKILL',
    env: { ...process.env, OMP_NUM_THREADS: '1', TOKENIZERS_PARALLELISM: 'false', HF_HUB_OFFLINE: '1' },
  });
  if (status !== 0) throw new Error(`trainer.py ${args.join(' ')}: ${stdout}\n${stderr}`);
}

const NAMES = ['first.weight', 'first.bias', 'second.weight', 'second.bias'];
const SHAPES = [[16, 6], [16], [3, 16], [3]];
let failed = 0;

/** A run as Trainer makes it: weights with decay in one group, biases without in the other. */
function build(optim: string) {
  const parameters = NAMES.map((name, i) => {
    const length = SHAPES[i]!.reduce((a, b) => a * b, 1);
    return new Parameter(new Float32Array(length), SHAPES[i], { name });
  });
  const groups = [
    { params: [parameters[0]!, parameters[2]!], weightDecay: 0.01 },
    { params: [parameters[1]!, parameters[3]!], weightDecay: 0 },
  ];
  const optimizer =
    optim === 'adafactor'
      ? new Adafactor(groups, { lr: 1e-2, relativeStep: false, scaleParameter: false })
      : new AdamW(groups, { lr: 1e-2 });
  const scheduler = getLinearScheduleWithWarmup(optimizer, { numWarmupSteps: 2, numTrainingSteps: 12 });
  return { parameters, optimizer, scheduler };
}

const folder = mkdtempSync(join(tmpdir(), 'tensorless-folders-'));
console.log('A Trainer’s checkpoint folder, continued here, and resumed by Trainer');
for (const optim of ['adafactor', 'adamw_torch']) {
  const at = join(folder, optim);
  mkdirSync(at);
  trainer('record', at, optim);
  const losses = JSON.parse(readFileSync(join(at, 'losses-record.json'), 'utf8')) as number[];
  const run = build(optim);
  const { globalStep, trainerState } = await loadTrainerCheckpoint(join(at, 'trainer/checkpoint-4'), run);
  if (globalStep !== 4) throw new Error(`global step ${globalStep}`);
  for (let step = 5; step <= 8; step++) {
    const { tensors } = decodeSafetensors(readFileSync(join(at, `gradients-${step}.safetensors`)));
    for (const p of run.parameters) p.grad = Float32Array.from(tensors[p.name!]!.data as Float32Array);
    run.optimizer.step();
    run.scheduler.step();
  }
  for (const [name, options] of [
    ['no trainer state', {}],
    ['shards', { maxShardBytes: 300 }],
    ['Trainer’s state', { trainerState: trainerState as object }],
  ] as const) {
    const to = join(at, name, 'checkpoint-8');
    await saveTrainerCheckpoint(to, run, { globalStep: 8, ...options });
    trainer('resume', at, optim, `${name}/checkpoint-8`);
    const resumed = JSON.parse(readFileSync(join(at, 'losses-resume.json'), 'utf8')) as number[];
    const expected = losses.slice(8);
    const worst = Math.max(...expected.map((x, i) => Math.abs(x - resumed[i]!)));
    const right = resumed.length === 4 && worst <= 1e-4;
    if (!right) failed++;
    console.log(
      `  ${right ? 'ok' : 'FAILED'}  ${optim}, ${name}: ${resumed.length} losses, largest difference ` +
        `${worst.toExponential(1)}`,
    );
  }
  const weights = build(optim).parameters;
  await loadWeights(join(at, 'trainer/checkpoint-12'), weights);
  const { tensors } = decodeSafetensors(readFileSync(join(at, 'final-record.safetensors')));
  const same = weights.every((p) => p.data.every((x, i) => x === (tensors[p.name!]!.data as Float32Array)[i]));
  if (!same) failed++;
  console.log(`  ${same ? 'ok' : 'FAILED'}  ${optim}, weights of Trainer’s last checkpoint`);
}
rmSync(folder, { recursive: true, force: true });
console.log(failed === 0 ? 'Trainer agrees.' : `${failed} checks failed.`);
process.exit(failed === 0 ? 0 : 1);
