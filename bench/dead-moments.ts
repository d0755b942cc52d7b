/**
 * `npm run bench:dead`: what a step costs once gradients have been zero for long (rare rows of an
 * embedding, frozen parts), or are tiny, against a step with ordinary ones in turn. Moments that
 * decay end as subnormal numbers, on which some processors stall.
 */
import {
  Adafactor,
  AdamW,
  type DType,
  type Kernels,
  Lion,
  type Optimizer,
  Parameter,
  SGD,
  toBfloat16,
} from 'tensorless';
import { simdKernels } from 'tensorless/simd';

const SHAPE = [128, 128];
const LENGTH = 128 * 128;
/** The moment of β₁ = 0.9 is below float32's normal numbers after 830 of them. */
const STEPS = 3000;
const TURNS = 60;

const optimizers: Record<string, (params: Parameter[], kernels: Kernels | undefined) => Optimizer> = {
  AdamW: (params, kernels) => new AdamW(params, { ...(kernels && { kernels }) }),
  'AdamW, amsgrad': (params, kernels) => new AdamW(params, { amsgrad: true, ...(kernels && { kernels }) }),
  'AdamW, betas 0.5 and 0.9': (params, kernels) =>
    new AdamW(params, { betas: [0.5, 0.9], ...(kernels && { kernels }) }),
  'Adafactor, beta1 0.9': (params, kernels) => new Adafactor(params, { beta1: 0.9, ...(kernels && { kernels }) }),
  Lion: (params, kernels) => new Lion(params, { ...(kernels && { kernels }) }),
  'SGD, momentum 0.9': (params, kernels) => new SGD(params, { lr: 0.1, momentum: 0.9, ...(kernels && { kernels }) }),
};

function numbers(dtype: DType, scale: number): Float32Array | Float64Array | Uint16Array {
  const wide = Float32Array.from({ length: LENGTH }, (_, k) => scale * Math.sin(k + 1));
  if (dtype === 'bfloat16') return toBfloat16(wide);
  return dtype === 'float64' ? Float64Array.from(wide) : wide;
}

/** An optimizer with `steps` ordinary steps behind it; `then`: sets the gradient that stays. */
function started(name: string, dtype: DType, simd: boolean): { optimizer: Optimizer; to(scale: number): void } {
  const kernels = simd ? simdKernels({ arenaBytes: 2 ** 20 }) : undefined;
  const parameter = new Parameter(numbers(dtype, 1), SHAPE, { dtype });
  const optimizer = optimizers[name]!([parameter], kernels);
  const to = (scale: number): void => {
    parameter.grad = numbers(dtype, scale) as Float32Array;
  };
  to(0.1);
  for (let step = 0; step < 50; step++) optimizer.step();
  return { optimizer, to };
}

/** Median of how many times as long a step takes as an ordinary one, in turns. */
function ratio(ordinary: Optimizer, other: Optimizer): number {
  const time = (optimizer: Optimizer): number => {
    const start = performance.now();
    for (let step = 0; step < 4; step++) optimizer.step();
    return performance.now() - start;
  };
  const ratios = Array.from({ length: TURNS }, () => time(other) / time(ordinary));
  return ratios.sort((a, b) => a - b)[TURNS >> 1]!;
}

console.log(
  'times as long as an ordinary step: after 3,000 steps of zeros, the most on the way, with gradients of 1e-20',
);
for (const dtype of ['float32', 'bfloat16', 'float64'] as const) {
  for (const simd of [false, true]) {
    for (const name of Object.keys(optimizers)) {
      const ordinary = started(name, dtype, simd).optimizer;
      const zeros = started(name, dtype, simd);
      zeros.to(0);
      let most = 0;
      for (let step = 0; step < STEPS; step++) {
        // In between, at the steps where moments of usual decays sink.
        if (step % 250 === 0) most = Math.max(most, ratio(ordinary, zeros.optimizer));
        zeros.optimizer.step();
      }
      const end = ratio(ordinary, zeros.optimizer);
      const tiny = started(name, dtype, simd);
      tiny.to(1e-20);
      for (let step = 0; step < 1000; step++) tiny.optimizer.step();
      const cells = [end, Math.max(most, end), ratio(ordinary, tiny.optimizer)].map((x) => x.toFixed(2).padStart(6));
      console.log(`${`${dtype}, ${simd ? 'SIMD' : 'TypeScript'}, ${name}`.padEnd(46)} ${cells.join(' ')}`);
    }
  }
}
