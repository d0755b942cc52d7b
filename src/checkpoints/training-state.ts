/** A training state: what goes into the file, and what comes out of it, wherever the file is. */
import type { NumericArray, StateTensor, StateValue } from '../core/dtype.ts';
import type { Parameter } from '../core/parameter.ts';
import { bytesOf, dtypeOf } from '../formats/element-formats.ts';
import { CheckpointError } from '../formats/error.ts';
import { brackets, quoted, some } from '../formats/quote.ts';
import { headerOf, joined, tensorIn } from '../formats/safetensors-file.ts';
import { type Entry, type Header, type Layout, layOut } from '../formats/safetensors-header.ts';
import { type Content, contentText, Packer, readContent, unpack } from './training-content.ts';
import { byName } from './training-names.ts';
import {
  type CheckedParts,
  checkedParts,
  namesOf,
  type OwnStateful,
  STATEFUL,
  type StatefulKey,
  type TrainingParts,
} from './training-parts.ts';

/**
 * The file of a run, laid out.
 *
 * @param copied - Whether the arrays are copied, so that the run may go on; else they are the live
 * ones.
 * @param beside - Metadata that stands beside the description.
 */
export function layOutRun(
  where: string,
  parts: TrainingParts,
  copied: boolean,
  beside: Readonly<Record<string, string>> = {},
): Layout {
  const { parameters, ...checked } = checkedParts(where, parts);
  const packer = new Packer(where);
  const content: Omit<Content, 'format'> = {};
  const names: Content['names'] = {};
  for (const key of STATEFUL) {
    const part = checked[key];
    if (part === undefined) continue;
    content[key] = packer.pack(!copied && part.liveStateDict ? part.liveStateDict() : part.stateDict(), key);
    const own = key === 'scheduler' ? null : namesOf(part);
    if (own !== null && key !== 'scheduler') names[key] = own;
  }
  if (checked.extra !== undefined) content.extra = packer.pack(checked.extra, 'extra');
  const { tensors } = packer;
  if (parameters !== null) {
    content.parameters = parameters.map((parameter) => parameter.name!);
    for (const { name, dtype, shape, data } of parameters) {
      tensors.set(name!, { dtype, shape: [...shape], data: copied ? copyOf(data) : data });
    }
  }
  if (Object.keys(names).length > 0) content.names = names;
  const layout = layOut(where, tensors, { ...beside, tensorless: contentText(content) });
  packer.checkCost(layout.size);
  return layout;
}

/** A copy in memory of its own: a slice() of shared memory would be shared again. */
export function copyOf(data: NumericArray): NumericArray {
  if (data.BYTES_PER_ELEMENT === 8) return new Float64Array(data as Float64Array);
  return data.BYTES_PER_ELEMENT === 4 ? new Float32Array(data as Float32Array) : new Uint16Array(data as Uint16Array);
}

/**
 * Writes the parts of a run into one safetensors file. The arrays are copied once, into the file.
 *
 * @returns The file's bytes; `tensorless/node` has a function that puts them on disk safely, piece
 * by piece.
 * @throws TypeError or RangeError when a parameter has no name or one that is taken, or extra holds
 * something that JSON cannot.
 */
export function encodeTrainingState(parts: TrainingParts): Uint8Array {
  return joined(layOutRun('encodeTrainingState', parts, false));
}

/** A training state whose header has been read; each part is taken out of it once. */
export class RunFile {
  readonly #content: Content;
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #weights: ReadonlySet<string>;

  constructor({ entries, metadata }: Header, fileSize: number) {
    this.#content = readContent(metadata, fileSize);
    this.#entries = new Map(entries.map((entry) => [entry.name, entry]));
    this.#weights = new Set(this.#content.parameters);
  }

