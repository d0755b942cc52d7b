/**
 * What every runtime with files is asked to do with them: states of any kind, links, permissions,
 * folders.
 */
import { chmodSync, lstatSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AdamW, Parameter } from 'tensorless';
import {
  CheckpointManager,
  loadTrainerCheckpoint,
  loadTrainingState,
  saveTrainerCheckpoint,
  saveTrainingState,
} from 'tensorless/node';

const LENGTH = 3_000_000;

function make(shared: boolean) {
  const buffer = shared ? new SharedArrayBuffer(4 * LENGTH) : new ArrayBuffer(4 * LENGTH);
  const parameters = [
    new Parameter(new Float32Array(buffer), [LENGTH], { name: 'large' }),
    new Parameter(new Float32Array(5), [5], { name: 'small' }),
  ];
  return { parameters, optimizer: new AdamW(parameters) };
}

function check(what: string, right: boolean): void {
  if (!right) throw new Error(`tensorless/node: ${what}`);
}

export async function files(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tensorless-files-'));
  const path = join(folder, 'run.safetensors');
  for (const shared of [false, true]) {
    const run = make(shared);
    for (const parameter of run.parameters) parameter.grad = new Float32Array(parameter.data.length).fill(0.1);
    run.optimizer.step();
    const expected = run.optimizer.stateDict();
    for (const option of [false, true]) {
      await saveTrainingState(pathToFileURL(path), { ...run, extra: { option } }, { snapshot: option });
      const other = make(shared);
      const extra = await loadTrainingState<{ option: boolean }>(path, other, { inPlace: option });
      const got = other.optimizer.stateDict();
      const same = [0, 1].every((i) => {
        const [a, b] = [expected, got].map(({ state }) => state[i]!.exp_avg as { data: Float32Array });
        return a!.data.every((x, k) => x === b!.data[k]);
      });
      const weights = other.parameters[0]!.data.every((x, k) => x === run.parameters[0]!.data[k]);
      check('a loaded run is the saved one', same && weights && extra.option === option);
    }
  }
  chmodSync(path, 0o600);
  symlinkSync('run.safetensors', join(folder, 'link'));
  await saveTrainingState(join(folder, 'link'), make(false));
  check('a link stays a link', lstatSync(join(folder, 'link')).isSymbolicLink());
  check('permissions are kept', (statSync(path).mode & 0o777) === 0o600);
  const refused = await saveTrainingState('/dev/null', {}).catch((error: NodeJS.ErrnoException) => error.code);
  check('a device is refused', refused === 'EINVAL');
  const manager = new CheckpointManager(join(folder, 'runs'), { keepLast: 2 });
  for (const step of [1, 2, 3]) await manager.save(step, { extra: step }, { metric: -step });
  check('the newest are kept', (await manager.list()).map(({ step }) => step).join() === '2,3');
  check('the best is loaded', (await manager.loadBest({}))?.extra === 3);
  await saveTrainerCheckpoint(join(folder, 'checkpoint-1'), make(false), { globalStep: 1 });
  check('Trainer', (await loadTrainerCheckpoint(join(folder, 'checkpoint-1'), make(false))).globalStep === 1);
  check('nothing is left behind', !readdirSync(folder).some((name) => name.endsWith('.tmp')));
  rmSync(folder, { recursive: true });
}
