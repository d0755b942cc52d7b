/**
 * The loops of `loops/gradients.ts` by way of WebAssembly: in place inside the module's memory, and
 * tile by tile elsewhere.
 */
import type * as gradients from '../loops/gradients.ts';
import type { Arena } from './arena.ts';
import { FETCH, LANES_AT, PLACE_AT, TILE, TILE_ROOM, TILES_AT } from './places.ts';

type Exports = Readonly<Record<string, (...args: number[]) => number>>;
/** Float64 arrays go where the types say Float32Array. */
type Floats = Float32Array;

/** The loops over arrays with `width` bytes per element, with their fixed places from `base`. */
export function simdGradients(arena: Arena, exports: Exports, width: 4 | 8, base: number): typeof gradients {
  const of = (name: string): ((...args: number[]) => number) => exports[`${name}${8 * width}`]!;
  const wasm = {
    sumAbsolute: of('sumAbsolute'),
    largest: of('largest'),
    scale: of('scale'),
    clamp: of('clamp'),
    addScaled: of('addScaled'),
    divide: of('divide'),
  };
  const LANES = base + LANES_AT;
  const PLACE = base + PLACE_AT;
  const FIRST = base + TILES_AT;
  const SECOND = FIRST + TILE_ROOM;
  const memory = (width === 4 ? new Float32Array(arena.buffer) : new Float64Array(arena.buffer)) as Floats;
  /** Elements of a tile: a multiple of 8. */
  const most = TILE / width;

  /** Elements `at` and after it into a tile. */
  function enter(tile: number, array: Floats, at: number, length: number): void {
    memory.set(array.subarray(at, at + length), tile / width);
  }
  function leave(tile: number, array: Floats, at: number, length: number): void {
    array.set(memory.subarray(tile / width, tile / width + length), at);
  }

  /** A fold over a range: in one call, or over tiles. */
  function fold(
    x: Floats,
    offset: number,
    length: number,
    start: number,
    call: (address: number, n: number, sum: number, first: number, ahead: number) => number,
  ): number {
    const x0 = arena.address(x);
    if (x0 >= 0) return call(x0 + offset * width, length, start, 1, x.length * width >= FETCH ? 1 : 0);
    let result = start;
    for (let k = 0; k < length; k += most) {
      const n = Math.min(most, length - k);
      enter(FIRST, x, offset + k, n);
      result = call(FIRST, n, result, k === 0 ? 1 : 0, 0);
    }
    return result;
  }

  /** An update of a range in place. */
  function update(
    loop: (address: number, n: number, by: number) => void,
    x: Floats,
    offset: number,
    length: number,
    by: number,
  ): void {
    const x0 = arena.address(x);
    const step = x0 >= 0 ? length : most;
    for (let k = 0; k < length; k += step) {
      const n = Math.min(step, length - k);
      if (x0 < 0) enter(FIRST, x, offset + k, n);
      loop(x0 < 0 ? FIRST : x0 + offset * width, n, by);
      if (x0 < 0) leave(FIRST, x, offset + k, n);
    }
  }

  /** An update of one range by another; `reads`: the first is read too. */
  function combine(
    loop: (to: number, from: number, n: number, by: number) => void,
    reads: boolean,
    to: Floats,
    toAt: number,
    from: Floats,
    fromAt: number,
    length: number,
    by: number,
  ): void {
    const to0 = arena.address(to);
    const from0 = arena.address(from);
    const step = to0 >= 0 && from0 >= 0 ? length : most;
    for (let k = 0; k < length; k += step) {
      const n = Math.min(step, length - k);
      if (to0 < 0 && reads) enter(FIRST, to, toAt + k, n);
      if (from0 < 0) enter(SECOND, from, fromAt + k, n);
      const target = to0 < 0 ? FIRST : to0 + (toAt + k) * width;
      loop(target, from0 < 0 ? SECOND : from0 + (fromAt + k) * width, n, by);
      if (to0 < 0) leave(FIRST, to, toAt + k, n);
    }
  }

  return {
    sumAbsolute(x, offset, length) {
      if (length === 0) return 0;
      return fold(x, offset, length, 0, (address, n, _, first, ahead) =>
        wasm.sumAbsolute(address, n, LANES, first, ahead),
      );
    },
    largest(x, offset, length, start) {
      return fold(x, offset, length, start, (address, n, sum, _, ahead) => wasm.largest(address, n, sum, PLACE, ahead));
    },
    scale: (x, offset, length, factor) => update(wasm.scale, x, offset, length, factor),
    clamp: (x, offset, length, bound) => update(wasm.clamp, x, offset, length, bound),
    addScaled: (s, sAt, g, gAt, length, weight) => combine(wasm.addScaled, true, s, sAt, g, gAt, length, weight),
    divide: (g, gAt, s, sAt, length, divisor) => combine(wasm.divide, false, g, gAt, s, sAt, length, divisor),
  };
}
