/** Every page is run and followed: its TypeScript blocks, its links, the paths it names. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format } from 'node:util';
import { afterAll, describe, expect, it, vi } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const pages = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !name.includes('node_modules'))
    .map((name) => join('docs', name)),
];
const text = (page: string): string => readFileSync(join(root, page), 'utf8');
const withoutCode = (markdown: string): string => markdown.replace(/^```[\s\S]*?^```$/gm, '').replace(/`[^`\n]*`/g, '');

/**
 * Blocks are files of the project while they run, so that the package's name resolves in them as it
 * does in the tests.
 */
const folder = join(root, 'test/.blocks');
mkdirSync(folder, { recursive: true });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** GitHub's anchor of a heading. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

describe.each(pages)('%s', (page) => {
  const markdown = text(page);
  const blocks = [...markdown.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code!);

  it.each(blocks.map((code, i) => [i + 1, code] as const))(
    'block %i runs and prints what its comments say',
    async (number, code) => {
      const file = join(folder, `${page.replaceAll('/', '-')}-${number}.ts`);
      writeFileSync(file, code.replaceAll("'tensorless/parallel'", "'../_parallel.ts'"));
      const printed: string[] = [];
      const log = vi.spyOn(console, 'log').mockImplementation((...values) => void printed.push(format(...values)));
      try {
        await import(/* @vite-ignore */ file);
      } finally {
        log.mockRestore();
      }
      // `console.log(...); // output`; a comment of three dots stands for output that is not the
      // point.
      const said = [...code.matchAll(/console\.log\(.*\);(?: \/\/ (.*))?$/gm)].map(([, output]) => output);
      for (const [i, output] of said.entries()) {
        if (output !== undefined && output !== '...') expect(printed[i]).toBe(output);
      }
    },
  );

  it('links to what exists', () => {
    for (const [, target] of withoutCode(markdown).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const [path, hash] = target!.split('#') as [string, string?];
      const file = path === '' ? page : join(dirname(page), path);
      expect(existsSync(join(root, file)), `${page}: ${target}`).toBe(true);
      if (hash === undefined) continue;
      const anchors = [...text(relative(root, join(root, file))).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
        anchor(heading!),
      );
      expect(anchors, `${page}: ${target}`).toContain(hash);
    }
  });

  it('names paths that exist', () => {
    // NAME stands for a name of the reader's.
    for (const [, path] of markdown.matchAll(/`((?:src|test|docs|bench)\/[\w./-]+|\.ci\/\w+)`/g))
      if (!path!.includes('NAME')) expect(existsSync(join(root, path!)), path).toBe(true);
  });

  it('names npm scripts that exist', () => {
    const { scripts } = JSON.parse(text('package.json')) as { scripts: Record<string, string> };
    for (const [, script] of markdown.matchAll(/npm run ([\w:-]+)/g)) expect(Object.keys(scripts)).toContain(script);
  });
});
