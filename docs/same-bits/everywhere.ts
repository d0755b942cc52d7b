/** The same program for any runtime: `node same-bits.mjs`, `deno run same-bits.mjs`, `bun same-bits.mjs`. */
import { CASES, keyOf, trajectory } from './trajectory.ts';

for (const one of CASES) console.log(`${keyOf(one).padEnd(20)} ${await trajectory(one)}`);
