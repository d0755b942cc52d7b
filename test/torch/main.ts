/**
 * `npm run test:torch`: hands runs to a real PyTorch and back. Makes its own virtual environment in
 * .venv, once; TENSORLESS_PYTHON names another Python that has torch, transformers, accelerate and
 * safetensors.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  Adafactor,
  AdafactorSchedule,
  AdamW,
  fromBfloat16,
  GradientAccumulator,
  getLinearScheduleWithWarmup,
  type LRScheduler,
  type NumericArray,
  type Optimizer,
  type OptimizerStateDict,
  Parameter,
  type StateTensor,
  type StateValue,
  toBfloat16,
} from 'tensorless';
import { encodeTrainingState } from 'tensorless/checkpoint';
import { decodeSafetensors, encodeSafetensors } from 'tensorless/safetensors';
import { decodeTorch, encodeTorch } from 'tensorless/torch';
import { checkForms } from './forms.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const here = fileURLToPath(new URL('.', import.meta.url));
const REQUIREMENTS = [
  'torch==2.13.0',
  'transformers==5.23.0',
  'accelerate==1.15.0',
  'safetensors==0.8.0',
  'numpy==2.4.6',
];

function sh(command: string, args: string[], seconds: number, env: NodeJS.ProcessEnv = {}): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    timeout: seconds * 1000,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 28,
    env: { ...process.env, OMP_NUM_THREADS: '1', TOKENIZERS_PARALLELISM: 'false', HF_HUB_OFFLINE: '1', ...env },
  });
  if (status !== 0)
    throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? `status ${status}`}\n${stdout}\n${stderr}`);
  return stdout;
}

function findPython(): string {
  if (process.env.TENSORLESS_PYTHON !== undefined) return process.env.TENSORLESS_PYTHON;
  const python = join(root, '.venv/bin/python');
  if (!existsSync(join(root, '.venv/ready'))) {
    console.log('Making a virtual environment with PyTorch in .venv, once; this takes some minutes ...');
    rmSync(join(root, '.venv'), { recursive: true, force: true });
    sh('python3', ['-m', 'venv', join(root, '.venv')], 120);
    sh(python, ['-m', 'pip', 'install', '--quiet', ...REQUIREMENTS], 3000);
    writeFileSync(join(root, '.venv/ready'), '');
  }
  return python;
}

const python = findPython();
const folder = mkdtempSync(join(tmpdir(), 'tensorless-torch-'));
const bytesOf = (path: string): Uint8Array => new Uint8Array(readFileSync(path));
let failed = 0;

function check(name: string, figure: number, most: number): void {
  const good = figure <= most;
  if (!good) failed++;
  console.log(
    `${good ? 'ok    ' : 'FAILED'} ${name}: ` +
      `${figure === 0 ? 'the same bits' : figure.toExponential(1)}${good ? '' : `, more than ${most}`}`,
  );
}

function numbers({ dtype, data }: StateTensor): ArrayLike<number> {
  return dtype === 'bfloat16' ? fromBfloat16(data as Uint16Array) : (data as Float32Array);
}

/**
 * Largest difference between the tensors of two safetensors files, relative to the largest number.
 */
function difference(a: string, b: string): number {
  const [x, y] = [decodeSafetensors(bytesOf(a)).tensors, decodeSafetensors(bytesOf(b)).tensors];
  if (Object.keys(x).sort().join() !== Object.keys(y).sort().join()) return Number.POSITIVE_INFINITY;
  let most = 0;
  let largest = 0;
  for (const [name, tensor] of Object.entries(x)) {
    const [p, q] = [numbers(tensor), numbers(y[name]!)];
    for (let k = 0; k < p.length; k++) {
      most = Math.max(most, Math.abs(p[k]! - q[k]!));
      largest = Math.max(largest, Math.abs(p[k]!));
    }
  }
  return most / largest;
}

// ---- five steps there, five here, and the reverse

