/**
 * Weights in a folder as Hugging Face's libraries keep them: one safetensors file, or shards with
 * an index.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { options as checkedOptions, isRecord } from '../core/check.ts';
import type { NumericArray, StateTensor } from '../core/dtype.ts';
import type { Parameter } from '../core/parameter.ts';
import { isUint16 } from '../core/typed-array.ts';
import { replaceBytes, replaceFile } from '../disk/atomic-file.ts';
import { type FileSource, fileSource } from '../disk/file-source.ts';
import { pathOf, shownPath, statsAt } from '../disk/paths.ts';
import { arrayOf, bytesOf, dtypeOf, elementBytes } from '../formats/element-formats.ts';
import { CheckpointError } from '../formats/error.ts';
import { allowanceFor } from '../formats/json.ts';
import { type Reading, readPieces, writePieces } from '../formats/pieces.ts';
import { brackets, brief, quoted, some } from '../formats/quote.ts';
import { openHeader } from '../formats/safetensors-file.ts';
import { type Entry, type Header, layOut } from '../formats/safetensors-header.ts';
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from '../sixteen/low-precision.ts';
import { named } from './run-file.ts';
import { readPlain } from './training-content.ts';
import { namedParameters } from './training-parts.ts';

/** The file of a small model. */
export const SINGLE = 'model.safetensors';
/** What says which shard a weight of a large one is in. */
export const INDEX: string = `${SINGLE}.index.json`;

/** Which names were on one side only. */
export interface LoadedWeights {
  /** Names of parameters that the files have not. */
  missing: string[];
  /** Names in the files that no parameter has. */
  unexpected: string[];
}

/** Options of {@link loadWeights}. */
export interface LoadWeightsOptions {
  /** Whether missing and unexpected names are refused. Default true. */
  strict?: boolean;
}

/**
 * Reads a model's weights into parameters, by name; all or none. Floats of another format are
 * converted, rounding to nearest, as PyTorch does.
 *
 * @param folder - With `model.safetensors`, or shards and `model.safetensors.index.json`; or the
 * path of one safetensors file. A path or file: URL.
 * @param parameters - Each with a name of its own.
 * @throws (rejects) CheckpointError, with nothing changed, when names are missing or unexpected
 * (unless `strict` is false), a shape or format does not fit, or a file is damaged; the file
 * system's error.
 */
export async function loadWeights(
  folder: string | URL,
  parameters: Iterable<Parameter>,
  options: LoadWeightsOptions = {},
): Promise<LoadedWeights> {
  const absolute = pathOf('loadWeights', folder);
  const { strict = true } = checkedOptions('loadWeights', options, ['strict']) as LoadWeightsOptions;
  if (typeof strict !== 'boolean')
    throw new TypeError(`loadWeights: strict must be true or false, got ${brief(strict)}`);
  const list = namedParameters('loadWeights', parameters);
  const prepared = await prepareWeights(absolute, list, strict);
  prepared.commit();
  return { missing: prepared.missing, unexpected: prepared.unexpected };
}

interface Shard {
  readonly path: string;
  readonly source: FileSource;
  readonly header: Header;
}

