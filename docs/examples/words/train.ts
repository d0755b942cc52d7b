/**
 * Training the word model with tensorless; nothing here knows of files, terminals or browsers. A
 * run is told by its options alone: batches, weights and steps depend on the seed and the step
 * number, so that a run restored from a checkpoint ends with the same bits.
 */
import {
  Adafactor,
  AdamW,
  getScheduler,
  type Kernels,
  type LRScheduler,
  type Optimizer,
  type OptimizerStateDict,
  Parameter,
  type SchedulerName,
  typescriptKernels,
} from 'tensorless';
import type { TrainingParts } from 'tensorless/checkpoint';
import { decode, type Split, SYMBOLS } from './data.ts';
import { Mirror, onGPU } from './mirror.ts';
import { backward, forward, initialise, loss, type Sizes, shapes, type Weights, workspace } from './model.ts';
import { random, randomInt32 } from './random.ts';

/** Schedules that need no metric; with the options that some of them insist on. */
export const SCHEDULES = {
  constant: {},
  constant_with_warmup: {},
  linear: {},
  cosine: {},
  cosine_with_restarts: {},
  polynomial: {},
  inverse_sqrt: {},
  cosine_with_min_lr: { minLrRate: 0.1 },
  cosine_warmup_with_min_lr: { minLrRate: 0.1 },
  warmup_stable_decay: {},
} as const;

export type ScheduleName = keyof typeof SCHEDULES;

export interface RunOptions {
  readonly seed: number;
  readonly steps: number;
  readonly optimizer: 'adafactor' | 'adamw';
  readonly schedule: ScheduleName;
}

export const DEFAULTS: RunOptions = { seed: 1, steps: 1200, optimizer: 'adafactor', schedule: 'linear' };

export const SIZES: Sizes = { context: 8, embedding: 24, hidden: 192 };

/** Words per step. */
const BATCH = 24;
/** Letters per pass over the held-out words. */
const CHUNK = 512;
const LONGEST_WORD = 64;

export class Run {
  readonly options: RunOptions;
  readonly parameters: readonly Parameter[];
  readonly optimizer: Optimizer;
  readonly scheduler: LRScheduler;
  /** Steps done. */
  step = 0;
  /** Time that the optimizer's steps took, in all. */
  optimizerMilliseconds = 0;
  /** Loss and learning rate of every tenth step, for the picture. */
  history: { step: number; loss: number; lr: number }[] = [];

  readonly split: Split;
  readonly #weights: Weights;
  readonly #gradients: Weights;
  readonly #mirror: Mirror | undefined;
  readonly #space = workspace(SIZES, BATCH * LONGEST_WORD, (length) => new Float32Array(length));
  readonly #contexts = new Uint8Array(BATCH * LONGEST_WORD * SIZES.context);
  readonly #targets = new Uint8Array(BATCH * LONGEST_WORD);

