/**
 * `npm run test:webgpu`: runs `suite.ts` wherever there is WebGPU without a GPU. What is missing is
 * named. `npm run test:webgpu Node` runs one of them; SHORT=1 less of it; ONLY=Lion the rules of
 * that name; SEED=7 the random cases of that seed.
 */
import { fileURLToPath } from 'node:url';
import { goldenNames, readGolden } from '../golden.ts';
import { clean, missing, places } from './places.ts';

const { SHORT = '', ONLY = '', SEED } = process.env;
const given = {
  short: SHORT !== '',
  only: ONLY,
  seed: Number(SEED ?? Math.floor(Math.random() * 2 ** 31)),
  goldens: goldenNames
    .map((name) => ({ name, golden: readGolden(name) }))
    .filter(({ golden }) => golden.exact !== undefined && golden.params[0]!.array.dtype === 'float32'),
};
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
  } catch (error) {
    failed = true;
    console.log(`FAILED: ${error instanceof Error ? error.message : error}`);
  }
}
clean();
process.exitCode = failed ? 1 : 0;
