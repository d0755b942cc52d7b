/**
 * Small arrays that all threads reach, several in one SharedArrayBuffer: each costs a message to
 * name.
 */

/** Doubles of a slab, and of a cache line: two threads' sums do not share one. */
const SLAB = 32768;
const LINE = 8;

/**
 * Hands out zeroed doubles; their memory is free when nobody holds an array of the slab any more.
 */
export class SharedScratch {
  #slab: SharedArrayBuffer | undefined;
  #used = 0;

  readonly take = (length: number): Float64Array => {
    if (length > SLAB / 4) return new Float64Array(new SharedArrayBuffer(8 * length));
    if (this.#slab === undefined || this.#used + length > SLAB) {
      this.#slab = new SharedArrayBuffer(8 * SLAB);
      this.#used = 0;
    }
    const array = new Float64Array(this.#slab, 8 * this.#used, length);
    this.#used += Math.ceil(length / LINE) * LINE;
    return array;
  };
}
