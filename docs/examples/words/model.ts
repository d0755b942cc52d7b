/**
 * A language model over letters: the last letters' embeddings, one hidden layer, softmax over the
 * next letter. Bengio, Ducharme, Vincent & Jauvin 2003, "A Neural Probabilistic Language Model",
 * with a rectifier for the tanh. Plain loops; all of a batch at once.
 *
 * Only exactly rounded operations reach a weight (+ - * / and comparisons; exp is built from them
 * below), so training gives the same bits in every JavaScript engine.
 */
import { SYMBOLS } from './data.ts';
import { random } from './random.ts';

export type Values = Float32Array | Float64Array;

export interface Sizes {
  /** Letters that the model looks back. */
  readonly context: number;
  /** Numbers per letter. */
  readonly embedding: number;
  /** Hidden units. */
  readonly hidden: number;
}

/** The weights, or their gradients; matrices are [outputs, inputs], row by row. */
export interface Weights<A extends Values = Float32Array> {
  readonly embedding: A;
  readonly hidden: A;
  readonly hiddenBias: A;
  readonly output: A;
  readonly outputBias: A;
}

/** Shape of each array of weights. */
export function shapes({ context, embedding, hidden }: Sizes): Record<keyof Weights, number[]> {
  return {
    embedding: [SYMBOLS, embedding],
    hidden: [hidden, context * embedding],
    hiddenBias: [hidden],
    output: [SYMBOLS, hidden],
    outputBias: [SYMBOLS],
  };
}

/**
 * Uniform numbers of variance 2 / inputs (He et al. 2015) in the hidden layer, 1 / inputs in the
 * output, 1/4 in the embedding; biases 0.
 */
export function initialise(sizes: Sizes, seed: number): Weights {
  const shape = shapes(sizes);
  const matrix = (name: keyof Weights, variance: number, stream: number): Float32Array => {
    const [rows, cols] = shape[name] as [number, number];
    const bound = Math.sqrt(3 * variance);
    return Float32Array.from({ length: rows * cols }, (_, k) => (2 * random(seed + stream, k) - 1) * bound);
  };
  return {
    embedding: matrix('embedding', 1 / 4, 101),
    hidden: matrix('hidden', 2 / (sizes.context * sizes.embedding), 102),
    hiddenBias: new Float32Array(sizes.hidden),
    output: matrix('output', 1 / sizes.hidden, 103),
    outputBias: new Float32Array(SYMBOLS),
  };
}

/** Powers of two from 2^-1074 on, made by exact doubling and halving. */
const powersOfTwo = new Float64Array(2098);
powersOfTwo[1074] = 1;
for (let k = 1075; k < 2098; k++) powersOfTwo[k] = powersOfTwo[k - 1]! * 2;
for (let k = 1073; k >= 0; k--) powersOfTwo[k] = powersOfTwo[k + 1]! / 2;

/**
 * e^x for x <= 0, good to 1e-14: x = k ln 2 + r, and the Taylor series of e^r. Math.exp differs
 * between engines in its last bit.
 */
export function exp(x: number): number {
  if (x < -700) return 0;
  const k = Math.round(x * Math.LOG2E);
  const r = x - k * 0.6931471803691238 - k * 1.9082149292705877e-10;
  let sum = 1;
  for (let n = 13; n > 0; n--) sum = 1 + (sum * r) / n;
  return sum * powersOfTwo[k + 1074]!;
}

/** Scratch for batches of up to `capacity` letters. */
export interface Workspace<A extends Values = Float32Array> {
  readonly capacity: number;
  readonly inputs: A;
  readonly hidden: A;
  readonly probabilities: A;
  readonly hiddenGradient: A;
  readonly inputGradient: A;
}

export function workspace<A extends Values>(sizes: Sizes, capacity: number, make: (length: number) => A): Workspace<A> {
  const width = sizes.context * sizes.embedding;
  return {
    capacity,
    inputs: make(capacity * width),
    hidden: make(capacity * sizes.hidden),
    probabilities: make(capacity * SYMBOLS),
    hiddenGradient: make(sizes.hidden),
    inputGradient: make(width),
  };
}

