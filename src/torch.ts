/**
 * The files that `torch.save` writes for optimizers and schedulers: `optimizer.pt` and `scheduler.pt` of a Trainer checkpoint. Reading executes
 * nothing: the few names a state dict needs are allowed, everything else in the file is refused.
 *
 * @module
 */
import { options as checkOptions, list, show } from './core/check.ts';
import type { OptimizerStateDict, StateTensor, StateValue } from './core/dtype.ts';
import { isTensor } from './core/state-dict.ts';
import { CheckpointError } from './formats/error.ts';
import {
  describe,
  PickleWriter,
  PyDict,
  PyList,
  PyTensor,
  PyTuple,
  type PyValue,
  readPickle,
} from './formats/pickle.ts';
import { readZip, writeZip, type ZipEntry } from './formats/zip.ts';

export { CheckpointError } from './formats/error.ts';

/** Options of {@link decodeTorch}. */
export interface DecodeTorchOptions {
  /**
   * Takes a checksum of 0 for an absent one, as `torch.serialization.set_crc32_options(False)` leaves it. Default false.
   */
  allowMissingCrc?: boolean;
}

/** Options of {@link encodeTorch}. */
export interface EncodeTorchOptions {
  /**
   * Key the state by these names, in parameter order, in place of indices: the form `torch.distributed.checkpoint.state_dict` wants. As many as the
   * groups have parameters, all different.
   */
  parameterNames?: readonly string[];
}

/** PyTorch's storage class of each format, and its elements' bytes. */
const STORAGE: Readonly<Record<StateTensor['dtype'], readonly [type: string, bytes: number]>> = {
  float32: ['FloatStorage', 4],
  float64: ['DoubleStorage', 8],
  bfloat16: ['BFloat16Storage', 2],
  float16: ['HalfStorage', 2],
  int64: ['LongStorage', 8],
  uint8: ['ByteStorage', 1],
  bool: ['BoolStorage', 1],
};

interface Format {
  readonly dtype: StateTensor['dtype'];
  readonly size: number;
  /** Reads element `k`; int64 as a bigint. */
  read(view: DataView, k: number, little: boolean): number | bigint;
}

/** Narrow integers are widened to int64, which holds them all. */
const FORMATS: ReadonlyMap<string, Format> = new Map<string, Format>([
  ['torch FloatStorage', { dtype: 'float32', size: 4, read: (view, k, little) => view.getUint32(4 * k, little) }],
  ['torch DoubleStorage', { dtype: 'float64', size: 8, read: (view, k, little) => view.getBigInt64(8 * k, little) }],
  ['torch HalfStorage', { dtype: 'float16', size: 2, read: (view, k, little) => view.getUint16(2 * k, little) }],
  ['torch BFloat16Storage', { dtype: 'bfloat16', size: 2, read: (view, k, little) => view.getUint16(2 * k, little) }],
  ['torch LongStorage', { dtype: 'int64', size: 8, read: (view, k, little) => view.getBigInt64(8 * k, little) }],
  ['torch IntStorage', { dtype: 'int64', size: 4, read: (view, k, little) => BigInt(view.getInt32(4 * k, little)) }],
  ['torch ShortStorage', { dtype: 'int64', size: 2, read: (view, k, little) => BigInt(view.getInt16(2 * k, little)) }],
  ['torch CharStorage', { dtype: 'int64', size: 1, read: (view, k) => BigInt(view.getInt8(k)) }],
  ['torch ByteStorage', { dtype: 'uint8', size: 1, read: (view, k) => view.getUint8(k) }],
  ['torch BoolStorage', { dtype: 'bool', size: 1, read: (view, k) => (view.getUint8(k) === 0 ? 0 : 1) }],
]);

/** Deeper nesting is refused, in reading and writing; real states have four levels. */
const DEEPEST = 64;
/** Shared references and expanded tensors may unfold to so many times the file's size (and a little more), and no further. */
const UNFOLD = 16;
const UNFOLD_LEAST = 1 << 20;

/** Sets an own property whatever its name: `__proto__` is a name like others. */
function put(object: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
}

class Decoder {
  readonly #entries: ReadonlyMap<string, ZipEntry>;
  readonly #root: string;
  readonly #little: boolean;
  #budget: number;
  /** Containers on the way from the top: one that is met again contains itself. */
  readonly #path = new Set<PyValue>();

