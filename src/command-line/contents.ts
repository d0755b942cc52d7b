/** Files as far as both formats can be told alike. */
import { RunFile } from '../checkpoints/training-state.ts';
import type { StateTensor, StateValue } from '../core/dtype.ts';
import { isTensor } from '../core/state-dict.ts';
import { type FileSource, fileSource } from '../disk/file-source.ts';
import { type ByteSource, bytesSource } from '../formats/byte-source.ts';
import { arrayOf, bytesOf, dtypeOf, elementBytes, LITTLE_ENDIAN, swapBytes } from '../formats/element-formats.ts';
import { openHeader } from '../formats/safetensors-file.ts';
import type { Entry } from '../formats/safetensors-header.ts';
import { readTorch } from '../formats/torch/files.ts';
import { plural } from './terminal.ts';

/** A dict of a file. */
export type Dict = { [key: string]: StateValue };

/** One array of a file; its bytes are read when they are asked for. */
export interface Item {
  readonly name: string;
  /** The name that it has in either format: `optimizer.state.0.exp_avg`, a weight's own. */
  readonly place: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Where its bytes lie. */
  readonly source: ByteSource;
  readonly offset: number;
}

/** What is in a file. */
export interface Contents {
  readonly format: 'PyTorch' | 'safetensors';
  /** In a few words. */
  readonly what: string;
  /** Bytes of the file. */
  readonly size: number;
  readonly items: readonly Item[];
  readonly metadata: Record<string, string>;
  /**
   * State dicts that are in it; their arrays of more than a few elements stand for themselves and
   * are not read.
   */
  readonly optimizer?: Dict;
  readonly scheduler?: Dict;
  readonly accumulator?: Dict;
  /** Names of the weights. */
  readonly weights: readonly string[];
  /** Everything else, by name. */
  readonly others: Dict;
  readonly file: FileSource;
  /** Reads an array whole. */
  tensor(item: Item): Promise<StateTensor>;
}

/** An object of a state dict. */
export function isDict(value: unknown): value is Dict {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !ArrayBuffer.isView(value) &&
    !isTensor(value)
  );
}

/** What kind of state dict a value is. */
export function kindOf(value: StateValue): 'optimizer' | 'scheduler' | 'weights' | null {
  if (!isDict(value)) return null;
  const groups = value.param_groups;
  if (
    isDict(value.state) &&
    Array.isArray(groups) &&
    groups.every((group) => isDict(group) && Array.isArray(group.params))
  )
    return 'optimizer';
  if (Object.hasOwn(value, 'last_epoch') && Object.hasOwn(value, '_last_lr')) return 'scheduler';
  const items = Object.values(value);
  return items.length > 0 && items.every((item) => isTensor(item)) ? 'weights' : null;
}

/** A key after those on the way to it. */
const joined = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

function collect(value: StateValue, path: string, place: string, parts: Dict, items: Item[]): void {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return;
  if (isTensor(value)) {
    const { dtype, shape, data } = value;
    const source = bytesSource(bytesOf(data));
    items.push({ name: path, place, dtype, shape, bytes: data.byteLength, source, offset: 0 });
    return;
  }
  const part = Object.keys(parts).find((key) => parts[key] === value);
  const root = part === undefined ? place : part === 'weights' ? '' : part;
  for (const [key, item] of Object.entries(value) as [string, StateValue][])
    collect(item, joined(path, key), joined(root, key), parts, items);
}

const STATES = { optimizer: 'an optimizer', scheduler: 'a scheduler', weights: 'a model' } as const;

/** The parts of what a .pt file holds: one state dict, or several beside other things. */
function torchParts(value: StateValue): Pick<Contents, 'what' | 'others'> & { parts: Dict } {
  const kind = kindOf(value);
  if (kind !== null) return { what: `state dict of ${STATES[kind]}`, parts: { [kind]: value }, others: {} };
  const parts: Dict = {};
  const others: Dict = {};
  for (const [key, item] of isDict(value) ? Object.entries(value) : []) {
    const inner = kindOf(item);
    if (inner !== null && parts[inner] === undefined) parts[inner] = item;
    else others[key] = item;
  }
  const names = Object.keys(parts);
  return { what: names.length > 0 ? `checkpoint with ${names.join(', ')}` : 'data', parts, others };
}

async function openTorch(file: FileSource): Promise<Contents> {
  const value = await readTorch(file);
  const { what, parts, others } = torchParts(value);
  const items: Item[] = [];
  collect(value, '', '', parts, items);
  const { weights, ...states } = parts;
  return {
    format: 'PyTorch',
    what,
    size: file.size,
    items,
    metadata: {},
    ...(states as { optimizer?: Dict; scheduler?: Dict }),
    weights: isDict(weights) ? Object.keys(weights) : [],
    others: weights === undefined ? others : { ...others, '': weights },
    file,
    tensor: readItem,
  };
}

