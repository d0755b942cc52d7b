/**
 * safetensors: named arrays in one file, without code in it. The format is described at
 * https://github.com/huggingface/safetensors; files written here are read by Python's `safetensors` and the other way round.
 *
 * Layout: header length (u64, little-endian), header (JSON), then the arrays' bytes without holes. Reading is strict: a file that could mean two
 * things is refused.
 *
 * @module
 */
import { show } from './core/check.ts';
import type { StateTensor } from './core/dtype.ts';
import { CheckpointError } from './formats/error.ts';

export { CheckpointError } from './formats/error.ts';

/** The header's name of each format, and the bytes of an element. */
const FORMATS: Readonly<Record<StateTensor['dtype'], readonly [name: string, bytes: number]>> = {
  float64: ['F64', 8],
  int64: ['I64', 8],
  float32: ['F32', 4],
  bfloat16: ['BF16', 2],
  float16: ['F16', 2],
  uint8: ['U8', 1],
  bool: ['BOOL', 1],
};
const BY_NAME: ReadonlyMap<string, StateTensor['dtype']> = new Map(
  Object.entries(FORMATS).map(([dtype, [name]]) => [name, dtype as StateTensor['dtype']]),
);
/** The reference writer's order of formats, widest first, so that every array is aligned to its element. */
const ORDER: readonly StateTensor['dtype'][] = ['int64', 'float64', 'float32', 'bfloat16', 'float16', 'uint8', 'bool'];

/** The reference implementation's cap on the header, in bytes. */
const LONGEST_HEADER = 100_000_000;

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** The elements' bytes in host order reversed within each element: big-endian machines only. */
function swapped(bytes: Uint8Array, size: number): Uint8Array {
  const result = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i += size) {
    for (let k = 0; k < size; k++) result[i + k] = bytes[i + size - 1 - k]!;
  }
  return result;
}

/** Strings by their code points, as bytewise UTF-8 order is. */
function compareNames(a: string, b: string): number {
  const x = [...a];
  const y = [...b];
  for (let i = 0; i < x.length && i < y.length; i++) {
    const d = x[i]!.codePointAt(0)! - y[i]!.codePointAt(0)!;
    if (d !== 0) return d;
  }
  return x.length - y.length;
}

