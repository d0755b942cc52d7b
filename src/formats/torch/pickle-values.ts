/** What a pickle describes, before its tensors are read. */
import { quoted } from '../quote.ts';
import type { TorchType } from './torch-types.ts';

/**
 * A Python value. Dicts are plain objects already, tuples (also sets and Size) arrays, ints and
 * floats numbers, ints that no number holds bigints, bytes Uint8Arrays.
 */
export type PyValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly PyValue[]
  | PyDict
  | PyList
  | PyGlobal
  | PyStorage
  | PyTensor
  | PyComplex;

export interface PyDict {
  [key: string]: PyValue;
}

/** A list, which may still grow. Its array becomes the result's. */
export class PyList {
  items: PyValue[] | undefined;
}

/** One of the names that are allowed: what calling it does, or which format or storage it is. */
export class PyGlobal {
  readonly name: string;
  /** The format that it names, as `torch.float32` and `torch.FloatStorage` do. */
  readonly type: TorchType | undefined;
  readonly role: 'call' | 'dtype' | 'storage' | 'untyped' | 'refused';
  constructor(name: string, role: PyGlobal['role'], type?: TorchType) {
    this.name = name;
    this.role = role;
    this.type = type;
  }
}

/**
 * The memory behind tensors: entry `data/KEY` of the archive, or part of one in the legacy format.
 */
export class PyStorage {
  readonly key: string;
  /** Undefined: bytes, whose format the tensor says. */
  readonly type: TorchType | undefined;
  /** Elements. */
  readonly count: number;
  /** The first of its elements in the memory called `key`. */
  readonly begin: number;
  constructor(key: string, type: TorchType | undefined, count: number, begin = 0) {
    this.key = key;
    this.type = type;
    this.count = count;
    this.begin = begin;
  }
}

/** A tensor: elements of a storage. */
export class PyTensor {
  readonly storage: PyStorage;
  readonly type: TorchType;
  /** Its first element, counted from the beginning of the memory. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  /** Lazily negated (torch._neg_view), or conjugated: the values are to be changed. */
  readonly negative: boolean;
  readonly conjugate: boolean;
  constructor(
    storage: PyStorage,
    type: TorchType,
    offset: number,
    shape: readonly number[],
    stride: readonly number[],
    negative = false,
    conjugate = false,
  ) {
    this.storage = storage;
    this.type = type;
    this.offset = offset;
    this.shape = shape;
    this.stride = stride;
    this.negative = negative;
    this.conjugate = conjugate;
  }
}

/** A complex number, which JavaScript has not. */
export class PyComplex {
  readonly re: number;
  readonly im: number;
  constructor(re: number, im: number) {
    this.re = re;
    this.im = im;
  }
}

/** Whether this is a dict. */
export function isDict(value: PyValue | undefined): value is PyDict {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.getPrototypeOf(value) === Object.prototype
  );
}

/**
 * Sets an own property whatever its name: `__proto__`, which plain assignment takes for something
 * else, too.
 *
 * V8 keeps keys that are array indices in an array as long as the largest of them, which a single
 * key can make 12 kB. An index that does not follow the one before turns the object to a table
 * first: a very large index does so for good.
 *
 * @returns Bytes that a new key takes, by estimate.
 */
export function set<T>(dict: { [key: string]: T | null }, name: string, value: T): number {
  let cost: number = COST.key;
  const code = name.charCodeAt(0);
  if (code >= 48 && code <= 57 && name.length <= 9 && !Object.hasOwn(dict, name)) {
    const index = Number(name);
    if (String(index) === name && index === 0) cost = COST.indices;
    else if (String(index) === name && !Object.hasOwn(dict, index - 1) && !Object.hasOwn(dict, FAR)) {
      dict[FAR] = null;
      delete dict[FAR];
      cost = COST.table;
    }
  }
  if (name.startsWith('__'))
    Object.defineProperty(dict, name, { value, enumerable: true, writable: true, configurable: true });
  else dict[name] = value;
  return cost;
}

/** Beyond V8's limit for arrays of keys (2^29). */
const FAR = '1000000000';

/** What a value is, for messages. */
export function describe(value: PyValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'None';
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'bigint') return 'a large int';
  if (typeof value !== 'object') return String(value);
  if (value instanceof PyList) return 'a list';
  if (value instanceof PyGlobal) return value.name;
  if (value instanceof PyStorage) return 'a storage';
  if (value instanceof PyTensor) return 'a tensor';
  if (value instanceof PyComplex) return 'a complex number';
  if (ArrayBuffer.isView(value)) return 'bytes';
  return Array.isArray(value) ? 'a tuple' : 'a dict';
}

/**
 * The memory that reading may take: 64 MiB and 20 times the file, the result counted, so that a
 * small file cannot ask for much. What is spent is an estimate of what V8 needs; what Python's own
 * pickles describe costs less than its bytes allow.
 */
export class Budget {
  #left: number;
  /** What may be repeated: shared references and elements that unfold to copies. */
  #copies: number;
  #objects = 0;
  constructor(fileSize: number) {
    this.#left = 58 * MEGABYTE + 19 * fileSize;
    this.#copies = 24 * MEGABYTE + 8 * fileSize;
  }
  /**
   * Whether so many bytes of values are allowed. The collector's own room comes on top: the first
   * megabytes count most.
   */
  spend(bytes: number): boolean {
    this.#left -= (this.#objects < 20 * MEGABYTE ? 3.3 : 1.3) * bytes;
    this.#objects += bytes;
    return this.#left >= 0;
  }
  /** Whether so many bytes of elements are allowed. */
  elements(bytes: number): boolean {
    this.#left -= bytes;
    return this.#left >= 0;
  }
  /**
   * Whether so many bytes of elements more, which another tensor or the same has had already, are
   * allowed.
   */
  repeat(bytes: number): boolean {
    this.#copies -= bytes;
    return this.#copies >= 0 && this.elements(bytes);
  }
  /** Whether so many bytes of values more, which stand elsewhere already, are allowed. */
  copy(bytes: number): boolean {
    this.#copies -= 6 * bytes;
    return this.#copies >= 0 && this.spend(bytes);
  }
}

const MEGABYTE = 2 ** 20;

/**
 * Estimates of V8's memory, in bytes: a place in an array, a list or tuple, a dict, a key of a
 * dict, the array that comes with a dict's first key that is an index, the table that comes with
 * one that does not follow, a tensor.
 */
export const COST = { slot: 8, list: 48, dict: 60, key: 60, indices: 160, table: 240, tensor: 640 } as const;
