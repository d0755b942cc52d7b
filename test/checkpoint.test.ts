import { readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Adafactor, AdamW, GradientAccumulator, Parameter, ReduceLROnPlateau } from 'tensorless';
import { decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { loadTrainingState, saveTrainingState } from 'tensorless/node';
import { CheckpointError, decodeSafetensors, encodeSafetensors } from 'tensorless/safetensors';
import { describe, expect, it } from 'vitest';

/** A small run: two parameters, an optimizer, an accumulator in the middle of a round. */
function makeRun(fill = 0.5) {
  const weight = new Parameter(new Float32Array(12).fill(fill), [4, 3], { name: 'weight' });
  const bias = new Parameter(new Uint16Array(5).fill(0x3f80), [5], { name: 'bias', dtype: 'bfloat16' });
  const parameters = [weight, bias];
  const optimizer = new Adafactor(parameters, { beta1: 0.9 });
  const accumulator = new GradientAccumulator(parameters);
  const step = (t: number) => {
    weight.grad = new Float32Array(12).map((_, k) => Math.sin(k + t));
    bias.grad = new Float32Array(5).map((_, k) => Math.cos(k * t));
    accumulator.add();
    optimizer.step();
  };
  return { parameters, optimizer, accumulator, step };
}

describe('encodeTrainingState and decodeTrainingState', () => {
  it('continue a run with the same bits, wherever it is cut', () => {
    const whole = makeRun();
    for (let t = 0; t < 6; t++) whole.step(t);
    for (let cut = 0; cut <= 6; cut++) {
      const first = makeRun();
      for (let t = 0; t < cut; t++) first.step(t);
      const { step: _, ...saved } = first;
      const bytes = encodeTrainingState({ ...saved, extra: { cut } });
      const second = makeRun(-1);
      const { step, ...parts } = second;
      expect(decodeTrainingState(bytes, parts)).toEqual({ cut });
      for (let t = cut; t < 6; t++) step(t);
      expect(second.parameters.map((p) => [...p.data])).toEqual(whole.parameters.map((p) => [...p.data]));
      expect(second.optimizer.stateDict()).toEqual(whole.optimizer.stateDict());
      expect(second.accumulator.stateDict()).toEqual(whole.accumulator.stateDict());
    }
  });
});

describe('a training state', () => {
  it('keeps a learning rate that was set by hand back to the first one', () => {
    const make = () => {
      const { parameters, step } = makeRun();
      const optimizer = new AdamW(parameters, { lr: 0.1 });
      return { parameters, optimizer, scheduler: new ReduceLROnPlateau(optimizer, { patience: 0 }), step };
    };
    const first = make();
    first.scheduler.step(1);
    first.scheduler.step(2);
    expect(first.optimizer.paramGroups[0]!.lr).toBeCloseTo(0.01);
    first.optimizer.paramGroups[0]!.lr = 0.1;
    const { step: _, ...parts } = make();
    const { step: __, ...saved } = first;
    decodeTrainingState(encodeTrainingState(saved), parts);
    expect(parts.optimizer.paramGroups[0]!.lr).toBe(0.1);
    expect(parts.scheduler.getLastLr()).toEqual(first.scheduler.getLastLr());
    // A scheduler alone gives its own to an optimizer that is as new.
    const alone = make();
    decodeTrainingState(encodeTrainingState(saved), { scheduler: alone.scheduler });
    expect(alone.optimizer.paramGroups[0]!.lr).toBeCloseTo(0.01);
  });

  it('keeps every number in extra exactly, and hostile keys as data', () => {
    const extra = {
      numbers: [0, -0, 0.1, 5e-324, Number.MAX_VALUE, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
      $tensor: 'not one',
      nested: JSON.parse('{"__proto__": {"polluted": true}}'),
      list: [null, true, 'text', []],
    };
    const back = decodeTrainingState(encodeTrainingState({ extra }), {}) as typeof extra;
    expect(back).toEqual(extra);
    expect(Object.is(back.numbers[1], -0)).toBe(true);
    expect(Object.keys(back.nested)).toEqual(['__proto__']);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('can be read by name: parameters stand in the safetensors file as they are', () => {
    const { parameters, optimizer } = makeRun();
    const { tensors } = decodeSafetensors(encodeTrainingState({ parameters, optimizer }));
    expect(tensors.weight).toEqual({ dtype: 'float32', shape: [4, 3], data: new Float32Array(12).fill(0.5) });
    expect(tensors.bias!.dtype).toBe('bfloat16');
  });

  it('is refused as a whole when one part does not fit, and nothing has changed', () => {
    const saved = makeRun();
    saved.step(0);
    const { step: _, ...parts } = saved;
    const bytes = encodeTrainingState(parts);
    const live = makeRun();
    live.step(3);
    const before = structuredClone([
      live.parameters.map((p) => p.data),
      live.optimizer.stateDict(),
      live.accumulator.stateDict(),
    ]);
    const other = new AdamW([new Parameter(new Float32Array(2))]);
    expect(() => decodeTrainingState(bytes, { parameters: live.parameters, optimizer: other })).toThrow(
      /^checkpoint: the optimizer does not fit: AdamW.loadStateDict: param_groups\[0\]/,
    );
    const short = new GradientAccumulator([live.parameters[0]!]);
    expect(() =>
      decodeTrainingState(bytes, { parameters: live.parameters, optimizer: live.optimizer, accumulator: short }),
    ).toThrow(/accumulator does not fit/);
    const renamed = new Parameter(new Float32Array(12), [4, 3], { name: 'wieght' });
    expect(() => decodeTrainingState(bytes, { parameters: [renamed], optimizer: live.optimizer })).toThrow(
      'checkpoint: parameter "wieght" is not in the file; it has "weight", "bias"',
    );
    const reshaped = new Parameter(new Float32Array(12), [3, 4], { name: 'weight' });
    expect(() => decodeTrainingState(bytes, { parameters: [reshaped] })).toThrow(
      'parameter "weight" is float32 of shape [3, 4] here, but float32 of shape [4, 3] in the file',
    );
    expect(() => decodeTrainingState(encodeTrainingState({ extra: 1 }), { optimizer: live.optimizer })).toThrow(
      'checkpoint: the file has no optimizer',
    );
    expect([live.parameters.map((p) => p.data), live.optimizer.stateDict(), live.accumulator.stateDict()]).toEqual(
      before,
    );
  });

  it('needs names, and refuses what JSON cannot hold', () => {
    const nameless = new Parameter(new Float32Array(1));
    expect(() => encodeTrainingState({ parameters: [nameless] })).toThrow('parameter 0 has no name');
    expect(() => encodeTrainingState({ extra: { f: () => 1 } })).toThrow('extra/f must be null, a boolean');
    expect(() => encodeTrainingState({ extra: new Map() })).toThrow(TypeError);
    const loop: { self?: unknown } = {};
    loop.self = loop;
    expect(() => encodeTrainingState({ extra: loop })).toThrow('contains itself');
    // @ts-expect-error an unknown part
    expect(() => encodeTrainingState({ model: 1 })).toThrow('unknown part "model"');
  });

  it('of a foreign or damaged file is refused with one sentence', () => {
    const foreign = encodeSafetensors({ x: { dtype: 'float32', shape: [1], data: new Float32Array(1) } });
    expect(() => decodeTrainingState(foreign, {})).toThrow('no training state of tensorless');
    const newer = encodeSafetensors({}, { tensorless: '{"format":99}' });
    expect(() => decodeTrainingState(newer, {})).toThrow('format version 99');
    const bytes = encodeTrainingState({ extra: 1 });
    for (let cut = 0; cut < bytes.length; cut++) {
      expect(() => decodeTrainingState(bytes.slice(0, cut), {})).toThrow(CheckpointError);
    }
  });
});

describe('safetensors', () => {
  it('reads what the Python package writes, and writes the same bytes', () => {
    const bytes = new Uint8Array(readFileSync(new URL('vectors/checkpoints/params.safetensors', import.meta.url)));
    const { tensors, metadata } = decodeSafetensors(bytes);
    const expected = JSON.parse(readFileSync(new URL('vectors/checkpoints/expected.json', import.meta.url), 'utf8'))[
      'params.safetensors'
    ] as unknown;
    expect(expected).toBeDefined();
    expect([...encodeSafetensors(tensors, metadata)]).toEqual([...bytes]);
  });
});

describe('saveTrainingState', () => {
  it('keeps the old file, and leaves no other, when the folder cannot be written', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tensorless-'));
    const path = join(folder, 'run.safetensors');
    await saveTrainingState(path, { extra: 1 });
    // As root a read-only folder can be written; a folder in the file's place cannot be renamed
    // over.
    const blocked = join(folder, 'blocked');
    await mkdir(join(blocked, 'full'), { recursive: true });
    await expect(saveTrainingState(blocked, { extra: 2 })).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST|EPERM/);
    expect((await readdir(folder)).sort()).toEqual(['blocked', 'run.safetensors']);
    expect(await loadTrainingState(path, {})).toBe(1);
  });

  it('gives concurrent saves to one path a whole file, and keeps its permissions', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tensorless-'));
    const path = join(folder, 'run.safetensors');
    await saveTrainingState(path, { extra: 0 });
    await chmod(path, 0o600);
    await Promise.all(Array.from({ length: 20 }, (_, i) => saveTrainingState(path, { extra: i })));
    expect(await loadTrainingState(path, {})).toBeTypeOf('number');
    expect(await readdir(folder)).toEqual(['run.safetensors']);
  });

  it('names the path when a file is refused', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tensorless-'));
    const path = join(folder, 'run.safetensors');
    await writeFile(path, 'not a checkpoint at all');
    await expect(loadTrainingState(path, {})).rejects.toThrow(path);
    expect(await readFile(path, 'utf8')).toBe('not a checkpoint at all');
  });
});
