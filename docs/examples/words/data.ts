/** Words as numbers: 0 is the boundary before and after a word, 1 to 26 are the letters. */
import { randomInt32 } from './random.ts';

/** How many different symbols there are. */
export const SYMBOLS = 27;

/** Letters of a word as symbols, without the boundary. */
export function encode(word: string): Uint8Array {
  return Uint8Array.from(word, (letter) => letter.charCodeAt(0) - 96);
}

/** The word that symbols spell. */
export function decode(symbols: ArrayLike<number>): string {
  return Array.from(symbols, (symbol) => String.fromCharCode(96 + symbol)).join('');
}

export interface Split {
  /** Words to train on. */
  readonly train: readonly Uint8Array[];
  /** Words that training never sees. */
  readonly heldOut: readonly Uint8Array[];
}

/**
 * Every tenth word, chosen by the seed, is held out; words with anything but a to z are left out.
 */
export function split(words: readonly string[], seed: number): Split {
  const train: Uint8Array[] = [];
  const heldOut: Uint8Array[] = [];
  for (const [i, word] of words.entries()) {
    if (!/^[a-z]+$/.test(word)) continue;
    (randomInt32(seed, i) % 10 === 0 ? heldOut : train).push(encode(word));
  }
  return { train, heldOut };
}

/**
 * Entropy of single symbols (boundary at the end of each word included), in nats: what a model
 * without context can reach.
 */
export function unigramEntropy(words: readonly Uint8Array[]): number {
  const counts = new Float64Array(SYMBOLS);
  let total = 0;
  for (const word of words) {
    for (const symbol of word) counts[symbol]! += 1;
    counts[0]! += 1;
    total += word.length + 1;
  }
  let entropy = 0;
  for (const count of counts) if (count > 0) entropy -= (count / total) * Math.log(count / total);
  return entropy;
}
