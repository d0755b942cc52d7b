/**
 * Paths as people have them: links, devices, long names, file: URLs; whose a file is; what killed
 * saves leave.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Adafactor, AdamW, GradientAccumulator, Parameter } from 'tensorless';
import { type ByteSource, CheckpointError, encodeTrainingState, readTrainingState } from 'tensorless/checkpoint';
import { fileSource, loadTorch, loadTrainingState, saveTorch, saveTrainingState } from 'tensorless/node';
import { bytesSource } from 'tensorless/safetensors';
import { afterAll, describe, expect, it, vi } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tensorless-disk-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const inner = (): string => mkdtempSync(join(folder, 'x-'));
const asRoot = process.getuid?.() === 0;

const parts = (n: number, length = 100) => ({
  parameters: [new Parameter(new Float32Array(length).fill(n), [length], { name: 'w' })],
  extra: n,
});
const loaded = async (path: string | URL): Promise<unknown> => {
  const live = parts(-1);
  const extra = await loadTrainingState(path, live);
  expect(live.parameters[0]!.data.every((x) => x === extra)).toBe(true);
  return extra;
};

describe('a path', () => {
  it(
    'through symbolic links stays a link: what it leads to is replaced, also where it leads to nothing ' + 'yet',
    async () => {
      const at = inner();
      mkdirSync(join(at, 'real'));
      symlinkSync('real/run.safetensors', join(at, 'one'));
      symlinkSync('one', join(at, 'two'));
      for (const n of [1, 2]) {
        await saveTrainingState(join(at, 'two'), parts(n));
        expect(lstatSync(join(at, 'one')).isSymbolicLink() && lstatSync(join(at, 'two')).isSymbolicLink()).toBe(true);
        expect(await loaded(join(at, 'real/run.safetensors'))).toBe(n);
        expect(await loaded(join(at, 'two'))).toBe(n);
      }
      expect([readdirSync(at).sort(), readdirSync(join(at, 'real'))]).toEqual([
        ['one', 'real', 'two'],
        ['run.safetensors'],
      ]);
      symlinkSync('b', join(at, 'a'));
      symlinkSync('a', join(at, 'b'));
      await expect(saveTrainingState(join(at, 'a'), parts(1))).rejects.toMatchObject({ code: 'ELOOP' });
    },
  );

  it('through a link in a folder that is itself reached by a link: `..` is that of the folder', async () => {
    const at = inner();
    mkdirSync(join(at, 'deep/er'), { recursive: true });
    symlinkSync('deep/er', join(at, 'short'));
    symlinkSync('../run.safetensors', join(at, 'deep/er/up'));
    for (const n of [1, 2]) {
      await saveTrainingState(join(at, 'short/up'), parts(n));
      expect(await loaded(join(at, 'short/up'))).toBe(n);
      expect(await loaded(join(at, 'deep/run.safetensors'))).toBe(n);
    }
    expect(readdirSync(at).sort()).toEqual(['deep', 'short']);
  });

  it('of a folder, a FIFO or a device is refused, for saving and loading, and nothing waits', async () => {
    const at = inner();
    const fifo = join(at, 'fifo');
    execFileSync('mkfifo', [fifo]);
    for (const [path, code] of [
      [at, 'EISDIR'],
      [fifo, 'EINVAL'],
      ['/dev/null', 'EINVAL'],
    ] as const) {
      await expect(saveTrainingState(path, parts(1))).rejects.toMatchObject({ code });
      await expect(loadTrainingState(path, parts(1))).rejects.toMatchObject({ code });
      await expect(loadTorch(path)).rejects.toMatchObject({ code });
    }
    expect(lstatSync(fifo).isFIFO()).toBe(true);
    expect(readdirSync(at)).toEqual(['fifo']);
  });

  it.each([
    ['255 bytes', 'n'.repeat(255)],
    ['255 bytes of two-byte letters', `${'ä'.repeat(127)}x`],
    ['spaces, quotes, newlines', ' a "b"\n\'c\' %20?#'],
    ['a leading dot and tmp', '.run.tmp'],
  ])('may have any legal name: %s', async (_, name) => {
    const at = inner();
    await saveTrainingState(join(at, name), parts(4));
    await saveTrainingState(pathToFileURL(join(at, name)), parts(5));
    expect(readdirSync(at)).toEqual([name]);
    expect(await loaded(pathToFileURL(join(at, name)))).toBe(5);
  });

  it('that is none is refused', async () => {
    for (const wrong of ['', 3, null, new URL('https://example.org/x'), 'a\0b']) {
      await expect(saveTrainingState(wrong as never, parts(1))).rejects.toThrow(TypeError);
      await expect(loadTrainingState(wrong as never, parts(1))).rejects.toThrow(TypeError);
      await expect(fileSource(wrong as never)).rejects.toThrow(TypeError);
    }
    await expect(saveTrainingState(join(folder, 'x'), parts(1), { snapshots: true } as never)).rejects.toThrow(
      RangeError,
    );
    await expect(loadTrainingState(join(folder, 'x'), parts(1), { inPlace: 1 } as never)).rejects.toThrow(TypeError);
  });

  it('is that of the call, whatever folder the process goes to', () => {
    const at = inner();
    const other = inner();
    const script = `
      import { saveTrainingState } from 'tensorless/node';
      import { Parameter } from 'tensorless';
      const saving = saveTrainingState('run.safetensors', { parameters: [new Parameter(new Float32Array(1e6), [1e6], { name: 'w' })] });
      process.chdir(${JSON.stringify(other)});
      await saving;`;
    const { status, stderr } = spawnSync(
      process.execPath,
      [
        '--import',
        `${root}node_modules/tsx/dist/loader.mjs`,
        '--input-type=module',
        '-e',
        script
          .replaceAll("'tensorless/node'", JSON.stringify(`${root}src/node.ts`))
          .replaceAll("'tensorless'", JSON.stringify(`${root}src/index.ts`)),
      ],
      { cwd: at, encoding: 'utf8' },
    );
    expect([status, stderr]).toEqual([0, '']);
    expect([readdirSync(at), readdirSync(other)]).toEqual([['run.safetensors'], []]);
  });
});

describe('saves to one path', () => {
  it('are done in the order of their calls: the last call’s state stays', async () => {
    const at = inner();
    const path = join(at, 'run');
    symlinkSync('run', join(at, 'link'));
    for (let round = 0; round < 5; round++) {
      const saves = [
        saveTrainingState(path, parts(1, 3_000_000)),
        saveTrainingState(join(at, 'link'), parts(2)),
        saveTrainingState(pathToFileURL(path), parts(3)),
      ];
      await Promise.all(saves);
      expect(await loaded(path)).toBe(3);
    }
    expect(readdirSync(at).sort()).toEqual(['link', 'run']);
  });

  it('a failed one does not stop the next', async () => {
    const path = join(inner(), 'run');
    const failing = saveTrainingState(path, { extra: () => 1 });
    const saving = saveTrainingState(path, parts(2));
    await expect(failing).rejects.toThrow(TypeError);
    await saving;
    expect(await loaded(path)).toBe(2);
  });
});

describe('a replaced file', () => {
  it('keeps its permissions, whatever the umask, and its owner', async () => {
    const path = join(inner(), 'run');
    await saveTrainingState(path, parts(1));
    const umask = process.umask(0o077);
    try {
      for (const mode of [0o666, 0o640, 0o600]) {
        chmodSync(path, mode);
        await saveTrainingState(path, parts(2));
        expect(statSync(path).mode & 0o7777).toBe(mode);
      }
    } finally {
      process.umask(umask);
    }
    if (!asRoot) {
      console.log('owner: skipped, only root may give files away');
      return;
    }
    chownSync(path, 12345, 54321);
    await saveTrainingState(path, parts(3));
    expect([statSync(path).uid, statSync(path).gid]).toEqual([12345, 54321]);
  });
});

describe('leftovers', () => {
  it('of killed saves to a path are removed by the next; others’ and live writers’ files stay', async () => {
    const at = inner();
    const path = join(at, 'run.safetensors');
    const dead = spawnSync(process.execPath, ['-e', 'console.log(process.pid)'], { encoding: 'utf8' });
    // The name of a temporary file, as a save that fails in the middle shows it.
    let seen = '';
    const probe = await fs.open(join(at, 'probe'), 'w');
    const prototype = Object.getPrototypeOf(probe) as { sync(): Promise<void> };
    await probe.close();
    rmSync(join(at, 'probe'));
    const spy = vi.spyOn(prototype, 'sync').mockImplementation(() => {
      seen = readdirSync(at)[0]!;
      return Promise.reject(new Error('stop'));
    });
    await expect(saveTrainingState(path, parts(1))).rejects.toThrow('stop');
    spy.mockRestore();
    expect(readdirSync(at)).toEqual([]);
    const [, head, host] = /^(\..*\.[0-9a-f]{8}\.)([0-9a-f]{6})-\d+-\d+-[0-9a-f]{12}\.tmp$/.exec(seen)!;
    const name = (pid: number, where = host, before = head): string => `${before}${where}-${pid}-0-0123456789ab.tmp`;
    const removed = [
      name(Number(dead.stdout)),
      name(process.pid),
      '.run.safetensors.12345678-1234-1234-1234-123456789abc.tmp',
    ];
    const kept = [
      name(process.ppid),
      name(1, 'ffffff'),
      name(Number(dead.stdout), host, '.other.safetensors.01234567.'),
      '.run.safetensors.tmp',
      'run.safetensors.bak',
    ];
    for (const one of [...removed, ...kept]) writeFileSync(join(at, one), 'x');
    const old = new Date(Date.now() - 2 * 3600_000);
    utimesSync(join(at, removed[2]!), old, old);
    await saveTrainingState(path, parts(2));
    expect(readdirSync(at).sort()).toEqual([...kept, 'run.safetensors'].sort());
  });
});

describe('a full disk', () => {
  it('keeps the old file, and leaves no other', async () => {
    if (!asRoot || spawnSync('mount', ['--version']).status !== 0) {
      console.log('full disk: skipped, only root may mount one of a few megabytes');
      return;
    }
    const at = inner();
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', at], { encoding: 'utf8' });
    if (mounted.status !== 0) {
      console.log(`full disk: skipped, no tmpfs here: ${mounted.stderr.trim()}`);
      return;
    }
    try {
      const path = join(at, 'run');
      await saveTrainingState(path, parts(1));
      await expect(saveTrainingState(path, parts(2, 2_000_000))).rejects.toMatchObject({ code: 'ENOSPC' });
      await expect(
        saveTorch(path, { w: { dtype: 'float32', shape: [2e6], data: new Float32Array(2e6) } }),
      ).rejects.toMatchObject({ code: 'ENOSPC' });
      expect(await loaded(path)).toBe(1);
      expect(readdirSync(at)).toEqual(['run']);
    } finally {
      spawnSync('umount', [at]);
    }
  });
});

/** A run with state of every kind, so many numbers a parameter. */
function wholeRun(fill: number, length = 300_000) {
  const big = new Parameter(new Float32Array(length).fill(fill), [length / 100, 100], { name: 'big' });
  const small = new Parameter(new Uint16Array(5).fill(0x3f80), [5], { name: 'small', dtype: 'bfloat16' });
  const wide = new Parameter(new Float64Array(1000).fill(fill), [1000], { name: 'wide' });
  const parameters = [big, small, wide];
  const optimizer = new AdamW(parameters);
  const accumulator = new GradientAccumulator(parameters);
  const step = (t: number): void => {
    big.grad = new Float32Array(length).map((_, k) => Math.sin(k + t));
    small.grad = new Float32Array(5).fill(t);
    wide.grad = new Float64Array(1000).fill(t);
    accumulator.add();
    optimizer.step();
  };
  const state = () => [parameters.map((p) => p.data), optimizer.stateDict(), accumulator.stateDict()];
  return { parts: { parameters, optimizer, accumulator }, step, state };
}

