/**
 * An optimizer's state as a list of named numbers and arrays, as TensorFlow.js keeps an optimizer's
 * weights: `variable/key` for each, variable by variable.
 */
import type { OptimizerStateDict, StateTensor } from '../core/dtype.ts';
import type { Parameter } from '../core/parameter.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import type { placesOf } from './positions.ts';

/** A number or an array of a state. */
export type NamedValue = number | StateTensor;

/** What is saved for one variable. */
export interface VariableState {
  readonly name: string;
  /** undefined: the variable has no state yet. */
  readonly state: Readonly<Record<string, NamedValue>> | undefined;
}

/** Stands for a variable without state, so that positions stay right. */
const STATELESS = 'stateless';

/** All values with their names. */
export function toNamed(variables: readonly VariableState[]): [name: string, value: NamedValue][] {
  return variables.flatMap(({ name, state }) =>
    Object.entries(state ?? { [STATELESS]: 0 }).map(([key, value]): [string, NamedValue] => [`${name}/${key}`, value]),
  );
}

/** The variables in the order in which they are named. */
export function fromNamed(values: Iterable<readonly [name: string, value: NamedValue]>): VariableState[] {
  const variables = new Map<string, Record<string, NamedValue> | undefined>();
  for (const [path, value] of values) {
    const slash = path.lastIndexOf('/');
    const [name, key] = [path.slice(0, Math.max(slash, 0)), path.slice(slash + 1)];
    variables.set(name, key === STATELESS ? undefined : { ...variables.get(name), [key]: value });
  }
  return [...variables].map(([name, state]) => ({ name, state }));
}

/**
 * Loads the states of these parameters into their optimizer, all or none, and returns those that
 * found none of them.
 *
 * @param options - `match`: which state is whose. `beside`: the state of other parameters, by
 * index; what is neither there nor among the states begins anew. `all`: a state that finds no
 * parameter is refused.
 */
export function loadStates(
  where: string,
  optimizer: Optimizer,
  parameters: readonly Parameter[],
  states: readonly VariableState[],
  options: {
    match: typeof placesOf;
    beside?: OptimizerStateDict['state'];
    all?: boolean;
  },
): VariableState[] {
  const saved = states.map(({ name }) => name);
  const live = parameters.map(({ name }) => name!);
  const places = options.match(where, saved, live);
  const state: OptimizerStateDict['state'] = { ...options.beside };
  for (const [i, { name, state: entry }] of states.entries()) {
    const place = places[i];
    if (place === undefined && options.all === true) {
      const path = `${name}/${Object.keys(entry ?? {})[0] ?? STATELESS}`;
      throw new RangeError(`${where}: "${path}" is the state of no variable here; known are ${live.join(', ')}`);
    }
    if (place === undefined || entry === undefined) continue;
    const index = optimizer.parameters.indexOf(parameters[place]!);
    if (index < 0) throw new RangeError(`${where}: "${name}" has a state, but make left its parameter out`);
    state[index] = entry;
  }
  optimizer.loadStateDict({ ...optimizer.stateDict(), state });
  return states.filter((_, i) => places[i] === undefined);
}