/** Reads weights beside the live ones; `commit` puts them in place and cannot fail. */
export async function prepareWeights(
  absolute: string,
  parameters: readonly Parameter[],
  strict: boolean,
): Promise<LoadedWeights & { commit: () => void }> {
  const { shards, shardOf } = await openShards(absolute);
  try {
    const places = new Map<string, [Shard, Entry]>();
    for (const shard of shards) {
      for (const entry of shard.header.entries) {
        const there = places.get(entry.name);
        if (there !== undefined) {
          // Of two the index says which.
          const named = shardOf.get(entry.name);
          if (named === there[0].path) continue;
          if (named !== shard.path)
            throw new CheckpointError(
              `${shownPath(absolute)}: the weight ${quoted(entry.name)} is in two of its files`,
            );
        }
        places.set(entry.name, [shard, entry]);
      }
    }
    const names = new Set(parameters.map((parameter) => parameter.name!));
    const missing = [...names].filter((name) => !places.has(name));
    const unexpected = [...places.keys()].filter((name) => !names.has(name));
    if (strict && missing.length + unexpected.length > 0) {
      const parts = [
        missing.length > 0 ? `it has no ${some(missing, 2)}` : '',
        unexpected.length > 0 ? `no parameter is named ${some(unexpected, 2)}` : '',
      ];
      throw new CheckpointError(
        `${shownPath(absolute)}: ${parts.filter(Boolean).join(', and ')}; rename parameters, or give { strict: false }`,
      );
    }
    const commits: (() => void)[] = [];
    const readings = new Map<Shard, Reading[]>();
    for (const parameter of parameters) {
      const place = places.get(parameter.name!);
      if (place === undefined) continue;
      const [shard, entry] = place;
      const { format, begin, end } = entry;
      checkWeight(absolute, parameter, entry);
      const into = new Uint8Array(end - begin);
      const reading = { offset: shard.header.start + begin, into, size: elementBytes(format) };
      readings.get(shard)?.push(reading) ?? readings.set(shard, [reading]);
      commits.push(() => put(parameter, format.dtype, arrayOf(format, into)));
    }
    for (const [shard, list] of readings) await readPieces(shard.source, list);
    for (const parameter of parameters) {
      const place = places.get(parameter.name!);
      if (place !== undefined) checkWeight(absolute, parameter, place[1]);
    }
    return { missing, unexpected, commit: () => commits.forEach((commit) => void commit()) };
  } catch (error) {
    throw named(absolute, error);
  } finally {
    for (const { source } of shards) await source.close();
  }
}

const FLOATS: ReadonlySet<string> = new Set(['float32', 'float64', 'bfloat16', 'float16']);

function checkWeight(path: string, parameter: Parameter, { format, shape: fileShape }: Entry): void {
  const { shape, dtype, data } = parameter;
  const saved = dtypeOf(format, fileShape);
  const label = `${shownPath(path)}: parameter ${quoted(parameter.name!)}`;
  if (saved.shape.length !== shape.length || saved.shape.some((n, i) => n !== shape[i])) {
    throw new CheckpointError(`${label} has shape ${brackets(shape)} here, but ${brackets(saved.shape)} in the file`);
  }
  if (!FLOATS.has(saved.dtype)) {
    throw new CheckpointError(
      `${label} is ${dtype} here, but ${saved.dtype} in the file, which is no float to convert`,
    );
  }
  if (data.length !== shape.reduce((a, b) => a * b, 1)) {
    throw new CheckpointError(`${label} has no values any more; was its buffer transferred to another thread?`);
  }
}

/** Elements that are converted at a time. */
const STRETCH = 1 << 16;

/** Copies a weight, converting stretch by stretch where the formats differ. */
function put({ data, dtype }: Parameter, from: string, saved: StateTensor['data']): void {
  if (from === dtype) {
    bytesOf(data).set(bytesOf(saved));
    return;
  }
  for (let at = 0; at < data.length; at += STRETCH) {
    const part = (saved as NumericArray).subarray(at, at + STRETCH);
    const numbers = isUint16(part) ? (from === 'bfloat16' ? fromBfloat16(part) : fromFloat16(part)) : part;
    const target = dtype === 'bfloat16' ? toBfloat16(numbers) : dtype === 'float16' ? toFloat16(numbers) : numbers;
    (data as Float32Array).set(target, at);
  }
}

/** The safetensors files of a model, opened; which of them an index gives for each weight. */
async function openShards(path: string): Promise<{ shards: Shard[]; shardOf: ReadonlyMap<string, string> }> {
  let shardOf: ReadonlyMap<string, string> = new Map();
  let files = [path];
  if (statsAt(path)?.isDirectory() === true) {
    if (statsAt(join(path, SINGLE)) !== null) files = [join(path, SINGLE)];
    else if (statsAt(join(path, INDEX)) === null) await refuseFolder(path);
    else {
      shardOf = await shardFiles(path);
      files = [...new Set(shardOf.values())].sort();
    }
  }
  const shards: Shard[] = [];
  try {
    for (const file of files) {
      const source = await fileSource(file);
      try {
        shards.push({ path: file, source, header: await openHeader('loadWeights', source) });
      } catch (error) {
        await source.close();
        throw named(file, error);
      }
    }
  } catch (error) {
    for (const { source } of shards) await source.close();
    throw error;
  }
  return { shards, shardOf };
}

