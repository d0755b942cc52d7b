/** docs/performance.md and its picture, written from the files in `bench/results/`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Result } from './measure.ts';
import { bars, type Group } from './picture.ts';
import { type AllResults, type Circumstances, type Races, readResults, type Saved } from './results.ts';
import {
  caseTable,
  checkpointsTable,
  costOf,
  deadSummary,
  deadTable,
  everyDeadTable,
  growthTable,
  memoryTable,
  parametersTable,
  short,
  stateTable,
  table,
} from './tables.ts';

export const PAGE: string = fileURLToPath(new URL('../docs/performance.md', import.meta.url));
export const PICTURE: string = fileURLToPath(new URL('../docs/performance.svg', import.meta.url));

const CHECKPOINTS = '## Checkpoints\n';

type Formula = 'adafactor' | 'adamw';

/** What is shown first: by its label, what it is called in the races of each formula. */
const SHOWN: readonly (readonly [label: string, adafactor: string | null, adamw: string | null])[] = [
  ['tensorless, TypeScript', 'tensorless', 'tensorless'],
  ['tensorless, SIMD', 'tensorless, SIMD', 'tensorless, SIMD'],
  ['tensorless, SIMD, float32 level', 'tensorless, SIMD, float32 level', 'tensorless, SIMD, float32 level'],
  ['transformers Adafactor', 'transformers Adafactor, best', null],
  ['torch Adafactor', 'torch Adafactor, best', null],
  ['torch AdamW, foreach', null, 'torch AdamW foreach, best'],
  ['torch AdamW, fused', null, 'torch AdamW fused'],
  ['torch AdamW, torch.compile', null, 'torch AdamW compiled'],
  ['jax-js AdamW, jit on wasm', null, 'jax-js AdamW, wasm jit'],
  ['TensorFlow.js Adam, wasm', null, 'TensorFlow.js Adam, wasm'],
];

const nameOf = (row: (typeof SHOWN)[number], formula: Formula): string | null =>
  formula === 'adafactor' ? row[1] : row[2];

function caseOf(races: Races | undefined, part: string): Result | undefined {
  return races?.cases.find(({ title }) => title.includes(part));
}

/** The cases of the first table. */
function columns(all: AllResults): { formula: Formula; head: string; result: Result }[] {
  return (['adafactor', 'adamw'] as const).flatMap((formula) => {
    const heading = formula === 'adafactor' ? 'Adafactor' : 'AdamW';
    return (
      [
        ['256 × 256', caseOf(all[formula], ' 256 ×')],
        ['1024 × 1024', caseOf(all[formula], ' 1024 ×')],
        ['T5-small', caseOf(all.model, `${heading}, T5-small`)],
      ] as const
    ).flatMap(([head, result]) => (result === undefined ? [] : [{ formula, head: `${heading}, ${head}`, result }]));
  });
}

function firstTable(all: AllResults): string {
  const shown = columns(all);
  const rows = SHOWN.map((row) => {
    const cells = shown.map(({ formula, result }) => {
      const name = nameOf(row, formula);
      const cost = name === null ? undefined : costOf(result, name);
      return cost === undefined ? '—' : short(cost);
    });
    return [row[0], ...cells];
  }).filter(([, ...cells]) => cells.some((cell) => cell !== '—'));
  return table(['ns per element', ...shown.map(({ head }) => head)], rows);
}

/** "AdamW: 3.10 in TypeScript, 1.50 with SIMD; torch's foreach 3.37, fused 0.99." */
function sentence(formula: Formula, result: Result): string {
  const cost = (name: string): string | undefined => {
    const found = costOf(result, name);
    return found === undefined ? undefined : short(found);
  };
  const single = cost('tensorless, SIMD, float32 level');
  const ours = [
    `${cost('tensorless')} in TypeScript`,
    `${cost('tensorless, SIMD')} with SIMD`,
    ...(single === undefined ? [] : [`${single} at its float32 level`]),
  ].join(', ');
  const names: [string, string][] =
    formula === 'adafactor'
      ? [["transformers' Adafactor", 'transformers Adafactor, best']]
      : [
          ["torch's foreach", 'torch AdamW foreach, best'],
          ['its fused', 'torch AdamW fused'],
        ];
  const theirs = names.filter(([, name]) => cost(name) !== undefined).map(([label, name]) => `${label} ${cost(name)}`);
  return `${formula === 'adafactor' ? 'Adafactor' : 'AdamW'}: ${ours}${theirs.length === 0 ? '' : `; ${theirs.join(', ')}`}`;
}

