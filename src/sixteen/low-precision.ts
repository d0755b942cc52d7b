/**
 * bfloat16 and float16 (IEEE 754 binary16) as bit patterns in Uint16Arrays: conversions of whole
 * arrays.
 *
 * A program that calls one of these trains 16-bit weights by faster loops from then on, with the
 * same bits; one that makes its bit patterns by itself does not carry them.
 *
 * @module
 */
import { show } from '../core/check.ts';
import { bfloat16Bits, float16BitsOf, widened } from '../core/sixteen-bits.ts';
import { isUint16, tagOf } from '../core/typed-array.ts';
import { useFastSixteen } from './fast.ts';

/** One float32 and its bits. */
const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/**
 * The float32 that rounds on as the double itself would: nearest, but to odd when inexact, so that
 * rounding to 16 bits afterwards is a single rounding (Boldo & Melquiond 2008, "Emulation of FMA
 * and correctly rounded sums").
 */
function roundToOdd(value: number): number {
  float[0] = value;
  const near = float[0]!;
  if (near === value || !Number.isFinite(near) || Number.isNaN(value)) return word[0]!;
  const bits = word[0]!;
  if ((bits & 1) === 1) return bits;
  const away = Math.abs(value) > Math.abs(near) || near === 0;
  return away ? bits + 1 : bits - 1;
}

function checkedValues(label: string, values: unknown): ArrayLike<number> {
  const length = (values as ArrayLike<number> | null)?.length;
  if (typeof values !== 'object' || !Number.isSafeInteger(length) || !(length! >= 0) || /^Big/.test(tagOf(values))) {
    throw new TypeError(`${label}: values must be an array or typed array of numbers, got ${show(values)}`);
  }
  return values as ArrayLike<number>;
}

function checkedBits(label: string, bits: unknown): Uint16Array {
  if (!isUint16(bits)) throw new TypeError(`${label}: bits must be a Uint16Array, got ${show(bits)}`);
  useFastSixteen();
  return bits;
}

function narrowAll(label: string, values: ArrayLike<number>, toBits: (bits: number) => number): Uint16Array {
  const source = checkedValues(label, values);
  useFastSixteen();
  const result = new Uint16Array(source.length);
  // The bits of a Float32Array are read as they are: JavaScript may change a NaN's payload on its
  // way through a number.
  const { buffer, byteOffset } = source as Float32Array;
  const words = tagOf(source) === 'Float32Array' ? new Uint32Array(buffer, byteOffset, source.length) : null;
  for (let i = 0; i < result.length; i++) {
    const value = words === null ? source[i] : 0;
    if (typeof value !== 'number') {
      throw new TypeError(`${label}: values[${i}] must be a number, got ${show(value)}`);
    }
    result[i] = toBits(words === null ? roundToOdd(value) : words[i]!);
  }
  return result;
}

/**
 * bfloat16 bits of numbers, rounded once to nearest, ties to even. Too large becomes infinity; NaN
 * stays NaN.
 *
 * @param values - Numbers in any array; those of a Float32Array keep their NaN payloads.
 * @throws TypeError when values is not an array of numbers.
 * @example
 * ```ts
 * toBfloat16([1, 3.14159]); // Uint16Array [0x3f80, 0x4049]
 * ```
 */
export function toBfloat16(values: ArrayLike<number>): Uint16Array {
  return narrowAll('toBfloat16', values, bfloat16Bits);
}

/**
 * The numbers that bfloat16 bits stand for, exactly.
 *
 * @throws TypeError when bits is not a Uint16Array.
 */
export function fromBfloat16(bits: Uint16Array): Float32Array {
  return widened(checkedBits('fromBfloat16', bits), false);
}

/**
 * float16 (IEEE 754 binary16) bits of numbers, rounded once to nearest, ties to even, subnormals
 * included. From 65520 on the result is infinity; NaN stays NaN.
 *
 * @param values - Numbers in any array; those of a Float32Array keep their NaN payloads.
 * @throws TypeError when values is not an array of numbers.
 */
export function toFloat16(values: ArrayLike<number>): Uint16Array {
  return narrowAll('toFloat16', values, float16BitsOf);
}

/**
 * The numbers that float16 bits stand for, exactly.
 *
 * @throws TypeError when bits is not a Uint16Array.
 */
export function fromFloat16(bits: Uint16Array): Float32Array {
  return widened(checkedBits('fromFloat16', bits), true);
}
