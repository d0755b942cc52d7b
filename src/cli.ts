#!/usr/bin/env node
/**
 * The command line: looks into checkpoints, compares and converts them, and draws schedules.
 *
 * @module
 */
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { convert } from './command-line/convert.ts';
import { diff } from './command-line/diff.ts';
import { COMMANDS, HELP } from './command-line/help.ts';
import { inspect } from './command-line/inspect.ts';
import { lr } from './command-line/lr.ts';
import { endWithReader, room, UsageError } from './command-line/terminal.ts';
import { escaped, shortened } from './formats/quote.ts';

const flag = { type: 'boolean' } as const;
const text = { type: 'string' } as const;
/** The options of the commands that read files, whoever takes them. */
const OPTIONS = { json: flag, stats: flag, force: flag, filter: text, only: text } as const;

type Values = { [key in 'json' | 'stats' | 'force']?: boolean } & { [key in 'filter' | 'only']?: string };

/** The files and options of a command that reads files. */
function parse(command: 'inspect' | 'diff' | 'convert', args: string[]): { files: string[]; values: Values } {
  const { files: names, options } = COMMANDS[command];
  const see = `see tensorless ${command} --help`;
  let parsed: ReturnType<typeof parseArgs<{ args: string[]; allowPositionals: true; options: typeof OPTIONS }>>;
  try {
    parsed = parseArgs({ args, allowPositionals: true, options: OPTIONS });
  } catch (error) {
    throw new UsageError(`tensorless ${command}: ${(error as Error).message.split('. ')[0]}; ${see}`);
  }
  const { values, positionals } = parsed;
  const stray = Object.keys(values).find((key) => !options.includes(key));
  if (stray !== undefined) throw new UsageError(`tensorless ${command} has no option --${stray}; ${see}`);
  if (positionals.length < names.length) {
    throw new UsageError(`tensorless ${command}: ${names[positionals.length]} is missing; ${see}`);
  }
  if (positionals.length > names.length) {
    const more = escaped(shortened(positionals.slice(names.length).join(' '), 80));
    throw new UsageError(`tensorless ${command} takes ${names.join(' and ')} alone, got ${more} too; ${see}`);
  }
  return { files: positionals, values };
}

async function version(): Promise<string> {
  const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return `${version}\n`;
}

/** What a command prints. */
async function main(command: string | undefined, args: string[]): Promise<string> {
  if (command === undefined || command === '--help' || command === '-h' || command === 'help') {
    return Object.hasOwn(COMMANDS, args[0] ?? '') ? COMMANDS[args[0] as 'lr'].help : HELP;
  }
  if (command === '--version') return version();
  if (!Object.hasOwn(COMMANDS, command)) {
    const given = escaped(shortened(['tensorless', command, ...args].join(' '), 100));
    throw new UsageError(`"${given}" is no command: ${Object.keys(COMMANDS).join(', ')}; see tensorless --help`);
  }
  const name = command as keyof typeof COMMANDS;
  if (args.includes('--help') || args.includes('-h')) return COMMANDS[name].help;
  if (name === 'lr') return lr(args, room());
  const { files, values } = parse(name, args);
  const { json = false, stats = false, force = false, filter, only } = values;
  if (name === 'inspect') return inspect(files[0]!, { json, stats, filter });
  if (name === 'convert') return convert(files[0]!, files[1]!, { only, force });
  const { text: report, same } = await diff(files[0]!, files[1]!, filter);
  if (!same) process.exitCode = 1;
  return report;
}

endWithReader();
try {
  const [command, ...args] = process.argv.slice(2);
  process.stdout.write(await main(command, args));
} catch (error) {
  // What the file system says is for the person too; a programming error is not.
  if (!(error instanceof UsageError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
