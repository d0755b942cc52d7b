/**
 * What a user's bundler makes of the package, with esbuild: for the table of docs/performance.md
 * and test/size.test.ts.
 */
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

export interface Bundle {
  /** Minified and gzipped. */
  readonly bytes: number;
  /** Files of src/ with something in it. */
  readonly files: readonly string[];
  readonly text: string;
}

/** A program that imports from the package, bundled and minified. */
export async function bundle(code: string): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: code, resolveDir: root, sourcefile: 'entry.ts', loader: 'ts' },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    metafile: true,
    outdir: 'out',
    absWorkingDir: root,
    tsconfig: `${root}tsconfig.json`,
  });
  const [output] = Object.values(metafile.outputs);
  const used = Object.entries(output!.inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  const [file] = outputFiles;
  return {
    bytes: gzipSync(file!.contents, { level: 9 }).length,
    files: used.map(([name]) => name.replace('src/', '')),
    text: file!.text,
  };
}

/** What the table shows: [what it is, what is imported of which entry]. */
const PROGRAMS: readonly (readonly [title: string, names: string, entry?: string])[] = [
  ['Adafactor and a schedule', 'Adafactor, getLinearScheduleWithWarmup, Parameter'],
  ['AdamW and a schedule', 'AdamW, getLinearScheduleWithWarmup, Parameter'],
  ['a curve alone', 'linearWithWarmup'],
  ['everything of `tensorless`', '*'],
  ['`tensorless/simd`, alone', 'simdKernels', 'tensorless/simd'],
  ['`tensorless/torch`, alone', 'encodeTorch, decodeTorch', 'tensorless/torch'],
  ['`tensorless/checkpoint`, alone', 'encodeTrainingState, decodeTrainingState', 'tensorless/checkpoint'],
];

/** Each program's bytes. */
export async function sizes(): Promise<(readonly [title: string, bytes: number])[]> {
  const rows: (readonly [string, number])[] = [];
  for (const [title, names, entry = 'tensorless'] of PROGRAMS) {
    const what = names === '*' ? '*' : `{ ${names} }`;
    rows.push([title, (await bundle(`export ${what} from '${entry}';`)).bytes]);
  }
  return rows;
}