interface Case {
  readonly name: string;
  readonly optimizer: 'Adafactor' | 'AdamW';
  readonly dtype: 'float32' | 'bfloat16';
  readonly options: Record<string, unknown>;
  readonly schedule: 'adafactor' | 'linear';
}
const modes: Omit<Case, 'dtype'>[] = [
  {
    name: 'adafactor-relative',
    optimizer: 'Adafactor',
    options: { scale_parameter: true, relative_step: true, warmup_init: true },
    schedule: 'adafactor',
  },
  {
    name: 'adafactor-t5',
    optimizer: 'Adafactor',
    options: { lr: 1e-2, scale_parameter: false, relative_step: false },
    schedule: 'linear',
  },
  {
    name: 'adafactor-momentum',
    optimizer: 'Adafactor',
    options: { lr: 1e-2, relative_step: false, beta1: 0.9, weight_decay: 0.01 },
    schedule: 'linear',
  },
  {
    name: 'adamw',
    optimizer: 'AdamW',
    options: { lr: 1e-2, betas: [0.9, 0.98], weight_decay: 0.05 },
    schedule: 'linear',
  },
];
const cases: Case[] = modes.flatMap((mode) =>
  (['float32', 'bfloat16'] as const).map((dtype) => ({ ...mode, dtype, name: `${mode.name}-${dtype}` })),
);
const SHAPES = [[4, 6], [5], [2, 3, 4], []];

function values(count: number, step: number, index: number, dtype: Case['dtype']): NumericArray {
  const exact = Float32Array.from({ length: count }, (_, k) => ((k * 31 + step * 17 + index * 7) % 101) / 101 - 0.5);
  return dtype === 'bfloat16' ? toBfloat16(exact) : exact;
}

const camel = (key: string): string => key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

function build({ optimizer: name, dtype, options, schedule }: Case): {
  parameters: Parameter[];
  optimizer: Optimizer;
  scheduler: LRScheduler;
} {
  const parameters = SHAPES.map((shape, i) => {
    const count = shape.reduce((a, b) => a * b, 1);
    return new Parameter(values(count, 0, i, dtype), shape, { dtype, name: `p${i}` });
  });
  const given = Object.fromEntries(Object.entries(options).map(([key, value]) => [camel(key), value]));
  const optimizer = name === 'AdamW' ? new AdamW(parameters, given) : new Adafactor(parameters, given);
  const scheduler =
    schedule === 'adafactor'
      ? new AdafactorSchedule(optimizer as Adafactor)
      : getLinearScheduleWithWarmup(optimizer, { numWarmupSteps: 2, numTrainingSteps: 10 });
  return { parameters, optimizer, scheduler };
}

function advance(
  { parameters, optimizer, scheduler }: ReturnType<typeof build>,
  dtype: Case['dtype'],
  from: number,
  to: number,
): void {
  for (let step = from; step < to; step++) {
    for (const [i, parameter] of parameters.entries()) parameter.grad = values(parameter.data.length, step, i, dtype);
    optimizer.step();
    scheduler.step();
  }
}

function saveModel(path: string, parameters: readonly Parameter[]): void {
  writeFileSync(
    path,
    encodeSafetensors(
      Object.fromEntries(parameters.map(({ name, dtype, shape, data }) => [name!, { dtype, shape: [...shape], data }])),
      { format: 'pt' },
    ),
  );
}

function loadModel(path: string, parameters: readonly Parameter[]): void {
  const { tensors } = decodeSafetensors(bytesOf(path));
  for (const parameter of parameters)
    (parameter.data as Float32Array).set(tensors[parameter.name!]!.data as Float32Array);
}

function save(to: string, { parameters, optimizer, scheduler }: ReturnType<typeof build>): void {
  mkdirSync(to, { recursive: true });
  saveModel(join(to, 'model.safetensors'), parameters);
  writeFileSync(join(to, 'optimizer.pt'), encodeTorch(optimizer.stateDict()));
  writeFileSync(join(to, 'scheduler.pt'), encodeTorch(scheduler.stateDict()));
}

