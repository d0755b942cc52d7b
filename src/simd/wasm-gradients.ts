/**
 * The loops of `loops/gradients.ts` by way of WebAssembly: in place inside the module's memory, and
 * tile by tile elsewhere.
 */
import type * as gradients from '../loops/gradients.ts';
import type { Arena } from './arena.ts';
import { type Copies, NONE } from './copies.ts';
import { FETCH, LANES_AT, PLACE_AT } from './places.ts';
import { Tiles } from './tiles.ts';

type Exports = Readonly<Record<string, (...args: number[]) => number>>;
/** Float64 arrays go where the types say Float32Array. */
type Floats = Float32Array;

/** The loops over arrays with `width` bytes per element, with their fixed places from `base`. */
export function simdGradients(
  arena: Arena,
  copies: Copies,
  exports: Exports,
  width: 4 | 8,
  base: number,
): typeof gradients {
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
  const tiles = new Tiles(arena, copies, base, width);

  /** A fold over a range: in one call, or over tiles. */
  function fold(
    x: Floats,
    offset: number,
    length: number,
    start: number,
    call: (address: number, n: number, sum: number, first: number, ahead: number) => number,
  ): number {
    const x0 = arena.address(x);
    const ahead = x0 >= 0 && x.length * width >= FETCH ? 1 : 0;
    const step = x0 >= 0 ? length : tiles.most;
    let result = start;
    for (let k = 0; k < length; k += step) {
      const n = Math.min(step, length - k);
      result = call(tiles.enter(0, x0, NONE, false, x, offset + k, n), n, result, k === 0 ? 1 : 0, ahead);
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
    const step = x0 >= 0 ? length : tiles.most;
    for (let k = 0; k < length; k += step) {
      const n = Math.min(step, length - k);
      const place = tiles.enter(0, x0, NONE, false, x, offset + k, n);
      loop(place, n, by);
      tiles.leave(place, x0, x, offset + k, n);
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
    const step = to0 >= 0 && from0 >= 0 ? length : tiles.most;
    for (let k = 0; k < length; k += step) {
      const n = Math.min(step, length - k);
      const target = reads ? tiles.enter(0, to0, NONE, false, to, toAt + k, n) : tiles.placeOf(0, to0, toAt + k);
      loop(target, tiles.enter(1, from0, NONE, false, from, fromAt + k, n), n, by);
      tiles.leave(target, to0, to, toAt + k, n);
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
