/** What the command line says of itself. */
import { NAMES } from './lr.ts';

/** A command: the files that it takes, its options, its help. */
interface Command {
  readonly files: readonly string[];
  readonly options: readonly string[];
  readonly help: string;
}

/** Words in lines of at most 80 columns, indented. */
function lines(words: readonly string[]): string {
  const text: string[] = [''];
  for (const [i, word] of words.entries()) {
    const last = text.length - 1;
    if (text[last]!.length + word.length > 74) text.push('');
    text[text.length - 1] += i === words.length - 1 ? word : `${word}, `;
  }
  return text.map((line) => `  ${line.trimEnd()}`).join('\n');
}

/** Every command by its name. */
export const COMMANDS: Readonly<Record<'inspect' | 'diff' | 'convert' | 'lr', Command>> = {
  inspect: {
    files: ['FILE'],
    options: ['json', 'stats', 'filter'],
    help: `tensorless inspect FILE

What is in a checkpoint of tensorless, PyTorch or safetensors: its tensors,
step and hyperparameters. Of a safetensors file only the header is read.

  --stats          NaN, smallest, largest and norm of every tensor: reads all
  --filter TEXT    only tensors whose names have the text; * is any text
  --json           for programs

  tensorless inspect run.safetensors --stats --filter 'layer.*.weight'
`,
  },
  diff: {
    files: ['A', 'B'],
    options: ['filter'],
    help: `tensorless diff A B

Which tensors and numbers of two checkpoints differ, and how far. The status
is 1 where any do. The files may have different formats.

  --filter TEXT    only tensors whose names have the text; * is any text
`,
  },
  convert: {
    files: ['FROM', 'TO'],
    options: ['only', 'force'],
    help: `tensorless convert FROM TO

PyTorch's files to safetensors and back: optimizers, schedulers, models. What
to write is told by the ending of TO: .pt or .safetensors.

  --only PART      optimizer, scheduler or model, where FROM has more
  --force          replaces TO

  tensorless convert checkpoint-500/optimizer.pt optimizer.safetensors
`,
  },
  lr: {
    files: [],
    options: [],
    help: `tensorless lr SCHEDULE

Draws the learning rate of every step, 0 to the one after the last.

  --steps N        training steps (1000)
  --warmup N       steps of warm-up (0)
  --lr X           the optimizer's learning rate (0.001)
  --OPTION VALUE   any other option of the schedule, such as --min-lr-rate 0.1,
                   --power 2, --milestones 300,800, --three-phase
  --metric LIST    what reduce_lr_on_plateau and greedy follow: numbers with
                   commas between, or a file with one per step
  --json           for programs

  tensorless lr cosine --warmup 100 --steps 1000
  tensorless lr one_cycle --steps 500 --lr 0.01

Schedules:
${lines(NAMES)}
`,
  },
};

/** The help of all. */
export const HELP: string = `Looks into checkpoints of tensorless and PyTorch, and draws schedules.

  tensorless inspect FILE    what is in it: tensors, step, hyperparameters
  tensorless diff A B        which tensors differ, and how far
  tensorless convert FROM TO PyTorch's files to safetensors and back
  tensorless lr SCHEDULE     draws a learning-rate schedule
  tensorless COMMAND --help  options and examples
  tensorless --version

Files are told by their contents. Nothing in a file is ever executed.
`;
