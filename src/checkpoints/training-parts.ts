/** The parts of a run, checked at the door. */
import type { StateValue } from '../core/dtype.ts';
import { Parameter } from '../core/parameter.ts';
import { brief, hasHalfPair, quoted, some } from '../formats/quote.ts';

/**
 * What an optimizer, a scheduler and an accumulator have in common: a state that can be saved and
 * put in place.
 */
export interface Stateful {
  /** The state as plain data. */
  stateDict(): unknown;
  /** Checks a state and returns the function that puts it in place and cannot fail. @internal */
  prepareLoad(stateDict: StateValue): () => void;
}

/** What the library's own objects have beside that. @internal */
export interface OwnStateful extends Stateful {
  /** With `adopt`, the arrays of the state may become the live ones. */
  prepareLoad(stateDict: StateValue, options?: { adopt?: boolean }): () => void;
  /** The state dict with the live arrays themselves. */
  liveStateDict?(): unknown;
  /** What the state is about, in the state dict's order. */
  readonly parameters?: readonly Parameter[];
  readonly paramGroups?: readonly { readonly params: readonly Parameter[]; lr?: unknown }[];
}

/** The parts of a run; each may be left out. */
export interface TrainingParts {
  /** The weights; each needs a name of its own. */
  parameters?: Iterable<Parameter>;
  /** The optimizer. */
  optimizer?: Stateful;
  /** The scheduler. */
  scheduler?: Stateful;
  /** The gradient accumulator, also in the middle of a round. */
  accumulator?: Stateful;
  /**
   * Anything that JSON can hold: epoch, data position, seed. NaN, infinities, -0 and arrays of
   * state are kept too.
   */
  extra?: unknown;
}

/** The parts that have a state of their own. */
export const STATEFUL = ['optimizer', 'scheduler', 'accumulator'] as const;
/** One of them. */
export type StatefulKey = (typeof STATEFUL)[number];
const PARTS: readonly string[] = ['parameters', ...STATEFUL, 'extra'];

/** Parts with their parameters as a list. */
export interface CheckedParts extends Omit<TrainingParts, 'parameters' | StatefulKey> {
  readonly parameters: readonly Parameter[] | null;
  readonly optimizer?: OwnStateful;
  readonly scheduler?: OwnStateful;
  readonly accumulator?: OwnStateful;
}

/** Refuses parts that are none, and names that a file cannot tell apart. */
export function checkedParts(where: string, parts: TrainingParts): CheckedParts {
  if (typeof parts !== 'object' || parts === null) {
    throw new TypeError(
      `${where}: parts must be an object such as { parameters, optimizer, scheduler }, got ${brief(parts)}`,
    );
  }
  for (const key of Object.keys(parts)) {
    if (!PARTS.includes(key)) {
      throw new RangeError(
        `${where}: unknown part ${quoted(key)}. Known parts: ${PARTS.join(', ')}; put your own data into extra`,
      );
    }
  }
  for (const key of STATEFUL) {
    const part = parts[key];
    if (part !== undefined && (typeof part?.stateDict !== 'function' || typeof part.prepareLoad !== 'function')) {
      throw new TypeError(`${where}: ${key} must have stateDict() and prepareLoad(), got ${brief(part)}`);
    }
  }
  const { parameters, ...rest } = parts;
  return { ...rest, parameters: parameters === undefined ? null : namedParameters(where, parameters) };
}

/** Parameters as a list, each with a name of its own. */
export function namedParameters(where: string, given: Iterable<Parameter>): Parameter[] {
  if (typeof given?.[Symbol.iterator] !== 'function') {
    throw new TypeError(`${where}: parameters must be an array (or other iterable) of Parameters, got ${brief(given)}`);
  }
  const parameters = [...given];
  const names = new Set<string>();
  for (const [i, parameter] of parameters.entries()) {
    if (!(parameter instanceof Parameter)) {
      throw new TypeError(`${where}: parameters[${i}] must be a Parameter, got ${brief(parameter)}`);
    }
    const { name } = parameter;
    if (name === undefined) {
      throw new RangeError(
        `${where}: parameter ${i} has no name; in a file it needs one: new Parameter(data, shape, { name: 'weight' })`,
      );
    }
    if (names.has(name))
      throw new RangeError(`${where}: two parameters are named ${quoted(name)}; give each a name of its own`);
    if (name === '__metadata__' || /^(optimizer|scheduler|accumulator|extra)\//.test(name)) {
      throw new RangeError(`${where}: a parameter cannot be named ${quoted(name)}; the file keeps other things there`);
    }
    if (hasHalfPair(name)) {
      throw new RangeError(
        `${where}: the name ${quoted(name)} holds half a surrogate pair, which no file can; rename it`,
      );
    }
    names.add(name);
  }
  return parameters;
}

/**
 * The parameters that a part's state is about, in the order of its state dict; null when it does
 * not tell.
 */
export function parametersOf(part: OwnStateful): readonly Parameter[] | null {
  const { paramGroups } = part;
  const listed = Array.isArray(paramGroups) ? paramGroups.flatMap((group) => group.params) : part.parameters;
  return Array.isArray(listed) && listed.every((one) => one instanceof Parameter) ? listed : null;
}

/** Their names; null unless each has one of its own that a file can hold. */
export function namesOf(part: OwnStateful): string[] | null {
  return usableNames(parametersOf(part)?.map((parameter) => parameter.name));
}

/** A list of different strings, or null. */
export function usableNames(names: readonly unknown[] | undefined): string[] | null {
  if (names === undefined || names.length === 0) return null;
  if (!names.every((name) => typeof name === 'string' && !hasHalfPair(name))) return null;
  return new Set(names).size === names.length ? (names as string[]) : null;
}

/**
 * What is on one side only, in a few words: `"a", "b" and 3 more are only in the file, "c" only
 * here`.
 */
export function differenceOf(saved: readonly string[], live: readonly string[]): string | null {
  const here = new Set(live);
  const there = new Set(saved);
  const onlyThere = saved.filter((name) => !here.has(name));
  const onlyHere = live.filter((name) => !there.has(name));
  const parts: string[] = [];
  if (onlyHere.length > 0) parts.push(`${some(onlyHere, 2)} only here`);
  if (onlyThere.length > 0) parts.push(`${some(onlyThere, 2)} only in the file`);
  return parts.length === 0 ? null : parts.join(', ');
}
