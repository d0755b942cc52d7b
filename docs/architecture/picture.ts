/**
 * The picture of docs/architecture.md, drawn from the rule that test/architecture.test.ts holds:
 *
 *   npx tsx docs/architecture/picture.ts
 *
 * test/architecture.test.ts draws it again and compares.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const TARGET: string = fileURLToPath(new URL('folders.svg', import.meta.url));

/** A folder of src/; `doors` are the files of src/ itself. */
interface Folder {
  /** Where it stands in the picture. */
  readonly column: number;
  readonly row: number;
  /** What the picture says of it. */
  readonly text: string;
  /** The folders from which it may import, and from all that they may. */
  readonly uses: readonly string[];
}

/** Which folder may import which. */
export const FOLDERS: Readonly<Record<string, Folder>> = {
  core: { column: 0, row: 1.5, text: 'checks, Parameter', uses: [] },
  loops: { column: 1, row: 1.5, text: 'over plain arrays', uses: ['core'] },
  sixteen: { column: 2, row: 1.5, text: 'bfloat16, float16', uses: ['loops'] },
  engine: { column: 3, row: 1.5, text: 'memory, passes', uses: ['sixteen'] },
  optimizers: { column: 4, row: 1.5, text: 'rules, steps, states', uses: ['engine'] },
  gradients: { column: 5, row: 0, text: 'accumulate, clip', uses: ['optimizers'] },
  schedules: { column: 5, row: 1, text: 'curves, schedulers', uses: ['optimizers'] },
  formats: { column: 5, row: 2, text: 'safetensors, PyTorch', uses: ['optimizers'] },
  disk: { column: 6, row: 1.5, text: 'files, atomically', uses: ['formats'] },
  checkpoints: { column: 7, row: 1.5, text: 'runs, folders of them', uses: ['disk', 'schedules', 'gradients'] },
  'command-line': { column: 8, row: 2.5, text: 'files, schedules', uses: ['checkpoints'] },
  simd: { column: 5, row: 3, text: 'WebAssembly', uses: ['optimizers'] },
  threads: { column: 6, row: 3, text: 'workers', uses: ['simd', 'gradients'] },
  frameworks: { column: 6, row: 0, text: 'TensorFlow.js, jax-js', uses: ['schedules'] },
  webgpu: { column: 6, row: 4, text: 'steps on a GPU', uses: ['optimizers'] },
  doors: {
    column: 9,
    row: 1.5,
    text: 'what is imported',
    uses: ['checkpoints', 'command-line', 'threads', 'frameworks', 'webgpu'],
  },
};

const WIDTH = 118;
const HEIGHT = 50;
const GAP = 30;
const LINE = 74;

/** The picture. */
export function picture(): string {
  const boxOf = (name: string): { x: number; y: number; text: string } => {
    const { column, row, text } = FOLDERS[name]!;
    return { x: 10 + column * (WIDTH + GAP), y: 12 + row * LINE, text };
  };
  const arrows = Object.entries(FOLDERS).flatMap(([user, { uses }]) =>
    uses.map((used) => {
      const a = boxOf(used);
      const b = boxOf(user);
      const [x1, y1, x2, y2] = [a.x + WIDTH, a.y + HEIGHT / 2, b.x - 2, b.y + HEIGHT / 2];
      const middle = x2 - GAP / 2;
      const line = y1 === y2 ? `H${x2}` : `H${middle - 12} C${middle} ${y1} ${middle - 12} ${y2} ${x2} ${y2}`;
      return `  <path class="arrow" d="M${x1} ${y1} ${line}" marker-end="url(#tip)"/>`;
    }),
  );
  const boxes = Object.keys(FOLDERS).map((name) => {
    const { x, y, text } = boxOf(name);
    const middle = x + WIDTH / 2;
    return `  <rect x="${x}" y="${y}" width="${WIDTH}" height="${HEIGHT}" rx="6"/>
  <text class="name" x="${middle}" y="${y + 21}">${name}</text>
  <text class="what" x="${middle}" y="${y + 38}">${text}</text>`;
  });
  const last = Math.max(...Object.values(FOLDERS).map(({ column }) => column));
  const width = 20 + (last + 1) * WIDTH + last * GAP;
  const height = 24 + 4 * LINE + HEIGHT;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img"
  aria-label="The folders of src: an arrow goes from what is used to what uses it, from core to the doors">
  <style>
    svg { color-scheme: light dark; background: #fff; }
    rect { fill: #f6f8fa; stroke: #59636e; }
    text { text-anchor: middle; font-family: system-ui, sans-serif; fill: #1f2328; }
    .name { font-size: 15px; font-weight: 600; }
    .what { font-size: 11px; fill: #59636e; }
    .arrow { fill: none; stroke: #0969da; stroke-width: 1.5; }
    #tip path { fill: #0969da; }
    @media (prefers-color-scheme: dark) {
      svg { background: #0d1117; }
      rect { fill: #161b22; stroke: #9198a1; }
      text { fill: #f0f6fc; }
      .what { fill: #9198a1; }
      .arrow { stroke: #4493f8; }
      #tip path { fill: #4493f8; }
    }
  </style>
  <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
    <path d="M0 0 L8 4 L0 8 z"/></marker></defs>
${[...arrows, ...boxes].join('\n')}
</svg>
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(TARGET, picture());
