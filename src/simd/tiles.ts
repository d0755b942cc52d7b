/**
 * The way of float32 arrays into a WebAssembly memory: the address where they are, that of their
 * kept copy, or that of a tile, a small copy at a fixed place.
 */
import type { Arena } from './arena.ts';
import { type Copies, type Copy, copy, NONE } from './copies.ts';
import { TILE_ROOM, TILES_AT } from './places.ts';

/** Tiles of one instance, with its fixed places from `base`. */
export class Tiles {
  readonly #arena: Arena;
  readonly #copies: Copies;
  readonly #memory: Float32Array;
  readonly #tiles: number;

  constructor(arena: Arena, copies: Copies, base: number) {
    this.#arena = arena;
    this.#copies = copies;
    this.#memory = new Float32Array(arena.buffer);
    this.#tiles = base + TILES_AT;
  }

  /** Where the array is in the memory, -1 when it is elsewhere. */
  address(array: Float32Array): number {
    return this.#arena.address(array);
  }

  /** The copy of an array. */
  kept(address: number, array: Float32Array): Copy {
    return address < 0 ? this.#copies.of(array) : NONE;
  }

  /** The copy of an array that is about to be written to. */
  written(address: number, array: Float32Array): Copy {
    if (address < 0) this.#copies.writes(array);
    return this.kept(address, array);
  }

  /**
   * Address of `length` elements from `at`: in the array at `address`, or in its copy, which is
   * added to where the caller `fills` it, or in the tile `which`.
   */
  enter(
    which: number,
    address: number,
    kept: Copy,
    fills: boolean,
    array: Float32Array,
    at: number,
    length: number,
  ): number {
    if (address >= 0) return address + 4 * at;
    if (at + length <= kept.filled) return kept.address + 4 * at;
    let place = this.#tiles + which * TILE_ROOM;
    if (fills && at === kept.filled) {
      place = kept.address + 4 * at;
      kept.filled += length;
    }
    copy(array, at, this.#memory, place / 4, length);
    return place;
  }

  /** Puts elements back from the `place` where they were worked on. */
  leave(place: number, address: number, array: Float32Array, at: number, length: number): void {
    if (address < 0) copy(this.#memory, place / 4, array, at, length);
  }

  /** {@link Tiles.enter} for `span` columns of `rows` rows that are `cols` elements apart. */
  enterRows(
    which: number,
    address: number,
    kept: Copy,
    fills: boolean,
    array: Float32Array,
    at: number,
    rows: number,
    cols: number,
    span: number,
  ): number {
    if (address >= 0 || span === cols) return this.enter(which, address, kept, fills, array, at, rows * span);
    const tile = this.#tiles + which * TILE_ROOM;
    for (let i = 0; i < rows; i++) copy(array, at + i * cols, this.#memory, tile / 4 + i * span, span);
    return tile;
  }

  leaveRows(
    place: number,
    address: number,
    array: Float32Array,
    at: number,
    rows: number,
    cols: number,
    span: number,
  ): void {
    if (address >= 0) return;
    const from = place / 4;
    if (span === cols) copy(this.#memory, from, array, at, rows * span);
    else for (let i = 0; i < rows; i++) copy(this.#memory, from + i * span, array, at + i * cols, span);
  }

  /** `rows` rows from each of eight places `far` elements apart, in the tile 0. */
  enterEighths(array: Float32Array, at: number, far: number, length: number): number {
    const tile = this.#tiles / 4;
    for (let i = 0; i < 8; i++) copy(array, at + i * far, this.#memory, tile + i * length, length);
    return this.#tiles;
  }
}
