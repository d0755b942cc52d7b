/**
 * `npm run demo`: trains a language model over letters on English words with this library, can be
 * stopped at any moment, and goes on to the very same weights with --resume. The model and its
 * training are in words/; here is only what a person sees.
 */

import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { setImmediate as breathe } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { AdamW, Parameter } from 'tensorless';
import { split, unigramEntropy } from './words/data.ts';
import { DemoError, Store } from './words/files.ts';
import { picture } from './words/picture.ts';
import { Progress } from './words/progress.ts';
import { DEFAULTS, Run, type RunOptions, SCHEDULES, type ScheduleName, stateBytes } from './words/train.ts';

const DEFAULT_FOLDER = 'demo-output';

const HELP = `Trains a language model over letters on English words and invents new ones.

  npm run demo -- [options]

  --steps N            training steps (${DEFAULTS.steps})
  --seed N             of the split, the weights and the batches (${DEFAULTS.seed})
  --optimizer NAME     adafactor or adamw (${DEFAULTS.optimizer})
  --schedule NAME      ${Object.keys(SCHEDULES)
    .join(', ')
    .replace(/(.{32,}?), /g, '$1,\n                       ')} (${DEFAULTS.schedule})
  --resume             go on with the run that was stopped
  --out FOLDER         for the checkpoint and the picture (${DEFAULT_FOLDER})
  --help               this text

Ctrl-C saves and stops. A run goes on with the options it was started with.
`;

interface Arguments {
  readonly given: Partial<RunOptions>;
  readonly resume: boolean;
  readonly out: string;
}

function integer(name: string, text: string, least: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 0x7fffffff || value < least)
    throw new DemoError(`--${name} must be a whole number from ${least} to ${0x7fffffff}, got "${text}".`);
  return value;
}

function oneOf<T extends string>(name: string, text: string, known: readonly T[]): T {
  if (!(known as readonly string[]).includes(text))
    throw new DemoError(`--${name} must be one of ${known.join(', ')}; got "${text}".`);
  return text as T;
}

/** The arguments, or undefined when only help is asked for. */
function parse(args: string[]): Arguments | undefined {
  const string = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  let values: Record<string, string | boolean | undefined>;
  try {
    const options = { steps: string, seed: string, optimizer: string, schedule: string, out: string };
    values = parseArgs({ args, options: { ...options, resume: flag, help: flag } }).values;
  } catch (error) {
    throw new DemoError(`${(error as Error).message.split('. ')[0]}. See --help.`);
  }
  if (values.help === true) return undefined;
  const text = values as Record<string, string | undefined>;
  return {
    given: {
      ...(text.steps !== undefined && { steps: integer('steps', text.steps, 1) }),
      ...(text.seed !== undefined && { seed: integer('seed', text.seed, 0) }),
      ...(text.optimizer !== undefined && {
        optimizer: oneOf('optimizer', text.optimizer, ['adafactor', 'adamw'] as const),
      }),
      ...(text.schedule !== undefined && {
        schedule: oneOf('schedule', text.schedule, Object.keys(SCHEDULES) as ScheduleName[]),
      }),
    },
    resume: values.resume === true,
    out: text.out ?? DEFAULT_FOLDER,
  };
}

/**
 * Set by Ctrl-C; the step that is under way is finished first. A second one ends the process at
 * once, which a checkpoint survives too.
 */
let stopped = false;
process.on('SIGINT', () => {
  if (stopped) process.exit(130);
  stopped = true;
});

/** The words, and a run that is new or restored. */
async function begin(
  { given, resume, out }: Arguments,
  store: Store,
): Promise<{ run: Run; unigram: number; words: string[] }> {
  const saved = resume ? await store.peek() : undefined;
  if (saved !== undefined) {
    for (const [name, value] of Object.entries(given)) {
      const was = saved.options[name as keyof RunOptions];
      if (was !== value)
        throw new DemoError(`This run was started with --${name} ${was}; it goes on without --${name} ${value} only.`);
    }
  }
  const options = saved?.options ?? { ...DEFAULTS, ...given };
  const words: string[] = createRequire(import.meta.url)('an-array-of-english-words');
  const data = split(words, options.seed);
  if (saved === undefined) {
    const previous = await store.clear();
    if (previous !== undefined) console.log(`An unfinished run was in ${out}; it is now ${previous}.`);
  }
  const run = saved === undefined ? new Run(options, data) : await store.load(saved, data);
  return { run, unigram: unigramEntropy(data.heldOut), words };
}

/** Steps after which words are shown: the model learns fast at first. */
function isMilestone(step: number, steps: number): boolean {
  return step === 0 || step === steps || (step >= 25 && Number.isInteger(Math.log2(step / 25)));
}

