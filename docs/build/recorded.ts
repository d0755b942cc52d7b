/** What record.ts computes, and pages import from 'virtual:recorded'. */
import type { RunOptions, Saved } from '../examples/words/train.ts';
import type { Sample } from '../live-demo/words.ts';

export interface RecordedRun {
  readonly options: RunOptions;
  readonly hash: string;
  readonly samples: readonly Sample[];
  readonly history: Saved['history'];
  /** Entropy of single letters, in nats. */
  readonly unigram: number;
  readonly weights: number;
  readonly stateBytes: number;
}

export interface Recorded {
  /** Such as `Node v20.20.2`. */
  readonly runtime: string;
  readonly runs: readonly RecordedRun[];
  /** The first run once more, as `npm run demo`, killed by SIGKILL and resumed. */
  readonly killed: { readonly at: number; readonly resumedAt: number; readonly hash: string };
  /** SHA-256 of each trajectory of the page of hashes. */
  readonly bits: Readonly<Record<string, string>>;
}
