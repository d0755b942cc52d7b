import fc from 'fast-check';
import {
  Adafactor,
  AdamW,
  type DType,
  type Kernels,
  Lion,
  type NumericArray,
  type Optimizer,
  Parameter,
  SGD,
} from 'tensorless';
import { fastestKernels, simdKernels } from 'tensorless/simd';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { sixteen } from '../src/core/sixteen-bits.ts';
import { engineOf } from '../src/engine/kernels.ts';
import * as adamLoops32 from '../src/loops/adam.ts';
import * as adamLoops64 from '../src/loops/generated/adam64.ts';
import * as loops64 from '../src/loops/generated/matrix64.ts';
import * as momentum64 from '../src/loops/generated/momentum64.ts';
import * as sign64 from '../src/loops/generated/sign-momentum64.ts';
import * as sums64 from '../src/loops/generated/sums64.ts';
import * as vector64 from '../src/loops/generated/vector64.ts';
import * as loops32 from '../src/loops/matrix.ts';
import * as momentum32 from '../src/loops/momentum.ts';
import * as sign32 from '../src/loops/sign-momentum.ts';
import * as sums32 from '../src/loops/sums.ts';
import * as vector32 from '../src/loops/vector.ts';
import type { SimdLoops as MatrixLoops } from '../src/simd/wasm-loops.ts';
import type { MomentumLoops } from '../src/simd/wasm-momentum.ts';
import {
  arrayOf as arrayOfDtype,
  bits,
  dtypes,
  exactly,
  filled,
  randomArray,
  randomNumbers,
  weightBits,
} from './_optimizers.ts';
import { arrayOf, camelCase, type Golden, goldenClasses, goldenNames, kindOf, readGolden } from './golden.ts';

console.log(`seed ${process.env.SEED}`);

const kernels = simdKernels({ arenaBytes: 32 * 2 ** 20 });

type SimdLoops = MatrixLoops & MomentumLoops;

/** The engine's own loops, which are private to it. */
const { float32, float64, sixteen: conversions } = engineOf(kernels);
const simdLoops = { float32: float32 as SimdLoops, float64: float64 as SimdLoops };

/** The same of other kernels. */
const floats32 = (of: Kernels): SimdLoops => engineOf(of).float32 as SimdLoops;

type Loops = Omit<SimdLoops, 'check'>;
const typescriptLoops: { readonly float32: Loops; readonly float64: object } = {
  float32: { ...sums32, ...loops32, ...vector32, ...adamLoops32, ...momentum32, ...sign32 },
  float64: { ...sums64, ...loops64, ...vector64, ...adamLoops64, ...momentum64, ...sign64 },
};

/** Numbers where arithmetic has its edges, among ordinary ones of every size. */
const EDGES = [0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e-45, -3e-41, 3.4e38, -1e-30];

/** Powers of two from 2^-12 to 2^12. */
const SIZES = Array.from({ length: 25 }, (_, k) => 2 ** (k - 12));

function numbers(random: () => number, edges: boolean): () => number {
  return () => {
    const kind = random();
    if (edges && kind > 0.9) return EDGES[Math.floor((random() + 1) * 0.5 * EDGES.length)]!;
    return random() * SIZES[12 + Math.round(12 * random())]!;
  };
}

type Wide = 'float32' | 'float64';
type Floats = Float32Array;

function floats(dtype: Wide, values: ArrayLike<number>): Floats {
  return (dtype === 'float32' ? new Float32Array(values) : new Float64Array(values)) as Floats;
}

/** Where an array of the SIMD run lives. */
const PLACES = ['its memory', 'a view in its memory', 'elsewhere'] as const;
type Place = (typeof PLACES)[number];

function placed(dtype: Wide, values: Floats, place: Place): { array: Floats; free: () => void } {
  if (place === 'elsewhere') return { array: values.slice(), free() {} };
  const margin = place === 'its memory' ? 0 : 3;
  const whole = kernels.allocate(dtype as 'float32', values.length + 2 * margin);
  whole.fill(7);
  const array = margin === 0 ? whole : whole.subarray(margin, margin + values.length);
  array.set(values);
  return {
    array,
    free() {
      expect([...whole.subarray(0, margin), ...whole.subarray(whole.length - margin)].every((x) => x === 7)).toBe(true);
      kernels.free(whole);
    },
  };
}

