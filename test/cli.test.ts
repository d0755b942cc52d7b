/** The command line as a person runs it, bundled: from its source each run would take a second more. */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import {
  AdamW,
  getLinearScheduleWithWarmup,
  Parameter,
  type StateTensor,
  type StateValue,
  toBfloat16,
  toFloat16,
} from 'tensorless';
import { encodeTrainingState } from 'tensorless/checkpoint';
import { decodeSafetensors, encodeSafetensors } from 'tensorless/safetensors';
import { decodeTorch, encodeTorch } from 'tensorless/torch';
import { afterAll, describe, expect, it } from 'vitest';
import { COMMANDS } from '../src/command-line/help.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const vectors = join(root, 'test/vectors/checkpoints');
const folder = mkdtempSync(join(tmpdir(), 'tensorless-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

const program = join(folder, 'bundled/dist/cli.mjs');
buildSync({ entryPoints: [join(root, 'src/cli.ts')], outfile: program, bundle: true, platform: 'node', format: 'esm' });
copyFileSync(join(root, 'package.json'), join(folder, 'bundled/package.json'));

function run(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { cwd: root, encoding: 'utf8' });
  return { code: status, out: stdout, err: stderr };
}

function state(): Uint8Array {
  const weight = new Parameter(new Float32Array(6), [2, 3], { name: 'weight' });
  weight.grad = new Float32Array(6).fill(1);
  const optimizer = new AdamW([weight], { lr: 1e-3 });
  const scheduler = getLinearScheduleWithWarmup(optimizer, { numWarmupSteps: 0, numTrainingSteps: 10 });
  optimizer.step();
  scheduler.step();
  return encodeTrainingState({ parameters: [weight], optimizer, scheduler });
}

describe('tensorless inspect', () => {
  it('shows an optimizer.pt in lines of 80 columns', () => {
    const { code, out, err } = run('inspect', join(vectors, 'adafactor-relative-f32.optimizer.pt'));
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('PyTorch, state dict of an optimizer');
    expect(out).toContain('step 5');
    expect(out).toMatch(/state\.0\.exp_avg_sq_row {2}float32 {2}\[4\] +16/);
    expect(
      out
        .split('\n')
        .slice(1)
        .every((line) => line.length <= 80),
    ).toBe(true);
  });

  it('shows a training state, also as JSON', () => {
    const path = join(folder, 'run.safetensors');
    writeFileSync(path, state());
    expect(run('inspect', path).out).toMatch(/training state of tensorless: 1 parameter, optimizer, scheduler\n/);
    const json = JSON.parse(run('inspect', path, '--json').out) as Record<string, unknown>;
    expect(json).toMatchObject({ format: 'safetensors', step: 1, learningRates: [expect.closeTo(9e-4, 15)] });
    expect(json.tensors).toContainEqual({ name: 'weight', dtype: 'float32', shape: [2, 3], bytes: 24 });
  });

  it('shows any safetensors file, and a scheduler.pt', () => {
    expect(run('inspect', join(vectors, 'params.safetensors')).out).toMatch(/bf16 +bfloat16 +\[2\] +4/);
    const { out } = run('inspect', join(vectors, 'greedy-smooth.scheduler.pt'));
    expect(out).toContain('state dict of a scheduler');
    expect(out).toMatch(/learning rate 0\.\d+/);
  });
});

describe('tensorless inspect, further', () => {
  it('shows statistics of every tensor, and only the tensors that are asked for', () => {
    const path = join(folder, 'stats.safetensors');
    const values = Float32Array.of(Number.NaN, 3, -4, Number.POSITIVE_INFINITY);
    const bytes = encodeSafetensors({
      'layer.a': { dtype: 'float32', shape: [4], data: values },
      'layer.b': { dtype: 'float16', shape: [2], data: toFloat16([6, 8]) },
      other: { dtype: 'float8_e5m2', shape: [1], data: new Uint8Array(1) },
    });
    writeFileSync(path, bytes);
    const { out } = run('inspect', path, '--stats');
    expect(out).toMatch(/layer\.a +float32 +\[4\] +1 \+1 inf +-4 +3 +5\n/);
    expect(out).toMatch(/layer\.b +float16 +\[2\] +0 +6 +8 +10\n/);
    expect(out).toMatch(/other +float8_e5m2 +\[1\] +- +- +- +-\n/);
    const json = JSON.parse(run('inspect', path, '--stats', '--json', '--filter', 'la*r.b').out) as {
      tensors: unknown[];
    };
    expect(json.tensors).toEqual([
      {
        name: 'layer.b',
        dtype: 'float16',
        shape: [2],
        bytes: 4,
        stats: { nan: 0, infinite: 0, min: 6, max: 8, norm: 10 },
      },
    ]);
    expect(run('inspect', path, '--filter', 'nothing').out).toContain('0 tensors with 0 bytes (3 others not shown)');
  });

  it('shows the hyperparameters of every group', () => {
    const { out } = run('inspect', join(vectors, 'adamw-f16.optimizer.pt'));
    expect(out).toMatch(/group 0: \d+ parameters?, [\s\S]*betas \[0\.9, 0\.9/);
  });

  it('escapes names and metadata', () => {
    const path = join(folder, 'names.safetensors');
    const tensor = { dtype: 'uint8', shape: [1], data: new Uint8Array(1) };
    writeFileSync(path, encodeSafetensors({ 'a\u001b[2Jb\u202ec\n': tensor }, { 'k\u0007': 'v\u001b]0;x\u0007' }));
    const { out } = run('inspect', path);
    expect(out).toContain('a\\u001b[2Jb\\u202ec\\n');
    expect(out).toContain('k\\u0007: v\\u001b]0;x\\u0007');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the point
    expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
  });

  it('reads the header alone: a file of 5 GB takes no second', () => {
    const path = join(folder, 'huge.safetensors');
    const size = 5 * 2 ** 30;
    const header = `{"w":{"dtype":"F32","shape":[${size / 4}],"data_offsets":[0,${size}]}}`;
    const head = new Uint8Array(8 + header.length);
    new DataView(head.buffer).setBigUint64(0, BigInt(header.length), true);
    head.set(new TextEncoder().encode(header), 8);
    writeFileSync(path, head);
    truncateSync(path, head.length + size);
    const begun = performance.now();
    expect(run('inspect', path).out).toMatch(/w +float32 +\[1342177280\] +5,368,709,120/);
    console.log(`inspect of 5 GB: ${(performance.now() - begun).toFixed(0)} ms`);
    rmSync(path);
  });

  it('ends quietly when the pipe closes', () => {
    const path = join(folder, 'many.safetensors');
    const tensor = { dtype: 'uint8', shape: [1], data: new Uint8Array(1) };
    writeFileSync(
      path,
      encodeSafetensors(Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`t${i}`, tensor]))),
    );
    const command = `"${process.execPath}" "${program}" inspect "${path}" | head -n 1`;
    const { stdout, stderr } = spawnSync('sh', ['-c', command], { cwd: root, encoding: 'utf8' });
    expect([stdout.split('\n').length, stderr]).toEqual([2, '']);
  });

  it('takes what only looks like an optimizer for data', () => {
    const path = join(folder, 'odd.pt');
    writeFileSync(path, encodeTorch({ state: {}, param_groups: 5 }));
    expect(run('inspect', path)).toMatchObject({ code: 0, out: expect.stringContaining('PyTorch, data') });
  });
});

