/** Results as a table for the terminal, as a page, and as a picture. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { exponent, type Result, type Row } from './measure.ts';
import { MODELS, stateNumbers } from './t5.ts';

const two = (x: number): string =>
  x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x >= 0.1 ? x.toFixed(2) : x.toFixed(3);
const range = ([, least, most]: Row['cost']): string => `${two(least)}-${two(most)}`;

/** At most 80 columns. */
export function terminalTable({ title, baseline, rows }: Result): string {
  const lines = rows.map(
    ({ name, cost, speed }) =>
      `  ${name.slice(0, 41).padEnd(41)} ${two(cost[0]).padStart(6)} ns ${`${two(speed[0])}x`.padStart(7)}  ` +
      `(${range(speed)})`,
  );
  return [title, `  ns per element; times as fast as ${baseline} (least-most)`, ...lines].join('\n');
}

function markdownTable({ title, baseline, rows }: Result): string {
  const body = rows.map(
    ({ name, cost, speed }) => `| ${name} | ${two(cost[0])} | ${range(cost)} | ${two(speed[0])} | ${range(speed)} |`,
  );
  return [
    `### ${title}`,
    '',
    `| | ns per element | least-most | times as fast as ${baseline} | least-most |`,
    '| --- | --- | --- | --- | --- |',
    ...body,
  ].join('\n');
}

function growthTable(results: readonly Result[]): string {
  const byName = new Map<string, [number, number][]>();
  for (const { elements, rows } of results) {
    for (const { name, cost } of rows) byName.set(name, [...(byName.get(name) ?? []), [elements, cost[0] * elements]]);
  }
  const lines = [...byName]
    .filter(([, points]) => points.length > 2)
    .map(([name, points]) => `| ${name} | ${exponent(points).toFixed(2)} |`);
  return ['| | exponent |', '| --- | --- |', ...lines].join('\n');
}

function stateTable(): string {
  const megabytes = (numbers: number): string => {
    const mb = (numbers * 4) / 1e6;
    return mb >= 1e3 ? `${(mb / 1e3).toFixed(1)} GB` : `${mb.toFixed(mb < 10 ? 2 : 1)} MB`;
  };
  const lines = Object.entries(MODELS).map(([name, config]) => {
    const { weights, adafactor, adamw } = stateNumbers(config);
    const ratio = (adamw / adafactor).toFixed(0);
    return `| ${name} | ${(weights / 1e6).toFixed(0)} M | ${megabytes(adafactor)} | ${megabytes(adamw)} | ${ratio} |`;
  });
  return ['| | weights | Adafactor | AdamW | ratio |', '| --- | --- | --- | --- | --- |', ...lines].join('\n');
}

export interface Surroundings {
  readonly machine: string;
  readonly versions: string;
  readonly date: string;
  readonly rounds: number;
  readonly checks: readonly string[];
  /** What bundles weigh. */
  readonly sizes: readonly (readonly [title: string, bytes: number])[];
}

export interface Section {
  readonly heading: string;
  readonly text: string;
  readonly results: readonly Result[];
  readonly growth?: boolean;
}

export function page(
  sections: readonly Section[],
  { machine, versions, date, rounds, checks, sizes }: Surroundings,
): string {
  const parts = sections.map(({ heading, text, results, growth }) => {
    const tables = results.map(markdownTable);
    if (growth === true) {
      tables.push(`Growth: time as a power of the number of elements (1 is linear).\n\n${growthTable(results)}`);
    }
    return `## ${heading}\n\n${text}\n\n${tables.join('\n\n')}`;
  });
  return `# Performance

Written by \`npm run bench\` on ${date}; run it again on your machine, \`npm run bench -- --quick\` takes under a minute and writes nothing.

- Machine: ${machine}
- Versions: ${versions}
- Each contestant has a process of its own and took ${rounds} turns within one run; the tables give medians, and the least and the most of all turns. Such machines are noisy: only
  ratios within one run say something.

What the names say: "SIMD" is \`tensorless/simd\` with arrays from \`allocate\`, "copied" the same with ordinary arrays, "threads" \`tensorless/parallel\`, which
uses them from 131,072 elements on. "foreach" and "fused" are PyTorch's two implementations of AdamW, "wasm ' +
'jit" is jax-js's compiled step. PyTorch "as installed" gives
large temporaries back to the system after each operation and has them faulted in again; with "best" the C library keeps them (\`MALLOC_MMAP_MAX_=0\`, a high
\`MALLOC_TRIM_THRESHOLD_\`).

![Nanoseconds per element over matrix size](performance.svg)

Before anything was timed, all had made three steps on the same numbers; the largest difference to this library's float64 result, which the tests hold to
PyTorch's, relative to the largest weight:

${checks.map((check) => `- ${check}`).join('\n')}

${parts.join('\n\n')}

## State

What an optimizer keeps between steps, in float32, counted over every matrix and vector of the models (tied embeddings): Adafactor rows + columns of
each matrix and the vectors whole, AdamW two numbers a weight. \`test/memory.test.ts\` holds the library to it.

${stateTable()}

## Size

What a bundler (esbuild) makes of it, minified and gzipped; \`test/size.test.ts\` holds the first line. The fast 16-bit loops are not in it: they come with \`toBfloat16\` and its like.

| | kB |
| --- | --- |
${sizes.map(([title, bytes]) => `| ${title} | ${(bytes / 1000).toFixed(1)} |`).join('\n')}
`;
}