interface Run {
  readonly loops: Loops;
  /** p, g, m, v, largest. */
  readonly arrays: readonly Floats[];
  readonly at: number;
  readonly gAt: number;
  readonly rows: number;
  readonly cols: number;
  /** Sums or factors of rows and columns, from element 2 on. */
  readonly rowVector: Float64Array;
  readonly colVector: Float64Array;
  /** Scalars. */
  readonly s: readonly number[];
}

/** Every loop, on the arrays of a run. */
const calls: Record<string, (run: Run) => unknown> = {
  sumSquares: ({ loops, arrays: [, g], gAt, rows, cols }) => loops.sumSquares(g!, gAt, rows * cols),
  sumSquaresFar: ({ loops, arrays: [, g], gAt, rows, cols }) => loops.sumSquaresFar(g!, gAt, rows * cols),
  reduce: ({ loops, arrays: [, g], gAt, rows, cols, rowVector, colVector }) =>
    loops.reduce(g!, gAt, rows, cols, rowVector, 2, colVector, 2, false),
  'reduce, by streams': ({ loops, arrays: [, g], gAt, rows, cols, rowVector, colVector }) =>
    loops.reduce(g!, gAt, rows, cols, rowVector, 2, colVector, 2, true),
  measure: ({ loops, arrays: [, g], gAt, rows, cols, rowVector, colVector, s }) =>
    loops.measure(g!, gAt, rows, cols, rowVector, 2, colVector, 2, s[0]!, false),
  'measure, by streams': ({ loops, arrays: [, g], gAt, rows, cols, rowVector, colVector, s }) =>
    loops.measure(g!, gAt, rows, cols, rowVector, 2, colVector, 2, s[0]!, true),
  apply: ({ loops, arrays: [p, g], at, rows, cols, rowVector, colVector, s }) =>
    loops.apply(p!, g!, at, rows, cols, rowVector, 2, colVector, 2, s[0]!),
  'apply, without decay': ({ loops, arrays: [p, g], at, rows, cols, rowVector, colVector }) =>
    loops.apply(p!, g!, at, rows, cols, rowVector, 2, colVector, 2, 1),
  applyMomentum: ({ loops, arrays: [p, g, m], at, gAt, rows, cols, rowVector, colVector, s }) =>
    loops.applyMomentum(p!, g!, at, m!, gAt, rows, cols, rowVector, 2, colVector, 2, s[0]!, s[1]!),
  measureVector: ({ loops, arrays: [, g, , v], at, gAt, rows, cols, s }) =>
    loops.measureVector(g!, gAt, v!, at, rows * cols, s[0]!, s[1]!, s[2]!),
  applyVector: ({ loops, arrays: [p, g, , v], at, gAt, rows, cols, s }) =>
    loops.applyVector(p!, at, g!, gAt, v!, at, rows * cols, s[0]!, s[1]!, s[2]!, s[3]!, s[4]!),
  applyVectorMomentum: ({ loops, arrays: [p, g, m, v], at, gAt, rows, cols, s }) =>
    loops.applyVectorMomentum(p!, at, g!, gAt, m!, at, v!, at, rows * cols, s[0]!, s[1]!, s[2]!, s[3]!, s[4]!, s[5]!),
  adam: ({ loops, arrays: [p, g, m, v], at, gAt, rows, cols, s }) =>
    loops.adam(p!, at, g!, gAt, m!, v!, at, rows * cols, 1, 1 - s[0]!, s[1]!, s[2]!, s[3]!, s[4]!, s[5]!, 1),
  'adam of a small beta1': ({ loops, arrays: [p, g, m, v], at, gAt, rows, cols, s }) =>
    loops.adam(p!, at, g!, gAt, m!, v!, at, rows * cols, 1, s[0]!, s[1]!, s[2]!, s[3]!, s[4]!, s[5]!, 1),
  'adam, maximized and uncorrected': ({ loops, arrays: [p, g, m, v], at, gAt, rows, cols, s }) =>
    loops.adam(p!, at, g!, gAt, m!, v!, at, rows * cols, -1, 1 - s[0]!, s[1]!, s[2]!, s[3]!, s[4]!, 1, s[5]!),
  amsgrad: ({ loops, arrays: [p, g, m, v, l], at, gAt, rows, cols, s }) =>
    loops.amsgrad(p!, at, g!, gAt, m!, v!, l!, at, rows * cols, 1, 1 - s[0]!, s[1]!, s[2]!, s[3]!, s[4]!, s[5]!, 1),
  'amsgrad of a small beta1': ({ loops, arrays: [p, g, m, v, l], at, gAt, rows, cols, s }) =>
    loops.amsgrad(p!, at, g!, gAt, m!, v!, l!, at, rows * cols, 1, s[0]!, s[1]!, s[2]!, s[3]!, s[4]!, s[5]!, 1),
  sgd: ({ loops, arrays: [p, g], at, gAt, rows, cols, s }) => loops.sgd(p!, at, g!, gAt, rows * cols, -1, s[3]!, s[2]!),
  sgdMomentum: ({ loops, arrays: [p, g, m], at, gAt, rows, cols, s }) =>
    loops.sgdMomentum(p!, at, g!, gAt, m!, at, rows * cols, 1, s[3]!, s[2]!, s[0]!, s[1]!),
  sgdNesterov: ({ loops, arrays: [p, g, m], at, gAt, rows, cols, s }) =>
    loops.sgdNesterov(p!, at, g!, gAt, m!, at, rows * cols, 1, s[3]!, s[2]!, s[0]!, s[1]!, s[5]!),
  lion: ({ loops, arrays: [p, g, m], at, gAt, rows, cols, s }) =>
    loops.lion(p!, at, g!, gAt, m!, at, rows * cols, s[0]!, s[1]!, s[5]!, s[3]!, s[2]!, s[0]!),
};