/** y = W x + b for each of `count` rows x. Four outputs at once share the loads of x. */
function linear(w: Values, b: Values, x: Values, y: Values, count: number, inputs: number, outputs: number): void {
  for (let n = 0; n < count; n++) {
    const at = n * inputs;
    let j = 0;
    for (; j + 3 < outputs; j += 4) {
      let s0 = b[j]!;
      let s1 = b[j + 1]!;
      let s2 = b[j + 2]!;
      let s3 = b[j + 3]!;
      const w0 = j * inputs;
      const w1 = w0 + inputs;
      const w2 = w1 + inputs;
      const w3 = w2 + inputs;
      for (let i = 0; i < inputs; i++) {
        const value = x[at + i]!;
        s0 += w[w0 + i]! * value;
        s1 += w[w1 + i]! * value;
        s2 += w[w2 + i]! * value;
        s3 += w[w3 + i]! * value;
      }
      y[n * outputs + j] = s0;
      y[n * outputs + j + 1] = s1;
      y[n * outputs + j + 2] = s2;
      y[n * outputs + j + 3] = s3;
    }
    for (; j < outputs; j++) {
      let sum = b[j]!;
      for (let i = 0; i < inputs; i++) sum += w[j * inputs + i]! * x[at + i]!;
      y[n * outputs + j] = sum;
    }
  }
}

/**
 * Probabilities of the next letter for `count` contexts (`context` symbols each), left in the
 * workspace.
 */
export function forward<A extends Values>(
  weights: Weights<A>,
  sizes: Sizes,
  contexts: Uint8Array,
  count: number,
  space: Workspace<A>,
): void {
  const { context, embedding, hidden } = sizes;
  const { inputs, probabilities } = space;
  for (let k = 0; k < count * context; k++) {
    const from = contexts[k]! * embedding;
    for (let e = 0; e < embedding; e++) inputs[k * embedding + e] = weights.embedding[from + e]!;
  }
  linear(weights.hidden, weights.hiddenBias, inputs, space.hidden, count, context * embedding, hidden);
  for (let k = 0; k < count * hidden; k++) if (space.hidden[k]! < 0) space.hidden[k] = 0;
  linear(weights.output, weights.outputBias, space.hidden, probabilities, count, hidden, SYMBOLS);
  for (let n = 0; n < count; n++) {
    const at = n * SYMBOLS;
    let largest = probabilities[at]!;
    for (let s = 1; s < SYMBOLS; s++) if (probabilities[at + s]! > largest) largest = probabilities[at + s]!;
    let sum = 0;
    for (let s = 0; s < SYMBOLS; s++) {
      const e = exp(probabilities[at + s]! - largest);
      probabilities[at + s] = e;
      sum += e;
    }
    for (let s = 0; s < SYMBOLS; s++) probabilities[at + s]! /= sum;
  }
}

/**
 * Mean negative log-likelihood of the targets, in nats per letter, after {@link forward}. For
 * people: no weight depends on it.
 */
export function loss(targets: Uint8Array, count: number, space: Workspace<Values>): number {
  let sum = 0;
  for (let n = 0; n < count; n++) sum -= Math.log(Math.max(space.probabilities[n * SYMBOLS + targets[n]!]!, 1e-30));
  return sum / count;
}

/**
 * Gradients of the mean loss with respect to all weights, after {@link forward}; `gradients` is
 * overwritten.
 */
export function backward<A extends Values>(
  weights: Weights<A>,
  sizes: Sizes,
  contexts: Uint8Array,
  targets: Uint8Array,
  count: number,
  space: Workspace<A>,
  gradients: Weights<A>,
): void {
  const { context, embedding, hidden } = sizes;
  const width = context * embedding;
  const { probabilities, hiddenGradient, inputGradient, inputs } = space;
  for (const gradient of Object.values(gradients)) gradient.fill(0);
  for (let n = 0; n < count; n++) {
    const at = n * hidden;
    hiddenGradient.fill(0);
    for (let s = 0; s < SYMBOLS; s++) {
      // Softmax and log-likelihood together: probability minus one at the target.
      const d = (probabilities[n * SYMBOLS + s]! - (s === targets[n] ? 1 : 0)) / count;
      gradients.outputBias[s]! += d;
      const row = s * hidden;
      for (let j = 0; j < hidden; j++) {
        gradients.output[row + j]! += d * space.hidden[at + j]!;
        hiddenGradient[j]! += d * weights.output[row + j]!;
      }
    }
    inputGradient.fill(0);
    const from = n * width;
    for (let j = 0; j < hidden; j++) {
      // The rectifier lets no gradient through where it gave zero.
      if (space.hidden[at + j]! <= 0) continue;
      const d = hiddenGradient[j]!;
      gradients.hiddenBias[j]! += d;
      const row = j * width;
      for (let i = 0; i < width; i++) {
        gradients.hidden[row + i]! += d * inputs[from + i]!;
        inputGradient[i]! += d * weights.hidden[row + i]!;
      }
    }
    for (let c = 0; c < context; c++) {
      const to = contexts[n * context + c]! * embedding;
      for (let e = 0; e < embedding; e++) gradients.embedding[to + e]! += inputGradient[c * embedding + e]!;
    }
  }
}
