#!/usr/bin/env node
/**
 * The command line: looks into checkpoints, compares and converts them.
 *
 * @module
 */
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { convert } from './command-line/convert.ts';
import { diff } from './command-line/diff.ts';
import { inspect } from './command-line/inspect.ts';
import { endWithReader, UsageError } from './command-line/terminal.ts';
import { escaped, shortened } from './formats/quote.ts';

const HELP = `Looks into checkpoints of tensorless and PyTorch, compares and converts them.

  tensorless inspect FILE    what is in it: tensors, step, hyperparameters
    --stats                  NaN, smallest, largest, norm of every tensor
    --filter TEXT            only tensors whose names have the text; * is any
    --json                   for programs
  tensorless diff A B        which tensors differ, and how far; status 1 if any
    --filter TEXT            only these
  tensorless convert FROM TO PyTorch's files to safetensors and back
    --only PART              optimizer, scheduler or model, where FROM has more
    --force                  replaces TO
  tensorless --version
  tensorless --help

Files are told by their contents, the one to write by its ending: .pt or
.safetensors. Nothing in a file is ever executed.
`;

/** The options that each command takes. */
const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  inspect: ['json', 'stats', 'filter'],
  diff: ['filter'],
  convert: ['only', 'force'],
};

async function main(args: string[]): Promise<void> {
  const flag = { type: 'boolean' } as const;
  const text = { type: 'string' } as const;
  const options = { json: flag, stats: flag, force: flag, filter: text, only: text, help: flag, version: flag };
  let parsed: ReturnType<typeof parseArgs<{ args: string[]; allowPositionals: true; options: typeof options }>>;
  try {
    parsed = parseArgs({ args, allowPositionals: true, options });
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split('. ')[0]}; see tensorless --help`);
  }
  const { values, positionals } = parsed;
  if (values.help === true || (positionals.length === 0 && values.version !== true)) {
    process.stdout.write(HELP);
    return;
  }
  if (values.version === true) {
    const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    process.stdout.write(`${version}\n`);
    return;
  }
  const [command, first, second, ...more] = positionals;
  const files = command === 'inspect' ? 1 : 2;
  const known = OPTIONS[command!];
  const fits = (files === 1 ? second === undefined : second !== undefined) && more.length === 0 && first !== undefined;
  if (known === undefined || !fits || Object.keys(values).some((key) => !known.includes(key))) {
    const given = escaped(shortened(['tensorless', ...args].join(' '), 100));
    throw new UsageError(`"${given}" is no command; see tensorless --help`);
  }
  const { json = false, stats = false, force = false, filter, only } = values;
  if (command === 'inspect') process.stdout.write(await inspect(first, { json, stats, filter }));
  else if (command === 'convert') process.stdout.write(await convert(first, second!, { only, force }));
  else {
    const { text: report, same } = await diff(first, second!, filter);
    process.stdout.write(report);
    if (!same) process.exitCode = 1;
  }
}

endWithReader();
try {
  await main(process.argv.slice(2));
} catch (error) {
  // What the file system says is for the person too; a programming error is not.
  if (!(error instanceof UsageError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
