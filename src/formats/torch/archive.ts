/**
 * The files that `torch.save` writes, read: zip archives, and by way of `legacy.ts` those from
 * before PyTorch 1.6.
 */
import type { StateValue } from '../../core/dtype.ts';
import { CheckpointError } from '../error.ts';
import { quoted } from '../quote.ts';
import type { Reading } from '../reading.ts';
import { readContent, readDirectory, readWhole, type ZipEntry } from '../zip-read.ts';
import { isTar, readLegacy } from './legacy.ts';
import { readPickle } from './pickle-read.ts';
import { Budget } from './pickle-values.ts';
import { deliver } from './storages.ts';
import { unfold } from './unfold.ts';

/** Reads a file of `size` bytes. `allowMissingCrc`: takes a checksum of 0 for an absent one. */
export function* readArchive(size: number, allowMissingCrc: boolean): Reading<StateValue> {
  const head = yield { offset: 0, length: Math.min(size, 512) };
  // A length below 4 GiB, and a brace.
  if (head[8] === 0x7b && [4, 5, 6, 7].every((at) => head[at] === 0))
    throw new CheckpointError(
      'this is a safetensors file; read it with decodeSafetensors of tensorless/safetensors, or with tensorless/node',
    );
  if (head[0] === 0x80) return yield* readLegacy(size);
  if (isTar(head))
    throw new CheckpointError(
      'this is a tar file of PyTorch before 0.2, which torch.load(weights_only=True) does not read either; load ' +
        'it with PyTorch and save it again',
    );
  const entries = yield* readDirectory(size);
  const first = entries[0]!.name;
  const slash = first.indexOf('/');
  if (slash < 1)
    throw new CheckpointError(`zip: the entry ${quoted(first)} is in no folder; torch.save puts all into one`);
  const root = first.slice(0, slash + 1);
  const named = new Map<string, ZipEntry>();
  for (const entry of entries) {
    if (!entry.name.startsWith(root))
      throw new CheckpointError(`zip: the entry ${quoted(entry.name)} is not in the folder ${quoted(root)}`);
    named.set(entry.name.slice(root.length), entry);
  }
  if (named.has('constants.pkl')) throw new CheckpointError('this is a TorchScript archive, not a state dict');
  const needed = (name: string): ZipEntry => {
    const found = named.get(name);
    if (found === undefined)
      throw new CheckpointError(`zip: the entry ${quoted(root + name)} is missing; is this a file of torch.save?`);
    return found;
  };
  const version = (yield* textOf(needed('version'), allowMissingCrc)).trim();
  if (!/^([1-9]|10)$/.test(version))
    throw new CheckpointError(`the version must be from 1 to 10, got ${quoted(version)}`);
  const order = named.has('byteorder') ? yield* textOf(needed('byteorder'), allowMissingCrc) : 'little';
  if (order !== 'little' && order !== 'big')
    throw new CheckpointError(`the byte order must be little or big, got ${quoted(order)}`);

  const budget = new Budget(size);
  const pickled = needed('data.pkl');
  const pickle = readPickle(yield* readWhole(pickled, allowMissingCrc), budget);
  if (pickle.end !== pickled.size)
    throw new CheckpointError(`pickle: ${pickled.size - pickle.end} bytes follow the end`);
  // The sizes of all storages, before the first of them is read.
  for (const { key, count, type } of pickle.storages.values()) {
    const entry = needed(`data/${key}`);
    const bytes = count * (type?.size ?? 1);
    if (entry.size !== bytes)
      throw new CheckpointError(
        `zip: the entry ${quoted(entry.name)} has ${entry.size} bytes, its ${count} elements need ${bytes}`,
      );
  }
  const { value, destinations } = unfold(pickle, budget);
  const read = new Set(['version', 'byteorder', 'data.pkl']);
  // In the order of the file; also what nothing refers to, so that damage is found.
  for (const entry of entries) {
    const name = entry.name.slice(root.length);
    if (read.has(name)) continue;
    const inside = name.startsWith('data/') ? (destinations.get(name.slice(5)) ?? []) : [];
    yield* deliver(inside, entry.size, order === 'little', {
      pieces: (into, take) => readContent(entry, allowMissingCrc, into, take),
      whole: () => readWhole(entry, allowMissingCrc),
    });
  }
  return value;
}

function* textOf(entry: ZipEntry, allowMissingCrc: boolean): Reading<string> {
  let text = '';
  yield* readContent(entry, allowMissingCrc, undefined, (piece, at) => {
    // These entries have a word; what is longer is wrong whatever it goes on with.
    if (at === 0) text = String.fromCharCode(...piece.subarray(0, 32));
  });
  return text;
}
