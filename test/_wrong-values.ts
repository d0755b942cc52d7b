/**
 * Wrong values per kind of argument; every public function is given all that apply. A revoked proxy
 * throws on any look at it, so it is not here.
 */

/** Not of type number. */
export const notNumbers: readonly unknown[] = [
  '1',
  '',
  true,
  {},
  [],
  [1],
  1n,
  Symbol('one'),
  () => 1,
  Object(1),
  new Date(1),
  new Float32Array(1),
  new Proxy({}, {}),
];

export const notFinite: readonly unknown[] = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

/** Not a finite number of at least 0. */
export const notNonNegative: readonly unknown[] = [...notNumbers, ...notFinite, -1, -Number.MIN_VALUE];

/** Not a number of at least 0 and less than 1. */
export const notDecay: readonly unknown[] = [...notNonNegative, 1, 2];

/** Not a safe integer of at least 0. */
export const notCounts: readonly unknown[] = [...notNonNegative, 0.5, 2 ** 53];

export const notBooleans: readonly unknown[] = [null, 0, 1, 'true', '', {}, [], 1n, Object(true), Symbol('true')];

export const notStrings: readonly unknown[] = [null, 0, 1, true, {}, [], 1n, Object('x'), Symbol('x')];

/** Not a plain object. */
export const notRecords: readonly unknown[] = [
  null,
  1,
  'x',
  true,
  [],
  [{}],
  1n,
  Symbol('x'),
  () => ({}),
  new Float32Array(2),
];

/** Not an iterable of Parameters. */
export const notParameters: readonly unknown[] = [
  null,
  undefined,
  1,
  'weights',
  true,
  {},
  1n,
  () => [],
  new Float32Array(2),
  [null],
  [undefined],
  [1],
  ['weight'],
  [[]],
  [new Float32Array(2)],
  [{ data: new Float32Array(2), shape: [2], dtype: 'float32', grad: null }],
];

/** No gradients of a float32 parameter with two elements. */
export const notGradients: readonly unknown[] = [
  undefined,
  0,
  'x',
  true,
  {},
  [1, 2],
  1n,
  () => null,
  new Float64Array(2),
  new Int32Array(2),
  new Uint16Array(2),
  new Uint8ClampedArray(8),
  new BigInt64Array(2),
  new DataView(new ArrayBuffer(8)),
  new ArrayBuffer(8),
  new Proxy(new Float32Array(2), {}),
  { length: 2, 0: 1, 1: 2 },
  new Float32Array(0),
  new Float32Array(1),
  new Float32Array(3),
];
