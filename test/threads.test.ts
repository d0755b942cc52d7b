/** What the threads of `tensorless/parallel` agree on: claims, and arrays on their way. */
import { AdamW, Parameter } from 'tensorless';
import { describe, expect, it } from 'vitest';
import type { DType, NumericArray } from '../src/core/dtype.ts';
import type { StateArray } from '../src/core/state-dict.ts';
import { ENGINE } from '../src/engine/engine.ts';
import { type Kernels, typescriptKernels } from '../src/engine/kernels.ts';
import type { Work } from '../src/engine/work.ts';
import { Stepper } from '../src/optimizers/step.ts';
import { Arena } from '../src/simd/arena.ts';
import { compileSimd, makeMemory, PAGE, simdEngine } from '../src/simd/module.ts';
import { BEYOND, RESERVED } from '../src/simd/places.ts';
import {
  CALLER,
  claim,
  DONE,
  FIRST_WORKER,
  finish,
  holder,
  itemState,
  NEXT,
  NOBODY,
  type Plan,
  pack,
  packArrays,
  SERIAL,
  unpackArrays,
  unpackWork,
  type WireWork,
  WORDS,
} from '../src/threads/protocol.ts';
import { cases, randomArray, randomNumbers } from './_optimizers.ts';

const plan = (items: number): Plan => ({
  rule: 'AdamW',
  works: [],
  columns: [],
  firstUnit: Int32Array.of(0, items),
  workOf: new Int32Array(items),
  items: Int32Array.from({ length: items + 1 }, (_, i) => i),
  states: new Int32Array(new SharedArrayBuffer(4 * items)),
});
const open = (one: Plan, serial: number): Int32Array => {
  const words = new Int32Array(new SharedArrayBuffer(4 * WORDS));
  one.states.fill(itemState(serial, NOBODY));
  words[SERIAL] = serial;
  return words;
};

describe('claim', () => {
  it('gives every item to one thread', () => {
    const one = plan(3);
    const words = open(one, 7);
    const who = [CALLER, FIRST_WORKER, CALLER, FIRST_WORKER];
    expect(who.map((thread) => claim(words, one, 7, 3, thread))).toEqual([0, 1, 2, -1]);
    expect([...one.states].map(holder)).toEqual([CALLER, FIRST_WORKER, CALLER]);
    finish(one, 7, 0);
    expect(holder(one.states[0]!)).toBe(DONE);
  });

  it('gives nothing of another pass to a thread that is late', () => {
    const one = plan(3);
    const words = open(one, 8);
    expect(claim(words, one, 7, 3, FIRST_WORKER)).toBe(-1);
    expect([...one.states].map(holder)).toEqual([NOBODY, NOBODY, NOBODY]);
  });

  it('gives nothing of a larger plan to a thread that is late', () => {
    const one = plan(3);
    const words = open(one, 7);
    words[NEXT] = 5;
    expect(claim(words, one, 6, 9, FIRST_WORKER)).toBe(-1);
  });

  it('passes over what another has', () => {
    const one = plan(3);
    const words = open(one, 7);
    one.states[0] = itemState(7, CALLER);
    expect(claim(words, one, 7, 3, FIRST_WORKER)).toBe(1);
    expect(words[NEXT]).toBe(2);
  });

  it('holds a state of any pass in 31 bits', () => {
    expect(itemState(2 ** 25 - 1, DONE)).toBe(2 ** 31 - 1);
    expect(itemState(2 ** 25, DONE)).toBe(DONE);
  });
});

