/**
 * Rules that treat every element alike: one look at the gradient, one update. An optimizer of a few
 * lines of arithmetic is a loop in `loops/` and a call of {@link elementwise}.
 */
import { flatBlock, type Pass } from '../engine/pass.ts';
import type { Loops, Strip } from '../engine/strip.ts';
import { AT, OWN, places, total, type Work } from '../engine/work.ts';
import { sumSquares as sumSquares64 } from '../loops/generated/sums64.ts';
import { sumSquares } from '../loops/sums.ts';
import type { ParamGroup } from './param-group.ts';
import { type Negligible, type Rule, type Slot, twins } from './rule.ts';

/**
 * The sum of squares of `length` numbers from `offset`; from an engine that has it sooner, 0 when
 * they are finite, else NaN.
 */
export type CheckLoop = (x: Float32Array, offset: number, length: number) => number;

/** The loop by which a rule finds out whether a gradient is finite. */
export interface CheckLoops {
  readonly check: CheckLoop;
}

/** {@link CheckLoops} of every rule. */
export const check: Loops<CheckLoops> = twins({ check: sumSquares }, { check: sumSquares64 });

function sumGradient({ g }: Strip<CheckLoops>, { sums }: Work, _from: number, n: number, into: number): void {
  sums[into]! += g.loops.check(g.array, g.at, n);
}

/** Pass 0 of a flat parameter: the sum of G², where it is wanted, as the first of the sums. */
export function checkBlock(strip: Strip<CheckLoops>, work: Work, block: number): void {
  if (work.numbers[AT.check] === 1) flatBlock(strip, work, block, 'gradient', true, sumGradient);
}

/** The one update of an elementwise rule: weights, gradient and state of `n` elements. */
export type Update<L extends object, S extends string> = (
  /** `p` and `g`: the loops to take, the arrays, and where the elements begin in them. */
  strip: Strip<L>,
  /**
   * `work.state`: the rule's arrays, from element `from` on. `work.numbers`: by the rule's places.
   */
  work: Work<S>,
  from: number,
  n: number,
) => void;

/** What an elementwise rule has to say. */
export interface Elementwise<O, L extends object, S extends string, M>
  extends Omit<
    Rule<O, L & CheckLoops, M>,
    'matrices' | 'sums' | 'numbers' | 'loops' | 'passes' | 'before' | 'gradientSum' | 'state'
  > {
  /** State arrays of the parameter's own shape. */
  readonly state: readonly {
    readonly key: S;
    when?(group: ParamGroup<O>): boolean;
    readonly begun?: number;
    readonly negligible?: Negligible;
  }[];
  /** The places of its numbers, as {@link places} makes them from {@link OWN} on. */
  readonly numbers: Readonly<Record<string, number>>;
  readonly loops: { readonly float32: L; readonly float64: Readonly<Record<keyof L, unknown>> };
  /** Sets the numbers for a step, from the group's options and the step count. */
  prepare(numbers: Float64Array, group: ParamGroup<O>, step: number, memo: M): void;
  readonly update: Update<L, S>;
}

/** A rule of one loop over all elements. */
export function elementwise<O, L extends object, S extends string, M = unknown>(
  given: Elementwise<O, L, S, M>,
): Rule<O, L & CheckLoops, M> {
  const { state, numbers, loops, prepare, update, ...rest } = given;
  const pass: Pass = {
    writes: true,
    block: (strip, work, block) => flatBlock(strip as Strip<L>, work as Work<S>, block, 'update', false, update),
  };
  return {
    ...rest,
    state: state.map((row) => ({ ...row, shape: (shape) => shape })),
    matrices: false,
    sums: 1,
    places: numbers,
    numbers: OWN + Object.keys(numbers).length,
    loops: twins({ ...loops.float32, ...check.float32 }, { ...loops.float64, ...check.float64 }),
    passes: [{ writes: false, block: checkBlock }, pass],
    before({ work, group, step }: Slot<ParamGroup<O>>, _pass, memo) {
      prepare(work.numbers, group, step, memo);
    },
    gradientSum: (work) => total(work, 0),
  };
}
