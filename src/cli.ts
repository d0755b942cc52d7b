#!/usr/bin/env node
/**
 * The command line: looks into checkpoints and converts them.
 *
 * @module
 */
import { readFile } from 'node:fs/promises';
import { extname, resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { decodeTrainingState, encodeTrainingState, type Stateful } from './checkpoint.ts';
import type { OptimizerStateDict, StateTensor, StateValue } from './core/dtype.ts';
import { isTensor } from './core/state-dict.ts';
import { replaceBytes } from './disk/atomic-file.ts';
import { CheckpointError } from './formats/error.ts';
import { decodeSafetensors } from './safetensors.ts';
import { decodeTorch, encodeTorch } from './torch.ts';

const HELP = `Looks into checkpoints of tensorless and PyTorch, and converts them.

  tensorless inspect FILE [--json]   what is in it: tensors, step, learning rate
  tensorless convert FROM TO         optimizer.pt or scheduler.pt to safetensors
                                     and back
  tensorless --version
  tensorless --help

Files are told by their contents, the one to write by its ending: .pt or
.safetensors. Nothing in a file is ever executed.
`;

/** What a person is told in one sentence. */
class UsageError extends Error {}

type Dict = { [key: string]: StateValue };
type Kind = 'optimizer' | 'scheduler' | 'other';

/** A file as far as both formats can be told alike. */
interface Contents {
  readonly format: 'PyTorch' | 'safetensors';
  readonly what: string;
  readonly tensors: Record<string, StateTensor>;
  readonly metadata: Record<string, string>;
  /** State dicts that are in it. */
  readonly optimizer?: Dict;
  readonly scheduler?: Dict;
  readonly other?: StateValue;
}

function kindOf(value: StateValue): Kind {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isTensor(value)) return 'other';
  if (Object.hasOwn(value, 'state') && Object.hasOwn(value, 'param_groups')) return 'optimizer';
  return Object.hasOwn(value, 'last_epoch') && Object.hasOwn(value, '_last_lr') ? 'scheduler' : 'other';
}

function collectTensors(value: StateValue, path: string, tensors: Record<string, StateTensor>): void {
  if (typeof value !== 'object' || value === null) return;
  if (isTensor(value)) tensors[path] = value;
  else
    for (const [key, item] of Object.entries(value))
      collectTensors(item as StateValue, path === '' ? key : `${path}.${key}`, tensors);
}

/** A part of a training state that is only looked at. */
function captured(dicts: { [key: string]: Dict }, key: string): Stateful {
  return {
    stateDict: () => dicts[key],
    prepareLoad(dict) {
      dicts[key] = dict as Dict;
      return () => {};
    },
  };
}

function readTrainingState(bytes: Uint8Array): { dicts: { [key: string]: Dict }; parts: string[] } {
  const dicts: { [key: string]: Dict } = {};
  const parts: string[] = [];
  for (const key of ['optimizer', 'scheduler', 'accumulator'] as const) {
    try {
      decodeTrainingState(bytes, { [key]: captured(dicts, key) });
      parts.push(key);
    } catch (error) {
      // The file need not have all parts.
      if (!(error instanceof CheckpointError) || !error.message.includes(`has no ${key}`)) throw error;
    }
  }
  return { dicts, parts };
}

function read(bytes: Uint8Array): Contents {
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) {
    const value = decodeTorch(bytes);
    const kind = kindOf(value);
    const tensors: Record<string, StateTensor> = Object.create(null);
    collectTensors(value, '', tensors);
    const what = kind === 'other' ? 'data' : `state dict of ${kind === 'optimizer' ? 'an optimizer' : 'a scheduler'}`;
    return { format: 'PyTorch', what, tensors, metadata: {}, [kind]: value };
  }
  const { tensors, metadata } = decodeSafetensors(bytes);
  if (!Object.hasOwn(metadata, 'tensorless')) return { format: 'safetensors', what: 'tensors', tensors, metadata };
  const { dicts, parts } = readTrainingState(bytes);
  const { tensorless: description, ...rest } = metadata;
  const names = (JSON.parse(description!) as { parameters?: string[] }).parameters ?? [];
  const all = [...(names.length > 0 ? [`${names.length} parameters`] : []), ...parts];
  return {
    format: 'safetensors',
    what: `training state of tensorless: ${all.join(', ') || 'extras'}`,
    tensors,
    metadata: rest,
    ...dicts,
  };
}

/** A number, also where PyTorch has a tensor of one element. */
function single(value: StateValue | undefined): number | null {
  if (typeof value === 'number') return value;
  return value !== undefined && isTensor(value) && value.data.length === 1 ? Number(value.data[0]) : null;
}

function summary({ optimizer, scheduler }: Contents): { step: number | null; learningRates: (number | null)[] | null } {
  const state = optimizer as OptimizerStateDict | undefined;
  const steps = Object.values(state?.state ?? {}).flatMap((entry) => single(entry.step) ?? []);
  const rates =
    state?.param_groups.map((group) => single(group.lr)) ??
    (scheduler?._last_lr as StateValue[] | undefined)?.map(single);
  return {
    step: steps.length > 0 ? Math.max(...steps) : single(scheduler?.last_epoch),
    learningRates: rates ?? null,
  };
}

const count = (n: number): string => n.toLocaleString('en');

