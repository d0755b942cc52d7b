/** Every contestant that is written in JavaScript; PyTorch's are in pytorch.ts. */
import { cpus } from 'node:os';
import type { Kernels } from 'tensorless';
import { parallelKernels } from 'tensorless/parallel';
import { simdKernels } from 'tensorless/simd';
import { createWorker } from '../test/_workers.ts';
import { type Contestant, type Formula, ours, type Shape } from './contestants.ts';
import { onGradients, plainCopy } from './gradients.ts';
import { elementsOf } from './measure.ts';
import { jax } from './peers/jax.ts';
import { tfjs } from './peers/tfjs.ts';

export const threads = cpus().length;

/** Every array of a case, and room for the state. */
const room = (shapes: readonly Shape[], bytes = 17): number => bytes * elementsOf(shapes) + 2 ** 22;
type Arithmetic = { arithmetic?: 'float32' };
const arena =
  (bytes = 17, level: Arithmetic = {}) =>
  (shapes: readonly Shape[]): Kernels =>
    simdKernels({ arenaBytes: room(shapes, bytes), ...level });
const none = (): Kernels => simdKernels({ arenaBytes: 0 });
const all =
  (level: Arithmetic = {}) =>
  (shapes: readonly Shape[]): Promise<Kernels> =>
    parallelKernels({ threads, createWorker, arenaBytes: room(shapes), ...level });

const SINGLE: Arithmetic = { arithmetic: 'float32' };

/** Whether SIMD has its level of single precision. */
export const hasSingle: boolean = (() => {
  try {
    arena(0, SINGLE)([]);
    return true;
  } catch {
    return false;
  }
})();

const engines = (formula: 'adafactor' | 'adamw'): Contestant[] => [
  ours('tensorless', formula),
  ours('tensorless, SIMD', formula, { kernels: arena(), inside: true }),
  ...(hasSingle
    ? [ours('tensorless, SIMD, float32 level', formula, { kernels: arena(17, SINGLE), inside: true })]
    : []),
  ours('tensorless, SIMD, copied', formula, { kernels: none }),
  ours(`tensorless, SIMD, ${threads} threads`, formula, { kernels: all(), inside: true, threads: true }),
  ...(hasSingle
    ? [
        ours(`tensorless, SIMD, float32 level, ${threads} threads`, formula, {
          kernels: all(SINGLE),
          inside: true,
          threads: true,
        }),
      ]
    : []),
];

export const adafactor: readonly Contestant[] = engines('adafactor');
export const adamw: readonly Contestant[] = [...engines('adamw'), jax(), tfjs('wasm'), tfjs('cpu')];
export const dtypes: readonly Contestant[] = (['float32', 'float64', 'bfloat16', 'float16'] as const).flatMap((dtype) =>
  (['adafactor', 'adamw'] as const).flatMap((formula) => {
    const name = `${formula === 'adafactor' ? 'Adafactor' : 'AdamW'}, ${dtype}`;
    const inside = dtype === 'float32' || dtype === 'float64';
    return [
      ours(name, formula, { dtype }),
      ours(`${name}, SIMD`, formula, { dtype, kernels: arena(34), inside }),
      ...(hasSingle && dtype !== 'float64'
        ? [ours(`${name}, SIMD, float32 level`, formula, { dtype, kernels: arena(34, SINGLE), inside })]
        : []),
    ];
  }),
);

export const gradients: readonly Contestant[] = (['clip', 'accumulate'] as const).flatMap((formula) => [
  onGradients('tensorless', formula),
  onGradients('tensorless, SIMD', formula, arena()),
  onGradients('tensorless, SIMD, copied', formula, none),
  onGradients(`tensorless, SIMD, ${threads} threads`, formula, all(), true),
  plainCopy(formula),
]);

/** The contestant of that formula and name. */
export function contestant(formula: Formula, name: string): Contestant {
  const every = [...adafactor, ...adamw, ...dtypes, ...gradients];
  const found = every.find((one) => one.formula === formula && one.name === name);
  if (found === undefined) throw new Error(`no contestant ${formula} ${JSON.stringify(name)}`);
  return found;
}
