/**
 * The picture of the README, from what record.ts saw. It follows the reader's light or dark colours:
 *
 *   npx tsx docs/story/picture.ts
 *
 * test/story.test.ts draws it again and compares.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const RECORD: string = fileURLToPath(new URL('run.json', import.meta.url));
export const TARGET: string = fileURLToPath(new URL('story.svg', import.meta.url));

/** Steps whose words are shown: equally far apart on an axis of square roots, as most happens early. */
export const MILESTONES: readonly number[] = [0, 75, 300, 675, 1200];

/** One run, seen in several ways. */
export interface Story {
  readonly steps: number;
  /** Entropy of single letters, in nats. */
  readonly entropy: number;
  readonly loss: readonly (readonly [step: number, loss: number])[];
  readonly invented: readonly { readonly step: number; readonly words: readonly string[] }[];
  /** The checkpoint from which the killed run went on, and the step of the kill. */
  readonly saved: number;
  readonly killed: number;
  readonly hashes: readonly { readonly who: string; readonly hash: string }[];
  /** Bytes of the optimizers' states. */
  readonly bytes: { readonly adafactor: number; readonly adamw: number };
}

const WIDTH = 860;
const HEIGHT = 390;
/** The plot's edges. */
const [LEFT, RIGHT, TOP, BOTTOM] = [56, 836, 62, 196];

const round = (x: number): string => String(Math.round(x * 10) / 10);

const kilo = (size: number): string => `${(size / 1000).toFixed(1)} kB`;
const clipped = (word: string): string => (word.length > 15 ? `${word.slice(0, 14)}…` : word);

/** Means over neighbours. */
function smooth(points: Story['loss']): [number, number][] {
  return points.map(([step], i) => {
    const reach = Math.min(3, i, points.length - 1 - i);
    const near = points.slice(i - reach, i + reach + 1);
    return [step, near.reduce((sum, [, loss]) => sum + loss, 0) / near.length];
  });
}

