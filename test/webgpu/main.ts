/**
 * `npm run test:webgpu`: runs `suite.ts` wherever there is WebGPU without a GPU. What is missing is
 * named. `npm run test:webgpu Node` runs one of them; SHORT=1 less of it; ONLY=Lion the rules of
 * that name; SEED=7 the random cases of that seed.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { goldenNames, readGolden } from '../golden.ts';
import { clean, MISSING, missing, places, type Task } from './places.ts';

const { SHORT = '', ONLY = '', SEED } = process.env;
const given = {
  short: SHORT !== '',
  only: ONLY,
  seed: Number(SEED ?? Math.floor(Math.random() * 2 ** 31)),
  goldens: goldenNames
    .map((name) => ({ name, golden: readGolden(name) }))
    .filter(({ golden }) => golden.exact !== undefined && golden.params[0]!.array.dtype === 'float32'),
};
/** The blocks of the page, one after the other: they print what their comments say. */
function page(): Task {
  const folder = fileURLToPath(new URL('../.blocks/', import.meta.url));
  const markdown = readFileSync(fileURLToPath(new URL('../../docs/webgpu.md', import.meta.url)), 'utf8');
  const code = [...markdown.matchAll(/^```typescript\n([\s\S]*?)^```$/gm)].map(([, block]) => block!).join('\n');
  const expected = [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, output]) => output!);
  const imports = [...code.matchAll(/^import .*;$/gm)].map(([line]) => line);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'webgpu-page.ts');
  writeFileSync(
    file,
    `${imports.join('\n')}
export async function main({ say }: { say(line: string): void }) {
  const expected = ${JSON.stringify(expected)};
  const console = {
    log(...values: unknown[]) {
      const wanted = expected.shift();
      if (values.join(' ') !== wanted) throw new Error(\`the page says \${wanted}, but it is \${values.join(' ')}\`);
    },
  };
  ${code.replaceAll(/^import .*;$/gm, '')}
  say('docs/webgpu.md: its blocks print what it says');
}
`,
  );
  return { file, name: 'main', given: {} };
}

const chosen = process.argv[2] ?? '';
let failed = false;
for (const place of places.filter(({ name }) => name.startsWith(chosen))) {
  const lacking = missing(place);
  if (lacking !== undefined) {
    console.log(`--- ${place.name}: skipped, as there is no ${lacking}`);
    continue;
  }
  console.log(`--- ${place.name}`);
  try {
    await place.run({ file: fileURLToPath(new URL('suite.ts', import.meta.url)), name: 'suite', given });
    if (ONLY === '' || ONLY === 'page') await place.run(page());
  } catch (error) {
    if (String(error).includes(MISSING)) {
      console.log(`skipped: ${MISSING}`);
      continue;
    }
    failed = true;
    console.log(`FAILED: ${error instanceof Error ? error.message : error}`);
  }
}
clean();
rmSync(fileURLToPath(new URL('../.blocks/webgpu-page.ts', import.meta.url)), { force: true });
process.exitCode = failed ? 1 : 0;
