/**
 * The header of a safetensors file: reading and writing it, without the arrays. Reading is strict:
 * a file that could mean two things is refused, ranges before any contents.
 */
import type { StateTensor } from '../core/dtype.ts';
import {
  byteLengthOf,
  bytesOf,
  ELEMENT_FORMATS,
  type ElementFormat,
  elementBytes,
  formatNamed,
  formatOf,
} from './element-formats.ts';
import { CheckpointError } from './error.ts';
import { firstKeys, JsonReader } from './json.ts';
import { brackets, brief, hasHalfPair, quoted } from './quote.ts';

/** The reference implementation's cap on the header, in bytes. */
const LONGEST_HEADER = 100_000_000;
const METADATA = '__metadata__';
/** Keys of the metadata, of which real files have a handful: each takes its time. */
const MOST_METADATA = 100_000;

/** Where one array lies. */
export interface Entry {
  readonly name: string;
  readonly format: ElementFormat;
  /** The header's shape. */
  readonly shape: readonly number[];
  /** First byte, counted from the header's end. */
  readonly begin: number;
  /** First byte after it. */
  readonly end: number;
}

/** What a header says. */
export interface Header {
  /** In the order of their bytes. */
  readonly entries: readonly Entry[];
  /** An object without prototype. */
  readonly metadata: Record<string, string>;
  /** Where the arrays begin in the file. */
  readonly start: number;
}

/** The length of the header, from the file's first 8 bytes. */
export function headerLength(first: Uint8Array, fileSize: number): number {
  if (fileSize < 8) {
    throw new CheckpointError(`safetensors: the file has ${fileSize} bytes, too few for the header's length`);
  }
  const declared = new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true);
  if (declared > BigInt(LONGEST_HEADER) || declared > BigInt(fileSize - 8)) {
    // A zip archive, or the first pickle of torch.save before version 1.6.
    if ((first[0] === 0x50 && first[1] === 0x4b) || (first[0] === 0x80 && first[2] === 0x8a)) {
      throw new CheckpointError(
        'safetensors: this is a file of PyTorch; read it with decodeTorch of tensorless/torch, or loadTorch of ' +
          'tensorless/node',
      );
    }
    throw new CheckpointError(
      `safetensors: the header's length is given as ${declared} bytes, but the file has ${fileSize - 8} after it ` +
        `(and a header at most ${LONGEST_HEADER}); it is damaged, cut short, or not a safetensors file`,
    );
  }
  return Number(declared);
}

/**
 * Reads a header.
 *
 * @param bytes - The header alone.
 * @param fileSize - Of the whole file: the arrays must fill it to its end.
 */
export function readHeader(bytes: Uint8Array, fileSize: number): Header {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new CheckpointError('safetensors: the header is not valid UTF-8', { cause });
  }
  const reader = new JsonReader(text, (what, at) => {
    const byte = 8 + new TextEncoder().encode(text.slice(0, at)).length;
    throw new CheckpointError(`safetensors: the header cannot be read: ${what} (byte ${byte})`);
  });
  if (reader.peek() !== '{' && reader.peek() !== '') {
    const what = reader.skip();
    reader.end();
    throw new CheckpointError(`safetensors: the header must be a JSON object, got ${what}`);
  }
  const metadata: Record<string, string> = Object.create(null);
  const entries: Entry[] = [];
  const names = new Set<string>();
  reader.members(
    (name) => {
      if (name === METADATA) readMetadata(reader, metadata);
      else entries.push(readEntry(reader, name));
    },
    (name) => names.size === names.add(name).size,
  );
  reader.end();
  const start = 8 + bytes.length;
  checkRanges(entries, fileSize - start, start);
  return { entries, metadata, start };
}

function readMetadata(reader: JsonReader, metadata: Record<string, string>): void {
  const first = reader.peek();
  if (first !== '{') {
    const what = reader.skip();
    // Some writers say that there is none; the reference implementation takes it.
    if (what === 'null') return;
    throw new CheckpointError(`safetensors: __metadata__ must be an object of strings, got ${what}`);
  }
  let count = 0;
  reader.members(
    (key) => {
      if (++count > MOST_METADATA) reader.fail(`__metadata__ has more than ${MOST_METADATA} keys`);
      if (reader.peek() !== '"') {
        throw new CheckpointError(`safetensors: metadata ${quoted(key)} must be a string, got ${reader.skip()}`);
      }
      metadata[key] = reader.string();
    },
    (key) => key in metadata,
  );
}

const DIGITS = '-0123456789';

