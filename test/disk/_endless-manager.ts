/** Saves checkpoints into argv[2] without end, each full of its step; to be killed (kills.ts). */
import { Parameter } from 'tensorless';
import { CheckpointManager } from 'tensorless/node';

const length = Number(process.argv[3]);
const data = new Float32Array(length);
const parameters = [new Parameter(data, [length], { name: 'w' })];
const manager = new CheckpointManager(process.argv[2]!, { keepLast: 2, keepBest: 1 });
const found = await manager.loadLatest({ parameters });
console.log('begun');
for (let step = (found?.step ?? 0) + 1; ; step++) {
  data.fill(step);
  await manager.save(step, { parameters, extra: { step } }, { metric: 1 / step });
  console.log(`saved ${step}`);
}
