/**
 * `npm run bench:webgpu`: steps on WebGPU adapters that compute on a CPU; writes the table of
 * docs/webgpu.md.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { clean, missing, places } from '../test/webgpu/places.ts';
import type { Measured } from './webgpu-turns.ts';

const page = fileURLToPath(new URL('../docs/webgpu.md', import.meta.url));
const file = fileURLToPath(new URL('webgpu-turns.ts', import.meta.url));
const lines: string[] = [];
for (const place of places) {
  const lacking = missing(place);
  if (lacking !== undefined) {
    console.log(`${place.name}: skipped, as there is no ${lacking}`);
    continue;
  }
  const said: string[] = [];
  await place.run({ file, name: 'measure', given: {} }, (line) => said.push(line));
  for (const { optimizer, double, float32, around } of JSON.parse(said.at(-1)!) as Measured[]) {
    const [a, b, c] = [double, float32, around].map((time) => String(Number(time.toPrecision(3))));
    lines.push(`| ${place.name} | ${optimizer} | ${a} | ${b} | ${c} |`);
  }
}
clean();
const table = `Nanoseconds an element, a matrix of 512 × 512, float32; medians of turns that take turns (${cpus()[0]!.model.trim()}, ${cpus().length} cores, shared):

| adapter | | double | float32 | by way of the CPU |
| --- | --- | --- | --- | --- |
${lines.join('\n')}

By way of the CPU: the gradient is read from the GPU, the step is done with [SIMD](simd.md), the weights are written back. The machine was busy with other work: compare within a row.`;
const old = readFileSync(page, 'utf8');
writeFileSync(page, old.replace(/(<!-- speed -->\n)[\s\S]*(<!-- end of speed -->)/, `$1\n${table}\n\n$2`));
console.log(table);
