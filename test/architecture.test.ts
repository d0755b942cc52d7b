/**
 * What may import what, as docs/architecture.md has it; read with the TypeScript compiler's own
 * parser.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { FOLDERS, picture, TARGET } from '../docs/architecture/picture.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

const reachOf = (folder: string): Set<string> =>
  new Set([folder, ...(FOLDERS[folder]?.uses ?? []).flatMap((next) => [...reachOf(next)])]);

/** An import, or a re-export, of a file. */
interface Import {
  /** A path in src/, or the name of a package as it is written. */
  readonly target: string;
  readonly typesOnly: boolean;
  readonly dynamic: boolean;
}

function filesOf(folder: string): string[] {
  return readdirSync(join(root, 'src', folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesOf(path) : path.endsWith('.ts') ? [path] : [];
  });
}

// The assembly is another language in TypeScript's clothes, with files of its own that import one
// another.
const isAssembly = (file: string): boolean => file.startsWith('simd/assembly/');
const files = filesOf('').filter((file) => !isAssembly(file));
const parsed = new Map(
  files.map((file) => [
    file,
    ts.createSourceFile(file, readFileSync(join(root, 'src', file), 'utf8'), ts.ScriptTarget.ES2022, true),
  ]),
);

/** Every node of a file. */
function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}

/** Imports of a source; `file` is where it stands in src/. */
function importsOf(file: string, source: ts.SourceFile): Import[] {
  const found: Import[] = [];
  const add = (specifier: ts.Node | undefined, typesOnly: boolean, dynamic: boolean): void => {
    const text = specifier !== undefined && ts.isStringLiteralLike(specifier) ? specifier.text : '(computed)';
    const target = text.startsWith('.') ? normalize(join(dirname(file), text)) : text;
    found.push({ target, typesOnly, dynamic });
  };
  walk(source, (node) => {
    if (ts.isImportDeclaration(node)) {
      const { importClause: clause } = node;
      const names = clause?.namedBindings;
      const each = names !== undefined && ts.isNamedImports(names) && names.elements.length > 0 ? names.elements : [];
      const typesOnly =
        clause?.phaseModifier === ts.SyntaxKind.TypeKeyword ||
        (clause?.name === undefined && each.length > 0 && each.every(({ isTypeOnly }) => isTypeOnly));
      add(node.moduleSpecifier, typesOnly, false);
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
      const names = node.exportClause;
      const each = names !== undefined && ts.isNamedExports(names) ? names.elements : [];
      add(node.moduleSpecifier, node.isTypeOnly || (each.length > 0 && each.every((one) => one.isTypeOnly)), false);
    } else if (ts.isImportTypeNode(node)) {
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true, false);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false, true);
    }
  });
  return found;
}

const imports = new Map(files.map((file) => [file, importsOf(file, parsed.get(file)!)]));
const importsIn = (file: string, types: boolean): string[] =>
  imports.get(file)!.flatMap(({ target, typesOnly }) => (parsed.has(target) && (types || !typesOnly) ? [target] : []));
const folderOf = (file: string): string => (file.includes('/') ? file.slice(0, file.indexOf('/')) : 'doors');

/** All files that this one needs: to run, or with their types. */
function reach(file: string, types: boolean, seen = new Set<string>()): Set<string> {
  for (const target of importsIn(file, types)) {
    if (seen.has(target)) continue;
    seen.add(target);
    reach(target, types, seen);
  }
  return seen;
}

/** `file:line: text` of every node that is asked for. */
function placesOf(asked: (node: ts.Node) => boolean): string[] {
  const found: string[] = [];
  for (const [file, source] of parsed) {
    walk(source, (node) => {
      if (!asked(node)) return;
      const { line } = source.getLineAndCharacterOfPosition(node.getStart());
      found.push(`src/${file}:${line + 1}: ${node.getText().replaceAll(/\s+/g, ' ').slice(0, 90)}`);
    });
  }
  return found;
}

