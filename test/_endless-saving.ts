/**
 * Saves states to argv[2] without end, each full of one number; to be killed
 * (test/node-files.test.ts).
 */
import { Parameter } from 'tensorless';
import { saveTrainingState } from 'tensorless/node';

const length = Number(process.argv[3]);
const data = new Float32Array(length);
console.log('begun');
for (let n = 1; ; n++) {
  data.fill(n);
  await saveTrainingState(process.argv[2]!, {
    parameters: [new Parameter(data, [length], { name: 'w' })],
    extra: { n },
  });
}
