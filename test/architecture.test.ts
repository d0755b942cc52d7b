/** The arrows between the files of src/, as docs/architecture.md has them. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const files = readdirSync(`${root}src`).filter((name) => name.endsWith('.ts'));
const source = (file: string): string => readFileSync(`${root}src/${file}`, 'utf8');

/** Imports of a file: [what, types only]. */
function imports(file: string): [target: string, typesOnly: boolean][] {
  const found: [string, boolean][] = [];
  for (const [, clause, target] of source(file).matchAll(
    /^(?:import|export)\s+((?:type\s+)?[^;'"]*?)\s*from\s+'([^']+)';/gm,
  )) {
    const names = /\{([^}]*)\}/
      .exec(clause!)?.[1]
      ?.split(',')
      .map((name) => name.trim())
      .filter(Boolean);
    const typesOnly =
      clause!.startsWith('type ') ||
      (names !== undefined && names.length > 0 && names.every((name) => name.startsWith('type ')));
    found.push([target!.replace(/^\.\//, ''), typesOnly]);
  }
  return found;
}
const code = (file: string): string[] => imports(file).flatMap(([target, typesOnly]) => (typesOnly ? [] : [target]));

/** All files that running this one needs. */
function reach(file: string, seen = new Set<string>()): Set<string> {
  for (const target of code(file)) {
    if (!files.includes(target) || seen.has(target)) continue;
    seen.add(target);
    reach(target, seen);
  }
  return seen;
}

describe('the arrows', () => {
  it('have no cycles', () => {
    for (const file of files) expect([...reach(file)], file).not.toContain(file);
  });

  it.each([
    ['curves.ts', ['core/math.ts', 'core/check.ts'], 'curves know nothing'],
    ['compose.ts', ['core/check.ts'], 'nor do their combinations'],
    ['loops/matrix.ts', [], 'loops know nothing'],
    ['loops/generated/matrix64.ts', [], 'nor do their twins'],
    ['core/math.ts', [], ''],
    ['safetensors.ts', ['core/check.ts', 'formats/error.ts'], 'a format knows no optimizer'],
  ])('%s imports only %j', (file, allowed) => {
    expect(code(file).filter((target) => !allowed.includes(target))).toEqual([]);
  });

  it.each<[string, string[]]>([
    [
      'formats never reach the optimizers or the loops',
      ['safetensors.ts', 'torch.ts', 'checkpoint.ts', 'node.ts', 'cli.ts'],
    ],
    ['schedulers neither', ['schedules.ts', 'plateau.ts', 'greedy.ts', 'lr-scheduler.ts', 'get-scheduler.ts']],
  ])('%s', (_, from) => {
    for (const file of from) {
      const reached = [...reach(file)].filter((target) =>
        [
          'optimizer.ts',
          'adafactor.ts',
          'adamw.ts',
          'loops/matrix.ts',
          'loops/generated/matrix64.ts',
          'engine/tasks.ts',
          'kernels.ts',
        ].includes(target),
      );
      expect(reached, file).toEqual([]);
    }
  });

  it('what most people import reaches no format, adapter or accelerator', () => {
    const reached = reach('index.ts');
    for (const file of [
      'safetensors.ts',
      'checkpoint.ts',
      'torch.ts',
      'formats/zip-read.ts',
      'formats/zip-write.ts',
      'formats/torch/files.ts',
      'node.ts',
      'cli.ts',
      'tfjs.ts',
      'simd.ts',
      'parallel.ts',
    ])
      expect(reached).not.toContain(file);
  });

  it('Node’s own modules are used by node.ts and cli.ts only, packages by tfjs.ts only', () => {
    const allowed: Record<string, RegExp> = {
      'node.ts': /^node:/,
      'cli.ts': /^node:/,
      'tfjs.ts': /^@tensorflow\/tfjs-core$/,
      'parallel.ts': /^node:worker_threads$/,
    };
    for (const file of files) {
      for (const [target] of imports(file)) {
        if (target.endsWith('.ts')) expect(files, `${file} imports ${target}`).toContain(target);
        else expect(allowed[file]?.test(target), `${file} imports ${target}`).toBe(true);
      }
    }
  });
});

it('every file of src/ stands in the table of docs/architecture.md, and no other', () => {
  const page = readFileSync(`${root}docs/architecture.md`, 'utf8');
  const table = page.slice(page.indexOf('## Files'));
  const named = [...table.matchAll(/`([\w-]+)`/g)]
    .map(([, name]) => name!)
    .filter((name) => !['name', '_name'].includes(name));
  const existing = files.map((file) => file.slice(0, -3)).filter((name) => name !== 'index');
  expect(existing.filter((name) => !named.includes(name))).toEqual([]);
  expect(named.filter((name) => !existing.includes(name))).toEqual([]);
});
