/** Damaged and hostile files of both formats, made from real ones by a seeded generator. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AdamW, Parameter } from 'tensorless';
import { CheckpointError, decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { decodeSafetensors } from 'tensorless/safetensors';
import { decodeTorch, encodeTorch } from 'tensorless/torch';
import { readZip } from '../../src/formats/zip-read.ts';
import { writeZip } from '../../src/formats/zip-write.ts';

/** mulberry32 (Tommy Ettinger 2017, public domain). */
export function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}

const folder = fileURLToPath(new URL('../vectors/checkpoints/', import.meta.url));
const real = (ending: string): Uint8Array[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .map((name) => new Uint8Array(readFileSync(`${folder}${name}`)));

function trainingState(): Uint8Array {
  const weight = new Parameter(new Float32Array(6), [2, 3], { name: 'weight' });
  weight.grad = new Float32Array(6).fill(1);
  const optimizer = new AdamW([weight]);
  optimizer.step();
  return encodeTrainingState({ parameters: [weight], optimizer, extra: { epoch: 3 } });
}

export const torchFiles = [
  ...real('.pt'),
  encodeTorch({ a: 1, b: [1, 2.5], t: { dtype: 'float32', shape: [2], data: Float32Array.of(1, 2) } }),
];
export const safetensorsFiles = [...real('.safetensors'), trainingState()];

const HUGE = [0, 1, 0x7f, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
type Random = (below: number) => number;

/** Damage that knows nothing of the format. */
function damage(source: Uint8Array, random: Random): Uint8Array {
  let bytes = source.slice();
  for (let times = 1 + random(3); times > 0 && bytes.length > 8; times--) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const at = random(bytes.length);
    switch (random(7)) {
      case 0:
        bytes = bytes.slice(0, at);
        break;
      case 1:
        bytes[at]! ^= 1 << random(8);
        break;
      case 2:
        bytes[at] = random(256);
        break;
      case 3:
        view.setUint32(Math.min(at, bytes.length - 4), HUGE[random(HUGE.length)]!, true);
        break;
      case 4:
        view.setBigUint64(
          Math.min(at, bytes.length - 8),
          [2n ** 63n, 2n ** 53n, 2n ** 32n, 2n ** 64n - 1n][random(4)]!,
          true,
        );
        break;
      case 5: {
        // A stretch of the file once more, somewhere else.
        const from = random(bytes.length);
        bytes.copyWithin(at, from, Math.min(bytes.length, from + random(64)));
        break;
      }
      default: {
        const extra = Uint8Array.from({ length: random(40) }, () => random(256));
        const grown = new Uint8Array(bytes.length + extra.length);
        grown.set(bytes.subarray(0, at));
        grown.set(extra, at);
        grown.set(bytes.subarray(at), at + extra.length);
        bytes = grown;
      }
    }
  }
  return bytes;
}

const OPCODES = [...'}])(tesuaNKMJGXqrhjcRQ.']
  .map((c) => c.charCodeAt(0))
  .concat([0x80, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x62, 0x30, 0x93]);

function pickleOf(random: Random): Uint8Array {
  const kind = random(5);
  const text = (s: string): number[] => [...s].map((c) => c.charCodeAt(0));
  const body: number[] = [];
  if (kind === 0) {
    const depth = 1 + random(3000);
    body.push(...new Array<number>(depth).fill(0x5d), ...new Array<number>(depth - 1).fill(0x61));
  } else if (kind === 1) {
    // Each list holds the one before it twice: 2^n leaves when unfolded.
    body.push(...text(']q\0'));
    const levels = 2 + random(60);
    for (let i = 0; i < levels; i++) body.push(...text('](h'), i, ...text('h'), i, ...text('eq'), i + 1);
    body.push(...new Array<number>(0));
  } else if (kind === 2) body.push(...text(']q\0h\0a'), ...text('h\0a').slice(0, random(4)));
  else if (kind === 3) {
    const module = ['os', 'posix', 'builtins', 'torch', 'numpy', 'collections', '__proto__'][random(7)]!;
    const name = ['system', 'eval', 'FloatStorage', 'OrderedDict', 'constructor', 'ndarray'][random(6)]!;
    body.push(...text(`c${module}\n${name}\n`), ...text([')R', '(tR', 'X\x02\0\0\0ls\x85R', ''][random(4)]!));
  } else
    for (let i = random(80); i >= 0; i--) body.push(random(4) === 0 ? random(256) : OPCODES[random(OPCODES.length)]!);
  return Uint8Array.from([0x80, 2, ...body, 0x2e]);
}

/** A whole archive again, around a damaged or made-up pickle, or with tricky entries: checksums are right, so the inner layers are reached. */
function rezip(source: Uint8Array, random: Random): Uint8Array {
  const entries = [...readZip(source, true)].map(([name, { bytes }]): [string, Uint8Array] => [name, bytes]);
  const at = entries.findIndex(([name]) => name.endsWith('/data.pkl'));
  const [name, pickle] = entries[at]!;
  switch (random(5)) {
    case 0:
      entries[at] = [name, pickleOf(random)];
      break;
    case 1:
    case 2:
      entries[at] = [name, damage(pickle, random)];
      break;
    case 3:
      entries.push([
        [
          'other/x',
          `${name}`,
          name.toUpperCase(),
          'archive/../../x',
          '/x',
          'a\\b',
          'archive/constants.pkl',
          '',
          'archive/byteorder',
        ][random(9)]!,
        new Uint8Array(random(20)),
      ]);
      break;
    default: {
      const victim = random(entries.length);
      entries[victim] = [entries[victim]![0], damage(entries[victim]![1], random)];
    }
  }
  return writeZip(entries);
}

/** A safetensors file with a damaged or made-up header whose length is right. */
function reheader(source: Uint8Array, random: Random): Uint8Array {
  const length = Number(new DataView(source.buffer, source.byteOffset).getBigUint64(0, true));
  let header: Uint8Array = source.slice(8, 8 + length);
  switch (random(4)) {
    case 0:
      header = damage(header, random);
      break;
    case 1: {
      const text = new TextDecoder().decode(header);
      const swaps: [RegExp, string][] = [
        [/\[\d+/, '[99999999999'],
        [/F32/, 'F64'],
        [/"shape":\[/, '"shape":[4294967296,4294967296,'],
        [/"data_offsets":\[0/, '"data_offsets":[8'],
        [/:\[/, ':[[['],
        [/"dtype"/, '"__proto__"'],
        [/(".*?"):/, '$1:1,$1:'],
      ];
      const [pattern, by] = swaps[random(swaps.length)]!;
      header = new TextEncoder().encode(text.replace(pattern, by));
      break;
    }
    case 2:
      header = new TextEncoder().encode(`{"__metadata__":{"tensorless":${JSON.stringify('['.repeat(random(4000)))}}}`);
      break;
    default:
      header = new TextEncoder().encode(
        [
          '{"a":'.repeat(random(3000)),
          '['.repeat(random(5000)),
          `{"__proto__":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`,
        ][random(3)]!,
      );
  }
  const bytes = new Uint8Array(8 + header.length + source.length - 8 - length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  bytes.set(source.subarray(8 + length), 8 + header.length);
  return bytes;
}

export interface Trial {
  readonly bytes: Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}

/** File number `index` of a seed: each can be made again alone. */
export function trial(seed: number, index: number): Trial {
  const random = generator(Math.imul(seed, 0x9e3779b1) ^ index);
  if (index % 2 === 0) {
    const source = torchFiles[random(torchFiles.length)]!;
    return {
      bytes: random(3) === 0 ? damage(source, random) : rezip(source, random),
      decode: (bytes) => decodeTorch(bytes),
    };
  }
  const source = safetensorsFiles[random(safetensorsFiles.length)]!;
  const bytes = random(2) === 0 ? damage(source, random) : reheader(source, random);
  return {
    bytes,
    decode(file) {
      decodeSafetensors(file);
      const weight = new Parameter(new Float32Array(6), [2, 3], { name: 'weight' });
      const optimizer = new AdamW([weight]);
      return decodeTrainingState(file, { parameters: [weight], optimizer });
    },
  };
}

/** Buffers that a reader may ask for, beside a constant for its own tables. */
const MOST_TIMES = 40;
const MOST_CONSTANT = 1 << 22;
const SLOWEST = 100;

/** What is wrong with how a file was handled; undefined when all is well. `slow` collects times over the limit, to be looked at again. */
export function judge({ bytes, decode }: Trial): { problem?: string; milliseconds: number; refused: boolean } {
  const before = process.memoryUsage().arrayBuffers;
  const begun = performance.now();
  let refused = false;
  let problem: string | undefined;
  try {
    decode(bytes);
  } catch (error) {
    refused = true;
    if (!(error instanceof CheckpointError)) problem = `${(error as Error).name}: ${(error as Error).message}`;
    else if (error.message.length < 10) problem = `says nothing: "${error.message}"`;
    else if (error.message.length > 2000) problem = `says too much: ${error.message.length} characters`;
  }
  const milliseconds = performance.now() - begun;
  const allocated = process.memoryUsage().arrayBuffers - before;
  if (allocated > MOST_TIMES * bytes.length + MOST_CONSTANT)
    problem = `${allocated} bytes allocated for a file of ${bytes.length}`;
  if (Object.keys(Object.prototype).length > 0 || ({} as { polluted?: unknown }).polluted !== undefined)
    problem = 'a prototype was polluted';
  return { ...(problem !== undefined && { problem }), milliseconds, refused };
}

export { SLOWEST };
