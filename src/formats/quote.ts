/**
 * What comes from a file, as text for people: short, on one line, and without characters that a
 * terminal obeys or a reader cannot see.
 */

/**
 * Control characters, half surrogate pairs, invisible and direction-changing characters, line
 * separators.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const EACH_UNSEEN: RegExp = new RegExp(UNSEEN.source, 'gu');
const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\b': '\\b', '\f': '\\f' };

/** The text with everything unseen written as an escape sequence. */
export function escaped(text: string): string {
  if (!UNSEEN.test(text)) return text;
  return text.replace(EACH_UNSEEN, (char) => {
    const code = char.codePointAt(0)!;
    return SHORT[char] ?? (code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`);
  });
}

/** At most so many characters of a text, never half a pair; `...` tells that there was more. */
export function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = most - 3;
  const cut = /[\ud800-\udbff]/.test(text[end - 1]!) ? end - 1 : end;
  return `${text.slice(0, cut)}...`;
}

/** A text in quotes, escaped, at most some 60 characters long. */
export function quoted(text: string, most = 60): string {
  const inner = shortened(text, most).replaceAll(/["\\]/g, '\\$&');
  return `"${shortened(escaped(inner), 2 * most)}"`;
}

/** Any value in a few words; never looks deeper than one level. */
export function brief(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'bigint') return `${shortened(String(value), 24)}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'symbol') return 'a symbol';
  if (typeof value !== 'object' || value === null) return String(value);
  if (ArrayBuffer.isView(value)) {
    const array = value as Uint8Array;
    return `${shortened(String(array[Symbol.toStringTag] ?? 'DataView'), 30)}(${array.length ?? array.byteLength})`;
  }
  if (Array.isArray(value)) return brackets(value);
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  if (tag !== 'Object') return shortened(escaped(tag), 40);
  const keys = Object.keys(value);
  return keys.length === 0 ? 'an empty object' : `an object with keys ${some(keys, 3)}`;
}

/** A list of numbers or other values, `[2, 3]`; the first four of a long one. */
export function brackets(values: readonly unknown[]): string {
  const shown = values.slice(0, 4).map((item) => {
    if (typeof item === 'string') return quoted(item, 20);
    return typeof item === 'object' && item !== null ? (Array.isArray(item) ? '[...]' : '{...}') : brief(item);
  });
  if (values.length <= 4) return `[${shown.join(', ')}]`;
  return `[${shown.join(', ')}, ... ${values.length} items]`;
}

/** `"a", "b", "c" and 7 more`. */
export function some(names: readonly string[], most = 3): string {
  const shown = names.slice(0, most).map((name) => quoted(name, 40));
  const more = names.length - shown.length;
  return more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ');
}

/** Whether a text has half a surrogate pair: UTF-8, and so no file, can hold that. */
export function hasHalfPair(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}
