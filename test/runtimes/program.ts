/**
 * What every runtime is asked to do: train with every optimizer, number format and schedule, save
 * half-way, go on from a save (its own or another runtime's), and tell the bits. Uses nothing but
 * the package and the language.
 */
import {
  Adafactor,
  AdafactorSchedule,
  AdamW,
  type DType,
  type Float16ArrayLike,
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
import { type ParallelKernels, parallelKernels, type WorkerLike } from 'tensorless/parallel';
import { simdKernels } from 'tensorless/simd';

/** Files by the name of their run, base64. */
export type Saves = Record<string, string>;
export interface Report {
  /** What the runtime says it is. */
  readonly runtime: string;
  /** Final bits by the name of their run. */
  readonly bits: Record<string, string>;
  readonly saves: Saves;
  /**
   * What SIMD gave in the same runs, Float16Arrays in those of float16, and three threads in runs
   * of their own.
   */
  readonly simd: Outcome;
  readonly float16Array: Outcome;
  readonly threads: Outcome;
}
/** "none": the runtime does not have it. Else "other bits" and where. */
export type Outcome = 'the same bits' | 'none' | `other bits: ${string}`;

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

/** Set for the runs with Float16Arrays. */
let Float16: (new (buffer: ArrayBufferLike) => Float16ArrayLike) | undefined;

/** As the runtime's own array of float16 numbers, where that is to be tried. */
function native(bits: NumericArray, dtype: DType): NumericArray | Float16ArrayLike {
  return dtype === 'float16' && Float16 !== undefined ? new Float16(bits.buffer) : bits;
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
      return new Parameter(native(array(Float32Array.from({ length }, next), dtype), dtype), shape, {
        dtype,
        name: `p${i}`,
      });
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
          parameter.grad = native(array(Float32Array.from({ length: parameter.data.length }, next), dtype), dtype);
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

/** The optimizers' runs once more, with something else under them. */
function again(plain: Record<string, string>, saves: Saves | undefined, dtypes: readonly DType[]): Outcome {
  for (const [name, make] of Object.entries(OPTIMIZERS)) {
    for (const dtype of dtypes) {
      const run = `${name}, ${dtype}`;
      if (train(make, dtype, saves?.[run])[0] !== plain[run]) return `other bits: ${run}`;
    }
  }
  return 'the same bits';
}

const DTYPES: readonly DType[] = ['float32', 'float64', 'bfloat16', 'float16'];

function withSimd(plain: Record<string, string>, saves: Saves | undefined): Outcome {
  try {
    kernels = simdKernels();
  } catch {
    // workerd lets no program compile WebAssembly.
    return 'none';
  }
  const outcome = again(plain, saves, DTYPES);
  kernels = typescriptKernels;
  return outcome;
}

function withFloat16Array(plain: Record<string, string>, saves: Saves | undefined): Outcome {
  Float16 = (globalThis as { Float16Array?: typeof Float16 }).Float16Array;
  if (Float16 === undefined) return 'none';
  const outcome = again(plain, saves, ['float16']);
  Float16 = undefined;
  return outcome;
}

/** Steps large enough to be split, on three threads and on one. */
async function withThreads(createWorker: (() => WorkerLike) | undefined): Promise<Outcome> {
  let threads: ParallelKernels;
  try {
    threads = await parallelKernels({ threads: 3, ...(createWorker === undefined ? {} : { createWorker }) });
  } catch (error) {
    if (/no SharedArrayBuffer|no WebAssembly|refuses to compile|no workers/.test(String(error))) return 'none';
    throw error;
  }
  const shapes = [[300, 401], [50_001], [3, 70, 90]];
  for (const dtype of ['float32', 'bfloat16'] as const) {
    const results: string[] = [];
    for (const several of [true, false]) {
      const next = random(11);
      const place = (numbers: Float32Array): NumericArray => {
        const from = array(numbers, dtype);
        if (!several) return from;
        const to =
          from instanceof Uint16Array
            ? new Uint16Array(new SharedArrayBuffer(from.byteLength))
            : threads.allocate('float32', from.length);
        to.set(from);
        return to;
      };
      const parameters = shapes.map((shape) => {
        const length = shape.reduce((a, b) => a * b, 1);
        const parameter = new Parameter(place(Float32Array.from({ length }, next)), shape, { dtype });
        parameter.grad = place(Float32Array.from({ length }, next));
        return parameter;
      });
      const optimizer = new Adafactor(parameters, several ? { kernels: threads } : {});
      for (let step = 0; step < 4; step++) {
        if (several) await optimizer.stepAsync();
        else optimizer.step();
        // Late workers get a part of the next step.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      results.push(hash(parameters.map(({ data }) => data)));
    }
    if (results[0] !== results[1]) return `other bits: ${dtype}`;
  }
  if (threads.size !== 3) return `other bits: ${threads.size} threads instead of 3`;
  await threads.close();
  return 'the same bits';
}

/** Everything; `createWorker` where the package's files are bundled. */
export async function main(saves: Saves | undefined, createWorker?: () => WorkerLike): Promise<Report> {
  const bits: Record<string, string> = {};
  const written: Saves = {};
  const run = (name: string, make: Make, dtype: DType): void => {
    [bits[name], written[name]] = train(make, dtype, saves?.[name]);
  };
  for (const [name, make] of Object.entries(OPTIMIZERS)) {
    for (const dtype of DTYPES) run(`${name}, ${dtype}`, make, dtype);
  }
  for (const [name, special] of Object.entries(SCHEDULES)) {
    const make: Make = (params) => {
      const optimizer = new AdamW(params, { lr: 0.01 });
      return [optimizer, schedule(name as SchedulerName, optimizer, special)];
    };
    run(`schedule ${name}`, make, 'float64');
  }
  const simd = withSimd(bits, saves);
  if (simd !== 'none') {
    // Bits of their own, so that they are runs like the others.
    kernels = simdKernels({ arithmetic: 'float32' });
    for (const [name, make] of Object.entries(OPTIMIZERS)) {
      for (const dtype of DTYPES) run(`float32 level, ${name}, ${dtype}`, make, dtype);
    }
    kernels = typescriptKernels;
  }
  const float16Array = withFloat16Array(bits, saves);
  const threads = await withThreads(createWorker);
  bits.widening = hash([fromBfloat16(Uint16Array.from({ length: 65536 }, (_, k) => k))]);
  return { runtime: runtimeName(), bits, saves: written, simd, float16Array, threads };
}