/** The words that the model invents now, as many as fit into a line. */
function wordsLine(run: Run, columns: number): string {
  let line = `  step ${String(run.step).padStart(String(run.options.steps).length)} `;
  for (let i = 0; i < 12; i++) {
    const word = run.invent(i);
    if (line.length + 2 + word.length > columns) break;
    line += `  ${word}`;
  }
  return line;
}

/** Trains to the end or to Ctrl-C; returns whether the end was reached. */
async function train(run: Run, store: Store): Promise<boolean> {
  const progress = new Progress(process.stdout, run.step);
  const { steps } = run.options;
  progress.note('Words that it invents:');
  progress.note(wordsLine(run, progress.columns));
  let savedAt = performance.now();
  while (run.step < steps && !stopped) {
    const { lr } = run;
    const loss = run.trainStep();
    if (isMilestone(run.step, steps)) progress.note(wordsLine(run, progress.columns));
    progress.update({ step: run.step, steps, loss, lr });
    // A kill costs one second of work at most.
    if (performance.now() - savedAt > 1000) {
      await store.save(run);
      savedAt = performance.now();
    }
    // Lets Ctrl-C be heard.
    await breathe();
  }
  progress.close();
  await store.save(run);
  return run.step === steps;
}

/** Bytes that AdamW would keep for the same weights: those of a real one after a step. */
function adamwBytes(run: Run): number {
  const twins = run.parameters.map(({ data, shape }) => new Parameter(data.slice(), shape));
  for (const twin of twins) twin.grad = new Float32Array(twin.data.length);
  const optimizer = new AdamW(twins);
  optimizer.step();
  return stateBytes(optimizer.stateDict());
}

/** A name and what there is to say of it, in lines of so many columns. */
function row([name, text]: readonly [string, string], columns: number): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || 17 + last.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.map((line, i) => `${(i === 0 ? name : '').padEnd(17)}${line}`.trimEnd()).join('\n');
}

/** Two amounts of memory, and a bar for each. */
function compared(rows: readonly (readonly [name: string, bytes: number])[], columns: number): string {
  const most = Math.max(...rows.map(([, bytes]) => bytes));
  const room = columns - 37;
  return rows
    .map(([name, bytes]) => {
      const bar = room < 8 ? '' : '█'.repeat(Math.floor((room * bytes) / most)) || '▏';
      return `${name.padEnd(17)}${bytes.toLocaleString('en').padStart(9)} bytes  ${bar}`.trimEnd();
    })
    .join('\n');
}

async function report(run: Run, store: Store, unigram: number, words: readonly string[]): Promise<void> {
  await writeFile(store.picture, picture(run.parts().extra, unigram));
  const columns = process.stdout.isTTY === true ? Math.min(process.stdout.columns || 80, 100) : 80;
  const before = new Run(run.options, run.split).heldOutLoss();
  const dictionary = new Set(words);
  const invented = Array.from({ length: 12 }, (_, i) => run.invent(i));
  const marked = invented.map((word) => (dictionary.has(word) ? `${word}*` : word)).join(' ');
  const weights = run.parameters.reduce((sum, { data }) => sum + data.length, 0);
  const { optimizer } = run.options;
  const own = stateBytes(run.optimizer.stateDict());
  const lines = [
    '',
    row(
      [
        'Held-out loss',
        `${before.toFixed(3)} before, ${run.heldOutLoss().toFixed(3)} after, in nats per letter ` +
          `(entropy of single letters: ${unigram.toFixed(3)})`,
      ],
      columns,
    ),
    row(['Invented words', `${marked}${marked.includes('*') ? '  (*: exists)' : ''}`], columns),
    '',
    `Memory of the optimizer, for ${weights.toLocaleString('en')} weights:`,
    compared(
      [
        [`${optimizer === 'adafactor' ? 'Adafactor' : 'AdamW'} state`, own],
        ...(optimizer === 'adafactor' ? ([['AdamW would hold', adamwBytes(run)]] as const) : []),
      ],
      columns,
    ),
    '',
    row(['Picture', store.picture], columns),
    'SHA-256 of the weights, the same on every engine and after every kill:',
    await run.hash(),
  ];
  console.log(lines.join('\n'));
}

async function main(): Promise<void> {
  const args = parse(process.argv.slice(2));
  if (args === undefined) {
    process.stdout.write(HELP);
    return;
  }
  const store = new Store(args.out);
  const { run, unigram, words } = await begin(args, store);
  const { steps, seed, optimizer, schedule } = run.options;
  console.log(
    `${run.step > 0 ? `Going on after step ${run.step}` : 'Training'}: ${steps} steps, ${optimizer}, ` +
      `${schedule} schedule, seed ${seed}`,
  );
  if (await train(run, store)) {
    await report(run, store, unigram, words);
    return;
  }
  const out = args.out === DEFAULT_FOLDER ? '' : ` --out ${args.out}`;
  console.log(`Saved after step ${run.step}. Go on with: npm run demo -- --resume${out}`);
  process.exitCode = 130;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof DemoError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
