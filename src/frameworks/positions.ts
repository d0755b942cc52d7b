/**
 * Which saved variable is which live one. A framework names its variables anew in each session
 * (`dense_Dense1/kernel`, then `dense_Dense1/kernel_1`), so they go by position.
 */

/** A name without the number by which a framework made it unique. */
function bare(name: string): string {
  return name.replace(/_\d+$/, '');
}

/** The places of names that no other has; of those that several have, none. */
function uniquePlaces(names: readonly string[]): Map<string, number> {
  const places = new Map<string, number>();
  for (const [i, name] of names.entries()) places.set(name, places.has(name) ? -1 : i);
  return places;
}

/**
 * For each saved variable the place of the live one that it is, or undefined where that is not
 * here: by position where there are as many of them. Else some are frozen here that were not there,
 * or the other way round; then by name, as far as names tell.
 *
 * @throws RangeError when there are more or fewer, and the names of the fewer do not tell.
 */
export function placesOf(
  where: string,
  saved: readonly string[],
  live: readonly string[],
): readonly (number | undefined)[] {
  if (saved.length === live.length) return saved.map((_, i) => i);
  const found = placesByName(saved, live);
  const count = found.filter((place) => place !== undefined).length;
  if (count === Math.min(saved.length, live.length)) return found;
  throw new RangeError(
    `${where}: the state is of ${saved.length} variables (${brief(saved)}), and there are ${live.length} here ` +
      `(${brief(live)}); train the same variables, in the same order`,
  );
}

/** {@link placesOf} by name alone; undefined where that does not tell. */
export function placesByName(saved: readonly string[], live: readonly string[]): (number | undefined)[] {
  const liveAt = uniquePlaces(live.map(bare));
  const savedAt = uniquePlaces(saved.map(bare));
  return saved.map((name) => {
    const place = savedAt.get(bare(name)) === -1 ? -1 : (liveAt.get(bare(name)) ?? -1);
    return place < 0 ? undefined : place;
  });
}

function brief(names: readonly string[]): string {
  return names.length > 3 ? `${names.slice(0, 3).join(', ')}, ...` : names.join(', ');
}
