/**
 * The description in a training state: everything that is not an array, as JSON. Arrays stand in
 * the file under a name that says where they stood; what JSON cannot say is an object with one key
 * that begins with `$`.
 */
import type { StateTensor, StateValue } from '../core/dtype.ts';
import { isTensor } from '../core/state-dict.ts';
import { CheckpointError } from '../formats/error.ts';
import { type Allowance, allowanceFor, costOf, JsonReader, putOwn } from '../formats/json.ts';
import { brief, hasHalfPair, quoted, shortened } from '../formats/quote.ts';

/** Deeper nesting is refused, in writing and reading; real states have four levels. */
const DEEPEST = 64;
const FORMAT = 1;

/** What stands in the metadata. */
export interface Content {
  format: number;
  /** Names of the weights, in their order. */
  parameters?: string[];
  /** Names of what each state is about, in the order of the state. */
  names?: { optimizer?: string[]; accumulator?: string[] };
  optimizer?: unknown;
  scheduler?: unknown;
  accumulator?: unknown;
  extra?: unknown;
}

/** Turns states into JSON-able values and collects their arrays. */
export class Packer {
  /** Arrays by name. */
  readonly tensors: Map<string, StateTensor> = new Map();
  readonly #where: string;
  #cost = 0;
  readonly #keys = new Set<string>();

  constructor(where: string) {
    this.#where = where;
  }

  /** The JSON-able form of a part of the run. */
  pack(value: unknown, part: string): unknown {
    // A name of its own also for an array that is the whole of a part: a parameter may be called as
    // the part is.
    if (isTensor(value)) return this.#tensor(value, `${part}/`);
    return this.#pack(value, part, 0);
  }

  /** Refuses what the reader would refuse in a file of this size. */
  checkCost(fileSize: number): void {
    if (this.#cost <= allowanceFor(fileSize).left) return;
    throw new RangeError(
      `${this.#where}: extra has too many objects beside what they hold; save it as one JSON string`,
    );
  }

  #tensor(tensor: StateTensor, name: string): unknown {
    if (this.tensors.has(name)) throw new RangeError(`${this.#where}: two arrays would be named ${quoted(name)}`);
    this.tensors.set(name, tensor);
    return this.#special('$tensor', name);
  }

  #special(key: string, text: string): unknown {
    this.#cost += costOf('object') + costOf('key') + costOf('text', text.length);
    return { [key]: text };
  }

  #pack(value: unknown, path: string, depth: number): unknown {
    if (value === null || typeof value === 'boolean') return value;
    if (typeof value === 'string') {
      this.#cost += costOf('text', value.length);
      return value;
    }
    if (typeof value === 'number') {
      if (Number.isFinite(value) && !Object.is(value, -0)) return value;
      return this.#special('$number', Object.is(value, -0) ? '-0' : String(value));
    }
    if (typeof value === 'bigint') return this.#special('$bigint', String(value));
    if (depth > DEEPEST) {
      const at = shortened(path, 80);
      throw new RangeError(`${this.#where}: ${at} is nested more than ${DEEPEST} deep, or contains itself`);
    }
    if (isTensor(value)) return this.#tensor(value, path);
    if (Array.isArray(value)) {
      this.#cost += costOf('array') + value.length * costOf('item');
      const packed: unknown[] = [];
      // By index: map() would step over holes, and JSON make null of them.
      for (let i = 0; i < value.length; i++) packed.push(this.#pack(value[i], `${path}/${i}`, depth + 1));
      return packed;
    }
    if (typeof value === 'object' && !ArrayBuffer.isView(value) && isPlain(value))
      return this.#object(value, path, depth);
    const repair = ArrayBuffer.isView(value) ? '; give arrays as [...array]' : '';
    throw new TypeError(
      `${this.#where}: ${shortened(path, 80)} must be null, a boolean, number, string, array or plain object, ` +
        `got ${brief(value)}${repair}`,
    );
  }

  #object(value: object, path: string, depth: number): unknown {
    this.#cost += costOf('object');
    const packed: Record<string, unknown> = {};
    const pairs: [string, unknown][] = [];
    let special = false;
    for (const [key, item] of Object.entries(value)) {
      if (item === undefined) continue;
      if (hasHalfPair(key)) {
        throw new RangeError(
          `${this.#where}: the key ${quoted(key)} in ${shortened(path, 80)} holds half a surrogate pair; rename it`,
        );
      }
      this.#cost += costOf('key', key.length);
      this.#keys.add(key);
      // As in a JSON pointer (RFC 6901): no two paths give one name.
      const inner = this.#pack(item, `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, depth + 1);
      if (key.startsWith('$') || key === '__proto__') special = true;
      pairs.push([key, inner]);
    }
    if (!special) {
      for (const [key, inner] of pairs) packed[key] = inner;
      return packed;
    }
    this.#cost += pairs.length * (costOf('array') + 3 * costOf('item') + costOf('text', 1));
    return { $object: pairs };
  }
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** The description's text. */
export function contentText(content: Omit<Content, 'format'>): string {
  return JSON.stringify({ format: FORMAT, ...content });
}

