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
const offered = engines();
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

/** The run as it is, to be stored. */
async function stored({ run, samples, cuts }: Live, paused: boolean): Promise<Stored> {
  await run.settle();
  return { bytes: encodeTrainingState(run.parts()), samples, cuts, paused };
}

const keep = async (current: Live, paused: boolean): Promise<void> => save(await stored(current, paused));

/** A new run, stored at once: a kill in its first second must not bring a former run back. */
async function fresh(options: RunOptions, engine: EngineName): Promise<void> {
  const made = await begin(options, engine);
  await keep(made, false);
  tell(made);
}

/** A run on an engine: new, or as it was stored. */
async function begin(options: RunOptions, engine: EngineName, from?: Stored): Promise<Live> {
  const made = await makeEngine(engine);
  const run = new Run(options, dataOf(options.seed), made.kernels);
  if (from !== undefined) run.restore(decodeTrainingState(from.bytes, run.parts()) as Saved);
  const previous = live;
  const samples = [...(from?.samples ?? [sample(run)])];
  live = { run, engine, made, samples, cuts: from?.cuts ?? [] };
  previous?.run.dispose();
  await previous?.made.close();
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
  let begun = performance.now();
  let [from, spent] = [run.step, run.optimizerMilliseconds];
  let savedAt = begun;
  let first = true;
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
    if (first) {
      // It had programs to compile; later figures are without it.
      first = false;
      begun = performance.now();
      [from, spent] = [run.step, run.optimizerMilliseconds];
    }
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
  const last = await load();
  if (last === undefined) {
    await fresh(PAGE_DEFAULTS, engine);
    return true;
  }
  const { options, step } = decodeTrainingState(last.bytes, {}) as Saved;
  const cut: Cut = { ...(killedAt !== undefined && { at: killedAt }), from: step };
  const finished = step >= options.steps;
  const cuts = finished || last.paused ? last.cuts : [...last.cuts, cut];
  tell(await begin(options, engine, { ...last, cuts }), last.paused);
  return !last.paused;
}

async function obey(command: Command): Promise<void> {
  const available = await offered;
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
    // What was on a GPU that is lost is gone: then it is the last save.
    const from = await stored(live, false).catch(load);
    tell(await begin(live.run.options, command.engine, from));
  }
  await train(live!);
}

/** One after the other: a step that is awaited has to end before its run is saved. */
let queue: Promise<void> = offered.then((all) => say({ is: 'engines', engines: all }));
addEventListener('message', ({ data }: MessageEvent<Command>) => {
  waiting++;
  queue = queue
    .then(() => {
      waiting--;
      return obey(data);
    })
    .catch((error: Error) => say({ is: 'failed', message: error.message }));
});
