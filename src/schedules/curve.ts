/**
 * What a curve is, and how one is made: a table of options (check and default of each in one row)
 * and a function from the checked options to the factor of a step.
 *
 * @module
 */
import { integer, number, options } from '../core/check.ts';

/** Maps a step (0, 1, 2, ...) to the factor by which the initial learning rate is multiplied. */
export type Curve = (step: number) => number;

/** Checks one option: `label` begins the message of its error. */
export type OptionCheck<T> = (label: string, value: unknown) => T;

/**
 * One option of a curve: its check, and what stands for it when it is left out. Without a default
 * it is needed.
 */
export type CurveOption<T> = readonly [check: OptionCheck<T>, fallback?: T];

/** The options of a curve by name. */
export type CurveOptions<O> = { readonly [K in keyof O]-?: CurveOption<Exclude<O[K], undefined>> };

/** The options with their defaults, checked. */
export type CurveValues<O> = { readonly [K in keyof O]-?: Exclude<O[K], undefined> };

/** The one argument of a curve: it may be left out where no option is needed. */
export type CurveArguments<O> = Record<never, never> extends O ? [o?: O] : [o: O];

/**
 * A kind of curve: called with its options it makes a {@link Curve}, and it carries their names and
 * defaults.
 */
export interface CurveKind<O extends object> {
  (...o: CurveArguments<O>): Curve;
  /** Check and default of every option. @internal */
  readonly options: CurveOptions<O>;
  /** The curve of options that were checked before; `where` begins the messages. @internal */
  readonly of: (values: CurveValues<O>, where: string) => Curve;
}

/**
 * A kind of curve. Refuses unknown options, checks the known ones, and lets only steps through to
 * `of`. Messages begin with `name`, or with what was called in its place.
 */
export function curve<O extends object>(
  name: string,
  table: CurveOptions<NoInfer<O>>,
  of: (values: CurveValues<NoInfer<O>>, where: string) => Curve,
): CurveKind<O> {
  const guarded = (values: CurveValues<O>, where: string): Curve => {
    const factor = of(values, where);
    return (step) => factor(integer(`${where}: step`, step));
  };
  // The computed key names the function.
  const kind = { [name]: (...[o]: CurveArguments<O>): Curve => guarded(readOptions(name, table, o), name) };
  return Object.assign(kind[name]!, { options: table, of: guarded });
}

/** The options of a table, checked in its order. */
export function readOptions<O>(where: string, table: CurveOptions<O>, o: unknown): CurveValues<O> {
  const given = options(where, o, Object.keys(table));
  const values: Record<string, unknown> = {};
  for (const [key, [check, fallback]] of Object.entries<CurveOption<unknown>>(table)) {
    // null is a value: it is refused where the option's type does not have it.
    values[key] = check(`${where}: ${key}`, given[key] === undefined ? fallback : given[key]);
  }
  return values as CurveValues<O>;
}

/** A number of steps, at least 1. */
export function someSteps(label: string, value: unknown): number {
  return integer(label, value, { min: 1 });
}

/** A finite number, at least 0. */
export function atLeast0(label: string, value: unknown): number {
  return number(label, value, { min: 0 });
}

/** A finite number above 0. */
export function above0(label: string, value: unknown): number {
  return number(label, value, { above: 0 });
}

/** A fraction from 0 to 1. */
export function fraction(label: string, value: unknown): number {
  return number(label, value, { min: 0, max: 1 });
}

/** The same, or null: Python's None. */
function orNull<T>(check: OptionCheck<T>): OptionCheck<T | null> {
  return (label, value) => (value === null ? null : check(label, value));
}

export const stepsOrNull: OptionCheck<number | null> = /* @__PURE__ */ orNull(integer);
export const someStepsOrNull: OptionCheck<number | null> = /* @__PURE__ */ orNull(someSteps);
export const atLeast0OrNull: OptionCheck<number | null> = /* @__PURE__ */ orNull(atLeast0);
export const fractionOrNull: OptionCheck<number | null> = /* @__PURE__ */ orNull(fraction);
