/** Lion's loop. `loops/sign-momentum.ts` has the reference. */

import { one, putOne, putTwo, putTwoAt2, two, twoAt2 } from './pairs';

/** lr · sign(β₁M + (1−β₁)G) of two elements; 0 where that is 0 or NaN. */
@inline
export function stepOf(m: v128, a: v128, beta1: v128, rest1: v128, lr: v128): v128 {
  const direction = f64x2.add(f64x2.mul(beta1, m), f64x2.mul(rest1, a));
  const zero = f64x2.splat(0);
  const one = f64x2.splat(1);
  const sign = f64x2.sub(v128.and(one, f64x2.gt(direction, zero)), v128.and(one, f64x2.lt(direction, zero)));
  return f64x2.mul(lr, sign);
}

@inline
export function lion<T>(
  p: usize, g: usize, m: usize, length: i32,
  beta1: f64, rest1: f64, beta2: f64, rest2: f64, lr: f64, keep: f64,
): void {
  const b1 = f64x2.splat(beta1);
  const r1 = f64x2.splat(rest1);
  const b2 = f64x2.splat(beta2);
  const r2 = f64x2.splat(rest2);
  const s = f64x2.splat(lr);
  const k0 = f64x2.splat(keep);
  const end = p + (length >> 2) * (4 * sizeof<T>());
  if (p != end) {
    do {
      const a0 = two<T>(g);
      const a1 = twoAt2<T>(g);
      const m0 = two<T>(m);
      const m1 = twoAt2<T>(m);
      const x0 = f64x2.sub(f64x2.mul(k0, two<T>(p)), stepOf(m0, a0, b1, r1, s));
      const x1 = f64x2.sub(f64x2.mul(k0, twoAt2<T>(p)), stepOf(m1, a1, b1, r1, s));
      putTwo<T>(m, f64x2.add(f64x2.mul(b2, m0), f64x2.mul(r2, a0)));
      putTwoAt2<T>(m, f64x2.add(f64x2.mul(b2, m1), f64x2.mul(r2, a1)));
      putTwo<T>(p, x0);
      putTwoAt2<T>(p, x1);
      p += 4 * sizeof<T>();
      g += 4 * sizeof<T>();
      m += 4 * sizeof<T>();
    } while (p != end);
  }
  for (let k = length & 3; k > 0; k--) {
    const a = one<T>(g);
    const m0 = one<T>(m);
    const direction = beta1 * m0 + rest1 * a;
    putOne<T>(m, beta2 * m0 + rest2 * a);
    const sign: f64 = direction > 0 ? 1 : direction < 0 ? -1 : 0;
    putOne<T>(p, keep * one<T>(p) - lr * sign);
    p += sizeof<T>();
    g += sizeof<T>();
    m += sizeof<T>();
  }
}
