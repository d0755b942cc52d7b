/**
 * What a loop is given: weights and gradient of a stretch of a parameter, as numbers that it can
 * read. 16-bit numbers are looked up in place, where the loop has such a twin, or widened into
 * scratch memory and rounded back; all others are worked on where they are.
 */
import { isSixteen, type NumericArray } from '../core/dtype.ts';
import { fillRandom } from '../core/random.ts';
import { type LoopsSixteen, narrowRandom, sixteen } from '../core/sixteen-bits.ts';
import { roundUp4, STRIP_LENGTH, stripRows } from '../loops/blocks.ts';
import { allocateOwn, freeOwn, type Memory } from './memory.ts';
import { AT, type Work } from './work.ts';

/** Loops by name. */
export type LoopSet = Readonly<Record<string, unknown>>;

/** Loops for float32 arrays (and 16 bits), and for float64. */
export interface Loops<L> {
  readonly float32: L;
  readonly float64: L;
  /** Float32 loops that are exact where an engine's others are not; default those. */
  readonly exact?: L;
}

/**
 * What a pass does with the arrays: looks at the gradient, at gradient and weights, updates the
 * weights by the gradient, or by numbers alone.
 */
export type Access = 'gradient' | 'both' | 'update' | 'weights';

/**
 * Numbers as the loops take them, and the loops to take. Float64 and 16-bit arrays go where the
 * type says Float32Array, as all twins of a loop have one shape.
 */
export interface Operand<L> {
  loops: L;
  array: Float32Array;
  /** Where they begin in `array`. */
  at: number;
}

/** Elements that are opened at a time. */
export function stripLength({ dtype, cut }: Work): number {
  const { matrix, rows, cols, unit } = cut;
  if (!isSixteen(dtype)) return matrix ? unit * cols : unit;
  return matrix ? Math.min(stripRows(cols), roundUp4(rows)) * cols : Math.min(STRIP_LENGTH, cols);
}

/**
 * The only scratch memory of a step: two strips for 16-bit arrays, one row of column sums, random
 * bits. It grows to the widest matrix before the first write, then nothing is allocated any more.
 */
export class Room {
  columns: Float64Array = new Float64Array(0);
  /** One for gradients, one for weights, and the bits of each. */
  strips: readonly Float32Array[] = [];
  words: readonly Uint32Array[] = [];
  random: Uint32Array = new Uint32Array(0);
  readonly #memory: Memory;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  /** Makes room for a work's passes. */
  reserve(work: Work): void {
    const { cut, dtype, numbers } = work;
    if (cut.blocksEach > 1 && cut.matrix && this.columns.length < cut.cols) this.columns = new Float64Array(cut.cols);
    if (!isSixteen(dtype)) return;
    const length = stripLength(work);
    if (this.strips.length === 0 || this.strips[0]!.length < length) this.#grow(length);
    if (numbers[AT.stochastic] === 1 && this.random.length < length + 2) this.random = new Uint32Array(length + 2);
  }

