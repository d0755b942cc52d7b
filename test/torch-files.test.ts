/**
 * Files that three releases of PyTorch wrote, in every form:
 * test/vectors/torch-files/make_torch_files.py made them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { StateValue } from 'tensorless';
import { CheckpointError, decodeTorch, encodeTorch } from 'tensorless/torch';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../src/formats/byte-source.ts';
import { readTorch, writeTorch } from '../src/formats/torch/files.ts';
import { comparable, type Expected, wanted } from './_torch-expected.ts';

const root = fileURLToPath(new URL('vectors/torch-files/', import.meta.url));
const versions = readdirSync(root).filter((name) => /^\d/.test(name));

async function streamed(value: Record<string, StateValue>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  await writeTorch(value, {}, (piece) => void pieces.push(piece.slice()));
  return new Uint8Array(Buffer.concat(pieces));
}

describe.each(versions)('PyTorch %s', (version) => {
  const folder = `${root}${version}/`;
  const expected = JSON.parse(readFileSync(`${folder}expected.json`, 'utf8')) as Record<string, Expected>;
  const bytesOf = (name: string): Buffer => readFileSync(`${folder}${name}.pt`);

  it.each(Object.keys(expected))('%s', async (name) => {
    const bytes = bytesOf(name);
    const value = decodeTorch(bytes);
    expect(comparable(value)).toEqual(comparable(wanted(expected[name]!) as StateValue));
    expect(comparable(await readTorch(bytesSource(bytes)))).toEqual(comparable(value));
    // A Buffer is a slice of a larger memory; so is an array that does not begin at 0.
    const moved = new Uint8Array(bytes.length + 3);
    moved.set(bytes, 3);
    expect(comparable(decodeTorch(moved.subarray(3)))).toEqual(comparable(value));
    // What was read is written, at once and piece by piece, and read again as it was.
    const dict = { value };
    const written = encodeTorch(dict);
    expect(comparable(decodeTorch(written))).toEqual(comparable(dict));
    expect(Buffer.compare(await streamed(dict), written)).toBe(0);
  });

  it.each(
    readdirSync(folder)
      .filter((name) => name.startsWith('refused-'))
      .map((name) => name.slice(0, -3)),
  )('%s, by name', (name) => {
    expect(() => decodeTorch(bytesOf(name))).toThrow(CheckpointError);
    expect(() => decodeTorch(bytesOf(name))).toThrow(
      /_rebuild_\w+ makes a (sparse|quantized) tensor; save tensor\.|on the meta device/,
    );
  });

  it('every cut is refused', async () => {
    for (const name of Object.keys(expected)) {
      const bytes = bytesOf(name);
      for (let length = 0; length < bytes.length; length += 1 + Math.floor(bytes.length / 40)) {
        const cut = bytes.subarray(0, length);
        expect(() => decodeTorch(cut), `${name}, ${length} bytes`).toThrow(CheckpointError);
        await expect(readTorch(bytesSource(cut)), `${name}, ${length} bytes`).rejects.toThrow(CheckpointError);
      }
    }
  });
});
