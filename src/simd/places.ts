/**
 * The fixed places of one instance of the loops in its memory: copies, lanes, zeros. The arena
 * comes after them.
 */

/** Columns of a span, at most. */
export const SPAN: number = 8192;
/** Rows of a chunk, at most; a multiple of 4. */
export const CHUNK: number = 1024;
/**
 * Bytes of a tile, unless four rows have more: still in the cache when worked on. 16 KiB made a
 * copied Adafactor step of 2048² 6 % slower, 64 and 128 KiB no faster (Node 20.20); on another
 * processor 16 and 64 KiB gave the same, 8 KiB took 6 % longer at 1024². Tiles that do not lie a
 * multiple of 4 KiB apart: no faster.
 */
export const TILE: number = 32768;

/** The fixed places of one instance, by their byte distance from its base; 0 is none of them. */
export const PLACE_AT: number = 512;
export const ZEROS_AT: number = 1024;
export const COLUMNS_AT: number = ZEROS_AT + 8 * SPAN;
export const ROWS_AT: number = COLUMNS_AT + 8 * SPAN;
export const LANES_AT: number = ROWS_AT + 8 * (CHUNK + 4);
export const TILES_AT: number = LANES_AT + 16 * (CHUNK + 4);
/** Four rows of a span of doubles. */
export const TILE_ROOM: number = 4 * 8 * SPAN;
/** After tiles for p, g, m, v and the largest v: column factors of a span in float32. */
export const SINGLES_AT: number = TILES_AT + 5 * TILE_ROOM;
/** Bytes of all these places: the arena comes after them. */
export const RESERVED: number = Math.ceil((SINGLES_AT + 4 * SPAN) / 65536) * 65536;

/**
 * Bytes from which on an array is not in the caches when its turn comes, and what a memory must
 * have after its last array to be touched ahead of.
 */
export const FETCH: number = 2 ** 20;
export const BEYOND: number = 4096 + 64;
