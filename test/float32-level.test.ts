/** `arithmetic: 'float32'`: the bits of the plain loops, and what it promises. */
import fc from 'fast-check';
import { simdKernels } from 'tensorless/simd';
import { describe, expect, it } from 'vitest';
import { engineOf } from '../src/engine/kernels.ts';
import type { SingleLoops } from '../src/simd/single-loops.ts';
import { randomNumbers } from './_optimizers.ts';
import { plainLoops } from './_single-loops.ts';

console.log(`seed ${process.env.SEED}`);

const kernels = simdKernels({ arithmetic: 'float32', arenaBytes: 32 * 2 ** 20 });
const { flush, ...float32 } = engineOf(kernels).float32 as SingleLoops;
const loops: SingleLoops = { ...float32, flush: engineOf(kernels).flush! };

/** Any bits of a float32, or an ordinary number, or one of a size where the level has a limit. */
function numbers(seed: number, kind: number): () => number {
  const random = randomNumbers(seed);
  const bits = new Uint32Array(1);
  const float = new Float32Array(bits.buffer);
  const exponents = [-149, -126, -110, -100, -75, -63, -60, -55, -50, 0, 32, 60, 63, 64, 90, 120, 126, 127];
  const zeros = [0, 0, -0];
  return () => {
    const choice = (random() + 1) / 2;
    if (kind >= 3) {
      // What has died away: mostly far below 2^-100, some at it, some zeros, few or many others.
      if (choice < 0.2) return zeros[Math.floor(choice * 15)]!;
      const others = seed % 2 === 0 ? 0.98 : 0.6;
      if (choice > others) return random();
      const edge = [1, -1, 1 - 2 ** -24, 2 ** -24 - 1, 2][Math.floor(choice * 50) % 5]!;
      if (choice > others - 0.08) return edge * 2 ** -101;
      return random() * 2 ** (-101 - Math.floor((random() + 1) * 24));
    }
    if (kind === 0 || choice > 0.9) return random() * 2 ** Math.round(10 * random());
    if (kind === 1) {
      bits[0] = Math.floor((random() + 1) * 2 ** 31);
      return float[0]!;
    }
    if (choice < 0.1) return [0, -0, 1e-20, 1.8e19, 1.9e19, 3.4e38, -3.4e38, 1e-45][Math.floor(choice * 80)]!;
    // Within the size, at its very edge, and next to that.
    const at = [random(), random(), 1, -1, 1 - 2 ** -24, 2 ** -24 - 1, 1 + 2 ** -23];
    return (
      at[Math.floor(choice * 70) % at.length]! * 2 ** exponents[Math.floor((random() + 1) * 0.5 * exponents.length)]!
    );
  };
}

const PLACES = ['in the arena', 'a view in the arena', 'copied'] as const;
type Place = (typeof PLACES)[number];

function placed(values: Float32Array, place: Place): { array: Float32Array; free(): void } {
  if (place === 'copied') return { array: values.slice(), free() {} };
  const margin = place === 'in the arena' ? 0 : 3;
  const whole = kernels.allocate('float32', values.length + 2 * margin).fill(7);
  const array = margin === 0 ? whole : whole.subarray(margin, margin + values.length);
  array.set(values);
  return {
    array,
    free() {
      const beside = [...whole.subarray(0, margin), ...whole.subarray(whole.length - margin)];
      expect(beside.every((x) => x === 7)).toBe(true);
      kernels.free(whole);
    },
  };
}

interface Run {
  readonly loops: SingleLoops;
  /** p, g, m, v, largest. */
  readonly arrays: readonly Float32Array[];
  readonly at: number;
  readonly gAt: number;
  readonly rows: number;
  readonly cols: number;
  readonly row: Float64Array;
  readonly col: Float64Array;
  readonly beta: number;
  readonly beta1: number;
  readonly keep: number;
  readonly eps: number;
}