describe('a work on its way', () => {
  /** A work of AdamW over this parameter. */
  const workOf = (parameter: Parameter, take: (length: number) => Float64Array): Work =>
    new Stepper(AdamW.rule, { ...typescriptKernels, [ENGINE]: { scratch: take } }).makeWork(parameter);
  const doubles = (length: number): Float64Array => new Float64Array(new SharedArrayBuffer(8 * length));

  it.each<[DType, boolean]>([
    ['float32', true],
    ['float32', false],
    ['float64', true],
    ['bfloat16', false],
    ['float16', false],
  ])('arrives over the same memory (%s, in the arena: %s)', (dtype, inArena) => {
    const memory = new SharedArrayBuffer(1024) as unknown as ArrayBuffer;
    let used = 0;
    const make = (length: number, kind: DType = dtype): NumericArray => {
      if (kind.endsWith('16'))
        return new Uint16Array(new SharedArrayBuffer(2 * length)) as unknown as Uint16Array<ArrayBuffer>;
      const Type = kind === 'float64' ? Float64Array : Float32Array;
      const buffer = (inArena ? memory : new SharedArrayBuffer(8 * length)) as ArrayBuffer;
      const array = new Type(buffer, inArena ? used : 0, length);
      used += 64;
      return array;
    };
    const work = workOf(new Parameter(make(6), { dtype }), doubles);
    const wide: DType = dtype === 'float64' ? 'float64' : 'float32';
    work.g = make(6);
    work.state.exp_avg = make(6, wide) as StateArray;
    work.state.exp_avg_sq = make(6, wide) as StateArray;
    const { rule, cut, numbers, sums, sumsEach, own } = work;
    const wire: WireWork = {
      ...{ rule, dtype, cut, numbers, sums, sumsEach, own },
      columns: doubles(0),
      p: pack(work.p, memory),
      ...packArrays(work, memory),
    };
    // As postMessage does: a clone of a view over shared memory is a view of the same memory.
    const arrived = unpackWork(structuredClone(wire), memory);
    const arraysOf = ({ p, g, state }: Work): [string, NumericArray | null][] =>
      Object.entries({ p, g, ...state } as Record<string, NumericArray | null>);
    const there = Object.fromEntries(arraysOf(arrived));
    expect(Object.keys(there)).toEqual(['p', 'g', 'exp_avg', 'exp_avg_sq', 'max_exp_avg_sq']);
    for (const [key, here] of arraysOf(work)) {
      if (key === 'max_exp_avg_sq') expect([here, there[key]]).toEqual([null, null]);
      else {
        expect(there[key]!.constructor, key).toBe(here!.constructor);
        expect(there[key]!.length, key).toBe(6);
        here![5] = 9;
        expect(there[key]![5], key).toBe(9);
      }
    }
    work.numbers[3] = work.sums[0] = 8;
    expect([arrived.numbers[3], arrived.sums[0]]).toEqual([8, 8]);
    expect([arrived.rule, arrived.dtype, arrived.cut]).toEqual(['AdamW', dtype, work.cut]);
  });

  it('takes other arrays later, and lets go of those that are there no more', () => {
    const array = new Float32Array(new SharedArrayBuffer(8));
    const work = workOf(new Parameter(new Float32Array(2)), doubles);
    work.state.max_exp_avg_sq = array;
    const none = { exp_avg: null, exp_avg_sq: null };
    expect(packArrays(work, null)).toEqual({ g: work.g, state: { ...none, max_exp_avg_sq: array } });
    const arrived = workOf(new Parameter(new Float32Array(2)), doubles);
    unpackArrays(arrived, { g: array, state: { ...none, max_exp_avg_sq: array } }, null);
    expect([arrived.g, arrived.state.max_exp_avg_sq]).toEqual([array, array]);
    unpackArrays(arrived, { g: array, state: { ...none, max_exp_avg_sq: null } }, null);
    expect(arrived.state.max_exp_avg_sq).toBeNull();
  });
});

it('loops take every array of the memory as a live one, as a worker must: who steps has checked', () => {
  const buffer = new ArrayBuffer(256);
  const view = new Float32Array(buffer, 128, 4);
  const arena = new Arena('test', buffer, 0, 64);
  expect(arena.address(view)).toBe(128);
  expect(arena.address(new Float32Array(4))).toBe(-1);
  expect(() => arena.checkLive(view)).toThrow(/freed/);
  expect(() => arena.checkLive(new Float32Array(4))).not.toThrow();
});

it('an instance of the SIMD loops writes to its own places and to arrays only: others share its memory', () => {
  compileSimd('test', true, '');
  const region = RESERVED + 2 ** 19;
  const memory = makeMemory('test', Math.ceil((2 * region + 2 ** 20 + BEYOND) / PAGE), true);
  const arena = new Arena('test', memory.buffer, 2 * region, 2 ** 20);
  const kernels: Kernels = {
    ...typescriptKernels,
    allocate: ((dtype: 'float32', length: number) => arena.allocate(dtype, length)) as Kernels['allocate'],
    fits: (dtype, length) => arena.fits(dtype, length),
    owns: (array) => arena.owns(array),
    free: (array) => arena.free(array),
    [ENGINE]: simdEngine(memory, arena, region, true),
  };
  for (const { make, dtype } of cases) {
    const random = randomNumbers(3);
    for (const shape of [[9, 13], [37]]) {
      const length = shape.reduce((a, b) => a * b, 1);
      const parameter = new Parameter(randomArray(dtype, length, random), shape, { dtype });
      parameter.grad = randomArray(dtype, length, random);
      const optimizer = make([parameter], { kernels });
      optimizer.step();
      optimizer.dispose();
    }
  }
  const bytes = new Uint8Array(memory.buffer);
  expect(bytes.subarray(0, region).every((byte) => byte === 0)).toBe(true);
  expect(bytes.subarray(region, 2 * region).some((byte) => byte !== 0)).toBe(true);
});
