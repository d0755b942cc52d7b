/** The command line as a person runs it. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AdamW, getLinearScheduleWithWarmup, Parameter } from 'tensorless';
import { encodeTrainingState } from 'tensorless/checkpoint';
import { decodeTorch } from 'tensorless/torch';
import { afterAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const vectors = join(root, 'test/vectors/checkpoints');
const folder = mkdtempSync(join(tmpdir(), 'tensorless-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

function run(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', join(root, 'src/cli.ts'), ...args],
    { cwd: root, encoding: 'utf8' },
  );
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
    expect(run('inspect', path).out).toMatch(/training state of tensorless: 1 parameters, optimizer, scheduler\n/);
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

  it('takes the part that the new name asks for', () => {
    const path = join(folder, 'both.safetensors');
    writeFileSync(path, state());
    for (const [to, key] of [
      ['optimizer.pt', 'param_groups'],
      ['scheduler.pt', 'last_epoch'],
    ] as const) {
      expect(run('convert', path, join(folder, to)).code).toBe(0);
      expect(decodeTorch(readFileSync(join(folder, to)))).toHaveProperty(key);
    }
  });
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
    [['convert', join(vectors, 'params.safetensors'), join(folder, 'x.pt')], /holds no state of/],
    [['convert', join(vectors, 'values.pt'), join(folder, 'x.bin')], /must end in \.pt or \.safetensors/],
    [['convert', join(vectors, 'adamw-f16.optimizer.pt'), join(folder, 'no/such/x.safetensors')], /ENOENT/],
    [['explode'], /"tensorless explode" is no command; see tensorless --help\n$/],
    [['inspect', 'a', 'b'], /is no command/],
    [['inspect', broken, '--yaml'], /Unknown option '--yaml'; see tensorless --help\n$/],
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
    expect(run('--version').out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
