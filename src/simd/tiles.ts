/**
 * The way of arrays into a WebAssembly memory: the address where they are, that of their kept copy,
 * or that of a tile, a small copy at a fixed place.
 */
import type { Arena } from './arena.ts';
import { type Copies, type Copy, copy, NONE } from './copies.ts';
import { TILE, TILE_ROOM, TILES_AT } from './places.ts';

/** Float64 arrays go where the types say Float32Array: all loops have one shape. */
type Floats = Float32Array;

/**
 * Tiles of one instance, with its fixed places from `base`, for arrays with `width` bytes per
 * element.
 */
export class Tiles {
  /** Elements at a time of flat ranges that are copied: a multiple of 8. */
  readonly most: number;
  readonly #arena: Arena;
  readonly #copies: Copies;
  readonly #memory: Floats;
  readonly #tiles: number;
  readonly #width: 4 | 8;

  constructor(arena: Arena, copies: Copies, base: number, width: 4 | 8 = 4) {
    this.#arena = arena;
    this.#copies = copies;
    this.#memory = (width === 4 ? new Float32Array(arena.buffer) : new Float64Array(arena.buffer)) as Floats;
    this.#tiles = base + TILES_AT;
    this.#width = width;
    this.most = TILE / width;
  }

  /** Where the array is in the memory, -1 when it is elsewhere. */
  address(array: Floats): number {
    return this.#arena.address(array);
  }

  /** The copy of an array. */
  kept(address: number, array: Floats): Copy {
    return address < 0 ? this.#copies.of(array) : NONE;
  }

  /** The copy of an array that is about to be written to. */
  written(address: number, array: Floats): Copy {
    if (address < 0) this.#copies.writes(array);
    return this.kept(address, array);
  }

  /**
   * Address of `length` elements from `at`: in the array at `address`, or in its copy, which is
   * added to where the caller `fills` it, or in the tile `which`.
   */
  enter(which: number, address: number, kept: Copy, fills: boolean, array: Floats, at: number, length: number): number {
    if (address >= 0) return address + this.#width * at;
    if (at + length <= kept.filled) return kept.address + this.#width * at;
    let place = this.placeOf(which, address, at);
    if (fills && at === kept.filled) {
      place = kept.address + this.#width * at;
      kept.filled += length;
    }
    copy(array, at, this.#memory, place / this.#width, length);
    return place;
  }

  /** Address of what is only written to: in the array at `address`, or the tile `which`. */
  placeOf(which: number, address: number, at: number): number {
    return address >= 0 ? address + this.#width * at : this.#tiles + which * TILE_ROOM;
  }

  /** Puts elements back from the `place` where they were worked on. */
  leave(place: number, address: number, array: Floats, at: number, length: number): void {
    if (address < 0) copy(this.#memory, place / this.#width, array, at, length);
  }

  /** {@link Tiles.enter} for `span` columns of `rows` rows that are `cols` elements apart. */
  enterRows(
    which: number,
    address: number,
    kept: Copy,
    fills: boolean,
    array: Floats,
    at: number,
    rows: number,
    cols: number,
    span: number,
  ): number {
    if (address >= 0 || span === cols) return this.enter(which, address, kept, fills, array, at, rows * span);
    const tile = this.#tiles + which * TILE_ROOM;
    for (let i = 0; i < rows; i++) copy(array, at + i * cols, this.#memory, tile / this.#width + i * span, span);
    return tile;
  }

  leaveRows(place: number, address: number, array: Floats, at: number, rows: number, cols: number, span: number): void {
    if (address >= 0) return;
    const from = place / this.#width;
    if (span === cols) copy(this.#memory, from, array, at, rows * span);
    else for (let i = 0; i < rows; i++) copy(this.#memory, from + i * span, array, at + i * cols, span);
  }

  /** `rows` rows from each of eight places `far` elements apart, in the tile 0. */
  enterEighths(array: Floats, at: number, far: number, length: number): number {
    const tile = this.#tiles / this.#width;
    for (let i = 0; i < 8; i++) copy(array, at + i * far, this.#memory, tile + i * length, length);
    return this.#tiles;
  }

  /**
   * Runs `loop` over weights, gradient and up to three state arrays from `at`, by their addresses
   * (0 for none) and a count.
   */
  flat(
    loop: (p: number, g: number, m: number, v: number, largest: number, n: number) => void,
    p: Floats,
    pAt: number,
    g: Floats,
    gAt: number,
    m: Floats | null,
    v: Floats | null,
    largest: Floats | null,
    at: number,
    length: number,
  ): void {
    const p0 = this.address(p);
    const pKept = this.written(p0, p);
    const g0 = this.address(g);
    const gKept = this.kept(g0, g);
    const m0 = m === null ? 0 : this.address(m);
    const v0 = v === null ? 0 : this.address(v);
    const l0 = largest === null ? 0 : this.address(largest);
    const most = p0 >= 0 && g0 >= 0 && m0 >= 0 && v0 >= 0 && l0 >= 0 ? length : this.most;
    for (let k = 0; k < length; k += most) {
      const n = Math.min(most, length - k);
      const gTile = this.enter(0, g0, gKept, false, g, gAt + k, n);
      const pTile = this.enter(1, p0, pKept, false, p, pAt + k, n);
      const mTile = m === null ? 0 : this.enter(2, m0, NONE, false, m, at + k, n);
      const vTile = v === null ? 0 : this.enter(3, v0, NONE, false, v, at + k, n);
      const lTile = largest === null ? 0 : this.enter(4, l0, NONE, false, largest, at + k, n);
      loop(pTile, gTile, mTile, vTile, lTile, n);
      this.leave(pTile, p0, p, pAt + k, n);
      if (m !== null) this.leave(mTile, m0, m, at + k, n);
      if (v !== null) this.leave(vTile, v0, v, at + k, n);
      if (largest !== null) this.leave(lTile, l0, largest, at + k, n);
    }
  }
}
