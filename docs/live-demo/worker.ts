/**
 * Trains in a worker, so that the page stays alive, and saves every second, so that nothing is lost
 * when it is closed.
 */
import dictionary from 'an-array-of-english-words' with { type: 'json' };
import { type Kernels, typescriptKernels } from 'tensorless';
import { decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { simdKernels } from 'tensorless/simd';
import { split, unigramEntropy } from '../examples/words/data.ts';
import { Run, type RunOptions, type Saved, stateBytes } from '../examples/words/train.ts';
import type { Command, Report } from './messages.ts';
import { load, save } from './store.ts';

const SLICE = 60;
const SAVE_EVERY = 1000;

const say = (report: Report): void => postMessage(report);
/** Grows with each start, so that a loop of a former run ends. */
let turn = 0;
let run: Run | undefined;

/** SIMD where the browser has it; the weights are the same without. */
function fastest(): Kernels {
  try {
    return simdKernels();
  } catch {
    return typescriptKernels;
  }
}
const kernels = fastest();

function begin(options: RunOptions, saved?: Saved, bytes?: Uint8Array): Run {
  const data = split(dictionary as string[], options.seed);
  const fresh = new Run(options, data, kernels);
  if (saved !== undefined && bytes !== undefined) {
    decodeTrainingState(bytes, fresh.parts());
    fresh.restore(saved);
  }
  const { history, step } = fresh;
  say({ is: 'begun', options, history, unigram: unigramEntropy(data.heldOut), resumedAt: step, kernels: kernels.name });
  return fresh;
}

async function train(mine: number, current: Run): Promise<void> {
  let savedAt = performance.now();
  const begun = performance.now();
  const from = current.step;
  while (current.step < current.options.steps) {
    const until = performance.now() + SLICE;
    const known = current.history.length;
    let loss = 0;
    let { lr } = current;
    while (current.step < current.options.steps && performance.now() < until) {
      ({ lr } = current);
      loss = current.trainStep();
    }
    const stepsPerSecond = ((current.step - from) * 1000) / (performance.now() - begun);
    say({ is: 'progress', step: current.step, loss, lr, stepsPerSecond, points: current.history.slice(known) });
    if (performance.now() - savedAt > SAVE_EVERY) {
      await save(encodeTrainingState(current.parts()));
      savedAt = performance.now();
    }
    // Lets a command in.
    await new Promise((resolve) => setTimeout(resolve));
    if (mine !== turn) return;
  }
  await save(encodeTrainingState(current.parts()));
  await finish(current);
}

async function finish(current: Run): Promise<void> {
  const known = new Set(dictionary as string[]);
  const words = Array.from({ length: 12 }, (_, i) => current.invent(i)).map((word) =>
    known.has(word) ? `${word}*` : word,
  );
  say({
    is: 'done',
    before: new Run(current.options, current.split).heldOutLoss(),
    after: current.heldOutLoss(),
    words,
    bytes: stateBytes(current.optimizer.stateDict()),
    weights: current.parameters.reduce((sum, { data }) => sum + data.length, 0),
    hash: await current.hash(),
  });
}

async function obey(command: Command): Promise<void> {
  const mine = ++turn;
  if (command.do === 'start') {
    run = begin(command.options);
    await train(mine, run);
  } else if (command.do === 'go') {
    const bytes = await load();
    if (bytes === undefined) {
      say({ is: 'idle' });
      return;
    }
    const saved = decodeTrainingState(bytes, {}) as Saved;
    run = begin(saved.options, saved, bytes);
    await train(mine, run);
  } else if (command.do === 'continue' && run !== undefined) await train(mine, run);
  else if (command.do === 'pause' && run !== undefined) {
    await save(encodeTrainingState(run.parts()));
    say({ is: 'paused', step: run.step });
  }
}

addEventListener('message', ({ data }: MessageEvent<Command>) => {
  obey(data).catch((error: Error) => say({ is: 'failed', message: error.message }));
});
