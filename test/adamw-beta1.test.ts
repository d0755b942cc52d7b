/**
 * AdamW with a beta1 below one half: of a moment that was large nothing more is left than beta1
 * lets through, as in PyTorch (`lerp`).
 */
import { AdamW, type DType, Parameter } from 'tensorless';
import { describe, expect, it } from 'vitest';
import { arrayOf, engines, numbersOf, randomNumbers } from './_optimizers.ts';

const LENGTH = 37;
/** Sizes of gradients from step to step. */
const SIZES: Readonly<Record<string, readonly number[]>> = {
  float32: [1e10, 1e-7, 1, 3e-12, 5e5],
  float64: [1e10, 1e-17, 1, 3e-30, 5e5],
  bfloat16: [1e10, 1e-7, 1, 3e-12, 5e5],
  float16: [1e4, 1e-4, 1, 3e-3, 5e2],
};

describe.each(engines)('on $engine', ({ kernels }) => {
  it.each(Object.keys(SIZES).flatMap((dtype) => [false, true].map((amsgrad) => [dtype as DType, amsgrad] as const)))(
    '%s: beta1 of 0 keeps nothing of the gradient before, amsgrad %s',
    (dtype, amsgrad) => {
      const random = randomNumbers(4);
      const parameter = new Parameter(arrayOf(dtype, new Float64Array(LENGTH)), [LENGTH], { dtype });
      const optimizer = new AdamW([parameter], { betas: [0, 0.9], amsgrad, kernels });
      for (const size of SIZES[dtype]!) {
        const gradient = arrayOf(
          dtype,
          Float64Array.from({ length: LENGTH }, () => size * random()),
        );
        parameter.grad = gradient as Float32Array;
        optimizer.step();
        const moment = optimizer.stateDict().state[0]!.exp_avg as { data: Float32Array };
        expect([...moment.data]).toEqual([...numbersOf(dtype, gradient)]);
      }
    },
  );

  it.each([0.1, 0.3, 0.5, 0.7])('beta1 %d: the moment to the last places of what is added', (beta1) => {
    const random = randomNumbers(5);
    const parameter = new Parameter(new Float64Array(LENGTH));
    const optimizer = new AdamW([parameter], { betas: [beta1, 0.9], kernels });
    const expected = new Float64Array(LENGTH);
    for (const size of [1, 1e12, 1e-3, 1]) {
      const gradient = Float64Array.from({ length: LENGTH }, () => size * random());
      parameter.grad = gradient;
      optimizer.step();
      const moment = (optimizer.stateDict().state[0]!.exp_avg as { data: Float64Array }).data;
      for (let k = 0; k < LENGTH; k++) {
        const terms = [beta1 * expected[k]!, (1 - beta1) * gradient[k]!] as const;
        expected[k] = terms[0] + terms[1];
        const size = Math.abs(terms[0]) + Math.abs(terms[1]);
        expect(Math.abs(moment[k]! - expected[k]!)).toBeLessThanOrEqual(1e-15 * size);
        expected[k] = moment[k]!;
      }
    }
  });
});