describe('piece by piece', () => {
  it('the file is that of encodeTrainingState, with a snapshot and without', async () => {
    const run = wholeRun(1);
    run.step(1);
    const expected = encodeTrainingState(run.parts);
    for (const snapshot of [true, false]) {
      const path = join(inner(), 'run');
      await saveTrainingState(path, run.parts, { snapshot });
      expect(readFileSync(path).equals(expected)).toBe(true);
    }
  });

  it('a snapshot is the state of the call', async () => {
    const run = wholeRun(1);
    run.step(1);
    const path = join(inner(), 'run');
    const before = structuredClone(run.state());
    const saving = saveTrainingState(path, run.parts);
    run.step(2);
    await saving;
    const other = wholeRun(0);
    await loadTrainingState(path, other.parts);
    expect(other.state()).toEqual(before);
  });

  it.each([false, true])(
    'loading (inPlace: %s) into a fresh run and one that has gone on gives the same run',
    async (inPlace) => {
      const run = wholeRun(1);
      run.step(1);
      run.step(2);
      const path = join(inner(), 'run');
      await saveTrainingState(path, { ...run.parts, extra: { epoch: 1 } });
      const fresh = wholeRun(0);
      const used = wholeRun(5);
      used.step(7);
      const arrays = used.parts.parameters.map((p) => p.data);
      for (const one of [fresh, used]) {
        expect(await loadTrainingState(path, one.parts, { inPlace })).toEqual({ epoch: 1 });
        expect(one.state()).toEqual(run.state());
      }
      expect(used.parts.parameters.every((p, i) => p.data === arrays[i])).toBe(true);
      run.step(3);
      for (const one of [fresh, used]) {
        one.step(3);
        expect(one.state()).toEqual(run.state());
      }
    },
  );

  it('also where weights are in shared memory, and state is factored', async () => {
    const make = (fill: number) => {
      const data = new Float32Array(new SharedArrayBuffer(4 * 200_000)).fill(fill);
      const parameters = [new Parameter(data, [400, 500], { name: 'w' })];
      return { parameters, optimizer: new Adafactor(parameters, { beta1: 0.5 }) };
    };
    const run = make(1);
    run.parameters[0]!.grad = new Float32Array(200_000).fill(1);
    run.optimizer.step();
    const path = join(inner(), 'run');
    await saveTrainingState(path, run, { snapshot: false });
    for (const inPlace of [true, false]) {
      const other = make(0);
      await loadTrainingState(path, other, { inPlace });
      expect(other.parameters[0]!.data).toEqual(run.parameters[0]!.data);
      expect(other.optimizer.stateDict()).toEqual(run.optimizer.stateDict());
    }
  });

  /** A source whose reads fail after so many bytes. */
  function failing(bytes: Uint8Array, after: number): ByteSource {
    const inner = bytesSource(bytes);
    let given = 0;
    return {
      size: inner.size,
      async read(offset, into) {
        given += into.length;
        if (given > after) throw new Error('the disk is gone');
        await inner.read(offset, into);
      },
    };
  }

  it('a disk that fails half-way changes nothing; in place, the error says that the run is torn', async () => {
    const run = wholeRun(1);
    run.step(1);
    const bytes = encodeTrainingState(run.parts);
    const other = wholeRun(5);
    other.step(4);
    const before = structuredClone(other.state());
    await expect(readTrainingState(failing(bytes, 2_000_000), other.parts)).rejects.toThrow('the disk is gone');
    expect(other.state()).toEqual(before);
    const torn = readTrainingState(failing(bytes, 2_000_000), other.parts, { inPlace: true });
    await expect(torn).rejects.toThrow(/the run is torn.*the disk is gone/);
    await expect(torn).rejects.toBeInstanceOf(CheckpointError);
    await readTrainingState(bytesSource(bytes), other.parts, { inPlace: true });
    expect(other.state()).toEqual(run.state());
  });

  it('in place, what does not fit is refused before anything changes', async () => {
    const run = wholeRun(1);
    run.step(1);
    const bytes = encodeTrainingState(run.parts);
    const other = wholeRun(5);
    other.step(4);
    const before = structuredClone(other.state());
    const stranger = new Adafactor([new Parameter(new Float32Array(2), [2], { name: 'big' })]);
    const mixed = { ...other.parts, optimizer: stranger };
    await expect(readTrainingState(bytesSource(bytes), mixed, { inPlace: true })).rejects.toThrow(
      /optimizer does not fit/,
    );
    expect(other.state()).toEqual(before);
  });
});

