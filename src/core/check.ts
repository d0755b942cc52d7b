/**
 * Validation at the door. A message names the argument, what was expected, what came, and the
 * repair; it is only built when throwing. TypeError: the wrong kind of value; RangeError: the right
 * kind, a wrong value.
 */

/** How a value is shown in an error message: short, and telling `"1"` from `1`. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return value.name ? `function ${value.name}` : 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  if (ArrayBuffer.isView(value)) return `${className(value)}(${(value as Uint8Array).length ?? value.byteLength})`;
  if (Array.isArray(value)) {
    const shown = value.slice(0, 4).map(show).join(', ');
    return `[${shown}${value.length > 4 ? `, ... ${value.length} items` : ''}]`;
  }
  return className(value) === 'Object'
    ? `an object with keys ${list(Object.keys(value).slice(0, 6))}`
    : className(value);
}

/** The constructor's name, without running a getter of a hostile object. */
function className(value: object): string {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null ? 'Object' : String(prototype.constructor?.name ?? 'Object');
}

/** `"a", "b", "c"`: for the lists of what is known. */
export function list(names: Iterable<string>): string {
  return [...names].map((name) => JSON.stringify(name)).join(', ');
}

/** Edit distance (Levenshtein), for "did you mean". */
function distance(a: string, b: string): number {
  let row = [...b, ''].map((_, j) => j);
  for (const [i, x] of [...a].entries()) {
    let left = i;
    row = row.map((up, j) => {
      left = j === 0 ? i + 1 : Math.min(left + 1, up + 1, row[j - 1]! + (x === b[j - 1] ? 0 : 1));
      return left;
    });
  }
  return row.at(-1)!;
}

/**
 * ` Did you mean "x"?` for the nearest known name, or nothing when none is near. Case and
 * underscores do not count, and a name with another number in it (float64, float32) is not near.
 */
function didYouMean(name: string, known: readonly string[]): string {
  const fold = (s: string): string => s.toLowerCase().replaceAll(/[_-]/g, '');
  let best = '';
  let least = Math.max(2, Math.floor(name.length / 3)) + 1;
  const digits = name.replaceAll(/\D/g, '');
  for (const candidate of known) {
    const others = candidate.replaceAll(/\D/g, '');
    if (digits !== '' && others !== '' && others !== digits) continue;
    const d = distance(fold(name), fold(candidate));
    if (d < least) {
      best = ` Did you mean ${JSON.stringify(candidate)}?`;
      least = d;
    }
  }
  return best;
}

/** Refuses a name that is not known. */
export function unknownName(label: string, what: 'option' | 'key', name: string, known: readonly string[]): never {
  throw new RangeError(
    `${label}: unknown ${what} ${show(name)}.${didYouMean(name, known)} Known ${what}s: ${list(known)}`,
  );
}

/** Whether this is an object, not an array or typed array. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

/** An object, not an array or typed array. */
export function record(label: string, value: unknown): Record<string, unknown> {
  if (isRecord(value)) return value;
  throw new TypeError(`${label} must be an object, got ${show(value)}`);
}

/** Own options of a known name; `undefined` values count as absent. */
export function options(label: string, value: unknown, known: readonly string[]): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  const given = value === undefined ? result : value;
  if (!isRecord(given)) {
    const repair = `give them by name, as { ${known[0]}: ... }`;
    throw new TypeError(`${label}: options must be an object, got ${show(value)}; ${repair}`);
  }
  for (const key of Object.keys(given)) {
    if (!known.includes(key)) unknownName(label, 'option', key, known);
    if (given[key] !== undefined) result[key] = given[key];
  }
  return result;
}

/** Limits of a number: `min`/`max` are allowed values, `above`/`below` are not. */
export interface Limits {
  readonly min?: number;
  readonly max?: number;
  readonly above?: number;
  readonly below?: number;
}

function within(label: string, value: unknown, kind: string, isKind: (x: unknown) => boolean, limits: Limits): number {
  const { min, max, above, below } = limits;
  const x = value as number;
  // A limit that is not there is undefined, and no comparison with it holds; NaN is of neither
  // kind.
  if (isKind(x) && !(x < min!) && !(x > max!) && !(x <= above!) && !(x >= below!)) return x;
  const texts = { min: 'at least', above: 'greater than', max: 'at most', below: 'less than' } as const;
  const parts = Object.entries(limits).map(([key, limit]) => ` ${texts[key as keyof Limits]} ${limit}`);
  const Kind = typeof x === 'number' ? RangeError : TypeError;
  throw new Kind(`${label} must be ${kind}${parts.join(' and')}, got ${show(x)}`);
}

/** A finite number within the limits. */
export function number(label: string, value: unknown, limits: Limits = {}): number {
  return within(label, value, 'a finite number', Number.isFinite, limits);
}

/** A safe integer within the limits (default: at least 0). */
export function integer(label: string, value: unknown, limits: Limits = { min: 0 }): number {
  return within(label, value, 'an integer', Number.isSafeInteger, limits);
}

/** true or false, nothing that is merely truthy. */
export function boolean(label: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw new TypeError(`${label} must be true or false, got ${show(value)}`);
  return value;
}

/** A string, or undefined. */
export function optionalText(label: string, value: unknown): string | undefined {
  if (value === undefined || typeof value === 'string') return value;
  throw new TypeError(`${label} must be a string, got ${show(value)}`);
}

/** The items of an iterable. */
export function iterated(label: string, value: unknown, of: string): unknown[] {
  if (typeof value !== 'string' && typeof (value as Iterable<unknown> | null)?.[Symbol.iterator] === 'function') {
    return [...(value as Iterable<unknown>)];
  }
  throw new TypeError(`${label} must be an array (or other iterable) of ${of}, got ${show(value)}`);
}

/** An array of so many items. */
export function listOf(label: string, value: unknown, count: number, of: string): unknown[] {
  if (Array.isArray(value) && value.length === count) return value;
  const came = Array.isArray(value) ? value.length : show(value);
  throw new RangeError(`${label} must list ${count} ${of}; got ${came}`);
}

/** One of the listed strings. */
export function oneOf<const T extends string>(label: string, value: unknown, known: readonly T[]): T {
  if (!known.includes(value as T)) {
    const hint = typeof value === 'string' ? didYouMean(value, known) : '';
    throw new RangeError(`${label} must be one of ${list(known)}, got ${show(value)}.${hint}`);
  }
  return value as T;
}
