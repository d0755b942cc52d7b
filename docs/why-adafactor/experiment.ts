/** What the next step of tensorless's Adafactor does with a gradient, and with what came before. */
import { Adafactor, type OptimizerStateDict, Parameter, type StateTensor } from 'tensorless';
import { randomInt32 } from '../examples/words/random.ts';

export const ROWS = 8;
export const COLS = 10;
const SIZE = ROWS * COLS;

export type Matrix = Float64Array<ArrayBufferLike>;

export interface Outlook {
  /** Running means of squares, along rows and along columns. */
  readonly r: Matrix;
  readonly c: Matrix;
  /** R C / mean(R). */
  readonly estimate: Matrix;
  /** The second moment in full, which only this page keeps. */
  readonly exact: Matrix;
  /** The update, clipped. */
  readonly update: Matrix;
  /** Its root mean square before the clip. */
  readonly rms: number;
  readonly clipped: number;
  /** Decay of the second moments at this step. */
  readonly beta: number;
}

const rootMeanSquare = (values: Matrix): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);

export class Experiment {
  /** Steps taken. */
  steps = 0;
  #state: OptimizerStateDict | undefined;
  #exact: Matrix = new Float64Array(SIZE);

  /** One step of the library on weights of zero, with a rate of 1: what they become is -U. */
  #step(gradient: Matrix, clipThreshold: number): { weight: Parameter<Float64Array>; optimizer: Adafactor } {
    const weight = new Parameter(new Float64Array(SIZE), [ROWS, COLS], { name: 'weight' });
    const options = { lr: 1, relativeStep: false, scaleParameter: false, clipThreshold };
    const optimizer = new Adafactor([weight], options);
    if (this.#state !== undefined) optimizer.loadStateDict(this.#state);
    optimizer.paramGroups[0]!.clipThreshold = clipThreshold;
    weight.grad = gradient as Float64Array<ArrayBuffer>;
    optimizer.step();
    return { weight, optimizer };
  }

  /** What a step with this gradient would do; nothing changes. */
  look(gradient: Matrix, clipThreshold: number): Outlook {
    const { weight, optimizer } = this.#step(gradient, clipThreshold);
    const free = this.#step(gradient, 1e30).weight;
    const state = optimizer.stateDict().state['0'] as Record<string, StateTensor>;
    const r = Float64Array.from(state.exp_avg_sq_row!.data as Float64Array);
    const c = Float64Array.from(state.exp_avg_sq_col!.data as Float64Array);
    const mean = r.reduce((sum, value) => sum + value, 0) / ROWS;
    const beta = this.#beta();
    return {
      r,
      c,
      beta,
      estimate: Float64Array.from({ length: SIZE }, (_, i) => (r[Math.floor(i / COLS)]! * c[i % COLS]!) / mean),
      exact: this.#moment(gradient),
      update: weight.data.map((value) => -value),
      rms: rootMeanSquare(free.data),
      clipped: rootMeanSquare(weight.data),
    };
  }

  /** Takes the step. */
  take(gradient: Matrix): void {
    const { optimizer } = this.#step(gradient, 1);
    this.#exact = this.#moment(gradient);
    this.#state = optimizer.stateDict();
    this.steps++;
  }

  #beta(): number {
    return 1 - (this.steps + 1) ** -0.8;
  }

  #moment(gradient: Matrix): Matrix {
    const beta = this.#beta();
    return this.#exact.map((value, i) => beta * value + (1 - beta) * gradient[i]! ** 2);
  }
}

/** Between -1 and 1, the same at every visit. */
const noise = (seed: number, i: number): number => randomInt32(seed, i) / 2 ** 31 - 1;

const of = (cell: (row: number, col: number) => number): Matrix =>
  Float64Array.from({ length: SIZE }, (_, i) => cell(Math.floor(i / COLS), i % COLS));

/** Gradients to begin with. */
export const PATTERNS: Readonly<Record<string, () => Matrix>> = {
  'Activation × error': () => of((row, col) => noise(5, row) * noise(6, col)),
  'Row and column': () => of((row, col) => (row === 2 || col === 6 ? 0.9 : 0.25)),
  Noise: () => of((row, col) => noise(3, row * COLS + col)),
  Outlier: () => of((row, col) => (row === 3 && col === 4 ? 1 : 0.08 * noise(4, row * COLS + col))),
  'A dead row': () => of((row, col) => (row === 5 ? 0 : noise(5, row) * noise(6, col))),
};

/** A gradient like that one: the next batch of the same training. */
export const likeIt = (gradient: Matrix, seed: number): Matrix =>
  gradient.map((value, i) => value * (1 + 0.5 * noise(seed + 50, i)));
