/**
 * The loops of the float32 level by way of WebAssembly; the arithmetic is in `assembly/float32/`,
 * and a plain form of it in `test/_single-loops.ts`. A block, or an element, is done in double
 * where float32 cannot tell: each loop says where.
 */
import type * as momentum from '../loops/momentum.ts';
import type * as sign from '../loops/sign-momentum.ts';
import type { CheckLoop } from '../optimizers/elementwise.ts';
import type { Arena } from './arena.ts';
import { type Copies, NONE } from './copies.ts';
import { PLACE_AT } from './places.ts';
import { singleMatrix } from './single-matrix.ts';
import type { SingleWasm } from './single-wasm.ts';
import { Tiles } from './tiles.ts';
import type { SimdLoops } from './wasm-loops.ts';

/** The loops of the level, by their names. */
export type SingleLoops = SimdLoops &
  typeof momentum &
  typeof sign & {
    readonly check: CheckLoop;
    /** Numbers below `limit` in magnitude become 0. */
    readonly flush: (x: Float32Array, limit: number) => void;
  };

type Floats = Float32Array;

/**
 * The loops on one memory, with its fixed places from `base`. `double`: those that redo in double
 * what has to be.
 */
export function singleLoops(
  arena: Arena,
  copies: Copies,
  wasm: SingleWasm,
  double: SimdLoops,
  base: number,
): SingleLoops {
  const PLACE = base + PLACE_AT;
  const tiles = new Tiles(arena, copies, base);

  /** Double where the sum is not finite. */
  function measureVector(
    g: Floats,
    gAt: number,
    v: Floats,
    vAt: number,
    length: number,
    beta: number,
    rest: number,
    eps: number,
  ): number {
    const g0 = tiles.address(g);
    const gKept = tiles.kept(g0, g);
    const v0 = tiles.address(v);
    const most = g0 >= 0 && v0 >= 0 ? length : tiles.most;
    let sum = 0;
    for (let k = 0; k < length; k += most) {
      const n = Math.min(most, length - k);
      const gTile = tiles.enter(0, g0, gKept, true, g, gAt + k, n);
      const vTile = tiles.enter(3, v0, NONE, false, v, vAt + k, n);
      sum = wasm.measureVector(gTile, vTile, n, beta, rest, eps, sum, PLACE);
    }
    return Number.isFinite(sum) ? sum : double.measureVector(g, gAt, v, vAt, length, beta, rest, eps);
  }

  return {
    check: double.check,
    ...singleMatrix(arena, copies, wasm, double, base),
    measureVector,

    applyVector(p, pAt, g, gAt, v, vAt, length, beta, rest, eps, scale, keep) {
      tiles.flat(
        (P, G, _m, V, _l, n) => wasm.applyVector(P, G, 0, V, n, beta, rest, eps, scale, keep, 0, PLACE),
        p,
        pAt,
        g,
        gAt,
        null,
        v,
        null,
        vAt,
        length,
      );
    },

    applyVectorMomentum(p, pAt, g, gAt, m, _at, v, vAt, length, beta, rest, eps, scale, keep, beta1) {
      tiles.flat(
        (P, G, M, V, _l, n) => wasm.applyVector(P, G, M, V, n, beta, rest, eps, scale, keep, beta1, PLACE),
        p,
        pAt,
        g,
        gAt,
        m,
        v,
        null,
        vAt,
        length,
      );
    },

    adam(p, pAt, g, gAt, m, v, at, length, sign, rest1, beta2, rest2, scale, eps, before, after) {
      tiles.flat(
        (P, G, M, V, _l, n) => wasm.adam(P, G, M, V, 0, n, sign, rest1, beta2, rest2, scale, eps, before, after, PLACE),
        p,
        pAt,
        g,
        gAt,
        m,
        v,
        null,
        at,
        length,
      );
    },

    amsgrad(p, pAt, g, gAt, m, v, largest, at, length, sign, rest1, beta2, rest2, scale, eps, before, after) {
      tiles.flat(
        (P, G, M, V, L, n) => wasm.adam(P, G, M, V, L, n, sign, rest1, beta2, rest2, scale, eps, before, after, PLACE),
        p,
        pAt,
        g,
        gAt,
        m,
        v,
        largest,
        at,
        length,
      );
    },

    sgd(p, pAt, g, gAt, length, sign, decay, lr) {
      tiles.flat(
        (P, G, _m, _v, _l, n) => wasm.sgd(P, G, 0, n, sign, decay, lr, 0, 0, 0, 0),
        p,
        pAt,
        g,
        gAt,
        null,
        null,
        null,
        0,
        length,
      );
    },

    sgdMomentum(p, pAt, g, gAt, m, at, length, sign, decay, lr, momentum, rest) {
      tiles.flat(
        (P, G, M, _v, _l, n) => wasm.sgd(P, G, M, n, sign, decay, lr, momentum, rest, 0, 0),
        p,
        pAt,
        g,
        gAt,
        m,
        null,
        null,
        at,
        length,
      );
    },

    sgdNesterov(p, pAt, g, gAt, m, at, length, sign, decay, lr, momentum, rest, ahead) {
      tiles.flat(
        (P, G, M, _v, _l, n) => wasm.sgd(P, G, M, n, sign, decay, lr, momentum, rest, ahead, 1),
        p,
        pAt,
        g,
        gAt,
        m,
        null,
        null,
        at,
        length,
      );
    },

    lion(p, pAt, g, gAt, m, at, length, beta1, rest1, beta2, rest2, lr, keep) {
      tiles.flat(
        (P, G, M, _v, _l, n) => wasm.lion(P, G, M, n, beta1, rest1, beta2, rest2, lr, keep, PLACE),
        p,
        pAt,
        g,
        gAt,
        m,
        null,
        null,
        at,
        length,
      );
    },

    flush(x, limit) {
      const x0 = tiles.address(x);
      const most = x0 >= 0 ? x.length : tiles.most;
      for (let k = 0; k < x.length; k += most) {
        const n = Math.min(most, x.length - k);
        const tile = tiles.enter(0, x0, NONE, false, x, k, n);
        wasm.flush(tile, n, limit);
        tiles.leave(tile, x0, x, k, n);
      }
    },
  };
}
