/**
 * AdamW's loops, in the notation of Kingma & Ba 2015, "Adam"; all arithmetic is in double but for
 * the two operations named below.
 *
 * Measured (Node 20.20, V8 11.3, Intel Xeon, 65,536 elements): 5.4 ns per element as it is. Of 15
 * conversions between float32 and double per element ten are the five roundings to float32 that let
 * SIMD take float32 roots and quotients; without the three of root, sum and quotient it is 4.3, but
 * SIMD would then have to divide in double. Tried and refused, with the same bits: one element at a
 * time 6.7, without the products with sign and keepAfter 6.2, two 6.0, three 5.5, six 5.7, eight
 * 6.2 to 6.6; moments and weights in separate loops over 1024 elements 6.3, roots in a third one
 * 6.6; the four without those products 5.5; four or eight with each kind of operation in a row 5.4
 * and 5.3.
 *
 * @module
 */

/**
 * How a loop's own roundings go: to float32, and not at all in the twin for float64. V8 turns
 * `round(Math.sqrt(x))` of a rounded x into one sqrtss.
 */
const round = Math.fround;

/** Adam's scale · M / (√V + ε), the quotient a float32; in float64 {@link adamStep64}. */
function adamStep(scale: number, first: number, denominator: number): number {
  return scale * round(first / denominator);
}

/** Adam's scale · M / (√V + ε), multiplied before it is divided, as PyTorch does. */
function adamStep64(scale: number, first: number, denominator: number): number {
  return (scale * first) / denominator;
}

/**
 * Adam's moments and step: M ← M + (1−β₁)(G − M), V ← β₂V + (1−β₂)G²,
 * P ← (keepBefore · P − scale · M / (√V + ε)) · keepAfter, with G ← sign · G.
 *
 * The caller folds the bias corrections into scale and ε (one root, one quotient, no further
 * division). For float32 arrays root and quotient are in float32: on M and V as stored they err by
 * an ulp of the update, far below an ulp of the weight, and four fit a SIMD register. The decay and
 * the subtraction are in double; there an error would be one of the weight itself.
 *
 * Four elements at once, all loads of a kind before its stores: 5.2 ns per element in V8 (Node
 * 20.20) against 6.2 for one; wholly in double one takes 4.6, but SSE2 then needs 2.05 instead of
 * 1.75 (C, gcc -O2), and both engines must give the same bits.
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
  const e = round(eps);
  let k = 0;
  for (; k + 3 < length; k += 4) {
    const a0 = sign * g[gAt + k]!;
    const a1 = sign * g[gAt + k + 1]!;
    const a2 = sign * g[gAt + k + 2]!;
    const a3 = sign * g[gAt + k + 3]!;
    const m0 = m[at + k]!;
    const m1 = m[at + k + 1]!;
    const m2 = m[at + k + 2]!;
    const m3 = m[at + k + 3]!;
    const v0 = v[at + k]!;
    const v1 = v[at + k + 1]!;
    const v2 = v[at + k + 2]!;
    const v3 = v[at + k + 3]!;
    const first0 = round(m0 + rest1 * (a0 - m0));
    const first1 = round(m1 + rest1 * (a1 - m1));
    const first2 = round(m2 + rest1 * (a2 - m2));
    const first3 = round(m3 + rest1 * (a3 - m3));
    const second0 = round(beta2 * v0 + rest2 * a0 * a0);
    const second1 = round(beta2 * v1 + rest2 * a1 * a1);
    const second2 = round(beta2 * v2 + rest2 * a2 * a2);
    const second3 = round(beta2 * v3 + rest2 * a3 * a3);
    m[at + k] = first0;
    m[at + k + 1] = first1;
    v[at + k] = second0;
    v[at + k + 1] = second1;
    m[at + k + 2] = first2;
    m[at + k + 3] = first3;
    v[at + k + 2] = second2;
    v[at + k + 3] = second3;
    const p0 = p[pAt + k]!;
    const p1 = p[pAt + k + 1]!;
    const p2 = p[pAt + k + 2]!;
    const p3 = p[pAt + k + 3]!;
    const x0 = (keepBefore * p0 - adamStep(scale, first0, round(round(Math.sqrt(second0)) + e))) * keepAfter;
    const x1 = (keepBefore * p1 - adamStep(scale, first1, round(round(Math.sqrt(second1)) + e))) * keepAfter;
    const x2 = (keepBefore * p2 - adamStep(scale, first2, round(round(Math.sqrt(second2)) + e))) * keepAfter;
    const x3 = (keepBefore * p3 - adamStep(scale, first3, round(round(Math.sqrt(second3)) + e))) * keepAfter;
    p[pAt + k] = x0;
    p[pAt + k + 1] = x1;
    p[pAt + k + 2] = x2;
    p[pAt + k + 3] = x3;
  }
  if (k < length) {
    const n = length - k;
    adamEach(p, pAt + k, g, gAt + k, m, v, at + k, n, sign, rest1, beta2, rest2, scale, e, keepBefore, keepAfter);
  }
}

/**
 * {@link adam} for what is left over of the groups of four; kept apart, as V8 spends 0.6 ns more
 * per element with both loops in one.
 */
function adamEach(
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
  e: number,
  keepBefore: number,
  keepAfter: number,
): void {
  for (let k = 0; k < length; k++) {
    const a = sign * g[gAt + k]!;
    const m0 = m[at + k]!;
    const first = round(m0 + rest1 * (a - m0));
    const second = round(beta2 * v[at + k]! + rest2 * a * a);
    m[at + k] = first;
    v[at + k] = second;
    const u = adamStep(scale, first, round(round(Math.sqrt(second)) + e));
    p[pAt + k] = (keepBefore * p[pAt + k]! - u) * keepAfter;
  }
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
  const e = round(eps);
  for (let k = 0; k < length; k++) {
    const a = sign * g[gAt + k]!;
    const m0 = m[at + k]!;
    const first = round(m0 + rest1 * (a - m0));
    const second = round(beta2 * v[at + k]! + rest2 * a * a);
    const before = largest[at + k]!;
    const most = before >= second || Number.isNaN(before) ? before : second;
    m[at + k] = first;
    v[at + k] = second;
    largest[at + k] = most;
    const u = adamStep(scale, first, round(round(Math.sqrt(most)) + e));
    p[pAt + k] = (keepBefore * p[pAt + k]! - u) * keepAfter;
  }
}
