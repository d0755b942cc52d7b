/**
 * Validation at the door. A message names the argument, what was expected, what came, and the repair;
 * it is only built when throwing. TypeError: the wrong kind of value; RangeError: the right kind, a wrong value.
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
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

/** ` Did you mean "x"?` for the nearest known name, or nothing when none is near. Case and underscores do not count. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const fold = (s: string): string => s.toLowerCase().replaceAll(/[_-]/g, '');
  let best = '';
  let least = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const d = distance(fold(name), fold(candidate));
    if (d < least) {
      best = candidate;
      least = d;
    }
  }
  return best === '' ? '' : ` Did you mean ${JSON.stringify(best)}?`;
}

/** An options object whose keys are all known; `undefined` values count as absent. */
export function options(label: string, value: unknown, known: readonly string[]): Record<string, unknown> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value) || ArrayBuffer.isView(value)) {
    throw new TypeError(`${label}: options must be an object, got ${show(value)}`);
  }
  const result: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) {
      throw new RangeError(
        `${label}: unknown option ${JSON.stringify(key)}.${didYouMean(key, known)} Known options: ${list(known)}`,
      );
    }
    const given = (value as Record<string, unknown>)[key];
    if (given !== undefined) result[key] = given;
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

function limitText(limits: Limits): string {
  const parts: string[] = [];
  if (limits.min !== undefined) parts.push(`at least ${limits.min}`);
  if (limits.above !== undefined) parts.push(`greater than ${limits.above}`);
  if (limits.max !== undefined) parts.push(`at most ${limits.max}`);
  if (limits.below !== undefined) parts.push(`less than ${limits.below}`);
  return parts.length === 0 ? '' : ` ${parts.join(' and ')}`;
}

/** A finite number within the limits. NaN fails every comparison, so the comparisons are written to refuse it. */
export function number(label: string, value: unknown, limits: Limits = {}): number {
  if (typeof value !== 'number') {
    throw new TypeError(`${label} must be a number${limitText(limits)}, got ${show(value)}`);
  }
  if (
    !Number.isFinite(value) ||
    !(limits.min === undefined || value >= limits.min) ||
    !(limits.max === undefined || value <= limits.max) ||
    !(limits.above === undefined || value > limits.above) ||
    !(limits.below === undefined || value < limits.below)
  ) {
    throw new RangeError(`${label} must be a finite number${limitText(limits)}, got ${show(value)}`);
  }
  return value;
}

/** A safe integer within the limits (default: at least 0). */
export function integer(label: string, value: unknown, limits: Limits = { min: 0 }): number {
  if (typeof value !== 'number') {
    throw new TypeError(`${label} must be an integer${limitText(limits)}, got ${show(value)}`);
  }
  if (
    !Number.isSafeInteger(value) ||
    !(limits.min === undefined || value >= limits.min) ||
    !(limits.max === undefined || value <= limits.max)
  ) {
    throw new RangeError(`${label} must be an integer${limitText(limits)}, got ${show(value)}`);
  }
  return value;
}

/** true or false, nothing that is merely truthy. */
export function boolean(label: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw new TypeError(`${label} must be true or false, got ${show(value)}`);
  return value;
}

/** One of the listed strings. */
export function oneOf<const T extends string>(label: string, value: unknown, known: readonly T[]): T {
  if (!known.includes(value as T)) {
    const hint = typeof value === 'string' ? didYouMean(value, known) : '';
    throw new RangeError(`${label} must be one of ${list(known)}, got ${show(value)}.${hint}`);
  }
  return value as T;
}
