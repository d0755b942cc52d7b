/**
 * Doubles in WGSL by integers alone, as WGSL has none: the results of IEEE 754 binary64 to the last
 * bit, rounded to nearest, ties to even, with subnormals, infinities and NaN (of which there is
 * one). WGSL's own f32 operations may be contracted, flush subnormals and err by several units in
 * the last place; its u32 operations are exact everywhere.
 *
 * A number is (h:l) 2^(e − 63), (h:l) a 64-bit integer whose highest bit is set and of which 53
 * bits are used: numbers need not be normalised before they are multiplied or rounded. Zero has
 * (h:l) = 0 and the least e, infinity e = 1024, NaN e = 1025.
 */

/** The number, and its making from 32 and 64 bits. */
const FORMS = /* wgsl */ `
struct Real { s: u32, e: i32, h: u32, l: u32 } // s: the sign at its place in 32 bits
const INFINITE = 1024;
const NAN = 1025;

fn zero(s: u32) -> Real { return Real(s, -9999, 0u, 0u); }
fn infinity(s: u32) -> Real { return Real(s, INFINITE, 0x80000000u, 0u); }
fn nan() -> Real { return Real(0u, NAN, 0x80000000u, 0u); }
fn isZero(a: Real) -> bool { return a.h == 0u; }
fn isPositive(a: Real) -> bool { return a.s == 0u && a.h != 0u && a.e != NAN; }
fn isNegative(a: Real) -> bool { return a.s != 0u && a.h != 0u && a.e != NAN; }
fn isNaN(a: Real) -> bool { return a.e == NAN; }
/** a >= b */
fn atLeast(a: Real, b: Real) -> bool {
  if (isNaN(a) || isNaN(b)) { return false; }
  if ((a.h | b.h) == 0u) { return true; }
  if (a.s != b.s) { return a.s == 0u; }
  let same = a.e == b.e;
  if (same && a.h == b.h && a.l == b.l) { return true; }
  return (a.e > b.e || (same && (a.h > b.h || (a.h == b.h && a.l > b.l)))) == (a.s == 0u);
}
fn negated(a: Real) -> Real { return Real(a.s ^ 0x80000000u, a.e, a.h, a.l); }

fn fromF32(bits: u32) -> Real {
  let s = bits & 0x80000000u;
  let x = i32((bits >> 23u) & 255u);
  let m = bits & 0x7fffffu;
  if (x == 0) {
    if (m == 0u) { return zero(s); }
    let top = firstLeadingBit(m);
    return Real(s, i32(top) - 149, m << (31u - top), 0u);
  }
  if (x == 255) {
    if (m != 0u) { return nan(); }
    return infinity(s);
  }
  return Real(s, x - 127, 0x80000000u | (m << 8u), 0u);
}

fn toF32(a: Real) -> u32 {
  if (a.e > 127) {
    if (a.e == NAN) { return 0x7fc00000u; }
    return a.s | 0x7f800000u;
  }
  if (a.e < -126) {
    let n = u32(-118 - a.e); // bits of h that are cut
    if (n > 32u) { return a.s; }
    let q = select(a.h >> (n & 31u), 0u, n == 32u);
    let half = (a.h >> (n - 1u)) & 1u;
    let rest = (a.h & ((1u << (n - 1u)) - 1u)) | a.l;
    return a.s | (q + select(0u, half, rest != 0u || (q & 1u) == 1u));
  }
  let q = a.h >> 8u;
  let half = (a.h >> 7u) & 1u;
  let up = select(0u, half, ((a.h & 0x7fu) | a.l) != 0u || (q & 1u) == 1u);
  // A carry goes into the exponent, beyond the largest number to infinity.
  return a.s | ((u32(a.e + 126) << 23u) + q + up);
}

fn fromF64(bits: vec2u) -> Real {
  let s = bits.y & 0x80000000u;
  let x = i32((bits.y >> 20u) & 0x7ffu);
  let m = bits.y & 0xfffffu;
  if (x == 0) { return normalised(s, -1011, m, bits.x); }
  if (x == 0x7ff) {
    if ((m | bits.x) != 0u) { return nan(); }
    return infinity(s);
  }
  return Real(s, x - 1023, 0x80000000u | (m << 11u) | (bits.x >> 21u), bits.x << 11u);
}

fn toF64(a: Real) -> vec2u {
  if (a.h == 0u) { return vec2u(0u, a.s); }
  if (a.e >= INFINITE) { return vec2u(0u, select(a.s | 0x7ff00000u, 0x7ff80000u, a.e == NAN)); }
  let m = vec2u((a.h << 21u) | (a.l >> 11u), (a.h >> 11u) & 0xfffffu);
  if (a.e >= -1022) { return vec2u(m.x, a.s | (u32(a.e + 1023) << 20u) | m.y); }
  let q = shifted(a.h, a.l, u32(-1011 - a.e));
  return vec2u(q.x, a.s | q.y);
}

/** (h:l) >> n with 1 in the lowest bit where something was lost; n from 0 to 63. Low word first. */
fn shifted(h: u32, l: u32, n: u32) -> vec2u {
  let far = n >= 32u;
  let k = n & 31u;
  let high = select(h, 0u, far);
  let low = select(l, h, far);
  let lost = ((low << 1u) << (31u - k)) | select(0u, l, far);
  return vec2u((low >> k) | ((high << 1u) << (31u - k)) | min(lost, 1u), high >> k);
}

/** (h:l) 2^(e - 63) with any (h:l), not rounded. */
fn normalised(s: u32, e: i32, h: u32, l: u32) -> Real {
  let far = h == 0u;
  let high = select(h, l, far);
  let low = select(l, 0u, far);
  if (high == 0u) { return zero(s); }
  let k = countLeadingZeros(high);
  return Real(s, e - i32(k) - select(0, 32, far), (high << k) | ((low >> 1u) >> (31u - k)), low << k);
}

/** (h:l) 2^(e - 63) with the highest bit set, and 1 in the lowest where there was more, rounded. */
fn rounded(s: u32, e: i32, h: u32, l: u32) -> Real {
  if (e < -1022) { return roundedTiny(s, e, h, l); }
  let rest = l & 0x7ffu;
  let up = select(0u, 0x800u, rest + ((l >> 11u) & 1u) > 0x400u);
  let low = (l & 0xfffff800u) + up;
  let high = h + select(0u, 1u, low < up);
  if (high == 0u) { return bounded(s, e + 1, 0x80000000u, low); }
  return bounded(s, e, high, low);
}

fn bounded(s: u32, e: i32, h: u32, l: u32) -> Real {
  if (e >= INFINITE) { return infinity(s); }
  return Real(s, e, h, l);
}

/** A subnormal number: fewer bits are kept. */
fn roundedTiny(s: u32, e: i32, h: u32, l: u32) -> Real {
  let n = u32(-1011 - e); // bits that are cut
  if (n > 64u) { return zero(s); }
  let x = shifted(h, l, n - 2u); // two of them are left
  let q = vec2u((x.x >> 2u) | (x.y << 30u), x.y >> 2u);
  let low = q.x + select(0u, 1u, (x.x & 3u) + (q.x & 1u) > 2u);
  return normalised(s, -1011, q.y + select(0u, 1u, low < q.x), low);
}
`;

