/**
 * How an array is cut: by its shape alone, so that the order of its sums depends on neither engine
 * nor thread count.
 *
 * A block (whole rows of one matrix, or a range of a vector) is the unit of work for a thread and
 * has partial sums of its own, which are added in block order. A strip (whole groups of four rows
 * inside a block) is what a 16-bit array is widened by.
 */

/**
 * At most so many blocks a matrix: enough for any number of cores, few enough that a partial sum
 * per block and column stays small.
 */
const MOST_BLOCKS = 32;
const LEAST_ELEMENTS = 16384;
const VECTOR_BLOCK = 65536;

/**
 * Elements from which on a matrix is not in the caches when its turn comes, as a rule: 1 MiB of
 * float32. The passes that only read it then do so at eight places of a block at once; the order of
 * sums is told in `sums.ts`.
 */
const FAR = 2 ** 18;
/** Rows from stream to stream, at most. */
const MOST_APART = 128;

/** Elements of a strip, unless four rows alone have more. */
const STRIP = 8192;

/** The next multiple of four. */
export function roundUp4(n: number): number {
  return Math.ceil(n / 4) * 4;
}

/** Rows of one block of a `rows` by `cols` matrix: a multiple of 4, at least 16. */
export function blockRows(rows: number, cols: number): number {
  return Math.max(16, roundUp4(rows / MOST_BLOCKS), roundUp4(LEAST_ELEMENTS / Math.max(1, cols)));
}

/** Whether the sums over a matrix go by streams, where they are not over 16-bit numbers. */
export function isFar(rows: number, cols: number): boolean {
  return rows * cols >= FAR;
}

/** Rows from stream to stream where so many are to be read, by eight streams: at least 1. */
export function rowsApart(rows: number): number {
  return Math.max(1, Math.min(MOST_APART, Math.floor(rows / 8)));
}

/** Elements of each of the eight streams through a flat range: a multiple of 8. */
export function lengthOfStream(length: number): number {
  return Math.floor(length / 64) * 8;
}

/** Elements of one block of a vector. */
export function blockLength(length: number): number {
  return Math.max(VECTOR_BLOCK, Math.ceil(length / MOST_BLOCKS / 8) * 8);
}

/** Rows of one strip of a matrix with `cols` columns: a multiple of 4. */
export function stripRows(cols: number): number {
  return Math.max(4, Math.floor(STRIP / Math.max(1, cols) / 4) * 4);
}

/** Elements of one strip of a vector: a multiple of 8. */
export const STRIP_LENGTH: number = STRIP;
