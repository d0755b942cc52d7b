/**
 * `npm run test:runtimes`: installs the packed tarball for every runtime that this machine has,
 * runs one program there, and compares the bits; every runtime also goes on from the states that
 * the one before it has saved.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Report, Saves } from './program.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../..', import.meta.url));
const modules = join(here, 'node_modules');
const work = mkdtempSync(join(tmpdir(), 'tensorless-runtimes-'));
const TIMEOUT = 120_000;

function sh(command: string, args: string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}

interface Runtime {
  readonly name: string;
  /** What it must call itself. */
  readonly expected: RegExp;
  /** The file it needs; without it the runtime is left out, and named. */
  readonly needs: string;
  run(saves: Saves | undefined): Promise<Report>;
  /** What it is known not to have. */
  readonly lacks?: { readonly [what in 'simd' | 'float16Array' | 'threads']?: 'none' };
}

/** Runs a process to its end, or to what it was started for. */
function launch(
  command: string,
  args: string[],
  done?: Promise<unknown>,
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: work, env: { ...process.env, ...env }, detached: true });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (err += chunk));
    const kill = (): void => {
      try {
        // The whole group: browsers have children.
        process.kill(-child.pid!, 'SIGKILL');
      } catch {}
    };
    const timer = setTimeout(() => {
      kill();
      reject(new Error(`${command}: no answer after ${TIMEOUT / 1000} s\n${out}${err}`));
    }, TIMEOUT);
    const end = (): void => {
      clearTimeout(timer);
      kill();
      resolve(out);
    };
    done?.then(end, end);
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(out);
      else reject(new Error(`${command} ended with ${code}\n${out}${err}`));
    });
  });
}

/** A process that reads the saves from a file and prints its report. */
function script(
  name: string,
  expected: RegExp,
  command: string,
  args: string[] = [],
  lacks: Runtime['lacks'] = {},
): Runtime {
  return {
    name,
    lacks,
    expected,
    needs: command,
    async run(saves) {
      writeFileSync(join(work, 'saves.json'), JSON.stringify(saves ?? null));
      return JSON.parse(await launch(command, [...args, 'command-line.mjs'])) as Report;
    },
  };
}

