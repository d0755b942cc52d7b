/**
 * The pickles in `.pt` files: no unpickler, but a reader of the few opcodes and the few names that state dicts are written with. A GLOBAL pushes one of a
 * fixed set of constants, REDUCE rebuilds a tensor or an OrderedDict, everything else is refused by name; so nothing can be executed.
 * Opcodes are those of Python's `pickletools`, protocol 2.
 */
import { show } from '../core/check.ts';
import { CheckpointError } from './error.ts';

/** A Python value. Ints are bigints, floats are numbers, so that 1 and 1.0 stay apart. */
export type PyValue =
  | null
  | boolean
  | bigint
  | number
  | string
  | PyList
  | PyTuple
  | PyDict
  | PyGlobal
  | PyStorage
  | PyTensor;

export class PyList {
  readonly items: PyValue[] = [];
}
export class PyTuple {
  readonly items: readonly PyValue[];
  constructor(items: readonly PyValue[]) {
    this.items = items;
  }
}
export class PyDict {
  readonly entries: Map<string | bigint, PyValue> = new Map();
}
/** One of the names that are allowed. */
export class PyGlobal {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}
/** The memory behind tensors: entry `data/KEY` of the archive. */
export class PyStorage {
  readonly type: string;
  readonly key: string;
  readonly count: number;
  constructor(type: string, key: string, count: number) {
    this.type = type;
    this.key = key;
    this.count = count;
  }
}
export class PyTensor {
  readonly storage: PyStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  constructor(storage: PyStorage, offset: number, shape: readonly number[], stride: readonly number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.stride = stride;
  }
}

const STORAGES = 'Float Double Half BFloat16 Long Int Short Char Byte Bool'
  .split(' ')
  .map((type) => `torch ${type}Storage`);
const REBUILD = 'torch._utils _rebuild_tensor_v2';
const ORDERED_DICT = 'collections OrderedDict';
const GLOBALS: ReadonlySet<string> = new Set([REBUILD, ORDERED_DICT, ...STORAGES]);

