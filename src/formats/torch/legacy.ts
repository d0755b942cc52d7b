/**
 * The format of torch.save before PyTorch 1.6: five pickles in a row (a magic number, a version,
 * the writer's machine, the data, the storages' keys), then each storage with its count. There are
 * no checksums.
 */
import type { StateValue } from '../../core/dtype.ts';
import { CheckpointError } from '../error.ts';
import { quoted } from '../quote.ts';
import type { Reading } from '../reading.ts';
import { type Pickle, readPickle } from './pickle-read.ts';
import { Budget, isDict, PyList, type PyStorage } from './pickle-values.ts';
import { deliver } from './storages.ts';
import { unfold } from './unfold.ts';

const MAGIC = 0x1950a86a20f9469cfc6cn;
const VERSION = 1001;
/** The first try to hold all pickles; four times as much whenever that was not enough. */
const FIRST_TRY = 1 << 20;
const PIECE = 1 << 19;

/** Whether a file begins like a tar archive. */
export function isTar(head: Uint8Array): boolean {
  return head.length >= 262 && String.fromCharCode(...head.subarray(257, 262)) === 'ustar';
}

interface Pickles {
  readonly data: Pickle;
  /** Storages in the order in which they follow. */
  readonly order: readonly PyStorage[];
  readonly end: number;
  readonly budget: Budget;
}

function parse(bytes: Uint8Array, size: number): Pickles {
  const budget = new Budget(size);
  const magic = readPickle(bytes, budget);
  if (magic.value !== MAGIC)
    throw new CheckpointError('this is neither a zip archive nor a legacy file of torch.save, but another pickle');
  const version = readPickle(bytes, budget, { start: magic.end });
  if (version.value !== VERSION)
    throw new CheckpointError(`the legacy format has version ${VERSION}, this file another`);
  const machine = readPickle(bytes, budget, { start: version.end });
  if (!isDict(machine.value)) throw new CheckpointError('the legacy file does not describe the machine that wrote it');
  const data = readPickle(bytes, budget, { start: machine.end, legacy: true });
  const keys = readPickle(bytes, budget, { start: data.end });
  if (!(keys.value instanceof PyList)) throw new CheckpointError('the legacy file does not list its storages');
  const left = new Map(data.storages);
  const order = (keys.value.items ?? []).map((key) => {
    const storage = typeof key === 'string' ? left.get(key) : undefined;
    if (storage === undefined)
      throw new CheckpointError(
        `the legacy file lists the storage ${typeof key === 'string' ? quoted(key) : 'without a name'}, which ` +
          `no tensor has, or lists it twice`,
      );
    left.delete(storage.key);
    return storage;
  });
  if (left.size > 0) throw new CheckpointError(`the legacy file does not list ${left.size} of its storages`);
  return { data, order, end: keys.end, budget };
}

/** Reads a legacy file of `size` bytes. */
export function* readLegacy(size: number): Reading<StateValue> {
  let pickles: Pickles | undefined;
  for (let held = Math.min(size, FIRST_TRY); pickles === undefined; held = Math.min(size, 4 * held)) {
    const bytes = yield { offset: 0, length: held };
    try {
      pickles = parse(bytes, size);
    } catch (error) {
      // What looks wrong may only be cut off.
      if (held === size || !(error instanceof CheckpointError)) throw error;
    }
  }
  const { data, order, end, budget } = pickles;
  // All places before the first element is read.
  let at = end;
  const placed = order.map((storage) => {
    const start = at + 8;
    const bytes = storage.count * (storage.type?.size ?? 1);
    at = start + bytes;
    if (at > size) throw new CheckpointError(`the legacy file is cut off: storage ${storage.key} ends at byte ${at}`);
    return { storage, start, bytes };
  });
  const { value, destinations } = unfold(data, budget);
  for (const { storage, start, bytes } of placed) {
    const head = yield { offset: start - 8, length: 8 };
    const count = new DataView(head.buffer, head.byteOffset, 8).getBigInt64(0, true);
    if (count !== BigInt(storage.count))
      throw new CheckpointError(`storage ${storage.key} has ${storage.count} elements, and ${count} where they lie`);
    yield* deliver(destinations.get(storage.key) ?? [], bytes, true, {
      *pieces(into, take) {
        for (let done = 0; done < bytes; done += PIECE) {
          const length = Math.min(PIECE, bytes - done);
          const want = { offset: start + done, length };
          const piece = yield into === undefined ? want : { ...want, into: into.subarray(done, done + length) };
          take?.(piece, done);
        }
      },
      *whole() {
        return yield { offset: start, length: bytes };
      },
    });
  }
  return value;
}