  /** Where a parameter's values lie; checked against the live one. */
  entryOf(parameter: Parameter): Entry {
    const { shape, dtype, data } = parameter;
    const name = parameter.name!;
    const entry = this.#weights.has(name) ? this.#entries.get(name) : undefined;
    const at = `checkpoint: parameter ${quoted(name)}`;
    if (entry === undefined) {
      throw new CheckpointError(`${at} is not in the file; it has ${some([...this.#weights]) || 'no parameters'}`);
    }
    const saved = dtypeOf(entry.format, entry.shape);
    if (saved.dtype !== dtype || saved.shape.length !== shape.length || saved.shape.some((n, i) => n !== shape[i])) {
      throw new CheckpointError(
        `${at} is ${dtype} of shape ${brackets(shape)} here, ` +
          `but ${saved.dtype} of shape ${brackets(saved.shape)} in the file`,
      );
    }
    if (data.byteLength !== entry.end - entry.begin) {
      throw new CheckpointError(`${at} has no values any more; was its buffer transferred to another thread?`);
    }
    return entry;
  }

  /** The state dict of a part, in the order of the live one. */
  stateOf(key: StatefulKey, part: OwnStateful, tensorOf: (entry: Entry) => StateTensor): StateValue {
    const content = this.#content[key];
    if (content === undefined)
      throw new CheckpointError(`checkpoint: the file has no ${key}; leave it out, or load another file`);
    const state = this.#unpack(content, tensorOf);
    if (key === 'scheduler') return state;
    return byName(key, state, this.#content.names?.[key], part);
  }

  /** The extras. */
  extra(tensorOf: (entry: Entry) => StateTensor): unknown {
    const { extra } = this.#content;
    return extra === undefined ? undefined : this.#unpack(extra, tensorOf);
  }

  /** Which states are in it. */
  get parts(): StatefulKey[] {
    return STATEFUL.filter((key) => this.#content[key] !== undefined);
  }

  /** Names of the weights. */
  get weights(): ReadonlySet<string> {
    return this.#weights;
  }

  /** Names of what a state is about, where the file has them. */
  names(key: 'optimizer' | 'accumulator'): readonly string[] | undefined {
    return this.#content.names?.[key];
  }

  #unpack(value: unknown, tensorOf: (entry: Entry) => StateTensor): StateValue {
    return unpack(value, (name) => {
      const entry = this.#entries.get(name);
      return entry && tensorOf(entry);
    });
  }
}

/**
 * Checks a state against the part that it is for; the function that puts it in place, the
 * optimizer's before the scheduler's.
 *
 * @param adopt - Whether the state's arrays may become the live ones.
 */
export function prepared(
  key: StatefulKey,
  parts: Pick<CheckedParts, StatefulKey>,
  state: StateValue,
  adopt = false,
): () => void {
  try {
    const commit = parts[key]!.prepareLoad(state, { adopt });
    const groups = key === 'scheduler' ? parts.optimizer?.paramGroups : undefined;
    if (groups === undefined) return commit;
    return () => {
      // The loaded ones, where the scheduler would take a group for new and give it its own.
      const lrs = groups.map(({ lr }) => lr);
      commit();
      for (const [i, lr] of lrs.entries()) groups[i]!.lr = lr;
    };
  } catch (cause) {
    throw new CheckpointError(`checkpoint: the ${key} does not fit: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Restores the given parts in place; a subset of the file's will do. The whole file is checked
 * against all of them before the first value changes.
 *
 * Weights go by name. Moments and sums go by name where file and run have names, else by position.
 *
 * @returns The extras that were saved; undefined when there were none.
 * @throws CheckpointError that says what does not fit (a damaged file, another model's or another
 * optimizer's state); nothing has changed then.
 * @throws TypeError or RangeError when parts itself is wrong.
 */
export function decodeTrainingState(bytes: Uint8Array, parts: TrainingParts): unknown {
  const { parameters, ...checked } = checkedParts('decodeTrainingState', parts);
  const header = headerOf('decodeTrainingState', bytes);
  const file = new RunFile(header, bytes.length);
  const tensorOf = (entry: Entry): StateTensor => tensorIn(bytes, header.start, entry);
  const extra = file.extra(tensorOf);
  const saved = (parameters ?? []).map((parameter) => file.entryOf(parameter));
  const commits: (() => void)[] = [];
  for (const key of STATEFUL) {
    const part = checked[key];
    if (part !== undefined) commits.push(prepared(key, checked, file.stateOf(key, part, tensorOf)));
  }
  for (const [i, parameter] of (parameters ?? []).entries()) {
    bytesOf(parameter.data).set(bytesOf(tensorOf(saved[i]!).data));
  }
  for (const commit of commits) commit();
  return extra;
}
