/**
 * Threefry-2x32 with 20 rounds: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy
 * as 1, 2, 3" (the generator of Random123, and JAX's default). A keyed bijection of a 64-bit
 * counter, so the random bits of an element depend on (seed, parameter, step, element) alone and
 * nothing has to be drawn in any order.
 */

const PARITY = 0x1bd11bda;

/** Writes the two words of counter (c0, c1) under key (k0, k1) to `out[at]` and `out[at + 1]`. */
export function threefry(k0: number, k1: number, c0: number, c1: number, out: Uint32Array, at: number): void {
  const k2 = k0 ^ k1 ^ PARITY;
  let x0 = (c0 + k0) | 0;
  let x1 = (c1 + k1) | 0;
  for (let round = 0; round < 5; round++) {
    if ((round & 1) === 0) {
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0;
    } else {
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 17) | (x1 >>> 15)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 29) | (x1 >>> 3)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 16) | (x1 >>> 16)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 24) | (x1 >>> 8)) ^ x0;
    }
    // Key schedule: words (1, 2), (2, 0), (0, 1), (1, 2), (2, 0), each with the number of the
    // injection.
    const phase = round % 3;
    x0 = (x0 + (phase === 0 ? k1 : phase === 1 ? k2 : k0)) | 0;
    x1 = (x1 + (phase === 0 ? k2 : phase === 1 ? k0 : k1) + round + 1) | 0;
  }
  out[at] = x0;
  out[at + 1] = x1;
}

/**
 * The key of one parameter's stream: the seed (a safe integer, 53 bits) encrypts what tells the
 * parameter from others.
 */
export function streamKey(seed: number, stream: number, occurrence: number): Uint32Array {
  const key = new Uint32Array(2);
  threefry(seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0, stream >>> 0, occurrence >>> 0, key, 0);
  return key;
}

/**
 * 32-bit FNV-1a of a name's UTF-16 code units: which stream a named parameter has, wherever it
 * stands in the list.
 */
export function nameHash(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  return hash >>> 0;
}

/**
 * Random words of the elements `first` to `first + length - 1` at `step`, into `out`: words 2k and
 * 2k + 1 share a counter.
 */
export function fillRandom(
  key0: number,
  key1: number,
  step: number,
  first: number,
  length: number,
  out: Uint32Array,
): void {
  // The words of element pairs; a range that starts at an odd element starts with the second word
  // of its pair.
  const odd = first & 1;
  const pairs = (first - odd) / 2;
  if (odd === 1) {
    threefry(key0, key1, pairs, step, out, 0);
    out[0] = out[1]!;
  }
  let k = odd;
  for (; k + 1 < length; k += 2) threefry(key0, key1, (first + k) / 2, step, out, k);
  // `out` has room for one word more than the longest range.
  if (k < length) threefry(key0, key1, (first + k) / 2, step, out, k);
}
