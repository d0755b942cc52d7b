/** `tensorless convert`: from PyTorch's files to safetensors, and back. */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import type { Stateful } from '../checkpoints/training-parts.ts';
import { layOutRun, RunFile } from '../checkpoints/training-state.ts';
import type { StateTensor, StateValue } from '../core/dtype.ts';
import { isTensor } from '../core/state-dict.ts';
import { replaceFile } from '../disk/atomic-file.ts';
import { arrayOf, dtypeOf, elementBytes } from '../formats/element-formats.ts';
import { type ByteSink, type Reading, readPieces, writePieces } from '../formats/pieces.ts';
import { escaped } from '../formats/quote.ts';
import { openHeader } from '../formats/safetensors-file.ts';
import { type Entry, layOut } from '../formats/safetensors-header.ts';
import { writeTorch } from '../formats/torch/files.ts';
import { type Contents, type Dict, isDict, openContents } from './contents.ts';
import { count, named, Progress, plural, UsageError } from './terminal.ts';

const KINDS = ['optimizer', 'scheduler', 'model'] as const;
type Kind = (typeof KINDS)[number];
type Dicts = { [kind in Kind]?: Dict };

/** Options of the command. */
export interface ConvertOptions {
  readonly only?: string | undefined;
  readonly force: boolean;
}

/** Writes the new file; what it says about it. */
export async function convert(from: string, to: string, { only, force }: ConvertOptions): Promise<string> {
  const ending = extname(basename(to));
  if (ending !== '.pt' && ending !== '.safetensors') {
    throw new UsageError(`the file to write must end in .pt or .safetensors, got ${escaped(to)}`);
  }
  if (only !== undefined && !KINDS.includes(only as Kind)) {
    throw new UsageError(`--only must be one of ${KINDS.join(', ')}, got ${escaped(only)}`);
  }
  const contents = await named(from, () => openContents(from));
  try {
    const wanted = chosen(contents, from, ending, only as Kind | undefined);
    refuseOverwriting(from, to, force);
    const dicts: Dicts = {};
    for (const kind of wanted) dicts[kind] = await named(from, () => partOf(contents, kind));
    const size = await write(dicts, to);
    const left = leftOut(contents, wanted);
    const others = left.length > 0 ? ` (left out: ${left.join(', ')})` : '';
    return `${escaped(to)}: ${wanted.map((kind) => told(contents, kind)).join(', ')}${others}, ${count(size)} bytes\n`;
  } finally {
    await contents.file.close();
  }
}

/** What could be written of a file. */
function available({ optimizer, scheduler, weights }: Contents): Kind[] {
  return KINDS.filter((kind) => (kind === 'model' ? weights.length > 0 : { optimizer, scheduler }[kind] !== undefined));
}

function told({ weights }: Contents, kind: Kind): string {
  return kind === 'model' ? plural(weights.length, 'weight') : `the ${kind}`;
}

/** What of a file is not written. */
function leftOut(contents: Contents, wanted: readonly Kind[]): string[] {
  const parts = available(contents).filter((kind) => !wanted.includes(kind));
  const others = Object.keys(contents.others).filter((key) => key !== '');
  const rest = [...(contents.accumulator === undefined ? [] : ['accumulator']), ...others];
  return [...parts.map((kind) => told(contents, kind)), ...rest.slice(0, 8).map((key) => escaped(key.slice(0, 40)))];
}

function chosen(contents: Contents, from: string, ending: string, only: Kind | undefined): Kind[] {
  const all = available(contents);
  const file = escaped(from);
  if (only !== undefined && !all.includes(only)) {
    throw new UsageError(`${file} holds no ${only}; it has ${all.join(', ') || 'nothing that can be converted'}`);
  }
  const torch = contents.format === 'PyTorch';
  if (torch && ending === '.pt') throw new UsageError(`${file} is a file of PyTorch already`);
  if (!torch && ending === '.safetensors' && (only === undefined || contents.what === 'tensors'))
    throw new UsageError(`${file} is a safetensors file already; --only takes a part of it out`);
  if (all.length === 0) throw new UsageError(`${file} holds no state dict of an optimizer, a scheduler or a model`);
  if (only !== undefined) return [only];
  // A .pt file holds one dict; a training state holds an optimizer and a scheduler, weights are a
  // file of their own.
  const wanted = all.filter((kind) => kind !== 'model');
  const fits = wanted.length > 0 ? (ending === '.pt' ? wanted.slice(0, 1) : wanted) : all;
  const lost = leftOut(contents, fits);
  if (lost.length > 0) {
    const choices = all.map((kind) => `--only ${kind}`).join(' or ');
    throw new UsageError(`${file} holds more than would be written (${lost.join(', ')}): say ${choices}`);
  }
  return fits;
}

