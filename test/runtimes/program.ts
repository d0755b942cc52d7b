/**
 * What every runtime is asked to do: train with every optimizer, number format and schedule, save half-way, go on from a save (its own or another
 * runtime's), and tell the bits. Uses nothing but the package and the language.
 */
import {
  Adafactor,
  AdafactorSchedule,
  AdamW,
  type DType,
  fromBfloat16,
  GradientAccumulator,
  getScheduler,
  type Kernels,
  type LRScheduler,
  type NumericArray,
  type Optimizer,
  Parameter,
  type SchedulerName,
  toBfloat16,
  toFloat16,
  typescriptKernels,
} from 'tensorless';
import { decodeTrainingState, encodeTrainingState, type TrainingParts } from 'tensorless/checkpoint';
import { simdKernels } from 'tensorless/simd';

/** Files by the name of their run, base64. */
export type Saves = Record<string, string>;
export interface Report {
  /** What the runtime says it is. */
  readonly runtime: string;
  /** Final bits by the name of their run. */
  readonly bits: Record<string, string>;
  readonly saves: Saves;
  /** What SIMD gave in the same runs. */
  readonly simd: string;
}

const STEPS = 12;
const CUT = 5;
const SHAPES = [[5, 7], [6], [2, 4, 3]];

/** Uniform in [-1, 1): integer arithmetic and one exact division. */
function random(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state = Math.imul(state, 1664525) + 1013904223;
    return (state >> 8) / 2 ** 23;
  };
}

function array(numbers: Float32Array, dtype: DType): NumericArray {
  if (dtype === 'bfloat16') return toBfloat16(numbers);
  if (dtype === 'float16') return toFloat16(numbers);
  return dtype === 'float64' ? Float64Array.from(numbers) : numbers;
}

/** 64 bits of FNV-1a, kept as two halves. */
export function hash(chunks: readonly ArrayBufferView[]): string {
  let low = 0x84222325;
  let high = 0xcbf29ce4;
  for (const chunk of chunks) {
    for (const byte of new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)) {
      low = (low ^ byte) >>> 0;
      const product = low * 0x1b3;
      high = (Math.imul(high, 0x1b3) + low * 0x100 + Math.floor(product / 2 ** 32)) >>> 0;
      low = product >>> 0;
    }
  }
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

type Make = (params: Parameter[]) => [Optimizer, LRScheduler];

/** Set for the runs with SIMD; their bits have to be those of the others. */
let kernels: Kernels = typescriptKernels;
const schedule = (name: SchedulerName, optimizer: Optimizer, special: Record<string, unknown> = {}): LRScheduler =>
  getScheduler<SchedulerName>(name, optimizer, {
    numWarmupSteps: 3,
    numTrainingSteps: STEPS,
    schedulerSpecificKwargs: special,
  });
const adafactor = { lr: 0.01, relativeStep: false, scaleParameter: false };

const OPTIMIZERS: Record<string, Make> = {
  'Adafactor, relative step': (params) => {
    const optimizer = new Adafactor(params, { warmupInit: true, kernels });
    return [optimizer, new AdafactorSchedule(optimizer)];
  },
  'Adafactor, momentum and decay': (params) => {
    const optimizer = new Adafactor(params, {
      ...adafactor,
      beta1: 0.9,
      weightDecay: 0.01,
      rounding: 'stochastic',
      kernels,
    });
    return [optimizer, schedule('cosine', optimizer)];
  },
  AdamW: (params) => {
    const optimizer = new AdamW(params, { lr: 0.01, rounding: 'stochastic', seed: 3, kernels });
    return [optimizer, schedule('polynomial', optimizer, { power: 1.7, lrEnd: 1e-5 })];
  },
  'AdamW, amsgrad': (params) => {
    const optimizer = new AdamW(params, { lr: 0.01, amsgrad: true, kernels });
    return [optimizer, schedule('inverse_sqrt', optimizer)];
  },
};

const SCHEDULES: Partial<Record<SchedulerName, Record<string, unknown>>> = {
  constant: {},
  constant_with_warmup: {},
  linear: {},
  cosine: {},
  cosine_with_restarts: { numCycles: 3 },
  polynomial: { power: 2.5 },
  inverse_sqrt: {},
  reduce_lr_on_plateau: { patience: 1, factor: 0.7 },
  cosine_with_min_lr: { minLrRate: 0.1 },
  cosine_warmup_with_min_lr: { minLrRate: 0.1, warmupLrRate: 0.2 },
  warmup_stable_decay: { numDecaySteps: 5, decayType: '1-sqrt' },
  greedy: { patience: 1 },
};