/**
 * Runs one loop on both kernels and compares all that it could have written, NaN being equal to
 * NaN.
 */
function compare(
  call: string,
  dtype: Wide,
  rows: number,
  cols: number,
  seed: number,
  edges: boolean,
  places: Place[],
): void {
  const next = numbers(randomNumbers(seed), edges);
  const at = seed & 3;
  const gAt = (seed >> 2) & 3;
  const length = rows * cols + 5;
  const data = Array.from({ length: 5 }, (_, i) =>
    floats(
      dtype,
      filled(length, () => (i > 2 ? Math.abs(next()) : next())),
    ),
  );
  const rowVector = Float64Array.from({ length: rows + 6 }, next);
  const colVector = Float64Array.from({ length: cols + 6 }, next);
  const s = [0.9, 0.7, 1e-3, 0.01, 1e-8, 0.99].map((x) => x * (1 + 0.1 * Math.abs(next())) || x);
  const rest = { at, gAt, rows, cols, s };
  const [theirRows, theirCols] = [rowVector.slice(), colVector.slice()];
  const theirs = data.map((array) => array.slice());
  const expected = calls[call]!({
    ...rest,
    loops: typescriptLoops[dtype] as Loops,
    arrays: theirs,
    rowVector: theirRows,
    colVector: theirCols,
  });
  const ours = data.map((array, i) => placed(dtype, array, places[i]!));
  const arrays = ours.map(({ array }) => array);
  const got = calls[call]!({ ...rest, loops: simdLoops[dtype], arrays, rowVector, colVector });
  const same = (name: string, a: ArrayLike<number>, b: ArrayLike<number>): void => {
    for (let k = 0; k < b.length; k++) {
      if (!Object.is(a[k], b[k])) throw new Error(`${call}: ${name}[${k}] is ${a[k]}, expected ${b[k]}`);
    }
  };
  expect(got).toBe(expected);
  for (const [i, array] of arrays.entries()) same('pgmvl'[i]!, array, theirs[i]!);
  same('row', rowVector, theirRows);
  same('column', colVector, theirCols);
  for (const { free } of ours) free();
}

describe.each(Object.keys(calls))('the loop %s has the bits of the TypeScript loop', (call) => {
  const place = fc.constantFrom(...PLACES);
  it.each(['float32', 'float64'] as const)('%s, any shape, any offset, any place, NaN and infinity too', (dtype) => {
    fc.assert(
      fc.property(
        fc.nat(37),
        fc.nat(37),
        fc.nat(),
        fc.boolean(),
        fc.array(place, { minLength: 5, maxLength: 5 }),
        (rows, cols, seed, edges, places) => compare(call, dtype, rows, cols, seed, edges, places),
      ),
      { numRuns: 80 },
    );
  });

  /** Wider than a span, taller than a chunk, larger than a tile; one row, one column. */
  const large = [
    [5, 8195],
    [1029, 3],
    [1, 17_001],
    [67, 129],
  ] as const;
  it.each(large)('%d × %d, copied and in its memory', (rows, cols) => {
    for (const dtype of ['float32', 'float64'] as const) {
      for (const place of ['its memory', 'elsewhere'] as const) {
        compare(call, dtype, rows, cols, rows + cols, false, Array<Place>(5).fill(place));
      }
    }
  });
});

