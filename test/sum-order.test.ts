/**
 * The order of sums as `src/loops/sums.ts` tells it, written down a second time, element by
 * element, and compared bit by bit.
 */
import { Adafactor, Parameter } from 'tensorless';
import { simdKernels } from 'tensorless/simd';
import { expect, it } from 'vitest';
import { blockRows, isFar } from '../src/loops/blocks.ts';
import { measure, reduce } from '../src/loops/matrix.ts';
import { sumSquares, sumSquaresFar } from '../src/loops/sums.ts';
import { randomArray, randomNumbers } from './_optimizers.ts';

/** The rows of a block by groups of four, in their order. */
function groups(rows: number, far: boolean): number[][] {
  const all: number[][] = [];
  let at = 0;
  while (far && rows - at >= 8) {
    const apart = Math.min(128, Math.floor((rows - at) / 8));
    for (let i = 0; i < apart; i++) {
      const round = [0, 1, 2, 3, 4, 5, 6, 7].map((j) => at + i + j * apart);
      all.push(round.slice(0, 4), round.slice(4));
    }
    at += 8 * apart;
  }
  for (; at < rows; at += 4) all.push([0, 1, 2, 3].map((j) => at + j).filter((row) => row < rows));
  return all;
}

const joined = ([a = 0, b = 0, c = 0, d = 0]: number[]): number => a + b + (c + d);

const shapes = [
  [3, 5],
  [8, 4],
  [17, 6],
  [100, 7],
  [1100, 3],
] as const;

it.each(shapes)('of a matrix of %d × %d, by neighbours and by streams', (rows, cols) => {
  const g = randomArray('float32', rows * cols, randomNumbers(rows)) as Float32Array;
  const rowFactor = Float64Array.from({ length: rows }, (_, i) => 1 + i / 7);
  const colFactor = Float64Array.from({ length: cols }, (_, j) => 1 + j / 3);
  const square = (row: number, j: number): number => g[row * cols + j]! * g[row * cols + j]!;
  for (const far of [false, true]) {
    const rowSums = new Float64Array(rows);
    const colSums = new Float64Array(cols);
    let total = 0.1;
    for (const group of groups(rows, far)) {
      const update = [0, 0];
      const lanes = group.map(() => [0, 0]);
      for (let j = 0; j < cols; j++) {
        colSums[j]! += joined(group.map((row) => square(row, j)));
        group.forEach((row, n) => {
          lanes[n]![j & 1]! += square(row, j);
        });
        update[j & 1]! += joined(group.map((row) => square(row, j) * rowFactor[row]!)) * colFactor[j]!;
      }
      group.forEach((row, n) => {
        rowSums[row] = lanes[n]![0]! + lanes[n]![1]!;
      });
      total += update[0]! + update[1]!;
    }
    const [ownRows, ownCols] = [new Float64Array(rows), new Float64Array(cols)];
    reduce(g, 0, rows, cols, ownRows, 0, ownCols, 0, far);
    expect(ownRows).toEqual(rowSums);
    expect(ownCols).toEqual(colSums);
    expect(measure(g, 0, rows, cols, rowFactor, 0, colFactor, 0, 0.1, far)).toBe(total);
  }
});

it.each([0, 5, 63, 64, 200, 1001])('of a flat range of %d, in its order and by streams', (length) => {
  const x = randomArray('float32', length, randomNumbers(length)) as Float32Array;
  const sum = (order: readonly number[]): number => {
    const l = new Float64Array(8);
    for (const [n, k] of order.entries()) l[n & 7]! += x[k]! * x[k]!;
    return joined([...l.subarray(0, 4)]) + joined([...l.subarray(4)]);
  };
  const near = Array.from(x.keys());
  expect(sumSquares(x, 0, length)).toBe(sum(near));
  const s = 8 * Math.floor(length / 64);
  const far: number[] = [];
  for (let k = 0; k < s; k += 8) for (let j = 0; j < 8; j++) for (let i = 0; i < 8; i++) far.push(j * s + k + i);
  expect(sumSquaresFar(x, 0, length)).toBe(sum([...far, ...near.slice(8 * s)]));
});

/** Whole blocks, a last one of other rows, wider than a span, higher than streams reach. */
const large = [
  [512, 512],
  [523, 515],
  [40, 8202],
  [40_000, 9],
] as const;

it.each(large)('of a large matrix, %d × %d: Adafactor has the same bits on every engine', (rows, cols) => {
  expect(isFar(rows, cols)).toBe(true);
  if (rows > 32_768) expect(blockRows(rows, cols)).toBeGreaterThan(1024);
  for (const dtype of ['float32', 'float64', 'bfloat16'] as const) {
    const random = randomNumbers(cols);
    const weights = randomArray(dtype, rows * cols, random);
    const gradient = randomArray(dtype, rows * cols, random);
    const run = (where: 'TypeScript' | 'inside' | 'outside'): unknown => {
      const kernels = where === 'TypeScript' ? undefined : simdKernels({ arenaBytes: 12 * 2 ** 20 });
      const place = (array: typeof weights): typeof weights => {
        if (where !== 'inside' || dtype === 'bfloat16') return array.slice();
        const own = kernels!.allocate(dtype as 'float32', array.length);
        own.set(array);
        return own;
      };
      const parameter = new Parameter(place(weights), [rows, cols], { dtype });
      const optimizer = new Adafactor([parameter], kernels === undefined ? {} : { kernels });
      parameter.grad = place(gradient);
      for (let step = 0; step < 2; step++) optimizer.step();
      return {
        bits: Buffer.from(parameter.data.slice().buffer).toString('base64'),
        state: optimizer.stateDict().state,
      };
    };
    const expected = run('TypeScript');
    // Equal as a whole, without a difference of a million lines.
    for (const where of ['inside', 'outside'] as const) {
      const got = run(where);
      expect(JSON.stringify(got) === JSON.stringify(expected)).toBe(true);
    }
  }
});
