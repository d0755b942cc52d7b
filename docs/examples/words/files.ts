/** Where the demo keeps a run: one checkpoint and one picture in a folder. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError, decodeTrainingState } from 'tensorless/checkpoint';
import { loadTrainingState, saveTrainingState } from 'tensorless/node';
import type { Split } from './data.ts';
import { Run, type RunOptions, type Saved, SCHEDULES } from './train.ts';

/** What the person is told in one sentence, without a stack. */
export class DemoError extends Error {}

export class Store {
  readonly checkpoint: string;
  readonly picture: string;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.checkpoint = join(folder, 'run.safetensors');
    this.picture = join(folder, 'demo.svg');
  }

  /** What the checkpoint says of its run, before any weight is read into place. */
  async peek(): Promise<Saved> {
    let bytes: Buffer;
    try {
      bytes = await readFile(this.checkpoint);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      throw new DemoError(`There is no run to go on with at ${this.checkpoint}; start one without --resume.`);
    }
    let extra: unknown;
    try {
      extra = decodeTrainingState(bytes, {});
    } catch (error) {
      throw this.#refusal(error);
    }
    if (!isSaved(extra)) throw new DemoError(`${this.checkpoint} was not written by this demo; it is left as it is.`);
    return extra;
  }

  /** The run that the checkpoint holds. */
  async load(saved: Saved, split: Split): Promise<Run> {
    const run = new Run(saved.options, split);
    try {
      await loadTrainingState(this.checkpoint, run.parts());
    } catch (error) {
      throw this.#refusal(error);
    }
    run.restore(saved);
    return run;
  }

  async save(run: Run): Promise<void> {
    await saveTrainingState(this.checkpoint, run.parts());
  }

  /**
   * Makes the folder, and moves an unfinished run (or a file that is none of ours) out of the way.
   * Returns where to, if anything was moved.
   */
  async clear(): Promise<string | undefined> {
    await mkdir(this.#folder, { recursive: true });
    if (!existsSync(this.checkpoint)) return undefined;
    const finished = await this.peek().then(
      ({ step, options }) => step >= options.steps,
      () => false,
    );
    if (finished) return undefined;
    const previous = `${this.checkpoint}.previous`;
    await rename(this.checkpoint, previous);
    return previous;
  }

  #refusal(error: unknown): unknown {
    if (!(error instanceof CheckpointError)) return error;
    return new DemoError(`The checkpoint cannot be used and is left as it is: ${error.message}`);
  }
}

function isSaved(extra: unknown): extra is Saved {
  if (typeof extra !== 'object' || extra === null) return false;
  const { demo, options, step, history } = extra as Partial<Saved>;
  if (demo !== 'words' || typeof options !== 'object' || !Array.isArray(history)) return false;
  const { steps, seed, optimizer, schedule } = options as RunOptions;
  return (
    Number.isSafeInteger(steps) &&
    Number.isSafeInteger(seed) &&
    Number.isSafeInteger(step) &&
    (optimizer === 'adafactor' || optimizer === 'adamw') &&
    Object.hasOwn(SCHEDULES, schedule)
  );
}
