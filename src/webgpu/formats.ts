/**
 * Weights and gradients in WGSL: float32, or two 16-bit numbers in a word; all go through the bits
 * of a float32, as in `core/sixteen-bits.ts`, whose bits these are. Integers alone, so that they
 * are exact.
 */
import type { DType } from '../core/dtype.ts';

/** What arrays on the GPU may hold. */
export type Format = Exclude<DType, 'float64'>;

const WIDEN: Readonly<Record<Format, string>> = {
  float32: '',
  bfloat16: /* wgsl */ `
fn widenB(x: u32) -> u32 { return x << 16u; }
`,
  float16: /* wgsl */ `
fn widenH(x: u32) -> u32 {
  let s = (x & 0x8000u) << 16u;
  let m = x & 0x7fffu;
  if (m >= 0x7c00u) { return s | 0x7f800000u | ((m & 0x3ffu) << 13u); }
  if (m >= 0x400u) { return s | ((m << 13u) + 0x38000000u); }
  if (m == 0u) { return s; }
  let top = firstLeadingBit(m);
  return s | ((top + 103u) << 23u) | ((m << (23u - top)) & 0x7fffffu);
}
`,
};

const NARROW: Readonly<Record<Format, string>> = {
  float32: '',
  bfloat16: /* wgsl */ `
fn nearest(x: u32) -> u32 {
  if ((x & 0x7fffffffu) > 0x7f800000u) { return (x >> 16u) | 0x40u; }
  return (x + 0x7fffu + ((x >> 16u) & 1u)) >> 16u;
}
fn random(x: u32, r: u32) -> u32 {
  if ((x & 0x7fffffffu) > 0x7f7f0000u) { return nearest(x); }
  return (x + (r >> 16u)) >> 16u;
}
`,
  float16: /* wgsl */ `
fn significand(m: u32) -> u32 { return select((m & 0x7fffffu) | 0x800000u, m, m < 0x800000u); }
/** By how much it is shifted to units of 2^-24. */
fn places(m: u32) -> u32 { return 126u - max(m >> 23u, 1u); }
fn nearest(x: u32) -> u32 {
  let s = (x >> 16u) & 0x8000u;
  let m = x & 0x7fffffffu;
  if (m > 0x7f800000u) { return s | 0x7e00u | ((m >> 13u) & 0x1ffu); }
  if (m >= 0x477ff000u) { return s | 0x7c00u; }
  if (m >= 0x38800000u) { return s | ((m - 0x38000000u + 0xfffu + ((m >> 13u) & 1u)) >> 13u); }
  let n = places(m);
  if (n > 25u) { return s; }
  let v = significand(m);
  return s | ((v + (1u << (n - 1u)) - 1u + ((v >> n) & 1u)) >> n);
}
fn random(x: u32, r: u32) -> u32 {
  let s = (x >> 16u) & 0x8000u;
  let m = x & 0x7fffffffu;
  if (m > 0x477fe000u) { return nearest(x); }
  if (m >= 0x38800000u) { return s | ((m - 0x38000000u + (r >> 19u)) >> 13u); }
  let n = places(m);
  let v = significand(m);
  var whole = 0u;
  var part = 0u; // 32 bits behind the point
  if (n < 32u) {
    whole = v >> n;
    part = v << (32u - n);
  } else if (n < 64u) { part = v >> (n - 32u); }
  return s | (whole + select(0u, 1u, part + r < part));
}
`,
};

/** Threefry-2x32, 20 rounds, as in `core/random.ts`: both words of a counter. */
export const THREEFRY: string = /* wgsl */ `
fn mixed(x: vec2u, r: vec4u) -> vec2u {
  var y = x;
  for (var i = 0u; i < 4u; i = i + 1u) {
    y.x = y.x + y.y;
    y.y = ((y.y << r[i]) | (y.y >> (32u - r[i]))) ^ y.x;
  }
  return y;
}
fn threefry(key: vec2u, counter: vec2u) -> vec2u {
  let k = vec3u(key, key.x ^ key.y ^ 0x1bd11bdau);
  var x = counter + key;
  for (var i = 0u; i < 5u; i = i + 1u) {
    x = mixed(x, select(vec4u(17u, 29u, 16u, 24u), vec4u(13u, 15u, 26u, 6u), (i & 1u) == 0u));
    x = x + vec2u(k[(i + 1u) % 3u], k[(i + 2u) % 3u] + i + 1u);
  }
  return x;
}
`;

/** `FROM(array)`: the float32 bits of element i of an array. */
function reading(format: Format, name: string): string {
  if (format === 'float32') return `fn read_${name}(i: u32) -> u32 { return ${name}[i]; }\n`;
  const widen = format === 'float16' ? 'widenH' : 'widenB';
  return `fn read_${name}(i: u32) -> u32 { return ${widen}((${name}[i >> 1u] >> (16u * (i & 1u))) & 0xffffu); }\n`;
}

/** Whether a number of the gradient is infinite or NaN, by its float32 bits. */
const FINITE = 'fn isFinite(bits: u32) -> bool { return (bits & 0x7f800000u) != 0x7f800000u; }\n';

/** Reads `p` and `g`, as far as there are formats for them. */
export function readers(p: Format | null, g: Format | null): string {
  const formats = new Set([p, g]);
  const widen = [...formats].map((one) => (one === null ? '' : WIDEN[one])).join('');
  return widen + FINITE + (g === null ? '' : reading(g, 'g')) + (p === null ? '' : reading(p, 'p'));
}

/** Rounds a weight, where it has 16 bits. */
export function narrowing(p: Format): string {
  return NARROW[p] + (p === 'float32' ? '' : THREEFRY);
}