const MOST_MEMOS = 1 << 24;
const HIGHEST_RANK = 8;
const MARK = Symbol('mark');

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  /** Where the opcode at hand stands, for messages. */
  #opcodeAt = 0;
  readonly #stack: (PyValue | typeof MARK)[] = [];
  readonly #memo = new Map<number, PyValue>();
  readonly #storages = new Map<string, PyStorage>();
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  read(): PyValue {
    if (this.#bytes[0] !== 0x80 || this.#bytes[1] !== 2) this.#fail('the pickle does not begin with protocol 2');
    this.#at = 2;
    for (;;) {
      this.#opcodeAt = this.#at;
      const opcode = this.#bytes[this.#take(1)]!;
      if (opcode === 0x2e) break;
      this.#execute(opcode);
    }
    if (this.#at !== this.#bytes.length) this.#fail(`${this.#bytes.length - this.#at} bytes follow the end`);
    const value = this.#pop();
    if (this.#stack.length > 0) this.#fail(`${this.#stack.length} values are left over`);
    return value;
  }

  #fail(what: string): never {
    throw new CheckpointError(`pickle, byte ${this.#opcodeAt}: ${what}`);
  }

  /** Where the next `count` bytes begin. */
  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) this.#fail('the pickle is cut off');
    this.#at = at + count;
    return at;
  }

  #pop(): PyValue {
    const value = this.#stack.pop();
    if (value === undefined) this.#fail('the stack is empty');
    if (value === MARK) this.#fail('a mark stands where a value is expected');
    return value;
  }

  #top(): PyValue {
    const value = this.#stack.at(-1);
    if (value === undefined || value === MARK) this.#fail('there is no value on the stack');
    return value;
  }

  /** The values since the last mark. */
  #popToMark(): PyValue[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) this.#fail('there is no mark');
    const values = this.#stack.splice(mark) as (PyValue | typeof MARK)[];
    return values.slice(1) as PyValue[];
  }

  #text(length: number): string {
    const at = this.#take(length);
    try {
      return this.#decoder.decode(this.#bytes.subarray(at, at + length));
    } catch {
      this.#fail('a string is not UTF-8');
    }
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0 || end - this.#at > 200) this.#fail('a name is not ended');
    const text = this.#text(end - this.#at);
    this.#take(1);
    return text;
  }

  #execute(opcode: number): void {
    const stack = this.#stack;
    switch (opcode) {
      case 0x7d: // }
        stack.push(new PyDict());
        return;
      case 0x5d: // ]
        stack.push(new PyList());
        return;
      case 0x29: // )
        stack.push(new PyTuple([]));
        return;
      case 0x28: // (
        stack.push(MARK);
        return;
      case 0x74: // t
        stack.push(new PyTuple(this.#popToMark()));
        return;
      case 0x85:
      case 0x86:
      case 0x87:
        stack.push(new PyTuple(Array.from({ length: opcode - 0x84 }, () => this.#pop()).reverse()));
        return;
      case 0x61: // a
        this.#append([this.#pop()]);
        return;
      case 0x65: // e
        this.#append(this.#popToMark());
        return;
      case 0x73: // s
        this.#setItems([this.#pop(), this.#pop()].reverse());
        return;
      case 0x75: // u
        this.#setItems(this.#popToMark());
        return;
      case 0x4e: // N
        stack.push(null);
        return;
      case 0x88:
      case 0x89:
        stack.push(opcode === 0x88);
        return;
      case 0x4b: // K
        stack.push(BigInt(this.#bytes[this.#take(1)]!));
        return;
      case 0x4d: // M
        stack.push(BigInt(this.#view.getUint16(this.#take(2), true)));
        return;
      case 0x4a: // J
        stack.push(BigInt(this.#view.getInt32(this.#take(4), true)));
        return;
      case 0x8a:
        stack.push(this.#long());
        return;
      case 0x47: // G
        stack.push(this.#view.getFloat64(this.#take(8), false));
        return;
      case 0x58: // X
        stack.push(this.#text(this.#view.getUint32(this.#take(4), true)));
        return;
      case 0x71: // q
        this.#memoize(this.#bytes[this.#take(1)]!);
        return;
      case 0x72: // r
        this.#memoize(this.#view.getUint32(this.#take(4), true));
        return;
      case 0x68: // h
        this.#recall(this.#bytes[this.#take(1)]!);
        return;
      case 0x6a: // j
        this.#recall(this.#view.getUint32(this.#take(4), true));
        return;
      case 0x63: // c
        this.#global();
        return;
      case 0x52: // R
        this.#reduce();
        return;
      case 0x51: // Q
        this.#persistent();
        return;
      default:
        this.#fail(
          `opcode 0x${opcode.toString(16).padStart(2, '0')}${opcode > 32 && opcode < 127 ? ` (${String.fromCharCode(opcode)})` : ''} is not one of those that state dicts are written with; nothing is executed`,
        );
    }
  }

  #append(values: readonly PyValue[]): void {
    const list = this.#top();
    if (!(list instanceof PyList)) this.#fail('values are appended to something that is no list');
    for (const value of values) list.items.push(value);
  }

  #setItems(pairs: readonly PyValue[]): void {
    const dict = this.#top();
    if (!(dict instanceof PyDict)) this.#fail('items are set on something that is no dict');
    if (pairs.length % 2 !== 0) this.#fail('a key has no value');
    for (let i = 0; i < pairs.length; i += 2) {
      const key = pairs[i]!;
      if (typeof key !== 'string' && typeof key !== 'bigint')
        this.#fail(`a dict key must be a str or an int, got ${describe(key)}`);
      if (dict.entries.has(key)) this.#fail(`the key ${show(String(key))} is there twice`);
      dict.entries.set(key, pairs[i + 1]!);
    }
  }

  #long(): bigint {
    const length = this.#bytes[this.#take(1)]!;
    const at = this.#take(length);
    let value = 0n;
    for (let k = length - 1; k >= 0; k--) value = (value << 8n) | BigInt(this.#bytes[at + k]!);
    return length === 0 ? 0n : BigInt.asIntN(8 * length, value);
  }

  #memoize(index: number): void {
    if (index >= MOST_MEMOS) this.#fail(`memo index ${index} is out of all proportion`);
    this.#memo.set(index, this.#top());
  }

  #recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) this.#fail(`memo ${index} was never set`);
    this.#stack.push(value);
  }

  #global(): void {
    const module = this.#line();
    const name = `${module} ${this.#line()}`;
    if (!GLOBALS.has(name)) {
      this.#fail(
        `the global ${show(name.replace(' ', '.'))} is refused; a state dict needs tensors and OrderedDict only, and nothing is executed`,
      );
    }
    this.#stack.push(new PyGlobal(name));
  }

  #reduce(): void {
    const args = this.#pop();
    const callable = this.#pop();
    if (!(callable instanceof PyGlobal) || !(args instanceof PyTuple)) this.#fail('REDUCE needs a global and a tuple');
    if (callable.name === ORDERED_DICT && args.items.length === 0) this.#stack.push(new PyDict());
    else if (callable.name === REBUILD) this.#stack.push(this.#tensor(args.items));
    else this.#fail(`${callable.name.replace(' ', '.')} cannot be called like this`);
  }

  #tensor(args: readonly PyValue[]): PyTensor {
    if (args.length !== 6 && args.length !== 7)
      this.#fail(`a tensor is rebuilt from 6 or 7 arguments, got ${args.length}`);
    const [storage, offset, shape, stride, requiresGrad, hooks] = args;
    if (!(storage instanceof PyStorage)) this.#fail('a tensor has no storage');
    if (typeof requiresGrad !== 'boolean' || !(hooks instanceof PyDict) || hooks.entries.size > 0)
      this.#fail('a tensor has hooks, or is not rebuilt as torch.save writes it');
    const sizes = this.#integers('shape', shape);
    const strides = this.#integers('stride', stride);
    const start = this.#integer('offset', offset);
    if (sizes.length !== strides.length) this.#fail('shape and stride of a tensor differ in length');
    if (sizes.length > HIGHEST_RANK) this.#fail(`a tensor has ${sizes.length} dimensions, more than ${HIGHEST_RANK}`);
    let last = start;
    let count = 1;
    for (const [axis, size] of sizes.entries()) {
      count *= size;
      last += (size - 1) * strides[axis]!;
      if (!Number.isSafeInteger(count) || !Number.isSafeInteger(last)) this.#fail('a tensor is larger than any file');
    }
    if (count > 0 ? last >= storage.count : start > storage.count)
      this.#fail(`a tensor reaches to element ${last} of a storage with ${storage.count}`);
    return new PyTensor(storage, start, sizes, strides);
  }

  #integers(what: string, value: PyValue | undefined): number[] {
    if (!(value instanceof PyTuple)) this.#fail(`the ${what} of a tensor is no tuple`);
    return value.items.map((item) => this.#integer(what, item));
  }

  #integer(what: string, value: PyValue | undefined): number {
    if (typeof value !== 'bigint' || value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER))
      this.#fail(`the ${what} must be a non-negative int, got ${describe(value)}`);
    return Number(value);
  }

  #persistent(): void {
    const id = this.#pop();
    if (!(id instanceof PyTuple) || id.items.length !== 5 || id.items[0] !== 'storage')
      this.#fail('a persistent id must be ("storage", type, key, location, count)');
    const [, type, key, location, count] = id.items;
    if (!(type instanceof PyGlobal) || !STORAGES.includes(type.name)) this.#fail('a storage has no type');
    if (typeof key !== 'string' || !/^[0-9]{1,15}$/.test(key) || typeof location !== 'string')
      this.#fail('a storage has no key of digits, or no location');
    const elements = this.#integer('count of a storage', count);
    const known = this.#storages.get(key);
    if (known !== undefined && (known.type !== type.name || known.count !== elements))
      this.#fail(`storage ${key} is described in two ways`);
    const storage = known ?? new PyStorage(type.name, key, elements);
    this.#storages.set(key, storage);
    this.#stack.push(storage);
  }
}