function refuseOverwriting(from: string, to: string, force: boolean): void {
  const folder = dirname(resolve(to));
  if (!existsSync(folder)) throw new UsageError(`${escaped(to)}: there is no folder ${escaped(folder)}; make it first`);
  if (!existsSync(to)) return;
  const [a, b] = [statSync(from), statSync(to)];
  if (a.ino === b.ino && a.dev === b.dev)
    throw new UsageError(`${escaped(to)} is the file that is read; give another name`);
  if (!force) throw new UsageError(`${escaped(to)} exists; --force replaces it`);
}

/** Reads the arrays of a safetensors file that a part needs, and only those. */
async function readPart(contents: Contents, kind: Kind): Promise<Dict> {
  const header = await openHeader('tensorless', contents.file);
  const readings: Reading[] = [];
  const tensorOf = ({ format, shape, begin, end }: Entry): StateTensor => {
    const into = new Uint8Array(end - begin);
    readings.push({ offset: header.start + begin, into, size: elementBytes(format) });
    return { ...dtypeOf(format, shape), data: arrayOf(format, into) };
  };
  let part: Dict;
  if (kind === 'model') {
    const names = new Set(contents.weights);
    const entries = header.entries.filter(({ name }) => names.has(name));
    part = Object.fromEntries(entries.map((entry) => [entry.name, tensorOf(entry)]));
  } else {
    const stub: Stateful = { stateDict: () => null, prepareLoad: () => () => {} };
    part = new RunFile(header, contents.size).stateOf(kind, stub, tensorOf) as Dict;
  }
  const progress = new Progress('reading', contents.size);
  let seen = 0;
  await readPieces(contents.file, readings, (bytes) => {
    progress.add(bytes - seen);
    seen = bytes;
  });
  progress.end();
  return part;
}

/** A part of a file: of PyTorch's it is in memory already. */
async function partOf(contents: Contents, kind: Kind): Promise<Dict> {
  if (contents.format === 'safetensors') return readPart(contents, kind);
  if (kind === 'model') return contents.others['']! as Dict;
  return (kind === 'optimizer' ? contents.optimizer : contents.scheduler)!;
}

async function write(dicts: Dicts, to: string): Promise<number> {
  if (extname(to) === '.pt') {
    const [dict] = Object.values(dicts);
    let size = 0;
    const write = async (sink: ByteSink): Promise<void> => {
      await writeTorch(dict!, {}, async (bytes) => {
        size += bytes.length;
        await sink.write(bytes);
      });
    };
    await replaceFile(resolve(to), write);
    return size;
  }
  const layout = dicts.model
    ? layOut('convert', weightsOf(dicts.model), { format: 'pt' })
    : layOutRun('convert', statesOf(dicts), false);
  await replaceFile(resolve(to), (sink) => writePieces(layout, sink));
  return layout.size;
}

/** The arrays of a model's state dict. */
function weightsOf(dict: Dict): [string, StateTensor][] {
  return Object.entries(dict).flatMap(([name, value]): [string, StateTensor][] =>
    isTensor(value) ? [[name, value]] : [],
  );
}

/** State dicts in the place of the objects that they are of. */
function statesOf(dicts: Dicts): { optimizer?: Stateful; scheduler?: Stateful } {
  const stand = (dict: StateValue | undefined): Stateful | undefined =>
    isDict(dict) ? { stateDict: () => dict, prepareLoad: () => () => {} } : undefined;
  const [optimizer, scheduler] = [stand(dicts.optimizer), stand(dicts.scheduler)];
  return { ...(optimizer && { optimizer }), ...(scheduler && { scheduler }) };
}
