/** The bytes of a pickle, taken one after another: numbers, texts and names. */
import { CheckpointError } from '../error.ts';
import type { Budget } from './pickle-values.ts';

/** Names of modules and functions are shorter. */
export const LONGEST_NAME = 200;

/**
 * Text as Python writes it with "surrogatepass": UTF-8, but halves of surrogate pairs have three
 * bytes each too.
 */
function decodeHalves(bytes: Uint8Array, decoder: InstanceType<typeof TextDecoder>): string {
  const units = new Uint16Array(bytes.length);
  let length = 0;
  let from = 0;
  const plain = (end: number): void => {
    if (end === from) return;
    const text = decoder.decode(bytes.subarray(from, end));
    for (let i = 0; i < text.length; i++) units[length++] = text.charCodeAt(i);
  };
  for (let i = 0; i + 2 < bytes.length; i++) {
    // A half is ED A0..BF 80..BF; what lies between two of them is UTF-8.
    const [a, b, c] = [bytes[i]!, bytes[i + 1]!, bytes[i + 2]!];
    if (a !== 0xed || b < 0xa0 || b > 0xbf || (c & 0xc0) !== 0x80) continue;
    plain(i);
    units[length++] = 0xd000 | ((b & 0x3f) << 6) | (c & 0x3f);
    from = i + 3;
    i += 2;
  }
  plain(bytes.length);
  let text = '';
  for (let at = 0; at < length; at += 8192)
    text += String.fromCharCode(...units.subarray(at, Math.min(length, at + 8192)));
  return text;
}

/** Reads from a place on; every failure names the opcode at hand. */
export class PickleInput {
  /** Where the next byte stands. */
  at: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #budget: Budget;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  /** Where the opcode at hand stands, for messages. */
  #opcodeAt = 0;

  constructor(bytes: Uint8Array, start: number, budget: Budget) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#budget = budget;
    this.at = start;
  }

  /** Refuses the opcode at hand. */
  fail(what: string): never {
    throw new CheckpointError(`pickle, byte ${this.#opcodeAt}: ${what}`);
  }

  /** Asks for memory for values. */
  spend(bytes: number): void {
    if (!this.#budget.spend(bytes)) this.fail('the values take memory out of all proportion to the file');
  }

  /** The next opcode. */
  next(): number {
    this.#opcodeAt = this.at;
    return this.u8();
  }

  /** Where the next `count` bytes begin. */
  take(count: number): number {
    const at = this.at;
    if (count > this.#bytes.length - at) this.fail('the pickle is cut off');
    this.at = at + count;
    return at;
  }

  /** The next `count` bytes, not copied. */
  part(count: number): Uint8Array {
    const at = this.take(count);
    return this.#bytes.subarray(at, at + count);
  }

  u8(): number {
    return this.#bytes[this.take(1)]!;
  }

  u16(): number {
    return this.#view.getUint16(this.take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.take(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.take(4), true);
  }

  /** A length; what is longer than the pickle is cut off. */
  u64(): number {
    const value = this.#view.getBigUint64(this.take(8), true);
    if (value > BigInt(this.#bytes.length)) this.fail('the pickle is cut off');
    return Number(value);
  }

  f64(): number {
    return this.#view.getFloat64(this.take(8), false);
  }

  /** A text of so many bytes. */
  text(length: number): string {
    const part = this.part(length);
    this.spend(2 * length + 100);
    return this.#decode(part);
  }

  #decode(bytes: Uint8Array): string {
    // Most texts are short names, for which the decoder's own call costs most.
    if (bytes.length < 24) {
      let text = '';
      let i = 0;
      for (; i < bytes.length && bytes[i]! < 128; i++) text += String.fromCharCode(bytes[i]!);
      if (i === bytes.length) return text;
    }
    try {
      return this.#decoder.decode(bytes);
    } catch {
      this.spend(4 * bytes.length);
    }
    try {
      return decodeHalves(bytes, this.#decoder);
    } catch {
      this.fail('a string is not UTF-8');
    }
  }

  /** So many bytes, copied. */
  bytes(length: number): Uint8Array {
    const part = this.part(length);
    this.spend(length + 200);
    return part.slice();
  }

  /** A line, without its end. */
  line(): string {
    const end = this.#bytes.subarray(this.at, this.at + LONGEST_NAME + 1).indexOf(0x0a);
    if (end < 0) this.fail('a name is not ended');
    const text = this.#decode(this.part(end));
    this.take(1);
    return text;
  }

  /** A long of so many bytes, least first, two's complement. */
  long(length: number): number | bigint {
    const part = this.part(length);
    if (length === 0) return 0;
    let digits = '';
    for (let k = length - 1; k >= 0; k--) digits += part[k]!.toString(16).padStart(2, '0');
    const value = BigInt.asIntN(8 * length, BigInt(`0x${digits}`));
    const number = Number(value);
    if (Number.isSafeInteger(number)) return number;
    this.spend(length + 32);
    return value;
  }
}
