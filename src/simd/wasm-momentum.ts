/**
 * The loops of `loops/momentum.ts` and `loops/sign-momentum.ts` by way of WebAssembly; the
 * arithmetic is in `assembly/`.
 */
import type * as momentum from '../loops/momentum.ts';
import type * as sign from '../loops/sign-momentum.ts';
import type { Arena } from './arena.ts';
import type { Copies } from './copies.ts';
import { Tiles } from './tiles.ts';

/** Float64 arrays go where they say Float32Array. */
export type MomentumLoops = typeof momentum & typeof sign;

type Exports = Readonly<Record<string, (...args: number[]) => number>>;

/** The loops over arrays with `width` bytes per element, with their fixed places from `base`. */
export function simdMomentum(
  arena: Arena,
  copies: Copies,
  exports: Exports,
  width: 4 | 8,
  base: number,
): MomentumLoops {
  const tiles = new Tiles(arena, copies, base, width);
  const sgd = exports[`sgd${8 * width}`]!;
  const lion = exports[`lion${8 * width}`]!;
  return {
    sgd(p, pAt, g, gAt, length, sign, decay, lr) {
      const loop = (P: number, G: number, _m: number, _v: number, _l: number, n: number): void =>
        void sgd(P, G, 0, n, sign, decay, lr, 0, 0, 0, 0);
      tiles.flat(loop, p, pAt, g, gAt, null, null, null, 0, length);
    },
    sgdMomentum(p, pAt, g, gAt, m, at, length, sign, decay, lr, momentum, rest) {
      const loop = (P: number, G: number, M: number, _v: number, _l: number, n: number): void =>
        void sgd(P, G, M, n, sign, decay, lr, momentum, rest, 0, 0);
      tiles.flat(loop, p, pAt, g, gAt, m, null, null, at, length);
    },
    sgdNesterov(p, pAt, g, gAt, m, at, length, sign, decay, lr, momentum, rest, ahead) {
      const loop = (P: number, G: number, M: number, _v: number, _l: number, n: number): void =>
        void sgd(P, G, M, n, sign, decay, lr, momentum, rest, ahead, 1);
      tiles.flat(loop, p, pAt, g, gAt, m, null, null, at, length);
    },
    lion(p, pAt, g, gAt, m, at, length, beta1, rest1, beta2, rest2, lr, keep) {
      const loop = (P: number, G: number, M: number, _v: number, _l: number, n: number): void =>
        void lion(P, G, M, n, beta1, rest1, beta2, rest2, lr, keep);
      tiles.flat(loop, p, pAt, g, gAt, m, null, null, at, length);
    },
  };
}
