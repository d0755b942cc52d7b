/** bfloat16 and float16: every bit pattern, every tie, and the unbiased rounding. */
import {
  Adafactor,
  AdamW,
  fromBfloat16,
  fromFloat16,
  type Optimizer,
  Parameter,
  toBfloat16,
  toFloat16,
} from 'tensorless';
import { describe, expect, it } from 'vitest';
import { fillRandom, nameHash, streamKey, threefry } from '../src/core/random.ts';
import { float32BitsOfFloat16, narrowRandom, plainSixteen, sixteen } from '../src/core/sixteen-bits.ts';
import {
  narrowBfloat16,
  narrowFloat16,
  pairsOf,
  useFastSixteen,
  widenBfloat16,
  widenFloat16,
} from '../src/sixteen/fast.ts';
import { bits, randomNumbers, weightBits } from './_optimizers.ts';

const tableOfFloat16 = Uint32Array.from({ length: 65536 }, (_, half) => float32BitsOfFloat16(half));

/** What a format is by its definition (IEEE 754, section 3.4), and the functions under test. */
const formats = [
  {
    name: 'bfloat16' as const,
    exponentBits: 8,
    to: toBfloat16,
    from: fromBfloat16,
    narrow: narrowBfloat16,
    widen: widenBfloat16,
  },
  {
    name: 'float16' as const,
    exponentBits: 5,
    to: toFloat16,
    from: fromFloat16,
    narrow: narrowFloat16,
    widen: ((bits, pairs, at, length, out) =>
      widenFloat16(bits, pairs, at, length, out, tableOfFloat16)) as typeof widenBfloat16,
  },
].map((format) => {
  const mantissaBits = 15 - format.exponentBits;
  const infinity = 0x7fff - (2 ** mantissaBits - 1);
  const bias = 2 ** (format.exponentBits - 1) - 1;
  /**
   * The number that a pattern stands for; that of infinity is the power of two it would be with one
   * more exponent.
   */
  const numberOf = (pattern: number): number => {
    const exponent = (pattern & 0x7fff) >> mantissaBits;
    const mantissa = (pattern & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
    const size = exponent === 0 ? mantissa * 2 ** (1 - bias) : (1 + mantissa) * 2 ** (exponent - bias);
    return pattern >= 0x8000 ? -size : size;
  };
  return { ...format, mantissaBits, infinity, numberOf };
});

const every = Uint16Array.from({ length: 65536 }, (_, pattern) => pattern);
const wordsOf = (numbers: Float32Array): Uint32Array => new Uint32Array(numbers.buffer, 0, numbers.length);

/** The neighbour of a double in the direction of infinity (1) or zero (-1), whatever its sign. */
function nextDouble(x: number, direction: 1 | -1): number {
  const float = new Float64Array([x]);
  new BigInt64Array(float.buffer)[0]! += BigInt(direction);
  return float[0]!;
}

function nextFloat(x: number, direction: 1 | -1): number {
  const float = new Float32Array([x]);
  wordsOf(float)[0]! += direction;
  return float[0]!;
}

describe.each(formats)('$name', ({ name, to, from, narrow, widen, mantissaBits, infinity, numberOf }) => {
  const half = name === 'float16';
  const isNan = (pattern: number): boolean => (pattern & 0x7fff) > infinity;
  const quiet = 2 ** (mantissaBits - 1);
  const quieted = every.map((pattern) => (isNan(pattern) ? pattern | quiet : pattern));

  it('widens all 65,536 patterns to the numbers they stand for, NaN payloads included', () => {
    const words = wordsOf(from(every));
    const expected = Float32Array.from(every, (pattern) => {
      if ((pattern & 0x7fff) === infinity) return pattern >= 0x8000 ? -Infinity : Infinity;
      return numberOf(pattern);
    });
    const expectedWords = wordsOf(expected);
    for (const pattern of every) {
      if (!isNan(pattern)) continue;
      const payload = (pattern & (2 ** mantissaBits - 1)) * 2 ** (23 - mantissaBits);
      expectedWords[pattern] = (pattern >= 0x8000 ? 0xff800000 : 0x7f800000) + payload;
    }
    expect(bits(words)).toBe(bits(expectedWords));
  });

  it('narrows each of those numbers back to its pattern; a signalling NaN becomes quiet', () => {
    expect(bits(to(from(every)))).toBe(bits(quieted));
  });

  it('rounds the midpoint of any two neighbours to the even one, and what lies beside it to the nearer one', () => {
    const expected: number[] = [];
    const doubles: number[] = [];
    const floats: number[] = [];
    for (let low = 0; low < infinity; low++) {
      const even = low % 2 === 0 ? low : low + 1;
      const middle = (numberOf(low) + numberOf(low + 1)) / 2;
      for (const sign of [1, -1]) {
        const signBit = sign < 0 ? 0x8000 : 0;
        const m = sign * middle;
        doubles.push(nextDouble(m, -1), m, nextDouble(m, 1));
        floats.push(nextFloat(m, -1), m, nextFloat(m, 1));
        expected.push(low | signBit, even | signBit, (low + 1) | signBit);
      }
    }
    expect(new Float32Array(floats).every((x, k) => x === floats[k])).toBe(true);
    expect(bits(to(doubles))).toBe(bits(Uint16Array.from(expected)));
    expect(bits(to(Float64Array.from(doubles)))).toBe(bits(Uint16Array.from(expected)));
    expect(bits(to(Float32Array.from(floats)))).toBe(bits(Uint16Array.from(expected)));
  });

  it('goes to infinity from half an ulp above the largest number on, and to zero from half the smallest down', () => {
    const largest = numberOf(infinity - 1);
    const edge = (largest + numberOf(infinity)) / 2;
    expect([...to([largest, nextDouble(edge, -1), edge, Number.MAX_VALUE, Infinity])]).toEqual([
      infinity - 1,
      infinity - 1,
      infinity,
      infinity,
      infinity,
    ]);
    expect([...to([-largest, -edge, -Infinity])]).toEqual([
      0xffff - (0x7fff - infinity + 1),
      0x8000 | infinity,
      0x8000 | infinity,
    ]);
    const smallest = numberOf(1);
    expect([
      ...to([0, -0, smallest, smallest / 2, nextDouble(smallest / 2, 1), -smallest / 2, Number.MIN_VALUE]),
    ]).toEqual([0, 0x8000, 1, 0, 1, 0x8000, 0]);
  });

  it('keeps a NaN a NaN, its sign and as much of the payload as fits', () => {
    const words = new Uint32Array([0x7fc00000, 0xffc00000, 0x7f800001, 0xff812345, 0x7fffffff]);
    const narrowed = to(new Float32Array(words.buffer));
    words.forEach((word, k) => {
      const payload = (word & 0x7fffff) >>> (23 - mantissaBits);
      expect(narrowed[k]).toBe((((word >>> 16) & 0x8000) | infinity | payload | quiet) >>> 0);
    });
    expect(isNan(to([Number.NaN])[0]!)).toBe(true);
  });

  it('gives the same in the loops of a step, at any offset and length', () => {
    const random = randomNumbers(1);
    const numbers = Float32Array.from(
      { length: 41 },
      (_, k) => random() * 10 ** (8 * random()) * (k === 17 ? Number.NaN : 1),
    );
    const room = new Uint16Array(64);
    for (const [at, length] of [
      [0, 41],
      [1, 40],
      [3, 7],
      [2, 9],
      [5, 1],
      [4, 0],
    ] as const) {
      narrow(wordsOf(numbers), length, room, at);
      expect(bits(room.slice(at, at + length))).toBe(bits(to(numbers.subarray(0, length))));
      for (const pairs of [pairsOf(room), null]) {
        const wide = new Float32Array(length);
        widen(room, pairs, at, length, wordsOf(wide));
        expect(bits(wide)).toBe(bits(from(room.slice(at, at + length))));
      }
    }
    const all = new Float32Array(65536);
    widen(every, pairsOf(every), 0, 65536, wordsOf(all));
    expect(bits(all)).toBe(bits(from(every)));
  });

  it('gives the same in the loops of a bundle that uses nothing of low-precision.ts', () => {
    useFastSixteen();
    expect(sixteen.widen).not.toBe(plainSixteen.widen);
    const [plain, fast] = [new Uint32Array(65536), new Uint32Array(65536)];
    plainSixteen.widen(half, every, 0, 65536, plain);
    sixteen.widen(half, every, 0, 65536, fast);
    expect(bits(plain)).toBe(bits(fast));
    for (const low of [0, 0xfff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0xffff]) {
      const words = Uint32Array.from({ length: 65536 }, (_, i) => i * 65536 + low);
      const [byOne, byFour] = [new Uint16Array(65537), new Uint16Array(65537)];
      plainSixteen.narrow(half, words, 65536, byOne, 1);
      sixteen.narrow(half, words, 65536, byFour, 1);
      expect(bits(byOne)).toBe(bits(byFour));
    }
  });

  const native = (globalThis as Record<string, unknown>).Float16Array as
    | { from(values: Iterable<number>): ArrayBufferView & Iterable<number> }
    | undefined;
  if (native === undefined && name === 'float16')
    console.log('Float16Array: this runtime has none, not compared with it');
  it.runIf(native !== undefined && name === 'float16')('agrees with the runtime’s own Float16Array', () => {
    const random = randomNumbers(2);
    const numbers = Float64Array.from({ length: 10_000 }, () => random() * 2 ** (40 * random()));
    expect(bits(to(numbers))).toBe(bits(native!.from(numbers)));
  });

  it('refuses to narrow what is not an array of numbers', () => {
    const wrong = [
      null,
      'abc',
      7,
      undefined,
      new BigInt64Array(2),
      new BigUint64Array(2),
      [1, '2'],
      [1n],
      { length: -1 },
    ];
    for (const value of wrong) {
      expect(() => to(value as never)).toThrow(TypeError);
      expect(() => to(value as never)).toThrow(/values/);
    }
  });

  it('refuses to widen what is not a Uint16Array', () => {
    const proxy = new Proxy(new Uint16Array(2), {});
    for (const value of [null, 'abc', [1, 2], new Float32Array(2), new Uint8Array(2), new Int16Array(2), proxy]) {
      expect(() => from(value as never)).toThrow(TypeError);
      expect(() => from(value as never)).toThrow(/bits must be a Uint16Array/);
    }
  });

  describe('rounded stochastically', () => {
    it('goes up with exactly the probability of the discarded fraction', () => {
      const random = randomNumbers(3);
      const draws = Uint32Array.from({ length: 65536 }, (_, k) => k * 65536);
      for (let trial = 0; trial < 20; trial++) {
        const low = Math.floor(Math.abs(random()) * (infinity - 1));
        // A multiple of 2^-10 of the way to the neighbour above; exact in float32 for normal and
        // subnormal numbers.
        const fraction = Math.floor(Math.abs(random()) * 1024) / 1024;
        for (const sign of [1, -1]) {
          const x = sign * (numberOf(low) + (numberOf(low + 1) - numberOf(low)) * fraction);
          if (Math.fround(x) !== x || Math.abs(x) >= numberOf(infinity - 1)) continue;
          const words = wordsOf(new Float32Array(65536).fill(x));
          const result = new Uint16Array(65536);
          narrowRandom(half, words, 65536, result, 0, draws);
          const up = result.reduce((count, pattern) => count + ((pattern & 0x7fff) === low + 1 ? 1 : 0), 0);
          const down = result.reduce((count, pattern) => count + ((pattern & 0x7fff) === low ? 1 : 0), 0);
          expect(up).toBe(fraction * 65536);
          expect(up + down).toBe(65536);
          expect(result.every((pattern) => pattern >= 0x8000 === sign < 0)).toBe(true);
        }
      }
    });

    it('leaves every number of the format as it is, whatever the random bits', () => {
      for (const draw of [0, 0xffffffff, 0x80000000]) {
        const result = new Uint16Array(65536);
        narrowRandom(half, wordsOf(from(every)), 65536, result, 0, new Uint32Array(65536).fill(draw));
        expect(bits(result)).toBe(bits(quieted));
      }
    });

    it('rounds to nearest above the largest number, as there is no neighbour to go to', () => {
      const largest = numberOf(infinity - 1);
      const edge = (largest + numberOf(infinity)) / 2;
      const numbers = new Float32Array([nextFloat(edge, -1), edge, -edge]);
      for (const draw of [0, 0xffffffff]) {
        const result = new Uint16Array(3);
        narrowRandom(half, wordsOf(numbers), 3, result, 0, new Uint32Array(3).fill(draw));
        expect([...result]).toEqual([infinity - 1, infinity, infinity | 0x8000]);
      }
    });
  });
});

describe('Threefry-2x32 with 20 rounds', () => {
  it.each([
    // The known answers of Random123: counter, key, result.
    ['00000000 00000000', '00000000 00000000', '6b200159 99ba4efe'],
    ['ffffffff ffffffff', 'ffffffff ffffffff', '1cb996fc bb002be7'],
    ['243f6a88 85a308d3', '13198a2e 03707344', 'c4923a9c 483df7a0'],
  ])('turns counter %s under key %s into %s', (counter, key, expected) => {
    const [c0, c1, k0, k1] = `${counter} ${key}`.split(' ').map((word) => Number.parseInt(word, 16));
    const out = new Uint32Array(3);
    threefry(k0!, k1!, c0!, c1!, out, 1);
    expect([...out].map((word) => word.toString(16).padStart(8, '0'))).toEqual(['00000000', ...expected.split(' ')]);
  });

  it('gives an element the same word in whatever ranges they are asked for', () => {
    const whole = new Uint32Array(102);
    fillRandom(7, 9, 3, 0, 100, whole);
    for (const [first, length] of [
      [0, 1],
      [1, 1],
      [1, 2],
      [1, 99],
      [2, 5],
      [33, 7],
      [98, 2],
      [99, 1],
      [40, 0],
    ] as const) {
      const part = new Uint32Array(length + 2);
      fillRandom(7, 9, 3, first, length, part);
      expect([...part.slice(0, length)]).toEqual([...whole.slice(first, first + length)]);
    }
    expect(new Set(whole.slice(0, 100)).size).toBe(100);
  });

  it('has a stream of its own for every seed, name and occurrence of a name', () => {
    const seeds = [0, 1, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER];
    const names = ['weight', 'bias', 'a', 'b', '', 'Gewicht ä', '重み'];
    const keys = seeds.flatMap((seed) =>
      names.flatMap((name) => [0, 1, 2].map((count) => bits(streamKey(seed, nameHash(name), count)))),
    );
    expect(new Set(keys).size).toBe(keys.length);
  });
});

const makers = [
  {
    name: 'Adafactor',
    make: (parameters: Parameter[], lr: number, rest: object): Optimizer =>
      new Adafactor(parameters, { lr, relativeStep: false, scaleParameter: false, ...rest }),
  },
  {
    name: 'AdamW',
    make: (parameters: Parameter[], lr: number, rest: object): Optimizer =>
      new AdamW(parameters, { lr, weightDecay: 0, ...rest }),
  },
];
const sixteenCases = formats.flatMap((format) =>
  makers.map((maker) => ({ ...format, optimizer: maker.name, make: maker.make })),
);

describe.each(sixteenCases)(
  '$optimizer on $name weights with rounding "stochastic"',
  ({ name, to, from, mantissaBits, make }) => {
    const ulp = 2 ** -mantissaBits;
    const ones = (count: number, label = 'w'): Parameter =>
      new Parameter(to(new Float32Array(count).fill(1)), [count], { dtype: name, name: label });

    it('has over many seeds the mean of the exact update', () => {
      // One update of +ulp · 0.3 from 1: up with probability 0.3.
      const count = 1000;
      const seeds = 40;
      let sum = 0;
      for (let seed = 0; seed < seeds; seed++) {
        const parameter = ones(count);
        parameter.grad = new Float32Array(count).fill(-1);
        make([parameter], 0.3 * ulp, { rounding: 'stochastic', seed }).step();
        const ups = from(parameter.data as Uint16Array).map((x) => (x - 1) / ulp);
        expect(ups.every((up) => up === 0 || up === 1)).toBe(true);
        sum += ups.reduce((a, b) => a + b, 0);
      }
      const deviation = Math.sqrt((0.3 * 0.7) / (count * seeds));
      // The discarded bits resolve 0.3 to 2^-13 (float16) or 2^-16.
      expect(Math.abs(sum / (count * seeds) - 0.3)).toBeLessThan(4 * deviation + 2 ** -13);
    });

    it('converges with updates of a tenth of an ulp, where rounding to nearest stands still', () => {
      const target = 1 + 64 * ulp;
      const distances = (['nearest', 'stochastic'] as const).map((rounding) => {
        const parameter = ones(64);
        const optimizer = make([parameter], ulp / 10, { rounding });
        for (let step = 0; step < 1600; step++) {
          parameter.grad = from(parameter.data as Uint16Array).map((x) => x - target);
          optimizer.step();
        }
        const weights = from(parameter.data as Uint16Array);
        // Nearest: the gradient never changes, so the update is lr, a tenth of an ulp, in every
        // step, and 1 + lr rounds to 1.
        if (rounding === 'nearest') expect(weights.every((x) => x === 1)).toBe(true);
        return weights.reduce((sum, x) => sum + (target - x) / ulp, 0) / 64;
      });
      console.log(
        `distance to the minimum after 1600 steps, in ulps of ${name}: nearest ${distances[0]}, stochastic ` +
          `${distances[1]!.toFixed(2)}`,
      );
      expect(distances[0]).toBe(64);
      expect(Math.abs(distances[1]!)).toBeLessThan(2);
    });

    it('gives a named parameter the same bits wherever it stands, in whatever group', () => {
      const build = (): Parameter[] => ['a', 'b', 'c'].map((label) => ones(50, label));
      const [one, other] = [build(), build()];
      const options = { rounding: 'stochastic', seed: 4 };
      const forwards = make(one, ulp / 3, options);
      const backwards = make([other[2]!], ulp / 3, options);
      backwards.addParamGroup({ params: [other[1]!, other[0]!] });
      for (let step = 0; step < 5; step++) {
        for (const parameter of [...one, ...other]) parameter.grad = new Float32Array(50).fill(-1);
        forwards.step();
        backwards.step();
      }
      expect(weightBits(other)).toEqual(weightBits(one));
      // And no two of them the same, although all have the same weights and gradients.
      expect(new Set(weightBits(one)).size).toBe(3);
    });

    it('draws anew with every seed, step and element, also for parameters without a name or of one name', () => {
      const parameters = [1, 2].flatMap(() => [
        new Parameter(to(new Float32Array(64).fill(1)), [64], { dtype: name }),
        ones(64, 'same'),
      ]);
      const runs = [0, 1].map((seed) => {
        for (const parameter of parameters) {
          parameter.data.fill(to([1])[0]!);
          parameter.grad = new Float32Array(64).fill(-1);
        }
        make(parameters, ulp / 2, { rounding: 'stochastic', seed }).step();
        return weightBits(parameters);
      });
      expect(new Set(runs.flat()).size).toBe(8);
    });

    it('draws by the element’s number in the whole parameter, however it is cut into blocks', () => {
      // Longer than a strip and than a block of the matrix.
      const [rows, cols] = [300, 100];
      const patterns = [[rows * cols], [rows, cols]].map((shape) => {
        const data = to(new Float32Array(rows * cols).fill(1));
        const parameter = new Parameter(data, shape, { dtype: name, name: 'w' });
        parameter.grad = new Float32Array(rows * cols).fill(-1);
        make([parameter], ulp / 2, { rounding: 'stochastic' }).step();
        return data;
      });
      expect(bits(patterns[1]!)).toBe(bits(patterns[0]!));
      const pieces = Array.from({ length: 30 }, (_, i) => bits(patterns[0]!.slice(i * 1000, (i + 1) * 1000)));
      expect(new Set(pieces).size).toBe(30);
    });

    it('resumes to the same bits, by the seed and step of the state dict', () => {
      const whole = ones(100);
      const options = { rounding: 'stochastic', seed: 2 ** 40 + 5 };
      const optimizer = make([whole], ulp / 3, options);
      const run = (parameter: Parameter, by: Optimizer, steps: number): void => {
        for (let step = 0; step < steps; step++) {
          parameter.grad = new Float32Array(100).fill(-1);
          by.step();
        }
      };
      run(whole, optimizer, 4);
      const saved = structuredClone(optimizer.stateDict());
      expect(saved.param_groups[0]).toMatchObject({ rounding: 'stochastic', seed: 2 ** 40 + 5 });
      const half = new Parameter(whole.data.slice(), [100], { dtype: name, name: 'w' });
      const resumed = make([half], 1, {});
      resumed.loadStateDict(saved);
      run(whole, optimizer, 4);
      run(half, resumed, 4);
      expect(weightBits([half])).toEqual(weightBits([whole]));
    });
  },
);

describe.each(makers)('$name on float32 and float64 weights', ({ make }) => {
  it.each([Float32Array, Float64Array])('does not care about the rounding (%o)', (Floats) => {
    const results = ['nearest', 'stochastic'].map((rounding) => {
      const parameter = new Parameter(new Floats(20).fill(1));
      parameter.grad = new Floats(20).fill(0.37);
      make([parameter], 1e-3, { rounding }).step();
      return bits(parameter.data);
    });
    expect(results[1]).toBe(results[0]);
  });
});
