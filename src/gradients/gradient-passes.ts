/**
 * What clipping and accumulation do with gradients, as passes over blocks like those of the
 * optimizers: on any engine, 16-bit arrays strip by strip, with sums that depend on shapes alone.
 */
import type { DType, NumericArray } from '../core/dtype.ts';
import { checkedGradient } from '../core/gradient.ts';
import { pow } from '../core/math.ts';
import { Occupied } from '../core/occupied.ts';
import type { Parameter } from '../core/parameter.ts';
import { bfloat16Bits, float16BitsOf } from '../core/sixteen-bits.ts';
import { isFloat64, isUint16 } from '../core/typed-array.ts';
import { type Course, type Executor, loopsOf } from '../engine/engine.ts';
import { engineOf, type Kernels } from '../engine/kernels.ts';
import { flatBlock, type Pass, runPass } from '../engine/pass.ts';
import { type Access, type Loops, Room, Strip } from '../engine/strip.ts';
import { AT, cutOf, goesFar, OWN, rangeOf, type Work } from '../engine/work.ts';
import * as gradients64 from '../loops/generated/gradients64.ts';
import { sumSquares as sumSquares64, sumSquaresFar as sumSquaresFar64 } from '../loops/generated/sums64.ts';
import * as gradients from '../loops/gradients.ts';
import { sumSquares, sumSquaresFar } from '../loops/sums.ts';

type GradientLoops = typeof gradients & Readonly<Record<'sumSquares' | 'sumSquaresFar', typeof sumSquares>>;

/** Float64 arrays go where the types say Float32Array. */
const LOOPS: Loops<GradientLoops> = {
  float32: { ...gradients, sumSquares, sumSquaresFar },
  float64: {
    ...gradients64,
    sumSquares: sumSquares64,
    sumSquaresFar: sumSquaresFar64,
  } as object as GradientLoops,
};

/** Places of the numbers that a pass needs. */
const BY = OWN;
const ORDER = OWN + 1;

/** A pass over `n` elements from `from`; its sum is `work.sums[into]`. */
type Body = (strip: Strip<GradientLoops>, work: Work, from: number, n: number, into: number) => void;

function pass(access: Access, body: Body, lookUp = false): Pass {
  return {
    writes: access !== 'gradient',
    block: (strip, work, block) => flatBlock(strip as Strip<GradientLoops>, work, block, access, lookUp, body),
  };
}

/** Which pass. */
export type GradientPass =
  | 'squares'
  | 'absolutes'
  | 'largest'
  | 'powers'
  | 'scale'
  | 'clamp'
  | 'assign'
  | 'add'
  | 'divide';

const NAMED: Readonly<Record<GradientPass, Pass>> = {
  /** The sums of x², of |x|; the largest |x|; the sum of (|x| / by)^order. */
  squares: pass(
    'gradient',
    ({ g }, work, _, n, into) => {
      const sum = goesFar(work) ? g.loops.sumSquaresFar : g.loops.sumSquares;
      work.sums[into]! += sum(g.array, g.at, n);
    },
    true,
  ),
  absolutes: pass('gradient', ({ g }, { sums }, _, n, into) => (sums[into]! += g.loops.sumAbsolute(g.array, g.at, n))),
  largest: pass('gradient', ({ g }, { sums }, _, n, into) => {
    sums[into] = g.loops.largest(g.array, g.at, n, sums[into]!);
  }),
  powers: pass('gradient', ({ g: { array, at } }, { sums, numbers }, _, n, into) => {
    const largest = numbers[BY]!;
    const order = numbers[ORDER]!;
    let sum = sums[into]!;
    for (let k = at; k < at + n; k++) {
      const x = array[k]!;
      if (x !== 0) sum += pow(Math.abs(x) / largest, order);
    }
    sums[into] = sum;
  }),
  /** P ← by · P; P within [-by, by]. */
  scale: pass('weights', ({ p }, { numbers }, _, n) => p.loops.scale(p.array, p.at, n, numbers[BY]!)),
  clamp: clampPass(),
  /** P ← G; P ← P + by · G; P ← G / by, with P in G's format or G a 16-bit array beside it. */
  assign: pass('both', ({ p, g }, _, __, n) => p.array.set(g.array.subarray(g.at, g.at + n), p.at)),
  add: pass('both', ({ p, g }, { numbers }, _, n) => p.loops.addScaled(p.array, p.at, g.array, g.at, n, numbers[BY]!)),
  divide: pass('weights', ({ p }, { g, numbers }, from, n) => {
    p.loops.divide(p.array, p.at, g as Float32Array, from, n, numbers[BY]!);
  }),
};

const NAMES = Object.keys(NAMED);

/** What a worker of several threads needs to know of these passes: as of an optimizer's rule. */
export const GRADIENTS: {
  readonly name: string;
  readonly loops: Loops<GradientLoops>;
  readonly passes: readonly Pass[];
} = { name: 'gradients', loops: LOOPS, passes: Object.values(NAMED) };

/** 16-bit patterns are clamped as they are, as a NaN is to keep its bits. */
function clampPass(): Pass {
  const { block } = pass('weights', ({ p }, { numbers }, _, n) => p.loops.clamp(p.array, p.at, n, numbers[BY]!));
  return {
    writes: true,
    block(strip, work, at, columns, columnsAt) {
      const { p, dtype, cut, numbers } = work;
      if (!isUint16(p)) block(strip, work, at, columns, columnsAt);
      else clamp16(p, ...rangeOf(cut, at), dtype === 'float16', numbers[BY]!);
    },
  };
}

