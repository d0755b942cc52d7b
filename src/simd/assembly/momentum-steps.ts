/** SGD's loops. `loops/momentum.ts` has the reference. */

import { one, putOne, putTwo, putTwoAt2, two, twoAt2 } from './pairs';

/** Four elements: A ← sign · G + decay · P, and with it M and P. */
@inline
function sgdFour<T>(
  momentum: bool, nesterov: bool, p: usize, g: usize, m: usize,
  sign: v128, decay: v128, lr: v128, beta: v128, rest: v128, ahead: v128,
): void {
  const p0 = two<T>(p);
  const p1 = twoAt2<T>(p);
  const a0 = f64x2.add(f64x2.mul(sign, two<T>(g)), f64x2.mul(decay, p0));
  const a1 = f64x2.add(f64x2.mul(sign, twoAt2<T>(g)), f64x2.mul(decay, p1));
  let u0 = a0;
  let u1 = a1;
  if (momentum) {
    u0 = f64x2.add(f64x2.mul(beta, two<T>(m)), f64x2.mul(rest, a0));
    u1 = f64x2.add(f64x2.mul(beta, twoAt2<T>(m)), f64x2.mul(rest, a1));
    putTwo<T>(m, u0);
    putTwoAt2<T>(m, u1);
  }
  if (nesterov) {
    u0 = f64x2.add(a0, f64x2.mul(ahead, u0));
    u1 = f64x2.add(a1, f64x2.mul(ahead, u1));
  }
  putTwo<T>(p, f64x2.sub(p0, f64x2.mul(lr, u0)));
  putTwoAt2<T>(p, f64x2.sub(p1, f64x2.mul(lr, u1)));
}

@inline
function sgdAll<T>(
  momentum: bool, nesterov: bool, p: usize, g: usize, m: usize, length: i32,
  sign: f64, decay: f64, lr: f64, beta: f64, rest: f64, ahead: f64,
): void {
  const c = f64x2.splat(sign);
  const d = f64x2.splat(decay);
  const s = f64x2.splat(lr);
  const b = f64x2.splat(beta);
  const r = f64x2.splat(rest);
  const h = f64x2.splat(ahead);
  const end = p + (length >> 2) * (4 * sizeof<T>());
  if (p != end) {
    do {
      sgdFour<T>(momentum, nesterov, p, g, m, c, d, s, b, r, h);
      p += 4 * sizeof<T>();
      g += 4 * sizeof<T>();
      if (momentum) m += 4 * sizeof<T>();
    } while (p != end);
  }
  for (let k = length & 3; k > 0; k--) {
    const w = one<T>(p);
    const a = sign * one<T>(g) + decay * w;
    let u = a;
    if (momentum) {
      u = beta * one<T>(m) + rest * a;
      putOne<T>(m, u);
      m += sizeof<T>();
    }
    if (nesterov) u = a + ahead * u;
    putOne<T>(p, w - lr * u);
    p += sizeof<T>();
    g += sizeof<T>();
  }
}

/** With m = 0 without momentum. */
@inline
export function sgd<T>(
  p: usize, g: usize, m: usize, length: i32,
  sign: f64, decay: f64, lr: f64, beta: f64, rest: f64, ahead: f64, nesterov: i32,
): void {
  if (m == 0) sgdAll<T>(false, false, p, g, m, length, sign, decay, lr, beta, rest, ahead);
  else if (nesterov) sgdAll<T>(true, true, p, g, m, length, sign, decay, lr, beta, rest, ahead);
  else sgdAll<T>(true, false, p, g, m, length, sign, decay, lr, beta, rest, ahead);
}