/** One run: to the cut, then from a save to the end. */
function train(make: Make, dtype: DType, saved: string | undefined): [bits: string, save: string] {
  const build = (): Required<Omit<TrainingParts, 'extra'>> & { parameters: Parameter[] } => {
    const next = random(7);
    const parameters = SHAPES.map((shape, i) => {
      const length = shape.reduce((a, b) => a * b, 1);
      return new Parameter(array(Float32Array.from({ length }, next), dtype), shape, { dtype, name: `p${i}` });
    });
    const [optimizer, scheduler] = make(parameters);
    return { parameters, optimizer, scheduler, accumulator: new GradientAccumulator(parameters) };
  };
  type Built = ReturnType<typeof build>;
  const advance = ({ parameters, optimizer, scheduler, accumulator }: Built, from: number, to: number): void => {
    for (let step = from; step < to; step++) {
      const next = random(1000 + step);
      (accumulator as GradientAccumulator).reset();
      for (let batch = 0; batch < 2; batch++) {
        for (const parameter of parameters) {
          parameter.grad = array(Float32Array.from({ length: parameter.data.length }, next), dtype);
        }
        (accumulator as GradientAccumulator).add();
      }
      (accumulator as GradientAccumulator).apply();
      (optimizer as Optimizer).step();
      (scheduler as LRScheduler).step(((step * 7) % 5) / 5);
    }
  };
  const first = build();
  advance(first, 0, CUT);
  const save = encodeTrainingState(first);
  const second = build();
  decodeTrainingState(saved === undefined ? save : fromBase64(saved), second);
  advance(second, CUT, STEPS);
  return [hash([encodeTrainingState(second)]), toBase64(save)];
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

export function toBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

/** The runtime's own name for itself; a library that pretends to be another is not asked. */
export function runtimeName(): string {
  const { Bun, Deno, navigator, process } = globalThis as {
    Bun?: { version: string };
    Deno?: { version: { deno: string } };
    navigator?: { userAgent?: string };
    process?: { versions?: { node?: string } };
  };
  if (Bun !== undefined) return `Bun ${Bun.version}`;
  if (Deno !== undefined) return `Deno ${Deno.version.deno}`;
  const agent = navigator?.userAgent ?? '';
  if (agent !== '' && !agent.startsWith('Node.js')) return agent;
  return `Node ${process?.versions?.node}`;
}

export function main(saves: Saves | undefined): Report {
  const bits: Record<string, string> = {};
  const written: Saves = {};
  const run = (name: string, make: Make, dtype: DType): void => {
    [bits[name], written[name]] = train(make, dtype, saves?.[name]);
  };
  for (const [name, make] of Object.entries(OPTIMIZERS)) {
    for (const dtype of ['float32', 'float64', 'bfloat16', 'float16'] as const) run(`${name}, ${dtype}`, make, dtype);
  }
  for (const [name, special] of Object.entries(SCHEDULES)) {
    const make: Make = (params) => {
      const optimizer = new AdamW(params, { lr: 0.01 });
      return [optimizer, schedule(name as SchedulerName, optimizer, special)];
    };
    run(`schedule ${name}`, make, 'float64');
  }
  const plain = { ...bits };
  let simd = 'the same bits';
  try {
    kernels = simdKernels();
  } catch {
    // workerd lets no program compile WebAssembly.
    simd = 'none';
  }
  if (simd !== 'none') {
    for (const [name, make] of Object.entries(OPTIMIZERS)) {
      for (const dtype of ['float32', 'float64', 'bfloat16', 'float16'] as const) {
        if (train(make, dtype, saves?.[`${name}, ${dtype}`])[0] !== plain[`${name}, ${dtype}`])
          simd = `other bits: ${name}, ${dtype}`;
      }
    }
    kernels = typescriptKernels;
  }
  bits.widening = hash([fromBfloat16(Uint16Array.from({ length: 65536 }, (_, k) => k))]);
  return { runtime: runtimeName(), bits, saves: written, simd };
}