it('finds whatever is not finite, wherever it is', () => {
  const { check } = simdLoops.float32;
  for (const place of PLACES) {
    for (const length of [0, 1, 15, 16, 100, 20_001, 270_001]) {
      const { array, free } = placed('float32', new Float32Array(length + 2).fill(3.4e38), place);
      array[0] = array[length + 1] = Number.NaN;
      expect(check(array, 1, length)).toBe(0);
      for (const at of [0, 14, 15, 16, 17, length >> 1, length - 1]) {
        if (at < 0 || at >= length) continue;
        const before = array[1 + at]!;
        array[1 + at] = at % 3 === 0 ? Number.NaN : at % 3 === 1 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
        expect(check(array, 1, length)).toBeNaN();
        array[1 + at] = before;
      }
      free();
    }
  }
  // A float64 square can be infinite where the number is not.
  expect(simdLoops.float64.check).toBe(simdLoops.float64.sumSquares);
});

it('sums of squares of a range so long that it is touched ahead', () => {
  for (const dtype of ['float32', 'float64'] as const) {
    compare('sumSquares', dtype, 1, 270_001, 5, false, Array<Place>(5).fill('its memory'));
  }
});

describe('16-bit numbers', () => {
  const types: [string, boolean][] = [
    ['bfloat16', false],
    ['float16', true],
  ];
  const strip = (length: number): Uint32Array => {
    const array = kernels.allocate('float32', length);
    return new Uint32Array(array.buffer, array.byteOffset, length);
  };

  it.each(types)('%s: every bit pattern is widened as by the TypeScript loop', (_, half) => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const expected = new Uint32Array(65536);
    sixteen.widen(half, all, 0, 65536, expected);
    const got = strip(65536);
    conversions!.widen(half, all, 0, 65536, got);
    expect(bits(got)).toBe(bits(expected));
  });

  it.each(types)('%s: every upper half, with lower halves at and beside each tie, is narrowed likewise', (_, half) => {
    const lower = [0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x2fff, 0x3000, 0x3001, 0x7fff, 0x8000, 0x8001, 0xffff];
    const words = strip(65536);
    for (const low of lower) {
      for (let i = 0; i < 65536; i++) words[i] = i * 65536 + low;
      const expected = new Uint16Array(65536);
      sixteen.narrow(half, words, 65536, expected, 0);
      const got = new Uint16Array(65536);
      conversions!.narrow(half, words, 65536, got, 0);
      expect(bits(got)).toBe(bits(expected));
    }
  });

  it.each(types)('%s: any length, anywhere, touching nothing beside it', (_, half) => {
    fc.assert(
      fc.property(fc.nat(40), fc.nat(9), fc.boolean(), fc.nat(), (length, at, inside, seed) => {
        const random = randomNumbers(seed);
        const halves = Uint16Array.from({ length: length + 20 }, () => 32768 * (random() + 1));
        const words = inside ? strip(length + 9) : new Uint32Array(length + 9);
        words.fill(7);
        conversions!.widen(half, halves, at, length, words);
        const expected = new Uint32Array(length + 9).fill(7);
        sixteen.widen(half, halves, at, length, expected);
        expect(bits(words)).toBe(bits(expected));
        const got = halves.slice().fill(5);
        conversions!.narrow(half, words, length, got, at);
        const back = halves.slice().fill(5);
        sixteen.narrow(half, expected, length, back, at);
        expect(bits(got)).toBe(bits(back));
      }),
    );
  });
});

/** Every bit of weights and state. */
function result(optimizer: Optimizer, parameters: readonly Parameter[]): unknown {
  return { weights: weightBits(parameters), state: exactly(optimizer.stateDict()) };
}

const optimizers: Record<string, (params: Parameter[], options: object) => Optimizer> = {
  Adafactor: (params, options) => new Adafactor(params, options),
  'Adafactor with decay': (params, options) => new Adafactor(params, { weightDecay: 0.1, ...options }),
  'Adafactor with momentum': (params, options) =>
    new Adafactor(params, { beta1: 0.9, relativeStep: false, scaleParameter: false, lr: 0.02, ...options }),
  AdamW: (params, options) => new AdamW(params, { lr: 0.02, ...options }),
  Lion: (params, options) => new Lion(params, { lr: 0.02, weightDecay: 0.1, ...options }),
  SGD: (params, options) => new SGD(params, { lr: 0.02, weightDecay: 0.1, ...options }),
  'SGD with momentum': (params, options) => new SGD(params, { lr: 0.02, momentum: 0.9, dampening: 0.1, ...options }),
  'SGD with nesterov': (params, options) => new SGD(params, { lr: 0.02, momentum: 0.9, nesterov: true, ...options }),
  'AdamW with amsgrad': (params, options) => new AdamW(params, { lr: 0.02, amsgrad: true, ...options }),
  'AdamW uncorrected, maximized': (params, options) =>
    new AdamW(params, { lr: 0.02, correctBias: false, maximize: true, ...options }),
};

