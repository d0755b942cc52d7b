/** A program run once over stretches of arrays, as it is planned before anything is recorded. */
import type { Slot } from '../optimizers/rule.ts';
import type { Home } from './arrays.ts';
import type { Format } from './formats.ts';
import type { GPUBufferLike, GPUDeviceLike } from './gpu.ts';
import { GROUP, type Program } from './programs.ts';
import type { Known } from './tally.ts';

/** A range of a buffer. */
export interface Part {
  readonly buffer: GPUBufferLike;
  readonly offset: number;
  readonly size: number;
}

/** A program, its arrays, how often it runs, and where its job begins. */
export interface Dispatch {
  readonly program: Program;
  readonly parts: readonly Part[];
  readonly count: number;
  readonly jobAt: number;
}

/** A parameter in a step. */
export interface Active {
  readonly slot: Slot;
  readonly known: Known;
  readonly place: number;
  readonly p: Home;
  readonly g: Home;
  readonly pFormat: Format;
  readonly gFormat: Format;
}

/** Invocations side by side where there are so many in all. */
export function widthOf({ limits }: GPUDeviceLike, count: number): number {
  return Math.max(1, Math.min(Math.ceil(count / GROUP), limits.maxComputeWorkgroupsPerDimension)) * GROUP;
}

/** Elements of an array of words that fit a binding: a multiple of 256. */
export function mostElements({ limits }: GPUDeviceLike): number {
  return Math.floor(limits.maxStorageBufferBindingSize / 4 / 256) * 256;
}

/** The stretches of so many elements that fit a binding. */
export function* stretches(device: GPUDeviceLike, length: number): Generator<readonly [first: number, n: number]> {
  const most = mostElements(device);
  for (let first = 0; first < length; first += most) yield [first, Math.min(most, length - first)];
}

/** A stretch of an array, from a multiple of 256 elements. */
export function partOf({ buffer, offset, bytes }: Home, first: number, length: number): Part {
  return { buffer: buffer!, offset: offset + first * bytes, size: Math.ceil((length * bytes) / 4) * 4 };
}

/** A stretch from any element: from how many elements before it the part begins. */
export function partAround(home: Home, first: number, length: number): readonly [part: Part, shift: number] {
  const shift = first % 256;
  return [partOf(home, first - shift, length + shift), shift];
}