const calls: Record<string, (run: Run) => unknown> = {
  sumSquares: ({ loops, arrays: [p], at, rows, cols }) => loops.sumSquares(p!, at, rows * cols),
  sumSquaresFar: ({ loops, arrays: [p], at, rows, cols }) => loops.sumSquaresFar(p!, at, rows * cols),
  reduce: ({ loops, arrays: [, g], gAt, rows, cols, row, col }) =>
    loops.reduce(g!, gAt, rows, cols, row, 2, col, 2, false),
  'reduce by streams': ({ loops, arrays: [, g], gAt, rows, cols, row, col }) =>
    loops.reduce(g!, gAt, rows, cols, row, 2, col, 2, true),
  measure: ({ loops, arrays: [, g], gAt, rows, cols, row, col }) =>
    loops.measure(g!, gAt, rows, cols, row, 2, col, 2, 0.5, false),
  'measure by streams': ({ loops, arrays: [, g], gAt, rows, cols, row, col }) =>
    loops.measure(g!, gAt, rows, cols, row, 2, col, 2, 0.5, true),
  apply: ({ loops, arrays: [p, g], at, rows, cols, row, col, keep }) =>
    loops.apply(p!, g!, at, rows, cols, row, 2, col, 2, keep),
  applyMomentum: ({ loops, arrays: [p, g, m], at, gAt, rows, cols, row, col, keep, beta1 }) =>
    loops.applyMomentum(p!, g!, at, m!, gAt, rows, cols, row, 2, col, 2, keep, beta1),
  measureVector: ({ loops, arrays: [, g, , v], at, gAt, rows, cols, beta }) =>
    loops.measureVector(g!, gAt, v!, at, rows * cols, beta, 1 - beta, 1e-30),
  applyVector: ({ loops, arrays: [p, g, , v], at, gAt, rows, cols, beta, keep }) =>
    loops.applyVector(p!, at, g!, gAt, v!, at, rows * cols, beta, 1 - beta, 1e-30, 0.01, keep),
  applyVectorMomentum: ({ loops, arrays: [p, g, m, v], at, gAt, rows, cols, beta, beta1, keep }) =>
    loops.applyVectorMomentum(
      ...([p!, at, g!, gAt, m!, at, v!, at, rows * cols, beta, 1 - beta, 1e-30, 0.01, keep, beta1] as const),
    ),
  adam: ({ loops, arrays: [p, g, m, v], at, gAt, rows, cols, beta, beta1, keep, eps }) =>
    loops.adam(p!, at, g!, gAt, m!, v!, at, rows * cols, 1, 1 - beta1, beta, 1 - beta, 1e-3, eps, keep, 1),
  'adam, maximized and uncorrected': ({ loops, arrays: [p, g, m, v], at, gAt, rows, cols, beta, beta1, keep, eps }) =>
    loops.adam(p!, at, g!, gAt, m!, v!, at, rows * cols, -1, 1 - beta1, beta, 1 - beta, 1e-3, eps, 1, keep),
  amsgrad: ({ loops, arrays: [p, g, m, v, l], at, gAt, rows, cols, beta, beta1, keep, eps }) =>
    loops.amsgrad(p!, at, g!, gAt, m!, v!, l!, at, rows * cols, 1, 1 - beta1, beta, 1 - beta, 1e-3, eps, keep, 1),
  sgd: ({ loops, arrays: [p, g], at, gAt, rows, cols, beta1 }) =>
    loops.sgd(p!, at, g!, gAt, rows * cols, -1, beta1, 0.1),
  sgdMomentum: ({ loops, arrays: [p, g, m], at, gAt, rows, cols, beta1 }) =>
    loops.sgdMomentum(p!, at, g!, gAt, m!, at, rows * cols, 1, 0.01, 0.1, beta1, 0.9),
  sgdNesterov: ({ loops, arrays: [p, g, m], at, gAt, rows, cols, beta1 }) =>
    loops.sgdNesterov(p!, at, g!, gAt, m!, at, rows * cols, 1, 0.01, 0.1, beta1, 1, beta1),
  lion: ({ loops, arrays: [p, g, m], at, gAt, rows, cols, beta, beta1, keep }) =>
    loops.lion(p!, at, g!, gAt, m!, at, rows * cols, beta1, 1 - beta1, beta, 1 - beta, 1e-3, keep),
  'lion, with a rate of 0': ({ loops, arrays: [p, g, m], at, gAt, rows, cols, beta, beta1 }) =>
    loops.lion(p!, at, g!, gAt, m!, at, rows * cols, beta1, 1 - beta1, beta, 1 - beta, 0, 1),
  flush: ({ loops, arrays: [, , m] }) => loops.flush(m!, 2 ** -100),
};

