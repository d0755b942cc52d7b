/**
 * Every TypeScript block of README and docs compiles as a user's file would, and needs no cast of
 * this library's values.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const pages = ['README.md', ...readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))].map((name) =>
  name === 'README.md' ? name : join('docs', name),
);

/** Blocks by the names of the files they are made of. */
const blocks = new Map<string, string>();
for (const page of pages) {
  const markdown = readFileSync(join(root, page), 'utf8');
  for (const [i, [, code]] of [...markdown.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].entries()) {
    // A block is a module, whether it imports or not.
    blocks.set(join(root, 'test', `block-${page.replaceAll('/', '-')}-${i + 1}.ts`), `${code}\nexport {};\n`);
  }
}

it('they compile, strictly', () => {
  const config = ts.readConfigFile(join(root, 'test/tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, join(root, 'test'));
  const compilerOptions: ts.CompilerOptions = { ...options, noEmit: true, noUnusedLocals: false };
  const host = ts.createCompilerHost(compilerOptions);
  const { readFile, fileExists, getSourceFile } = host;
  host.readFile = (name) => blocks.get(name) ?? readFile(name);
  host.fileExists = (name) => blocks.has(name) || fileExists(name);
  host.getSourceFile = (name, ...rest) => {
    const text = blocks.get(name);
    return text === undefined ? getSourceFile(name, ...rest) : ts.createSourceFile(name, text, ts.ScriptTarget.ES2022);
  };
  const program = ts.createProgram([...blocks.keys()], compilerOptions, host);
  const faults = ts
    .getPreEmitDiagnostics(program)
    .filter(({ file }) => file !== undefined && blocks.has(file.fileName))
    .map(({ file, start, messageText }) => {
      const { line } = file!.getLineAndCharacterOfPosition(start!);
      const message = ts.flattenDiagnosticMessageText(messageText, ' ').slice(0, 200);
      return `${file!.fileName.slice(root.length)}:${line + 1}: ${message}`;
    });
  expect(faults).toEqual([]);
});

it('none casts a value of this library', () => {
  const casts = [...blocks].flatMap(([name, code]) =>
    [...code.matchAll(/^.* as (?!const\b|Error\b)\w+.*$/gm)]
      .map(([line]) => line.trim())
      .filter((line) => !line.startsWith('import') && !line.startsWith('//'))
      .map((line) => `${name.slice(root.length)}: ${line}`),
  );
  expect(casts).toEqual([]);
});