  /** `kernels`: which loops do the optimizer's work; the weights do not depend on it. */
  constructor(options: RunOptions, split: Split, kernels: Kernels = typescriptKernels) {
    this.options = options;
    this.split = split;
    const initial = initialise(SIZES, options.seed);
    const shape = shapes(SIZES);
    const names = Object.keys(shape) as (keyof Weights)[];
    // Where the kernels work without copying.
    const memory = onGPU(kernels) ? typescriptKernels : kernels;
    const arrays = (fill: (array: Float32Array, name: keyof Weights) => void): Weights =>
      Object.fromEntries(
        names.map((name) => {
          const array = memory.allocate('float32', initial[name].length);
          fill(array, name);
          return [name, array];
        }),
      ) as Record<keyof Weights, Float32Array>;
    this.#weights = arrays((array, name) => array.set(initial[name]));
    this.#gradients = arrays((array) => array.fill(0));
    this.parameters = names.map((name) => new Parameter(this.#weights[name], shape[name], { name }));
    this.#mirror = onGPU(kernels) ? new Mirror(kernels, this.parameters) : undefined;
    const stepped = this.#mirror?.parameters ?? this.parameters;
    // T5's way of using Adafactor: an external learning rate with warm-up, no parameter scale.
    this.optimizer =
      options.optimizer === 'adafactor'
        ? new Adafactor(stepped, { lr: 2e-2, scaleParameter: false, relativeStep: false, kernels })
        : new AdamW(stepped, { lr: 4e-3, kernels });
    const numWarmupSteps = Math.min(50, Math.floor(options.steps / 10));
    const schedulerSpecificKwargs: Record<string, unknown> =
      options.schedule === 'warmup_stable_decay'
        ? { numDecaySteps: Math.floor(options.steps / 4) }
        : { ...SCHEDULES[options.schedule] };
    this.scheduler = getScheduler<SchedulerName>(options.schedule, this.optimizer, {
      numWarmupSteps,
      numTrainingSteps: options.steps,
      schedulerSpecificKwargs,
    });
  }

  /** One step; returns the loss of its batch. */
  trainStep(): number {
    if (this.#mirror !== undefined)
      throw new Error('trainStep: weights come back from a GPU later; await trainStepAsync');
    const batchLoss = this.#backward();
    const begun = performance.now();
    this.optimizer.step();
    this.#advance(begun);
    return batchLoss;
  }

  /** The same step, by kernels that do it elsewhere: on threads, or on a GPU. */
  async trainStepAsync(): Promise<number> {
    const batchLoss = this.#backward();
    const begun = performance.now();
    if (this.#mirror !== undefined) await this.#mirror.step(this.optimizer);
    else await this.optimizer.stepAsync();
    this.#advance(begun);
    return batchLoss;
  }

  #advance(begun: number): void {
    this.optimizerMilliseconds += performance.now() - begun;
    this.scheduler.step();
    this.step++;
  }

  /** Gradients of the next batch; returns its loss. */
  #backward(): number {
    const { train } = this.split;
    let count = 0;
    for (let w = 0; w < BATCH; w++) {
      const word = train[randomInt32(this.options.seed + 7, this.step * BATCH + w) % train.length]!;
      count = this.#addWord(word, count);
    }
    forward(this.#weights, SIZES, this.#contexts, count, this.#space);
    const batchLoss = loss(this.#targets, count, this.#space);
    backward(this.#weights, SIZES, this.#contexts, this.#targets, count, this.#space, this.#gradients);
    for (const parameter of this.parameters) parameter.grad = this.#gradients[parameter.name as keyof Weights];
    if (this.step % 10 === 0) this.history.push({ step: this.step, loss: batchLoss, lr: this.lr });
    return batchLoss;
  }

  /** The learning rate of the next step. */
  get lr(): number {
    return this.scheduler.getLastLr()[0]!;
  }

  /**
   * Appends every letter of a word, and the boundary after it, as a target with the letters before
   * it.
   */
  #addWord(word: Uint8Array, from: number): number {
    const { context } = SIZES;
    const letters = Math.min(word.length, LONGEST_WORD - 1);
    for (let t = 0; t <= letters; t++) {
      for (let c = 0; c < context; c++) this.#contexts[(from + t) * context + c] = word[t - context + c] ?? 0;
      this.#targets[from + t] = t < letters ? word[t]! : 0;
    }
    return from + letters + 1;
  }

  /** Mean loss per letter over the first `words` held-out words, in nats. */
  heldOutLoss(words = 1000): number {
    let sum = 0;
    let letters = 0;
    let count = 0;
    const flush = (): void => {
      if (count === 0) return;
      forward(this.#weights, SIZES, this.#contexts, count, this.#space);
      sum += loss(this.#targets, count, this.#space) * count;
      letters += count;
      count = 0;
    };
    for (const word of this.split.heldOut.slice(0, words)) {
      if (count + LONGEST_WORD > CHUNK) flush();
      count = this.#addWord(word, count);
    }
    flush();
    return sum / letters;
  }

  /** A word that the model invents, letter by letter. */
  invent(number: number): string {
    const word: number[] = [];
    const { context } = SIZES;
    while (word.length < 20) {
      for (let c = 0; c < context; c++) this.#contexts[c] = word[word.length - context + c] ?? 0;
      forward(this.#weights, SIZES, this.#contexts, 1, this.#space);
      let rest = random(this.options.seed + 999, number * 32 + word.length);
      let symbol = 0;
      while (symbol < SYMBOLS - 1 && (rest -= this.#space.probabilities[symbol]!) >= 0) symbol++;
      if (symbol === 0) break;
      word.push(symbol);
    }
    return decode(word);
  }

  /** What a checkpoint holds. */
  parts(): TrainingParts & { extra: Saved } {
    const { parameters, optimizer, scheduler, options, step, history } = this;
    return { parameters, optimizer, scheduler, extra: { demo: 'words', options, step, history } };
  }

  /**
   * Takes over what a checkpoint's extra says; parameters, optimizer and scheduler are restored by
   * the checkpoint itself.
   */
  restore(saved: Saved): void {
    this.step = saved.step;
    this.history = saved.history;
    this.#mirror?.write();
  }

  /** To be awaited before what {@link Run.parts} gives is saved: a state on a GPU is read. */
  async settle(): Promise<void> {
    await this.#mirror?.read(this.optimizer);
  }

  /** Gives a GPU's memory back; other memory is collected. */
  dispose(): void {
    if (this.#mirror === undefined) return;
    this.optimizer.dispose();
    this.#mirror.free();
  }

  /** SHA-256 of all weights' bytes, in hex. */
  async hash(): Promise<string> {
    const arrays = this.parameters.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    const all = new Uint8Array(arrays.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const array of arrays) {
      all.set(array, at);
      at += array.length;
    }
    const digest = await crypto.subtle.digest('SHA-256', all);
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
  }
}

/** What the demo keeps beside weights, optimizer and scheduler. */
export interface Saved {
  demo: 'words';
  options: RunOptions;
  step: number;
  history: { step: number; loss: number; lr: number }[];
}

/** Bytes of all arrays in an optimizer's state. */
export function stateBytes({ state }: OptimizerStateDict): number {
  let bytes = 0;
  for (const entry of Object.values(state)) {
    for (const value of Object.values(entry)) {
      if (typeof value === 'object' && value !== null && 'data' in value)
        bytes += (value.data as Float32Array).byteLength;
    }
  }
  return bytes;
}
