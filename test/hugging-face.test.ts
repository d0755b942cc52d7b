/**
 * Folders of Hugging Face: weights in one file and in shards, checkpoints of Trainer (test/torch
 * has a real one).
 */
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  AdamW,
  GradientAccumulator,
  getLinearScheduleWithWarmup,
  Parameter,
  type StateTensor,
  toBfloat16,
  toFloat16,
} from 'tensorless';
import { loadTrainerCheckpoint, loadWeights, saveTrainerCheckpoint } from 'tensorless/node';
import { CheckpointError, decodeSafetensors, encodeSafetensors } from 'tensorless/safetensors';
import { decodeTorch } from 'tensorless/torch';
import { afterAll, describe, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'tensorless-hf-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const inner = (): string => mkdtempSync(join(folder, 'x-'));
const tensor = (...values: number[]): StateTensor => ({
  dtype: 'float32',
  shape: [values.length],
  data: Float32Array.from(values),
});
const zeros = (name: string, length = 2): Parameter => new Parameter(new Float32Array(length), [length], { name });
const json = (path: string, value: unknown): void => writeFileSync(path, JSON.stringify(value));

function sharded(): string {
  const at = inner();
  const [one, two] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
  writeFileSync(join(at, one), encodeSafetensors({ a: tensor(1, 2) }));
  writeFileSync(join(at, two), encodeSafetensors({ b: tensor(3, 4), c: tensor(5, 6) }));
  json(join(at, 'model.safetensors.index.json'), {
    metadata: { total_size: 24 },
    weight_map: { a: one, b: two, c: two },
  });
  return at;
}

describe('loadWeights', () => {
  it('reads one file, shards with an index, and a file by its own path', async () => {
    const single = inner();
    writeFileSync(
      join(single, 'model.safetensors'),
      encodeSafetensors({ a: tensor(1, 2), b: tensor(3, 4), c: tensor(5, 6) }),
    );
    for (const path of [single, pathToFileURL(sharded()), join(single, 'model.safetensors')]) {
      const parameters = [zeros('c'), zeros('a'), zeros('b')];
      expect(await loadWeights(path, parameters)).toEqual({ missing: [], unexpected: [] });
      expect(parameters.map((p) => [...(p.data as Float32Array)])).toEqual([
        [5, 6],
        [1, 2],
        [3, 4],
      ]);
    }
  });

  it('takes a weight that is in two shards from the one that the index names', async () => {
    for (const [name, value] of [
      ['model-00001-of-00002.safetensors', 7],
      ['model-00002-of-00002.safetensors', 3],
    ] as const) {
      const at = sharded();
      writeFileSync(
        join(at, 'model-00001-of-00002.safetensors'),
        encodeSafetensors({ a: tensor(1, 2), b: tensor(7, 7) }),
      );
      const path = join(at, 'model.safetensors.index.json');
      const index = JSON.parse(readFileSync(path, 'utf8')) as { weight_map: Record<string, string> };
      index.weight_map.b = name;
      json(path, index);
      const parameters = [zeros('a'), zeros('b'), zeros('c')];
      await loadWeights(at, parameters);
      expect(parameters.map((p) => p.data[0])).toEqual([1, value, 5]);
      delete index.weight_map.b;
      json(path, index);
      await expect(loadWeights(at, parameters)).rejects.toThrow(/the weight "b" is in two of its files/);
    }
  });

  it('says what a folder without safetensors has; refuses unknown options', async () => {
    const at = inner();
    await expect(loadWeights(at, [zeros('a')])).rejects.toMatchObject({ code: 'ENOENT' });
    writeFileSync(join(at, 'pytorch_model.bin'), 'x');
    await expect(loadWeights(at, [zeros('a')])).rejects.toThrow(
      /has no model.safetensors and no model.safetensors.index.json; it has "pytorch_model.bin": save the whole/,
    );
    await expect(loadWeights(at, [zeros('a')], { stirct: false } as never)).rejects.toThrow(/Did you mean "strict"/);
    await expect(loadWeights(at, [zeros('a')], null as never)).rejects.toThrow(/options must be an object, got null/);
  });

  it('refuses missing and unexpected names, all or none; reports them where strict is false', async () => {
    const at = sharded();
    const parameters = [zeros('a'), zeros('x')];
    const strict = loadWeights(at, parameters);
    await expect(strict).rejects.toThrow(/it has no "x", and no parameter is named "b", "c"; rename parameters/);
    await expect(strict).rejects.toBeInstanceOf(CheckpointError);
    expect(parameters[0]!.data[0]).toBe(0);
    expect(await loadWeights(at, parameters, { strict: false })).toEqual({ missing: ['x'], unexpected: ['b', 'c'] });
    expect(parameters.map((p) => p.data[0])).toEqual([1, 0]);
  });

  it('refuses a shape that does not fit, and an integer, with nothing changed', async () => {
    const at = inner();
    writeFileSync(
      join(at, 'model.safetensors'),
      encodeSafetensors({ a: tensor(1, 2), b: { dtype: 'int8', shape: [2], data: new Uint8Array(2) } }),
    );
    const a = zeros('a');
    await expect(loadWeights(at, [a, zeros('b')])).rejects.toThrow(/"b" is float32 here, but int8 in the file/);
    await expect(loadWeights(at, [a, zeros('b', 3)])).rejects.toThrow(
      /"b" has shape \[3\] here, but \[2\] in the file/,
    );
    expect(a.data[0]).toBe(0);
  });

  it('converts floats of another format, rounding to nearest', async () => {
    const at = inner();
    const values = [1.00390625, -3, 1e-8, Number.NaN];
    const long = Float32Array.from({ length: 200_001 }, (_, i) => i);
    writeFileSync(
      join(at, 'model.safetensors'),
      encodeSafetensors({
        a: tensor(...values),
        b: { dtype: 'bfloat16', shape: [4], data: toBfloat16(values) },
        c: { dtype: 'float32', shape: [long.length], data: long },
      }),
    );
    const a = new Parameter(new Uint16Array(4), [4], { name: 'a', dtype: 'bfloat16' });
    const b = new Parameter(new Float64Array(4), [4], { name: 'b' });
    const c = new Parameter(new Float64Array(long.length), [long.length], { name: 'c' });
    await loadWeights(at, [a, b, c]);
    expect(a.data).toEqual(toBfloat16(values));
    expect(b.data[1]).toBe(-3);
    expect(c.data.every((x, i) => x === i)).toBe(true);
  });

  it('converts 16-bit floats to each other, and to wider ones', async () => {
    const at = inner();
    const values = [1.5, -3, 0.25, Number.POSITIVE_INFINITY];
    const half: StateTensor = { dtype: 'float16', shape: [4], data: toFloat16(values) };
    const brain: StateTensor = { dtype: 'bfloat16', shape: [4], data: toBfloat16(values) };
    writeFileSync(
      join(at, 'model.safetensors'),
      encodeSafetensors({ a: half, b: brain, c: half, d: tensor(...values) }),
    );
    const a = new Parameter(new Uint16Array(4), [4], { name: 'a', dtype: 'bfloat16' });
    const b = new Parameter(new Uint16Array(4), [4], { name: 'b', dtype: 'float16' });
    const c = new Parameter(new Float32Array(4), [4], { name: 'c' });
    const d = new Parameter(new Uint16Array(4), [4], { name: 'd', dtype: 'float16' });
    await loadWeights(at, [a, b, c, d]);
    expect([a.data, b.data, [...c.data], d.data]).toEqual([brain.data, half.data, values, half.data]);
  });

  it('refuses a weight in two shards that the index does not name, an index that is no UTF-8, a wrong strict, an array that is gone', async () => {
    const at = sharded();
    writeFileSync(
      join(at, 'model-00001-of-00002.safetensors'),
      encodeSafetensors({ a: tensor(1, 2), b: tensor(7, 8) }),
    );
    const all = () => [zeros('a'), zeros('b'), zeros('c')];
    const [one, two] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    json(join(at, 'model.safetensors.index.json'), { weight_map: { a: one, c: two } });
    await expect(loadWeights(at, all())).rejects.toThrow(/the weight "b" is in two of its files/);
    await expect(loadWeights(at, all(), { strict: 1 } as never)).rejects.toThrow(/strict must be true or false, got 1/);
    const gone = all();
    structuredClone(gone[2]!.data, { transfer: [gone[2]!.data.buffer as ArrayBuffer] });
    await expect(loadWeights(sharded(), gone)).rejects.toThrow(/"c" has no values any more/);
    expect(gone[0]!.data[0]).toBe(0);
    writeFileSync(join(at, 'model.safetensors.index.json'), Uint8Array.of(0x7b, 0xff));
    await expect(loadWeights(at, all())).rejects.toThrow(/index.json is not valid UTF-8/);
  });

  it.each<[string, (at: string) => void, RegExp]>([
    ['a missing shard', (at) => rmSync(join(at, 'model-00002-of-00002.safetensors')), /ENOENT/],
    [
      'a cut shard',
      (at) => writeFileSync(join(at, 'model-00001-of-00002.safetensors'), 'x'),
      /00001-of-00002.*too few/,
    ],
    [
      'a shard elsewhere',
      (at) => json(join(at, 'model.safetensors.index.json'), { weight_map: { a: '../x.safetensors' } }),
      /must be the name/,
    ],
    [
      'an index of nothing',
      (at) => json(join(at, 'model.safetensors.index.json'), { weight_map: [] }),
      /weight_map must name/,
    ],
    [
      'an index that is no JSON',
      (at) => writeFileSync(join(at, 'model.safetensors.index.json'), '{"weight_map":'),
      /not valid JSON/,
    ],
  ])('refuses %s', async (_, damage, message) => {
    const at = sharded();
    damage(at);
    const parameters = [zeros('a'), zeros('b'), zeros('c')];
    await expect(loadWeights(at, parameters)).rejects.toThrow(message);
    expect(parameters.every((p) => p.data[0] === 0)).toBe(true);
  });
});

function run() {
  const parameters = ['a', 'b', 'c'].map((name) => new Parameter(new Float32Array(4).fill(1), [2, 2], { name }));
  const optimizer = new AdamW(parameters, { lr: 0.1 });
  const scheduler = getLinearScheduleWithWarmup(optimizer, { numWarmupSteps: 1, numTrainingSteps: 9 });
  const step = (): void => {
    for (const [i, p] of parameters.entries()) p.grad = new Float32Array(4).fill(i + 1);
    optimizer.step();
    scheduler.step();
  };
  return { parts: { parameters, optimizer, scheduler }, step };
}

describe('saveTrainerCheckpoint and loadTrainerCheckpoint', () => {
  it('continue a run with the same bits, and write what Trainer needs', async () => {
    const first = run();
    for (let t = 0; t < 3; t++) first.step();
    const at = join(inner(), 'checkpoint-3');
    await saveTrainerCheckpoint(at, first.parts, { globalStep: 3 });
    expect(readdirSync(at).sort()).toEqual(['model.safetensors', 'optimizer.pt', 'scheduler.pt', 'trainer_state.json']);
    const state = JSON.parse(readFileSync(join(at, 'trainer_state.json'), 'utf8')) as Record<string, unknown>;
    expect(state).toMatchObject({ global_step: 3, train_batch_size: 8, save_steps: 500, log_history: [] });
    expect(state.stateful_callbacks).toMatchObject({ TrainerControl: { args: { should_training_stop: false } } });
    expect({ ...decodeSafetensors(readFileSync(join(at, 'model.safetensors'))).metadata }).toEqual({ format: 'pt' });
    expect(decodeTorch(readFileSync(join(at, 'scheduler.pt')))).toHaveProperty('last_epoch', 3);
    const second = run();
    expect(await loadTrainerCheckpoint(pathToFileURL(at), second.parts)).toEqual({
      globalStep: 3,
      trainerState: state,
    });
    for (const one of [first, second]) one.step();
    expect(second.parts.parameters.map((p) => p.data)).toEqual(first.parts.parameters.map((p) => p.data));
    expect(second.parts.optimizer.stateDict()).toEqual(first.parts.optimizer.stateDict());
  });

  it('splits weights into shards, and removes those of an earlier save', async () => {
    const first = run();
    const at = join(inner(), 'checkpoint-1');
    await saveTrainerCheckpoint(at, first.parts, { globalStep: 1 });
    writeFileSync(join(at, 'config.json'), '{}');
    await saveTrainerCheckpoint(at, first.parts, { globalStep: 2, maxShardBytes: 32 });
    const shards = [
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
    ];
    expect(readdirSync(at).filter((name) => name.startsWith('model'))).toEqual(shards);
    expect(existsSync(join(at, 'config.json'))).toBe(true);
    const index = JSON.parse(readFileSync(join(at, shards[2]!), 'utf8')) as unknown;
    expect(index).toEqual({ metadata: { total_size: 48 }, weight_map: { a: shards[0], b: shards[0], c: shards[1] } });
    expect((await loadTrainerCheckpoint(at, run().parts)).globalStep).toBe(2);
    await saveTrainerCheckpoint(at, first.parts, { globalStep: 3, maxShardBytes: 1 });
    expect(readdirSync(at).filter((name) => name.startsWith('model'))).toHaveLength(4);
    await saveTrainerCheckpoint(at, first.parts, { globalStep: 4 });
    expect(readdirSync(at).filter((name) => name.startsWith('model'))).toEqual(['model.safetensors']);
  });

  it('keeps a given trainer state, NaN and infinities as Python writes them', async () => {
    const at = join(inner(), 'c');
    const trainerState = {
      log_history: [{ loss: Number.NaN, step: 1 }, { loss: Number.NEGATIVE_INFINITY }],
      train_batch_size: 4,
      epoch: 0.5,
      stateful_callbacks: { Mine: { args: {} } },
    };
    await saveTrainerCheckpoint(at, { parameters: run().parts.parameters }, { globalStep: 7, trainerState });
    const text = readFileSync(join(at, 'trainer_state.json'), 'utf8');
    expect(text).toContain('{"loss":NaN,"step":1},{"loss":-Infinity}');
    const { trainerState: back } = await loadTrainerCheckpoint(at, {});
    expect(back).toMatchObject({
      ...trainerState,
      global_step: 7,
      stateful_callbacks: { Mine: { args: {} }, TrainerControl: {} },
    });
  });

  it('saves to one folder in the order of the calls, and through a link', async () => {
    const at = inner();
    symlinkSync('real', join(at, 'link'));
    const weight = (value: number): Parameter => {
      const one = zeros('a');
      one.data.fill(value);
      return one;
    };
    const calls = ['link', 'real', 'link', 'real'].map((name, i) =>
      saveTrainerCheckpoint(join(at, name), { parameters: [weight(i)] }, { globalStep: i }),
    );
    await Promise.all(calls);
    const loaded = zeros('a');
    expect(await loadTrainerCheckpoint(join(at, 'link'), { parameters: [loaded] })).toMatchObject({ globalStep: 3 });
    expect(loaded.data[0]).toBe(3);
    expect(readdirSync(at).sort()).toEqual(['link', 'real']);
    expect(lstatSync(join(at, 'link')).isSymbolicLink()).toBe(true);
  });

  it('refuses a trainer state that JSON cannot hold', async () => {
    const at = join(inner(), 'none');
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    for (const trainerState of [{ seed: 5n }, circle]) {
      await expect(saveTrainerCheckpoint(at, {}, { globalStep: 1, trainerState })).rejects.toThrow(
        /^saveTrainerCheckpoint: trainerState must hold what JSON can, without bigints and circles: .{1,100}$/,
      );
    }
    expect(existsSync(at)).toBe(false);
  });

  it('changes nothing when one file does not fit, and refuses what has no place', async () => {
    const first = run();
    first.step();
    const at = join(inner(), 'checkpoint-1');
    await saveTrainerCheckpoint(at, first.parts, { globalStep: 1 });
    writeFileSync(join(at, 'scheduler.pt'), 'x');
    const second = run();
    await expect(loadTrainerCheckpoint(at, second.parts)).rejects.toThrow(/scheduler\.pt/);
    expect(second.parts.parameters[0]!.data[0]).toBe(1);
    expect(second.parts.optimizer.stateDict().state).toEqual({});
    const accumulator = new GradientAccumulator(second.parts.parameters);
    await expect(loadTrainerCheckpoint(at, { accumulator })).rejects.toThrow(/no place for accumulator/);
    await expect(saveTrainerCheckpoint(at, { extra: 1 }, { globalStep: 1 })).rejects.toThrow(/no place for extra/);
    for (const options of [
      {},
      { globalStep: -1 },
      { globalStep: 1, maxShardBytes: 0 },
      { globalStep: 1, shards: 2 },
      { globalStep: 1, trainerState: 3 },
    ])
      await expect(saveTrainerCheckpoint(at, {}, options as never)).rejects.toThrow(/^saveTrainerCheckpoint: /);
    writeFileSync(join(at, 'trainer_state.json'), '{"global_step": "many"}');
    await expect(loadTrainerCheckpoint(at, {})).rejects.toThrow(/global_step must be a count, got "many"/);
    await expect(saveTrainerCheckpoint(join(at, 'optimizer.pt'), {}, { globalStep: 1 })).rejects.toMatchObject({
      code: 'ENOTDIR',
    });
  });
});