describe('fileSource', () => {
  it('reads at any place, several reads at a time, and closes', async () => {
    const path = join(inner(), 'bytes');
    const bytes = new Uint8Array(20 << 20).map((_, i) => (i * 7919) >> 3);
    writeFileSync(path, bytes);
    const source = await fileSource(path);
    const whole = new Uint8Array(bytes.length - 3);
    const few = new Uint8Array(5);
    await Promise.all([source.read(3, whole), source.read(1000, few)]);
    expect(Buffer.compare(whole, bytes.subarray(3))).toBe(0);
    expect(few).toEqual(bytes.slice(1000, 1005));
    await expect(source.read(bytes.length, new Uint8Array(1))).rejects.toThrow(RangeError);
    await source[Symbol.asyncDispose]();
    await expect(source.read(0, few)).rejects.toThrow();
  });

  it('says that a file was cut while it was read', async () => {
    const path = join(inner(), 'bytes');
    writeFileSync(path, new Uint8Array(100));
    const source = await fileSource(path);
    writeFileSync(path, new Uint8Array(10));
    await expect(source.read(0, new Uint8Array(100))).rejects.toThrow(/ends at byte 10; it was cut while read/);
    await source.close();
  });
});

describe('saveTorch and loadTorch', () => {
  it('give back what was saved, by path and URL', async () => {
    const path = join(inner(), 'x.pt');
    const dict = { a: 1.5, t: { dtype: 'float32', shape: [2], data: Float32Array.of(1, 2) } };
    await saveTorch(pathToFileURL(path), dict);
    expect(await loadTorch(path)).toEqual(dict);
    writeFileSync(path, 'no zip');
    await expect(loadTorch(path)).rejects.toThrow(path);
    expect(existsSync(realpathSync(path))).toBe(true);
  });
});
