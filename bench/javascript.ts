/** Every contestant that is written in JavaScript; PyTorch's are in pytorch.ts. */
import { cpus } from 'node:os';
import type { Kernels } from 'tensorless';
import { parallelKernels } from 'tensorless/parallel';
import { simdKernels } from 'tensorless/simd';
import { createWorker } from '../test/_workers.ts';
import { type Contestant, type Formula, ours, type Shape } from './contestants.ts';
import { elementsOf } from './measure.ts';
import { jax } from './peers/jax.ts';
import { tfjs } from './peers/tfjs.ts';

export const threads = cpus().length;

/** Every array of a case, and room for the state. */
const arena = (shapes: readonly Shape[]): Kernels => simdKernels({ arenaBytes: 17 * elementsOf(shapes) + 2 ** 22 });
const wide = (shapes: readonly Shape[]): Kernels => simdKernels({ arenaBytes: 34 * elementsOf(shapes) + 2 ** 22 });
const none = (): Kernels => simdKernels({ arenaBytes: 0 });
const all = (shapes: readonly Shape[]): Promise<Kernels> =>
  parallelKernels({ threads, createWorker, arenaBytes: 17 * elementsOf(shapes) + 2 ** 22 });

const engines = (formula: Formula): Contestant[] => [
  ours('tensorless', formula),
  ours('tensorless, SIMD', formula, { kernels: arena, inside: true }),
  ours('tensorless, SIMD, copied', formula, { kernels: none }),
  ours(`tensorless, SIMD, ${threads} threads`, formula, { kernels: all, inside: true, threads: true }),
];

export const adafactor: readonly Contestant[] = engines('adafactor');
export const adamw: readonly Contestant[] = [...engines('adamw'), jax(), tfjs('wasm'), tfjs('cpu')];
export const dtypes: readonly Contestant[] = (['float32', 'float64', 'bfloat16', 'float16'] as const).flatMap((dtype) =>
  (['adafactor', 'adamw'] as const).flatMap((formula) => {
    const name = `${formula === 'adafactor' ? 'Adafactor' : 'AdamW'}, ${dtype}`;
    const inside = dtype === 'float32' || dtype === 'float64';
    return [ours(name, formula, { dtype }), ours(`${name}, SIMD`, formula, { dtype, kernels: wide, inside })];
  }),
);

/** The contestant of that formula and name. */
export function contestant(formula: Formula, name: string): Contestant {
  const found = [...adafactor, ...adamw, ...dtypes].find((one) => one.formula === formula && one.name === name);
  if (found === undefined) throw new Error(`no contestant ${formula} ${JSON.stringify(name)}`);
  return found;
}