/** A browser that is given a page; the page posts the report back. */
function browser(
  name: string,
  expected: RegExp,
  needs: string,
  command: (url: string) => [string, string[], NodeJS.ProcessEnv?],
): Runtime {
  return {
    name,
    expected,
    needs,
    async run(saves) {
      let report: (value: Report) => void;
      let fail: (error: Error) => void;
      const done = new Promise<Report>((resolve, reject) => {
        report = resolve;
        fail = reject;
      });
      const server = createServer((request, response) => {
        // Without these two a page has no SharedArrayBuffer.
        response.setHeader('cross-origin-opener-policy', 'same-origin');
        response.setHeader('cross-origin-embedder-policy', 'require-corp');
        if (request.url === '/saves.json')
          response.setHeader('content-type', 'application/json').end(JSON.stringify(saves ?? null));
        else if (request.url === '/page.js' || request.url === '/threads.js')
          response.setHeader('content-type', 'text/javascript').end(readFileSync(join(work, request.url)));
        else if (request.url === '/report') {
          let body = '';
          request.on('data', (chunk) => (body += chunk));
          request.on('end', () => {
            response.end();
            const value = JSON.parse(body) as Report | { error: string };
            if ('error' in value) fail(new Error(value.error));
            else report(value);
          });
        } else
          response
            .setHeader('content-type', 'text/html')
            .end('<!doctype html><meta charset="utf-8"><script type="module" src="/page.js"></script>');
      }).listen(0, '127.0.0.1');
      await new Promise((resolve) => server.once('listening', resolve));
      const [file, args, env] = command(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      try {
        await launch(file, args, done, env);
        return await done;
      } finally {
        server.closeAllConnections();
        server.close();
      }
    },
  };
}

const WORKERD_PORT = 18080;
const workerd: Runtime = {
  name: 'workerd',
  expected: /^Cloudflare-Workers$/,
  lacks: { simd: 'none', threads: 'none' },
  needs: join(modules, '@cloudflare/workerd-linux-64/bin/workerd'),
  async run(saves) {
    writeFileSync(
      join(work, 'worker.capnp'),
      `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [ (name = "main", worker = .w) ],
  sockets = [ (name = "http", address = "127.0.0.1:${WORKERD_PORT}", http = (), service = "main") ]
);
const w :Workerd.Worker = (
  modules = [ (name = "worker.js", esModule = embed "worker.js") ],
  compatibilityDate = "2026-01-01"
);
`,
    );
    const answer = (async () => {
      for (let attempt = 0; ; attempt++) {
        try {
          const response = await fetch(`http://127.0.0.1:${WORKERD_PORT}/`, {
            method: 'POST',
            body: JSON.stringify(saves ?? null),
          });
          const text = await response.text();
          if (!response.ok) throw new Error(text);
          return JSON.parse(text) as Report;
        } catch (error) {
          if (attempt > 50) throw error;
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
      }
    })();
    await launch(this.needs, ['serve', 'worker.capnp'], answer);
    return answer;
  },
};

const runtimes: Runtime[] = [
  script(
    'Node, this one',
    new RegExp(`^Node ${process.versions.node}$`),
    process.execPath,
    [],
    'Float16Array' in globalThis ? {} : { float16Array: 'none' },
  ),
  script('Node 22', /^Node 22\./, join(modules, 'node22/bin/node'), [], { float16Array: 'none' }),
  script('Node 24', /^Node 24\./, join(modules, 'node24/bin/node')),
  script('Node 26', /^Node 26\./, join(modules, 'node26/bin/node')),
  script('Deno', /^Deno 2\./, join(modules, '@deno/linux-x64-glibc/deno'), ['run', '-A', '--node-modules-dir=manual']),
  script('Bun', /^Bun 1\./, join(modules, '@oven/bun-linux-x64/bin/bun')),
  workerd,
  browser('Chromium', /HeadlessChrome/, '/usr/bin/chromium', (url) => [
    '/usr/bin/chromium',
    [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      `--user-data-dir=${join(work, 'chromium')}`,
      '--remote-debugging-port=0',
      url,
    ],
  ]),
  browser('Firefox', /Firefox\/\d+/, '/usr/bin/firefox-esr', (url) => {
    mkdirSync(join(work, 'firefox'), { recursive: true });
    return [
      '/usr/bin/firefox-esr',
      ['--headless', '--no-remote', '--profile', join(work, 'firefox'), url],
      { HOME: work },
    ];
  }),
  browser(
    'WebKitGTK',
    /AppleWebKit.*Version\/\d+.*Safari/,
    '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser',
    (url) => [
      'xvfb-run',
      ['-a', '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser', url],
      {
        HOME: work,
        JSC_useSharedArrayBuffer: '1',
        WEBKIT_DISABLE_COMPOSITING_MODE: '1',
        WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
        LIBGL_ALWAYS_SOFTWARE: '1',
      },
    ],
  ),
];

/** The tarball, installed as users install it, and the program for processes and for pages. */
async function prepare(): Promise<void> {
  if (!existsSync(modules)) sh('npm', ['ci'], here);
  const [packed] = JSON.parse(
    sh('npm', ['pack', '--json', '--pack-destination', work], root).replace(/^[^[]*/, ''),
  ) as [{ filename: string }];
  writeFileSync(join(work, 'package.json'), '{ "type": "module", "private": true }');
  sh('npm', ['install', '--no-save', '--omit=optional', join(work, packed.filename)], work);
  const program = readFileSync(join(here, 'program.ts'), 'utf8');
  writeFileSync(join(work, 'program.ts'), program);
  writeFileSync(join(work, 'files.ts'), readFileSync(join(here, 'files.ts')));
  const { build } = (await import('esbuild')) as typeof import('esbuild');
  const bundle = async (name: string, code: string, packages: 'bundle' | 'external'): Promise<void> => {
    writeFileSync(join(work, `${name}.entry.ts`), code);
    await build({
      entryPoints: [join(work, `${name}.entry.ts`)],
      bundle: true,
      packages,
      format: 'esm',
      outfile: join(work, name),
      target: 'es2022',
      logLevel: 'error',
    });
  };
  await bundle(
    'command-line.mjs',
    `import { readFileSync } from 'node:fs';
import { files } from './files.ts';
import { main } from './program.ts';
const report = await main(JSON.parse(readFileSync('saves.json', 'utf8')) ?? undefined);
await files();
console.log(JSON.stringify(report));`,
    'external',
  );
  await bundle(
    'page.js',
    `import { main } from './program.ts';
const saves = await (await fetch('/saves.json')).json();
const createWorker = () => new Worker('/threads.js', { type: 'module' });
const report = await main(saves ?? undefined, createWorker).catch((error) => ({ error: String(error?.stack ?? error) }));
await fetch('/report', { method: 'POST', body: JSON.stringify(report) });`,
    'bundle',
  );
  await bundle(
    'threads.js',
    `import { runParallelWorker } from 'tensorless/parallel';\nawait runParallelWorker();`,
    'bundle',
  );
  await bundle(
    'worker.js',
    `import { main } from './program.ts';
export default { async fetch(request) { return new Response(JSON.stringify(await main((await request.json()) ?? undefined))); } };`,
    'bundle',
  );
}

/** Names of runs with other bits; those of the float32 level are not where a runtime has no SIMD. */
function differences(expected: Report, got: Report): string[] {
  const names = new Set([...Object.keys(expected.bits), ...Object.keys(got.bits)]);
  const simd = expected.simd !== 'none' && got.simd !== 'none';
  return [...names].filter(
    (name) => expected.bits[name] !== got.bits[name] && (simd || !name.startsWith('float32 level')),
  );
}

console.log('Packing and bundling ...');
await prepare();
let failed = 0;
let reference: Report | undefined;
let before: Report | undefined;
for (const runtime of runtimes) {
  if (!existsSync(runtime.needs)) {
    console.log(`- ${runtime.name}: skipped, ${runtime.needs} is not on this machine`);
    continue;
  }
  try {
    const report = await runtime.run(undefined);
    if (!runtime.expected.test(report.runtime))
      throw new Error(`this is not ${runtime.name}: it calls itself "${report.runtime}"`);
    reference ??= report;
    const fresh = differences(reference, report);
    const resumed = before === undefined ? [] : differences(reference, await runtime.run(before.saves));
    before = report;
    const runs = Object.keys(report.bits).length;
    const expected = {
      simd: 'the same bits',
      float16Array: 'the same bits',
      threads: 'the same bits',
      ...runtime.lacks,
    };
    const extras = (['simd', 'float16Array', 'threads'] as const).filter((what) => report[what] !== expected[what]);
    if (fresh.length === 0 && resumed.length === 0 && extras.length === 0) {
      const none = Object.keys(runtime.lacks ?? {});
      const also = ['simd', 'float16Array', 'threads'].filter((what) => !none.includes(what)).join(', ');
      const without = none.length === 0 ? '' : `; has no ${none.join(', ')}`;
      console.log(
        `- ${runtime.name}: ${runs} runs, the same bits${also && `, also with ${also}`}${without} (${report.runtime})`,
      );
    } else {
      failed++;
      console.log(
        `- ${runtime.name}: DIFFERENT bits\n    fresh: ${fresh.join('; ') || 'none'}\n    resumed: ` +
          `${resumed.join('; ') || 'none'}\n    ${extras.map((what) => `${what}: ${report[what]}`).join('\n    ')}`,
      );
    }
  } catch (error) {
    failed++;
    console.log(`- ${runtime.name}: FAILED, ${(error as Error).message}`);
  }
}
rmSync(work, { recursive: true, force: true, maxRetries: 5 });
console.log(failed === 0 ? 'All runtimes agree.' : `${failed} runtimes do not.`);
process.exit(failed === 0 ? 0 : 1);
