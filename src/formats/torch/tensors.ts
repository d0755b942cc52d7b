/**
 * The elements of tensors: from a storage's bytes, in any order and byte order, to arrays of their
 * own.
 */
import type { StateTensor } from '../../core/dtype.ts';
import type { PyTensor } from './pickle-values.ts';
import { LITTLE_ENDIAN, NUMBERS, type TorchType, WIDENED } from './torch-types.ts';

/** A tensor of the result, whose elements are still to come. */
export interface Destination {
  readonly state: StateTensor;
  readonly source: PyTensor;
}

type Data = StateTensor['data'];

/** Bytes of an element in the result. */
export function resultSize({ name, size }: TorchType): number {
  return WIDENED.has(name) ? 8 : size;
}

/** An array for so many elements. */
export function allocate({ name, size }: TorchType, length: number): Data {
  if (name === 'float32') return new Float32Array(length);
  if (name === 'float64') return new Float64Array(length);
  if (name === 'float16' || name === 'bfloat16') return new Uint16Array(length);
  if (name === 'int64' || WIDENED.has(name)) return new BigInt64Array(length);
  return new Uint8Array(length * size);
}

export function lengthOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

interface Axis {
  size: number;
  stride: number;
}

/**
 * The axes that matter, outermost first: without those of one element, and joined where they lie in
 * a row.
 */
function axesOf({ shape, stride }: PyTensor): Axis[] {
  const axes: Axis[] = [];
  for (const [i, size] of shape.entries()) {
    if (size === 1) continue;
    const last = axes.at(-1);
    if (last !== undefined && last.stride === stride[i]! * size) {
      last.size *= size;
      last.stride = stride[i]!;
    } else axes.push({ size, stride: stride[i]! });
  }
  return axes;
}

/**
 * Whether the elements lie in the storage as they will lie in the result: they can be copied as
 * bytes.
 */
export function isPlain(source: PyTensor): boolean {
  if (WIDENED.has(source.type.name)) return false;
  if (lengthOf(source.shape) === 0) return true;
  const axes = axesOf(source);
  return axes.length === 0 || (axes.length === 1 && axes[0]!.stride === 1);
}

/** The storage's bytes that a plain tensor is made of. */
export function rangeOf({ type, offset, shape }: PyTensor): readonly [begin: number, end: number] {
  return [offset * type.size, (offset + lengthOf(shape)) * type.size];
}

export function bytesOf(data: Data): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

type Units = Uint8Array | Uint16Array | Uint32Array;

function unitsOf(bytes: Uint8Array, width: number): Units {
  if (width === 1) return bytes;
  // Typed arrays must lie on a multiple of their width; contents of foreign files need not.
  const own = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
  const length = Math.floor(own.length / width);
  return width === 2
    ? new Uint16Array(own.buffer, own.byteOffset, length)
    : new Uint32Array(own.buffer, own.byteOffset, length);
}

/** Elements of a width of one unit, row by row. */
function gatherUnits(from: Units, to: Units, offset: number, outer: readonly Axis[], inner: Axis): void {
  const { size, stride } = inner;
  const counts = outer.map(() => 0);
  let place = offset;
  let k = 0;
  for (;;) {
    if (stride === 0) {
      to.fill(from[place]!, k, k + size);
      k += size;
    } else for (let i = 0, p = place; i < size; i++, p += stride) to[k++] = from[p]!;
    let axis = outer.length - 1;
    for (; axis >= 0; axis--) {
      place += outer[axis]!.stride;
      if (++counts[axis]! < outer[axis]!.size) break;
      place -= outer[axis]!.stride * outer[axis]!.size;
      counts[axis] = 0;
    }
    if (axis < 0) return;
  }
}

/** Sides of the square that is turned at once: its rows and columns fit into the cache. */
const TILE = 32;

/** Two axes of which the outer one lies closer together, as in a transposed matrix: by squares. */
function gatherTurned(from: Units, to: Units, offset: number, rows: Axis, columns: Axis): void {
  for (let r = 0; r < rows.size; r += TILE) {
    const rEnd = Math.min(rows.size, r + TILE);
    for (let c = 0; c < columns.size; c += TILE) {
      const cEnd = Math.min(columns.size, c + TILE);
      for (let i = r; i < rEnd; i++) {
        let place = offset + i * rows.stride + c * columns.stride;
        const base = i * columns.size;
        for (let j = c; j < cEnd; j++, place += columns.stride) to[base + j] = from[place]!;
      }
    }
  }
}

