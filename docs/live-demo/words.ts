/** The run of the page as it begins, and the words that are asked of it on the way. */
import { DEFAULTS, type Run, type RunOptions } from '../examples/words/train.ts';

/** A third of `npm run demo`: half a minute in a page. */
export const PAGE_DEFAULTS: RunOptions = { ...DEFAULTS, steps: 400 };

/** The optimizers whose runs Node has made when the site was built. */
export const RECORDED: readonly RunOptions[] = [PAGE_DEFAULTS, { ...PAGE_DEFAULTS, optimizer: 'adamw' }];

export interface Sample {
  readonly step: number;
  readonly words: readonly string[];
}

/** Whether words are asked after so many steps: often at first, when they change fastest. */
export const isSampled = (step: number, steps: number): boolean =>
  step === steps || [0, 10, 25, 50, 100, 150, 200].includes(step) || (step > 200 && step % 100 === 0);

/** Six words; they take no part in the training, which has random numbers of its own. */
export const sample = (run: Run): Sample => ({
  step: run.step,
  words: Array.from({ length: 6 }, (_, i) => run.invent(i)),
});

/** Whether two runs have the same options, and so the same weights. */
export const same = (a: RunOptions, b: RunOptions): boolean =>
  a.seed === b.seed && a.steps === b.steps && a.optimizer === b.optimizer && a.schedule === b.schedule;