/** Says what a folder without safetensors files has instead. */
async function refuseFolder(path: string): Promise<never> {
  const others = (await readdir(path)).filter((name) =>
    /^(pytorch_model|adapter_model)\b.*\.(bin|safetensors)$/.test(name),
  );
  const what = others.length === 0 ? '' : `; it has ${some(others, 2)}: save the whole model as safetensors`;
  throw Object.assign(new Error(`ENOENT: ${shownPath(path)} has no ${SINGLE} and no ${INDEX}${what}`), {
    code: 'ENOENT',
  });
}

/** Reads a JSON file of Python's within bounds: NaN and Infinity are numbers there. */
export async function readJsonFile(path: string): Promise<unknown> {
  const source = await fileSource(path);
  try {
    const bytes = new Uint8Array(source.size);
    await source.read(0, bytes);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return readPlain('the JSON', text, allowanceFor(bytes.length), true);
  } catch (error) {
    if (!(error instanceof TypeError)) throw named(path, error);
    throw new CheckpointError(`${shownPath(path)} is not valid UTF-8`, { cause: error });
  } finally {
    await source.close();
  }
}

/** The shard of each weight that an index names; shards lie beside it. */
async function shardFiles(folder: string): Promise<Map<string, string>> {
  const path = join(folder, INDEX);
  const index = (await readJsonFile(path)) as { weight_map?: unknown } | null;
  const map = index?.weight_map;
  const shardOf = new Map<string, string>();
  for (const [name, file] of isRecord(map) ? Object.entries(map) : []) {
    if (typeof file !== 'string' || !/^[^/\\\0]+\.safetensors$/.test(file)) {
      throw new CheckpointError(
        `${shownPath(path)}: a shard must be the name of a safetensors file beside it, got ${brief(file)}`,
      );
    }
    shardOf.set(name, join(folder, file));
  }
  if (shardOf.size === 0)
    throw new CheckpointError(`${shownPath(path)}: its weight_map must name the shard of each weight`);
  return shardOf;
}

/** Names of the files that weights were written to. */
export interface SavedWeights {
  readonly files: readonly string[];
}

/**
 * Writes weights as transformers' save_pretrained does: one file, or shards of at most so many
 * bytes with an index.
 *
 * @param most - Bytes of a shard; a single larger weight has a shard of its own.
 */
export async function writeWeights(
  where: string,
  folder: string,
  tensors: readonly (readonly [string, StateTensor])[],
  most: number,
): Promise<SavedWeights> {
  const shards: (readonly [string, StateTensor])[][] = [];
  let room = 0;
  let total = 0;
  for (const pair of tensors) {
    const { byteLength } = pair[1].data;
    if (shards.length === 0 || byteLength > room) {
      shards.push([]);
      room = most;
    }
    shards.at(-1)!.push(pair);
    room -= byteLength;
    total += byteLength;
  }
  // What transformers asks for before it reads the file.
  const metadata = { format: 'pt' };
  if (shards.length <= 1) {
    const layout = layOut(where, tensors, metadata);
    await replaceFile(join(folder, SINGLE), (sink) => writePieces(layout, sink));
    return { files: [SINGLE] };
  }
  const digits = (n: number): string => String(n).padStart(5, '0');
  const files: string[] = [];
  const map: Record<string, string> = Object.create(null);
  for (const [i, shard] of shards.entries()) {
    const file = `model-${digits(i + 1)}-of-${digits(shards.length)}.safetensors`;
    files.push(file);
    for (const [name] of shard) map[name] = file;
    const layout = layOut(where, shard, metadata);
    await replaceFile(join(folder, file), (sink) => writePieces(layout, sink));
  }
  const index = { metadata: { total_size: total }, weight_map: map };
  await replaceBytes(join(folder, INDEX), new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`));
  return { files: [...files, INDEX] };
}
