/**
 * The compiled loops of `assembly/`, put to work on a memory: private to one thread (`simd.ts`),
 * or shared by several, each with an instance and fixed places of its own (`parallel.ts`). Those
 * of the float32 level are a module of their own, which is compiled only for whom it is.
 */

import { oneOf } from '../core/check.ts';
import type { Engine } from '../engine/engine.ts';
import type { Arena } from './arena.ts';
import { simdBytes } from './bytes.ts';
import { Copies } from './copies.ts';
import { singleBytes } from './single-bytes.ts';
import { singleLoops } from './single-loops.ts';
import type { SingleWasm } from './single-wasm.ts';
import { simdGradients } from './wasm-gradients.ts';
import { simdLoops, type WasmLoops } from './wasm-loops.ts';
import { simdMomentum } from './wasm-momentum.ts';
import { simdSixteen, type WasmSixteen } from './widen.ts';

/** A memory; one that is shared has a SharedArrayBuffer. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

type Exports = Record<string, (...args: number[]) => number>;

/**
 * The part of the WebAssembly JavaScript API that is used; its types are in the DOM library, which
 * Node's programs do not have.
 */
interface WebAssemblyApi {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: { env: { memory: object } }) => { readonly exports: Exports };
  validate(bytes: Uint8Array): boolean;
}

/** Bytes of the unit in which memories are sized. */
export const PAGE = 65536;
/** What a 32-bit address reaches. */
export const MOST_PAGES = 65536;

/** In what numbers the loops over float32 and 16-bit weights calculate. */
export type Arithmetic = 'double' | 'float32';

/** An option of that name, `"double"` where there is none. */
export function arithmeticOf(where: string, value: unknown): Arithmetic {
  return oneOf(`${where}: arithmetic`, value === undefined ? 'double' : value, ['double', 'float32']);
}

/** Compiled at the first call, for a private and for a shared memory; instances share it. */
const compiled: Record<string, object> = {};
const keyOf = (level: Arithmetic, shared: boolean): string => `${level} ${shared ? 'shared' : 'private'}`;

function webAssembly(): WebAssemblyApi | undefined {
  return (globalThis as unknown as { WebAssembly?: WebAssemblyApi }).WebAssembly;
}

/**
 * Compiles the modules of a level once: that of double is needed in both. `where` and `repair` are
 * for the messages.
 *
 * @throws Error where WebAssembly or its SIMD is missing or forbidden.
 */
export function compileSimd(where: string, shared: boolean, repair: string, level: Arithmetic = 'double'): void {
  compileOne(where, shared, repair, 'double', simdBytes);
  if (level === 'float32') compileOne(where, shared, repair, 'float32', singleBytes);
}

function compileOne(where: string, shared: boolean, repair: string, level: Arithmetic, text: string): void {
  const kind = keyOf(level, shared);
  if (compiled[kind] !== undefined) return;
  const api = webAssembly();
  if (typeof api?.Module !== 'function' || typeof api.validate !== 'function') {
    throw new Error(`${where}: this runtime has no WebAssembly; ${repair}`);
  }
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  if (shared) importShared(bytes);
  if (!api.validate(bytes)) {
    throw new Error(`${where}: this runtime's WebAssembly has no SIMD (fixed-width, 128 bits); ${repair}`);
  }
  try {
    compiled[kind] = new api.Module(bytes);
  } catch (cause) {
    throw new Error(
      `${where}: this runtime refuses to compile WebAssembly ` +
        `(${cause instanceof Error ? cause.message : String(cause)}); ` +
        `in a page, allow it in the Content-Security-Policy with script-src 'wasm-unsafe-eval', or ${repair}`,
      { cause },
    );
  }
}

/**
 * Makes the module import a shared memory: the flags of its limits, one byte. A test compares with
 * the compiler's own.
 */
export function importShared(bytes: Uint8Array): void {
  const name = [...'memory'].map((character) => character.charCodeAt(0));
  const at = bytes.findIndex((_, i) => name.every((code, k) => bytes[i + k] === code));
  // After the name: the kind (2, a memory), then 1 for a maximum, 3 for a maximum and shared.
  bytes[at + name.length + 1] = 3;
}

/**
 * A memory of fixed size.
 *
 * @throws RangeError when the system does not give it.
 */
export function makeMemory(where: string, pages: number, shared: boolean): WasmMemory {
  try {
    return new (webAssembly()!.Memory)({ initial: pages, maximum: pages, shared });
  } catch (cause) {
    throw new RangeError(
      `${where}: the system gives no memory of ${pages * PAGE} bytes; ask for less with arenaBytes, arrays ` +
        `elsewhere are worked on too`,
      { cause },
    );
  }
}

/**
 * The loops on a memory, with their fixed places from `base`; where `copies` are kept, none unless
 * said. {@link compileSimd} for that level comes first.
 */
export function simdEngine(
  memory: WasmMemory,
  arena: Arena,
  base: number,
  shared: boolean,
  copies: Copies = new Copies(0, 0),
  level: Arithmetic = 'double',
): Engine {
  const instance = (of: Arithmetic): Exports =>
    new (webAssembly()!.Instance)(compiled[keyOf(of, shared)]!, { env: { memory } }).exports;
  const exports = instance('double');
  const float32 = simdLoops(arena, copies, wasmLoops(exports, '32'), 4, base);
  const gradients = simdGradients(arena, copies, exports, 4, base);
  const engine: Engine = {
    float32: { ...float32, ...simdMomentum(arena, copies, exports, 4, base), ...gradients },
    float64: {
      ...simdLoops(arena, copies, wasmLoops(exports, '64'), 8, base),
      ...simdMomentum(arena, copies, exports, 8, base),
      ...simdGradients(arena, copies, exports, 8, base),
    },
    sixteen: simdSixteen(arena.buffer, sixteenOf(exports), base),
  };
  if (level === 'double') return engine;
  const { flush, ...loops } = singleLoops(arena, copies, instance('float32') as SingleWasm, float32, base);
  return { ...engine, float32: { ...loops, ...gradients }, exact: engine.float32!, flush };
}

function sixteenOf(exports: Exports): WasmSixteen {
  return {
    widenBfloat16: exports.widenBfloat16!,
    widenFloat16: exports.widenFloat16!,
    narrowBfloat16: exports.narrowBfloat16!,
    narrowFloat16: exports.narrowFloat16!,
  };
}

function wasmLoops(exports: Exports, bits: '32' | '64'): WasmLoops {
  return {
    reduce: exports[`reduce${bits}`]!,
    measure: exports[`measure${bits}`]!,
    apply: exports[`apply${bits}`]!,
    applyMomentum: exports[`applyMomentum${bits}`]!,
    reduceFar: exports[`reduceFar${bits}`]!,
    measureFar: exports[`measureFar${bits}`]!,
    sumSquares: exports[`sumSquares${bits}`]!,
    sumSquaresFar: exports[`sumSquaresFar${bits}`]!,
    measureVector: exports[`measureVector${bits}`]!,
    applyVector: exports[`applyVector${bits}`]!,
    adam: exports[`adam${bits}`]!,
    nonFinite: exports[`nonFinite${bits}`],
  };
}
