/** Training states of any size, piece by piece: from any source, to any sink. */
import type { StateTensor, StateValue } from '../core/dtype.ts';
import { isTensor } from '../core/state-dict.ts';
import type { ByteSource } from '../formats/byte-source.ts';
import { arrayOf, bytesOf, dtypeOf, elementBytes } from '../formats/element-formats.ts';
import { CheckpointError } from '../formats/error.ts';
import { type ByteSink, type Reading, readPieces, writePieces } from '../formats/pieces.ts';
import { quoted } from '../formats/quote.ts';
import { openHeader } from '../formats/safetensors-file.ts';
import type { Entry } from '../formats/safetensors-header.ts';
import { type CheckedParts, checkedParts, STATEFUL, type TrainingParts } from './training-parts.ts';
import { layOutRun, prepared, RunFile } from './training-state.ts';

/** Options of {@link writeTrainingState}. */
export interface WriteOptions {
  /**
   * true (default): the state is copied at the call, training may go on at once. false: written
   * from the live arrays without a copy; leave them alone until the promise settles.
   */
  snapshot?: boolean;
}

/** Options of {@link readTrainingState}. */
export interface ReadOptions {
  /**
   * false (default): all or nothing, with one copy of what is read in memory. true: everything is
   * checked, then the bytes are read into the live arrays; a source that fails half-way leaves a
   * torn run, and the error says so.
   */
  inPlace?: boolean;
}

/** The option's value; anything but a boolean is refused. */
export function flag(where: string, options: object, name: string, otherwise: boolean): boolean {
  const value = (options as Record<string, unknown>)[name] ?? otherwise;
  for (const key of Object.keys(options)) {
    if (key !== name) throw new RangeError(`${where}: unknown option "${key.slice(0, 40)}". Known options: "${name}"`);
  }
  if (typeof value !== 'boolean') throw new TypeError(`${where}: ${name} must be true or false`);
  return value;
}

/**
 * Writes the parts of a run piece by piece, for files of any size wherever they are kept: the bytes
 * are those of `encodeTrainingState`.
 *
 * @param sink - For example a `FileSystemWritableFileStream`, or `{ write }` of your own. Close it
 * yourself.
 * @throws (rejects) As `encodeTrainingState`, or the sink's error.
 */
export async function writeTrainingState(
  parts: TrainingParts,
  sink: ByteSink,
  options: WriteOptions = {},
): Promise<void> {
  const copied = flag('writeTrainingState', options, 'snapshot', true);
  if (typeof sink?.write !== 'function') throw new TypeError('writeTrainingState: sink must have write(bytes)');
  await writePieces(layOutRun('writeTrainingState', parts, copied), sink);
}

/**
 * Restores the given parts from a source of any size, as `decodeTrainingState` does from bytes in
 * memory.
 *
 * @param source - For example `blobSource(file)`.
 * @returns The extras that were saved; undefined when there were none.
 * @throws (rejects) CheckpointError that says what does not fit, or the source's error; nothing has
 * changed then, except with `inPlace`, where the error says so.
 */
export async function readTrainingState<Extra = unknown>(
  source: ByteSource,
  parts: TrainingParts,
  options: ReadOptions = {},
): Promise<Extra> {
  const inPlace = flag('readTrainingState', options, 'inPlace', false);
  const checked = checkedParts('readTrainingState', parts);
  return (await readRun(source, checked, inPlace)) as Extra;
}

/** A run's file that has been opened: what is in it is known, nothing of it is read yet. */
export interface OpenedRun {
  readonly file: RunFile;
  /** Reads the parts and puts them in place. */
  read(parts: CheckedParts, inPlace: boolean): Promise<unknown>;
}

/** Opens a run's file. */
export async function openRun(source: ByteSource): Promise<OpenedRun> {
  const header = await openHeader('readTrainingState', source);
  const file = new RunFile(header, source.size);
  return { file, read: (parts, inPlace) => (inPlace ? readLive : readStaged)(source, file, header.start, parts) };
}

/** Restores checked parts. */
export async function readRun(source: ByteSource, parts: CheckedParts, inPlace: boolean): Promise<unknown> {
  return (await openRun(source)).read(parts, inPlace);
}

/** Arrays of their own for a file's tensors, to be read all together. */
class Staging {
  readonly readings: Reading[] = [];
  readonly #start: number;

  constructor(start: number) {
    this.#start = start;
  }