function clamp16(x: Uint16Array, from: number, to: number, half: boolean, most: number): void {
  const bits = new Uint32Array(Float32Array.of(most).buffer)[0]!;
  const bound = half ? float16BitsOf(bits) : bfloat16Bits(bits);
  const infinity = half ? 0x7c00 : 0x7f80;
  for (let k = from; k < to; k++) {
    const value = x[k]!;
    const magnitude = value & 0x7fff;
    // Patterns of one sign are in the order of their numbers; beyond infinity they are NaN.
    if (magnitude > bound && magnitude <= infinity) x[k] = (value & 0x8000) | bound;
  }
}

/** The format of a gradient: its parameter's, or that of an array of floats beside 16 bits. */
export function formatOf(gradient: NumericArray, dtype: DType): DType {
  if (isUint16(gradient)) return dtype;
  return isFloat64(gradient) ? 'float64' : 'float32';
}

/** A pass that is to be run, with its numbers, over some works or all. */
export interface Run {
  readonly pass: GradientPass;
  readonly by?: number;
  readonly order?: number;
  readonly works?: readonly Work[];
}

/** Passes one after the other; what comes between them goes on in the generator. */
export type Runs<T> = Generator<Run, T, void>;

/** A single one. */
export function* one(run: Run): Runs<void> {
  yield run;
}

/** Runs passes over works, one set of numbers for all of them. */
export class GradientPasses implements Course {
  /** All that were taken in. */
  readonly taken: Work[] = [];
  readonly owner: object = this;
  readonly passes: readonly Pass[] = GRADIENTS.passes;
  readonly strip: Strip;
  works: readonly Work[] = [];
  pass = 0;
  readonly from = 0;
  to = 0;
  readonly #names: string[] = [];
  readonly #kernels: Kernels;
  readonly #executor: Executor | undefined;
  readonly #room: Room;
  readonly #numbers: Float64Array;

  constructor(kernels: Kernels) {
    const engine = engineOf(kernels);
    this.#kernels = kernels;
    this.#executor = engine.executor;
    this.#room = new Room(kernels);
    this.strip = new Strip(loopsOf(engine, LOOPS), engine.sixteen ?? null, this.#room);
    this.#numbers = this.#scratch(OWN + 2);
    this.#numbers[AT.exact] = 1;
  }

  #scratch(length: number): Float64Array {
    return engineOf(this.#kernels).scratch?.(length) ?? new Float64Array(length);
  }

  /**
   * A parameter's gradient, or null where there is none. Of all parameters before the first
   * allocation, as that may take the place of an array that was freed.
   *
   * @throws TypeError or RangeError when it does not fit the parameter, Error when it was freed.
   */
  gradientOf(where: string, parameter: Parameter, index: number): NumericArray | null {
    const gradient = checkedGradient(where, parameter, index);
    if (gradient !== null) this.#checkLive(gradient);
    return gradient;
  }

  #checkLive(array: NumericArray): void {
    if (!isUint16(array)) this.#kernels.checkLive?.(array);
  }

  /**
   * Takes a work in: `p` is written to, `g` read, of one length; `dtype` is the format of the one
   * that has 16 bits, where one has. Allocates all that its passes need.
   *
   * @param name - What messages call it.
   * @param known - A work of the same `p` and `dtype` from before.
   */
  take(name: string, p: NumericArray, g: NumericArray, dtype: DType, known?: Work): Work {
    const work = known ?? this.#workOf(p, dtype);
    work.g = g;
    this.#checkLive(p);
    if (p !== g) this.#checkLive(g);
    this.strip.reserve(work);
    this.taken.push(work);
    this.#names.push(name);
    return work;
  }

  #workOf(p: NumericArray, dtype: DType): Work {
    const cut = cutOf([p.length], p.length, false);
    const sums = this.#scratch(cut.blocks);
    const numbers = this.#numbers;
    return { rule: GRADIENTS.name, dtype, cut, numbers, sums, sumsEach: 1, own: {}, p, g: p, state: {} };
  }

  #prepare({ pass, by = 0, order = 0, works = this.taken }: Run): void {
    this.#numbers[BY] = by;
    this.#numbers[ORDER] = order;
    this.pass = NAMES.indexOf(pass);
    this.works = works;
    this.to = 0;
  }

  /** Runs passes on the calling thread. */
  run<T>(runs: Runs<T>): T {
    for (;;) {
      const { done, value } = runs.next();
      if (done === true) return value;
      this.#prepare(value);
      for (const work of this.works) runPass(this.strip, this.passes[this.pass]!, work);
    }
  }

  /** Whether two works write to the same memory. */
  #writesTwice(): boolean {
    const written = new Occupied<true>();
    return this.taken.some(({ p }) => written.add(p, true) === true);
  }

  /**
   * Runs passes on all threads of the kernels, where they have some. What is written to twice is
   * left to this one, which does one after the other.
   */
  async runAsync<T>(runs: Runs<T>): Promise<T> {
    if (this.#executor === undefined || this.#writesTwice()) return this.run(runs);
    for (;;) {
      const { done, value } = runs.next();
      if (done === true) return value;
      this.#prepare(value);
      await this.#executor.run(this);
    }
  }

  /** One pass over all works at once. */
  next(): boolean {
    if (this.to === this.works.length) return false;
    this.to = this.works.length;
    return true;
  }

  describe(work: number): string {
    return this.nameOf(this.works[work]!);
  }

  /** The name that a work was taken in by. */
  nameOf(work: Work): string {
    return this.#names[this.taken.indexOf(work)]!;
  }

  /** Lets go of the works, and of scratch memory. */
  end(): void {
    for (let work = this.taken.pop(); work !== undefined; work = this.taken.pop()) work.g = work.p;
    this.#names.length = 0;
    this.works = [];
    this.#room.dispose();
  }

  /** {@link GradientPasses.end}, for good. */
  dispose(): void {
    this.end();
    this.#executor?.forget(this);
  }
}
