/** What test/vectors/torch-files/make_torch_files.py records, as decodeTorch gives it. */
import type { StateTensor, StateValue } from 'tensorless';

/** A value as make_torch_files.py records it. */
export type Expected =
  | null
  | boolean
  | string
  | Expected[]
  | { i: string }
  | { f: number | string }
  | { b: string }
  | { d: [string, Expected][] }
  | { t: string; shape: number[]; v?: (number | string)[]; raw?: string };

const float = (x: number | string): number => (typeof x === 'number' ? x : Number(x.replace('inf', 'Infinity')));
const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));

/** What decodeTorch gives. */
export function wanted(value: Expected): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(wanted);
  if ('i' in value) return Number.isSafeInteger(Number(value.i)) ? Number(value.i) : BigInt(value.i);
  if ('f' in value) return float(value.f);
  if ('b' in value) return hex(value.b);
  if ('d' in value) {
    const result = {};
    for (const [key, item] of value.d)
      Object.defineProperty(result, key, {
        value: wanted(item),
        enumerable: true,
        writable: true,
        configurable: true,
      });
    return result;
  }
  const { t: dtype, shape, v, raw } = value;
  if (raw !== undefined) return { dtype, shape, data: hex(raw) };
  const data = {
    float32: () => Float32Array.from(v as number[], float),
    float64: () => Float64Array.from(v as number[], float),
    int64: () => BigInt64Array.from(v as string[], BigInt),
    uint8: () => Uint8Array.from(v as number[]),
    bool: () => Uint8Array.from(v as number[], Number),
    bfloat16: () => Uint16Array.from(v as number[], (x) => bits(float(x))),
    float16: () => Uint16Array.from(v as number[], (x) => half(float(x))),
  }[dtype]!();
  return { dtype, shape, data };
}
/** Of a number that bfloat16 holds. */
const bits = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0]! >>> 16;
/** Of a number that float16 holds: found among all of them. */
function half(x: number): number {
  for (let b = 0; b < 0x10000; b++) {
    const exponent = (b >> 10) & 31;
    const fraction = (b & 1023) / 1024;
    const size = exponent === 0 ? 2 ** -14 * fraction : 2 ** (exponent - 15) * (1 + fraction);
    if (exponent < 31 && Object.is((b & 0x8000) === 0 ? size : -size, x)) return b;
  }
  throw new Error(`${x} is no float16`);
}

/**
 * Objects with null or other prototypes, and buffers of different sizes, are no difference here.
 */
export function comparable(value: StateValue): unknown {
  if (ArrayBuffer.isView(value)) return { bytes: Buffer.from(value as Uint8Array).toString('hex') };
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(comparable);
  if ('dtype' in value && 'data' in value) {
    const { dtype, shape, data } = value as StateTensor;
    const raw = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex');
    return { dtype, shape, kind: data[Symbol.toStringTag], raw };
  }
  return Object.entries(value).map(([key, item]) => [key, comparable(item as StateValue)]);
}
