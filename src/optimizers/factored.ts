/**
 * Adafactor's tasks: the passes over a matrix, whose second moment is factored, and over a vector, which keeps it whole.
 *
 * | kind | parameter | pass 0, writes no weight or state | pass 1 | pass 2 |
 * | --- | --- | --- | --- | --- |
 * | matrix | rank 2 and more | row and column sums of G² | sums of U² and P² | P, momentum |
 * | vector | rank 0 and 1 | sum of G² | sums of U² and P² | P, V, momentum |
 *
 * The weights are looked at in pass 1 and not in pass 0, after which all other parameters have their turn: they are still in the caches when pass 2 writes them.
 */

import { isSixteen } from '../core/sixteen-bits.ts';
import { BETA1, BETA2, type Engine, EPS, KEEP, type Kind, REST2, runFlat, SCALE, type Task } from '../engine/tasks.ts';
import { stripRows } from '../loops/blocks.ts';
import * as matrix64 from '../loops/generated/matrix64.ts';
import * as sums64 from '../loops/generated/sums64.ts';
import * as vector64 from '../loops/generated/vector64.ts';
import * as matrix32 from '../loops/matrix.ts';
import * as sums32 from '../loops/sums.ts';
import * as vector32 from '../loops/vector.ts';

const matrix: Kind['run'] = (engine, task, pass, block, columns, at) => {
  const { dtype, rows, cols, unit, blocksEach, rowFactor, colFactor, scalars, partials, m } = task;
  const lead = Math.floor(block / blocksEach);
  const first = lead * rows + (block % blocksEach) * unit;
  const end = Math.min(first + unit, (lead + 1) * rows);
  const strip = isSixteen(dtype) ? stripRows(cols) : unit;
  const colAt = lead * cols;
  const alone = blocksEach === 1;
  const sums = alone ? colFactor : columns;
  const sumsAt = alone ? colAt : at;
  if (pass === 0) sums.fill(0, sumsAt, sumsAt + cols);
  let sum = 0;
  let weight = 0;
  for (let row = first; row < end; row += strip) {
    const count = Math.min(strip, end - row);
    const from = row * cols;
    const n = count * cols;
    if (pass < 2) {
      engine.read(task, from, n, true);
      const { loops, g, at: gAt, table } = engine;
      if (pass === 0) loops.reduce(g, gAt, count, cols, rowFactor, row, sums, sumsAt, table);
      else {
        sum = loops.measure(g, gAt, count, cols, rowFactor, row, colFactor, colAt, sum, table);
        weight += engine.squares(task, task.p, from, n);
      }
    } else {
      engine.readBoth(task, from, n, true);
      const { loops, p, g, at: pAt, table, strip: out } = engine;
      const keep = scalars[KEEP]!;
      if (m === null) loops.apply(p, g, pAt, count, cols, rowFactor, row, colFactor, colAt, keep, table, out);
      else {
        const momentum = m as Float32Array;
        const beta1 = scalars[BETA1]!;
        loops.applyMomentum(
          p,
          g,
          pAt,
          momentum,
          from,
          count,
          cols,
          rowFactor,
          row,
          colFactor,
          colAt,
          keep,
          beta1,
          table,
          out,
        );
      }
      engine.store(task, from, n);
    }
  }
  partials[2 * block] = sum;
  partials[2 * block + 1] = weight;
};

function vectorStrip(engine: Engine, task: Task, pass: number, from: number, n: number): number {
  const { scalars } = task;
  const v = task.v as Float32Array;
  const m = task.m as Float32Array | null;
  const beta = scalars[BETA2]!;
  const rest = scalars[REST2]!;
  const eps = scalars[EPS]!;
  if (pass === 1) {
    engine.read(task, from, n, false);
    return engine.loops.measureVector(engine.g, engine.at, v, from, n, beta, rest, eps);
  }
  engine.readBoth(task, from, n, false);
  const { loops, p, g, at } = engine;
  const scale = scalars[SCALE]!;
  const keep = scalars[KEEP]!;
  if (m === null) loops.applyVector(p, at, g, at, v, from, n, beta, rest, eps, scale, keep);
  else loops.applyVectorMomentum(p, at, g, at, m, from, v, from, n, beta, rest, eps, scale, keep, scalars[BETA1]!);
  engine.store(task, from, n);
  return 0;
}

// One by one: a bundler turns the modules themselves into objects with getters.
const float32 = {
  sumSquares: sums32.sumSquares,
  reduce: matrix32.reduce,
  measure: matrix32.measure,
  apply: matrix32.apply,
  applyMomentum: matrix32.applyMomentum,
  measureVector: vector32.measureVector,
  applyVector: vector32.applyVector,
  applyVectorMomentum: vector32.applyVectorMomentum,
};
const float64 = {
  sumSquares: sums64.sumSquares,
  reduce: matrix64.reduce,
  measure: matrix64.measure,
  apply: matrix64.apply,
  applyMomentum: matrix64.applyMomentum,
  measureVector: vector64.measureVector,
  applyVector: vector64.applyVector,
  applyVectorMomentum: vector64.applyVectorMomentum,
};

/** The kinds of tasks of Adafactor. */
export const factored: Readonly<Record<'matrix' | 'vector', Kind>> = {
  matrix: { float32, float64, run: matrix },
  vector: {
    float32,
    float64,
    run: (engine, task, pass, block) => runFlat(engine, task, pass, block, vectorStrip, pass === 1),
  },
};
