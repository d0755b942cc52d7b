/**
 * Where there is WebGPU without a GPU: Node with the package `webgpu` on Chromium's SwiftShader,
 * Deno on Mesa, headless Chromium.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../..', import.meta.url));
const modules = join(here, 'node_modules');
const work = mkdtempSync(join(tmpdir(), 'tensorless-webgpu-'));
const TIMEOUT = 900_000;
/** Chromium's folder has a Vulkan on the CPU. */
const SWIFTSHADER = '/usr/lib/chromium';
const deno = join(modules, '@deno/linux-x64-glibc/deno');

type Say = (line: string) => void;
const print: Say = (line) => console.log(line);

/** Runs a process to its end, or until `done`; its lines are said as they come. */
function launch(
  command: string,
  args: string[],
  say: Say,
  env: NodeJS.ProcessEnv = {},
  done?: Promise<void>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: work, env: { ...process.env, ...env }, detached: true });
    let err = '';
    createInterface(child.stdout).on('line', say);
    child.stderr.on('data', (chunk) => (err = (err + chunk).slice(-4000)));
    const kill = (): void => {
      try {
        // The whole group: browsers have children.
        process.kill(-child.pid!, 'SIGKILL');
      } catch {}
    };
    const timer = setTimeout(() => {
      kill();
      reject(new Error(`no end after ${TIMEOUT / 1000} s\n${err}`));
    }, TIMEOUT);
    const end = (error?: unknown): void => {
      clearTimeout(timer);
      kill();
      if (error === undefined) resolve();
      else reject(error);
    };
    done?.then(() => end(), end);
    child.on('error', end);
    child.on('close', (code) => end(code === 0 ? undefined : new Error(`it ended with ${code}\n${err}`)));
  });
}

async function bundle(name: string, code: string, external: string[] = []): Promise<void> {
  const { build } = (await import('esbuild')) as typeof import('esbuild');
  await build({
    stdin: { contents: code, resolveDir: here, loader: 'ts' },
    bundle: true,
    format: 'esm',
    outfile: join(work, name),
    target: 'es2022',
    external,
    logLevel: 'error',
    alias: Object.fromEntries(
      ['/checkpoint', '/simd', '/webgpu', ''].map((door) => [
        `tensorless${door}`,
        join(root, 'src', `${door === '' ? 'index' : door.slice(1)}.ts`),
      ]),
    ),
  });
}

/** What an error says where there is no adapter. */
export const MISSING = 'no adapter, not even one on the CPU';

/** A program: a file here that exports it by this name, and what it finds as `GIVEN`. */
export interface Task {
  readonly file: string;
  readonly name: string;
  readonly given: unknown;
}

/** Where there is WebGPU, but nothing to run it on, that is told as what is missing. */
const NO_ADAPTER = (gpu: string): string => `const device = async (descriptor) => {
  const adapter = await ${gpu}.requestAdapter();
  if (adapter === null) throw new Error('${MISSING}');
  return adapter.requestDevice(descriptor);
};`;

async function inChromium({ file, name, given }: Task, tell: Say = print): Promise<void> {
  await bundle(
    'page.js',
    `import { ${name} } from ${JSON.stringify(file)};
const post = (path, text) => fetch(path, { method: 'POST', body: text });
const say = (line) => void post('/line', line);
${NO_ADAPTER('navigator.gpu')}
const end = (error) => post('/end', error === undefined ? '' : String(error?.stack ?? error));
${name}({ device, say, ...${JSON.stringify(given)} }).then(() => end(), end);`,
  );
  let end: (error?: Error) => void = () => {};
  const done = new Promise<void>((resolve, reject) => {
    end = (error) => (error === undefined ? resolve() : reject(error));
  });
  const server = createServer((request, response) => {
    if (request.url === '/page.js') {
      response.setHeader('content-type', 'text/javascript').end(readFileSync(join(work, 'page.js')));
    } else if (request.method === 'POST') {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        response.end();
        if (request.url === '/line') tell(body);
        else end(body === '' ? undefined : new Error(body));
      });
    } else {
      response
        .setHeader('content-type', 'text/html')
        .end('<!doctype html><meta charset="utf-8"><script type="module" src="/page.js"></script>');
    }
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const url = `http://localhost:${(server.address() as AddressInfo).port}/`;
  const flags = ['--headless', '--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
  const quiet = ['--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update'];
  const own = [`--user-data-dir=${join(work, 'chromium')}`, '--remote-debugging-port=0', url];
  try {
    await launch('/usr/bin/chromium', [...flags, ...quiet, ...own], () => {}, {}, done);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const program = (head: string, { file, name, given }: Task, end: string): string => `${head}
import { ${name} } from ${JSON.stringify(file)};
const say = (line) => console.log(line);
// A process ends where nothing but the GPU has something to do.
const awake = setInterval(() => {}, 1000);
${NO_ADAPTER('gpu')}
if (globalThis.navigator?.gpu === undefined) Object.defineProperty(globalThis, 'navigator', { value: { gpu } });
await ${name}({ device, say, ...${JSON.stringify(given)} });
clearInterval(awake);
${end}`;

/** A runtime with WebGPU, and the files that it needs. */
export interface Place {
  readonly name: string;
  readonly needs: readonly string[];
  /** Its lines go to `say`. */
  run(task: Task, say?: (line: string) => void): Promise<void>;
}

export const places: readonly Place[] = [
  {
    name: 'Node, Dawn on SwiftShader',
    needs: [join(modules, 'webgpu/dist'), join(SWIFTSHADER, 'vk_swiftshader_icd.json')],
    async run(task, say = print) {
      const head = `import { create, globals } from ${JSON.stringify(join(modules, 'webgpu/index.js'))};
Object.assign(globalThis, globals);
// Kept: it must not be collected.
const gpu = (globalThis.gpu = create([]));`;
      await bundle('node.mjs', program(head, task, 'process.exit(0);'), [join(modules, 'webgpu/index.js')]);
      await launch(process.execPath, ['node.mjs'], say, {
        LD_LIBRARY_PATH: SWIFTSHADER,
        VK_ICD_FILENAMES: join(SWIFTSHADER, 'vk_swiftshader_icd.json'),
      });
    },
  },
  {
    name: 'Deno, naga on Mesa',
    needs: [deno],
    async run(task, say = print) {
      await bundle('deno.mjs', program('const { gpu } = navigator;', task, 'Deno.exit(0);'));
      await launch(deno, ['run', '-A', '--no-config', '--unstable-webgpu', 'deno.mjs'], say);
    },
  },
  { name: 'Chromium, Dawn on SwiftShader', needs: ['/usr/bin/chromium'], run: inChromium },
];

/** What a runtime lacks here. */
export function missing({ needs }: Place): string | undefined {
  if (!existsSync(modules)) spawnSync('npm', ['ci'], { cwd: here, stdio: 'inherit' });
  return needs.find((path) => !existsSync(path));
}

/** Removes what was written. */
export function clean(): void {
  rmSync(work, { recursive: true, force: true });
}
