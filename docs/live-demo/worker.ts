/**
 * Trains in a worker, so that the page stays alive, and saves every second, so that nothing is lost
 * when it is closed or killed.
 */
import dictionary from 'an-array-of-english-words' with { type: 'json' };
import { decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { type Split, split, unigramEntropy } from '../examples/words/data.ts';
import { Run, type RunOptions, type Saved, stateBytes } from '../examples/words/train.ts';
import { type EngineName, engines, type Made, makeEngine, usual } from './engines.ts';
import type { Command, Cut, Report } from './messages.ts';
import { load, type Stored, save } from './store.ts';
import { isSampled, PAGE_DEFAULTS, type Sample, sample } from './words.ts';

const SLICE = 60;
const SAVE_EVERY = 1000;

interface Live {
  run: Run;
  engine: EngineName;
  made: Made;
  samples: Sample[];
  cuts: readonly Cut[];
}

const say = (report: Report): void => postMessage(report);
const available = engines();
/** Commands that wait: the training steps aside for them. */
let waiting = 0;
let live: Live | undefined;
let words: { seed: number; data: Split } | undefined;

function dataOf(seed: number): Split {
  if (words?.seed !== seed) words = { seed, data: split(dictionary as string[], seed) };
  return words.data;
}

const dictionaryWords = new Set(dictionary as string[]);
const existing = (samples: readonly Sample[]): string[] =>
  samples.flatMap((one) => one.words).filter((word) => dictionaryWords.has(word));

const keep = ({ run, samples, cuts }: Live, paused: boolean): Promise<void> =>
  save({ bytes: encodeTrainingState(run.parts()), samples, cuts, paused });

/** A new run, stored at once: a kill in its first second must not bring a former run back. */
async function fresh(options: RunOptions, engine: EngineName): Promise<void> {
  const made = await begin(options, engine);
  await keep(made, false);
  tell(made);
}

/** A run on an engine: new, or as it was stored. */
async function begin(options: RunOptions, engine: EngineName, stored?: Stored): Promise<Live> {
  const made = await makeEngine(engine);
  const run = new Run(options, dataOf(options.seed), made.kernels);
  if (stored !== undefined) run.restore(decodeTrainingState(stored.bytes, run.parts()) as Saved);
  const previous = live?.made;
  const samples = [...(stored?.samples ?? [sample(run)])];
  live = { run, engine, made, samples, cuts: stored?.cuts ?? [] };
  await previous?.close();
  return live;
}

function tell({ run, engine, samples, cuts }: Live, paused = false): void {
  const { options, history, step, split: data, parameters } = run;
  const weights = parameters.reduce((sum, { data: { length } }) => sum + length, 0);
  const unigram = unigramEntropy(data.heldOut);
  say({
    is: 'begun',
    options,
    history,
    samples,
    cuts,
    unigram,
    step,
    engine,
    weights,
    paused,
    existing: existing(samples),
  });
}

async function train(current: Live): Promise<void> {
  const { run, made } = current;
  const begun = performance.now();
  const [from, spent] = [run.step, run.optimizerMilliseconds];
  let savedAt = begun;
  while (run.step < run.options.steps) {
    const until = performance.now() + SLICE;
    const [known, said] = [run.history.length, current.samples.length];
    let [loss, lr] = [0, run.lr];
    do {
      lr = run.lr;
      loss = made.asynchronous ? await run.trainStepAsync() : run.trainStep();
      if (isSampled(run.step, run.options.steps)) current.samples.push(sample(run));
    } while (run.step < run.options.steps && performance.now() < until);
    const done = run.step - from;
    say({
      is: 'progress',
      step: run.step,
      loss,
      lr,
      stepsPerSecond: (done * 1000) / (performance.now() - begun),
      optimizerMilliseconds: (run.optimizerMilliseconds - spent) / done,
      points: run.history.slice(known),
      samples: current.samples.slice(said),
      existing: existing(current.samples.slice(said)),
      bytes: stateBytes(run.optimizer.stateDict()),
    });
    if (performance.now() - savedAt > SAVE_EVERY) {
      await keep(current, false);
      savedAt = performance.now();
      say({ is: 'saved', step: run.step });
    }
    // Lets a command in.
    await new Promise((resolve) => setTimeout(resolve));
    if (waiting > 0) return;
  }
  await keep(current, false);
  say({
    is: 'done',
    before: new Run(run.options, run.split).heldOutLoss(),
    after: run.heldOutLoss(),
    bytes: stateBytes(run.optimizer.stateDict()),
    hash: await run.hash(),
  });
}

async function go(engine: EngineName, killedAt: number | undefined): Promise<boolean> {
  const stored = await load();
  if (stored === undefined) {
    await fresh(PAGE_DEFAULTS, engine);
    return true;
  }
  const { options, step } = decodeTrainingState(stored.bytes, {}) as Saved;
  const cut: Cut = { ...(killedAt !== undefined && { at: killedAt }), from: step };
  const finished = step >= options.steps;
  const cuts = finished || stored.paused ? stored.cuts : [...stored.cuts, cut];
  tell(await begin(options, engine, { ...stored, cuts }), stored.paused);
  return !stored.paused;
}

async function obey(command: Command): Promise<void> {
  if (command.do === 'go') {
    const engine = available.some(({ name, available: there }) => name === command.engine && there)
      ? command.engine
      : usual(available);
    if (!(await go(engine, command.killedAt))) return;
  } else if (command.do === 'start') await fresh(command.options, live?.engine ?? usual(available));
  else if (live === undefined) return;
  else if (command.do === 'pause') {
    await keep(live, true);
    say({ is: 'paused', step: live.run.step });
    return;
  } else if (command.do === 'engine') {
    const { run, samples, cuts } = live;
    const bytes = encodeTrainingState(run.parts());
    tell(await begin(run.options, command.engine, { bytes, samples, cuts, paused: false }));
  }
  await train(live!);
}

/** One after the other: a step that is awaited has to end before its run is saved. */
let last: Promise<void> = Promise.resolve();
addEventListener('message', ({ data }: MessageEvent<Command>) => {
  waiting++;
  last = last
    .then(() => {
      waiting--;
      return obey(data);
    })
    .catch((error: Error) => say({ is: 'failed', message: error.message }));
});
say({ is: 'engines', engines: available });