const optimizerCases = Object.keys(optimizers).flatMap((name) => dtypes.map((dtype) => ({ name, dtype })));

describe.each(optimizerCases)('$name in $dtype', ({ name, dtype }) => {
  const shape = fc.oneof(
    fc.constant([]),
    fc.array(fc.nat(70), { minLength: 1, maxLength: 2 }),
    fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 3, maxLength: 4 }),
  );
  it('gives equal weights and state after several steps, arrays inside or outside', () => {
    fc.assert(
      fc.property(fc.array(shape, { minLength: 1, maxLength: 3 }), fc.nat(), fc.boolean(), (shapes, seed, inside) => {
        const random = randomNumbers(seed);
        const own = simdKernels({ arenaBytes: inside ? 2 ** 20 : 0 });
        const start = shapes.map((dims) =>
          randomArray(
            dtype,
            dims.reduce((a, b) => a * b, 1),
            random,
          ),
        );
        const inArena = (array: NumericArray): NumericArray => {
          if (!inside || array instanceof Uint16Array) return array.slice();
          const copy = own.allocate(dtype as 'float32', array.length);
          copy.set(array);
          return copy;
        };
        const options = { rounding: seed % 2 === 0 ? 'nearest' : 'stochastic' };
        const parameters = [0, 1].map((which) =>
          start.map(
            (data, i) =>
              new Parameter(which === 0 ? data.slice() : inArena(data), shapes[i]!, { dtype, name: `p${i}` }),
          ),
        );
        const [plain, simd] = [
          optimizers[name]!(parameters[0]!, options),
          optimizers[name]!(parameters[1]!, { ...options, kernels: own }),
        ];
        for (let step = 0; step < 3; step++) {
          for (const [i, data] of start.entries()) {
            const gradient = randomArray(dtype, data.length, random, 3);
            parameters[0]![i]!.grad = gradient;
            parameters[1]![i]!.grad = inArena(gradient);
          }
          plain.step();
          simd.step();
        }
        expect(result(simd, parameters[1]!)).toEqual(result(plain, parameters[0]!));
      }),
      { numRuns: 12 },
    );
  });
});

function play(golden: Golden, options: object): unknown[] {
  const parameters = golden.params.map(
    ({ name, array }) => new Parameter(arrayOf(array), array.shape, { name, dtype: array.dtype }),
  );
  const given = { ...camelCase(golden.options), ...options };
  const optimizer: Optimizer = new goldenClasses[kindOf(golden)](parameters, given);
  return golden.grads.map((row) => {
    row.forEach((grad, i) => {
      parameters[i]!.grad = grad === null ? null : arrayOf(grad);
    });
    optimizer.step();
    return result(optimizer, parameters);
  });
}

describe('the recorded runs', () => {
  it.each(goldenNames)('%s: the bits of the TypeScript kernels after every step', (name) => {
    const golden = readGolden(name);
    expect(play(golden, { kernels })).toEqual(play(golden, {}));
  });
});

describe('a run', () => {
  it.each(['AdamW', 'Adafactor with momentum'])('of %s is continued on other kernels with equal bits', (name) => {
    const random = randomNumbers(5);
    const dtype: DType = 'float32';
    const start = randomArray(dtype, 77, random);
    const gradients = Array.from({ length: 6 }, () => randomArray(dtype, 77, random));
    const train = (first: object, second: object): unknown => {
      const parameter = new Parameter(start.slice(), [7, 11]);
      let optimizer = optimizers[name]!([parameter], first);
      gradients.forEach((gradient, i) => {
        if (i === 3) {
          const saved = optimizer.stateDict();
          optimizer.dispose();
          optimizer = optimizers[name]!([parameter], second);
          optimizer.loadStateDict(saved);
        }
        parameter.grad = gradient;
        optimizer.step();
      });
      return result(optimizer, [parameter]);
    };
    const expected = train({}, {});
    expect(train({ kernels }, {})).toEqual(expected);
    expect(train({}, { kernels })).toEqual(expected);
  });
});