interface Point {
  readonly name: string;
  readonly side: number;
  readonly cost: number;
}

/** Names at the right ends of their lines, moved apart where they would touch. */
function labels(points: readonly Point[], plot: { scale(name: 'x' | 'y' | 'color'): Plot.Scale | undefined }): string {
  const [x, y, color] = (['x', 'y', 'color'] as const).map((name) => plot.scale(name)!);
  const ends = [...new Set(points.map(({ name }) => name))].map(
    (name) => points.findLast((point) => point.name === name)!,
  );
  const right = Math.max(...points.map(({ side }) => x!.apply(side) as number)) + 12;
  let above = Number.NEGATIVE_INFINITY;
  return ends
    .map((point) => ({ ...point, at: y!.apply(point.cost) as number }))
    .sort((a, b) => a.at - b.at)
    .map(({ name, side, at }) => {
      above = Math.max(at, above + 15);
      const from = (x!.apply(side) as number) + 4;
      const ink = color!.apply(name) as string;
      return (
        `<path d="M${from.toFixed(1)},${at.toFixed(1)}L${(right - 3).toFixed(1)},${above.toFixed(1)}" ` +
        `stroke="${ink}" stroke-opacity="0.4" fill="none"/><text x="${right.toFixed(1)}" y="${above.toFixed(1)}" dy="0.35em" text-anchor="start" fill="${ink}" font-family="system-ui, sans-serif" font-size="12">${name}</text>`
      );
    })
    .join('');
}

/** The library in strong colours, the peers in pale ones, a name the same in both panels. */
function colours(names: readonly string[]): { domain: string[]; range: string[] } {
  const strong = ['#1f6feb', '#d1242f', '#bf5700', '#8250df'];
  const pale = [
    '#57606a',
    '#7d8590',
    '#b08800',
    '#4d9375',
    '#a371a8',
    '#6b8fb5',
    '#a0785a',
    '#8c959f',
    '#5e9ea0',
    '#b5838d',
    '#9a9a5e',
  ];
  const domain = [...new Set(names)];
  const own = domain.filter((name) => name.startsWith('tensorless'));
  const range = domain.map((name) => {
    const place = own.indexOf(name);
    return place >= 0
      ? strong[place % strong.length]!
      : pale[domain.filter((other) => !own.includes(other)).indexOf(name) % pale.length]!;
  });
  return { domain, range };
}

/** Cost over size, one line a contestant. */
export function chart(sections: readonly Section[]): string {
  const points = sections
    .filter(({ growth }) => growth === true)
    .flatMap(({ heading, results }) =>
      results.flatMap(({ elements, rows }) =>
        rows.map(({ name, cost }) => ({ heading, name, side: Math.sqrt(elements), cost: cost[0] })),
      ),
    );
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const width = 760;
  const panels = [...new Set(points.map(({ heading }) => heading))].map((heading, i) => {
    const own = points.filter((point) => point.heading === heading);
    const svg = Plot.plot({
      document,
      width,
      height: 360,
      marginRight: 250,
      marginLeft: 48,
      marginBottom: 36,
      style: { color: '#1f2328', fontFamily: 'system-ui, sans-serif', fontSize: '12px', overflow: 'visible' },
      color: colours(points.map(({ name }) => name)),
      x: { type: 'log', base: 2, label: 'side of the matrix →', tickFormat: 'd' },
      y: { type: 'log', label: `↑ ${heading}: ns per element`, grid: true, tickFormat: '~g' },
      marks: [
        Plot.line(own, { x: 'side', y: 'cost', stroke: 'name', strokeWidth: 1.8 }),
        Plot.dot(own, { x: 'side', y: 'cost', fill: 'name', r: 3 }),
      ],
    });
    const text = svg.outerHTML.replace(/-?\d+\.\d{4,}/g, (number: string) =>
      String(Math.round(Number(number) * 100) / 100),
    );
    return text.replace('<svg ', `<svg y="${12 + i * 380}" `).replace(/<\/svg>$/, `${labels(own, svg)}</svg>`);
  });
  const height = 24 + panels.length * 380;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="Cost per element over matrix size">
<rect width="${width}" height="${height}" rx="8" fill="#ffffff"/>
${panels.join('\n')}
</svg>
`;
}
