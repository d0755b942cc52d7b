/** The pages that run this library in the browser, and what all pages share. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { InlineConfig, Plugin } from 'vite';
import { kept } from './markdown.ts';
import type { Recorded } from './recorded.ts';
import { FOOTER, head, header, type Page, up } from './shell.ts';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Folders of docs/ whose index.html is a page; '' is the landing page. */
export const FOLDERS = ['', 'explorer/', 'live-demo/', 'why-adafactor/', 'same-bits/'] as const;

const text = (html: string, pattern: RegExp): string => pattern.exec(html)?.[1]?.trim() ?? '';

/** Title and description, as a page's own head has them. */
export function pageOf(folder: string): Page & { words: string } {
  const html = readFileSync(at(`../${folder}index.html`), 'utf8');
  return {
    url: folder,
    title: text(html, /<title>(.*?)<\/title>/s),
    description: text(html, /<meta name="description" content="(.*?)"/s).replace(/\s+/g, ' '),
    words: text(html, /<main[^>]*>(.*)<\/main>/s)
      .replace(/<[^>]*>/g, ' ')
      .replace(/\s+/g, ' '),
  };
}

/** Puts the common head, header and footer around a page's own; `fill` has the {{parts}} of it. */
function frame(fill: Readonly<Record<string, string>>): Plugin {
  return {
    name: 'frame',
    transformIndexHtml: {
      order: 'post',
      handler(html, { path }) {
        const page = pageOf(path.slice(1).replace(/index\.html$/, ''));
        const filled = kept(
          html.replace(/\{\{([\w-]+)\}\}/g, (whole, name: string) => {
            const part = fill[name];
            if (part === undefined) throw new Error(`${path}: nothing fills ${whole}`);
            return part;
          }),
        );
        const formulas = `\n<link rel="stylesheet" href="${up(page.url)}assets/math.css">`;
        return filled
          .replace(/<title>.*?<\/title>\s*/s, '')
          .replace(/<meta name="description".*?>\s*/s, '')
          .replace('<head>', `<head>\n${head(page)}${filled.includes('<math') ? formulas : ''}`)
          .replace(/<body([^>]*)>/, (body) => `${body}\n${header(page)}`)
          .replace('</body>', `${FOOTER}\n</body>`);
      },
    },
  };
}

/** `import { recorded } from 'virtual:recorded'`: what Node computed when the site was built. */
function recordedModule(recorded: Recorded): Plugin {
  return {
    name: 'recorded',
    resolveId: (id) => (id === 'virtual:recorded' ? '\0recorded' : undefined),
    load: (id) =>
      id === '\0recorded'
        ? `export const recorded = JSON.parse(${JSON.stringify(JSON.stringify(recorded))})`
        : undefined,
  };
}

const alias = [
  { find: /^tensorless$/, replacement: at('../../src/index.ts') },
  { find: /^tensorless\/(.+)$/, replacement: at('../../src/$1.ts') },
];

export function pages(outDir: string, recorded: Recorded, fill: Readonly<Record<string, string>>): InlineConfig {
  return {
    configFile: false,
    root: at('..'),
    base: './',
    logLevel: 'warn',
    publicDir: false,
    resolve: { alias },
    plugins: [frame(fill), recordedModule(recorded)],
    worker: { format: 'es', plugins: () => [recordedModule(recorded)] },
    build: {
      outDir,
      emptyOutDir: false,
      target: 'es2022',
      chunkSizeWarningLimit: 4000,
      rolldownOptions: { input: FOLDERS.map((folder) => at(`../${folder}index.html`)) },
    },
  };
}
