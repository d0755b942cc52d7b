/**
 * Copies, in a WebAssembly memory, of arrays that are elsewhere, kept from pass to pass of a step:
 * a gradient is read in three passes, a weight in two.
 *
 * `keep` names an array that nobody writes to before `forget` but these loops. Its copy fills as
 * the first pass goes through it from its start; what is not there goes through a tile. A loop that
 * writes weights works on their copy and puts it back, and drops the copies of all other arrays of
 * the same buffer, as they may overlap.
 */
type Floats = Float32Array | Float64Array;

/** An array's copy: from `address`, the first `filled` elements; -1 for no copy at all. */
export interface Copy {
  readonly array: Floats | null;
  readonly buffer: ArrayBufferLike | null;
  readonly address: number;
  filled: number;
}

/** Of an array that has no copy. */
export const NONE: Copy = { array: null, buffer: null, address: 0, filled: -1 };

/** Copies at a time: a search through them has to cost less than a small array's copying. */
const MOST = 16;
/** Bytes of the least array that is kept. */
const LEAST = 4096;

/** Keeps copies in `bytes` from `start`, both multiples of 64. */
export class Copies {
  readonly #start: number;
  readonly #bytes: number;
  #used = 0;
  readonly #copies: Copy[] = [];

  constructor(start: number, bytes: number) {
    this.#start = start;
    this.#bytes = bytes;
  }

  /**
   * Makes room for a copy, forgetting all others where there is none. An array in this memory must
   * not come here.
   */
  keep(array: Floats): void {
    const { byteLength } = array;
    if (byteLength < LEAST || byteLength > this.#bytes || this.of(array) !== NONE) return;
    const size = Math.ceil(byteLength / 64) * 64;
    if (this.#used + size > this.#bytes || this.#copies.length === MOST) this.forget();
    this.#copies.push({ array, buffer: array.buffer, address: this.#start + this.#used, filled: 0 });
    this.#used += size;
  }

  forget(): void {
    this.#copies.length = 0;
    this.#used = 0;
  }

  of(array: Floats): Copy {
    const copies = this.#copies;
    for (let i = copies.length - 1; i >= 0; i--) if (copies[i]!.array === array) return copies[i]!;
    return NONE;
  }

  /** The array is going to be written to: its own copy stays good if the same is written there. */
  writes(array: Floats): void {
    if (this.#copies.length === 0) return;
    const { buffer } = array;
    for (const copy of this.#copies) if (copy.buffer === buffer && copy.array !== array) copy.filled = -1;
  }
}

/** Less than this many numbers are copied one by one. */
const FEW = 32;

/** Copies `length` numbers. */
export function copy(from: Floats, fromAt: number, to: Floats, toAt: number, length: number): void {
  if (length < FEW) for (let k = 0; k < length; k++) to[toAt + k] = from[fromAt + k]!;
  else to.set(fromAt === 0 && from.length === length ? from : from.subarray(fromAt, fromAt + length), toAt);
}
