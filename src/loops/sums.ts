/**
 * The sum of squares, and the order of every sum in these loops.
 *
 * All arithmetic is in double; a stored value is rounded once, on store. Sums have one order, which
 * every engine has to reproduce (test/simd.test.ts compares bits):
 * - over a matrix: four rows at once; within a column (q0 + q1) + (q2 + q3), a missing row counting
 *   as zero; along a row two lanes (even and odd columns), joined as even + odd at its end;
 * - over a flat range: eight lanes (element k in lane k mod 8), joined as
 *   ((0+1)+(2+3)) + ((4+5)+(6+7)).
 *
 * Where a matrix of float32 or float64 is large (`isFar` in `blocks.ts`), its blocks are read by
 * eight streams, because a processor fetches ahead within a page only:
 * - rows: with R rows left from row b, a = min(128, ⌊R / 8⌋), and for i = b, b + 1, ... b + a - 1
 *   the rows i, i + a, ... i + 7a: their first four are a group as above, the other four the next.
 *   Then the same again from b + 8a; fewer than eight rows are neighbours.
 * - a flat range of n elements: eight from 0, eight from s, ... eight from 7s, then from 8, from
 *   s + 8 and so on, with s = 8 ⌊n / 64⌋; what is left after 8s, in its order.
 *
 * Two lanes are what WebAssembly's f64x2 has, and four rows by two lanes are eight independent
 * chains of additions, which is what hides the addition's latency in V8 (measured, Node 20.20:
 * 0.76 ns per element against 0.88 with one lane).
 *
 * @module
 */

import { lengthOfStream } from './blocks.ts';
import type { LookedUp } from './elements.ts';

/** Sum of x² over `length` elements from `offset`, in eight lanes. */
export function sumSquares(x: LookedUp, offset: number, length: number): number {
  return squaresBy(x, offset, length, 0);
}

/** {@link sumSquares} by eight streams. */
export function sumSquaresFar(x: LookedUp, offset: number, length: number): number {
  return squaresBy(x, offset, length, lengthOfStream(length));
}

/** x², or 0 from the end on, which changes no sum of squares. */
function squareAt(x: LookedUp, k: number, end: number): number {
  return k < end ? x[k]! * x[k]! : 0;
}

/** By eight streams of `stream` elements each, then what is left. */
function squaresBy(x: LookedUp, offset: number, length: number, stream: number): number {
  let l0 = 0;
  let l1 = 0;
  let l2 = 0;
  let l3 = 0;
  let l4 = 0;
  let l5 = 0;
  let l6 = 0;
  let l7 = 0;
  const end = offset + length;
  const whole = end - (length & 7);
  // Eight from each stream in turn, then the rest in one go. An index that is reckoned anew in
  // every round costs 3 % of Adafactor's whole step (Node 20.20, in turns, 256 by 256).
  for (let part = 0; part <= stream; part += 8) {
    const last = part === stream;
    const first = offset + (last ? 8 * stream : part);
    const step = last ? 8 : stream;
    const to = last ? whole : first + 8 * stream;
    for (let k = first; k < to; k += step) {
      const x0 = x[k]!;
      const x1 = x[k + 1]!;
      const x2 = x[k + 2]!;
      const x3 = x[k + 3]!;
      const x4 = x[k + 4]!;
      const x5 = x[k + 5]!;
      const x6 = x[k + 6]!;
      const x7 = x[k + 7]!;
      l0 += x0 * x0;
      l1 += x1 * x1;
      l2 += x2 * x2;
      l3 += x3 * x3;
      l4 += x4 * x4;
      l5 += x5 * x5;
      l6 += x6 * x6;
      l7 += x7 * x7;
    }
  }
  l0 += squareAt(x, whole, end);
  l1 += squareAt(x, whole + 1, end);
  l2 += squareAt(x, whole + 2, end);
  l3 += squareAt(x, whole + 3, end);
  l4 += squareAt(x, whole + 4, end);
  l5 += squareAt(x, whole + 5, end);
  l6 += squareAt(x, whole + 6, end);
  return l0 + l1 + (l2 + l3) + (l4 + l5 + (l6 + l7));
}