const SUMS = /* wgsl */ `
fn add(x: Real, y: Real) -> Real {
  if (max(x.e, y.e) >= INFINITE) {
    if (isNaN(x) || isNaN(y)) { return nan(); }
    if (x.e == INFINITE && y.e == INFINITE && x.s != y.s) { return nan(); }
    if (x.e == INFINITE) { return x; }
    return y;
  }
  let swap = x.e < y.e || (x.e == y.e && (x.h < y.h || (x.h == y.h && x.l < y.l)));
  let a = Real(select(x.s, y.s, swap), select(x.e, y.e, swap), select(x.h, y.h, swap), select(x.l, y.l, swap));
  let b = Real(select(y.s, x.s, swap), select(y.e, x.e, swap), select(y.h, x.h, swap), select(y.l, x.l, swap));
  if (b.h == 0u) {
    if (a.h == 0u) { return zero(a.s & b.s); }
    return a;
  }
  let n = min(u32(a.e - b.e), 63u); // from 63 on only something is left
  let z = shifted(b.h, b.l, n);
  let same = a.s == b.s;
  let c = select(~z, z, same);
  // a + z, or a - z = a + ~z + 1
  let l0 = a.l + c.x;
  let l = l0 + select(1u, 0u, same);
  let carry = select(0u, 1u, l0 < c.x) | select(0u, 1u, l < l0);
  let t = a.h + c.y;
  let h = t + carry;
  let over = select(0u, 1u, same && (t < a.h || h < t));
  let d = normalised(a.s, a.e + i32(over), (h >> over) | (over << 31u), (l >> over) | (l & 1u) | ((h << 31u) * over));
  if (d.h == 0u) { return zero(0u); }
  return rounded(d.s, d.e, d.h, d.l);
}

fn sub(a: Real, b: Real) -> Real { return add(a, negated(b)); }
`;

