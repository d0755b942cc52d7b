/** Saving to disk: whatever happens, the path holds the old state or the new one. */
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Parameter } from 'tensorless';
import { CheckpointError, decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { loadTrainingState, saveTrainingState } from 'tensorless/node';
import { afterAll, describe, expect, it, vi } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'tensorless-node-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A state all of whose numbers are `n`: a mix of two would be seen. */
function parts(n: number, length = 1000): { parameters: Parameter[]; extra: { n: number } } {
  return { parameters: [new Parameter(new Float32Array(length).fill(n), [length], { name: 'w' })], extra: { n } };
}

function numberIn(path: string, length = 1000): number {
  const { parameters } = parts(-1, length);
  const { n } = decodeTrainingState(new Uint8Array(readFileSync(path)), { parameters }) as { n: number };
  expect(parameters[0]!.data.every((x) => x === n)).toBe(true);
  return n;
}

describe('saveTrainingState', () => {
  it('replaces a file, keeps its permissions, and leaves nothing else behind', async () => {
    const path = join(folder, 'run.safetensors');
    await saveTrainingState(path, parts(1));
    chmodSync(path, 0o600);
    await saveTrainingState(path, parts(2));
    expect(numberIn(path)).toBe(2);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['run.safetensors']);
  });

  it('takes the state at the call: training may go on while it is written', async () => {
    const path = join(folder, 'during.safetensors');
    const run = parts(5);
    const saving = saveTrainingState(path, run);
    (run.parameters[0]!.data as Float32Array).fill(9);
    await saving;
    expect(numberIn(path)).toBe(5);
  });

  it('of saves to one path at a time the last call’s state stays', async () => {
    const path = join(folder, 'twice.safetensors');
    await Promise.all(Array.from({ length: 8 }, (_, n) => saveTrainingState(path, parts(n))));
    expect(numberIn(path)).toBe(7);
  });

  // Tests may run as root, for whom no folder is read-only; so the system's refusals are injected
  // where they would come from.
  it.each([
    ['a full disk', 'ENOSPC', 'write'],
    ['a disk that is full at the flush', 'ENOSPC', 'sync'],
    ['an input/output error', 'EIO', 'sync'],
  ] as const)('%s (%s from %s) keeps the old file and leaves no other', async (_, code, method) => {
    const inner = mkdtempSync(join(folder, 'injected-'));
    const path = join(inner, 'run.safetensors');
    await saveTrainingState(path, parts(1));
    const probe = await fs.open(path, 'r');
    const prototype = Object.getPrototypeOf(probe) as Record<string, unknown>;
    await probe.close();
    const spy = vi
      .spyOn(prototype as unknown as { write(): Promise<void>; sync(): Promise<void> }, method)
      .mockImplementation(() => Promise.reject(Object.assign(new Error(code), { code })));
    try {
      await expect(saveTrainingState(path, parts(2))).rejects.toMatchObject({ code });
    } finally {
      spy.mockRestore();
    }
    expect(numberIn(path)).toBe(1);
    expect(readdirSync(inner)).toEqual(['run.safetensors']);
  });

  it('a folder that may not be written to keeps the old file', async () => {
    const inner = mkdtempSync(join(folder, 'read-only-'));
    const path = join(inner, 'run.safetensors');
    await saveTrainingState(path, parts(1));
    chmodSync(inner, 0o500);
    try {
      if (process.getuid?.() === 0)
        console.log('running as root, for whom no folder is read-only: a missing folder is tried in its place');
      const target = process.getuid?.() === 0 ? join(inner, 'missing/run.safetensors') : path;
      await expect(saveTrainingState(target, parts(2))).rejects.toMatchObject({
        code: expect.stringMatching(/EACCES|ENOENT|EPERM|EROFS/),
      });
    } finally {
      chmodSync(inner, 0o700);
    }
    expect(numberIn(path)).toBe(1);
    expect(readdirSync(inner)).toEqual(['run.safetensors']);
  });

  it('a state that cannot be written touches no file', async () => {
    const path = join(folder, 'untouched.safetensors');
    await saveTrainingState(path, parts(1));
    await expect(saveTrainingState(path, { extra: { f: () => 1 } })).rejects.toThrow(TypeError);
    expect(numberIn(path)).toBe(1);
  });

  it('a writer killed at random moments leaves a whole state every time', async () => {
    const inner = mkdtempSync(join(folder, 'killed-'));
    const path = join(inner, 'run.safetensors');
    const length = 500_000;
    const writer = fileURLToPath(new URL('./_endless-saving.ts', import.meta.url));
    writeFileSync(path, encodeTrainingState(parts(0, length)));
    const seen: number[] = [];
    for (let kill = 0; kill < 12; kill++) {
      const child = spawn(process.execPath, ['--import', 'tsx', writer, path, String(length)], {
        cwd: fileURLToPath(new URL('..', import.meta.url)),
      });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('close', resolve));
      seen.push(numberIn(path, length));
    }
    const abandoned = readdirSync(inner).length - 1;
    console.log(`states after SIGKILL: ${seen.join(', ')}; abandoned temporary files: ${abandoned}`);
    expect(abandoned).toBeLessThanOrEqual(1);
    await saveTrainingState(path, parts(1));
    expect(readdirSync(inner)).toEqual(['run.safetensors']);
    expect(Math.max(...seen)).toBeGreaterThan(0);
  });
});

