/**
 * CRC-32 of zip and zlib: by the runtime's own zlib where there is one, else by tables for sixteen
 * bytes at once.
 */

/** Sixteen tables in a row: the first is the classic one, table t moves a byte t places further. */
function makeTables(): Uint32Array {
  const tables = new Uint32Array(16 * 256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = (c & 1) === 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    tables[n] = c;
  }
  for (let n = 256; n < tables.length; n++) {
    const c = tables[n - 256]!;
    tables[n] = tables[c & 0xff]! ^ (c >>> 8);
  }
  return tables;
}

const TABLES = /* @__PURE__ */ makeTables();

/**
 * The checksum without help. `crc` is that of the bytes before (0 for none). Kounavis and Berry
 * 2005, slicing.
 */
export function slicedCrc32(bytes: Uint8Array, crc = 0): number {
  const t = TABLES;
  let c = ~crc;
  let i = 0;
  for (const end = bytes.length - 15; i < end; i += 16) {
    c =
      t[3840 + ((c ^ bytes[i]!) & 0xff)]! ^
      t[3584 + (((c >>> 8) ^ bytes[i + 1]!) & 0xff)]! ^
      t[3328 + (((c >>> 16) ^ bytes[i + 2]!) & 0xff)]! ^
      t[3072 + ((c >>> 24) ^ bytes[i + 3]!)]! ^
      t[2816 + bytes[i + 4]!]! ^
      t[2560 + bytes[i + 5]!]! ^
      t[2304 + bytes[i + 6]!]! ^
      t[2048 + bytes[i + 7]!]! ^
      t[1792 + bytes[i + 8]!]! ^
      t[1536 + bytes[i + 9]!]! ^
      t[1280 + bytes[i + 10]!]! ^
      t[1024 + bytes[i + 11]!]! ^
      t[768 + bytes[i + 12]!]! ^
      t[512 + bytes[i + 13]!]! ^
      t[256 + bytes[i + 14]!]! ^
      t[bytes[i + 15]!]!;
  }
  for (; i < bytes.length; i++) c = t[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8);
  return ~c >>> 0;
}

type Checksum = (bytes: Uint8Array, crc?: number) => number;

/**
 * `node:zlib`'s own, where the runtime has it: reached without an import, so that bundles for
 * browsers stay whole.
 */
function nativeCrc32(): Checksum | undefined {
  try {
    const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } };
    const zlib = process?.getBuiltinModule?.('node:zlib') as { crc32?: Checksum } | undefined;
    return typeof zlib?.crc32 === 'function' ? zlib.crc32 : undefined;
  } catch {
    return undefined;
  }
}

/** The checksum of some bytes after others whose checksum is `crc` (0 for none). */
export function crc32(bytes: Uint8Array, crc = 0): number {
  return bytes.length < 64 ? slicedCrc32(bytes, crc) : (nativeCrc32() ?? slicedCrc32)(bytes, crc);
}