  #grow(length: number): void {
    this.dispose();
    const made: Float32Array[] = [];
    try {
      for (let i = 0; i < 2; i++) made.push(allocateOwn(this.#memory, 'float32', length) as Float32Array);
    } catch (error) {
      for (const strip of made) freeOwn(this.#memory, strip);
      throw error;
    }
    this.words = made.map((strip) => new Uint32Array(strip.buffer, strip.byteOffset, length));
    this.strips = made;
  }

  /** Gives the strips back; they are allocated anew when needed. */
  dispose(): void {
    for (const strip of this.strips) freeOwn(this.#memory, strip);
    this.strips = [];
    this.words = [];
  }
}

const none = new Float32Array(0);

/** One rule's view of the stretch at hand. Only the passes' runners open and close it. */
export class Strip<L extends object = object> {
  readonly g: Operand<L>;
  readonly p: Operand<L>;
  readonly room: Room;
  readonly #loops: Loops<L>;
  /** The engine's conversions; null: those of TypeScript, and look-ups where there are any. */
  readonly #convert: LoopsSixteen | null;
  /** Look-up loops by format, and the strip into which they write. */
  readonly #lookUps: (L | null)[] = [null, null];
  #lookUpsFor: Float32Array | undefined;

  constructor(loops: Loops<L>, convert: LoopsSixteen | null, room: Room) {
    this.#loops = loops;
    this.#convert = convert;
    this.room = room;
    this.g = { loops: loops.float32, array: none, at: 0 };
    this.p = { loops: loops.float32, array: none, at: 0 };
  }

  /** Everything that running passes over this work allocates. */
  reserve(work: Work): void {
    this.room.reserve(work);
    if (isSixteen(work.dtype)) this.#lookUp(work.dtype === 'float16');
  }

  /** Opens `n` elements from `from`; `lookUp`: the pass's loops have look-up twins. */
  open(work: Work, access: Access, lookUp: boolean, from: number, n: number): void {
    const { g, p } = this;
    const { dtype } = work;
    if (isSixteen(dtype)) {
      this.#openSixteen(work, dtype === 'float16', access, lookUp, from, n);
      return;
    }
    g.loops = p.loops = dtype === 'float64' ? this.#loops.float64 : this.#singles(work);
    g.array = work.g as Float32Array;
    p.array = work.p as Float32Array;
    g.at = p.at = from;
  }

  /** The float32 loops for a work's options. */
  #singles({ numbers }: Work): L {
    const { float32, exact } = this.#loops;
    return numbers[AT.exact] === 1 ? (exact ?? float32) : float32;
  }

  #openSixteen(work: Work, half: boolean, access: Access, lookUp: boolean, from: number, n: number): void {
    const { g, p } = this;
    // An update takes both arrays with one kind of loops, from one place.
    const moved = access === 'update' && work.g.BYTES_PER_ELEMENT !== 2;
    g.loops = p.loops = this.#singles(work);
    if (access !== 'weights') this.#read(g, 0, work.g, half, lookUp, from, n);
    if (access !== 'gradient') this.#read(p, 1, work.p, half, lookUp && !moved, from, n);
    if (!moved) return;
    g.array = this.room.strips[0]!;
    g.array.set((work.g as Float32Array).subarray(from, from + n));
    g.at = 0;
  }

  /** 16-bit numbers in place or widened into a strip; others where they are. */
  #read(
    operand: Operand<L>,
    which: 0 | 1,
    array: NumericArray,
    half: boolean,
    lookUp: boolean,
    from: number,
    n: number,
  ): void {
    operand.at = from;
    operand.array = array as Float32Array;
    if (array.BYTES_PER_ELEMENT !== 2) return;
    const twins = lookUp ? this.#lookUp(half) : null;
    if (twins !== null) {
      operand.loops = twins;
      return;
    }
    (this.#convert ?? sixteen).widen(half, array as Uint16Array, from, n, this.room.words[which]!);
    operand.array = this.room.strips[which]!;
    operand.at = 0;
  }

  /** The look-up twins that write into the present strip, or null where there are none. */
  #lookUp(half: boolean): L | null {
    if (this.#convert !== null || sixteen.lookUp === undefined) return null;
    const out = this.room.strips[1]!;
    if (this.#lookUpsFor !== out) {
      this.#lookUpsFor = out;
      this.#lookUps[0] = this.#lookUps[1] = null;
    }
    return (this.#lookUps[half ? 1 : 0] ??= replaced(this.#loops.float32, sixteen.lookUp(half, out)));
  }

  /** Rounds updated 16-bit weights back into their array. */
  close({ p, dtype, numbers }: Work, access: Access, from: number, n: number): void {
    if ((access !== 'update' && access !== 'weights') || !isSixteen(dtype)) return;
    const half = dtype === 'float16';
    const words = this.room.words[1]!;
    if (numbers[AT.stochastic] !== 1) {
      (this.#convert ?? sixteen).narrow(half, words, n, p as Uint16Array, from);
      return;
    }
    const { random } = this.room;
    fillRandom(numbers[AT.key0]!, numbers[AT.key1]!, numbers[AT.step]!, from, n, random);
    narrowRandom(half, words, n, p as Uint16Array, from, random);
  }

  /** Lets go of the arrays: a gradient's memory is to be free as soon as its owner drops it. */
  release(): void {
    this.g.array = this.p.array = none;
  }
}

/** The loops with those of `others` that have the same names in their place. */
export function replaced<L extends object>(own: L, others: LoopSet = {}): L {
  const loops = { ...own };
  for (const name of Object.keys(own) as (keyof L & string)[]) {
    if (others[name] !== undefined) loops[name] = others[name] as L[typeof name];
  }
  return loops;
}
