/** Numbers of arrays, piece by piece: statistics, and how far two arrays are apart. */
import { PIECE } from '../formats/pieces.ts';
import { fromBfloat16, fromFloat16 } from '../sixteen/low-precision.ts';
import type { Item } from './contents.ts';
import type { Progress } from './terminal.ts';

type Read = (view: DataView, at: number) => number;
const READERS: Readonly<Record<string, readonly [bytes: number, read: Read]>> = {
  float32: [4, (view, at) => view.getFloat32(at, true)],
  float64: [8, (view, at) => view.getFloat64(at, true)],
  bfloat16: [2, (view, at) => fromBfloat16(Uint16Array.of(view.getUint16(at, true)))[0]!],
  float16: [2, (view, at) => fromFloat16(Uint16Array.of(view.getUint16(at, true)))[0]!],
  int64: [8, (view, at) => Number(view.getBigInt64(at, true))],
  uint64: [8, (view, at) => Number(view.getBigUint64(at, true))],
  int32: [4, (view, at) => view.getInt32(at, true)],
  uint32: [4, (view, at) => view.getUint32(at, true)],
  int16: [2, (view, at) => view.getInt16(at, true)],
  uint16: [2, (view, at) => view.getUint16(at, true)],
  int8: [1, (view, at) => view.getInt8(at)],
  uint8: [1, (view, at) => view.getUint8(at)],
  bool: [1, (view, at) => view.getUint8(at)],
};

/** The numbers of a stretch of bytes; null for formats that this cannot read. */
function numbersOf(dtype: string, bytes: Uint8Array): ArrayLike<number> | null {
  const reader = READERS[dtype];
  if (reader === undefined) return null;
  const [size, read] = reader;
  const { buffer, byteOffset, byteLength } = bytes;
  if (dtype === 'bfloat16') return fromBfloat16(new Uint16Array(buffer, byteOffset, byteLength / 2));
  if (dtype === 'float16') return fromFloat16(new Uint16Array(buffer, byteOffset, byteLength / 2));
  const view = new DataView(buffer, byteOffset, byteLength);
  const numbers = new Float64Array(byteLength / size);
  for (let i = 0; i < numbers.length; i++) numbers[i] = read(view, i * size);
  return numbers;
}

/** Whether this can read the numbers of a format. */
export function isReadable(dtype: string): boolean {
  return Object.hasOwn(READERS, dtype);
}

/** What one array is like. */
export interface Stats {
  /** Elements that are NaN. */
  nan: number;
  /** Elements that are infinite. */
  infinite: number;
  /** Of the others; null when there are none. */
  min: number | null;
  max: number | null;
  /** Euclidean norm of the finite elements. */
  norm: number;
}

/** Statistics of an array; null for formats whose numbers this cannot read. */
export async function statsOf(item: Item, progress: Progress): Promise<Stats | null> {
  if (!isReadable(item.dtype)) return null;
  const stats: Stats = { nan: 0, infinite: 0, min: null, max: null, norm: 0 };
  // Scaled, so that squares do not leave the range of a double.
  let scale = 0;
  let sum = 0;
  for await (const [, numbers] of stretches([item], progress)) {
    for (let i = 0; i < numbers!.length; i++) {
      const x = numbers![i]!;
      if (Number.isNaN(x)) stats.nan++;
      else if (!Number.isFinite(x)) stats.infinite++;
      else {
        if (stats.min === null || x < stats.min) stats.min = x;
        if (stats.max === null || x > stats.max) stats.max = x;
        const size = Math.abs(x);
        if (size > scale) {
          sum = sum * (scale / size) ** 2 + 1;
          scale = size;
        } else if (size > 0) sum += (size / scale) ** 2;
      }
    }
  }
  stats.norm = scale * Math.sqrt(sum);
  return stats;
}

/** How far two arrays are apart. */
export interface Distance {
  /** Elements that are not the same number; NaN is the same as NaN. */
  differing: number;
  /** Largest difference; NaN where only one of two elements is NaN. */
  largest: number;
}

/** The distance of two arrays of one shape; with formats that this cannot read, of their bytes. */
export async function distanceOf(a: Item, b: Item, progress: Progress): Promise<Distance> {
  const distance: Distance = { differing: 0, largest: 0 };
  for await (const [, x, y] of stretches([a, b], progress)) {
    for (let i = 0; i < x!.length; i++) {
      const [p, q] = [x![i]!, y![i]!];
      if (p === q || (Number.isNaN(p) && Number.isNaN(q))) continue;
      distance.differing++;
      const apart = Math.abs(p - q);
      if (apart > distance.largest || Number.isNaN(apart)) distance.largest = apart;
    }
  }
  return distance;
}

type Stretch = [at: number, ...numbers: ArrayLike<number>[]];

/** Arrays of equally many elements side by side, some at a time. */
async function* stretches(items: readonly Item[], progress: Progress): AsyncGenerator<Stretch, void> {
  const sizes = items.map(({ dtype }) => READERS[dtype]?.[0] ?? 1);
  const elements = items[0]!.bytes / sizes[0]!;
  const step = PIECE / Math.max(...sizes);
  for (let at = 0; at < elements; at += step) {
    const length = Math.min(step, elements - at);
    const stretch: Stretch = [at];
    for (const [i, { dtype, source, offset }] of items.entries()) {
      const bytes = new Uint8Array(length * sizes[i]!);
      await source.read(offset + at * sizes[i]!, bytes);
      progress.add(bytes.length);
      stretch.push(numbersOf(dtype, bytes) ?? bytes);
    }
    yield stretch;
  }
}