  constructor(entries: ReadonlyMap<string, ZipEntry>, root: string, little: boolean, fileSize: number) {
    this.#entries = entries;
    this.#root = root;
    this.#little = little;
    this.#budget = UNFOLD * fileSize + UNFOLD_LEAST;
  }

  value(value: PyValue, where: string): StateValue {
    this.#spend(8, where);
    if (value === null || typeof value === 'boolean' || typeof value === 'number') return value;
    if (typeof value === 'string') {
      this.#spend(value.length, where);
      return value;
    }
    if (typeof value === 'bigint') {
      const number = Number(value);
      if (!Number.isFinite(number) || BigInt(number) !== value)
        throw new CheckpointError(`${where}: the int ${value} cannot be held exactly by a number`);
      return number;
    }
    if (value instanceof PyTensor) return this.#tensor(value, where);
    if (this.#path.has(value)) throw new CheckpointError(`${where} contains itself`);
    if (this.#path.size >= DEEPEST) throw new CheckpointError(`${where} is nested more than ${DEEPEST} deep`);
    this.#path.add(value);
    let result: StateValue;
    if (value instanceof PyList || value instanceof PyTuple) {
      result = value.items.map((item, i) => this.value(item, `${where}[${i}]`));
    } else if (value instanceof PyDict) {
      result = {};
      for (const [key, item] of value.entries) {
        const name = String(key);
        if (Object.hasOwn(result, name))
          throw new CheckpointError(`${where} has the key ${show(name)} as int and as str`);
        put(result, name, this.value(item, `${where}.${name}`));
      }
    } else throw new CheckpointError(`${where} is ${describe(value)}, which is no data`);
    this.#path.delete(value);
    return result;
  }

  #spend(bytes: number, where: string): void {
    this.#budget -= bytes;
    if (this.#budget < 0)
      throw new CheckpointError(
        `${where}: shared references or repeated elements unfold to many times the file's size`,
      );
  }

  #tensor({ storage, offset, shape, stride }: PyTensor, where: string): StateTensor {
    const name = `data/${storage.key}`;
    const entry = this.#entries.get(`${this.#root}/${name}`);
    if (entry === undefined) throw new CheckpointError(`${where}: the entry ${name} is missing`);
    const format = FORMATS.get(storage.type)!;
    if (entry.bytes.length !== storage.count * format.size) {
      throw new CheckpointError(
        `${where}: the entry ${name} has ${entry.bytes.length} bytes, its ${storage.count} elements need ${storage.count * format.size}`,
      );
    }
    const length = shape.reduce((a, b) => a * b, 1);
    this.#spend(8 * length, where);
    const { bytes } = entry;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const at = positions(offset, shape, stride, length);
    const read = (k: number): number | bigint => format.read(view, at(k), this.#little);
    return { dtype: format.dtype, shape: [...shape], data: collect(format, length, read) };
  }
}

/** The place in the storage of each element in row-major order. */
function positions(
  offset: number,
  shape: readonly number[],
  stride: readonly number[],
  length: number,
): (k: number) => number {
  let contiguous = 1;
  let plain = true;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && stride[axis] !== contiguous) plain = false;
    contiguous *= shape[axis]!;
  }
  if (plain || length === 0) return (k) => offset + k;
  return (k) => {
    let rest = k;
    let place = offset;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place += (rest % shape[axis]!) * stride[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    return place;
  };
}

/** Elements as an array of their own. Floats travel as bits, so that NaN payloads stay. */
function collect({ dtype }: Format, length: number, read: (k: number) => number | bigint): StateTensor['data'] {
  if (dtype === 'int64' || dtype === 'float64') {
    const data = new BigInt64Array(length);
    for (let k = 0; k < length; k++) data[k] = read(k) as bigint;
    return dtype === 'int64' ? data : new Float64Array(data.buffer);
  }
  if (dtype === 'float32') {
    const data = new Uint32Array(length);
    for (let k = 0; k < length; k++) data[k] = read(k) as number;
    return new Float32Array(data.buffer);
  }
  const data = dtype === 'uint8' || dtype === 'bool' ? new Uint8Array(length) : new Uint16Array(length);
  for (let k = 0; k < length; k++) data[k] = read(k) as number;
  return data;
}

function textOf(entry: ZipEntry): string {
  return Array.from(entry.bytes.subarray(0, 32), (byte) => String.fromCharCode(byte)).join('');
}

/**
 * Reads a file that `torch.save` has written: dicts become objects (int keys too become names), lists and tuples arrays, ints and floats numbers, tensors
 * {@link StateTensor}s with elements of their own, in row-major order whatever their strides; int8, int16 and int32 tensors become int64.
 *
 * Nothing is executed: the file may name tensors' storages, the function that rebuilds a tensor, and `OrderedDict`, and nothing else.
 *
 * @param bytes - The file's contents.
 * @returns Plain data; detached from `bytes`.
 * @throws CheckpointError that says what is wrong and where: not a zip archive, damaged, compressed, with a pickle that does anything else
 * than describe data, nested more than 64 deep, or unfolding to many times its size.
 * @throws TypeError when `bytes` is no Uint8Array.
 */
export function decodeTorch(bytes: Uint8Array, options: DecodeTorchOptions = {}): StateValue {
  const { allowMissingCrc } = checkOptions('decodeTorch', options, ['allowMissingCrc']);
  if (!ArrayBuffer.isView(bytes) || bytes[Symbol.toStringTag] !== 'Uint8Array') {
    throw new TypeError(
      `decodeTorch: bytes must be a Uint8Array with the file's contents, got ${show(bytes)}${(bytes as unknown) instanceof ArrayBuffer ? '; wrap it: new Uint8Array(buffer)' : ''}`,
    );
  }
  // Memory that another thread could write to between check and use is copied first.
  const own =
    Object.prototype.toString.call(bytes.buffer) === '[object SharedArrayBuffer]' ? new Uint8Array(bytes) : bytes;
  const entries = readZip(own, allowMissingCrc === true);
  const first = entries.keys().next().value!;
  const slash = first.indexOf('/');
  if (slash < 1)
    throw new CheckpointError(`zip: the entry ${show(first)} is in no folder; torch.save puts all into one`);
  const root = first.slice(0, slash);
  for (const name of entries.keys()) {
    if (!name.startsWith(`${root}/`))
      throw new CheckpointError(`zip: the entry ${show(name)} is not in the folder ${show(root)}`);
  }
  const entry = (name: string): ZipEntry => {
    const found = entries.get(`${root}/${name}`);
    if (found === undefined)
      throw new CheckpointError(`zip: the entry ${show(`${root}/${name}`)} is missing; is this a file of torch.save?`);
    return found;
  };
  if (entries.has(`${root}/constants.pkl`))
    throw new CheckpointError('this is a TorchScript archive, not a state dict');
  const version = textOf(entry('version')).trim();
  if (!/^([1-9]|10)$/.test(version))
    throw new CheckpointError(`the version must be from 1 to 10, got ${show(version)}`);
  const order = entries.has(`${root}/byteorder`) ? textOf(entry('byteorder')) : 'little';
  if (order !== 'little' && order !== 'big')
    throw new CheckpointError(`the byte order must be little or big, got ${show(order)}`);
  const value = readPickle(entry('data.pkl').bytes);
  return new Decoder(entries, root, order === 'little', own.length).value(value, 'the file');
}

/**
 * Keys whose numbers are floats in Python, also where they are whole: `lr` 1 is 1.0 there. Everything else is an int where it is whole, as PyTorch's and
 * transformers' own dicts have it.
 */
const FLOATS: ReadonlySet<string> = new Set(
  (
    'lr initial_lr eps betas weight_decay clip_threshold decay_rate beta1 beta2_decay d momentum dampening alpha ' +
    'base_lrs _last_lr _init_lrs min_lrs max_lrs default_min_lr factor threshold best mode_worse values sum'
  ).split(' '),
);
/** Keys whose lists are tuples in Python. */
const TUPLES: ReadonlySet<string> = new Set(['eps', 'betas']);

class Encoder {
  readonly #writer = new PickleWriter();
  readonly #payloads: Uint8Array[] = [];