describe('tensorless convert', () => {
  it.each([
    'adafactor-relative-f32.optimizer.pt',
    'adafactor-beta1-bf16.optimizer.pt',
    'adamw-f16.optimizer.pt',
    'greedy-smooth.scheduler.pt',
  ])('%s to safetensors and back loses nothing', (name) => {
    const there = join(folder, `${name}.safetensors`);
    const back = join(folder, name);
    expect(run('convert', join(vectors, name), there).out).toMatch(/bytes\n$/);
    expect(run('convert', there, back).code).toBe(0);
    expect(decodeTorch(readFileSync(back))).toEqual(decodeTorch(readFileSync(join(vectors, name))));
  });

  it('takes one part only where that is said, and says what it leaves out; folders’ names decide nothing', () => {
    const inner = join(folder, 'scheduler-runs');
    mkdirSync(inner, { recursive: true });
    const path = join(inner, 'both.safetensors');
    writeFileSync(path, state());
    const bare = run('convert', path, join(inner, 'optimizer.pt'));
    expect([bare.code, bare.out, existsSync(join(inner, 'optimizer.pt'))]).toEqual([1, '', false]);
    expect(bare.err).toMatch(/holds more than would be written \(the scheduler, 1 weight\): say --only optimizer or/);
    for (const [only, key, left] of [
      ['optimizer', 'param_groups', 'the scheduler, 1 weight'],
      ['scheduler', 'last_epoch', 'the optimizer, 1 weight'],
      ['model', 'weight', 'the optimizer, the scheduler'],
    ] as const) {
      const to = join(inner, `${only}.pt`);
      const { code, out } = run('convert', path, to, '--only', only);
      expect([code, out]).toEqual([0, expect.stringContaining(`(left out: ${left}), `)]);
      expect(decodeTorch(readFileSync(to))).toHaveProperty(key);
    }
    const part = join(inner, 'weights.safetensors');
    expect(run('convert', path, part, '--only', 'model').code).toBe(0);
    expect(Object.keys(decodeSafetensors(readFileSync(part)).tensors)).toEqual(['weight']);
  });

  it('takes the optimizer out of a general checkpoint, and models there and back', () => {
    const weight = { dtype: 'float32', shape: [2], data: Float32Array.of(1, 2) };
    const optimizer = decodeTorch(readFileSync(join(vectors, 'adamw-f16.optimizer.pt'))) as Record<string, StateValue>;
    const path = join(folder, 'general.pt');
    writeFileSync(path, encodeTorch({ model: { weight }, optimizer, epoch: 3 }));
    const to = join(folder, 'general.safetensors');
    expect(run('convert', path, to).err).toMatch(/\(1 weight, epoch\): say --only optimizer or --only model/);
    expect(run('convert', path, to, '--only', 'optimizer').out).toContain('(left out: 1 weight, epoch)');
    expect(run('inspect', to).out).toContain('training state of tensorless: optimizer');
    const model = join(folder, 'model.safetensors');
    expect(run('convert', path, model, '--only', 'model').code).toBe(0);
    const { tensors, metadata } = decodeSafetensors(readFileSync(model));
    expect([{ ...tensors }, { ...metadata }]).toEqual([{ weight }, { format: 'pt' }]);
    expect(run('convert', model, join(folder, 'model.pt')).out).toMatch(/model\.pt: 1 weight, [\d,]+ bytes\n$/);
    expect(decodeTorch(readFileSync(join(folder, 'model.pt')))).toEqual({ weight });
  });

  it('replaces a file only with --force, and never the one that it reads', () => {
    const from = join(folder, 'own.pt');
    writeFileSync(from, readFileSync(join(vectors, 'greedy-smooth.scheduler.pt')));
    const to = join(folder, 'own.safetensors');
    expect(run('convert', from, to).code).toBe(0);
    const before = readFileSync(to);
    expect(run('convert', from, to).err).toMatch(/own\.safetensors exists; --force replaces it\n$/);
    expect(run('convert', from, to, '--force').code).toBe(0);
    expect(readFileSync(to)).toEqual(before);
    symlinkSync(to, join(folder, 'link.pt'));
    const own = run('convert', to, join(folder, 'link.pt'), '--force');
    expect([own.code, own.err]).toEqual([1, expect.stringMatching(/is the file that is read/)]);
    expect(readFileSync(to)).toEqual(before);
  });
});