function inspect(path: string, bytes: Uint8Array, json: boolean): string {
  const contents = read(bytes);
  const { step, learningRates } = summary(contents);
  const tensors = Object.entries(contents.tensors).map(([name, { dtype, shape, data }]) => ({
    name,
    dtype,
    shape,
    bytes: data.byteLength,
  }));
  if (json) {
    const { format, what, metadata } = contents;
    return `${JSON.stringify({ file: path, format, what, bytes: bytes.length, step, learningRates, metadata, tensors }, null, 2)}\n`;
  }
  const lines = [
    `${path}: ${contents.format}, ${contents.what}`,
    `  ${count(bytes.length)} bytes, ${tensors.length} tensors with ${count(tensors.reduce((sum, tensor) => sum + tensor.bytes, 0))} bytes`,
  ];
  if (step !== null) lines.push(`  step ${step}`);
  if (learningRates !== null)
    lines.push(`  learning rate ${learningRates.map((lr) => lr ?? 'computed by the optimizer').join(', ')}`);
  for (const [key, value] of Object.entries(contents.metadata))
    lines.push(`  ${key}: ${value.length > 60 ? `${value.slice(0, 59)}…` : value}`);
  if (tensors.length > 0) {
    const rows = tensors.map(
      (tensor) => [tensor.name, tensor.dtype, `[${tensor.shape.join(', ')}]`, count(tensor.bytes)] as const,
    );
    const width = (column: number, title: string): number =>
      Math.max(title.length, ...rows.map((row) => row[column]!.length));
    const [dtype, shape, size] = [width(1, 'dtype'), width(2, 'shape'), width(3, 'bytes')];
    // A terminal has an edge; a pipe has not, and gets whole names.
    const room =
      process.stdout.isTTY === true
        ? Math.max(12, (process.stdout.columns ?? 80) - dtype - shape - size - 9)
        : Number.POSITIVE_INFINITY;
    const name = Math.min(width(0, 'tensor'), room);
    const line = ([a, b, c, d]: readonly [string, string, string, string]): string =>
      `  ${(a.length > name ? `${a.slice(0, name - 1)}…` : a).padEnd(name)}  ${b.padEnd(dtype)}  ${c.padEnd(shape)}  ${d.padStart(size)}`;
    lines.push('', line(['tensor', 'dtype', 'shape', 'bytes']), ...rows.map(line));
  }
  return `${lines.join('\n')}\n`;
}

function convert(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const contents = read(bytes);
  const { optimizer, scheduler } = contents;
  if (extname(to) === '.safetensors') {
    if (contents.format !== 'PyTorch') throw new UsageError(`${from} is a safetensors file already`);
    if (optimizer === undefined && scheduler === undefined)
      throw new UsageError(`${from} holds no state dict of an optimizer or a scheduler`);
    const dicts = { ...(optimizer && { optimizer }), ...(scheduler && { scheduler }) };
    return encodeTrainingState(Object.fromEntries(Object.keys(dicts).map((key) => [key, captured(dicts, key)])));
  }
  if (extname(to) !== '.pt') throw new UsageError(`the file to write must end in .pt or .safetensors, got ${to}`);
  if (contents.format === 'PyTorch') throw new UsageError(`${from} is a file of PyTorch already`);
  // One .pt holds one dict; the scheduler's is taken where its name asks for it.
  const dict = /scheduler/i.test(to) ? (scheduler ?? optimizer) : (optimizer ?? scheduler);
  if (dict === undefined) throw new UsageError(`${from} holds no state of an optimizer or a scheduler`);
  return encodeTorch(dict);
}

async function load(path: string): Promise<Uint8Array> {
  try {
    const bytes = await readFile(path);
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      { ENOENT: 'there is no such file', EISDIR: 'it is a folder', EACCES: 'it may not be read' }[code ?? ''] ??
      (error as Error).message;
    throw new UsageError(`${path}: ${why}`);
  }
}

async function main(args: string[]): Promise<void> {
  let parsed: { values: { json?: boolean; help?: boolean; version?: boolean }; positionals: string[] };
  try {
    const flag = { type: 'boolean' } as const;
    parsed = parseArgs({ args, allowPositionals: true, options: { json: flag, help: flag, version: flag } });
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split('. ')[0]}; see tensorless --help`);
  }
  const { values, positionals } = parsed;
  if (values.help === true || (positionals.length === 0 && values.version !== true)) {
    process.stdout.write(HELP);
    return;
  }
  if (values.version === true) {
    const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    process.stdout.write(`${version}\n`);
    return;
  }
  const [command, from, to, ...more] = positionals;
  if (command === 'inspect' && from !== undefined && to === undefined) {
    const bytes = await load(from);
    process.stdout.write(named(from, () => inspect(from, bytes, values.json === true)));
  } else if (
    command === 'convert' &&
    from !== undefined &&
    to !== undefined &&
    more.length === 0 &&
    values.json !== true
  ) {
    const bytes = await load(from);
    const converted = named(from, () => convert(bytes, from, to));
    await replaceBytes(resolve(to), converted);
    process.stdout.write(`${to}: ${count(converted.length)} bytes\n`);
  } else throw new UsageError(`"${['tensorless', ...args].join(' ')}" is no command; see tensorless --help`);
}

/** Puts the file's name before what is wrong with it. */
function named<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    throw new UsageError(`${path}: ${error.message}`);
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  // What the file system says is for the person too; a programming error is not.
  if (!(error instanceof UsageError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