console.log('Five steps there, five here, against ten there; and the reverse');
writeFileSync(join(folder, 'cases.json'), JSON.stringify(cases));
sh(python, [join(here, 'optimizers.py'), 'run', folder], 300);
for (const one of cases) {
  const at = join(folder, one.name);
  const there = build(one);
  loadModel(join(at, 'python-5/model.safetensors'), there.parameters);
  there.optimizer.loadStateDict(decodeTorch(bytesOf(join(at, 'python-5/optimizer.pt'))));
  there.scheduler.loadStateDict(decodeTorch(bytesOf(join(at, 'python-5/scheduler.pt'))));
  advance(there, one.dtype, 6, 11);
  save(join(at, 'python-js-10'), there);
  const mine = build(one);
  advance(mine, one.dtype, 1, 6);
  save(join(at, 'js-5'), mine);
}
sh(python, [join(here, 'optimizers.py'), 'finish', folder], 300);
for (const { name, dtype, optimizer } of cases) {
  const at = (run: string): string => join(folder, name, run, 'model.safetensors');
  // bfloat16: this library continues an Adafactor of PyTorch with its bits. PyTorch rounds the
  // state to bfloat16 on load (and AdamW's always), and is off by a unit of the eighth bit.
  check(
    `${name}, there then here`,
    difference(at('python-10'), at('python-js-10')),
    dtype === 'float32' ? 1e-6 : optimizer === 'AdamW' ? 2 ** -7 : 0,
  );
  check(
    `${name}, here then there`,
    difference(at('python-10'), at('js-python-10')),
    dtype === 'bfloat16' ? 2 ** -7 : 1e-6,
  );
}

// ---- every form of .pt

console.log('Every form that torch.load(weights_only=True) reads, both ways');
mkdirSync(join(folder, 'forms'));
checkForms(join(folder, 'forms'), (...args) => sh(python, args, 300), check);

// ---- a training state read by Python's safetensors

const whole = build(cases[0]!);
advance(whole, 'float32', 1, 4);
const accumulator = new GradientAccumulator(whole.parameters);
accumulator.add();
writeFileSync(join(folder, 'state.safetensors'), encodeTrainingState({ ...whole, accumulator, extra: { epoch: 1 } }));
const read = JSON.parse(
  sh(
    python,
    [
      '-c',
      `import json; from safetensors import safe_open; f = ` +
        `safe_open(${JSON.stringify(join(folder, 'state.safetensors'))}, "np"); print(json.dumps({"p0": f.get_tensor("p0").tolist(), "keys": sorted(f.keys()), "format": json.loads(f.metadata()["tensorless"])["format"]}))`,
    ],
    60,
  ),
) as { p0: number[][]; keys: string[]; format: number };
const p0 = whole.parameters[0]!.data;
check(
  'a training state, read by Python',
  Math.max(
    ...read.p0.flat().map((x, k) => Math.abs(x - p0[k]!)),
    read.format === 1 && read.keys.includes('p3') ? 0 : 1,
  ),
  0,
);

// ---- a real Trainer run, continued here with its recorded gradients, and by Trainer again

/** Parameters, in the order of a Trainer's two groups, as its checkpoint has them. */
function trainerParameters(path: string): { parameters: Map<string, Parameter>; groups: Parameter[][] } {
  const { tensors } = decodeSafetensors(bytesOf(path));
  const parameters = new Map(
    ['first.weight', 'first.bias', 'second.weight', 'second.bias'].map((name) => [
      name,
      new Parameter(Float32Array.from(tensors[name]!.data as Float32Array), tensors[name]!.shape, { name }),
    ]),
  );
  const pick = (...names: string[]): Parameter[] => names.map((name) => parameters.get(name)!);
  return { parameters, groups: [pick('first.weight', 'second.weight'), pick('first.bias', 'second.bias')] };
}

function applyRecorded(parameters: ReadonlyMap<string, Parameter>, path: string): void {
  const { tensors } = decodeSafetensors(bytesOf(path));
  for (const [name, parameter] of parameters) parameter.grad = Float32Array.from(tensors[name]!.data as Float32Array);
}

