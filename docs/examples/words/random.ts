/**
 * Random numbers that depend on (seed, counter) alone, so that a resumed run draws what the
 * uninterrupted one would have drawn. The mixer is the finaliser of MurmurHash3 (Appleby 2011) with
 * the constants of "lowbias32" (Wellons 2018), applied twice.
 */
function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** A 32-bit random integer. */
export function randomInt32(seed: number, counter: number): number {
  return mix(mix(seed + 0x9e3779b9) ^ mix(counter));
}

/** A random number in [0, 1). */
export function random(seed: number, counter: number): number {
  return randomInt32(seed, counter) / 2 ** 32;
}