/** What a value is, for messages. */
export function describe(value: PyValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (value instanceof PyList) return 'a list';
  if (value instanceof PyTuple) return 'a tuple';
  if (value instanceof PyDict) return 'a dict';
  if (value instanceof PyGlobal) return value.name.replace(' ', '.');
  if (value instanceof PyStorage) return 'a storage';
  if (value instanceof PyTensor) return 'a tensor';
  if (value === null) return 'None';
  return typeof value === 'bigint' ? String(value) : show(value);
}

/** The value of a pickle. */
export function readPickle(bytes: Uint8Array): PyValue {
  return new Reader(bytes).read();
}

/** Writes values as torch.save does, without a memo. */
export class PickleWriter {
  #bytes = new Uint8Array(1024);
  #view: DataView = new DataView(this.#bytes.buffer);
  #length = 0;

  #room(count: number): number {
    const at = this.#length;
    if (at + count > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(2 * this.#bytes.length, at + count));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length += count;
    return at;
  }

  /** Opcodes as they are. */
  put(...opcodes: number[]): void {
    const at = this.#room(opcodes.length);
    this.#bytes.set(opcodes, at);
  }

  /** A pickle of what has been written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  int(value: number | bigint): void {
    const big = BigInt(value);
    if (big >= 0n && big < 256n) this.put(0x4b, Number(big));
    else if (big >= 0n && big < 65536n) this.put(0x4d, Number(big) & 0xff, Number(big) >> 8);
    else if (BigInt.asIntN(32, big) === big) {
      this.put(0x4a);
      const at = this.#room(4);
      this.#view.setInt32(at, Number(big), true);
    } else {
      let length = 5;
      while (BigInt.asIntN(8 * length, big) !== big) length++;
      this.put(0x8a, length);
      for (let k = 0; k < length; k++) this.put(Number((big >> BigInt(8 * k)) & 0xffn));
    }
  }

  float(value: number): void {
    this.put(0x47);
    // The room first: it may replace the view.
    const at = this.#room(8);
    this.#view.setFloat64(at, value, false);
  }

  string(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.put(0x58);
    const at = this.#room(4 + bytes.length);
    this.#view.setUint32(at, bytes.length, true);
    this.#bytes.set(bytes, at + 4);
  }

  bool(value: boolean): void {
    this.put(value ? 0x88 : 0x89);
  }

  none(): void {
    this.put(0x4e);
  }

  global(module: string, name: string): void {
    this.put(0x63, ...new TextEncoder().encode(`${module}\n${name}\n`));
  }

  /** A tuple of ints. */
  intTuple(values: readonly number[]): void {
    this.put(0x28);
    for (const value of values) this.int(value);
    this.put(0x74);
  }

  /** A contiguous tensor over the whole of a storage. */
  tensor(storageType: string, key: string, count: number, shape: readonly number[]): void {
    this.global('torch._utils', '_rebuild_tensor_v2');
    this.put(0x28, 0x28);
    this.string('storage');
    this.global('torch', storageType);
    this.string(key);
    this.string('cpu');
    this.int(count);
    this.put(0x74, 0x51);
    this.int(0);
    this.intTuple(shape);
    this.intTuple(shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1)));
    this.bool(false);
    this.global('collections', 'OrderedDict');
    this.put(0x29, 0x52, 0x74, 0x52);
  }
}
