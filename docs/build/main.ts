/** `npm run docs`: the whole site into docs/site. */
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { build as bundle } from 'esbuild';
import { build as buildPages } from 'vite';
import { writeApi } from './api.ts';
import { article } from './article.ts';
import { ROOT } from './guides.ts';
import { landing } from './landing.ts';
import { writeGuides } from './pages.ts';
import { recorded } from './record.ts';
import { type Entry, searchIndex } from './search-index.ts';
import { FOLDERS, pageOf, pages } from './vite.ts';

const SITE = `${ROOT}docs/site/`;
const here = (path: string): string => `${ROOT}docs/${path}`;

/** The library for snippets that run in a page, one file for each import path. */
async function writeLibrary(): Promise<void> {
  const doors = readdirSync(`${ROOT}src`).filter((name) => /\.ts$/.test(name));
  const others = new Set(['cli.ts', 'node.ts', 'tfjs.ts', 'jax.ts']);
  await bundle({
    entryPoints: doors.filter((name) => !others.has(name)).map((name) => `${ROOT}src/${name}`),
    outdir: `${SITE}lib`,
    bundle: true,
    splitting: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    external: ['node:*'],
    logLevel: 'warning',
  });
}

/** Style sheets, fonts and the script of every page. */
async function writeAssets(): Promise<void> {
  mkdirSync(`${SITE}assets`, { recursive: true });
  copyFileSync(here('common/favicon.svg'), `${SITE}assets/favicon.svg`);
  const find = createRequire(import.meta.url).resolve;
  copyFileSync(
    find('@fontsource/stix-two-math/files/stix-two-math-latin-400-normal.woff2'),
    `${SITE}assets/stix-two-math.woff2`,
  );
  await bundle({
    entryPoints: [here('common/site.ts'), here('common/site.css'), here('common/math.css')],
    outdir: `${SITE}assets`,
    bundle: true,
    splitting: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    external: ['*.woff2'],
    logLevel: 'warning',
  });
}

/** One file that computes the trajectories in any runtime. */
async function writeEverywhere(): Promise<void> {
  await bundle({
    entryPoints: [here('same-bits/everywhere.ts')],
    outfile: `${SITE}same-bits/same-bits.mjs`,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    alias: { tensorless: `${ROOT}src/index.ts` },
    logLevel: 'warning',
  });
}

const pageEntries = (): Entry[] =>
  FOLDERS.filter((folder) => folder !== '').map((folder) => {
    const { title, words } = pageOf(folder);
    return { kind: 'page', title, section: '', url: folder, text: words };
  });

const started = performance.now();
rmSync(SITE, { recursive: true, force: true });
mkdirSync(SITE, { recursive: true });
const [api, guides, made] = await Promise.all([
  writeApi(SITE),
  writeGuides(SITE, ['docs/same-bits/trajectory.ts']),
  recorded(),
  writeLibrary(),
  writeAssets(),
  writeEverywhere(),
]);
await buildPages(pages(SITE, made, { ...(await landing(made)), ...article() }));
writeFileSync(`${SITE}assets/search.json`, searchIndex([...guides, ...pageEntries(), ...api]));
const count = readdirSync(SITE, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.html')).length;
const seconds = ((performance.now() - started) / 1000).toFixed(0);
console.log(`docs/site: ${count} pages, built in ${seconds} s. To look at them: npm run docs:serve`);