const PRODUCTS = /* wgsl */ `
/** All 64 bits of a product, low word first. */
fn wide(a: u32, b: u32) -> vec2u {
  let al = a & 0xffffu;
  let ah = a >> 16u;
  let bl = b & 0xffffu;
  let bh = b >> 16u;
  let low = al * bl;
  let cross = al * bh;
  let mid = (low >> 16u) + (cross & 0xffffu) + ah * bl; // below 2^32
  return vec2u((mid << 16u) | (low & 0xffffu), ah * bh + (cross >> 16u) + (mid >> 16u));
}

fn mul(a: Real, b: Real) -> Real {
  let s = a.s ^ b.s;
  if (max(a.e, b.e) >= INFINITE) {
    if (isNaN(a) || isNaN(b) || isZero(a) || isZero(b)) { return nan(); }
    return infinity(s);
  }
  if (a.h == 0u || b.h == 0u) { return zero(s); }
  var top = wide(a.h, b.h);
  var w1 = 0u;
  var w0 = 0u;
  if ((a.l | b.l) != 0u) {
    let hl = wide(a.h, b.l);
    let lh = wide(a.l, b.h);
    let ll = wide(a.l, b.l);
    w0 = ll.x;
    let t = ll.y + hl.x;
    w1 = t + lh.x;
    let carry = select(0u, 1u, t < hl.x) + select(0u, 1u, w1 < lh.x);
    let u = hl.y + carry;
    let u2 = u + lh.y;
    let w2 = top.x + u2;
    top = vec2u(w2, top.y + select(0u, 1u, u < carry) + select(0u, 1u, u2 < lh.y) + select(0u, 1u, w2 < u2));
  }
  let k = 1u - (top.y >> 31u); // by how much it is shifted to the top
  let h = (top.y << k) | ((top.x >> 31u) & k);
  let l = (top.x << k) | ((w1 >> 31u) & k) | select(0u, 1u, ((w1 << k) | w0) != 0u);
  return rounded(s, a.e + b.e + 1 - i32(k), h, l);
}
`;

const QUOTIENTS = /* wgsl */ `
struct Digit { q: u32, r: vec2u } // 16 bits of a quotient, and what is left

/** The next 16 bits of r / m, r < m, the highest bit of m set (Knuth, TAOCP 2, 4.3.1, algorithm D). */
fn digit(r: vec2u, m: vec2u) -> Digit {
  var q = min(r.y / (m.y >> 16u), 0xffffu); // at most two too large
  let a0 = q * (m.x & 0xffffu);
  let a1 = q * (m.x >> 16u);
  let p0 = a0 + (a1 << 16u);
  let b0 = q * (m.y & 0xffffu);
  let b1 = q * (m.y >> 16u);
  let c = (a1 >> 16u) + select(0u, 1u, p0 < a0);
  let t = b0 + (b1 << 16u);
  let p1 = t + c;
  let p2 = (b1 >> 16u) + select(0u, 1u, t < b0) + select(0u, 1u, p1 < c);
  let x0 = r.x << 16u;
  let x1 = (r.y << 16u) | (r.x >> 16u);
  var r0 = x0 - p0;
  let borrow = select(0u, 1u, x0 < p0);
  let u = x1 - p1;
  var r1 = u - borrow;
  var r2 = (r.y >> 16u) - p2 - select(0u, 1u, x1 < p1) - select(0u, 1u, u < borrow);
  for (var i = 0; i < 2 && r2 != 0u; i = i + 1) { // below zero
    q = q - 1u;
    r0 = r0 + m.x;
    let carry = select(0u, 1u, r0 < m.x);
    let v = r1 + m.y;
    r1 = v + carry;
    r2 = r2 + select(0u, 1u, v < m.y) + select(0u, 1u, r1 < v);
  }
  return Digit(q, vec2u(r0, r1));
}

fn div(a: Real, b: Real) -> Real {
  let s = a.s ^ b.s;
  if (max(a.e, b.e) >= INFINITE) {
    if (isNaN(a) || isNaN(b) || (a.e == INFINITE && b.e == INFINITE)) { return nan(); }
    if (a.e == INFINITE) { return infinity(s); }
    return zero(s);
  }
  if (b.h == 0u) {
    if (a.h == 0u) { return nan(); }
    return infinity(s);
  }
  if (a.h == 0u) { return zero(s); }
  let m = vec2u(b.l, b.h);
  var r = vec2u(a.l, a.h);
  let whole = a.h > b.h || (a.h == b.h && a.l >= b.l);
  if (whole) { r = vec2u(a.l - b.l, a.h - b.h - select(0u, 1u, a.l < b.l)); }
  var h = 0u;
  var l = 0u;
  for (var i = 0; i < 4; i = i + 1) {
    let d = digit(r, m);
    h = (h << 16u) | (l >> 16u);
    l = (l << 16u) | d.q;
    r = d.r;
  }
  l = l | select(0u, 1u, any(r != vec2u(0u)));
  let k = select(0u, 1u, whole);
  return rounded(s, a.e - b.e - 1 + i32(k), (h >> k) | (k << 31u), (l >> k) | (l & 1u) | ((h << 31u) * k));
}
`;

