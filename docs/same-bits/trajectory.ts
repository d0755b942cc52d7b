/**
 * Steps whose every number is told by integers: what two runtimes have to agree on, to the last
 * bit. Only additions, subtractions and products of doubles make the gradients; all else is
 * the library's.
 */
import {
  Adafactor,
  AdamW,
  fromBfloat16,
  getCosineScheduleWithWarmup,
  type Kernels,
  Lion,
  type Optimizer,
  Parameter,
  SGD,
  toBfloat16,
  typescriptKernels,
} from 'tensorless';
import { Mirror, onGPU } from '../examples/words/mirror.ts';
import { random } from '../examples/words/random.ts';

export const OPTIMIZERS = ['Adafactor', 'AdamW', 'Lion', 'SGD'] as const;
export const FORMATS = ['float32', 'float64', 'bfloat16'] as const;

export interface Case {
  readonly optimizer: (typeof OPTIMIZERS)[number];
  readonly format: (typeof FORMATS)[number];
  readonly size: keyof typeof SIZES;
}

const MIXED = [
  ['matrix', [96, 64]],
  ['stack', [3, 20, 17]],
  ['vector', [65]],
] as const;

/**
 * `small`: a matrix, a stack of matrices, a vector, with and without Adafactor's factors. `short`:
 * the same, of so few steps that a GPU's programs can do them on a CPU. `large`: a matrix that
 * threads share.
 */
export const SIZES = {
  short: { steps: 20, shapes: MIXED },
  small: { steps: 1000, shapes: MIXED },
  large: { steps: 40, shapes: [['matrix', [640, 256]]] },
} as const;

export const CASES: readonly Case[] = [
  ...OPTIMIZERS.flatMap((optimizer) => FORMATS.map((format): Case => ({ optimizer, format, size: 'small' }))),
  ...(['Adafactor', 'AdamW'] as const).map((optimizer): Case => ({ optimizer, format: 'float32', size: 'large' })),
  ...OPTIMIZERS.map((optimizer): Case => ({ optimizer, format: 'float32', size: 'short' })),
];

export const keyOf = ({ optimizer, format, size }: Case): string => `${optimizer}-${format}-${size}`;

const MAKE: Readonly<Record<Case['optimizer'], (parameters: Parameter[], kernels: Kernels) => Optimizer>> = {
  Adafactor: (parameters, kernels) =>
    new Adafactor(parameters, { lr: 2e-2, relativeStep: false, rounding: 'stochastic', seed: 7, kernels }),
  AdamW: (parameters, kernels) => new AdamW(parameters, { lr: 5e-3, rounding: 'stochastic', seed: 7, kernels }),
  Lion: (parameters, kernels) =>
    new Lion(parameters, { lr: 1e-3, weightDecay: 0.1, rounding: 'stochastic', seed: 7, kernels }),
  SGD: (parameters, kernels) =>
    new SGD(parameters, { lr: 2e-2, momentum: 0.9, rounding: 'stochastic', seed: 7, kernels }),
};

function parameter(
  name: string,
  shape: readonly number[],
  format: Case['format'],
  number: number,
  kernels: Kernels,
): Parameter {
  const length = shape.reduce((product, n) => product * n, 1);
  const start = Float64Array.from({ length }, (_, i) => random(number, i) - 0.5);
  if (format === 'bfloat16') return new Parameter(toBfloat16(Float32Array.from(start)), shape, { dtype: format, name });
  // Where the kernels work without copying, and threads together.
  const data = format === 'float32' ? kernels.allocate('float32', length) : kernels.allocate('float64', length);
  data.set(start);
  return new Parameter(data, shape, { name });
}

/** Towards a target, with noise that does not end: mean square error of a noisy teacher. */
function gradients({ data, dtype }: Parameter, into: Float32Array | Float64Array, number: number, step: number): void {
  const weights = dtype === 'bfloat16' ? fromBfloat16(data as Uint16Array) : (data as Float32Array);
  for (let i = 0; i < into.length; i++) {
    const target = random(number + 100, i) - 0.5;
    const noise = random(number + 200, step * into.length + i) - 0.5;
    into[i] = weights[i]! - target + noise * 0.25;
  }
}

/** SHA-256 of the weights' bytes, in hex. */
async function hash(parameters: readonly Parameter[]): Promise<string> {
  const bytes = parameters.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const all = new Uint8Array(bytes.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of bytes) {
    all.set(part, at);
    at += part.length;
  }
  const digest = await crypto.subtle.digest('SHA-256', all);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The hash of the weights after the case's steps. */
export async function trajectory(
  { optimizer, format, size }: Case,
  kernels: Kernels = typescriptKernels,
  asynchronous = false,
): Promise<string> {
  const { steps, shapes } = SIZES[size];
  const memory = onGPU(kernels) ? typescriptKernels : kernels;
  const parameters = shapes.map(([name, shape], number) => parameter(name, shape, format, number, memory));
  const mirror = onGPU(kernels) ? new Mirror(kernels, parameters) : undefined;
  const made = MAKE[optimizer]([...(mirror?.parameters ?? parameters)], kernels);
  const scheduler = getCosineScheduleWithWarmup(made, { numWarmupSteps: steps / 20, numTrainingSteps: steps });
  const grads = parameters.map(({ data: { length } }) =>
    format === 'float64' ? memory.allocate('float64', length) : memory.allocate('float32', length),
  );
  for (let step = 0; step < steps; step++) {
    for (const [number, p] of parameters.entries()) {
      gradients(p, grads[number]!, number, step);
      p.grad = grads[number]!;
    }
    if (mirror !== undefined) await mirror.step(made);
    else if (asynchronous) await made.stepAsync();
    else made.step();
    scheduler.step();
  }
  const found = await hash(parameters);
  made.dispose();
  mirror?.free();
  return found;
}