describe('the arena', () => {
  const own = (arenaBytes = 1024) => simdKernels({ arenaBytes });

  it('gives zeroed arrays, also where something was before', () => {
    const k = own();
    const array = k.allocate('float32', 256).fill(5);
    k.free(array);
    expect(k.allocate('float64', 128)).toEqual(new Float64Array(128));
  });

  it('says what is missing when it is full, and how to get it', () => {
    const k = own();
    k.allocate('float32', 128);
    expect(k.fits('float32', 128)).toBe(true);
    expect(k.fits('float32', 129)).toBe(false);
    expect(() => k.allocate('float32', 129)).toThrow(
      new RangeError(
        "simdKernels().allocate: float32 times 129 needs 576 bytes, but of the arena's 1024 only 512 are free; " +
          'ask for more with simdKernels({ arenaBytes: 1088 }) or more, free what is no longer used, or use an ' +
          'ordinary array',
      ),
    );
  });

  it('names the largest piece when the room is in several', () => {
    const k = own();
    const pieces = [0, 1, 2, 3].map(() => k.allocate('float32', 64));
    k.free(pieces[0]!);
    k.free(pieces[2]!);
    expect(() => k.allocate('float32', 128)).toThrow(
      /only 512 are free, 256 in one piece; ask for more with simdKernels\(\{ arenaBytes: 1280 \}\)/,
    );
    k.free(pieces[1]!);
    expect(k.allocate('float32', 192)).toHaveLength(192);
  });

  it('refuses a second free, a foreign array and a view, each with its repair', () => {
    const k = own();
    const array = k.allocate('float32', 16);
    expect(() => k.free(array.subarray(1))).toThrow(
      new RangeError(
        'simdKernels().free: Float32Array(15) is a view of an allocated array; free the very array that ' +
          'allocate returned',
      ),
    );
    k.free(array);
    expect(() => k.free(array)).toThrow(new Error('simdKernels().free: this array was freed already; free it once'));
    for (const wrong of [new Float32Array(4), own().allocate('float32', 4), null, 3]) {
      expect(() => k.free(wrong as Float32Array)).toThrow(TypeError);
    }
    expect(() => k.free(new Float32Array(4))).toThrow(
      /one that allocate of these same kernels returned, got Float32Array\(4\)/,
    );
  });

  it('refuses wrong dtypes and lengths', () => {
    const k = own();
    expect(() => k.allocate('bfloat16' as 'float32', 4)).toThrow(
      /dtype must be "float32" or "float64", got "bfloat16"/,
    );
    for (const length of [-1, 1.5, Number.NaN, '4', null]) {
      expect(() => k.allocate('float32', length as number)).toThrow(/length must be an integer/);
    }
  });

  it.each(['parameter', 'gradient'])('refuses a step with a freed %s, and nothing has changed', (which) => {
    const k = own();
    const data = k.allocate('float32', 6).fill(1);
    const gradient = k.allocate('float32', 6).fill(1);
    const other = new Parameter(new Float32Array(3).fill(1), [3]);
    const parameter = new Parameter(data, [2, 3]);
    const optimizer = new AdamW([other, parameter], { kernels: k });
    other.grad = new Float32Array(3).fill(1);
    parameter.grad = gradient;
    optimizer.step();
    const freed = which === 'parameter' ? data : gradient;
    k.free(freed);
    expect(() => k.checkLive(freed)).toThrow(/was freed/);
    const before = result(optimizer, [other]);
    expect(() => optimizer.step()).toThrow(
      /Float32Array\(6\) was freed and is still in use; free an array after its last step/,
    );
    expect(result(optimizer, [other])).toEqual(before);
    // Still refused when the place has gone to another array.
    k.allocate('float32', 6);
    expect(() => optimizer.step()).toThrow(/was freed/);
  });

  it('refuses a view of a freed array before the state of the same step takes its place', () => {
    const k = own();
    const [other, parameter] = [new Parameter(new Float32Array(6)), new Parameter(new Float32Array(6))];
    const optimizer = new AdamW([other, parameter], { kernels: k });
    const gradient = k.allocate('float32', 6);
    other.grad = new Float32Array(6).fill(1);
    parameter.grad = gradient.subarray(0);
    k.free(gradient);
    expect(() => optimizer.step()).toThrow(/was freed/);
    expect(optimizer.stateDict().state).toEqual({});
  });

  it('gets all of its memory back from dispose, also when 16 bits were widened in it', () => {
    const k = own(2 ** 17);
    const whole = 2 ** 17 / 4;
    for (const dtype of dtypes) {
      const parameter = new Parameter(arrayOfDtype(dtype, new Float64Array(600)), [20, 30], { dtype });
      const optimizer = new AdamW([parameter], { kernels: k, amsgrad: true });
      parameter.grad = arrayOfDtype(dtype, new Float64Array(600).fill(1));
      optimizer.step();
      expect(k.fits('float32', whole)).toBe(false);
      optimizer.dispose();
      k.free(k.allocate('float32', whole));
    }
  });

  it('never hands out a byte twice, and is one piece again when all is freed', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(90)), { maxLength: 60 }), (actions) => {
        const k = own(4096);
        const live: Float32Array[] = [];
        for (const [frees, n] of actions) {
          if (frees && live.length > 0) k.free(live.splice(n % live.length, 1)[0]!);
          else if (k.fits('float32', n)) live.push(k.allocate('float32', n));
        }
        live.forEach((array, i) => {
          expect(array.every((x) => x === 0)).toBe(true);
          array.fill(i + 1);
        });
        live.forEach((array, i) => {
          expect(array.every((x) => x === i + 1)).toBe(true);
          k.free(array);
        });
        expect(k.allocate('float32', 1024)).toHaveLength(1024);
      }),
    );
  });
});

