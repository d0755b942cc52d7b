/**
 * Widening and narrowing of 16-bit arrays in WebAssembly. The 16-bit numbers always come through a
 * tile, as no such array can be allocated; the float32 numbers are a strip in the module's memory,
 * else the TypeScript loops do it. Stochastic rounding is left to those: it is its random bits that
 * take the time.
 */

import { type LoopsSixteen, sixteen } from '../core/sixteen-bits.ts';
import { PLACE_AT, TILES_AT } from './places.ts';

/** `place`: four bytes of this instance's own. */
type Convert = (from: number, to: number, length: number, place: number) => void;

/** What `assembly/index.ts` exports for 16 bits. */
export interface WasmSixteen {
  readonly widenBfloat16: Convert;
  readonly widenFloat16: Convert;
  readonly narrowBfloat16: Convert;
  readonly narrowFloat16: Convert;
}

/** Elements of a tile; a multiple of 8. */
const PIECE = 16384;

/** The conversions on one memory, with their tile among the fixed places from `base`. */
export function simdSixteen(buffer: ArrayBuffer, wasm: WasmSixteen, base: number): LoopsSixteen {
  const TILES = base + TILES_AT;
  const PLACE = base + PLACE_AT;
  const halves = new Uint16Array(buffer);
  const tile = TILES / 2;

  return {
    widen(half, bits, at, length, out) {
      if (out.buffer !== buffer) return sixteen.widen(half, bits, at, length, out);
      const convert = half ? wasm.widenFloat16 : wasm.widenBfloat16;
      const whole = length - (length % 8);
      for (let k = 0; k < whole; k += PIECE) {
        const n = Math.min(PIECE, whole - k);
        halves.set(bits.subarray(at + k, at + k + n), tile);
        convert(TILES, out.byteOffset + 4 * k, n, PLACE);
      }
      if (whole < length) sixteen.widen(half, bits, at + whole, length - whole, out.subarray(whole));
    },

    narrow(half, words, length, bits, at) {
      if (words.buffer !== buffer) return sixteen.narrow(half, words, length, bits, at);
      const convert = half ? wasm.narrowFloat16 : wasm.narrowBfloat16;
      const whole = length - (length % 8);
      for (let k = 0; k < whole; k += PIECE) {
        const n = Math.min(PIECE, whole - k);
        convert(words.byteOffset + 4 * k, TILES, n, PLACE);
        bits.set(halves.subarray(tile, tile + n), at + k);
      }
      if (whole < length) sixteen.narrow(half, words.subarray(whole), length - whole, bits, at + whole);
    },
  };
}