  value(value: StateValue, key: string, where: string, depth = 0): void {
    const writer = this.#writer;
    if (depth > DEEPEST)
      throw new RangeError(`encodeTorch: ${where} is nested more than ${DEEPEST} deep, or contains itself`);
    if (value === null) writer.none();
    else if (typeof value === 'boolean') writer.bool(value);
    else if (typeof value === 'string') writer.string(value);
    else if (typeof value === 'number') {
      if (FLOATS.has(key) || !Number.isInteger(value) || Object.is(value, -0)) writer.float(value);
      else writer.int(value);
    } else if (isTensor(value)) this.#tensor(value, where);
    else if (Array.isArray(value)) {
      if (TUPLES.has(key)) {
        writer.put(0x28);
        for (const [i, item] of value.entries()) this.value(item, key, `${where}[${i}]`, depth + 1);
        writer.put(0x74);
      } else this.#list(value, (item, i) => this.value(item, key, `${where}[${i}]`, depth + 1));
    } else if (typeof value === 'object' && !ArrayBuffer.isView(value)) {
      this.dict(Object.entries(value), (item, name) => this.value(item, name, `${where}.${name}`, depth + 1));
    } else throw new TypeError(`encodeTorch: ${where} must be plain data, got ${show(value)}`);
  }

  #list<T>(items: readonly T[], write: (item: T, i: number) => void): void {
    this.#writer.put(0x5d, 0x28);
    for (const [i, item] of items.entries()) write(item, i);
    this.#writer.put(0x65);
  }