describe('simdKernels', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it('takes arenaBytes, a number of bytes', () => {
    for (const wrong of [-1, 0.5, Number.NaN, 2 ** 32, '1', null]) {
      expect(() => simdKernels({ arenaBytes: wrong as number })).toThrow(/simdKernels: arenaBytes must be an integer/);
    }
    expect(() => simdKernels({ arena: 1 } as object)).toThrow(/unknown option "arena"/);
    expect(simdKernels().allocate('float32', 1_000_000)).toHaveLength(1_000_000);
  });

  /** A fresh module, as the compiled one is kept. */
  async function under(api: object | undefined): Promise<() => unknown> {
    vi.resetModules();
    const { simdKernels: fresh } = await import('tensorless/simd');
    vi.stubGlobal('WebAssembly', api);
    return () => fresh({ arenaBytes: 0 });
  }
  const real = globalThis as unknown as {
    WebAssembly: { Memory: unknown; Module: unknown; Instance: unknown; validate: unknown };
  };
  const parts = real.WebAssembly;
  const api = { Memory: parts.Memory, Module: parts.Module, Instance: parts.Instance, validate: parts.validate };
  const repair = /leave the kernels option out, which gives the TypeScript loops and the same bits/;

  it('says so where WebAssembly is missing', async () => {
    const make = await under(undefined);
    expect(make).toThrow(/this runtime has no WebAssembly/);
    expect(make).toThrow(repair);
  });

  it('says so where WebAssembly has no SIMD', async () => {
    const make = await under({ ...api, validate: () => false });
    expect(make).toThrow(/WebAssembly has no SIMD/);
    expect(make).toThrow(repair);
  });

  it('says so where a Content-Security-Policy forbids it', async () => {
    const make = await under({
      ...api,
      Module: class {
        constructor() {
          throw new Error('blocked by CSP');
        }
      },
    });
    expect(make).toThrow(/refuses to compile WebAssembly \(blocked by CSP\).*script-src 'wasm-unsafe-eval'/);
    expect(make).toThrow(repair);
  });

  it('says so where the system gives no memory', async () => {
    const make = await under({
      ...api,
      Memory: class {
        constructor() {
          throw new RangeError('could not allocate memory');
        }
      },
    });
    expect(make).toThrow(/the system gives no memory of \d+ bytes; ask for less with arenaBytes/);
  });
});

