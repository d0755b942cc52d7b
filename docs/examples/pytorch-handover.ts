/**
 * Trains ten steps here and writes the files that a PyTorch program continues from
 * (docs/pytorch.md).
 *
 *   npx tsx docs/examples/pytorch-handover.ts [FOLDER]
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AdamW, getLinearScheduleWithWarmup, Parameter } from 'tensorless';
import { encodeSafetensors } from 'tensorless/safetensors';
import { decodeTorch, encodeTorch } from 'tensorless/torch';

const folder = process.argv[2] ?? 'demo-output/handover';
const weight = new Parameter(
  Float32Array.from({ length: 12 }, (_, k) => k / 12),
  [3, 4],
  { name: 'linear.weight' },
);
const optimizer = new AdamW([weight], { lr: 1e-2 });
const scheduler = getLinearScheduleWithWarmup(optimizer, { numWarmupSteps: 2, numTrainingSteps: 100 });
for (let step = 0; step < 10; step++) {
  weight.grad = weight.data.map((w, k) => w - Math.sin(k));
  optimizer.step();
  scheduler.step();
}

await mkdir(folder, { recursive: true });
const { name, dtype, shape, data } = weight;
const files = {
  'model.safetensors': encodeSafetensors({ [name!]: { dtype, shape: [...shape], data } }, { format: 'pt' }),
  'optimizer.pt': encodeTorch(optimizer.stateDict()),
  'scheduler.pt': encodeTorch(scheduler.stateDict()),
};
for (const [file, bytes] of Object.entries(files)) {
  await writeFile(join(folder, file), bytes);
  console.log(`${join(folder, file)}: ${bytes.length} bytes`);
}
const back = new AdamW([weight]);
back.loadStateDict(decodeTorch(files['optimizer.pt']));
console.log(
  `read back: step ${JSON.stringify(back.stateDict().state['0']!.step)}, learning rate ${back.paramGroups[0]!.lr}`,
);
console.log(`in Python: optimizer.load_state_dict(torch.load("${folder}/optimizer.pt", weights_only=True))`);
