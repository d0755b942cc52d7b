/**
 * Adafactor's loops over vectors, which keep their whole second moment V; the notation is that of
 * `loops/matrix.ts`, the order of the sums that of `loops/sums.ts`.
 *
 * @module
 */

/** U² of one element under V ← βV + (1−β)(G² + ε₁), V left as it is. */
function ratio(g: number, v: number, beta: number, rest: number, eps: number): number {
  const square = g * g;
  return square / (beta * v + rest * (square + eps));
}

/** Sum of U² = G² / V with V the updated second moment, which is not stored yet; eight lanes. */
export function measureVector(
  g: Float32Array,
  gAt: number,
  v: Float32Array,
  vAt: number,
  length: number,
  beta: number,
  rest: number,
  eps: number,
): number {
  let l0 = 0;
  let l1 = 0;
  let l2 = 0;
  let l3 = 0;
  let l4 = 0;
  let l5 = 0;
  let l6 = 0;
  let l7 = 0;
  let k = 0;
  for (; k + 7 < length; k += 8) {
    const a = gAt + k;
    const b = vAt + k;
    l0 += ratio(g[a]!, v[b]!, beta, rest, eps);
    l1 += ratio(g[a + 1]!, v[b + 1]!, beta, rest, eps);
    l2 += ratio(g[a + 2]!, v[b + 2]!, beta, rest, eps);
    l3 += ratio(g[a + 3]!, v[b + 3]!, beta, rest, eps);
    l4 += ratio(g[a + 4]!, v[b + 4]!, beta, rest, eps);
    l5 += ratio(g[a + 5]!, v[b + 5]!, beta, rest, eps);
    l6 += ratio(g[a + 6]!, v[b + 6]!, beta, rest, eps);
    l7 += ratio(g[a + 7]!, v[b + 7]!, beta, rest, eps);
  }
  const a = gAt + k;
  const b = vAt + k;
  if (k < length) l0 += ratio(g[a]!, v[b]!, beta, rest, eps);
  if (k + 1 < length) l1 += ratio(g[a + 1]!, v[b + 1]!, beta, rest, eps);
  if (k + 2 < length) l2 += ratio(g[a + 2]!, v[b + 2]!, beta, rest, eps);
  if (k + 3 < length) l3 += ratio(g[a + 3]!, v[b + 3]!, beta, rest, eps);
  if (k + 4 < length) l4 += ratio(g[a + 4]!, v[b + 4]!, beta, rest, eps);
  if (k + 5 < length) l5 += ratio(g[a + 5]!, v[b + 5]!, beta, rest, eps);
  if (k + 6 < length) l6 += ratio(g[a + 6]!, v[b + 6]!, beta, rest, eps);
  return l0 + l1 + (l2 + l3) + (l4 + l5 + (l6 + l7));
}

/** V ← βV + (1−β)(G² + ε₁); P ← keep · P − scale · G / √V, V not yet rounded. */
export function applyVector(
  p: Float32Array,
  pAt: number,
  g: Float32Array,
  gAt: number,
  v: Float32Array,
  vAt: number,
  length: number,
  beta: number,
  rest: number,
  eps: number,
  scale: number,
  keep: number,
): void {
  for (let k = 0; k < length; k++) {
    const a = g[gAt + k]!;
    const second = beta * v[vAt + k]! + rest * (a * a + eps);
    v[vAt + k] = second;
    p[pAt + k] = keep * p[pAt + k]! - (a / Math.sqrt(second)) * scale;
  }
}

/** {@link applyVector} through momentum: M ← β₁M + scale · G / √V, P ← keep · P − M. */
export function applyVectorMomentum(
  p: Float32Array,
  pAt: number,
  g: Float32Array,
  gAt: number,
  m: Float32Array,
  mAt: number,
  v: Float32Array,
  vAt: number,
  length: number,
  beta: number,
  rest: number,
  eps: number,
  scale: number,
  keep: number,
  beta1: number,
): void {
  for (let k = 0; k < length; k++) {
    const a = g[gAt + k]!;
    const second = beta * v[vAt + k]! + rest * (a * a + eps);
    v[vAt + k] = second;
    const moment = beta1 * m[mAt + k]! + (a / Math.sqrt(second)) * scale;
    m[mAt + k] = moment;
    p[pAt + k] = keep * p[pAt + k]! - moment;
  }
}