describe('tensorless diff', () => {
  it('says which tensors differ and how far, and nothing of those that do not', () => {
    const make = (x: number, more: Record<string, StateTensor> = {}): Uint8Array =>
      encodeSafetensors({
        same: { dtype: 'float32', shape: [3], data: Float32Array.of(1, Number.NaN, 3) },
        moved: { dtype: 'bfloat16', shape: [3], data: toBfloat16([1, x, 3]) },
        ...more,
      });
    const [a, b, c] = ['a', 'b', 'c'].map((name) => join(folder, `diff-${name}.safetensors`)) as [
      string,
      string,
      string,
    ];
    writeFileSync(a, make(2));
    writeFileSync(b, make(2.5, { extra: { dtype: 'int8', shape: [1], data: new Uint8Array(1) } }));
    writeFileSync(c, make(2));
    const { code, out } = run('diff', a, b);
    expect(code).toBe(1);
    expect(out).toContain('1 tensor the same, 2 different');
    expect(out).toMatch(/moved +values +1 +0\.5\n/);
    expect(out).toMatch(/extra +only in the second/);
    expect(out).not.toMatch(/^ +same/m);
    expect(run('diff', a, c)).toEqual({ code: 0, out: '2 tensors the same, 0 different\n', err: '' });
    expect(run('diff', a, b, '--filter', 'sa').code).toBe(0);
  });

  it('compares the numbers beside the arrays, also of a PyTorch file', () => {
    const there = join(folder, 'same.safetensors');
    const from = join(vectors, 'adamw-f16.optimizer.pt');
    run('convert', from, there);
    expect(run('diff', from, there).out).toMatch(/^[1-9]\d* tensors the same, 0 different\n/);
    const scheduler = join(vectors, 'adafactor-relative-f32.scheduler.pt');
    // A whole run beside one state dict, and beside a checkpoint with other keys for the same parts.
    const [whole, part, general] = ['whole.safetensors', 'part.pt', 'general.pt'].map((name) => join(folder, name));
    const weight = new Parameter(Float32Array.of(1, 2), [2], { name: 'layer/w' });
    const optimizer = new AdamW([weight]);
    weight.grad = Float32Array.of(1, -1);
    optimizer.step();
    const tensor = { dtype: 'float32', shape: [2], data: weight.data };
    writeFileSync(whole!, encodeTrainingState({ parameters: [weight], optimizer }));
    writeFileSync(part!, encodeTorch(optimizer.stateDict()));
    writeFileSync(general!, encodeTorch({ net: { 'layer/w': tensor }, optimizer_state_dict: optimizer.stateDict() }));
    expect(run('diff', whole!, part!).out).toMatch(
      /^2 tensors the same, 1 different\n.*\n {2}layer\/w +only in the first\n$/s,
    );
    expect(run('diff', whole!, general!)).toEqual({ code: 0, out: '3 tensors the same, 0 different\n', err: '' });
    expect(run('diff', from, from).code).toBe(0);
    expect(run('diff', from, scheduler).out).toMatch(/optimizer\.param_groups\.0\.lr: .* and not there/);
  });
});