/** A list of numbers; null where something else stands. */
function readNumbers(reader: JsonReader): number[] | null {
  if (reader.peek() !== '[') return null;
  const numbers: number[] = [];
  let others = false;
  reader.items(() => {
    if (DIGITS.includes(reader.peek())) numbers.push(reader.number(true));
    else {
      others = true;
      reader.skip();
    }
  });
  return others ? null : numbers;
}

const isCount = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0 && !Object.is(n, -0);

function refuseEntry(name: string, what: string): never {
  throw new CheckpointError(`safetensors: tensor ${quoted(name)}: ${what}`);
}

const shown = (list: number[] | null | undefined): string =>
  list === undefined ? 'nothing' : list === null ? 'something else' : brackets(list);

// Texts for errors are made where one is thrown: a header may have a hundred thousand entries.
function readEntry(reader: JsonReader, name: string): Entry {
  if (reader.peek() !== '{') refuseEntry(name, `its entry must be an object, got ${reader.skip()}`);
  let format: ElementFormat | undefined;
  let dtype: (() => string) | undefined;
  let shape: number[] | null | undefined;
  let offsets: number[] | null | undefined;
  const known = { dtype: false, shape: false, data_offsets: false };
  let others: ReturnType<typeof firstKeys> | undefined;
  reader.members(
    (key) => {
      if (key === 'dtype') {
        if (reader.peek() === '"') {
          const given = reader.string();
          format = formatNamed(given);
          if (format === undefined) dtype = () => quoted(given);
        } else {
          const what = reader.skip();
          dtype = () => what;
        }
      } else if (key === 'shape') shape = readNumbers(reader);
      else if (key === 'data_offsets') offsets = readNumbers(reader);
      else reader.skip();
    },
    (key) => {
      if (key === 'dtype' || key === 'shape' || key === 'data_offsets') {
        const had = known[key];
        known[key] = true;
        return had;
      }
      others ??= firstKeys();
      return others(key);
    },
  );
  if (format === undefined) {
    const names = 'one of F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL or the others of the format';
    refuseEntry(name, `dtype must be ${names}, got ${dtype?.() ?? 'nothing'}`);
  }
  if (!shape?.every(isCount)) {
    refuseEntry(name, `shape must be an array of non-negative integers, got ${shown(shape)}`);
  }
  if (offsets?.length !== 2 || !offsets.every(isCount)) {
    refuseEntry(name, `data_offsets must be two non-negative integers, got ${shown(offsets)}`);
  }
  const bytes = byteLengthOf(format, shape);
  if (bytes === null) {
    const wrong = (format as ElementFormat).bits % 8 === 0 ? '' : ', or does not fill its last byte';
    refuseEntry(name, `shape ${brackets(shape)} has more elements than can be counted${wrong}`);
  }
  const [begin, end] = offsets as [number, number];
  if (end - begin !== bytes) {
    refuseEntry(
      name,
      `shape ${brackets(shape)} of ${(format as ElementFormat).name} needs ${bytes} bytes, ` +
        `data_offsets [${begin}, ${end}] hold ${end - begin}`,
    );
  }
  return { name, format, shape, begin, end };
}

/**
 * Puts the entries in the order of their bytes, and refuses holes, overlaps and another end than
 * the file's.
 */
function checkRanges(entries: Entry[], available: number, start: number): void {
  const order = (a: Entry, b: Entry): number => a.begin - b.begin || a.end - b.end;
  if (entries.some((entry, i) => i > 0 && order(entries[i - 1]!, entry) > 0)) entries.sort(order);
  let end = 0;
  for (const entry of entries) {
    if (entry.begin !== end) {
      throw new CheckpointError(
        `safetensors: tensor ${quoted(entry.name)} begins at byte ${entry.begin} of the data, ` +
          `but the one before it ends at ${end}; the arrays must lie side by side`,
      );
    }
    end = entry.end;
  }
  if (end !== available) {
    throw new CheckpointError(
      `safetensors: the arrays end at byte ${start + end}, but the file has ${start + available}; ` +
        'it is damaged or cut short',
    );
  }
}

/** A file about to be written: its head, and the arrays that follow without a gap. */
export interface Layout {
  /** Length, header and padding. */
  readonly head: Uint8Array;
  /**
   * In the order of the file; bytes in the host's order, to be swapped by `size` on big-endian
   * machines.
   */
  readonly arrays: readonly { readonly bytes: Uint8Array; readonly size: number }[];
  /** Bytes of the whole file. */
  readonly size: number;
}

