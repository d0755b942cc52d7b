/**
 * The demo as a person runs it: a process that is watched, interrupted, killed and resumed. It is
 * bundled first: from its source each run would take a second more.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { encodeTrainingState } from 'tensorless/checkpoint';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const STEPS = '150';
/** One of each kind; what is interrupted more often is shown by `npm run test:kills`. */
const KILLS = 2;

// Beside the packages that it looks up.
const program = join(root, 'node_modules/.cache/tensorless/demo.mjs');
buildSync({
  entryPoints: [join(root, 'docs/examples/demo.ts')],
  outfile: program,
  bundle: true,
  platform: 'node',
  format: 'esm',
});

interface Result {
  code: number | null;
  signal: NodeJS.Signals | null;
  out: string;
  err: string;
}

/** Runs the demo; `watch` sees the process once training has begun. */
function demo(args: string[], watch?: (child: ChildProcess) => void): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], { cwd: root });
    let out = '';
    let err = '';
    let watching = watch;
    child.stdout.on('data', (chunk) => {
      out += chunk;
      if (!out.includes('schedule, seed')) return;
      watching?.(child);
      watching = undefined;
    });
    child.stderr.on('data', (chunk) => (err += chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, out, err }));
  });
}

const hashOf = ({ out }: Result): string | undefined => /\b[0-9a-f]{64}\b/.exec(out)?.[0];
const folder = mkdtempSync(join(tmpdir(), 'tensorless-demo-'));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

let whole: Result;
beforeAll(async () => {
  whole = await demo(['--steps', STEPS, '--out', at('whole')]);
});

describe('npm run demo', () => {
  it('learns, and says so in plain lines when nobody can see a bar', () => {
    expect(whole.err).toBe('');
    expect(whole.code).toBe(0);
    expect(whole.out).not.toContain('\r');
    expect(whole.out.split('\n').every((line) => line.length <= 80 || line.startsWith('Picture'))).toBe(true);
    expect(whole.out).toMatch(/^150\/150 {2}loss \d\.\d{3} {2}lr \S+ {2}\d+ steps\/s {2}0:00 left$/m);
    const [, before, after] = /loss\s+([\d.]+) before, ([\d.]+) after/.exec(whole.out)!.map(Number);
    const entropy = Number(/entropy of\s+single letters: ([\d.]+)/.exec(whole.out)![1]);
    expect(before).toBeGreaterThan(entropy);
    expect(after).toBeLessThan(entropy - 0.4);
    expect(whole.out).toMatch(/^Adafactor state {6}3,492 bytes {2}▏$/m);
    expect(whole.out).toMatch(/^AdamW would hold {3}343,320 bytes {2}█+$/m);
    for (const step of [0, 25, 50, 100, 150])
      expect(whole.out).toMatch(new RegExp(`^  step ${String(step).padStart(3)}  +\\w+  \\w+`, 'm'));
    expect(readFileSync(at('whole/demo.svg'), 'utf8')).toContain('nats per letter');
  });

  it('ends with the same weights on every machine', () => {
    expect(hashOf(whole)).toMatchInlineSnapshot(`"f2a9d2fb5de1f732f29d853d356834ecacde06cdef4de68cc1fb355ceb188457"`);
  });

  it('ends with the same weights after SIGKILL and Ctrl-C at random moments', async () => {
    const out = at('killed');
    const log: string[] = [];
    let kills = 0;
    let result: Result;
    do {
      const signal = kills % 2 === 0 ? 'SIGKILL' : 'SIGINT';
      const delay = Math.random() * 1800;
      const begun = existsSync(join(out, 'run.safetensors'));
      const args = ['--out', out, ...(begun ? ['--resume'] : ['--steps', STEPS])];
      result = await demo(args, (child) => kills < KILLS && setTimeout(() => child.kill(signal), delay));
      if (kills < KILLS)
        log.push(`${signal} after ${delay.toFixed(0)} ms: ${/after step \d+/.exec(result.out)?.[0] ?? 'new'}`);
      if (result.signal === null && result.code === 130)
        expect(result.out).toContain(`Go on with: npm run demo -- --resume --out ${out}`);
      kills++;
    } while (hashOf(result) === undefined && kills < KILLS + 7);
    console.log(log.join('\n'));
    expect(result.code).toBe(0);
    expect(hashOf(result)).toBe(hashOf(whole));
    expect(readFileSync(join(out, 'demo.svg'), 'utf8')).toBe(readFileSync(at('whole/demo.svg'), 'utf8'));
    expect(readdirSync(out).filter((name) => !name.endsWith('.tmp'))).toEqual(['demo.svg', 'run.safetensors']);
  });

  it('saves on Ctrl-C, exits with 130, and keeps the unfinished run when a new one starts', async () => {
    const out = at('kept');
    const stopped = await demo(['--steps', '5000', '--out', out], (child) =>
      setTimeout(() => child.kill('SIGINT'), 300),
    );
    expect(stopped.code).toBe(130);
    const saved = readFileSync(join(out, 'run.safetensors'));
    const refused = await demo(['--resume', '--seed', '2', '--out', out]);
    expect(refused.code).toBe(1);
    expect(refused.err).toBe('This run was started with --seed 1; it goes on without --seed 2 only.\n');
    expect(readFileSync(join(out, 'run.safetensors'))).toEqual(saved);
    const next = await demo(['--steps', '1', '--out', out]);
    expect(next.code).toBe(0);
    expect(readFileSync(join(out, 'run.safetensors.previous'))).toEqual(saved);
  });
});