const betas = [0, 0.1, 0.5, 0.9, 0.999, 1 - 2 ** -30, 1];

/** Runs one loop in both ways and compares all that it could have written. */
function compare(call: string, rows: number, cols: number, seed: number, kind: number, places: readonly Place[]): void {
  const next = numbers(seed, kind);
  const one = numbers(seed, 0);
  const at = seed & 3;
  const gAt = (seed >> 2) & 3;
  const data = Array.from({ length: 5 }, (_, i) =>
    Float32Array.from({ length: rows * cols + 5 }, () => (i > 2 ? Math.abs(next()) : next())),
  );
  if (kind === 4) for (let k = 0; k < data[1]!.length; k++) if ((k * 7 + seed) % 64 > 0) data[1]![k] = k & 1 ? 0 : -0;
  // Mostly what float32 can tell, so that not all is done in double.
  const factor = kind === 2 && seed % 5 === 0 ? next : one;
  const row = Float64Array.from({ length: rows + 6 }, () => Math.abs(factor()));
  const col = Float64Array.from({ length: cols + 6 }, () => Math.abs(factor()) || 1);
  const pick = (list: readonly number[], shift: number): number => list[(seed >> shift) % list.length]!;
  const rest = {
    at,
    gAt,
    rows,
    cols,
    beta: pick(betas, 1),
    beta1: pick(betas.slice(0, 5), 3),
    keep: pick([1, 0.999, 0.9], 4),
    eps: pick([1e-8, 1e-3, 0], 5),
  };
  const theirs = { arrays: data.map((array) => array.slice()), row: row.slice(), col: col.slice() };
  const expected = calls[call]!({ ...rest, ...theirs, loops: plainLoops });
  const ours = data.map((array, i) => placed(array, places[i]!));
  const arrays = ours.map(({ array }) => array);
  const got = calls[call]!({ ...rest, arrays, row, col, loops });
  const same = (name: string, a: ArrayLike<number>, b: ArrayLike<number>): void => {
    for (let k = 0; k < b.length; k++) {
      if (!Object.is(a[k], b[k])) {
        throw new Error(
          `${call} of ${rows} × ${cols}: ${name}[${k}] is ${a[k]}, expected ${b[k]}; ${JSON.stringify(rest)}`,
        );
      }
    }
  };
  expect(got).toBe(expected);
  for (const [i, array] of arrays.entries()) same('pgmvl'[i]!, array, theirs.arrays[i]!);
  same('row', row, theirs.row);
  same('column', col, theirs.col);
  for (const { free } of ours) free();
}

describe.each(Object.keys(calls))('the loop %s has the bits of the plain loop', (call) => {
  const place = fc.constantFrom(...PLACES);
  const places = fc.array(place, { minLength: 5, maxLength: 5 });
  it.each([
    ['ordinary numbers', 0],
    ['any bits', 1],
    ['numbers of every limit', 2],
    ['numbers that have died away', 3],
    ['the same without most of the gradient', 4],
  ])('%s, any shape, any place', (_, kind) => {
    fc.assert(
      fc.property(fc.nat(37), fc.nat(37), fc.nat(), places, (rows, cols, seed, where) =>
        compare(call, rows, cols, seed, kind, where),
      ),
      { numRuns: 30 },
    );
  });

  it.each(
    /^(reduce|measure|apply|applyMomentum)( |$)/.test(call)
      ? [
          [9, 300],
          [3, 8200],
          [1030, 9],
          [100, 1401],
          [1040, 130],
        ]
      : [[1, 17_003]],
  )('%d × %d', (rows, cols) => {
    for (const place of [PLACES[0], PLACES[2]])
      compare(call, rows, cols, 12345, 0, [place, place, place, place, place]);
    compare(call, rows, cols, 54321, 2, [PLACES[0], PLACES[2], PLACES[2], PLACES[0], PLACES[0]]);
  });
});
