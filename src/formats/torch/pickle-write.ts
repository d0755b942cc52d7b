/**
 * Pickles of protocol 2 as torch.save writes them, but for the memo, which is set as Python sets it
 * and never read.
 */
import { quoted } from '../quote.ts';
import type { TorchType } from './torch-types.ts';

/** Python too closes a list or dict after so many items and goes on with the next. */
const BATCH = 1000;
const MOST_BYTES = 0xffffffff;

/**
 * UTF-8, with halves of surrogate pairs as three bytes each, as Python writes them
 * ("surrogatepass").
 */
function encodeText(text: string): Uint8Array {
  const encoder = new TextEncoder();
  if (!/[\ud800-\udfff]/u.test(text)) return encoder.encode(text);
  const parts = text.split(/([\ud800-\udfff])/u).map((part) => {
    const half = part.charCodeAt(0);
    if (part.length !== 1 || half < 0xd800 || half > 0xdfff) return encoder.encode(part);
    return Uint8Array.of(0xed, 0x80 | ((half >> 6) & 0x3f), 0x80 | (half & 0x3f));
  });
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Writes values one after another. */
export class PickleWriter {
  #bytes = new Uint8Array(1024);
  #view: DataView = new DataView(this.#bytes.buffer);
  #length = 0;
  #memo = 0;

  #room(count: number): number {
    const at = this.#length;
    if (at + count > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(2 * this.#bytes.length, at + count));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length += count;
    return at;
  }

  #raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  #ascii(text: string): void {
    const at = this.#room(text.length);
    for (let i = 0; i < text.length; i++) this.#bytes[at + i] = text.charCodeAt(i);
  }

  /** Opcodes as they are. */
  put(...opcodes: number[]): void {
    const at = this.#room(opcodes.length);
    this.#bytes.set(opcodes, at);
  }

  /** What has been written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** A safe integer or a bigint of at most 255 bytes. */
  int(value: number | bigint): void {
    const big = BigInt(value);
    if (big >= 0n && big < 256n) this.put(0x4b, Number(big));
    else if (big >= 0n && big < 65536n) this.put(0x4d, Number(big) & 0xff, Number(big) >> 8);
    else if (BigInt.asIntN(32, big) === big) {
      this.put(0x4a);
      const at = this.#room(4);
      this.#view.setInt32(at, Number(big), true);
    } else {
      // Two's complement, with room for the sign.
      const length = Math.ceil(((big < 0n ? ~big : big).toString(2).length + 1) / 8);
      if (length > 255) throw new RangeError('must be an int of at most 255 bytes');
      this.put(0x8a, length);
      const digits = BigInt.asUintN(8 * length, big)
        .toString(16)
        .padStart(2 * length, '0');
      for (let k = length - 1; k >= 0; k--) this.put(Number.parseInt(digits.slice(2 * k, 2 * k + 2), 16));
    }
  }

  float(value: number): void {
    this.put(0x47);
    // The room first: it may replace the view.
    const at = this.#room(8);
    this.#view.setFloat64(at, value, false);
  }

  string(value: string): void {
    if (value.length < 64 && /^[\0-\x7f]*$/.test(value)) {
      this.put(0x58);
      const at = this.#room(4);
      this.#view.setUint32(at, value.length, true);
      this.#ascii(value);
      return;
    }
    const bytes = encodeText(value);
    if (bytes.length > MOST_BYTES) throw new RangeError(`must be shorter than 4 GiB, got the text ${quoted(value)}`);
    this.put(0x58);
    const at = this.#room(4);
    this.#view.setUint32(at, bytes.length, true);
    this.#raw(bytes);
  }

  /** bytes; protocol 2 has them as text in latin1. */
  bytes(value: Uint8Array): void {
    let high = 0;
    for (const byte of value) high += byte >> 7;
    if (value.length + high > MOST_BYTES) throw new RangeError('must be shorter than 4 GiB as text');
    this.global('_codecs', 'encode');
    this.put(0x58);
    const at = this.#room(4 + value.length + high);
    this.#view.setUint32(at, value.length + high, true);
    let to = at + 4;
    for (const byte of value) {
      if (byte < 128) this.#bytes[to++] = byte;
      else {
        this.#bytes[to++] = 0xc0 | (byte >> 6);
        this.#bytes[to++] = 0x80 | (byte & 0x3f);
      }
    }
    this.string('latin1');
    this.put(0x86, 0x52);
  }

  bool(value: boolean): void {
    this.put(value ? 0x88 : 0x89);
  }

  none(): void {
    this.put(0x4e);
  }

  global(module: string, name: string): void {
    this.put(0x63);
    this.#ascii(`${module}\n${name}\n`);
  }

  /** A list (of APPENDS) or a dict (of SETITEMS), its items in batches. */
  #container(opcode: number, close: number, count: number, write: (i: number) => void): void {
    this.put(opcode);
    const index = this.#memo++;
    if (index < 256) this.put(0x71, index);
    else {
      this.put(0x72);
      const at = this.#room(4);
      this.#view.setUint32(at, index, true);
    }
    for (let i = 0; i < count; i++) {
      if (i % BATCH === 0) this.put(0x28);
      write(i);
      if (i % BATCH === BATCH - 1 || i === count - 1) this.put(close);
    }
  }

  /** A list whose items `write` writes, one each. */
  list(count: number, write: (i: number) => void): void {
    this.#container(0x5d, 0x65, count, write);
  }

  /** A dict whose items `write` writes, key and value each. */
  dict(count: number, write: (i: number) => void): void {
    this.#container(0x7d, 0x75, count, write);
  }

  /** A tuple of ints. */
  #intTuple(values: readonly number[]): void {
    this.put(0x28);
    for (const value of values) this.int(value);
    this.put(0x74);
  }

  /** A contiguous tensor over the whole of a storage. */
  tensor(type: TorchType, key: string, count: number, shape: readonly number[]): void {
    const { storage } = type;
    this.global('torch._utils', storage === undefined ? '_rebuild_tensor_v3' : '_rebuild_tensor_v2');
    this.put(0x28, 0x28);
    this.string('storage');
    if (storage === undefined) this.global('torch.storage', 'UntypedStorage');
    else this.global('torch', `${storage}Storage`);
    this.string(key);
    this.string('cpu');
    this.int(storage === undefined ? count * type.size : count);
    this.put(0x74, 0x51);
    this.int(0);
    const strides = new Array<number>(shape.length);
    for (let axis = shape.length - 1, stride = 1; axis >= 0; axis--) {
      strides[axis] = stride;
      // As PyTorch has it where an axis is empty.
      stride *= Math.max(1, shape[axis]!);
    }
    this.#intTuple(shape);
    this.#intTuple(strides);
    this.bool(false);
    this.global('collections', 'OrderedDict');
    this.put(0x29, 0x52);
    if (storage === undefined) this.global('torch', type.name);
    this.put(0x74, 0x52);
  }
}