/** An array in memory of its own. */
async function readItem({ dtype, shape, bytes, source, offset }: Item): Promise<StateTensor> {
  const data = new Uint8Array(bytes);
  await source.read(offset, data);
  const wide = { float32: 4, float64: 8, bfloat16: 2, float16: 2, int64: 8 }[dtype] ?? 1;
  // In a file the low byte comes first; what came from memory is in the host's order already.
  if (!LITTLE_ENDIAN && 'close' in source) swapBytes(data, wide);
  const array = ({ float32: 'Float32Array', float64: 'Float64Array', int64: 'BigInt64Array' } as const)[
    dtype as 'int64'
  ];
  const sixteen = dtype === 'bfloat16' || dtype === 'float16' ? ('Uint16Array' as const) : ('Uint8Array' as const);
  const format = { name: '', dtype, bits: 8 * wide, array: array ?? sixteen };
  return { dtype, shape: [...shape], data: arrayOf(format, data) };
}

/**
 * Arrays up to so many bytes are read with a description: steps and learning rates that are
 * tensors.
 */
const FEW = 64;

async function openSafe(file: FileSource): Promise<Contents> {
  const header = await openHeader('tensorless', file);
  const items = header.entries.map(({ name, format, shape, begin, end }): Item => {
    const at = { bytes: end - begin, source: file, offset: header.start + begin };
    return { name, place: name, ...dtypeOf(format, shape), ...at };
  });
  const { metadata } = header;
  const plain = { format: 'safetensors', size: file.size, items, file, tensor: readItem } as const;
  if (!Object.hasOwn(metadata, 'tensorless')) {
    return { ...plain, what: 'tensors', metadata, weights: items.map(({ name }) => name), others: {} };
  }
  const run = new RunFile(header, file.size);
  const small: Promise<void>[] = [];
  const tensorOf = ({ format, shape, begin, end }: Entry): StateTensor => {
    const bytes = new Uint8Array(end - begin <= FEW ? end - begin : 0);
    const read = file.read(header.start + begin, bytes);
    small.push(LITTLE_ENDIAN ? read : read.then(() => swapBytes(bytes, elementBytes(format))));
    return { ...dtypeOf(format, shape), data: arrayOf(format, bytes) };
  };
  const stub = { stateDict: () => null, prepareLoad: () => () => {} };
  const states = Object.fromEntries(run.parts.map((key) => [key, run.stateOf(key, stub, tensorOf)]));
  const extra = run.extra(tensorOf) as StateValue | undefined;
  await Promise.all(small);
  const weights = [...run.weights];
  const all = [...(weights.length > 0 ? [plural(weights.length, 'parameter')] : []), ...run.parts];
  const { tensorless: _, ...rest } = metadata;
  const own = new Set(weights);
  return {
    ...plain,
    items: items.map((item) => (own.has(item.name) ? item : { ...item, place: item.name.replaceAll('/', '.') })),
    what: `training state of tensorless: ${all.join(', ') || 'extras'}`,
    metadata: rest,
    ...(states as { optimizer?: Dict; scheduler?: Dict; accumulator?: Dict }),
    weights,
    others: extra === undefined ? {} : { extra },
  };
}

/**
 * Opens a file, told by its contents; of a safetensors file only the header is read. Close `file`
 * afterwards.
 */
export async function openContents(path: string): Promise<Contents> {
  const file = await fileSource(path);
  try {
    const first = new Uint8Array(Math.min(4, file.size));
    await file.read(0, first);
    // A zip archive, or a pickle: what torch.save writes now, and what it wrote before version 1.6.
    const torch =
      (first[0] === 0x50 && first[1] === 0x4b) ||
      (first[0] === 0x80 && first[1]! >= 2 && first[1]! <= 5 && first[2] === 0x8a);
    return await (torch ? openTorch(file) : openSafe(file));
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * The numbers and words of a file's states by their place, for looking at them and comparing them.
 */
export function scalarsOf({ optimizer, scheduler, accumulator, others }: Contents): Map<string, string> {
  const found = new Map<string, string>();
  const walk = (value: StateValue, path: string): void => {
    if (isTensor(value)) {
      if (value.data.length === 1) found.set(path, String(value.data[0]));
    } else if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
      for (const [key, item] of Object.entries(value)) walk(item as StateValue, joined(path, key));
    } else found.set(path, typeof value === 'string' ? value : ArrayBuffer.isView(value) ? 'bytes' : String(value));
  };
  for (const [key, dict] of Object.entries({ optimizer, scheduler, accumulator })) if (dict) walk(dict, key);
  for (const [key, value] of Object.entries(others)) if (key !== '') walk(value, key);
  return found;
}

/** A number, also where PyTorch has a tensor of one element. */
export function single(value: StateValue | undefined): number | null {
  if (typeof value === 'number') return value;
  return value !== undefined && isTensor(value) && value.data.length === 1 ? Number(value.data[0]) : null;
}
