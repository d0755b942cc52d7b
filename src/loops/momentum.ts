/**
 * SGD's loops, in the notation of torch.optim.SGD; all arithmetic in double, each stored number
 * rounded once.
 *
 * @module
 */

/** P ← P − lr · G, with G ← sign · G + decay · P. */
export function sgd(
  p: Float32Array,
  pAt: number,
  g: Float32Array,
  gAt: number,
  length: number,
  sign: number,
  decay: number,
  lr: number,
): void {
  for (let k = 0; k < length; k++) {
    const weight = p[pAt + k]!;
    p[pAt + k] = weight - lr * (sign * g[gAt + k]! + decay * weight);
  }
}

/** M ← momentum · M + rest · G, P ← P − lr · M, with G as in {@link sgd}. */
export function sgdMomentum(
  p: Float32Array,
  pAt: number,
  g: Float32Array,
  gAt: number,
  m: Float32Array,
  at: number,
  length: number,
  sign: number,
  decay: number,
  lr: number,
  momentum: number,
  rest: number,
): void {
  for (let k = 0; k < length; k++) {
    const weight = p[pAt + k]!;
    const moment = momentum * m[at + k]! + rest * (sign * g[gAt + k]! + decay * weight);
    m[at + k] = moment;
    p[pAt + k] = weight - lr * moment;
  }
}

/** M ← momentum · M + rest · G, P ← P − lr · (G + ahead · M), with G as in {@link sgd}. */
export function sgdNesterov(
  p: Float32Array,
  pAt: number,
  g: Float32Array,
  gAt: number,
  m: Float32Array,
  at: number,
  length: number,
  sign: number,
  decay: number,
  lr: number,
  momentum: number,
  rest: number,
  ahead: number,
): void {
  for (let k = 0; k < length; k++) {
    const weight = p[pAt + k]!;
    const a = sign * g[gAt + k]! + decay * weight;
    const moment = momentum * m[at + k]! + rest * a;
    m[at + k] = moment;
    p[pAt + k] = weight - lr * (a + ahead * moment);
  }
}
