/** AdamW's tasks: any parameter as a vector. Pass 0, which writes no weight or state, sums G²; pass 1 updates P, M, V. */

import {
  BETA2,
  type Engine,
  EPS,
  KEEP,
  KEEP_AFTER,
  type Kind,
  REST1,
  REST2,
  runFlat,
  SCALE,
  SIGN,
  type Task,
} from '../engine/tasks.ts';
import { adam, amsgrad } from '../loops/adam.ts';
import { adam as adam64, amsgrad as amsgrad64 } from '../loops/generated/adam64.ts';
import { sumSquares as sumSquares64 } from '../loops/generated/sums64.ts';
import { sumSquares } from '../loops/sums.ts';

function strip(engine: Engine, task: Task, _pass: number, from: number, n: number): number {
  const { scalars } = task;
  engine.readBoth(task, from, n, false);
  const { loops, p, g, at } = engine;
  const m = task.m as Float32Array;
  const v = task.v as Float32Array;
  const largest = task.largest as Float32Array | null;
  const sign = scalars[SIGN]!;
  const rest1 = scalars[REST1]!;
  const beta2 = scalars[BETA2]!;
  const rest2 = scalars[REST2]!;
  const scale = scalars[SCALE]!;
  const eps = scalars[EPS]!;
  const keep = scalars[KEEP]!;
  const after = scalars[KEEP_AFTER]!;
  if (largest === null) loops.adam(p, at, g, at, m, v, from, n, sign, rest1, beta2, rest2, scale, eps, keep, after);
  else loops.amsgrad(p, at, g, at, m, v, largest, from, n, sign, rest1, beta2, rest2, scale, eps, keep, after);
  engine.store(task, from, n);
  return 0;
}

/** The kind of tasks of AdamW. */
export const adamKinds: Readonly<Record<'adam', Kind>> = {
  adam: {
    float32: { sumSquares, adam, amsgrad },
    float64: { sumSquares: sumSquares64, adam: adam64, amsgrad: amsgrad64 },
    run: (engine, task, pass, block) => runFlat(engine, task, pass, block, strip, false),
  },
};