describe('loadTrainingState', () => {
  it('gives back what was saved', async () => {
    const path = join(folder, 'load.safetensors');
    await saveTrainingState(path, parts(3));
    const run = parts(-1);
    expect(await loadTrainingState(path, run)).toEqual({ n: 3 });
    expect(run.parameters[0]!.data[0]).toBe(3);
  });

  it('says that the folder of a new file is missing', async () => {
    const missing = join(folder, 'no/such/run.safetensors');
    await expect(saveTrainingState(missing, parts(1))).rejects.toMatchObject({
      code: 'ENOENT',
      message: expect.stringMatching(/no.such does not exist; make it first, or mend the path$/),
    });
  });

  it('names the file that is damaged or missing, and changes nothing', async () => {
    const path = join(folder, 'damaged.safetensors');
    writeFileSync(path, encodeTrainingState(parts(3)).subarray(0, 2000));
    const run = parts(7);
    await expect(loadTrainingState(path, run)).rejects.toThrow(CheckpointError);
    await expect(loadTrainingState(path, run)).rejects.toThrow(path);
    await expect(loadTrainingState(join(folder, 'nowhere'), run)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(run.parameters[0]!.data.every((x) => x === 7)).toBe(true);
  });
});

describe('the folder', () => {
  const { open } = fs;
  /** A save during which the folder is opened in another way. */
  async function saveWith(openFolder: () => ReturnType<typeof open>, path: string): Promise<void> {
    fs.open = (name, flags, mode) => (String(name) === folder ? openFolder() : open(name, flags, mode));
    syncBuiltinESMExports();
    try {
      await saveTrainingState(path, parts(5));
    } finally {
      fs.open = open;
      syncBuiltinESMExports();
    }
  }
  const failing = (code: string) => async () => {
    const handle = await open(folder, 'r');
    handle.sync = () => Promise.reject(Object.assign(new Error(`${code}: fsync`), { code }));
    return handle;
  };

  it('that cannot be flushed does not matter, one that fails to does', async () => {
    const path = join(folder, 'synced.safetensors');
    await saveWith(failing('EINVAL'), path);
    expect(numberIn(path)).toBe(5);
    // The one failure after which the new file is in place; the error says so.
    const { parameters } = parts(-1);
    writeFileSync(path, encodeTrainingState(parts(4)));
    const saving = saveWith(failing('EIO'), path);
    await expect(saving).rejects.toThrow(/synced\.safetensors: the new file is in place, but its folder .* \(EIO\)/);
    await expect(saving).rejects.toMatchObject({ code: 'EIO' });
    expect(await loadTrainingState(path, { parameters })).toEqual({ n: 5 });
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('that cannot be opened, as on Windows, does not either', async () => {
    const path = join(folder, 'unopened.safetensors');
    await saveWith(() => Promise.reject(new Error('EPERM')), path);
    expect(numberIn(path)).toBe(5);
  });

  it('an argument that is wrong is no damage to the file, and says so itself', async () => {
    const path = join(folder, 'argument.safetensors');
    await saveTrainingState(path, parts(7));
    await expect(loadTrainingState(path, { parameters: 3 as never })).rejects.toThrow(TypeError);
  });
});
