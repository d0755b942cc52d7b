/** Damage that any file may suffer. */

const HUGE = [0, 1, 0x7f, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
/** A number below another. */
export type Random = (below: number) => number;

/** Damage that knows nothing of the format. */
export function damage(source: Uint8Array, random: Random): Uint8Array {
  let bytes = source.slice();
  for (let times = 1 + random(3); times > 0 && bytes.length > 8; times--) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const at = random(bytes.length);
    switch (random(7)) {
      case 0:
        bytes = bytes.slice(0, at);
        break;
      case 1:
        bytes[at]! ^= 1 << random(8);
        break;
      case 2:
        bytes[at] = random(256);
        break;
      case 3:
        view.setUint32(Math.min(at, bytes.length - 4), HUGE[random(HUGE.length)]!, true);
        break;
      case 4:
        view.setBigUint64(
          Math.min(at, bytes.length - 8),
          [2n ** 63n, 2n ** 53n, 2n ** 32n, 2n ** 64n - 1n][random(4)]!,
          true,
        );
        break;
      case 5: {
        // A stretch of the file once more, somewhere else.
        const from = random(bytes.length);
        bytes.copyWithin(at, from, Math.min(bytes.length, from + random(64)));
        break;
      }
      default: {
        const extra = Uint8Array.from({ length: random(40) }, () => random(256));
        const grown = new Uint8Array(bytes.length + extra.length);
        grown.set(bytes.subarray(0, at));
        grown.set(extra, at);
        grown.set(bytes.subarray(at), at + extra.length);
        bytes = grown;
      }
    }
  }
  return bytes;
}
