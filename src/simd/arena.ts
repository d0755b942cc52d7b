/**
 * Arrays inside one WebAssembly memory of fixed size: allocation, and the proof before each step
 * that an array is a live one. The memory never grows, as growing would detach every array in it.
 */
import { integer, show } from '../core/check.ts';

type FloatArray = Float32Array | Float64Array;

/** A cache line: two arrays never share one, and every f64x2 in them is aligned. */
const ALIGN = 64;

interface Block {
  readonly from: number;
  /** One past its last byte, rounded up to {@link ALIGN}. */
  readonly to: number;
}

/** Hands out `bytes` of `buffer` from `start`, first fit. */
export class Arena {
  readonly buffer: ArrayBuffer;
  /** The function that users call, for messages. */
  readonly #owner: string;
  readonly #bytes: number;
  /** Sorted by place, no two adjacent. */
  #free: Block[];
  readonly #live = new Map<FloatArray, Block>();
  /** The same blocks by their place, for views inside of them. */
  readonly #blocks: Block[] = [];
  readonly #freed = new WeakSet<FloatArray>();
  /** Arrays, or views of them, found live since the last `free`: a look-up instead of a search. */
  #known = new WeakSet<FloatArray>();
  /**
   * The last two arrays whose address was asked for: a loop works on few, and comparisons cost less
   * than two getters (12 ns each).
   */
  #last: FloatArray | null = null;
  #lastAt = 0;
  #before: FloatArray | null = null;
  #beforeAt = 0;

  constructor(owner: string, buffer: ArrayBuffer, start: number, bytes: number) {
    this.#owner = owner;
    this.buffer = buffer;
    this.#bytes = bytes;
    this.#free = bytes === 0 ? [] : [{ from: start, to: start + bytes }];
  }

  allocate(dtype: 'float32' | 'float64', length: number): FloatArray {
    if (dtype !== 'float32' && dtype !== 'float64') {
      throw new TypeError(
        `${this.#owner}().allocate: dtype must be "float32" or "float64", got ${show(dtype)}; keep 16-bit ` +
          `arrays in a Uint16Array, they are copied`,
      );
    }
    integer(`${this.#owner}().allocate: length`, length);
    const size = sizeFor(dtype, length);
    const place = this.#free.findIndex((hole) => hole.to - hole.from >= size);
    if (place < 0) throw this.#full(dtype, length, size);
    const hole = this.#free[place]!;
    const block = { from: hole.from, to: hole.from + size };
    if (hole.to === block.to) this.#free.splice(place, 1);
    else this.#free[place] = { from: block.to, to: hole.to };
    const array =
      dtype === 'float32'
        ? new Float32Array(this.buffer, block.from, length)
        : new Float64Array(this.buffer, block.from, length);
    array.fill(0);
    this.#live.set(array, block);
    this.#blocks.splice(this.#blockAt(block.from), 0, block);
    return array;
  }

  #full(dtype: string, length: number, size: number): RangeError {
    let left = 0;
    let largest = 0;
    for (const { from, to } of this.#free) {
      left += to - from;
      largest = Math.max(largest, to - from);
    }
    const pieces = left === largest ? '' : `, ${largest} in one piece`;
    return new RangeError(
      `${this.#owner}().allocate: ${dtype} times ${length} needs ${size} bytes, but of the arena's ` +
        `${this.#bytes} only ${left} are free${pieces}; ` +
        `ask for more with ${this.#owner}({ arenaBytes: ${this.#bytes - largest + size} }) or more, free what ` +
        `is no longer used, or use an ordinary array`,
    );
  }

  fits(dtype: 'float32' | 'float64', length: number): boolean {
    const size = sizeFor(dtype, length);
    return this.#free.some(({ from, to }) => to - from >= size);
  }

  owns(array: FloatArray): boolean {
    return this.#live.has(array);
  }

  free(array: FloatArray): void {
    const block = this.#live.get(array);
    if (block === undefined) throw this.#notLive(array);
    this.#live.delete(array);
    this.#blocks.splice(this.#blockAt(block.from), 1);
    this.#freed.add(array);
    this.#known = new WeakSet();
    const after = this.#free.findIndex(({ from }) => from > block.from);
    const at = after < 0 ? this.#free.length : after;
    const left = this.#free[at - 1];
    const right = this.#free[at];
    const joinsLeft = left !== undefined && left.to === block.from;
    const joinsRight = right !== undefined && right.from === block.to;
    const whole = { from: joinsLeft ? left.from : block.from, to: joinsRight ? right.to : block.to };
    this.#free.splice(joinsLeft ? at - 1 : at, Number(joinsLeft) + Number(joinsRight), whole);
  }

  #notLive(array: unknown): Error {
    const where = `${this.#owner}().free`;
    if (this.#freed.has(array as FloatArray)) return new Error(`${where}: this array was freed already; free it once`);
    if (ArrayBuffer.isView(array) && array.buffer === this.buffer) {
      return new RangeError(
        `${where}: ${show(array)} is a view of an allocated array; free the very array that allocate returned`,
      );
    }
    return new TypeError(
      `${where}: array must be one that allocate of these same kernels returned, got ${show(array)}; an ` +
        `ordinary array needs no free`,
    );
  }

  /** Throws when the array is in this memory but was freed: something else may live there now. */
  checkLive(array: FloatArray): void {
    if (array.buffer !== this.buffer || this.#known.has(array)) return;
    if (!this.#isLive(array)) {
      throw new Error(
        `${this.#owner}: ${show(array)} was freed and is still in use; free an array after its last step, or ` +
          `make a new Parameter with a new array`,
      );
    }
    this.#known.add(array);
  }

  /**
   * Where the array is in this memory, -1 when it is elsewhere. It is taken as live: a step has
   * checked what is not its optimizer's own, and a look-up of each array in each pass took up to a
   * fifth of AdamW's step over many parameters of 16 by 16.
   */
  address(array: FloatArray): number {
    if (array === this.#last) return this.#lastAt;
    if (array === this.#before) return this.#beforeAt;
    if (array.buffer !== this.buffer) return -1;
    this.#before = this.#last;
    this.#beforeAt = this.#lastAt;
    this.#last = array;
    this.#lastAt = array.byteOffset;
    return this.#lastAt;
  }

  /** An allocated array itself, or a view inside one. */
  #isLive(array: FloatArray): boolean {
    if (this.#live.has(array)) return true;
    if (this.#freed.has(array)) return false;
    const { byteOffset, byteLength } = array;
    const at = this.#blockAt(byteOffset);
    const block = this.#blocks[at]?.from === byteOffset ? this.#blocks[at] : this.#blocks[at - 1];
    return block !== undefined && byteOffset >= block.from && byteOffset + byteLength <= block.to;
  }

  /** Number of live blocks that begin before this place. */
  #blockAt(place: number): number {
    let low = 0;
    let high = this.#blocks.length;
    // Most arrays are allocated one after the other.
    if (high > 0 && this.#blocks[high - 1]!.from < place) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#blocks[middle]!.from < place) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * Bytes taken by an array. One of length 0 takes a line too, so that every array has a place of its
 * own.
 */
function sizeFor(dtype: 'float32' | 'float64', length: number): number {
  const bytes = length * (dtype === 'float32' ? 4 : 8);
  return Math.max(1, Math.ceil(bytes / ALIGN)) * ALIGN;
}
