/**
 * A whole run in one file: parameters, optimizer, scheduler, accumulator and extras. Loading it gives the same run: every later bit is
 * the one of an uninterrupted run.
 *
 * The file is a safetensors file, which Python's `safetensors` reads too. Parameters stand in it under their own names; arrays of state under
 * `optimizer/...` and `accumulator/...`; everything else as JSON under the metadata key `tensorless`, numbers as exact doubles.
 *
 * @module
 */
import { show } from './core/check.ts';
import type { NumericArray, StateTensor, StateValue } from './core/dtype.ts';
import { label, Parameter } from './core/parameter.ts';
import { isTensor } from './core/state-dict.ts';
import { CheckpointError } from './formats/error.ts';
import { decodeSafetensors, encodeSafetensors } from './safetensors.ts';

export { CheckpointError } from './formats/error.ts';

/** What an optimizer, a scheduler and an accumulator have in common: a state that can be saved, checked, and put in place. */
export interface Stateful {
  /** The state as plain data. */
  stateDict(): unknown;
  /** Checks a state and returns the function that puts it in place and cannot fail. */
  prepareLoad(stateDict: StateValue): () => void;
}

/** The parts of a run; each may be left out. */
export interface TrainingParts {
  /** The weights; each needs a name of its own. */
  parameters?: Iterable<Parameter>;
  /** The optimizer. */
  optimizer?: Stateful;
  /** The scheduler. */
  scheduler?: Stateful;
  /** The gradient accumulator, also in the middle of a round. */
  accumulator?: Stateful;
  /** Anything that JSON can hold: epoch, data position, seed. NaN, infinities and -0 are kept too. */
  extra?: unknown;
}

const FORMAT = 1;
const STATEFUL = ['optimizer', 'scheduler', 'accumulator'] as const;
const PARTS: readonly string[] = ['parameters', ...STATEFUL, 'extra'];
/** Deeper nesting is refused, in writing and reading; real states have four levels. */
const DEEPEST = 64;

/** What stands in the metadata. */
interface Content {
  format: number;
  parameters?: string[];
  optimizer?: unknown;
  scheduler?: unknown;
  accumulator?: unknown;
  extra?: unknown;
}

/**
 * JSON-able form of a state: arrays go to `tensors` under a name that says where they stood. What JSON cannot say is an object with one key that starts
 * with `$`; objects that have such keys themselves, or `__proto__`, are written as pairs.
 */
function pack(value: unknown, path: string, tensors: Record<string, StateTensor>, depth = 0): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') {
    return Number.isFinite(value) && !Object.is(value, -0)
      ? value
      : { $number: Object.is(value, -0) ? '-0' : String(value) };
  }
  if (depth > DEEPEST)
    throw new RangeError(`encodeTrainingState: ${path} is nested more than ${DEEPEST} deep, or contains itself`);
  if (isTensor(value)) {
    tensors[path] = value;
    return { $tensor: path };
  }
  if (Array.isArray(value)) return value.map((item, i) => pack(item, `${path}/${i}`, tensors, depth + 1));
  if (typeof value === 'object' && !ArrayBuffer.isView(value) && isPlain(value)) {
    const given = Object.entries(value).filter(([, item]) => item !== undefined);
    const pairs = given.map(([key, item]) => [key, pack(item, `${path}/${key}`, tensors, depth + 1)] as const);
    const special = pairs.some(([key]) => key.startsWith('$') || key === '__proto__');
    return special ? { $object: pairs } : Object.fromEntries(pairs);
  }
  const repair = ArrayBuffer.isView(value) ? '; give arrays as [...array]' : '';
  throw new TypeError(
    `encodeTrainingState: ${path} must be null, a boolean, number, string, array or plain object, got ${show(value)}${repair}`,
  );
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

const NUMBERS: ReadonlyMap<unknown, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
  ['-0', -0],
]);