const ROOTS = /* wgsl */ `
fn root(a: Real) -> Real {
  if (a.h == 0u || isNaN(a)) { return a; }
  if (a.s != 0u) { return nan(); }
  if (a.e == INFINITE) { return a; }
  // x = (h:l) from 2^62, and an even exponent.
  let odd = (a.e & 1) != 0;
  let h = select(a.h >> 1u, a.h, odd);
  let l = select((a.h << 31u) | (a.l >> 1u), a.l, odd);
  // 16 bits, estimated and put right; then 16 and 32 more, each a division (Zimmermann 1999, "Karatsuba square root").
  var r0 = min(u32(sqrt(f32(h))), 0xffffu);
  for (; r0 * r0 > h; ) { r0 = r0 - 1u; }
  for (; r0 < 0xffffu && (r0 + 1u) * (r0 + 1u) <= h; ) { r0 = r0 + 1u; }
  let rest0 = h - r0 * r0; // at most 2 r0
  var r1 = (r0 << 16u) + min(((rest0 << 15u) | (l >> 17u)) / r0, 0xffffu);
  var square = wide(r1, r1);
  for (; square.y > h || (square.y == h && square.x > l); ) {
    r1 = r1 - 1u;
    square = wide(r1, r1);
  }
  // rest1 = x - r1^2, at most 2 r1: 33 bits; half of it by r1 gives the other 32 bits, or one more than they are.
  let rest = vec2u(l - square.x, h - square.y - select(0u, 1u, l < square.x));
  let e = (a.e - select(0, 1, odd)) / 2;
  if ((rest.x | rest.y) == 0u) { return Real(0u, e, r1, 0u); }
  var low = 0xffffffffu;
  let r = vec2u(rest.x << 31u, (rest.y << 31u) | (rest.x >> 1u));
  if (r.y < r1) {
    var left = r;
    for (var i = 0; i < 2; i = i + 1) {
      let d = digit(left, vec2u(0u, r1));
      low = (low << 16u) | d.q;
      left = d.r;
    }
  }
  // Just at a half it matters: is the square of the root too large?
  if ((low & 0x7ffu) == 0x400u) {
    let hl = wide(r1, low);
    let ll = wide(low, low);
    // (r1:low)^2 - x 2^64 = 2 r1 low 2^32 + low^2 - rest 2^64
    let w1 = ll.y + (hl.x << 1u);
    let c1 = select(0u, 1u, w1 < ll.y);
    let t = (hl.y << 1u) | (hl.x >> 31u);
    let w2 = t + c1;
    let w3 = (hl.y >> 31u) + select(0u, 1u, w2 < t);
    if (w3 > rest.y || (w3 == rest.y && w2 > rest.x) || (w3 == rest.y && w2 == rest.x && (w1 | ll.x) != 0u)) {
      low = low - 1u;
    }
  }
  return rounded(0u, e, r1, low | 1u);
}
`;

/** Type and operations of the double level. */
export const DOUBLE: string = FORMS + SUMS + PRODUCTS + QUOTIENTS + ROOTS;
