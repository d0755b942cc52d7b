/**
 * `npm run test:bundlers`: the packed library, built by each bundler as docs/bundlers.md says,
 * without a warning; what comes out trains in Chromium, with a worker, to the bits of Node. Then
 * CommonJS and jest.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transformSync } from 'esbuild';
import { type Browser, chromium } from 'playwright-core';
import type { Report } from './program.ts';
import { type Recipe, recipes } from './recipes.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../..', import.meta.url));
/** Below the bundlers' node_modules, where they look for themselves. */
const work = join(here, '.work');
const LIMIT = 300_000;

function sh(command: string, args: string[], cwd: string, env: NodeJS.ProcessEnv = {}): string {
  const options = { cwd, encoding: 'utf8', timeout: LIMIT, env: { ...process.env, ...env } } as const;
  const { status, stdout, stderr } = spawnSync(command, args, options);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
  return `${stdout}${stderr}`;
}

/** The tarball, installed as users install it, and the files of all recipes. */
function prepare(): void {
  if (!existsSync(join(here, 'node_modules'))) sh('npm', ['ci'], here);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  const said = sh('npm', ['pack', '--json', '--pack-destination', work], root);
  const { filename } = /"filename": "(?<filename>[^"]+)"/.exec(said)!.groups as { filename: string };
  writeFileSync(join(work, 'package.json'), '{ "private": true, "type": "module" }');
  // Ends the search for the project's own, which takes the package's name for its source.
  writeFileSync(join(work, 'tsconfig.json'), '{}');
  sh('npm', ['install', '--no-save', '--omit=optional', '--omit=peer', join(work, filename)], work);
  const { code } = transformSync(readFileSync(join(here, 'program.ts'), 'utf8'), { loader: 'ts' });
  writeFileSync(join(work, 'program.js'), code);
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.txt': 'text/plain',
};

/** Serves a folder with the headers that threads need. */
async function serve(folder: string): Promise<{ url: string; close(): void }> {
  const server = createServer((request, response) => {
    response.setHeader('cross-origin-opener-policy', 'same-origin');
    response.setHeader('cross-origin-embedder-policy', 'require-corp');
    const { pathname } = new URL(request.url!, 'http://x');
    const file = join(folder, pathname === '/' ? 'index.html' : decodeURIComponent(pathname));
    const type = TYPES[extname(file)] ?? 'application/octet-stream';
    if (existsSync(file)) response.setHeader('content-type', type).end(readFileSync(file));
    else response.writeHead(404).end();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, close };
}

/** Opens a page and waits for what the program reports in its title. */
async function visit(browser: Browser, url: string): Promise<Report> {
  const page = await browser.newPage();
  const said: string[] = [];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(String(error)));
  page.on('response', (response) => {
    if (response.status() >= 400 && !response.url().endsWith('favicon.ico')) said.push(`404: ${response.url()}`);
  });
  try {
    await page.goto(url);
    await page.waitForFunction(() => document.title.startsWith('{'), undefined, { timeout: 60_000 });
    return JSON.parse(await page.title()) as Report;
  } catch (error) {
    throw new Error(`${(error as Error).message.split('\n')[0]}; the page says: ${said.join(' | ') || 'nothing'}`);
  } finally {
    await page.close();
  }
}

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

function launch(): Promise<Browser> {
  const args = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'];
  return chromium.launch({ executablePath: CHROMIUM!, args });
}

/** Words of a build's output that should not be there. */
const COMPLAINT = /^.*\b(warn(ing)?s?|errors?|deprecated|could not|cannot|critical dependency)\b.*$/gim;

function build({ name, files, run, env = {} }: Recipe, folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const said = sh(
    run[0] === 'node' ? process.execPath : join(here, 'node_modules/.bin', run[0]),
    run.slice(1),
    folder,
    {
      NEXT_TELEMETRY_DISABLED: '1',
      CI: '1',
      ...env,
    },
  );
  const complaints = said.match(COMPLAINT) ?? [];
  if (complaints.length > 0) throw new Error(`${name} says ${complaints.join(' | ')}`);
}

const REPORT = `import { main } from './program.js'; console.log(JSON.stringify(await main()));`;

console.log('Packing ...');
prepare();
// In a process of its own: this one takes the package's name for its source.
const node = JSON.parse(sh(process.execPath, ['--input-type=module', '-e', REPORT], work)) as Report;
if (node.simd !== node.plain || node.threads !== node.plain) throw new Error(`Node: ${JSON.stringify(node)}`);
const browser = CHROMIUM === undefined ? null : await launch();
if (browser === null) console.log('No Chromium is here: built, and not run (apt-get install chromium)');
let failed = 0;
const wanted = process.argv.slice(2);
for (const recipe of recipes) {
  if (wanted.length > 0 && !wanted.includes(recipe.name)) continue;
  const since = performance.now();
  try {
    const folder = join(work, recipe.name.replace(/\W+/g, '-'));
    build(recipe, folder);
    let what = 'builds without a warning';
    if (recipe.pages !== undefined && browser !== null) {
      const { url, close } = await serve(join(folder, recipe.pages));
      const report = await visit(browser, url).finally(close);
      if (report.size !== 2) throw new Error(`the worker did not start: ${report.size} thread`);
      for (const key of ['plain', 'simd', 'threads'] as const)
        if (report[key] !== node.plain) throw new Error(`${key}: ${report[key]}, Node has ${node.plain}`);
      what += '; trains in Chromium with SIMD and a worker, to the bits of Node';
    } else if (recipe.pages === undefined) what = 'works';
    console.log(`- ${recipe.name}: ${what} (${((performance.now() - since) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed++;
    console.log(`- ${recipe.name}: FAILED, ${(error as Error).message}`);
  }
}
await browser?.close();
if (process.env.KEEP === undefined) rmSync(work, { recursive: true, force: true, maxRetries: 5 });
console.log(failed === 0 ? 'All bundlers are content.' : `${failed} are not.`);
process.exit(failed === 0 ? 0 : 1);