function unpack(value: unknown, tensors: Record<string, StateTensor>, depth = 0): StateValue {
  if (depth > DEEPEST + 1) throw new CheckpointError(`checkpoint: the state is nested more than ${DEEPEST} deep`);
  if (typeof value !== 'object' || value === null) return value as StateValue;
  if (Array.isArray(value)) return value.map((item) => unpack(item, tensors, depth + 1));
  const keys = Object.keys(value);
  const first = keys[0];
  const given = value as Record<string, unknown>;
  if (first === undefined || !first.startsWith('$'))
    return recordOf(keys.map((key) => [key, unpack(given[key], tensors, depth + 1)]));
  const content = given[first];
  if (first === '$number' && NUMBERS.has(content)) return NUMBERS.get(content)!;
  if (first === '$tensor' && typeof content === 'string' && Object.hasOwn(tensors, content)) return tensors[content]!;
  if (
    first === '$object' &&
    Array.isArray(content) &&
    content.every((pair) => Array.isArray(pair) && typeof pair[0] === 'string')
  ) {
    return recordOf(content.map(([key, item]) => [key, unpack(item, tensors, depth + 1)]));
  }
  throw new CheckpointError(
    `checkpoint: the state holds ${show(first)}: ${show(content)}, which this version does not know`,
  );
}

/** An ordinary object whose keys are all its own, `__proto__` too. */
function recordOf(pairs: (readonly [string, StateValue])[]): { [key: string]: StateValue } {
  return Object.fromEntries(pairs);
}

function checkedParts(where: string, parts: TrainingParts): { parts: TrainingParts; parameters: Parameter[] | null } {
  if (typeof parts !== 'object' || parts === null) {
    throw new TypeError(
      `${where}: parts must be an object such as { parameters, optimizer, scheduler }, got ${show(parts)}`,
    );
  }
  for (const key of Object.keys(parts)) {
    if (!PARTS.includes(key)) {
      throw new RangeError(
        `${where}: unknown part ${show(key)}. Known parts: ${PARTS.join(', ')}; put your own data into extra`,
      );
    }
  }
  for (const key of STATEFUL) {
    const part = parts[key];
    if (part !== undefined && (typeof part?.stateDict !== 'function' || typeof part.prepareLoad !== 'function')) {
      throw new TypeError(`${where}: ${key} must have stateDict() and prepareLoad(), got ${show(part)}`);
    }
  }
  if (parts.parameters === undefined) return { parts, parameters: null };
  if (typeof parts.parameters?.[Symbol.iterator] !== 'function') {
    throw new TypeError(
      `${where}: parameters must be an array (or other iterable) of Parameters, got ${show(parts.parameters)}`,
    );
  }
  const parameters = [...parts.parameters];
  const names = new Set<string>();
  for (const [i, parameter] of parameters.entries()) {
    if (!(parameter instanceof Parameter)) {
      throw new TypeError(`${where}: parameters[${i}] must be a Parameter, got ${show(parameter)}`);
    }
    const { name } = parameter;
    if (name === undefined) {
      throw new RangeError(
        `${where}: parameter ${i} has no name; in a file it needs one: new Parameter(data, shape, { name: 'weight' })`,
      );
    }
    if (names.has(name))
      throw new RangeError(`${where}: two parameters are named ${show(name)}; give each a name of its own`);
    if (name === '__metadata__' || /^(optimizer|scheduler|accumulator|extra)\//.test(name)) {
      throw new RangeError(`${where}: a parameter cannot be named ${show(name)}; the file keeps other things there`);
    }
    names.add(name);
  }
  return { parts, parameters };
}

/**
 * Writes the parts of a run into one safetensors file.
 *
 * @returns The file's bytes; `tensorless/node` has a function that puts them on disk safely.
 * @throws TypeError or RangeError when a parameter has no name or one that is taken, or extra holds something that JSON cannot.
 */
