/** Runs of transformers 4.30.2 on torch 2.0.1 go on here: files by vectors/torch-files/make_transformers_files.py. */
import { readFileSync } from 'node:fs';
import { Adafactor, AdamW, type Optimizer, Parameter } from 'tensorless';
import { decodeTorch } from 'tensorless/torch';
import { expect, it } from 'vitest';

const folder = new URL('vectors/torch-files/transformers-4.30.2/', import.meta.url);
interface Run {
  start: number[][];
  grads: number[][][];
  after: number[][][];
}
const runs = JSON.parse(readFileSync(new URL('runs.json', folder), 'utf8')) as Record<'adamw' | 'adafactor', Run>;
const SHAPES = [[4, 3], [5]];

const makers: [keyof typeof runs, (params: Parameter[]) => Optimizer][] = [
  ['adamw', (params) => new AdamW(params)],
  ['adafactor', (params) => new Adafactor(params)],
];

it.each(makers)('%s: its state loads, options and all, and the run is theirs', (kind, make) => {
  const { start, grads, after } = runs[kind];
  const parameters = SHAPES.map((shape, i) => new Parameter(Float32Array.from(after[0]![i]!), shape));
  const optimizer = make(parameters);
  optimizer.loadStateDict(decodeTorch(readFileSync(new URL(`${kind}.pt`, folder))));
  expect(optimizer.paramGroups[0]).toMatchObject(
    kind === 'adamw'
      ? { lr: 1e-2, weightDecay: 0.1, correctBias: false, eps: 1e-6, amsgrad: false, maximize: false }
      : { lr: 1e-2, relativeStep: false, scaleParameter: false, beta1: 0.9 },
  );
  for (const row of grads.slice(3)) {
    for (const [i, grad] of row.entries()) parameters[i]!.grad = Float32Array.from(grad);
    optimizer.step();
  }
  for (const [i, { data }] of parameters.entries()) {
    for (const [k, weight] of data.entries()) expect(weight).toBeCloseTo(after[1]![i]![k]!, 5);
    expect([...data]).not.toEqual(start[i]);
  }
});
