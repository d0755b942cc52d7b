/** A process of its own for torch-bounds.slow.ts: reads one file and prints what that took. */
import { readFileSync } from 'node:fs';
import { decodeTorch } from '../src/torch.ts';
import { slowness } from './_yardstick.ts';

const [, , small, path] = process.argv;
// Everything is compiled and warm before the measured file is read.
decodeTorch(readFileSync(small!));
const bytes = new Uint8Array(readFileSync(path!));
const before = process.resourceUsage().maxRSS;
const begun = process.cpuUsage();
const started = performance.now();
let message = '';
let value: unknown;
try {
  value = decodeTorch(bytes);
} catch (error) {
  message = `${(error as Error).name}: ${(error as Error).message}`;
}
const wall = performance.now() - started;
const { user, system } = process.cpuUsage(begun);
console.log(
  JSON.stringify({
    kilobytes: process.resourceUsage().maxRSS - before,
    // Less than either: a busy machine, and the collector's own threads, are not the file's fault.
    milliseconds: Math.min(wall, (user + system) / 1000),
    slowness: slowness(),
    message,
    read: value !== undefined,
  }),
);