function checkedTensor(name: string, tensor: StateTensor): Uint8Array {
  const at = `encodeSafetensors: tensor ${show(name)}`;
  if (typeof tensor !== 'object' || tensor === null || !ArrayBuffer.isView(tensor.data)) {
    throw new TypeError(`${at} must be { dtype, shape, data }, got ${show(tensor)}`);
  }
  if (!Object.hasOwn(FORMATS, tensor.dtype)) {
    throw new RangeError(`${at}: dtype must be one of ${Object.keys(FORMATS).join(', ')}, got ${show(tensor.dtype)}`);
  }
  const { data, shape } = tensor;
  const size = FORMATS[tensor.dtype]![1];
  if (!Array.isArray(shape) || shape.some((n) => !Number.isSafeInteger(n) || n < 0)) {
    throw new RangeError(`${at}: shape must be an array of non-negative integers, got ${show(shape)}`);
  }
  if (data.BYTES_PER_ELEMENT !== size || shape.reduce((a, b) => a * b, 1) !== data.length) {
    throw new RangeError(
      `${at}: shape [${shape.join(', ')}] of ${tensor.dtype} needs ${shape.reduce((a, b) => a * b, 1)} elements of ${size} bytes, got ${show(data)}`,
    );
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * Writes arrays into one safetensors file: widest format first, then by name, as the reference writer does.
 *
 * @param tensors - Arrays by name; `"__metadata__"` is not a name.
 * @param metadata - Strings to keep beside them.
 * @throws TypeError or RangeError, naming the tensor, when one is not { dtype, shape, data } with matching sizes, or a metadata value is no string.
 */
export function encodeSafetensors(
  tensors: Record<string, StateTensor>,
  metadata: Record<string, string> = {},
): Uint8Array {
  const header: [string, unknown][] = [];
  const meta = Object.keys(metadata).sort(compareNames);
  for (const key of meta) {
    if (typeof metadata[key] !== 'string') {
      throw new TypeError(`encodeSafetensors: metadata ${show(key)} must be a string, got ${show(metadata[key])}`);
    }
  }
  const entries = Object.keys(tensors).map((name) => {
    if (name === '__metadata__') {
      throw new RangeError(
        'encodeSafetensors: a tensor cannot be named "__metadata__", where the format keeps its metadata',
      );
    }
    const tensor = tensors[name]!;
    return { name, tensor, bytes: checkedTensor(name, tensor) };
  });
  entries.sort((a, b) => ORDER.indexOf(a.tensor.dtype) - ORDER.indexOf(b.tensor.dtype) || compareNames(a.name, b.name));
  let end = 0;
  for (const { name, tensor, bytes } of entries) {
    const begin = end;
    end += bytes.length;
    header.push([name, { dtype: FORMATS[tensor.dtype]![0], shape: tensor.shape, data_offsets: [begin, end] }]);
  }
  const parts = header.map(([name, info]) => `${JSON.stringify(name)}:${JSON.stringify(info)}`);
  if (meta.length > 0) {
    const pairs = meta.map((key) => `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`);
    parts.unshift(`"__metadata__":{${pairs.join(',')}}`);
  }
  const text = new TextEncoder().encode(`{${parts.join(',')}}`);
  const padded = Math.ceil(text.length / 8) * 8;
  if (padded > LONGEST_HEADER) {
    throw new RangeError(
      `encodeSafetensors: the header would have ${padded} bytes, the format allows ${LONGEST_HEADER}`,
    );
  }
  const file = new Uint8Array(8 + padded + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(padded), true);
  file.fill(0x20, 8, 8 + padded);
  file.set(text, 8);
  let at = 8 + padded;
  for (const { tensor, bytes } of entries) {
    file.set(LITTLE_ENDIAN ? bytes : swapped(bytes, FORMATS[tensor.dtype]![1]), at);
    at += bytes.length;
  }
  return file;
}

/**
 * JSON for the header: JSON.parse accepts a key twice and lets the last win, which would let two readers see two files. So the text is walked once for
 * keys that occur twice, anywhere; JSON.parse has the say in all else.
 */
function parseHeader(text: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`safetensors: the header is not valid JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new CheckpointError(`safetensors: the header must be a JSON object, got ${show(parsed)}`);
  }
  const open: (Set<string> | null)[] = [];
  let expectKey = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === '"') {
      const start = i;
      let escaped = false;
      for (i++; text[i] !== '"'; i++) {
        if (text[i] !== '\\') continue;
        escaped = true;
        i++;
      }
      // UTF-8 cannot hold half of a pair, but an escape can.
      if (escaped && /\p{Surrogate}/u.test(JSON.parse(text.slice(start, i + 1)) as string))
        throw new CheckpointError(
          `safetensors: a string of the header holds half a surrogate pair (byte ${8 + start})`,
        );
      const keys = open.at(-1);
      if (expectKey && keys) {
        const key = JSON.parse(text.slice(start, i + 1)) as string;
        if (keys.has(key))
          throw new CheckpointError(`safetensors: the header has the key ${show(key)} twice (byte ${8 + start})`);
        keys.add(key);
        expectKey = false;
      }
    } else if (c === '{') {
      open.push(new Set());
      expectKey = true;
    } else if (open.at(-1) === null && (c === '.' || c === 'e' || c === 'E') && /[0-9]/.test(text[i - 1]!)) {
      // JSON.parse reads 2.0 and 2e0 as 2; the format has integers only.
      throw new CheckpointError(
        `safetensors: the header has a fraction or an exponent where an integer belongs (byte ${8 + i})`,
      );
    } else if (c === '[') open.push(null);
    else if (c === '}' || c === ']') open.pop();
    else if (c === ',') expectKey = open.at(-1) !== null;
  }
  return parsed as Record<string, unknown>;
}

interface Entry {
  readonly name: string;
  readonly dtype: StateTensor['dtype'];
  readonly shape: number[];
  readonly begin: number;
  readonly end: number;
}

function readEntry(name: string, value: unknown): Entry {
  const at = `safetensors: tensor ${show(name)}`;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new CheckpointError(`${at}: its entry must be an object, got ${show(value)}`);
  }
  const info = value as Record<string, unknown>;
  const dtype = typeof info.dtype === 'string' ? BY_NAME.get(info.dtype) : undefined;
  if (dtype === undefined) {
    throw new CheckpointError(`${at}: dtype must be one of ${[...BY_NAME.keys()].join(', ')}, got ${show(info.dtype)}`);
  }
  const { shape, data_offsets: offsets } = info;
  const isCount = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0 && !Object.is(n, -0);
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw new CheckpointError(`${at}: shape must be an array of non-negative integers, got ${show(shape)}`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw new CheckpointError(`${at}: data_offsets must be two non-negative integers, got ${show(offsets)}`);
  }
  const size = FORMATS[dtype]![1];
  // Zeros apart, so that [0, 2^32, 2^32] overflows here as it does in the reference implementation.
  let elements = 1;
  for (const n of shape) {
    if (n !== 0) elements *= n;
    if (elements * size > Number.MAX_SAFE_INTEGER) {
      throw new CheckpointError(`${at}: shape [${shape.join(', ')}] has more elements than can be counted`);
    }
  }
  if (shape.includes(0)) elements = 0;
  const [begin, end] = offsets as [number, number];
  if (end - begin !== elements * size) {
    throw new CheckpointError(
      `${at}: shape [${shape.join(', ')}] of ${info.dtype} needs ${elements * size} bytes, data_offsets [${begin}, ${end}] hold ${end - begin}`,
    );
  }
  return { name, dtype, shape: [...(shape as number[])], begin, end };
}

function dataOf(bytes: Uint8Array, dtype: StateTensor['dtype']): StateTensor['data'] {
  const size = FORMATS[dtype]![1];
  let source = bytes;
  if (!LITTLE_ENDIAN && size > 1) source = swapped(bytes, size);
  else if (source.byteOffset % size !== 0) source = source.slice();
  const { buffer, byteOffset } = source;
  const length = source.byteLength / size;
  switch (dtype) {
    case 'float64':
      return new Float64Array(buffer, byteOffset, length);
    case 'int64':
      return new BigInt64Array(buffer, byteOffset, length);
    case 'float32':
      return new Float32Array(buffer, byteOffset, length);
    case 'bfloat16':
    case 'float16':
      return new Uint16Array(buffer, byteOffset, length);
    default:
      return source;
  }
}

/** What is in a safetensors file. */
export interface SafetensorsFile {
  /** The arrays by name, in the order of their bytes; an object without prototype. */
  tensors: Record<string, StateTensor>;
  /** Strings beside them; an object without prototype. */
  metadata: Record<string, string>;
}

/**
 * Reads a safetensors file. Arrays are views of `bytes` where their position is aligned to the element (which the usual writers see to), else
 * copies: change `bytes` afterwards and the arrays change.
 *
 * @returns The arrays by name in the order of their bytes (an object without prototype), and the metadata.
 * @throws CheckpointError that says what is wrong and where: header length, JSON, a key twice, dtype, shape, and byte ranges that leave
 * holes, overlap or do not cover the file.
 * @throws TypeError when bytes is not a Uint8Array.
 */
export function decodeSafetensors(bytes: Uint8Array): SafetensorsFile {
  if (!ArrayBuffer.isView(bytes) || (bytes as Uint8Array)[Symbol.toStringTag] !== 'Uint8Array') {
    throw new TypeError(`decodeSafetensors: bytes must be a Uint8Array, got ${show(bytes)}`);
  }
  if (bytes.length < 8) {
    throw new CheckpointError(`safetensors: the file has ${bytes.length} bytes, too few for the header's length`);
  }
  const declared = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(0, true);
  if (declared > BigInt(LONGEST_HEADER) || declared > BigInt(bytes.length - 8)) {
    throw new CheckpointError(
      `safetensors: the header's length is given as ${declared} bytes, but the file has ${bytes.length - 8} after it (and a header at most ${LONGEST_HEADER}); it is damaged, cut short, or not a safetensors file`,
    );
  }
  const start = 8 + Number(declared);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.slice(8, start));
  } catch (cause) {
    throw new CheckpointError('safetensors: the header is not valid UTF-8', { cause });
  }
  const header = parseHeader(text);
  const metadata: Record<string, string> = Object.create(null);
  const entries: Entry[] = [];
  for (const name of Object.keys(header)) {
    if (name !== '__metadata__') {
      entries.push(readEntry(name, header[name]));
      continue;
    }
    const given = header[name];
    if (typeof given !== 'object' || given === null || Array.isArray(given)) {
      throw new CheckpointError(`safetensors: __metadata__ must be an object of strings, got ${show(given)}`);
    }
    for (const [key, value] of Object.entries(given)) {
      if (typeof value !== 'string') {
        throw new CheckpointError(`safetensors: metadata ${show(key)} must be a string, got ${show(value)}`);
      }
      metadata[key] = value;
    }
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  const tensors: Record<string, StateTensor> = Object.create(null);
  let end = 0;
  for (const entry of entries) {
    if (entry.begin !== end) {
      throw new CheckpointError(
        `safetensors: tensor ${show(entry.name)} begins at byte ${entry.begin} of the data, but the one before it ends at ${end}; the arrays must lie side by side`,
      );
    }
    end = entry.end;
  }
  if (start + end !== bytes.length) {
    throw new CheckpointError(
      `safetensors: the arrays end at byte ${start + end}, but the file has ${bytes.length}; it is damaged or cut short`,
    );
  }
  for (const { name, dtype, shape, begin, end: last } of entries) {
    tensors[name] = { dtype, shape, data: dataOf(bytes.subarray(start + begin, start + last), dtype) };
  }
  return { tensors, metadata };
}
