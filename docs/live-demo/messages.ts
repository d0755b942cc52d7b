/** What page and worker say to each other. */
import type { RunOptions, Saved } from '../examples/words/train.ts';

/**
 * `go`: on with the saved run if there is an unfinished one; `start`: a new one; `pause`: saves and
 * waits.
 */
export type Command = { do: 'go' } | { do: 'start'; options: RunOptions } | { do: 'pause' } | { do: 'continue' };

export type Report =
  | { is: 'idle' }
  | { is: 'begun'; options: RunOptions; history: Saved['history']; unigram: number; resumedAt: number; kernels: string }
  | { is: 'progress'; step: number; loss: number; lr: number; stepsPerSecond: number; points: Saved['history'] }
  | { is: 'paused'; step: number }
  | { is: 'done'; before: number; after: number; words: string[]; bytes: number; weights: number; hash: string }
  | { is: 'failed'; message: string };
