/**
 * Which live parameter each saved one is: by name where both sides have names, else by position.
 */
import { show } from './check.ts';

type Name = string | undefined;

/**
 * The live position of each saved one. Where all on both sides have names of their own, the names
 * say which is which, whatever the order; else it is the position, and two names that differ there
 * are refused. There are as many on both sides.
 *
 * @throws RangeError that names what does not match.
 */
export function matchNames(where: string, saved: readonly Name[], live: readonly Name[]): number[] {
  const places = placesOf(live);
  if (places === null || placesOf(saved) === null) {
    return saved.map((name, i) => {
      if (name !== undefined && live[i] !== undefined && name !== live[i]) {
        throw new RangeError(`${where}: ${show(name)} was saved where ${show(live[i])} is here; names must match`);
      }
      return i;
    });
  }
  const unknown = saved.find((name) => !places.has(name!));
  if (unknown !== undefined) {
    const known = new Set(saved);
    const missing = live.find((name) => !known.has(name));
    throw new RangeError(
      `${where}: ${show(unknown)} was saved but is not here, and ${show(missing)} is here but was not saved; ` +
        'give the parameters the names they were saved under',
    );
  }
  return saved.map((name) => places.get(name!)!);
}

/** Places by name; null where one has none, or two have the same. */
function placesOf(names: readonly Name[]): Map<string, number> | null {
  const places = new Map<string, number>();
  for (const [i, name] of names.entries()) {
    if (name === undefined || places.has(name)) return null;
    places.set(name, i);
  }
  return places;
}