function result(all: AllResults): string {
  const model = columns(all).filter(({ head }) => head.includes('T5-small'));
  const told = model.map(({ formula, result }) => sentence(formula, result)).join('. ');
  const intro = told === '' ? '' : `One step of T5-small, in nanoseconds per weight on one thread. ${told}.\n\n`;
  return `${intro}![What one step costs](performance.svg)\n\n${firstTable(all)}`;
}

/** Where another day or machine than the page's is to be told. */
function elsewhere(on: Circumstances, first: Circumstances): string {
  if (on.date === first.date && on.machine === first.machine) return '';
  return `\n\nMeasured on ${on.date}: ${on.machine}; ${on.versions}.`;
}

/** The page; `kept`: its section on checkpoints where there is no file of them. */
export function page(all: AllResults, kept: string | null = null): string {
  const first = (all.adamw ?? all.adafactor ?? Object.values(all)[0])?.on;
  if (first === undefined) throw new Error('bench/results/ has no file yet: npm run bench');
  const turns = Object.values(all.adamw?.cases[0]?.turns ?? {})[0]?.length ?? 0;
  const parts = [
    `# Performance

${result(all)}

- Measured on ${first.date}: ${first.machine}
- ${first.versions}
- Each contestant has a process of its own and took ${turns} turns within one run (three over a whole model and number formats); tables give medians: of the times, and of each turn's own ratios. Such machines are noisy: only
  ratios within one run say something. Every turn is in \`bench/results/\`.
- \`npm run bench\` measures all of it again and writes this page, \`npm run bench -- --quick\` takes under a minute and writes nothing.

What the names say: "SIMD" is \`tensorless/simd\` with arrays from \`allocate\`, "copied" the same with ordinary arrays, "threads" \`tensorless/parallel\`, which
uses them from 131,072 elements on (262,144 at the float32 level). "foreach" and "fused" are PyTorch's two implementations of AdamW, "compiled" is the first under \`torch.compile\`, "wasm jit" is
jax-js's compiled step. PyTorch "as installed" gives large temporaries back to the system after each operation and has them faulted in again; with "best" the C
library keeps them (\`MALLOC_MMAP_MAX_=0\`, a high \`MALLOC_TRIM_THRESHOLD_\`).`,
  ];
  const section = (heading: string, text: string, of: Saved<object> | undefined, body: () => string): void => {
    if (of !== undefined) parts.push(`## ${heading}\n\n${text}${elsewhere(of.on, first)}\n\n${body()}`);
  };
  const cases = (races: Races | undefined) => (): string => races!.cases.map(caseTable).join('\n\n');

  section(
    'Growth',
    'The time of a step as a power of the number of elements (one matrix, 64² to 4096²) and of the number of parameters (of 16 × 16 each); 1 is linear.',
    all.adamw,
    () => growthTable(all.adafactor?.cases ?? [], all.adamw?.cases ?? [], all.parameters?.cases ?? []),
  );
  section(
    'Many small parameters',
    'Microseconds per parameter and step, by their number; each has 16 × 16 elements.',
    all.parameters,
    () =>
      ['Adafactor', 'AdamW']
        .map((formula) => {
          const own = all.parameters!.cases.filter(({ title }) => title.startsWith(formula));
          return `### ${formula}, small parameters\n\n${parametersTable(own)}`;
        })
        .join('\n\n'),
  );
  section(
    'Very small numbers',
    'AdamW where a part of a model is without gradient for long: the first moment sinks until it is subnormal, which processors work on slowly. And gradients of 1e-20, ' +
      'whose squares are subnormal in float32. ' +
      'Nanoseconds per element, in turns: medians over 50 steps, and of ten of these.',
    all['dead-moments'],
    () => `${deadTable(all['dead-moments']!)}\n\n${deadSummary(all['dead-moments']!)}`,
  );
  section(
    'Clipping and accumulating',
    '`clipGradNorm` (the norm, then the product) and `GradientAccumulator.add`. Memory sets the pace: a copy reads and writes each number once, ' +
      'clipping reads it twice and writes it once, adding reads two and writes one.',
    all.gradients,
    cases(all.gradients),
  );
  section(
    'Adafactor',
    'float32, all defaults (relative step, parameter scale, clipping), one full step of one matrix.',
    all.adafactor,
    cases(all.adafactor),
  );
  section(
    'AdamW',
    'float32, weight decay 0.01; TensorFlow.js has Adam without decay. jax-js and TensorFlow.js take part up to 1024 × 1024.',
    all.adamw,
    cases(all.adamw),
  );
  section(
    'Number formats',
    'The TypeScript and the SIMD loops on other formats; 16-bit weights with 16-bit gradients.',
    all.formats,
    cases(all.formats),
  );
  section('A real model', 'One optimizer over the 99 matrices of T5-small.', all.model, cases(all.model));
  const memory = all.memory;
  parts.push(`## Memory

${
  memory === undefined
    ? ''
    : `### Measured

${memory.model}, one process each: the bytes of the optimizer's state after two steps, and by how much these steps raised the memory of the process at their peak.${elsewhere(memory.on, first)}

${memoryTable(memory)}

`
}### State

Computed, not measured: what an optimizer keeps between steps, in float32, counted over every matrix and vector of the models (tied embeddings): Adafactor rows + columns of
each matrix and the vectors whole, AdamW two numbers a weight. \`test/memory.test.ts\` holds the library to it.

${stateTable()}`);
  section(
    'Size',
    'What a bundler (esbuild) makes of it, minified and gzipped; `test/size.test.ts` holds the first line. The fast 16-bit loops are not in it: they come with `toBfloat16` and its like.',
    all.sizes,
    () =>
      table(
        ['', 'kB'],
        all.sizes!.rows.map(([title, bytes]) => [title, (bytes / 1000).toFixed(1)]),
      ),
  );
  const { checkpoints, differences } = all;
  if (checkpoints !== undefined) {
    const { on, bytes, seconds } = checkpoints;
    const rounds = Math.max(...Object.values(seconds).map(({ length }) => length));
    parts.push(`${CHECKPOINTS}
Written by \`npm run bench:disk\` on ${on.date} (${on.machine}, ${on.versions}): a run of ${Math.round(bytes / 1e6)} MB, the best of ${rounds} rounds in one process with a warm page cache. A snapshot is a copy before the first byte is written; loading is all or nothing but for \`inPlace\`. Checksums are verified here and not by \`torch.load\`.

${checkpointsTable(checkpoints)}`);
  } else if (kept !== null) parts.push(`${CHECKPOINTS}${kept.trimEnd()}`);
  section(
    'Very small numbers, every optimizer',
    'A step of one matrix of 128 × 128 as many times as long as a usual one, in turns.',
    all['dead-moments'],
    () => everyDeadTable(all['dead-moments']!),
  );
  section(
    'Differences',
    "First, every contestant takes three identical steps. The largest difference to this library's float64 result, which the tests hold to " +
      "PyTorch's, relative to the largest weight:",
    differences,
    () => differences!.rows.map(([name, difference]) => `- ${name}: ${difference.toExponential(1)}`).join('\n'),
  );
  return `${parts.join('\n\n')}\n`;
}

/** One thread, one matrix in which all take part. */
export function picture(all: AllResults): string {
  const groups = (['adafactor', 'adamw'] as const).flatMap((formula): Group[] => {
    const found = caseOf(all[formula], ' 1024 ×') ?? all[formula]?.cases[0];
    if (found === undefined) return [];
    const rows = SHOWN.flatMap((row) => {
      const name = nameOf(row, formula);
      const cost = name === null ? undefined : costOf(found, name);
      return cost === undefined ? [] : [{ label: row[0], value: cost, own: row[0].startsWith('tensorless') }];
    });
    return [{ title: `${found.title}: nanoseconds per element and step, one thread`, rows }];
  });
  return bars(groups, short);
}

/** Writes both from the files that are there; false, and nothing, before a first whole run. */
export function writePage(): boolean {
  const all = readResults();
  if (all.adafactor === undefined || all.adamw === undefined) return false;
  const [, below] = readFileSync(PAGE, 'utf8').split(CHECKPOINTS);
  writeFileSync(PAGE, page(all, below?.split('\n## ')[0] ?? null));
  writeFileSync(PICTURE, picture(all));
  return true;
}