/** Strings by their code points, as bytewise UTF-8 order is. */
function compareNames(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  let i = 0;
  while (i < shorter && a.charCodeAt(i) === b.charCodeAt(i)) i++;
  if (i === shorter) return a.length - b.length;
  // Surrogates stand for code points above all others: they are put behind the private and
  // compatibility characters.
  const rank = (code: number): number => (code >= 0xd800 && code <= 0xdfff ? code + 0x10000 : code);
  return rank(a.charCodeAt(i)) - rank(b.charCodeAt(i));
}

function checkedTensor(where: string, name: string, tensor: StateTensor): Omit<Placed, 'name'> {
  const at = `${where}: tensor ${quoted(name)}`;
  if (typeof tensor !== 'object' || tensor === null || !ArrayBuffer.isView(tensor.data)) {
    throw new TypeError(`${at} must be { dtype, shape, data }, got ${brief(tensor)}`);
  }
  const { data, shape, dtype } = tensor;
  if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new RangeError(`${at}: shape must be an array of non-negative integers, got ${brief(shape)}`);
  }
  const found = typeof dtype === 'string' ? formatOf(dtype, shape) : undefined;
  if (found === undefined) {
    const known = 'one of float32, float64, bfloat16, float16, int64, bool, uint8 or other names of PyTorch';
    throw new RangeError(`${at}: dtype must be ${known}, got ${brief(dtype)}`);
  }
  const [format, fileShape] = found;
  const size = elementBytes(format);
  const bytes = byteLengthOf(format, fileShape);
  if (data.BYTES_PER_ELEMENT !== size || bytes !== data.byteLength) {
    const needed = bytes === null ? 'more than can be counted' : `${bytes / size} elements of ${size} bytes`;
    throw new RangeError(`${at}: shape ${brackets(shape)} of ${dtype} needs ${needed}, got ${brief(data)}`);
  }
  return { format, shape: fileShape, bytes: bytesOf(data), size };
}

interface Placed {
  readonly name: string;
  readonly format: ElementFormat;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
  readonly size: number;
}

function refuseHalf(where: string, what: string, text: string): void {
  if (!hasHalfPair(text)) return;
  throw new RangeError(`${where}: ${what} ${quoted(text)} holds half a surrogate pair, which no file can; remove it`);
}

/**
 * Checks tensors and metadata, and lays them out as the reference writer does: widest format first,
 * then by name.
 */
export function layOut(
  where: string,
  tensors: Iterable<readonly [string, StateTensor]>,
  metadata: Readonly<Record<string, string>>,
): Layout {
  const placed: Placed[] = [];
  for (const [name, tensor] of tensors) {
    if (name === METADATA) {
      throw new RangeError(`${where}: a tensor cannot be named "${METADATA}", where the format keeps its metadata`);
    }
    refuseHalf(where, 'the name', name);
    placed.push({ name, ...checkedTensor(where, name, tensor) });
  }
  const rank = new Map(ELEMENT_FORMATS.map((format, i) => [format, i]));
  placed.sort((a, b) => rank.get(a.format)! - rank.get(b.format)! || compareNames(a.name, b.name));
  const meta = Object.keys(metadata).sort(compareNames);
  if (meta.length > MOST_METADATA) {
    throw new RangeError(`${where}: metadata has ${meta.length} keys, more than the ${MOST_METADATA} that are read`);
  }
  const pairs = meta.map((key) => {
    const value = metadata[key];
    if (typeof value !== 'string') {
      throw new TypeError(`${where}: metadata ${quoted(key)} must be a string, got ${brief(value)}`);
    }
    refuseHalf(where, 'the metadata key', key);
    refuseHalf(where, `metadata ${quoted(key)}:`, value);
    return `${JSON.stringify(key)}:${JSON.stringify(value)}`;
  });
  let end = 0;
  const parts = placed.map(({ name, format, shape, bytes }) => {
    const begin = end;
    end += bytes.length;
    const dims = shape.map((n) => n + 0).join(',');
    return `${JSON.stringify(name)}:{"dtype":"${format.name}","shape":[${dims}],"data_offsets":[${begin},${end}]}`;
  });
  if (meta.length > 0) parts.unshift(`"${METADATA}":{${pairs.join(',')}}`);
  const text = new TextEncoder().encode(`{${parts.join(',')}}`);
  const padded = Math.ceil(text.length / 8) * 8;
  if (padded > LONGEST_HEADER) {
    throw new RangeError(`${where}: the header would have ${padded} bytes, the format allows ${LONGEST_HEADER}`);
  }
  const head = new Uint8Array(8 + padded).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(padded), true);
  head.set(text, 8);
  return { head, arrays: placed, size: head.length + end };
}