describe('imports', () => {
  it('are found in all their forms', () => {
    const text = `import a from './a.ts'; import type { B } from '../core/b.ts'; import { type C, d } from './c.ts';
      import { type E } from './e.ts'; export * from './f.ts'; export { type G } from './g.ts'; import './h.ts';
      type I = import('./i.ts').I; const j = import('node:j'); const k = import(['node', 'k'].join(':'));
      // import './no.ts'
      const text = "import x from './no.ts'";`;
    const source = ts.createSourceFile('x.ts', text, ts.ScriptTarget.ES2022, true);
    const seen = importsOf('loops/x.ts', source).map(
      ({ target, typesOnly, dynamic }) => `${target}${typesOnly ? ' types' : ''}${dynamic ? ' dynamic' : ''}`,
    );
    expect(seen).toEqual([
      'loops/a.ts',
      'core/b.ts types',
      'loops/c.ts',
      'loops/e.ts types',
      'loops/f.ts',
      'loops/g.ts types',
      'loops/h.ts',
      'loops/i.ts types',
      'node:j dynamic',
      '(computed) dynamic',
    ]);
    expect(files.length).toBeGreaterThan(50);
    expect([...imports.values()].flat().length).toBeGreaterThan(200);
  });

  it('go from a folder to those before it, types too', () => {
    const wrong = files.flatMap((file) =>
      importsIn(file, true)
        .filter((target) => !reachOf(folderOf(file)).has(folderOf(target)))
        .map((target) => `${file} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('make no circle between files, types too', () => {
    for (const file of files) expect([...reach(file, true)], file).not.toContain(file);
  });

  it('name files that are there; packages only where they are to be', () => {
    const allowed: Record<string, RegExp> = {
      'node.ts': /^node:/,
      'cli.ts': /^node:/,
      'tfjs.ts': /^@tensorflow\/tfjs-core$/,
      'frameworks/tf-gradients.ts': /^@tensorflow\/tfjs-core$/,
      'frameworks/tf-gpu.ts': /^@tensorflow\/tfjs-core$/,
      'frameworks/tf-optimizer.ts': /^@tensorflow\/tfjs-core$/,
      'frameworks/tf-tensors.ts': /^@tensorflow\/tfjs-core$/,
      'frameworks/tf-variables.ts': /^@tensorflow\/tfjs-core$/,
      'jax.ts': /^@jax-js\/jax$/,
    };
    // What looks at folders and files is for runtimes with Node's modules; all else runs
    // everywhere.
    const onDisk = /^(disk\/|command-line\/|checkpoints\/(hugging-face|manager|trainer)\.ts)/;
    const wrong = files.flatMap((file) =>
      imports
        .get(file)!
        .filter(({ target }) => !parsed.has(target))
        .filter(({ target }) => !(allowed[file] ?? (onDisk.test(file) ? /^node:/ : undefined))?.test(target))
        .map(({ target }) => `${file} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('of what most people import reach no format, adapter or accelerator', () => {
    const reached = [...reach('index.ts', false)];
    const far = ['formats', 'simd', 'threads', 'doors'];
    expect(reached.filter((file) => far.includes(folderOf(file)))).toEqual([]);
    expect(reached).toContain('optimizers/adafactor.ts');
  });

  it.each(['safetensors.ts', 'torch.ts'])('of src/%s reach no optimizer and no loop', (file) => {
    const far = ['loops', 'engine', 'optimizers', 'gradients', 'schedules', 'simd', 'threads'];
    expect([...reach(file, false)].filter((target) => far.includes(folderOf(target)))).toEqual([]);
  });

  it.each(['curves', 'compose'])('of src/schedules/%s.ts reach src/core alone', (name) => {
    const reached = [...reach(`schedules/${name}.ts`, false)].filter((file) => !file.startsWith('schedules/'));
    expect(reached.filter((file) => folderOf(file) !== 'core')).toEqual([]);
  });
});

it('the folders of src/ are those of the page, and those of the rule', () => {
  const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const table = page.slice(page.indexOf('| folder |'));
  const named = [...table.matchAll(/^\| `src\/([\w-]+)` \|/gm)].map(([, name]) => name!);
  const folders = readdirSync(join(root, 'src'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
  expect(named.toSorted()).toEqual(folders.toSorted());
  expect(Object.keys(FOLDERS).toSorted()).toEqual([...folders, 'doors'].toSorted());
  // The picture is drawn from the rule: `npx tsx docs/architecture/picture.ts`.
  expect(readFileSync(TARGET, 'utf8') === picture()).toBe(true);
  expect(page).toContain('(architecture/folders.svg)');
  for (const [, name] of page.matchAll(/`((?:src|tools)\/[\w/-]+)\/?`/g))
    expect(existsSync(join(root, name!))).toBe(true);
});

describe('the code', () => {
  const unknownKeyword = ts.SyntaxKind.UnknownKeyword;

  it('forces a type at most three times', () => {
    const found = placesOf(
      (node) =>
        ts.isAsExpression(node) && ts.isAsExpression(node.expression) && node.expression.type.kind === unknownKeyword,
    );
    console.log(`as unknown as: ${found.length}\n${found.join('\n')}`);
    expect(found.length).toBeLessThanOrEqual(3);
  });

  it('tells arrays by their tag: those of another realm are no instances', () => {
    // Its own branch mends src/torch.ts.
    const arrays = /^(Array|ArrayBuffer|SharedArrayBuffer|DataView|(Big)?(Ui|I)nt\d+(Clamped)?Array|Float\d+Array)$/;
    const found = placesOf(
      (node) =>
        ts.isBinaryExpression(node) &&
        node.operatorToken.kind === ts.SyntaxKind.InstanceOfKeyword &&
        arrays.test(node.right.getText()),
    );
    expect(found.filter((place) => !place.startsWith('src/torch.ts:'))).toEqual([]);
  });

  it('does nothing when it is imported, but for the command and the worker', () => {
    const found = placesOf((node) => node.parent?.kind === ts.SyntaxKind.SourceFile && isDeed(node));
    expect(found.filter((place) => !/^src\/(cli|parallel-worker)\.ts:/.test(place))).toEqual([]);
  });
});

/** Whether a statement of a module is there for what it does. */
function isDeed(node: ts.Node): boolean {
  return (
    ts.isExpressionStatement(node) ||
    ts.isIfStatement(node) ||
    ts.isIterationStatement(node, false) ||
    ts.isTryStatement(node) ||
    (ts.isVariableStatement(node) && (node.declarationList.flags & ts.NodeFlags.BlockScoped) === ts.NodeFlags.Let)
  );
}