  /** A dict; keys of digits only become ints where `ints` says so. */
  dict<T>(entries: readonly (readonly [string, T])[], write: (item: T, name: string) => void, ints = false): void {
    const writer = this.#writer;
    writer.put(0x7d, 0x28);
    for (const [name, item] of entries) {
      if (ints && /^(0|[1-9][0-9]{0,14})$/.test(name)) writer.int(Number(name));
      else writer.string(name);
      write(item, name);
    }
    writer.put(0x75);
  }

  #tensor({ dtype, shape, data }: StateTensor, where: string): void {
    if (!Object.hasOwn(STORAGE, dtype)) {
      throw new RangeError(
        `encodeTorch: ${where}: dtype must be one of ${list(Object.keys(STORAGE))}, got ${show(dtype)}`,
      );
    }
    const [type, size] = STORAGE[dtype]!;
    const length = Array.isArray(shape) ? shape.reduce((a, b) => a * b, 1) : Number.NaN;
    if (data.BYTES_PER_ELEMENT !== size || data.length !== length) {
      throw new RangeError(`encodeTorch: ${where}: shape ${show(shape)} of ${dtype} does not fit ${show(data)}`);
    }
    this.#writer.tensor(type, String(this.#payloads.length), length, shape);
    this.#payloads.push(littleEndian(data));
  }

  /** A float tensor without dimensions. */
  scalar(value: number, wide: boolean): void {
    const data = wide ? Float64Array.of(value) : Float32Array.of(value);
    this.#tensor({ dtype: wide ? 'float64' : 'float32', shape: [], data }, 'a scalar');
  }

  int(value: number): void {
    this.#writer.int(value);
  }

  file(write: () => void): Uint8Array {
    this.#writer.put(0x80, 2);
    write();
    this.#writer.put(0x2e);
    const text = (content: string): Uint8Array => new TextEncoder().encode(content);
    return writeZip([
      ['archive/data.pkl', this.#writer.finish()],
      ['archive/byteorder', text('little')],
      ...this.#payloads.map((payload, i) => [`archive/data/${i}`, payload] as const),
      ['archive/version', text('3\n')],
    ]);
  }
}

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

function littleEndian(data: StateTensor['data']): Uint8Array {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (LITTLE_ENDIAN || data.BYTES_PER_ELEMENT === 1) return bytes;
  const swapped = new Uint8Array(bytes);
  for (let at = 0; at < swapped.length; at += data.BYTES_PER_ELEMENT) {
    swapped.subarray(at, at + data.BYTES_PER_ELEMENT).reverse();
  }
  return swapped;
}

function isOptimizer(dict: object): dict is OptimizerStateDict {
  return Object.hasOwn(dict, 'state') && Array.isArray((dict as OptimizerStateDict).param_groups);
}