/** The elements in row-major order, in the storage's format and byte order. */
function gather(source: PyTensor, storage: Uint8Array, to: Uint8Array): void {
  const { size } = source.type;
  if (to.length === 0) return;
  const [begin, end] = rangeOf(source);
  const axes = axesOf(source);
  if (axes.length === 0 || (axes.length === 1 && axes[0]!.stride === 1)) {
    to.set(storage.subarray(begin, end));
    return;
  }
  const width = Math.min(size, 4);
  const from = unitsOf(storage, width);
  const units = unitsOf(to, width);
  const per = size / width;
  const wide = axes.map((axis) => ({ size: axis.size, stride: axis.stride * per }));
  if (per > 1) wide.push({ size: per, stride: 1 });
  const offset = source.offset * per;
  if (wide.length === 2 && wide[0]!.stride < wide[1]!.stride) gatherTurned(from, units, offset, wide[0]!, wide[1]!);
  else gatherUnits(from, units, offset, wide.slice(0, -1), wide.at(-1)!);
}

/** Turns the bytes of every part round, in place. */
export function swapBytes(bytes: Uint8Array, part: number): void {
  if (part === 1) return;
  for (let at = 0; at < bytes.length; at += part) {
    for (let i = at, j = at + part - 1; i < j; i++, j--) {
      const low = bytes[i]!;
      bytes[i] = bytes[j]!;
      bytes[j] = low;
    }
  }
}

/** Changes signs in place. `little`: the low byte of each part comes first. */
function negate(bytes: Uint8Array, { name, kind, part }: TorchType, little: boolean): void {
  if (kind === 'int') {
    for (let at = 0; at < bytes.length; at += part) {
      // Two's complement: all bits turned, and one added.
      let carry = 1;
      for (let k = 0; k < part; k++) {
        const i = little ? at + k : at + part - 1 - k;
        const sum = (bytes[i]! ^ 0xff) + carry;
        bytes[i] = sum;
        carry = sum >> 8;
      }
    }
    return;
  }
  // These formats have one zero; what would be the other is NaN.
  const oneZero = name.endsWith('fnuz');
  for (let i = little ? part - 1 : 0; i < bytes.length; i += part) {
    if (!oneZero || (bytes[i]! & 0x7f) !== 0) bytes[i]! ^= 0x80;
  }
}

/** Turns the sign of every imaginary part, in place. */
function conjugate(bytes: Uint8Array, { part }: TorchType, little: boolean): void {
  for (let i = part + (little ? part - 1 : 0); i < bytes.length; i += 2 * part) bytes[i]! ^= 0x80;
}

/** Narrow ints, in this machine's byte order, as int64. */
function widen(from: Uint8Array, size: number, to: BigInt64Array): void {
  const narrow =
    size === 1
      ? new Int8Array(from.buffer, from.byteOffset, to.length)
      : size === 2
        ? new Int16Array(from.buffer, from.byteOffset, to.length)
        : new Int32Array(from.buffer, from.byteOffset, to.length);
  // Halves are an order of magnitude faster than bigints.
  const halves = new Int32Array(to.buffer, to.byteOffset, 2 * to.length);
  const low = LITTLE_ENDIAN ? 0 : 1;
  for (let k = 0; k < to.length; k++) {
    const value = narrow[k]!;
    halves[2 * k + low] = value;
    halves[2 * k + 1 - low] = value >> 31;
  }
}

/**
 * Puts a tensor's elements in place, from the bytes of its whole storage. `little`: the storage's
 * byte order.
 */
export function fill({ state, source }: Destination, storage: Uint8Array, little: boolean): void {
  if (!WIDENED.has(source.type.name)) {
    gather(source, storage, bytesOf(state.data));
    finish({ state, source }, little);
    return;
  }
  const narrow = new Uint8Array(lengthOf(source.shape) * source.type.size);
  gather(source, storage, narrow);
  if (little !== LITTLE_ENDIAN) swapBytes(narrow, source.type.part);
  if (source.negative) negate(narrow, source.type, LITTLE_ENDIAN);
  widen(narrow, source.type.size, state.data as BigInt64Array);
}

/** What is left to do once a plain tensor's bytes are in place: byte order, signs, truth. */
export function finish({ state, source }: Destination, little: boolean): void {
  const { type, negative, conjugate: conjugated } = source;
  const bytes = bytesOf(state.data);
  // Arrays have this machine's order; formats without an array keep little-endian bytes.
  const wanted = NUMBERS.has(type.name) ? LITTLE_ENDIAN : true;
  if (little !== wanted) swapBytes(bytes, type.part);
  if (negative) negate(bytes, type, wanted);
  if (conjugated) conjugate(bytes, type, wanted);
  if (type.kind === 'bool') for (let i = 0; i < bytes.length; i++) if (bytes[i]! > 1) bytes[i] = 1;
}

/** A complex number as a tensor without dimensions. */
export function complexTensor(re: number, im: number): StateTensor {
  const data = new Uint8Array(16);
  const view = new DataView(data.buffer);
  view.setFloat64(0, re, true);
  view.setFloat64(8, im, true);
  return { dtype: 'complex128', shape: [], data };
}