console.log('A Trainer run: its checkpoint continued here with its gradients, and then by Trainer again');
for (const optim of ['adafactor', 'adamw_torch']) {
  const at = join(folder, `trainer-${optim}`);
  mkdirSync(at, { recursive: true });
  sh(python, [join(here, 'trainer.py'), 'record', at, optim], 300);
  const from = join(at, 'trainer/checkpoint-4');
  const { parameters, groups } = trainerParameters(join(from, 'model.safetensors'));
  const dict = decodeTorch(bytesOf(join(from, 'optimizer.pt'))) as unknown as OptimizerStateDict;
  const make = groups.map((params) => ({ params }));
  const optimizer =
    optim === 'adafactor'
      ? new Adafactor(make, { lr: 1e-2, relativeStep: false, scaleParameter: false })
      : new AdamW(make, { lr: 1e-2 });
  const scheduler = getLinearScheduleWithWarmup(optimizer, { numWarmupSteps: 2, numTrainingSteps: 12 });
  optimizer.loadStateDict(dict as unknown as StateValue);
  scheduler.loadStateDict(decodeTorch(bytesOf(join(from, 'scheduler.pt'))));
  for (let step = 5; step <= 8; step++) {
    applyRecorded(parameters, join(at, `gradients-${step}.safetensors`));
    optimizer.step();
    scheduler.step();
  }
  const to = join(at, 'js/checkpoint-8');
  cpSync(join(at, 'trainer/checkpoint-8'), to, { recursive: true });
  saveModel(join(to, 'model.safetensors'), [...parameters.values()]);
  writeFileSync(join(to, 'optimizer.pt'), encodeTorch(optimizer.stateDict()));
  writeFileSync(join(to, 'scheduler.pt'), encodeTorch(scheduler.stateDict()));
  check(
    `Trainer with ${optim}: four steps here`,
    difference(join(at, 'trainer/checkpoint-8/model.safetensors'), join(to, 'model.safetensors')),
    2e-6,
  );
  sh(python, [join(here, 'trainer.py'), 'resume', at, optim], 300);
  check(
    `Trainer with ${optim}: its last four after that`,
    difference(join(at, 'final-record.safetensors'), join(at, 'final-resume.safetensors')),
    1e-5,
  );
}

// ---- two processes

console.log('torchrun with two gloo processes from a checkpoint written here, against one process');
for (const kind of ['adamw', 'adafactor'] as const) {
  const at = join(folder, `distributed-${kind}`);
  mkdirSync(at);
  const script = join(here, 'distributed.py');
  sh(python, [script, 'record', kind, at], 120);
  const { tensors } = decodeSafetensors(bytesOf(join(at, 'start.safetensors')));
  const names = ['0.weight', '0.bias', '2.weight', '2.bias'];
  const parameters = new Map(
    names.map((name) => [
      name,
      new Parameter(Float32Array.from(tensors[name]!.data as Float32Array), tensors[name]!.shape, { name }),
    ]),
  );
  const list = [...parameters.values()];
  const optimizer =
    kind === 'adamw'
      ? new AdamW(list, { lr: 1e-2 })
      : new Adafactor(list, { lr: 1e-2, relativeStep: false, scaleParameter: false });
  for (let step = 1; step < 6; step++) {
    applyRecorded(parameters, join(at, `gradients-${step}.safetensors`));
    optimizer.step();
  }
  saveModel(join(at, 'model.safetensors'), list);
  writeFileSync(join(at, 'optimizer.pt'), encodeTorch(optimizer.stateDict()));
  writeFileSync(join(at, 'optimizer-named.pt'), encodeTorch(optimizer.stateDict(), { parameterNames: names }));
  const losses = (mode: string): number[] =>
    JSON.parse(readFileSync(join(at, `losses-${mode}.json`), 'utf8')) as number[];
  const compare = (mode: string): void => {
    const single = losses('single');
    check(
      `${mode}, ${kind}: losses`,
      Math.max(...losses(mode).map((x, i) => Math.abs(x - single[i]!) / single[i]!)),
      5e-6,
    );
  };
  sh(python, [script, 'single', kind, at], 120);
  const torchrun = (mode: string): void => {
    sh(python, ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2', script, mode, kind, at], 180);
    compare(mode);
  };
  torchrun('ddp');
  torchrun('fsdp');
}

rmSync(folder, { recursive: true, force: true });
console.log(failed === 0 ? 'PyTorch agrees.' : `${failed} checks failed.`);
process.exit(failed === 0 ? 0 : 1);
