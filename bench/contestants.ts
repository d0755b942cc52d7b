/**
 * What the bench runs side by side: this library's engines here, its peers in peers/ and
 * pytorch.ts.
 */
import {
  Adafactor,
  AdamW,
  type DType,
  fromBfloat16,
  fromFloat16,
  type Kernels,
  type NumericArray,
  Parameter,
  toBfloat16,
  toFloat16,
  typescriptKernels,
} from 'tensorless';
import type { ParallelKernels } from 'tensorless/parallel';
import { Bench } from 'tinybench';

/** Steps of two optimizers; clipping by the norm, and adding to a sum of gradients. */
export type Formula = 'adafactor' | 'adamw' | 'clip' | 'accumulate';
export type Shape = readonly [rows: number, cols: number];

/** A contestant at work on some matrices. */
export interface Running {
  /** Nanoseconds per step: the median over at least `milliseconds`. */
  measure(milliseconds: number): Promise<number>;
  /** The first matrix's weights after this many further steps. */
  advance(steps: number): Promise<Float32Array>;
  /**
   * Nanoseconds per step of so many with this number in all gradients: the mean of the medians of
   * {@link WINDOW} steps each.
   */
  stretch(steps: number, gradient: number): Promise<number>;
  close(): void | Promise<void>;
}

export interface Contestant {
  readonly name: string;
  readonly formula: Formula;
  /** Its weight decay: TensorFlow.js has Adam without one only. */
  readonly decay: number;
  /** Elements of the largest case it is asked to do, and parameters: some would take minutes. */
  readonly most?: number;
  readonly mostParameters?: number;
  start(shapes: readonly Shape[]): Promise<Running>;
}

/** What else the machine does is left out by a median of so many steps. */
export const WINDOW = 50;

export const LR = 1e-3;
export const DECAY = 1e-2;

/**
 * The same made-up weights (`salt` 7919) and gradients (`salt` 104729) in every language: exact in
 * float32 after one rounding.
 */
export function values(length: number, salt: number): Float32Array {
  return Float32Array.from({ length }, (_, k) => ((k * salt) % 1009) / 1009 - 0.5);
}

/** A step written in JavaScript, timed by tinybench. */
export interface Stepper {
  step(): void | Promise<void>;
  weights(): Float32Array | Promise<Float32Array>;
  /** Puts a number into all gradients. */
  fill?(gradient: number): void;
  close(): void | Promise<void>;
}

/** A step so many times over; promises are awaited, and only those. */
function several(step: Stepper['step'], repeats: number): () => void | Promise<void> {
  return () => {
    const first = step();
    if (first === undefined) {
      for (let i = 1; i < repeats; i++) void step();
      return undefined;
    }
    return (async () => {
      await first;
      for (let i = 1; i < repeats; i++) await step();
    })();
  };
}

export function timed(name: string, { step, weights, fill, close }: Stepper): Running {
  return {
    async measure(milliseconds) {
      // A step of a few microseconds is timed with others: reading the clock takes a part of one.
      const begun = performance.now();
      const first = step();
      await first;
      let steps = 1;
      for (; steps < 10 && performance.now() - begun < milliseconds / 4; steps++) await step();
      const repeats = Math.max(1, Math.min(20, Math.ceil(steps / 10 / (performance.now() - begun))));
      const bench = new Bench({ time: milliseconds, warmup: false, iterations: 3 });
      bench.add(name, repeats === 1 ? step : several(step, repeats), { async: first instanceof Promise });
      const [task] = await bench.run();
      if (task?.result.state !== 'completed') throw new Error(`${name} did not finish`, { cause: task?.result });
      return (task.result.latency.p50 * 1e6) / repeats;
    },
    async advance(steps) {
      for (let i = 0; i < steps; i++) await step();
      return weights();
    },
    async stretch(steps, gradient) {
      if (fill === undefined) throw new Error(`${name} cannot be given other gradients`);
      fill(gradient);
      const medians: number[] = [];
      const times: number[] = [];
      for (let i = 0; i < steps; i++) {
        const begun = performance.now();
        const done = step();
        if (done !== undefined) await done;
        times.push((performance.now() - begun) * 1e6);
        if (times.length < WINDOW && i + 1 < steps) continue;
        medians.push(times.toSorted((a, b) => a - b)[times.length >> 1]!);
        times.length = 0;
      }
      return medians.reduce((sum, median) => sum + median, 0) / medians.length;
    },
    close,
  };
}

function widened(data: NumericArray, dtype: DType): Float32Array {
  if (!(data instanceof Uint16Array)) return Float32Array.from(data);
  return dtype === 'bfloat16' ? fromBfloat16(data) : fromFloat16(data);
}

interface Ours {
  readonly dtype?: DType;
  readonly kernels?: (shapes: readonly Shape[]) => Kernels | Promise<Kernels>;
  /** Steps on all threads of the kernels, which are closed afterwards. */
  readonly threads?: boolean;
  /** Whether weights and gradients live in the kernels' memory. */
  readonly inside?: boolean;
  readonly decay?: number;
}

/** This library: one optimizer over all matrices. */
export function ours(name: string, formula: 'adafactor' | 'adamw', options: Ours = {}): Contestant {
  const { dtype = 'float32', inside = false, decay = formula === 'adamw' ? DECAY : 0 } = options;
  return {
    name,
    formula,
    decay,
    async start(shapes) {
      const kernels = (await options.kernels?.(shapes)) ?? typescriptKernels;
      const place = (numbers: Float32Array): Float32Array | Float64Array | Uint16Array => {
        if (dtype === 'bfloat16') return toBfloat16(numbers);
        if (dtype === 'float16') return toFloat16(numbers);
        if (dtype === 'float64' && !inside) return Float64Array.from(numbers);
        if (!inside) return numbers;
        const array =
          dtype === 'float64'
            ? kernels.allocate('float64', numbers.length)
            : kernels.allocate('float32', numbers.length);
        array.set(numbers);
        return array;
      };
      const parameters = shapes.map(([rows, cols]) => {
        const parameter = new Parameter(place(values(rows * cols, 7919)), [rows, cols], { dtype });
        parameter.grad = place(values(rows * cols, 104729));
        return parameter;
      });
      const optimizer =
        formula === 'adafactor'
          ? new Adafactor(parameters, { kernels })
          : new AdamW(parameters, { lr: LR, weightDecay: decay, kernels });
      return timed(name, {
        step: options.threads === true ? async () => void (await optimizer.stepAsync()) : () => void optimizer.step(),
        weights: () => widened(parameters[0]!.data, dtype),
        fill(gradient) {
          for (const { grad } of parameters) (grad as Float32Array).fill(gradient);
        },
        async close() {
          optimizer.dispose();
          if (inside) {
            for (const { data, grad } of parameters) {
              kernels.free(data as Float32Array);
              kernels.free(grad as Float32Array);
            }
          }
          if (options.threads === true) await (kernels as ParallelKernels).close();
        },
      });
    },
  };
}
