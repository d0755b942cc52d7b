/** The jobs of a step as the programs read them: words of one buffer. */
import { type Arithmetic, JOB, type JobWord, NUMBERS } from './programs.ts';

/** Words between the beginnings of jobs are multiples of this: what every device allows. */
const UNIT = 64;

/** Writes jobs one after the other. */
export class Plan {
  words: Uint32Array<ArrayBuffer> = new Uint32Array(1024);
  length = 0;
  readonly #level: Arithmetic;
  readonly #number: Float64Array = new Float64Array(1);
  readonly #bits: Uint32Array = new Uint32Array(this.#number.buffer);

  constructor(level: Arithmetic) {
    this.#level = level;
  }

  /** A job of so many whole numbers and rows of numbers; returns where it begins. */
  job(whole: Readonly<Partial<Record<JobWord, number>>>, own: readonly number[], words: number): number {
    const at = Math.ceil(this.length / UNIT) * UNIT;
    this.length = at + NUMBERS + words;
    if (this.words.length < this.length) {
      const old = this.words;
      this.words = new Uint32Array(2 * this.length);
      this.words.set(old);
    }
    this.words.fill(0, at, this.length);
    for (const [name, value] of Object.entries(whole)) this.words[at + JOB[name as JobWord]] = value;
    this.words.set(own, at + JOB.own);
    return at;
  }

  /** Puts a number, at word `at`, as programs of the level read it. */
  number(at: number, value: number): void {
    if (this.#level === 'double') {
      this.#number[0] = value;
      this.words.set(this.#bits, at);
      return;
    }
    const pair = Float32Array.of(value, 1 - value);
    this.words.set(new Uint32Array(pair.buffer), at);
  }
}
