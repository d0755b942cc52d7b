/**
 * `npm run docs:serve`: the built site on this machine, with the two headers that threads need
 * (docs/parallel.md).
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const SITE = fileURLToPath(new URL('../site/', import.meta.url));
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};
const ISOLATED = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };

export interface Served {
  readonly url: string;
  close(): void;
}

/** Serves docs/site; without `isolated` as a host does that sets no headers. */
export async function serve(port = 0, isolated = true): Promise<Served> {
  const server: Server = createServer((request, response) => {
    let path = '/';
    try {
      path = normalize(decodeURIComponent(new URL(request.url!, 'http://x').pathname));
    } catch {}
    const file = join(SITE, path.endsWith('/') ? `${path}index.html` : path);
    readFile(file).then(
      (bytes) => {
        const type = TYPES[extname(file)] ?? 'application/octet-stream';
        response.writeHead(200, { 'content-type': type, ...(isolated && ISOLATED) }).end(bytes);
      },
      () => response.writeHead(404, { 'content-type': 'text/plain' }).end(`${path} is not a page of this site.\n`),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { port: { type: 'string', default: '8080' } } });
  if (!existsSync(`${SITE}index.html`)) {
    console.error('The site is not built yet. Build it with: npm run docs');
    process.exitCode = 1;
    return;
  }
  const port = Number(values.port);
  // A port in use is no reason to fail: any other will do.
  const { url } = await serve(port).catch(() => serve());
  console.log(`The site is at ${url} (Ctrl-C ends it).`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
