/** Names and numbers of foreign files in messages: short, on one line, without what a terminal would obey. */

/** What JSON leaves as it is although it does not print: further controls, marks of direction, halves of pairs. */
const UNPRINTED =
  /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff]/gu;

/** A name in quotes, cut to 60 characters, with escapes for everything that does not print. */
export function quoted(name: string): string {
  const short = name.length > 60 ? `${name.slice(0, 57)}...` : name;
  return JSON.stringify(short).replaceAll(UNPRINTED, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A place in nested data, such as `stateDict.optimizer.state.0`; the middle is left out where it is long. */
export function placeOf(root: string, keys: readonly (string | number)[]): string {
  let text = root;
  let cut = false;
  for (const [i, key] of keys.entries()) {
    // A long way keeps its ends: where it begins, and the last keys.
    if (text.length > 80 && i < keys.length - 2) {
      if (!cut) text += '...';
      cut = true;
      continue;
    }
    if (typeof key === 'number') text += `[${key}]`;
    else text += /^[\w-]{1,40}$/.test(key) ? `.${key}` : `[${quoted(key)}]`;
  }
  return text;
}
