/**
 * AdamW's loops, in the notation of Kingma & Ba 2015, "Adam". All arithmetic is in double, as in
 * every loop here: V8 has no other, and makes two conversions of a `Math.fround`.
 *
 * Measured (65,536 elements, least of 200 turns beside the loop before it, Intel Xeon of model 207;
 * Node 20.20): 5.2 ns per element against 8.7 with root, sum and quotient rounded to float32. Tried
 * and refused, against 5.1 in the same run: one element at a time 6.2, an address for each array
 * 5.6, two addresses 5.3, products with sign and keepAfter beside the latter 5.4 to 6.0. In float32
 * throughout (Node 20 to 26) 9 to 10 where double takes 3.1 to 3.6.
 *
 * @module
 */

/**
 * M + (1−β₁)(G − M), as G − β₁(G − M) where β₁ is the smaller one: of a large M nothing is left
 * where β₁ is 0. (PyTorch's `lerp` does the same.)
 */
function firstOf(m: number, a: number, rest1: number): number {
  return rest1 > 0.5 ? a - (1 - rest1) * (a - m) : m + rest1 * (a - m);
}

/**
 * Adam's moments and step: M ← M + (1−β₁)(G − M), V ← β₂V + (1−β₂)G²,
 * P ← (keepBefore · P − scale · M / (√V + ε)) · keepAfter, with G ← sign · G, and M and V in the
 * step not yet rounded.
 *
 * The caller folds the bias corrections into scale and ε: one root, one quotient, no further
 * division.
 */
export function adam(
  p: Float32Array,
  pAt: number,
  g: Float32Array,
  gAt: number,
  m: Float32Array,
  v: Float32Array,
  at: number,
  length: number,
  sign: number,
  rest1: number,
  beta2: number,
  rest2: number,
  scale: number,
  eps: number,
  keepBefore: number,
  keepAfter: number,
): void {
  if (sign === 1 && keepAfter === 1 && pAt === at && gAt === at && rest1 <= 0.5) {
    adamPlain(p, g, m, v, at, length, rest1, beta2, rest2, scale, eps, keepBefore);
    return;
  }
  let k = 0;
  for (; k + 1 < length; k += 2) {
    const a0 = sign * g[gAt + k]!;
    const a1 = sign * g[gAt + k + 1]!;
    const first0 = firstOf(m[at + k]!, a0, rest1);
    const first1 = firstOf(m[at + k + 1]!, a1, rest1);
    const second0 = beta2 * v[at + k]! + rest2 * a0 * a0;
    const second1 = beta2 * v[at + k + 1]! + rest2 * a1 * a1;
    const x0 = (keepBefore * p[pAt + k]! - (scale * first0) / (Math.sqrt(second0) + eps)) * keepAfter;
    const x1 = (keepBefore * p[pAt + k + 1]! - (scale * first1) / (Math.sqrt(second1) + eps)) * keepAfter;
    m[at + k] = first0;
    m[at + k + 1] = first1;
    v[at + k] = second0;
    v[at + k + 1] = second1;
    p[pAt + k] = x0;
    p[pAt + k + 1] = x1;
  }
  if (k < length) {
    const a = sign * g[gAt + k]!;
    const first = firstOf(m[at + k]!, a, rest1);
    const second = beta2 * v[at + k]! + rest2 * a * a;
    m[at + k] = first;
    v[at + k] = second;
    p[pAt + k] = (keepBefore * p[pAt + k]! - (scale * first) / (Math.sqrt(second) + eps)) * keepAfter;
  }
}

/**
 * {@link adam} where sign and keepAfter are 1, β₁ is at least one half, and all arrays begin at
 * `from`: one address for all of them.
 */
function adamPlain(
  p: Float32Array,
  g: Float32Array,
  m: Float32Array,
  v: Float32Array,
  from: number,
  length: number,
  rest1: number,
  beta2: number,
  rest2: number,
  scale: number,
  eps: number,
  keep: number,
): void {
  const end = from + length;
  let k = from;
  for (; k + 1 < end; k += 2) {
    const a0 = g[k]!;
    const a1 = g[k + 1]!;
    const m0 = m[k]!;
    const m1 = m[k + 1]!;
    const first0 = m0 + rest1 * (a0 - m0);
    const first1 = m1 + rest1 * (a1 - m1);
    const second0 = beta2 * v[k]! + rest2 * a0 * a0;
    const second1 = beta2 * v[k + 1]! + rest2 * a1 * a1;
    const x0 = keep * p[k]! - (scale * first0) / (Math.sqrt(second0) + eps);
    const x1 = keep * p[k + 1]! - (scale * first1) / (Math.sqrt(second1) + eps);
    m[k] = first0;
    m[k + 1] = first1;
    v[k] = second0;
    v[k + 1] = second1;
    p[k] = x0;
    p[k + 1] = x1;
  }
  if (k < end) {
    const a = g[k]!;
    const m0 = m[k]!;
    const first = m0 + rest1 * (a - m0);
    const second = beta2 * v[k]! + rest2 * a * a;
    m[k] = first;
    v[k] = second;
    p[k] = keep * p[k]! - (scale * first) / (Math.sqrt(second) + eps);
  }
}

/** The larger one of two; NaN stays NaN. */
function larger(before: number, second: number): number {
  return before >= second || Number.isNaN(before) ? before : second;
}

/**
 * {@link adam} as AMSGrad (Reddi et al. 2018): the root is of the largest V so far, kept in
 * `largest`. NaN stays NaN.
 */
export function amsgrad(
  p: Float32Array,
  pAt: number,
  g: Float32Array,
  gAt: number,
  m: Float32Array,
  v: Float32Array,
  largest: Float32Array,
  at: number,
  length: number,
  sign: number,
  rest1: number,
  beta2: number,
  rest2: number,
  scale: number,
  eps: number,
  keepBefore: number,
  keepAfter: number,
): void {
  let k = 0;
  for (; k + 1 < length; k += 2) {
    const a0 = sign * g[gAt + k]!;
    const a1 = sign * g[gAt + k + 1]!;
    const first0 = firstOf(m[at + k]!, a0, rest1);
    const first1 = firstOf(m[at + k + 1]!, a1, rest1);
    const second0 = beta2 * v[at + k]! + rest2 * a0 * a0;
    const second1 = beta2 * v[at + k + 1]! + rest2 * a1 * a1;
    const most0 = larger(largest[at + k]!, second0);
    const most1 = larger(largest[at + k + 1]!, second1);
    const x0 = (keepBefore * p[pAt + k]! - (scale * first0) / (Math.sqrt(most0) + eps)) * keepAfter;
    const x1 = (keepBefore * p[pAt + k + 1]! - (scale * first1) / (Math.sqrt(most1) + eps)) * keepAfter;
    m[at + k] = first0;
    m[at + k + 1] = first1;
    v[at + k] = second0;
    v[at + k + 1] = second1;
    largest[at + k] = most0;
    largest[at + k + 1] = most1;
    p[pAt + k] = x0;
    p[pAt + k + 1] = x1;
  }
  if (k < length) {
    const a = sign * g[gAt + k]!;
    const first = firstOf(m[at + k]!, a, rest1);
    const second = beta2 * v[at + k]! + rest2 * a * a;
    const most = larger(largest[at + k]!, second);
    m[at + k] = first;
    v[at + k] = second;
    largest[at + k] = most;
    p[pAt + k] = (keepBefore * p[pAt + k]! - (scale * first) / (Math.sqrt(most) + eps)) * keepAfter;
  }
}
