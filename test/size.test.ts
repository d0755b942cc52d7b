/** What a bundler makes of the package for one optimizer with one schedule. */

import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

async function bundle(code: string): Promise<{ bytes: number; files: string[] }> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: code, resolveDir: root, sourcefile: 'entry.ts', loader: 'ts' },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    metafile: true,
    outdir: 'out',
    tsconfig: `${root}tsconfig.json`,
  });
  const [output] = Object.values(metafile!.outputs);
  const used = Object.entries(output!.inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  return {
    bytes: gzipSync(outputFiles![0]!.contents, { level: 9 }).length,
    files: used.map(([name]) => name.replace('src/', '')),
  };
}

it('Adafactor with one schedule: minified, gzipped, and nothing of SIMD, formats or the other optimizer', async () => {
  const { bytes, files } = await bundle(
    `export { Adafactor, getLinearScheduleWithWarmup, Parameter } from 'tensorless';`,
  );
  console.log(`Adafactor, Parameter and getLinearScheduleWithWarmup: ${(bytes / 1000).toFixed(1)} kB`);
  for (const absent of [
    'simd.ts',
    '_simd-loops.ts',
    '_simd-bytes.ts',
    '_arena.ts',
    'torch.ts',
    '_zip.ts',
    '_pickle.ts',
    'checkpoint.ts',
    'safetensors.ts',
    'adamw.ts',
    'greedy.ts',
    'plateau.ts',
    'accumulator.ts',
    'tfjs.ts',
  ])
    expect(files).not.toContain(absent);
  expect(bytes).toBeLessThan(20_000);
});

it('curves alone are small', async () => {
  const { bytes } = await bundle(`export { linearWithWarmup } from 'tensorless';`);
  console.log(`linearWithWarmup: ${(bytes / 1000).toFixed(1)} kB`);
  expect(bytes).toBeLessThan(2_500);
});
