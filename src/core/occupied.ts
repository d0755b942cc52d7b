/** Which bytes are taken by arrays, and by whom. */
import type { NumericArray } from './dtype.ts';
import { overlap } from './typed-array.ts';

/** An array and whose it is. */
type Holding<T> = readonly [array: NumericArray, owner: T];

/**
 * Arrays that share no byte: those of each buffer, in their order. Adding one by one costs a search
 * and a move of what lies behind, which is memory's speed.
 */
export class Occupied<T> {
  readonly #sorted = new Map<ArrayBufferLike, Holding<T>[]>();

  /** Adds an array, or returns the owner of one that it shares memory with. */
  add(array: NumericArray, owner: T): T | undefined {
    const clash = this.sharing(array);
    if (clash !== undefined || array.byteLength === 0) return clash;
    const { buffer } = array;
    if (!this.#sorted.has(buffer)) this.#sorted.set(buffer, []);
    const sorted = this.#sorted.get(buffer)!;
    sorted.splice(placeIn(sorted, array), 0, [array, owner]);
    return undefined;
  }

  /** Adds all, or none where two share memory: their owners are returned. */
  addAll(holdings: readonly Holding<T>[]): readonly [T, T] | undefined {
    for (const [i, [array, owner]] of holdings.entries()) {
      const clash = this.add(array, owner);
      if (clash === undefined) continue;
      for (const [added] of holdings.slice(0, i)) this.#remove(added);
      return [clash, owner];
    }
    return undefined;
  }

  /** The owner of one that an array shares memory with. */
  sharing(array: NumericArray): T | undefined {
    // What stands for an array that is elsewhere has no bytes, and no buffer.
    const sorted = array.byteLength === 0 ? undefined : this.#sorted.get(array.buffer);
    if (sorted === undefined) return undefined;
    const at = placeIn(sorted, array);
    return [sorted[at - 1], sorted[at]].find((other) => other && overlap(other[0], array))?.[1];
  }

  #remove(array: NumericArray): void {
    if (array.byteLength === 0) return;
    const among = this.#sorted.get(array.buffer)!;
    among.splice(
      among.findIndex(([other]) => other === array),
      1,
    );
  }
}

/** How many of them begin before this array. */
function placeIn(sorted: readonly Holding<unknown>[], { byteOffset }: NumericArray): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]![0].byteOffset < byteOffset) low = middle + 1;
    else high = middle;
  }
  return low;
}
