/**
 * `npm run test:large [-- FOLDER]`: a run over 4 GiB, with an array over 2 GiB, saved and loaded,
 * within the bounds of memory that docs/checkpoints.md states. Says when it is skipped for want of
 * disk or memory.
 */
import { mkdtempSync, rmSync, statfsSync, statSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { AdamW, Parameter, type StateTensor } from 'tensorless';
import {
  CheckpointError,
  fileSource,
  loadTorch,
  loadTrainingState,
  saveTorch,
  saveTrainingState,
} from 'tensorless/node';
import { openSafetensors } from 'tensorless/safetensors';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const BIG = 2 ** 29 + 1001;
const TRAINED = 2 ** 27 + 2 ** 26;
const payload = 4 * (BIG + 3 * TRAINED);
const base = process.argv[2] ?? tmpdir();
const disk = statfsSync(base);
const room = disk.bavail * disk.bsize;
if (room < payload + GIB || freemem() < 1.3 * payload) {
  const have = `${(room / GIB).toFixed(1)} GiB of disk and ${(freemem() / GIB).toFixed(1)} GiB of memory`;
  console.log(
    `test:large: skipped, ${base} has ${have}; it needs ${(payload / GIB + 1).toFixed(1)} and ` +
      `${((1.3 * payload) / GIB).toFixed(1)}`,
  );
  process.exit(0);
}

const valueAt = (k: number, seed: number): number => ((k * 2654435761 + seed) >>> 8) / 2 ** 24;
function fill(data: Float32Array, seed: number): void {
  for (let k = 0; k < data.length; k++) data[k] = valueAt(k, seed);
}
function check(what: string, data: Float32Array, seed: number): void {
  for (let k = 0; k < data.length; k++) {
    if (data[k] !== Math.fround(valueAt(k, seed))) throw new Error(`${what}: element ${k} is ${data[k]}`);
  }
}
const seconds = (begun: number): string => `${((performance.now() - begun) / 1000).toFixed(1)} s`;
const peak = (): number => process.resourceUsage().maxRSS * 1024;

const folder = mkdtempSync(join(base, 'tensorless-large-'));
const path = join(folder, 'run.safetensors');
try {
  const big = new Parameter(new Float32Array(BIG), [BIG], { name: 'big' });
  const trained = new Parameter(new Float32Array(TRAINED), [TRAINED / 1024, 1024], { name: 'trained' });
  const parameters = [big, trained];
  const optimizer = new AdamW([trained]);
  trained.grad = new Float32Array(TRAINED).fill(0.5);
  optimizer.step();
  optimizer.zeroGrad();
  fill(big.data as Float32Array, 1);
  fill(trained.data as Float32Array, 2);
  const before = peak();

  let begun = performance.now();
  await saveTrainingState(path, { parameters, optimizer, extra: { epoch: 1 } }, { snapshot: false });
  const { size } = statSync(path);
  console.log(
    `saved ${(size / GIB).toFixed(2)} GiB in ${seconds(begun)}, ${((peak() - before) / MIB).toFixed(0)} MiB ` +
      `beside the run`,
  );
  if (size < 4 * GIB) throw new Error('the file is too small for this test');
  if (peak() - before > 256 * MIB) throw new Error('more than 256 MiB beside the run');

  const source = await fileSource(path);
  const opened = await openSafetensors(source);
  const few = opened.tensors.get('trained')!;
  if (few.byteLength !== 4 * TRAINED) throw new Error('the header is wrong');
  await source.close();

  for (const inPlace of [true, false]) {
    if (!inPlace && freemem() < 1.2 * payload) {
      console.log(`loading with a copy: skipped, ${(freemem() / GIB).toFixed(1)} GiB of memory are free`);
      continue;
    }
    (big.data as Float32Array).fill(0);
    (trained.data as Float32Array).fill(0);
    const base = inPlace ? peak() : 0;
    begun = performance.now();
    const extra = await loadTrainingState(path, { parameters, optimizer }, { inPlace });
    console.log(`loaded (inPlace: ${inPlace}) in ${seconds(begun)}`);
    if (JSON.stringify(extra) !== '{"epoch":1}') throw new Error('extra is wrong');
    if (inPlace && peak() - base > 256 * MIB) throw new Error('more than 256 MiB beside the run');
    check('big', big.data as Float32Array, 1);
    check('trained', trained.data as Float32Array, 2);
  }
  rmSync(path);
  if (freemem() < 1.2 * payload) {
    console.log(`a .pt file of that size: skipped, ${(freemem() / GIB).toFixed(1)} GiB of memory are free`);
  } else {
    const file = join(folder, 'run.pt');
    begun = performance.now();
    const tensor = ({ dtype, shape, data }: Parameter): StateTensor => ({ dtype, shape: [...shape], data });
    await saveTorch(file, { big: tensor(big), trained: tensor(trained), copies: [tensor(trained), tensor(trained)] });
    console.log(`saved ${(statSync(file).size / GIB).toFixed(2)} GiB as .pt in ${seconds(begun)}`);
    if (statSync(file).size < 4 * GIB) throw new Error('the .pt file is too small for this test');
    begun = performance.now();
    const back = (await loadTorch(file)) as { [key: string]: StateTensor };
    console.log(`loaded in ${seconds(begun)}`);
    check('big of .pt', back.big!.data as Float32Array, 1);
    check('trained of .pt', back.trained!.data as Float32Array, 2);
  }
  console.log('A run over 4 GiB goes through both ways.');
} catch (error) {
  console.log(error instanceof CheckpointError ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