export function encodeTrainingState(parts: TrainingParts): Uint8Array {
  const { parameters } = checkedParts('encodeTrainingState', parts);
  const tensors: Record<string, StateTensor> = Object.create(null);
  const content: Content = { format: FORMAT };
  if (parameters !== null) {
    content.parameters = parameters.map((parameter) => parameter.name!);
    for (const { name, dtype, shape, data } of parameters) tensors[name!] = { dtype, shape: [...shape], data };
  }
  for (const key of STATEFUL) {
    if (parts[key] !== undefined) content[key] = pack(parts[key].stateDict(), key, tensors);
  }
  if (parts.extra !== undefined) content.extra = pack(parts.extra, 'extra', tensors);
  return encodeSafetensors(tensors, { tensorless: JSON.stringify(content) });
}

function readContent(metadata: Record<string, string>): Content {
  const text = metadata.tensorless;
  if (text === undefined) {
    throw new CheckpointError(
      'checkpoint: this safetensors file is no training state of tensorless (its metadata has no key "tensorless")',
    );
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`checkpoint: its description is not valid JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new CheckpointError(`checkpoint: its description must be an object, got ${show(content)}`);
  }
  const { format, parameters } = content as Content;
  if (format !== FORMAT) {
    throw new CheckpointError(
      `checkpoint: it has format version ${show(format)}, this library reads version ${FORMAT}; use the tensorless that wrote it`,
    );
  }
  if (parameters !== undefined && (!Array.isArray(parameters) || parameters.some((name) => typeof name !== 'string'))) {
    throw new CheckpointError(`checkpoint: its parameters must be a list of names, got ${show(parameters)}`);
  }
  return content as Content;
}

/** The function that copies a saved parameter's values into the live one. */
function prepareParameter(parameter: Parameter, content: Content, tensors: Record<string, StateTensor>): () => void {
  const saved = content.parameters?.includes(parameter.name!) ? tensors[parameter.name!] : undefined;
  const at = `checkpoint: ${label(parameter)}`;
  if (saved === undefined) {
    throw new CheckpointError(
      `${at} is not in the file; it has ${content.parameters?.map(show).join(', ') || 'no parameters'}`,
    );
  }
  const { shape, dtype } = parameter;
  if (
    saved.dtype !== dtype ||
    saved.shape.length !== shape.length ||
    saved.shape.some((n, axis) => n !== shape[axis])
  ) {
    throw new CheckpointError(
      `${at} is ${dtype} of shape [${shape.join(', ')}] here, but ${saved.dtype} of shape [${saved.shape.join(', ')}] in the file`,
    );
  }
  if (parameter.data.length !== saved.data.length) {
    throw new CheckpointError(`${at} has no values any more; was its buffer transferred to another thread?`);
  }
  return () => (parameter.data as Float32Array).set(saved.data as NumericArray);
}

/**
 * Restores the given parts in place; a subset of the file's will do. The whole file is checked against all of them before the first value changes.
 *
 * @returns The extras that were saved; undefined when there were none.
 * @throws CheckpointError that says what does not fit (a damaged file, another model's or another optimizer's state); nothing has changed then.
 * @throws TypeError or RangeError when parts itself is wrong.
 */
export function decodeTrainingState(bytes: Uint8Array, parts: TrainingParts): unknown {
  const { parameters } = checkedParts('decodeTrainingState', parts);
  const { tensors, metadata } = decodeSafetensors(bytes);
  const content = readContent(metadata);
  const extra = content.extra === undefined ? undefined : unpack(content.extra, tensors);
  const apply = (parameters ?? []).map((parameter) => prepareParameter(parameter, content, tensors));
  for (const key of STATEFUL) {
    const part = parts[key];
    if (part === undefined) continue;
    if (content[key] === undefined)
      throw new CheckpointError(`checkpoint: the file has no ${key}; leave it out, or load another file`);
    const state = unpack(content[key], tensors);
    try {
      apply.push(part.prepareLoad(state));
    } catch (cause) {
      throw new CheckpointError(`checkpoint: the ${key} does not fit: ${(cause as Error).message}`, { cause });
    }
  }
  for (const put of apply) put();
  return extra;
}