describe('npm run demo refuses with one sentence', () => {
  const refusal = async (bytes: Uint8Array, message: RegExp): Promise<void> => {
    const out = mkdtempSync(join(folder, 'bad-'));
    const path = join(out, 'run.safetensors');
    writeFileSync(path, bytes);
    const { code, out: said, err } = await demo(['--resume', '--out', out]);
    expect(code).toBe(1);
    expect(said).toBe('');
    expect(err).toMatch(message);
    expect(err.trim().split('\n')).toHaveLength(1);
    expect(readFileSync(path)).toEqual(Buffer.from(bytes));
  };

  it('a truncated checkpoint', () => {
    const bytes = readFileSync(at('whole/run.safetensors'));
    return refusal(bytes.subarray(0, bytes.length - 100), /^The checkpoint cannot be used and is left as it is: /);
  });
  it('a damaged checkpoint', () => {
    const bytes = readFileSync(at('whole/run.safetensors'));
    bytes[40] = 0xff;
    return refusal(bytes, /^The checkpoint cannot be used and is left as it is: /);
  });
  it('a checkpoint of another program', () =>
    refusal(encodeTrainingState({ extra: { epoch: 3 } }), /was not written by this demo; it is left as it is\.\n$/));
  it('a file that is no checkpoint', () => refusal(Buffer.from('hello'), /is left as it is: /));
  it('a checkpoint that is not there', async () => {
    const { code, err } = await demo(['--resume', '--out', at('nowhere')]);
    expect([code, err]).toEqual([
      1,
      `There is no run to go on with at ${at('nowhere/run.safetensors')}; start one without --resume.\n`,
    ]);
  });
  it.each([
    [['--steps', '0'], '--steps must be a whole number from 1 to 2147483647, got "0".\n'],
    [['--steps', '1.5'], '--steps must be a whole number from 1 to 2147483647, got "1.5".\n'],
    [['--schedule', 'plateau'], /^--schedule must be one of constant, .*; got "plateau"\.\n$/],
    [['--optimizer', 'sgd'], '--optimizer must be one of adafactor, adamw; got "sgd".\n'],
    [['--step', '3'], /^Unknown option '--step'.* See --help\.\n$/],
  ])('%j', async (args, message) => {
    const { code, err } = await demo(args as string[]);
    expect(code).toBe(1);
    expect(err).toMatch(message);
  });
  it('nothing when asked for help', async () => {
    const { code, out, err } = await demo(['--help']);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('--resume');
    expect(out.split('\n').every((line) => line.length <= 80)).toBe(true);
  });
});
