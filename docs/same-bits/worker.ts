/** Computes every trajectory on every engine of this browser, one after the other. */
import { type Engine, engines, makeEngine } from '../live-demo/engines.ts';
import { CASES, type Case, keyOf, trajectory } from './trajectory.ts';

/** An engine, and the trajectories that it computes. */
export interface Column {
  readonly name: string;
  readonly title: string;
  readonly keys: readonly string[];
}

export type Said =
  | { is: 'engines'; names: readonly Column[]; missing: string }
  | { is: 'hash'; key: string; engine: string; hash: string; milliseconds: number }
  | { is: 'done' }
  | { is: 'failed'; message: string };

const say = (said: Said): void => postMessage(said);

/** On a GPU float32 is compared; where a CPU computes the GPU's programs, what does not take minutes. */
const computes = ({ name, slow }: Engine, { format, size }: Case): boolean =>
  name !== 'webgpu' || (format === 'float32' && (size === 'short' || slow !== true));

async function main(): Promise<void> {
  const all = await engines();
  const mine = all.filter(({ available }) => available);
  const missing = all.filter(({ available }) => !available).map(({ title, note }) => `${title}: ${note}`);
  const keys = (engine: Engine): string[] => CASES.filter((one) => computes(engine, one)).map(keyOf);
  const names = mine.map((engine): Column => ({ name: engine.name, title: engine.title, keys: keys(engine) }));
  say({ is: 'engines', names, missing: missing.join(' ') });
  const made = await Promise.all(mine.map(async (engine) => ({ engine, ...(await makeEngine(engine.name)) })));
  for (const one of CASES) {
    for (const { engine, kernels, asynchronous } of made) {
      if (!computes(engine, one)) continue;
      const begun = performance.now();
      const hash = await trajectory(one, kernels, asynchronous);
      say({ is: 'hash', key: keyOf(one), engine: engine.name, hash, milliseconds: performance.now() - begun });
    }
  }
  for (const { close } of made) await close();
  say({ is: 'done' });
}

main().catch((error: Error) => say({ is: 'failed', message: error.message }));
