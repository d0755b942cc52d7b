/** The twins of the loops (`src/loops/generated/`) against what their generator writes. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COMMAND, generate, specialise, TARGET } from '../tools/specialise.ts';

describe(`src/loops/generated (repair: ${COMMAND})`, () => {
  const twins = generate();

  it('has the twins of all loops and nothing else', () => {
    expect(readdirSync(TARGET).sort()).toEqual([...twins.keys()].sort());
  });

  it.each([...twins])('%s is what the generator makes of its source', (file, text) => {
    expect(readFileSync(new URL(file, TARGET), 'utf8'), `stale; run ${COMMAND}`).toBe(text);
  });
});

describe('a twin', () => {
  const code = (text: string): string => text.slice(text.indexOf('*/') + 2).trim();
  const twin = (source: string, bits: 16 | 64, others: string[] = []): string =>
    code(specialise('lion', `/** Lion. */\n${source}`, bits, new Set(others)));

  it('for float64 has no rounding to float32 and the variant that is named so', () => {
    const source = `import { sumSquares } from './sums.ts';
import { STRIP_LENGTH } from './blocks.ts';
import { sign } from '../core/math.ts';

const round = Math.fround;

/** Rounded, unlike {@link part64}. */
function part(x: number): number {
  return Math.fround(x) * 2;
}

/** Not rounded. */
function part64(x: number): number {
  return x * 2;
}

/** Lion. */
export function lion(p: Float32Array, length: number): void {
  for (let k = 0; k < length; k++) p[k] = round(part(p[k]!) - Math.fround(p[k]! + 1));
}
`;
    expect(twin(source, 64, ['sums'])).toBe(`import { sumSquares } from './sums64.ts';
import { STRIP_LENGTH } from '../blocks.ts';
import { sign } from '../../core/math.ts';

const round = (x: number): number => x;

/** Not rounded. */
function part(x: number): number {
  return x * 2;
}

/** Lion. */
export function lion(p: Float64Array, length: number): void {
  for (let k = 0; k < length; k++) p[k] = round(part(p[k]!) - (p[k]! + 1));
}`);
  });

  it('for 16 bits looks numbers up, and hands on what that takes', () => {
    const source = `import type { LookedUp } from './elements.ts';

function read(x: LookedUp, k: number): number {
  return x[k]!;
}

function write(p: LookedUp, k: number, x: number): void {
  p[k << 1] = x;
}

export function lion(
  p: LookedUp,
  at: number,
  m: Float32Array,
): void {
  m[at] = read(p, at);
  write(p, at, m[at]!);
}
`;
    expect(twin(source, 16)).toBe(`function read(x: Uint16Array, k: number, table: Float32Array): number {
  return table[x[k]!]!;
}

function write(p: Uint16Array, k: number, x: number, strip: Float32Array, at: number): void {
  strip[(k << 1) - at] = x;
}

export function lion(
  p: Uint16Array,
  at: number,
  m: Float32Array,
  table: Float32Array,
  strip: Float32Array,
): void {
  m[at] = read(p, at, table);
  write(p, at, m[at]!, strip, at);
}`);
  });

  it.each(['p[k]! += 1', 'p[k]!++', 'return p.length', 'const q = p'])(
    'for 16 bits cannot be made of %s',
    (statement) => {
      expect(() => twin(`export function lion(p: LookedUp, k: number) {\n  ${statement};\n}`, 16)).toThrow(
        /^src\/loops\/lion\.ts, line 3: a LookedUp array is read as x\[k\]!/,
      );
    },
  );
});
