/** A folder of checkpoints: what is kept, what is skipped, what is never touched. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AdamW, Parameter } from 'tensorless';
import { CheckpointManager, saveTrainingState } from 'tensorless/node';
import { CheckpointError, decodeSafetensors, encodeSafetensors } from 'tensorless/safetensors';
import { afterAll, describe, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'tensorless-manager-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const inner = (): string => mkdtempSync(join(folder, 'x-'));

function run(n: number) {
  const parameters = [new Parameter(new Float32Array(50).fill(n), [50], { name: 'w' })];
  const optimizer = new AdamW(parameters);
  return { parameters, optimizer, extra: { n } };
}
const live = () => {
  const { extra: _, ...parts } = run(-1);
  return parts;
};
const steps = (at: string): string[] => readdirSync(at).sort();
const files = (...numbers: number[]): string[] => numbers.map((n) => `step-${n}.safetensors`).sort();

describe('CheckpointManager', () => {
  it('keeps the newest and the best, and loads either', async () => {
    const at = join(inner(), 'made/when/needed');
    const manager = new CheckpointManager(pathToFileURL(at), { keepLast: 2, keepBest: 2 });
    expect(await manager.loadLatest(live())).toBeNull();
    expect(await manager.list()).toEqual([]);
    const metrics = [5, 1, 4, 0.5, Number.POSITIVE_INFINITY, 3];
    for (const [i, metric] of metrics.entries()) {
      expect(await manager.save(10 * i, run(i), { metric })).toBe(join(at, `step-${10 * i}.safetensors`));
    }
    expect(steps(at)).toEqual(files(10, 30, 40, 50));
    const list = await manager.list();
    expect(list.map(({ step, metric }) => [step, metric])).toEqual([
      [10, 1],
      [30, 0.5],
      [40, Number.POSITIVE_INFINITY],
      [50, 3],
    ]);
    expect(list[0]!.bytes).toBe(readFileSync(list[0]!.path).length);
    const parts = live();
    expect(await manager.loadLatest(parts)).toEqual({
      step: 50,
      path: join(at, 'step-50.safetensors'),
      extra: { n: 5 },
      skipped: [],
    });
    expect(parts.parameters[0]!.data[0]).toBe(5);
    expect(await manager.loadBest(parts)).toMatchObject({ step: 30, extra: { n: 3 } });
    expect(await new CheckpointManager(at, { mode: 'max' }).loadBest(parts)).toMatchObject({ step: 40 });
  });

  it('keeps three by default, all with Infinity; no metric is no best', async () => {
    const [a, b] = [inner(), inner()];
    const [some, all] = [new CheckpointManager(a), new CheckpointManager(b, { keepLast: Number.POSITIVE_INFINITY })];
    for (let step = 1; step <= 6; step++) {
      await some.save(step, run(step));
      await all.save(step, run(step));
    }
    expect([steps(a), steps(b)]).toEqual([files(4, 5, 6), files(1, 2, 3, 4, 5, 6)]);
    expect(await some.loadBest(live())).toBeNull();
  });

  it('skips damaged files and names them; with only such ones it throws, and changes nothing', async () => {
    const at = inner();
    const manager = new CheckpointManager(at, { keepLast: 5, keepBest: 1 });
    for (const step of [1, 2, 3]) await manager.save(step, run(step), { metric: step });
    truncateSync(join(at, 'step-3.safetensors'), 900);
    writeFileSync(join(at, 'step-4.safetensors'), '');
    const parts = live();
    const skipped = [join(at, 'step-4.safetensors'), join(at, 'step-3.safetensors')];
    expect(await manager.loadLatest(parts)).toEqual({
      step: 2,
      path: join(at, 'step-2.safetensors'),
      extra: { n: 2 },
      skipped,
    });
    expect((await manager.loadBest(parts))!.skipped.sort()).toEqual([...skipped].sort());
    expect((await manager.list()).map(({ step }) => step)).toEqual([1, 2]);
    for (const step of [1, 2]) truncateSync(join(at, `step-${step}.safetensors`), 10);
    parts.parameters[0]!.data.fill(9);
    const failing = manager.loadLatest(parts);
    await expect(failing).rejects.toThrow(
      /every checkpoint is damaged: step-4.safetensors, step-3.safetensors, step-2/,
    );
    await expect(failing).rejects.toBeInstanceOf(CheckpointError);
    expect(parts.parameters[0]!.data.every((x) => x === 9)).toBe(true);
  });

  it(
    'does not count damaged files among those to keep, nor remove them; a new save of the step replaces ' + 'one',
    async () => {
      const at = inner();
      const manager = new CheckpointManager(at, { keepLast: 2 });
      for (const step of [1, 2]) await manager.save(step, run(step));
      for (const step of [7, 8, 9]) writeFileSync(join(at, `step-${step}.safetensors`), 'damaged');
      await manager.save(3, run(3));
      expect(steps(at)).toEqual(files(2, 3, 7, 8, 9));
      await manager.save(8, run(8));
      expect(steps(at)).toEqual(files(3, 7, 8, 9));
      expect(await manager.loadLatest(live())).toMatchObject({ step: 8 });
    },
  );

  it('counts the damaged beyond five, and says when its folder is none', async () => {
    const at = inner();
    for (let step = 1; step < 8; step++) writeFileSync(join(at, `step-${step}.safetensors`), '');
    await expect(new CheckpointManager(at).loadLatest(live())).rejects.toThrow(
      /damaged: step-7.safetensors, .*step-3.safetensors and 2 more$/,
    );
    const file = join(at, 'step-1.safetensors');
    await expect(new CheckpointManager(file).list()).rejects.toThrow(/ENOTDIR/);
  });

  it.each(['null', '5', '[]', '{"metric":null}', '{"metric":""}', '{"metric":"low"}', '{"metric":"NaN"}', '{'])(
    'skips a file about which %s is said, as one that is damaged',
    async (about) => {
      const at = inner();
      const manager = new CheckpointManager(at, { keepBest: 1 });
      await manager.save(1, run(1), { metric: 3 });
      const { tensors, metadata } = decodeSafetensors(readFileSync(join(at, 'step-1.safetensors')));
      const [key] = Object.keys(metadata).filter((name) => name !== 'tensorless');
      const second = join(at, 'step-2.safetensors');
      writeFileSync(second, encodeSafetensors(tensors, { ...metadata, [key!]: about }));
      expect(await manager.loadLatest(live())).toMatchObject({ step: 1, skipped: [second] });
      expect(await manager.loadBest(live())).toMatchObject({ step: 1, skipped: [second] });
      expect(await manager.list()).toMatchObject([{ step: 1, metric: 3 }]);
    },
  );

  it('never touches foreign files', async () => {
    const at = inner();
    const foreign: Record<string, Uint8Array> = {
      'notes.txt': new Uint8Array(3),
      'step-1.safetensors.bak': new Uint8Array(3),
      'step-01.safetensors': new Uint8Array(3),
      'step-9007199254740993.safetensors': new Uint8Array(3),
      'model.safetensors': encodeSafetensors({}),
      'step-2.safetensors': encodeSafetensors({ w: { dtype: 'uint8', shape: [1], data: new Uint8Array(1) } }),
    };
    for (const [name, bytes] of Object.entries(foreign)) writeFileSync(join(at, name), bytes);
    mkdirSync(join(at, 'step-3.safetensors'));
    const manager = new CheckpointManager(at, { keepLast: 1 });
    for (const step of [10, 11, 12]) await manager.save(step, run(step));
    expect(steps(at)).toEqual([...Object.keys(foreign), ...files(3, 12)].sort());
    for (const [name, bytes] of Object.entries(foreign))
      expect(new Uint8Array(readFileSync(join(at, name)))).toEqual(bytes);
    for (const step of [2, 3])
      await expect(manager.save(step, run(0))).rejects.toThrow(/is no checkpoint of CheckpointManager/);
    expect(await manager.loadLatest(live())).toMatchObject({ step: 12, skipped: [] });
  });

  it('loads a training state that was saved without it, and leaves it there', async () => {
    const at = inner();
    await saveTrainingState(join(at, 'step-5.safetensors'), run(5));
    const manager = new CheckpointManager(at, { keepLast: 1 });
    expect(await manager.loadLatest(live())).toMatchObject({ step: 5, extra: { n: 5 } });
    for (const step of [6, 7]) await manager.save(step, run(step));
    expect(steps(at)).toEqual(files(5, 7));
  });

  it('refuses another model, and does not go on to older checkpoints', async () => {
    const at = inner();
    const manager = new CheckpointManager(at);
    for (const step of [1, 2]) await manager.save(step, run(step));
    const other = { parameters: [new Parameter(new Float32Array(3), [3], { name: 'w' })] };
    await expect(manager.loadLatest(other)).rejects.toThrow(
      /step-2.safetensors: checkpoint: parameter "w" is float32 of shape/,
    );
  });

  it('takes the state of the call, and keeps what it saved though higher steps are there', async () => {
    const at = inner();
    const manager = new CheckpointManager(at, { keepLast: 2 });
    for (const step of [10, 20, 30]) await manager.save(step, run(step));
    const one = run(5);
    const saving = manager.save(5, one);
    one.parameters[0]!.data.fill(0);
    await saving;
    expect(steps(at)).toEqual(files(5, 20, 30));
    await Promise.all([6, 7, 8].map((step) => manager.save(step, run(step))));
    expect(steps(at)).toEqual(files(8, 20, 30));
  });

  it('two of them in one folder do not disturb each other', async () => {
    const at = inner();
    const managers = [new CheckpointManager(at, { keepLast: 2 }), new CheckpointManager(at, { keepLast: 2 })];
    let stop = false;
    const reading = (async () => {
      for (let seen = 0; !stop || seen === 0; ) {
        const found = await managers[seen % 2]!.loadLatest(live());
        if (found !== null) {
          expect(found.extra).toEqual({ n: found.step });
          expect(found.skipped).toEqual([]);
          seen++;
        }
      }
    })();
    const writing = managers.map(async (manager, which) => {
      for (let i = 0; i < 25; i++) await manager.save(2 * i + which, run(2 * i + which));
    });
    await Promise.all(writing);
    stop = true;
    await reading;
    expect(await managers[0]!.loadLatest(live())).toMatchObject({ step: 49 });
    expect(steps(at).every((name) => /^step-\d+\.safetensors$/.test(name))).toBe(true);
  });

  it('refuses wrong arguments, and writes nothing', async () => {
    const at = join(inner(), 'none');
    for (const options of [{ keepLast: 0 }, { keepLast: 1.5 }, { keepBest: -1 }, { mode: 'low' }, { keep: 1 }]) {
      expect(() => new CheckpointManager(at, options as never)).toThrow(RangeError);
    }
    expect(() => new CheckpointManager(3 as never)).toThrow(TypeError);
    const manager = new CheckpointManager(at);
    await expect(manager.save(-1, run(0))).rejects.toThrow(/step must be an integer at least 0, got -1/);
    await expect(manager.save(1, run(0), { metric: Number.NaN })).rejects.toThrow(/metric must be a number, got NaN/);
    await expect(manager.save(1, run(0), { metrics: 1 } as never)).rejects.toThrow(/Did you mean "metric"/);
    for (const wrong of [null, 5]) {
      expect(() => new CheckpointManager(at, wrong as never)).toThrow(/options must be an object/);
      await expect(manager.save(1, run(0), wrong as never)).rejects.toThrow(/options must be an object/);
    }
    await expect(manager.save(1, { extra: () => 1 })).rejects.toThrow(TypeError);
    expect(readdirSync(join(at, '..')).map((name) => basename(name))).toEqual([]);
  });
});