  tensor({ format, shape, begin, end }: Entry): StateTensor {
    const bytes = new Uint8Array(end - begin);
    this.readings.push({ offset: this.#start + begin, into: bytes, size: elementBytes(format) });
    return { ...dtypeOf(format, shape), data: arrayOf(format, bytes) };
  }

  into({ format, begin }: Entry, bytes: Uint8Array): void {
    this.readings.push({ offset: this.#start + begin, into: bytes, size: elementBytes(format) });
  }
}

/** All or nothing: everything is read beside the run, then put in place by what cannot fail. */
async function readStaged(source: ByteSource, file: RunFile, start: number, parts: CheckedParts): Promise<unknown> {
  const staging = new Staging(start);
  const tensorOf = (entry: Entry): StateTensor => staging.tensor(entry);
  const extra = file.extra(tensorOf);
  const parameters = parts.parameters ?? [];
  const values = parameters.map((parameter) => bytesOf(tensorOf(file.entryOf(parameter)).data));
  const states: [(typeof STATEFUL)[number], StateValue][] = [];
  for (const key of STATEFUL) {
    const part = parts[key];
    if (part !== undefined) states.push([key, file.stateOf(key, part, tensorOf)]);
  }
  await readPieces(source, staging.readings);
  // The run may have gone on while the file was read: its arrays are looked at again.
  for (const parameter of parameters) file.entryOf(parameter);
  const commits = states.map(([key, state]) => prepared(key, parts, state, true));
  for (const [i, parameter] of parameters.entries()) bytesOf(parameter.data).set(values[i]!);
  for (const commit of commits) commit();
  return extra;
}

/**
 * Tensors up to so many bytes are read beside the run in any case: steps that are tensors of one
 * element.
 */
const FEW = 4096;

/** Everything is checked and made room for; then the bytes go where they belong. */
async function readLive(source: ByteSource, file: RunFile, start: number, parts: CheckedParts): Promise<unknown> {
  const first = new Staging(start);
  const late = new Map<StateTensor, Entry>();
  let zeros = new ArrayBuffer(0);
  // In place of what will be read into the live arrays: all of them over the same zeros.
  const standIn = (entry: Entry): StateTensor => {
    const { format, shape, begin, end } = entry;
    if (end - begin <= FEW || (format.name !== 'F32' && format.name !== 'F64')) return first.tensor(entry);
    if (zeros.byteLength < end - begin) zeros = new ArrayBuffer(end - begin);
    const tensor = { ...dtypeOf(format, shape), data: arrayOf(format, new Uint8Array(zeros, 0, end - begin)) };
    late.set(tensor, entry);
    return tensor;
  };
  const extra = file.extra((entry) => first.tensor(entry));
  const parameters = parts.parameters ?? [];
  const entries = parameters.map((parameter) => file.entryOf(parameter));
  const states = STATEFUL.flatMap((key) => {
    const part = parts[key];
    if (part === undefined) return [];
    const own = part.liveStateDict === undefined ? (entry: Entry) => first.tensor(entry) : standIn;
    return [{ key, part, state: file.stateOf(key, part, own) }];
  });
  for (const { state } of states) fillOthers(state, '', late, first);
  await readPieces(source, first.readings);
  for (const parameter of parameters) file.entryOf(parameter);
  const commits = states.map(({ key, state }) => prepared(key, parts, state, false));
  for (const commit of commits) commit();
  const live = new Staging(start);
  for (const [i, parameter] of parameters.entries()) live.into(entries[i]!, bytesOf(parameter.data));
  for (const { part, state } of states) {
    if (part.liveStateDict !== undefined) collect(state, part.liveStateDict(), late, live);
  }
  try {
    await readPieces(source, live.readings);
  } catch (cause) {
    throw new CheckpointError(
      "the run is torn, part of it is the file's and part is not: load a whole file before it goes on. " +
        (cause as Error).message,
      { cause },
    );
  }
  return extra;
}

/**
 * Where the library's own states have arrays; what stands elsewhere may be kept under another key
 * when it is live.
 */
const OWN_PLACE = /^\/(state\/\d+\/((max_)?exp_avg(_sq(_row|_col)?)?|momentum_buffer)|gradients\/\d+)$/;

/** Gives the stand-ins that do not stand at such a place memory of their own. */
function fillOthers(value: unknown, path: string, late: Map<StateTensor, Entry>, staging: Staging): void {
  if (typeof value !== 'object' || value === null) return;
  const entry = isTensor(value) ? late.get(value) : undefined;
  if (entry === undefined) {
    if (isTensor(value)) return;
    if (path === '' && !isNumbered(value)) path = '/by name';
    for (const [key, item] of Object.entries(value)) fillOthers(item, `${path}/${key}`, late, staging);
  } else if (!OWN_PLACE.test(path)) {
    late.delete(value as StateTensor);
    Object.assign(value, staging.tensor(entry));
  }
}

/**
 * Whether a state's groups list their parameters by the numbers that the live state has; true where
 * there are none.
 */
function isNumbered(state: object): boolean {
  const { param_groups: groups } = state as { param_groups?: unknown };
  if (!Array.isArray(groups)) return true;
  const ids = groups.flatMap((group) => (group as { params?: unknown } | null)?.params ?? []);
  return ids.every((id, i) => id === i);
}

/**
 * Finds the live array of every tensor that is still to be read: it stands at the same place of the
 * live state.
 */
function collect(saved: unknown, live: unknown, late: ReadonlyMap<StateTensor, Entry>, staging: Staging): void {
  if (typeof saved !== 'object' || saved === null) return;
  if (!isTensor(saved)) {
    for (const [key, value] of Object.entries(saved)) {
      collect(value, (live as Record<string, unknown> | undefined)?.[key], late, staging);
    }
    return;
  }
  const entry = late.get(saved);
  if (entry === undefined) return;
  const data = (live as StateTensor | undefined)?.data;
  if (data?.byteLength !== entry.end - entry.begin) throw new Error(`no live array for ${quoted(entry.name)}`);
  staging.into(entry, bytesOf(data));
}