export function picture({ steps, entropy, loss, invented, saved, killed, hashes, bytes }: Story): string {
  const most = Math.max(...loss.map(([, y]) => y));
  const least = Math.min(...loss.map(([, y]) => y));
  const x = (step: number): number => LEFT + (RIGHT - LEFT) * Math.sqrt(step / steps);
  const y = (value: number): number => TOP + ((BOTTOM - TOP) * (most - value)) / (most - least);
  const line = smooth(loss).map(([step, value]) => `${round(x(step))} ${round(y(value))}`);
  const dots = loss.map(([step, value]) => `M${round(x(step))} ${round(y(value))}h0`).join('');
  const text = (at: number, row: number, what: string, kind = ''): string =>
    `<text x="${round(at)}" y="${round(row)}"${kind && ` class="${kind}"`}>${what}</text>`;

  const columns = invented.map(({ step, words }, i) => {
    const at = x(step);
    const anchor = i === 0 ? 'word' : i === invented.length - 1 ? 'word end' : 'word middle';
    const rows = words.map((word, j) => text(at, 246 + 17 * j, clipped(word), `${anchor} w${i}`));
    return `${text(at, 226, step === 0 ? 'untrained' : `step ${step}`, anchor.replace('word', 'small'))}${rows.join('')}`;
  });
  const ticks = invented.map(({ step }) => `<path class="grid" d="M${round(x(step))} ${TOP}V${BOTTOM}"/>`);
  const [first, last] = [invented[0]!, invented.at(-1)!];
  const cut = x(killed);
  const same = hashes.every(({ hash }) => hash === hashes[0]!.hash);
  const short = (hash: string): string => `${hash.slice(0, 8)} ... ${hash.slice(-8)}`;
  const proofs = hashes.map(
    ({ who, hash }, i) => `${text(LEFT, 344 + 17 * i, who)}${text(LEFT + 205, 344 + 17 * i, short(hash), 'mono')}`,
  );
  const bar = (row: number, name: string, size: number): string => {
    const width = Math.max(2, (150 * size) / Math.max(bytes.adafactor, bytes.adamw));
    return `${text(500, row, name)}<rect class="bar" x="580" y="${row - 10}" width="${round(width)}" height="12" rx="2"/>${text(
      588 + width,
      row,
      kilo(size),
    )}`;
  };
  const alt =
    `Loss of a letter model while it trains for ${steps} steps, the words that it invents on the way, the equal ` +
    `hashes of ${hashes.length} runs, and the memory of two optimizers`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${alt}">
<style>
  svg { --ink: #1f2328; --faint: #59636e; --line: #0969da; --mark: #bc4c00; --grid: #d1d9e0; --good: #1a7f37 }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #f0f6fc; --faint: #9198a1; --line: #4493f8; --mark: #f0883e; --grid: #3d444d; --good: #3fb950 }
  }
  text { font: 13px system-ui, sans-serif; fill: var(--ink) }
  .title { font-weight: 600; font-size: 14px }
  .small { font-size: 12px; fill: var(--faint) }
  .word, .mono { font: 13px ui-monospace, Menlo, Consolas, monospace }
  .end { text-anchor: end } .middle { text-anchor: middle }
  .mark { fill: var(--mark); font-size: 12px } .good { fill: var(--good); font-weight: 600 }
  .w0, .w1 { fill: var(--faint) }
  .grid { stroke: var(--grid) } .bar { fill: var(--line) } .narrow { display: none }
  @media (max-width: 560px) {
    .wide { display: none } .narrow { display: inline }
    .narrow text { font-size: 27px } .narrow .mark { font-size: 25px } .narrow .small { font-size: 25px }
  }
</style>
<g class="wide">
${text(LEFT, 24, 'A letter model learns English words, trained by Adafactor in plain TypeScript', 'title')}
${text(LEFT, 48, 'loss, nats per letter', 'small')}
${text(RIGHT, y(entropy) - 6, `entropy of single letters, ${entropy.toFixed(2)}`, 'small end')}
${text(LEFT - 8, TOP + 8, most.toFixed(1), 'small end')}${text(LEFT - 8, BOTTOM, least.toFixed(1), 'small end')}
${text(cut - 8, TOP + 12, `SIGKILL at step ${killed}; goes on from the checkpoint of step ${saved}`, 'mark end')}
${columns.join('\n')}
<path class="grid" d="M${LEFT} 308H${RIGHT}"/>
${text(LEFT, 326, 'SHA-256 of all weights after the last step', 'small')}${same ? text(LEFT + 385, 326, 'equal', 'good end') : ''}
${proofs.join('\n')}
${text(500, 326, 'memory of the optimizer', 'small')}
${bar(344, 'Adafactor', bytes.adafactor)}
${bar(361, 'AdamW', bytes.adamw)}
</g>
<g class="narrow">
${text(LEFT, 32, 'loss over 1200 steps', 'small')}
${text(cut - 14, TOP + 24, 'SIGKILL', 'mark end')}
${text(LEFT, 236, `untrained: ${clipped(first.words[2]!)}`, 'small')}
${text(LEFT, 276, `step ${last.step}: ${last.words.slice(0, 3).join(', ')}`)}
${text(LEFT, 328, `${same ? 'one SHA-256' : 'SHA-256 differs'}: killed, not, in Chromium`, 'good')}
${text(LEFT, 370, `optimizer ${kilo(bytes.adafactor)}, AdamW's ${kilo(bytes.adamw)}`)}
</g>
${ticks.join('')}
<path d="M${LEFT} ${round(y(entropy))}H${RIGHT}" style="stroke: var(--faint); stroke-dasharray: 4 3"/>
<path d="${dots}" style="stroke: var(--line); stroke-width: 3; stroke-linecap: round; opacity: .35"/>
<path d="M${line.join('L')}" style="stroke: var(--line); stroke-width: 2; fill: none"/>
<path d="M${round(cut)} ${TOP}V${BOTTOM}" style="stroke: var(--mark); stroke-width: 2"/>
</svg>
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(TARGET, picture(JSON.parse(readFileSync(RECORD, 'utf8')) as Story));
}
