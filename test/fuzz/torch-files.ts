/**
 * Hostile `.pt` files: damaged real ones, made-up pickles in every form that is read, archives that
 * say things twice.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { encodeTorch } from 'tensorless/torch';
import { readZip } from '../../src/formats/zip-read.ts';
import { writeZip } from '../../src/formats/zip-write.ts';
import { damage, type Random } from './damage.ts';

const vectors = fileURLToPath(new URL('../vectors/', import.meta.url));
const real = (folder: string): Uint8Array[] =>
  readdirSync(`${vectors}${folder}`)
    .filter((name) => name.endsWith('.pt'))
    .map((name) => new Uint8Array(readFileSync(`${vectors}${folder}/${name}`)));

const LEGACY_MAGIC = 0x8a;
/** Real files and one of this library's own. */
export const torchFiles: readonly Uint8Array[] = [
  ...real('checkpoints'),
  ...real('torch-files/2.13.0'),
  ...real('torch-files/2.0.1'),
  encodeTorch({ a: 1, b: [1, 2.5], t: { dtype: 'float32', shape: [2], data: Float32Array.of(1, 2) } }),
];
const isLegacy = (bytes: Uint8Array): boolean => bytes[0] === 0x80 && bytes[2] === LEGACY_MAGIC;

const codes = (text: string): number[] => [...text].map((c) => c.charCodeAt(0));
const text = (value: string): string => `X${String.fromCharCode(value.length & 255, value.length >> 8)}\0\0${value}`;

const OPCODES = [...codes('}])(tesuaNKMJGXqrhjcRQbUCB.'), 0x80, 0x81, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a]
  // Those of protocols 4 and 5, and some that nobody may use.
  .concat([0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x91, 0x93, 0x94, 0x95, 0x96, 0x30, 0x8b, 0x69, 0x6f, 0x97]);
const MODULES =
  'os posix builtins __builtin__ torch torch._utils torch._tensor torch.storage numpy collections _codecs __proto__ sys'.split(
    ' ',
  );
const NAMES = (
  'system eval FloatStorage UntypedStorage OrderedDict Counter set bytearray encode complex Size device Tensor constructor ndarray ' +
  '_rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter _rebuild_from_type_v2 _rebuild_sparse_tensor float8_e5m2 __proto__'
).split(' ');
/** Numbers that sizes, offsets and counts should not be. */
const NUMBERS = [
  'K\0',
  'K\x01',
  'K\x02',
  'K\x05',
  'M\xff\xff',
  'J\xff\xff\xff\xff',
  'J\xff\xff\xff\x7f',
  '\x8a\x08\0\0\0\0\0\0\0\x40',
  '\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f',
  'G\x7f\xf0\0\0\0\0\0\0',
  'N',
  text('0'),
];

const pick = <T>(random: Random, items: readonly T[]): T => items[random(items.length)]!;

/** A tensor whose parts may be anything. */
function tensor(random: Random): string {
  const sane = (): string => pick(random, ['K\x01', 'K\x02', 'K\0']);
  const number = (): string => (random(4) === 0 ? pick(random, NUMBERS) : sane());
  const version = random(3);
  const untyped = version === 2 || random(6) === 0;
  const type = untyped
    ? 'ctorch.storage\nUntypedStorage\n'
    : `ctorch\n${pick(random, ['Float', 'Char', 'ComplexFloat', 'Bool', 'QInt8', 'Long'])}Storage\n`;
  const storage = `(${text('storage')}${type}${text(pick(random, ['0', '1', '00', 'x']))}${text('cpu')}${number()}tQ`;
  const rank = random(4);
  const tuple = (): string => `(${Array.from({ length: random(8) === 0 ? random(70) : rank }, number).join('')}t`;
  const metadata = pick(random, ['', 'N', `}${text('neg')}\x88s`, `}${text('conj')}\x88s`, `}${text('other')}Ns`, ']']);
  const rest =
    version === 0
      ? ''
      : `\x89${pick(random, ['ccollections\nOrderedDict\n)R', 'N', ']'])}${version === 2 ? pick(random, ['ctorch\nuint16\n', 'ctorch\ncomplex64\n', 'ctorch\nqint8\n', 'N']) : ''}${metadata}`;
  return `ctorch._utils\n_rebuild_tensor${['', '_v2', '_v3'][version]}\n(${storage}${number()}${tuple()}${tuple()}${rest}tR`;
}

