/**
 * Small files that ask for much: 64 MiB and 20 times the file, the result counted, and 100 ms and
 * 100 ms per megabyte on a machine as usual.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { encodeTorch } from 'tensorless/torch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeZip } from '../src/formats/zip-write.ts';

const folder = mkdtempSync(join(tmpdir(), 'tensorless-bounds-'));
const program = join(folder, 'peak.mjs');
const small = join(folder, 'small.pt');

beforeAll(async () => {
  await build({
    entryPoints: [fileURLToPath(new URL('_decode-peak.ts', import.meta.url))],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: program,
    logLevel: 'error',
  });
  writeFileSync(
    small,
    encodeTorch({ a: [1, { b: 'c' }], t: { dtype: 'float32', shape: [1], data: Float32Array.of(1) } }),
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

const MEGABYTE = 2 ** 20;
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
const text = (value: string): string => `X${String.fromCharCode(value.length & 255, value.length >> 8)}\0\0${value}`;
const archive = (pickle: string, storage = new Uint8Array(8)): Uint8Array =>
  writeZip([
    ['a/data.pkl', bytesOf(`\x80\x02${pickle}.`)],
    ['a/version', bytesOf('3\n')],
    ['a/data/0', storage],
  ]);
const list = (items: string): string => `](${items}e`;
const times = (count: number, make: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => make(i)).join('');
const view = (type: string, count: number, shape: number[], stride: number[]): string => {
  const int = (n: number): string => `J${String.fromCharCode(n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24)}`;
  const tuple = (values: number[]): string => `(${values.map(int).join('')}t`;
  return `ctorch._utils\n_rebuild_tensor_v2\n((${text('storage')}ctorch\n${type}Storage\n${text('0')}${text('cpu')}${int(count)}tQK\0${tuple(shape)}${tuple(stride)}\x89ccollections\nOrderedDict\n)RtR`;
};
const tensor = view('Float', 2, [2], [1]);

/** Every entry claims all that follows it. */
function overlapping(): Uint8Array {
  const bytes = writeZip(Array.from({ length: 20000 }, (_, i) => [`a/${i}`, new Uint8Array(4)] as const));
  const view = new DataView(bytes.buffer);
  const directory = view.getUint32(bytes.length - 6, true);
  for (let at = directory; view.getUint32(at, true) === 0x02014b50; at += 46 + view.getUint16(at + 28, true)) {
    const size = directory - view.getUint32(at + 42, true) - 64;
    view.setUint32(at + 20, size, true);
    view.setUint32(at + 24, size, true);
  }
  return bytes;
}

const aliased = (leaf: string): string =>
  `(${leaf}q\0${times(60, (i) => `](h${String.fromCharCode(i)}h${String.fromCharCode(i)}eq${String.fromCharCode(i + 1)}`)}t`;

const files: Record<string, () => Uint8Array> = {
  'dicts with a far index, in many places': () => archive(list(`}M\xff\x03Nsq\0${'h\0'.repeat(1000)}`)),
  'dicts with a far index, doubled sixty times': () => archive(aliased('}M\xff\x03Ns')),
  'lists, doubled sixty times': () => archive(aliased(']')),
  'tensors, doubled sixty times': () => archive(aliased(tensor)),
  'bytes, doubled sixty times': () => archive(aliased(`C\xff${'x'.repeat(255)}`)),
  'four million dicts': () => archive('}'.repeat(4 * MEGABYTE)),
  'four million lists': () => archive(']'.repeat(4 * MEGABYTE)),
  'four million dicts in a list': () => archive(list('}'.repeat(4 * MEGABYTE))),
  'sixteen million marks': () => archive('('.repeat(16 * MEGABYTE)),
  'Nones by the million': () => archive(list('N'.repeat(16 * MEGABYTE))),
  'tuples of one': () => archive(list('N\x85'.repeat(2 * MEGABYTE))),
  'lists of one': () => archive(list(']Na'.repeat(MEGABYTE))),
  'dicts of one far index': () => archive(list('}M\xff\x03Ns'.repeat(600000))),
  'dicts of one index': () => archive(list('}K\0Ns'.repeat(800000))),
  'dicts of one key, all different': () => archive(list(times(500000, (i) => `}${text(`k${i}`)}Ns`))),
  'a dict of many keys': () => archive(`}(${times(500000, (i) => `${text(`k${i}`)}N`)}u`),
  'empty bytes': () => archive(list('C\0'.repeat(MEGABYTE))),
  'bytes of one text': () =>
    archive(
      `(${text('a'.repeat(60000))}q\0${text('latin1')}q\x01c_codecs\nencode\nq\x02${list('h\x02h\0h\x01\x86R'.repeat(60000))}t`,
    ),
  'tensors of one storage': () =>
    archive(`(${tensor.replace('((', 'q\0((').replace('tR', 'tq\x01R')}${list('h\0h\x01R'.repeat(400000))}t`),
  'one tensor, in many places': () => archive(`(${tensor}q\x02${list('h\x02'.repeat(MEGABYTE))}t`),
  'a view a thousand times its storage': () => archive(view('Float', 2, [1 << 28, 2], [0, 1])),
  'narrow ints, repeated': () => archive(view('Char', 1 << 20, [3, 1 << 20], [0, 1]), new Uint8Array(1 << 20)),
  'memo entries out of order': () =>
    archive(`N${times(800000, (i) => `r${String.fromCharCode(i & 255, (i >> 8) & 255, i >> 16, 9)}`)}`),
  'halves of surrogate pairs': () => archive(`X\0\0\x60\0${'\xed\xa0\x80'.repeat(2 * MEGABYTE)}`),
  'entries that overlap': overlapping,
};

describe('a hostile file is refused, or read, within the bounds:', () => {
  it.each(Object.keys(files))('%s', (name) => {
    const bytes = files[name]!();
    const path = join(folder, 'file.pt');
    writeFileSync(path, bytes);
    const megabytes = bytes.length / MEGABYTE;
    let result: { kilobytes: number; milliseconds: number; slowness: number; message: string; read: boolean };
    let allowed: number;
    // A pause of the machine is not the file's fault: the best of three counts.
    for (let tries = 0; ; tries++) {
      const out = execFileSync(process.execPath, [program, small, path], { encoding: 'utf8', timeout: 60_000 });
      result = JSON.parse(out) as typeof result;
      allowed = result.slowness * (100 + 100 * megabytes);
      if (result.milliseconds <= allowed || tries === 2) break;
    }
    expect(result.kilobytes / 1024, result.message).toBeLessThan(64 + 20 * megabytes);
    expect(result.milliseconds, result.message).toBeLessThan(2 * allowed);
    if (!result.read) {
      expect(result.message).toMatch(/^CheckpointError: .{20}/);
      expect(result.message.length).toBeLessThan(320);
    }
  });

  it('what is plain, long or deep is read', () => {
    const real = {
      numbers: Array.from({ length: 200000 }, (_, i) => i),
      fractions: Array.from({ length: 200000 }, (_, i) => i + 0.5),
      empty: Array.from({ length: 200000 }, () => ({})),
      lists: Array.from({ length: 200000 }, (_, i) => [i]),
      names: Object.fromEntries(Array.from({ length: 100000 }, (_, i) => [`layer.${i}.weight`, { [`k${i}`]: i }])),
    };
    const path = join(folder, 'real.pt');
    writeFileSync(path, encodeTorch(real));
    const out = execFileSync(process.execPath, [program, small, path], { encoding: 'utf8' });
    expect(JSON.parse(out)).toMatchObject({ message: '', read: true });
  });
});
