/**
 * What a step of every optimizer costs once gradients have been zero for long (rare rows of an
 * embedding, frozen parts), or are tiny, against a step with ordinary ones in turn. Moments that
 * decay end as subnormal numbers, on which some processors stall.
 *
 * The bench runs it in a process of its own, which prints its rows as JSON.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
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
import { spread } from './measure.ts';

const SHAPE = [128, 128];
const LENGTH = 128 * 128;
/** The moment of β₁ = 0.9 is below float32's normal numbers after 830 of them. */
const STEPS = 3000;
const TURNS = 60;
const STEPS_A_TURN = 4;

const optimizers: Record<string, (params: Parameter[], kernels: Kernels | undefined) => Optimizer> = {
  AdamW: (params, kernels) => new AdamW(params, { ...(kernels && { kernels }) }),
  'AdamW, amsgrad': (params, kernels) => new AdamW(params, { amsgrad: true, ...(kernels && { kernels }) }),
  'AdamW, betas 0.5 and 0.9': (params, kernels) =>
    new AdamW(params, { betas: [0.5, 0.9], ...(kernels && { kernels }) }),
  'Adafactor, beta1 0.9': (params, kernels) => new Adafactor(params, { beta1: 0.9, ...(kernels && { kernels }) }),
  Lion: (params, kernels) => new Lion(params, { ...(kernels && { kernels }) }),
  // Its moment decays by the second: at 0.99 it would take 6,500 steps to sink.
  'Lion, betas 0.9 and 0.9': (params, kernels) => new Lion(params, { betas: [0.9, 0.9], ...(kernels && { kernels }) }),
  'SGD, momentum 0.9': (params, kernels) => new SGD(params, { lr: 0.1, momentum: 0.9, ...(kernels && { kernels }) }),
};

function numbers(dtype: DType, scale: number): Float32Array | Float64Array | Uint16Array {
  const wide = Float32Array.from({ length: LENGTH }, (_, k) => scale * Math.sin(k + 1));
  if (dtype === 'bfloat16') return toBfloat16(wide);
  return dtype === 'float64' ? Float64Array.from(wide) : wide;
}

const ENGINES: Readonly<Record<string, () => Kernels | undefined>> = {
  TypeScript: () => undefined,
  SIMD: () => simdKernels({ arenaBytes: 2 ** 20 }),
  'SIMD, float32 level': () => simdKernels({ arenaBytes: 2 ** 20, arithmetic: 'float32' }),
};

/** An optimizer with 50 ordinary steps behind it; `to` sets the gradient from now on. */
function started(name: string, dtype: DType, engine: string): { optimizer: Optimizer; to(scale: number): void } {
  const kernels = ENGINES[engine]!();
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
    for (let step = 0; step < STEPS_A_TURN; step++) optimizer.step();
    return performance.now() - start;
  };
  return spread(Array.from({ length: TURNS }, () => time(other) / time(ordinary)))[0];
}

/** Times as long as a usual step. */
export interface Ratios {
  readonly name: string;
  /** After {@link STEPS} steps without gradient, and the most on the way there. */
  readonly after: number;
  readonly most: number;
  /** After 1,000 steps with gradients of 1e-20. */
  readonly tiny: number;
}

function ratiosOf(name: string, dtype: DType, engine: string): Ratios {
  const ordinary = started(name, dtype, engine).optimizer;
  const zeros = started(name, dtype, engine);
  zeros.to(0);
  let most = 0;
  // The turns of each ratio are steps of these.
  for (let step = 0; step < STEPS; step += TURNS * STEPS_A_TURN)
    most = Math.max(most, ratio(ordinary, zeros.optimizer));
  const after = ratio(ordinary, zeros.optimizer);
  const tiny = started(name, dtype, engine);
  tiny.to(1e-20);
  for (let step = 0; step < 1000; step++) tiny.optimizer.step();
  const short = (x: number): number => Number(x.toFixed(2));
  return {
    name: `${name}; ${dtype}, ${engine}`,
    after: short(after),
    most: short(Math.max(most, after)),
    tiny: short(ratio(ordinary, tiny.optimizer)),
  };
}

function measured(): Ratios[] {
  const rows: Ratios[] = [];
  for (const dtype of ['float32', 'bfloat16', 'float64'] as const) {
    for (const engine of Object.keys(ENGINES)) {
      // Float64 is worked on in double at both levels.
      if (dtype === 'float64' && engine.includes('float32')) continue;
      for (const name of Object.keys(optimizers)) rows.push(ratiosOf(name, dtype, engine));
    }
  }
  return rows;
}

const FILE = fileURLToPath(import.meta.url);

/** All of them, measured in a process of its own. */
export function everyOptimizer(): Ratios[] {
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--import', 'tsx', FILE], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${FILE} ended with ${status}:\n${stderr}`);
  return JSON.parse(stdout) as Ratios[];
}

if (process.argv[1] === FILE) console.log(JSON.stringify(measured()));
