import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cos, pow } from '../src/core/math.ts';

const vectors = JSON.parse(readFileSync(new URL('vectors/math.json', import.meta.url), 'utf8')) as {
  pow: [number, number, number][];
  cos: [number, number][];
};

const view = new DataView(new ArrayBuffer(8));
/** Bits as an integer whose order is that of the doubles. */
function rank(x: number): bigint {
  view.setFloat64(0, x);
  const bits = view.getBigInt64(0);
  return bits < 0n ? -(bits & 0x7fffffffffffffffn) : bits;
}
/** Doubles between a and b; 0 for the same one. */
function apart(a: number, b: number): number {
  return Number(rank(a) > rank(b) ? rank(a) - rank(b) : rank(b) - rank(a));
}

/** FNV-1a over the bits of many results: pins every one of them, in every engine and release. */
function fingerprint(values: Iterable<number>): string {
  let hash = 0xcbf29ce484222325n;
  for (const value of values) {
    view.setFloat64(0, value);
    hash = ((hash ^ view.getBigUint64(0)) * 0x100000001b3n) & 0xffffffffffffffffn;
  }
  return hash.toString(16);
}

describe('pow(x, y)', () => {
  it('is next to or the very double that Python gives, the very one in 99 of 100 cases', () => {
    let equal = 0;
    for (const [x, y, expected] of vectors.pow) {
      const distance = apart(pow(x, y), expected);
      expect(distance, `pow(${x}, ${y})`).toBeLessThanOrEqual(1);
      if (distance === 0) equal++;
    }
    expect(equal / vectors.pow.length).toBeGreaterThan(0.99);
  });

  it('gives whole powers of whole numbers exactly', () => {
    for (let base = 1n; base <= 60n; base++) {
      for (let n = 0n; base ** n <= 2n ** 53n && n < 60n; n++) {
        expect(pow(Number(base), Number(n))).toBe(Number(base ** n));
        expect(pow(-Number(base), Number(n))).toBe(Number((-base) ** n));
      }
    }
    for (let n = -1074; n < 1024; n++) expect(Math.abs(Math.log2(pow(2, n)) - n)).toBeLessThan(1e-12);
    expect(pow(2, -1074)).toBe(5e-324);
    expect(pow(2, -1075)).toBe(0);
    expect(pow(2, 1023)).toBe(8.98846567431158e307);
  });

  const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
  it.each([
    [1, nan, 1],
    [nan, 0, 1],
    [nan, -0, 1],
    [1, inf, 1],
    [-1, inf, 1],
    [-1, -inf, 1],
    [nan, 1, nan],
    [2, nan, nan],
    [0, 3, 0],
    [-0, 3, -0],
    [-0, 2, 0],
    [-0, 0.5, 0],
    [0, -2, inf],
    [-0, -3, -inf],
    [-0, -2, inf],
    [0, -inf, inf],
    [0, inf, 0],
    [0.5, inf, 0],
    [0.5, -inf, inf],
    [2, inf, inf],
    [2, -inf, 0],
    [inf, 2, inf],
    [inf, -2, 0],
    [-inf, 3, -inf],
    [-inf, 2, inf],
    [-inf, -3, -0],
    [-inf, 0.5, inf],
    [-8, 1 / 3, nan],
    [-2, 3, -8],
    [-2, 4, 16],
    [-1, 2 ** 53 - 1, -1],
    [-1, 2 ** 53, 1],
    [1 + 2 ** -52, 1e300, inf],
    [1 - 2 ** -53, 1e300, 0],
    [1 + 2 ** -52, -1e300, 0],
    [5, 1e-300, 1],
    [0.5, -1e-25, 1],
    [1.7976931348623157e308, 1, 1.7976931348623157e308],
    [5e-324, 1, 5e-324],
    [10, 309, inf],
    [10, -324, 0],
  ])('pow(%d, %d) is %d, as IEEE 754 defines it', (x, y, expected) => expect(pow(x, y)).toBe(expected));

  it('rounds a subnormal result once', () => {
    // 3^-670 and the like lie among the subnormals; the exact quotient in integers says which
    // double is the nearest.
    let checked = 0;
    for (let base = 3n; base < 60n; base += 2n) {
      for (let n = Math.floor(1022 / Math.log2(Number(base))); ; n++) {
        const power = base ** BigInt(n);
        const quotient = (2n ** 1075n + power) / (2n * power);
        if (quotient > 2n ** 52n) continue;
        expect(pow(Number(base), -n), `${base}^-${n}`).toBe(Number(quotient) * 5e-324);
        checked++;
        if (quotient === 0n) break;
      }
    }
    expect(checked).toBeGreaterThan(300);
  });

  it('is the same for a number and its inverse exponent sign up to one rounding', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1e-3, max: 1e3, noNaN: true }),
        fc.double({ min: -40, max: 40, noNaN: true }),
        (x, y) => {
          expect(apart(pow(x, -y), 1 / pow(x, y))).toBeLessThanOrEqual(2);
        },
      ),
    );
  });

  it('does not decrease in x for a positive exponent, but for one rounding', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e5, noNaN: true }),
        fc.double({ min: 0, max: 1e5, noNaN: true }),
        fc.double({ min: 0, max: 30, noNaN: true }),
        (a, b, y) => pow(Math.min(a, b), y) <= pow(Math.max(a, b), y) * (1 + 2 ** -52),
      ),
    );
  });

  it('has pinned bits', () => {
    function* values(): Generator<number> {
      for (let t = 1; t <= 3000; t++) {
        yield pow(t, -0.8);
        yield pow(0.999, t);
        yield pow(t / 3001, 2.5);
        yield pow(t, (t % 97) - 48.25);
      }
    }
    expect(fingerprint(values())).toBe('670526c2cf91c599');
  });
});

