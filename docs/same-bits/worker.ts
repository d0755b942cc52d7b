/** Computes every trajectory on every engine of this browser, one after the other. */
import { engines, makeEngine } from '../live-demo/engines.ts';
import { CASES, keyOf, trajectory } from './trajectory.ts';

export type Said =
  | { is: 'engines'; names: readonly { name: string; title: string }[]; missing: string }
  | { is: 'hash'; key: string; engine: string; hash: string; milliseconds: number }
  | { is: 'done' }
  | { is: 'failed'; message: string };

const say = (said: Said): void => postMessage(said);

async function main(): Promise<void> {
  const all = (await engines()).filter(({ name }) => name !== 'webgpu');
  const mine = all.filter(({ available }) => available);
  const missing = all.filter(({ available }) => !available).map(({ title, note }) => `${title}: ${note}`);
  say({ is: 'engines', names: mine.map(({ name, title }) => ({ name, title })), missing: missing.join(' ') });
  const made = await Promise.all(mine.map(async ({ name }) => ({ name, ...(await makeEngine(name)) })));
  for (const one of CASES) {
    for (const { name, kernels, asynchronous } of made) {
      const begun = performance.now();
      const hash = await trajectory(one, kernels, asynchronous);
      say({ is: 'hash', key: keyOf(one), engine: name, hash, milliseconds: performance.now() - begun });
    }
  }
  for (const { close } of made) await close();
  say({ is: 'done' });
}

main().catch((error: Error) => say({ is: 'failed', message: error.message }));
