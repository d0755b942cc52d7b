/**
 * What tells one optimizer from another, all of it in one object: options, state, passes, and the
 * arithmetic between them. What all optimizers share is in the files beside this one.
 */
import { boolean, number, show } from '../core/check.ts';
import type { Parameter } from '../core/parameter.ts';
import type { Pass } from '../engine/pass.ts';
import type { Loops } from '../engine/strip.ts';
import type { Cut, Work } from '../engine/work.ts';
import type { CommonOptions, ParamGroup } from './param-group.ts';

/** Validates one option's value and returns it (arrays as copies). */
export type OptionCheck = (label: string, value: unknown) => unknown;

/** One option: a row of a rule's table. Its key in state dicts is the name in snake case. */
export interface Option {
  readonly default: unknown;
  readonly check: OptionCheck;
  /**
   * How PyTorch's state dicts have it. `'always'`: a saved group without it is refused;
   * `'newer'`: older releases lack it, and the default stands for it; `'never'`: it is this
   * library's own, saved only where it differs from the default.
   */
  readonly saved: 'always' | 'newer' | 'never';
}

/**
 * One state array of a parameter: a row of a rule's table, in the order of PyTorch's state dict.
 */
export interface StateRow<G> {
  /** Its key in the state dict. */
  readonly key: string;
  /** Its shape; null where a parameter that is cut so has none. */
  shape(shape: readonly number[], cut: Cut): readonly number[] | null;
  /** Whether a group's options ask for it; default: always. */
  when?(group: G): boolean;
  /**
   * The place of a number that is 0 until the first update of the array sets it, and NaN after the
   * array was loaded. States may lack such an array, or have null for it.
   */
  readonly begun?: number;
  /** What is as good as 0 in it. */
  readonly negligible?: Negligible;
}

/**
 * Below what a decaying number becomes 0 every {@link FLUSH_STEPS}th update: float32 arrays where
 * an engine's arithmetic is in float32 (`Engine.flush`), float64 arrays on every engine. Else it
 * sinks to the subnormal numbers, which take Intel's processors up to 160 times as long.
 */
export interface Negligible {
  readonly float32?: number;
  readonly float64?: number;
}

/**
 * Of a decaying numerator. In float64 one of decay 0.5 is subnormal after 1,022 updates, one of 0.9
 * after 6,700; one of 0.1 does not get from here to there until the next time.
 */
export const SUNK: Negligible = { float32: 2 ** -100, float64: 2 ** -800 };

/** Updates of a parameter between two at which {@link Negligible} numbers become 0. */
export const FLUSH_STEPS = 64;

/** A parameter with its group and work. */
export interface Slot<G = ParamGroup, W extends Work = Work> {
  readonly parameter: Parameter;
  /** Its number over all groups: the key in the state dict. */
  readonly index: number;
  readonly group: G;
  /** The group's number, and the parameter's in it. */
  readonly groupIndex: number;
  readonly place: number;
  /** Of the parameters with this name before it, one more; 0 for those without a name. */
  readonly occurrence: number;
  readonly work: W;
  /** Updates so far. 0: no state yet. */
  step: number;
  /** State arrays by their key, also those that the options at hand have no use for. */
  readonly arrays: Map<string, Float32Array | Float64Array>;
  /** For which options the work's state is bound; see `Members.useOf`. */
  bound: number;
}

/** One optimizer's own part. `O` its options, `L` its loops, `M` what it remembers in a step. */
export interface Rule<O = object, L extends object = object, M = unknown> {
  /** Name of the class, for messages, and by which workers know the rule. */
  readonly name: string;
  /** In the order of PyTorch's state dict. */
  readonly options: { readonly [P in Exclude<keyof O, keyof CommonOptions>]-?: Option };
  /**
   * Keys that PyTorch writes into groups and nothing here depends on (true, false or null), with
   * what they are in a group that has none. Constructors do not take them.
   */
  readonly foreign?: Readonly<Record<string, boolean | null>>;
  /**
   * Refuses options that do not go together. `construction` is false for a loaded or live group.
   */
  checkGroup?(where: string, group: ParamGroup<O>, construction: boolean): void;
  /**
   * Refuses a saved group in which PyTorch would compute something else. `group`: what it is read
   * as.
   */
  checkSaved?(where: string, group: ParamGroup<O>): void;
  readonly state: readonly StateRow<ParamGroup<O>>[];
  /** Whether a state without `step` is taken, as one of at least one update. */
  readonly stepless?: boolean;
  /** Numbers of {@link Work.numbers} that are part of the state, by their key. */
  readonly savedNumbers?: Readonly<Record<string, number>>;
  /** The places of its own numbers, for engines that have its formula in another language. */
  readonly places?: Readonly<Record<string, number>>;
  /** Whether parameters of rank 2 and more are cut as matrices. */
  readonly matrices: boolean;
  /** How many {@link Work.numbers} there are, and partial sums a block. */
  readonly numbers: number;
  readonly sums: number;
  /** Lengths of the work's own arrays. */
  own?(cut: Cut): Readonly<Record<string, number>>;
  readonly loops: Loops<L>;
  /**
   * Whether a group's options ask for loops of the reference's bits, as float32 arithmetic could
   * not tell numbers apart that matter.
   */
  exact?(group: ParamGroup<O>, cut: Cut): boolean;
  /** The first writes no weight and no state, so that a step can still be refused after it. */
  readonly passes: readonly Pass[];
  /** What is remembered from parameter to parameter of an optimizer. */
  memo?(): M;
  /**
   * What comes before a pass other than the first, on the calling thread: the numbers that it
   * needs, and the state that the sums so far change. O(rows + columns), allocates nothing.
   */
  before(slot: Slot<ParamGroup<O>>, pass: number, memo: M): void;
  /**
   * The sum of G² that the first pass found, over the whole parameter; NaN for a NaN among them.
   */
  gradientSum(work: Work): number;
}

/** A finite number of at least 0. */
export const nonNegative: OptionCheck = (name, value) => number(name, value, { min: 0 });

/** true or false. */
export const flag: OptionCheck = (name, value) => boolean(name, value);

/** Two numbers, each at least 0 and, where that is given, less than `below`. */
export function pairOf(example: string, below?: number): OptionCheck {
  const limits = below === undefined ? { min: 0 } : { min: 0, below };
  return (name, value) => {
    if (!Array.isArray(value) || value.length !== 2) {
      throw new TypeError(`${name} must be two numbers, such as ${example}, got ${show(value)}`);
    }
    return [number(`${name}[0]`, value[0], limits), number(`${name}[1]`, value[1], limits)];
  };
}

/** A row of a rule's table of options. */
export function option(value: unknown, check: OptionCheck, saved: Option['saved'] = 'always'): Option {
  return { default: Array.isArray(value) ? Object.freeze(value) : value, check, saved };
}

/**
 * A rule's loops. Float64 arrays go where the types of the float32 loops say Float32Array, as all
 * twins of a loop have one shape.
 */
export function twins<L extends object>(float32: L, float64: Readonly<Record<keyof L, unknown>>): Loops<L> {
  return { float32, float64: float64 as L };
}