describe('cos(x)', () => {
  it('is next to or the very double that Python gives, the very one in 99 of 100 cases', () => {
    let equal = 0;
    for (const [x, expected] of vectors.cos) {
      const distance = apart(cos(x), expected);
      // glibc itself is 8 ulp off for the double nearest to a multiple of pi/2; that value is
      // tested below.
      if (x > 1e250 && Math.abs(expected) < 1e-15) continue;
      expect(distance, `cos(${x})`).toBeLessThanOrEqual(1);
      if (distance === 0) equal++;
    }
    expect(equal / vectors.cos.length).toBeGreaterThan(0.99);
  });

  it.each([
    [0, 1],
    [-0, 1],
    [Math.PI, -1],
    [Math.PI / 2, 6.123233995736766e-17],
    [(3 * Math.PI) / 2, -1.8369701987210297e-16],
    [Number.NaN, Number.NaN],
    [Number.POSITIVE_INFINITY, Number.NaN],
    [5e-324, 1],
    // The double that lies nearest to a multiple of pi/2 (K. C. Ng, "Argument reduction for huge
    // arguments: good to the last bit", 1992).
    [5.319372648326541e255, -4.687165924254628e-19],
    [1e22, 0.523214785395139],
    [Number.MAX_VALUE, -0.9999876894265599],
  ])('cos(%d) is %d', (x, expected) => expect(cos(x)).toBe(expected));

  it('is even, lies in [-1, 1], and agrees with cos 2x = 2 cos^2 x - 1', () => {
    fc.assert(
      fc.property(fc.double({ noDefaultInfinity: true, noNaN: true, max: 1e300, min: -1e300 }), (x) => {
        const c = cos(x);
        expect(cos(-x)).toBe(c);
        expect(Math.abs(c)).toBeLessThanOrEqual(1);
        expect(Math.abs(cos(2 * x) - (2 * c * c - 1))).toBeLessThan(6e-16);
      }),
    );
  });

  it('meets itself where the reduction changes, at 2^20', () => {
    const step = 2 ** -32;
    for (let i = -50; i < 50; i++) {
      const x = 2 ** 20 + i * step;
      expect(Math.abs(cos(x) - Math.cos(x))).toBeLessThan(2.3e-16);
    }
  });

  it('has pinned bits', () => {
    function* values(): Generator<number> {
      for (let i = 0; i <= 6000; i++) {
        yield cos((Math.PI * i) / 1000);
        yield cos(i * i);
      }
    }
    expect(fingerprint(values())).toBe('b3e45d1259591858');
  });
});