const NUMBERS: ReadonlyMap<unknown, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
  ['-0', -0],
]);

/**
 * The value that was packed. Lists and objects are changed in place, so that a description is in
 * memory once.
 *
 * @param tensorOf - The array of a name; undefined where the file has none.
 */
export function unpack(value: unknown, tensorOf: (name: string) => StateTensor | undefined, depth = 0): StateValue {
  if (depth > DEEPEST + 1) throw new CheckpointError(`checkpoint: the state is nested more than ${DEEPEST} deep`);
  if (typeof value !== 'object' || value === null) return value as StateValue;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = unpack(value[i], tensorOf, depth + 1);
    return value as StateValue;
  }
  const given = value as Record<string, unknown>;
  const keys = Object.keys(given);
  const first = keys[0];
  if (first === undefined || !first.startsWith('$')) {
    for (const key of keys) {
      const item = given[key];
      if (typeof item === 'object' && item !== null) putOwn(given, key, unpack(item, tensorOf, depth + 1));
    }
    return given as StateValue;
  }
  const content = given[first];
  if (first === '$number' && NUMBERS.has(content)) return NUMBERS.get(content)!;
  if (first === '$bigint' && typeof content === 'string' && /^-?\d{1,1000}$/.test(content)) return BigInt(content);
  if (first === '$tensor' && typeof content === 'string') {
    const tensor = tensorOf(content);
    if (tensor !== undefined) return tensor;
  }
  if (
    first === '$object' &&
    Array.isArray(content) &&
    content.every((pair) => Array.isArray(pair) && typeof pair[0] === 'string')
  ) {
    const object: { [key: string]: StateValue } = {};
    for (const [key, item] of content) putOwn(object, key, unpack(item, tensorOf, depth + 1));
    return object;
  }
  throw new CheckpointError(
    `checkpoint: the state holds ${quoted(first)}: ${brief(content)}, which this version does not know`,
  );
}

/** Reads a file's description. */
export function readContent(metadata: Record<string, string>, fileSize: number): Content {
  const text = metadata.tensorless;
  if (text === undefined) {
    throw new CheckpointError(
      'checkpoint: this safetensors file is no training state of tensorless (its metadata has no key "tensorless")',
    );
  }
  const content = readPlain('checkpoint: its description', text, allowanceFor(fileSize));
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new CheckpointError(`checkpoint: its description must be an object, got ${brief(content)}`);
  }
  const { format, parameters, names } = content as Content;
  if (format !== FORMAT) {
    throw new CheckpointError(
      `checkpoint: it has format version ${brief(format)}, this library reads version ${FORMAT}; ` +
        'use the tensorless that wrote it',
    );
  }
  const isNames = (list: unknown): boolean => Array.isArray(list) && list.every((name) => typeof name === 'string');
  if (parameters !== undefined && !isNames(parameters)) {
    throw new CheckpointError(`checkpoint: its parameters must be a list of names, got ${brief(parameters)}`);
  }
  if (names !== undefined) {
    const lists = typeof names === 'object' && names !== null ? Object.values(names) : [null];
    if (!lists.every(isNames)) throw new CheckpointError(`checkpoint: its names must be lists, got ${brief(names)}`);
  }
  return content as Content;
}

/**
 * A JSON text of a file, within an allowance of memory.
 *
 * @param python - Whether NaN and Infinity are numbers.
 */
export function readPlain(where: string, text: string, allowance: Allowance, python = false): unknown {
  const reader = new JsonReader(
    text,
    (what, at) => {
      throw new CheckpointError(`${where} cannot be read: ${what} (character ${at})`);
    },
    { halves: true, python },
  );
  const value = reader.value(allowance);
  reader.end();
  return value;
}