/** An entry of the optimizer's state, with step and RMS as PyTorch writes them. */
function writeEntry(encoder: Encoder, entry: Record<string, StateValue>, adafactor: boolean, where: string): void {
  const wide = Object.values(entry).some(
    (value) => isTensor(value) && value.dtype === 'float64' && value.shape.length > 0,
  );
  encoder.dict(Object.entries(entry), (value, key) => {
    // transformers' Adafactor counts in a Python int and keeps RMS in a tensor; PyTorch's own optimizers count in a float32 tensor.
    if (key === 'step' && typeof value === 'number') {
      if (adafactor) encoder.int(value);
      else encoder.scalar(value, false);
    } else if (key === 'RMS' && typeof value === 'number') encoder.scalar(value, wide);
    else if (key === 'step' && adafactor && isTensor(value) && value.data.length === 1)
      encoder.int(Number(value.data[0]));
    else encoder.value(value, key, `${where}.${key}`);
  });
}

function writeOptimizer(encoder: Encoder, dict: OptimizerStateDict, names: readonly string[] | undefined): void {
  const ids = dict.param_groups.flatMap((group) => [...group.params]);
  if (names !== undefined) {
    const texts = names.every((name) => typeof name === 'string');
    if (!texts || names.length !== ids.length || new Set(names).size !== names.length) {
      throw new RangeError(
        `encodeTorch: parameterNames must be ${ids.length} different strings, one for each parameter; got ${show(names)}`,
      );
    }
  }
  const renamed = new Map(ids.map((id, i) => [String(id), names?.[i] ?? String(id)]));
  const adafactor = dict.param_groups.some((group) => Object.hasOwn(group, 'clip_threshold'));
  const state = Object.entries(dict.state).map(([id, entry]) => {
    const name = renamed.get(id);
    if (name === undefined)
      throw new RangeError(`encodeTorch: state has an entry ${show(id)}, but no group lists that parameter`);
    return [name, entry] as const;
  });
  encoder.dict(Object.entries(dict), (value, key) => {
    if (key === 'state') {
      encoder.dict(state, (entry, id) => writeEntry(encoder, entry, adafactor, `state.${id}`), names === undefined);
    } else if (key === 'param_groups') {
      const groups = dict.param_groups.map((group) => {
        const { params, ...options } = group;
        return { ...options, params: params.map((id) => (names === undefined ? id : renamed.get(String(id))!)) };
      });
      encoder.value(groups as StateValue, key, key);
    } else encoder.value(value as StateValue, key, key);
  });
}

/**
 * Writes a state dict as the file that `torch.save` would have written: `torch.load(weights_only=True)` reads it, and `load_state_dict` of the same
 * optimizer or scheduler there takes it.
 *
 * What JavaScript cannot tell apart is written as PyTorch has it: keys of `state` as ints, `eps` and `betas` as tuples, learning rates and other
 * fractions as floats, `step` as an int (transformers' Adafactor) or a float32 tensor (PyTorch's optimizers), `RMS` as a tensor of the state's format.
 *
 * @param stateDict - Of an optimizer or a scheduler, or any plain data.
 * @returns The file's bytes.
 * @throws TypeError or RangeError, naming the place, for what is no plain data, for `parameterNames` that do not fit, and for 4 GiB and more.
 */
export function encodeTorch(
  stateDict: OptimizerStateDict | Record<string, StateValue>,
  options: EncodeTorchOptions = {},
): Uint8Array {
  const { parameterNames } = checkOptions('encodeTorch', options, ['parameterNames']) as EncodeTorchOptions;
  if (
    typeof stateDict !== 'object' ||
    stateDict === null ||
    Array.isArray(stateDict) ||
    ArrayBuffer.isView(stateDict)
  ) {
    throw new TypeError(`encodeTorch: stateDict must be an object, got ${show(stateDict)}`);
  }
  if (parameterNames !== undefined && (!Array.isArray(parameterNames) || !isOptimizer(stateDict))) {
    throw new TypeError(
      'encodeTorch: parameterNames must be an array of strings, beside the state dict of an optimizer',
    );
  }
  const encoder = new Encoder();
  return encoder.file(() => {
    if (isOptimizer(stateDict)) writeOptimizer(encoder, stateDict, parameterNames);
    else encoder.value(stateDict as StateValue, '', 'stateDict');
  });
}
