/**
 * The private half of `Kernels`: which loops do the work, and who runs the passes. An engine has a
 * loop of its own or leaves it to the rule's; a rule that no engine knows of runs on all of them.
 */
import type { NumericArray } from '../core/dtype.ts';
import type { Parameter } from '../core/parameter.ts';
import type { LoopsSixteen } from '../core/sixteen-bits.ts';
import type { StateArray } from '../core/state-dict.ts';
import type { Pass } from './pass.ts';
import { type LoopSet, type Loops, replaced, type Strip } from './strip.ts';
import type { Work } from './work.ts';

/** What an engine has of its own. */
export interface Engine {
  /**
   * Loops in place of a rule's own of that name, same arguments; same bits, but for engines that
   * say otherwise (`exact`).
   */
  readonly float32?: LoopSet;
  /** Those of the same bits, for options that ask for them; default `float32`. */
  readonly exact?: LoopSet;
  /** The same for float64. */
  readonly float64?: LoopSet;
  /** Conversions of 16-bit arrays; default those of TypeScript, and its look-up loops. */
  readonly sixteen?: LoopsSixteen;
  /**
   * Until `forget`, only the loops write to this array: a copy of it may be kept from
   * pass to pass.
   */
  keep?(array: NumericArray): void;
  /** The end of what `keep` said. */
  forget?(): void;
  /** Puts 0 for numbers below `limit` in magnitude, in a state array, between two updates. */
  flush?(array: Float32Array, limit: number): void;
  /** Zeros for a rule's numbers and sums; default `new Float64Array`. */
  scratch?(length: number): Float64Array;
  /** What `stepAsync` runs a step with; default: it is done at once. */
  readonly executor?: Executor;
  /** For arrays that are not in this machine's memory. */
  readonly device?: Device;
}

/** Does whole steps where the arrays are; what stands for them here has no elements. */
export interface Device {
  /** A parameter's gradient, after the checks of `checkedGradient`. */
  gradient(where: string, parameter: Parameter, index: number): NumericArray | null;
  /** All of a step, in the place of its passes: counts it, and the parameters' updates. */
  step(course: Course, slots: readonly object[], rule: object, memo: unknown): void;
  /** The numbers of a state array, to be saved. */
  read(array: StateArray): StateArray;
}

/** A step as executors see it: passes over the works of one optimizer, one after the other. */
export interface Course {
  /** For what an executor remembers of an optimizer. */
  readonly owner: object;
  readonly passes: readonly Pass[];
  /** What the calling thread runs passes with. */
  readonly strip: Strip;
  readonly works: readonly Work[];
  /** The pass that is to be run now, and over which works. */
  readonly pass: number;
  readonly from: number;
  readonly to: number;
  /**
   * Prepares the next pass; false when the step is over.
   *
   * @param reach - One past the last work that may be taken together with the one at `from`.
   */
  next(reach: (pass: number, from: number) => number): boolean;
  /** How messages call the parameter of a work. */
  describe(work: number): string;
}

/** Runs the passes of a step somewhere else than in the calling thread alone; knows no rule. */
export interface Executor {
  /** All passes of a step; the steps of several optimizers wait for one another. */
  run(course: Course): Promise<void>;
  /** Forgets what it knows of an optimizer. */
  forget(owner: object): void;
}

/** Under which key kernels carry their engine: shared by copies of this package in one program. */
export const ENGINE: unique symbol = Symbol.for('tensorless.engine.1');

/** A rule's loops, those of the engine in the place of its own. */
export function loopsOf<L extends object>({ float32, float64, exact }: Engine, own: Loops<L>): Loops<L> {
  return {
    float32: replaced(own.float32, float32),
    float64: replaced(own.float64, float64),
    exact: replaced(own.float32, exact ?? float32),
  };
}