/** One of the calls that are allowed, with arguments that may not be. */
function call(random: Random): string {
  const argument = (): string =>
    pick(random, [
      'N',
      'K\x05',
      'J\0\xca\x9a\x3b',
      text('a'),
      text('latin1'),
      ']',
      '}',
      '](K\x01K\x01e',
      '(K\x01N\x85t',
      'h\0',
      'C\x02ab',
      tensor(random),
    ]);
  const count = random(5);
  return `c${pick(random, MODULES)}\n${pick(random, NAMES)}\n(${Array.from({ length: count }, argument).join('')}t${pick(random, ['R', '\x81', 'R}b', 'RNb'])}`;
}

/** Many of a kind: what costs little in a file and much in memory. */
function many(random: Random): string {
  const count = 1 + random(4000);
  const index = random(0x10000);
  const key = `M${String.fromCharCode(index & 255, index >> 8)}`;
  const one = pick(random, [
    '}',
    ']',
    '(',
    ')',
    'N\x85',
    `}${key}Ns`,
    `}${text(`k${random(100)}`)}Ns`,
    ']Na',
    'h\0',
    'h\0h\0\x86',
    'C\0',
    '\x8f',
    'Nq\x01',
    'h\0\x85q\0',
    `${key}`,
  ]);
  return `${pick(random, ['', '}q\0', ']q\0', `${text('ab'.repeat(100))}q\0`, `${tensor(random)}q\0`])}${pick(random, ['](', '(', ''])}${one.repeat(count)}${pick(random, ['e', 't', ''])}`;
}

export function pickleOf(random: Random): Uint8Array {
  let body = '';
  switch (random(9)) {
    case 0: {
      const depth = 1 + random(3000);
      body = ']'.repeat(depth) + 'a'.repeat(depth - 1);
      break;
    }
    case 1: {
      // Each list holds the one before it twice: 2^n leaves when unfolded.
      const leaf = pick(random, [']', '}', `}M\xff\x03Ns`, tensor(random), text('x'.repeat(100)), 'C\x02ab']);
      body = `${leaf}q\0`;
      const levels = 2 + random(60);
      for (let i = 0; i < levels; i++) {
        const get = `h${String.fromCharCode(i)}`;
        body += `${pick(random, [`](${get}${get}e`, `${get}${get}\x86`, `}(${text('a')}${get}${text('b')}${get}u`])}q${String.fromCharCode(i + 1)}`;
      }
      body = body.replace(/^/, '(') + 't';
      break;
    }
    case 2:
      body = ']q\0h\0a' + 'h\0a'.slice(0, random(4));
      break;
    case 3: {
      const module = pick(random, MODULES);
      body = `c${module}\n${pick(random, NAMES)}\n${pick(random, [')R', '(tR', 'X\x02\0\0\0ls\x85R', ''])}`;
      break;
    }
    case 4:
      body = `](${Array.from({ length: 1 + random(4) }, () => tensor(random)).join('')}e`;
      break;
    case 5:
      body = call(random);
      break;
    case 6:
      body = many(random);
      break;
    case 7: {
      const [module, name] = [pick(random, MODULES), pick(random, NAMES)];
      body = `\x8c${String.fromCharCode(module.length)}${module}\x8c${String.fromCharCode(name.length)}${name}\x93)R`;
      break;
    }
    default:
      for (let i = random(80); i >= 0; i--)
        body += String.fromCharCode(random(4) === 0 ? random(256) : pick(random, OPCODES));
  }
  return Uint8Array.from([0x80, pick(random, [2, 2, 2, 3, 4, 5, 6]), ...codes(body), 0x2e]);
}

