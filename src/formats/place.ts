/** Where something stands in nested data, for messages. */
import { quoted } from './quote.ts';

/**
 * A place in nested data, such as `stateDict.optimizer.state.0`; the middle is left out where it is
 * long.
 */
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
    else text += /^[\w-]{1,40}$/.test(key) ? `.${key}` : `[${quoted(key, 40)}]`;
  }
  return text;
}
