/**
 * How slow this machine is at the moment, so that a bound of time is one of the program and not of
 * the machine.
 */

/** Milliseconds that the work below took where the bounds of time were set: 2 cores, Node 20. */
const USUAL = 45;

/** What reading a file is made of: characters one by one, short strings, keys, small objects. */
function work(): number {
  const text = JSON.stringify(
    Array.from({ length: 20_000 }, (_, i) => ({ name: `layer.${i}.weight`, shape: [i, 3], offsets: [0, i * 12] })),
  );
  let sum = 0;
  for (let i = 0; i < text.length; i++) sum = (31 * sum + text.charCodeAt(i)) | 0;
  const names = new Set<string>();
  for (const { name, shape } of JSON.parse(text) as { name: string; shape: number[] }[]) {
    names.add(`${name}.${shape[0]! % 7}`);
  }
  return sum + names.size;
}

/** 1 on a machine as usual, or a faster one; 2 where everything takes twice as long. */
export function slowness(): number {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 4; run++) {
    const begun = performance.now();
    work();
    least = Math.min(least, performance.now() - begun);
  }
  return Math.max(1, least / USUAL);
}