it('tensorless lr draws in 80 columns, without colour, where there is no terminal', () => {
  const { code, out } = run('lr', 'cosine', '--warmup', '100', '--steps', '1000');
  expect(code).toBe(0);
  expect(out).toContain('cosine, warmup 100, steps 1000');
  expect(out.split('\n').every((line) => line.length <= 80)).toBe(true);
  expect(out).not.toContain('\u001b');
});

describe('tensorless refuses in one sentence, with status 1 and nothing written', () => {
  const broken = join(folder, 'broken.pt');
  writeFileSync(broken, readFileSync(join(vectors, 'values.pt')).subarray(0, 900));
  const target = join(folder, 'target.safetensors');
  it.each<[string[], RegExp]>([
    [['inspect', join(folder, 'nowhere.pt')], /nowhere\.pt: there is no such file\n$/],
    [['inspect', folder], /it is a folder\n$/],
    [['inspect', broken], /broken\.pt: zip: no end record; the file is cut off, or is no zip archive\n$/],
    [['inspect', join(root, 'package.json')], /package\.json: .*header/],
    [['convert', broken, target], /no end record/],
    [['convert', join(vectors, 'values.pt'), target], /holds no state dict/],
    [
      ['convert', join(vectors, 'params.safetensors'), join(folder, 'x.pt'), '--only', 'optimizer'],
      /holds no optimizer/,
    ],
    [['convert', join(vectors, 'params.safetensors'), join(folder, 'x.pt'), '--only', 'all'], /--only must be one of/],
    [
      ['inspect', join(vectors, 'params.safetensors'), '--force'],
      /inspect has no option --force; see tensorless inspect --help/,
    ],
    [['inspect'], /tensorless inspect: FILE is missing; see tensorless inspect --help\n$/],
    [['diff', 'a'], /tensorless diff: B is missing/],
    [['diff', join(vectors, 'params.safetensors'), join(folder, 'nowhere')], /nowhere: there is no such file/],
    [['convert', join(vectors, 'values.pt'), join(folder, 'x.bin')], /must end in \.pt or \.safetensors/],
    [
      ['convert', join(vectors, 'adamw-f16.optimizer.pt'), join(folder, 'no/such/x.safetensors')],
      /x\.safetensors: there is no folder .*no\/such; make it first\n$/,
    ],
    [['explode'], /"tensorless explode" is no command: inspect, diff, convert, lr; see tensorless --help\n$/],
    [['inspect', 'a', 'b'], /takes FILE alone, got b too/],
    [['lr', 'cosin'], /schedule must be one of .*got "cosin"\. Did you mean "cosine"\?\n$/],
    [['inspect', broken, '--yaml'], /Unknown option '--yaml'; see tensorless inspect --help\n$/],
  ])('%j', (args, message) => {
    const { code, out, err } = run(...args);
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(message);
    expect(err.trim().split('\n')).toHaveLength(1);
    expect(existsSync(target)).toBe(false);
  });

  it('helps, and tells its version', () => {
    for (const args of [[], ['--help']]) {
      const { code, out } = run(...args);
      expect(code).toBe(0);
      expect(out).toContain('tensorless inspect FILE');
      expect(out.split('\n').every((line) => line.length <= 80)).toBe(true);
    }
    expect(run('lr', '--help').out).toBe(COMMANDS.lr.help);
    expect(run('help', 'convert').out).toBe(COMMANDS.convert.help);
    for (const [name, { help }] of Object.entries(COMMANDS)) {
      expect(help).toMatch(new RegExp(`^tensorless ${name} `));
      expect(help.split('\n').every((line) => line.length <= 80)).toBe(true);
    }
    expect(run('--version').out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