/** Sizes and places in the directory and the end records that are not so. */
function misplace(source: Uint8Array, random: Random): Uint8Array {
  const bytes = source.slice();
  const view = new DataView(bytes.buffer);
  const directory = view.getUint32(bytes.length - 22 + 16, true);
  const all: number[] = [];
  for (let at = directory; at + 46 < bytes.length && view.getUint32(at, true) === 0x02014b50; ) {
    all.push(at);
    at += 46 + view.getUint16(at + 28, true) + view.getUint16(at + 30, true);
  }
  if (all.length === 0) return bytes;
  const at = pick(random, all);
  const other = pick(random, all);
  switch (random(5)) {
    case 0:
      // Two entries at one place.
      view.setUint32(at + 42, view.getUint32(other + 42, true), true);
      break;
    case 1:
      for (const place of random(2) === 0 ? [at] : all) {
        const size = directory - view.getUint32(place + 42, true) - random(80);
        view.setUint32(place + 20, size, true);
        view.setUint32(place + 24, size, true);
      }
      break;
    case 2:
      view.setUint32(at + 42, 0xffffffff, true);
      break;
    case 3:
      view.setUint32(at + pick(random, [20, 24, 42]), random(2 ** 31), true);
      break;
    default:
      view.setUint32(bytes.length - 22 + pick(random, [8, 10, 12, 16]), random(2 ** 31), true);
  }
  return bytes;
}

/**
 * A whole archive again, around a damaged or made-up pickle, or with tricky entries: checksums are
 * right, so the inner layers are reached.
 */
function rezip(source: Uint8Array, random: Random): Uint8Array {
  const entries = [...readZip(source, true)].map(([name, { bytes }]): [string, Uint8Array] => [name, bytes]);
  const at = entries.findIndex(([name]) => name.endsWith('/data.pkl'));
  const [name, pickle] = entries[at]!;
  switch (random(7)) {
    case 0:
    case 1:
      entries[at] = [name, pickleOf(random)];
      break;
    case 2:
    case 3:
      entries[at] = [name, damage(pickle, random)];
      break;
    case 4:
      entries.push([
        pick(random, [
          'other/x',
          `${name}`,
          name.toUpperCase(),
          'archive/../../x',
          '/x',
          'a\\b',
          'archive/constants.pkl',
          '',
          'archive/byteorder',
          'archive/data/7\u202e',
        ]),
        new Uint8Array(random(20)),
      ]);
      break;
    case 5:
      return misplace(writeZip(entries), random);
    default: {
      const victim = random(entries.length);
      entries[victim] = [entries[victim]![0], damage(entries[victim]![1], random)];
    }
  }
  return writeZip(entries);
}

/** A file of the format before zip, with another pickle for its data. */
function legacy(source: Uint8Array, random: Random): Uint8Array {
  // The magic number, the version and the machine end at the third STOP that a PROTO follows.
  let start = 0;
  for (let found = 0; found < 3 && start < source.length; start++)
    if (source[start] === 0x2e && source[start + 1] === 0x80) found++;
  const tail = random(2) === 0 ? [0x80, 2, 0x5d, 0x2e] : [...source.subarray(source.length - 60)];
  return Uint8Array.from([...source.subarray(0, start), ...pickleOf(random), ...tail]);
}

/** One hostile file. */
export function torchFile(random: Random): Uint8Array {
  const source = torchFiles[random(torchFiles.length)]!;
  if (isLegacy(source)) return random(2) === 0 ? damage(source, random) : legacy(source, random);
  return random(3) === 0 ? damage(source, random) : rezip(source, random);
}
