/** Bytes that lie somewhere else: a file, a Blob, an address that answers ranges. */

/** A sequence of bytes that is read in pieces, so that nothing of its whole size need be in memory. */
export interface ByteSource {
  /** Bytes in all; must not change while the source is in use. */
  readonly size: number;
  /**
   * Fills `into` with the bytes from `offset` on.
   *
   * @param offset - In bytes from the start; `offset + into.length` is never more than `size`.
   * @param into - Filled wholly.
   * @returns A promise that rejects when not all of them can be read.
   */
  read(offset: number, into: Uint8Array): Promise<void>;
}

/** Bytes in memory as a source. Not copied. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    async read(offset, into) {
      into.set(bytes.subarray(offset, offset + into.length));
    },
  };
}
