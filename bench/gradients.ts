/** Contestants that clip and accumulate gradients, beside a copy of the same numbers. */
import {
  clipGradNorm,
  clipGradNormAsync,
  GradientAccumulator,
  type Kernels,
  Parameter,
  typescriptKernels,
} from 'tensorless';
import type { ParallelKernels } from 'tensorless/parallel';
import { type Contestant, type Shape, timed, values } from './contestants.ts';

/**
 * This library's; with kernels that have room, the gradients are in their memory. `threads`: on all
 * that the kernels have, which are closed afterwards.
 */
export function onGradients(
  name: string,
  formula: 'clip' | 'accumulate',
  make: (shapes: readonly Shape[]) => Kernels | Promise<Kernels> = () => typescriptKernels,
  threads = false,
): Contestant {
  return {
    name,
    formula,
    decay: 0,
    async start(shapes) {
      const kernels = await make(shapes);
      const parameters = shapes.map(([rows, cols]) => {
        const length = rows * cols;
        const parameter = new Parameter(new Float32Array(length), [rows, cols]);
        parameter.grad = kernels.fits('float32', length)
          ? kernels.allocate('float32', length)
          : new Float32Array(length);
        parameter.grad.set(values(length, 104729));
        return parameter;
      });
      const accumulator = new GradientAccumulator(parameters, { kernels });
      let norm = clipGradNorm(parameters, Number.POSITIVE_INFINITY);
      return timed(name, {
        step() {
          // Always a little too long, so that it is scaled.
          if (formula === 'clip') norm = clipGradNorm(parameters, 0.9999 * norm, { kernels });
          else accumulator.add();
        },
        ...(threads && {
          async step() {
            if (formula === 'clip') norm = await clipGradNormAsync(parameters, 0.9999 * norm, { kernels });
            else await accumulator.addAsync();
          },
        }),
        weights: () => parameters[0]!.grad as Float32Array,
        async close() {
          accumulator.dispose();
          if (threads) await (kernels as ParallelKernels).close();
        },
      });
    },
  };
}

/** The machine's memory: one array copied into another. */
export function plainCopy(formula: 'clip' | 'accumulate'): Contestant {
  const name = 'a copy of the same numbers';
  return {
    name,
    formula,
    decay: 0,
    async start(shapes) {
      const pairs = shapes.map(([rows, cols]) => {
        return [new Float32Array(rows * cols), values(rows * cols, 104729)] as const;
      });
      return timed(name, {
        step() {
          for (const [to, from] of pairs) to.set(from);
        },
        weights: () => pairs[0]![0],
        close() {},
      });
    },
  };
}