describe('copies that are kept through a step', () => {
  /** Small and large ones, some that are not kept, and more than there is room for. */
  const shapes = [[64, 64], [40, 300], [3, 9001], [5000], [2, 3, 700], [90, 1100], [300, 600], [7]];
  const formulas: Record<string, (parameters: Parameter[], options: { kernels?: Kernels }) => Optimizer> = {
    Adafactor: (parameters, options) => new Adafactor(parameters, options),
    'Adafactor with momentum': (parameters, options) => new Adafactor(parameters, { beta1: 0.9, ...options }),
    AdamW: (parameters, options) => new AdamW(parameters, options),
    AMSGrad: (parameters, options) => new AdamW(parameters, { amsgrad: true, ...options }),
  };

  /**
   * The weights' bits after each of some steps; gradients are the same arrays in every step, with
   * other numbers.
   */
  function course(formula: string, make: () => [Parameter[], NumericArray[]], own: boolean): string[][] {
    const [parameters, gradients] = make();
    const optimizer = formulas[formula]!(parameters, own ? { kernels: simdKernels({ arenaBytes: 0 }) } : {});
    const course: string[][] = [];
    for (let step = 0; step < 3; step++) {
      const last = gradients.at(-1)!;
      const first = last[0]!;
      const give = (): void =>
        parameters.forEach((parameter, i) => {
          parameter.grad = gradients[i]!;
        });
      // A step that is refused leaves no copy behind.
      last[0] = arrayOfDtype(parameters[0]!.dtype, Float64Array.of(Number.NaN))[0]!;
      give();
      expect(() => optimizer.step()).toThrow(/NaN/);
      last[0] = first;
      for (const gradient of gradients) gradient.reverse();
      give();
      optimizer.step();
      course.push(weightBits(parameters));
    }
    return course;
  }

  it.each(Object.keys(formulas).flatMap((formula) => dtypes.map((dtype) => [formula, dtype] as const)))(
    '%s, %s: the bits of the TypeScript loops',
    (formula, dtype) => {
      const make = (): [Parameter[], NumericArray[]] => {
        const random = randomNumbers(7);
        const array = (shape: number[]): NumericArray =>
          randomArray(
            dtype,
            shape.reduce((a, b) => a * b),
            random,
          );
        return [shapes.map((shape) => new Parameter(array(shape), shape, { dtype })), shapes.map(array)];
      };
      expect(course(formula, make, true)).toEqual(course(formula, make, false));
    },
  );

  it.each(Object.keys(formulas))('%s: gradients that are, or overlap, other weights', (formula) => {
    const make = (): [Parameter[], NumericArray[]] => {
      const whole = randomArray('float32', 4 * 4096, randomNumbers(8));
      const at = (k: number): NumericArray => whole.subarray(k, k + 4096);
      const parameters = [0, 4096, 2 * 4096, 3 * 4096].map((k) => new Parameter(at(k), [64, 64]));
      return [parameters, [parameters[1]!.data, at(0), at(2000), parameters[0]!.data]];
    };
    expect(course(formula, make, true)).toEqual(course(formula, make, false));
  });

  it('are not taken for arrays that loops are called with later', () => {
    const k = simdKernels({ arenaBytes: 0 });
    const data = new Float32Array(4096).fill(1);
    const gradient = new Float32Array(4096).fill(1);
    const parameter = new Parameter(data, [64, 64]);
    parameter.grad = gradient;
    new Adafactor([parameter], { kernels: k }).step();
    data.fill(2);
    gradient.fill(3);
    expect(floats32(k).sumSquares(data, 0, 4096)).toBe(4 * 4096);
    expect(floats32(k).sumSquares(gradient, 0, 4096)).toBe(9 * 4096);
  });
});

describe('the loops alone', () => {
  it('take column sums that are in the memory as well', () => {
    const kernels = simdKernels();
    const g = Float32Array.from({ length: 12 }, (_, k) => k - 5);
    for (const inside of [true, false]) {
      const columns = inside ? kernels.allocate('float64', 3) : new Float64Array(3);
      const rows = new Float64Array(4);
      floats32(kernels).reduce(g, 0, 4, 3, rows, 0, columns, 0, false);
      const expected = [0, 1, 2].map((j) => [0, 1, 2, 3].reduce((sum, i) => sum + (3 * i + j - 5) ** 2, 0));
      expect([...columns]).toEqual(expected);
    }
  });
});

describe('fastestKernels', () => {
  afterEach(() => vi.unstubAllGlobals());

  it('are the SIMD ones where they run, else the TypeScript ones; a wrong option is refused all the same', () => {
    expect(fastestKernels({ arenaBytes: 2 ** 16 }).name).toBe('simd');
    expect(() => fastestKernels({ arenaBytes: -1 })).toThrow('arenaBytes');
    expect(() => fastestKernels({ arenaBites: 1 } as object)).toThrow('unknown option');
  });

  it('are the TypeScript ones where there is no WebAssembly', async () => {
    vi.stubGlobal('WebAssembly', undefined);
    vi.resetModules();
    const { fastestKernels: fresh } = await import('tensorless/simd');
    expect(fresh().name).toBe('typescript');
  });
});
