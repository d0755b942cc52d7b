/** What page and worker say to each other. */
import type { RunOptions, Saved } from '../examples/words/train.ts';
import type { Engine, EngineName } from './engines.ts';
import type { Sample } from './words.ts';

/** Where a run was cut, where that is known, and the step from which it went on. */
export interface Cut {
  readonly at?: number;
  readonly from: number;
}

/**
 * `go`: on with the saved run, or a new one where there is none; `killedAt` where a worker was
 * killed. `start`: a new one. `pause`: saves and waits. `engine`: the same run on other loops.
 */
export type Command =
  | { do: 'go'; engine: EngineName; killedAt?: number }
  | { do: 'start'; options: RunOptions }
  | { do: 'pause' }
  | { do: 'continue' }
  | { do: 'engine'; engine: EngineName };

export type Report =
  | { is: 'engines'; engines: readonly Engine[] }
  | {
      is: 'begun';
      options: RunOptions;
      history: Saved['history'];
      samples: readonly Sample[];
      cuts: readonly Cut[];
      unigram: number;
      step: number;
      engine: EngineName;
      weights: number;
      paused: boolean;
      /** Of the invented words those that exist. */
      existing: readonly string[];
    }
  | {
      is: 'progress';
      step: number;
      loss: number;
      lr: number;
      stepsPerSecond: number;
      optimizerMilliseconds: number;
      points: Saved['history'];
      samples: readonly Sample[];
      bytes: number;
      existing: readonly string[];
    }
  | { is: 'saved'; step: number }
  | { is: 'paused'; step: number }
  | { is: 'done'; before: number; after: number; bytes: number; hash: string }
  | { is: 'failed'; message: string };
