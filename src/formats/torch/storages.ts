/** From the bytes of a storage, wherever they come from, to the tensors that lie in it. */
import { CheckpointError } from '../error.ts';
import type { Reading } from '../reading.ts';
import { allocate, bytesOf, type Destination, fill, finish, isPlain, lengthOf, rangeOf } from './tensors.ts';

/** Access to a storage's bytes; one of the two is called, once. */
export interface StorageContent {
  /** Piece by piece: into memory of the caller's own, or to `take`, each with its place. */
  pieces(into?: Uint8Array, take?: (piece: Uint8Array, at: number) => void): Reading<void>;
  /** All of them in one. */
  whole(): Reading<Uint8Array>;
}

/** Fills the tensors that lie in a storage of `size` bytes. `little`: its byte order. */
export function* deliver(
  destinations: readonly Destination[],
  size: number,
  little: boolean,
  content: StorageContent,
): Reading<void> {
  if (!destinations.every(({ source }) => isPlain(source))) {
    const storage = yield* content.whole();
    for (const destination of destinations) {
      allocateFor(destination);
      fill(destination, storage, little);
    }
    return;
  }
  const parts = destinations.map((destination) => {
    const [begin, end] = rangeOf(destination.source);
    allocateFor(destination);
    return { begin, end, bytes: bytesOf(destination.state.data) };
  });
  const [only] = parts;
  if (parts.length === 1 && only!.begin === 0 && only!.end === size) yield* content.pieces(only!.bytes);
  else {
    parts.sort((a, b) => a.begin - b.begin);
    // Parts that end before a piece begins are done; those from `open` on may still get something.
    let open = 0;
    yield* content.pieces(undefined, (piece, at) => {
      const after = at + piece.length;
      for (let i = open; i < parts.length && parts[i]!.begin < after; i++) {
        const { begin, end, bytes } = parts[i]!;
        const from = Math.max(begin, at);
        const to = Math.min(end, after);
        if (from < to) bytes.set(piece.subarray(from - at, to - at), from - begin);
      }
      while (open < parts.length && parts[open]!.end <= after) open++;
    });
  }
  for (const destination of destinations) finish(destination, little);
}

function allocateFor({ state, source }: Destination): void {
  const length = lengthOf(source.shape);
  try {
    state.data = allocate(source.type, length);
  } catch {
    throw new CheckpointError(`there is no memory for a tensor of ${length} elements of ${source.type.name}`);
  }
}
