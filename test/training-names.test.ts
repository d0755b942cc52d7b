/**
 * State finds its parameter by name; names in a file are never taken for one another; older files
 * are read.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AdamW, GradientAccumulator, getLinearScheduleWithWarmup, Parameter } from 'tensorless';
import { CheckpointError, decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { decodeSafetensors } from 'tensorless/safetensors';
import { describe, expect, it } from 'vitest';

/** Parameters of these names, in this order; what each is fed depends on its letter alone. */
function run(names: readonly (string | undefined)[], letters: readonly string[] = names as string[]) {
  const parameters = names.map((name) => {
    return new Parameter(new Float32Array(6).fill(1), [2, 3], name === undefined ? {} : { name });
  });
  const optimizer = new AdamW(parameters, { lr: 0.1 });
  const accumulator = new GradientAccumulator(parameters);
  const step = (t: number): void => {
    for (const [i, parameter] of parameters.entries()) {
      const base = letters[i]!.charCodeAt(0);
      parameter.grad = new Float32Array(6).map((_, k) => Math.sin(base + k + t));
    }
    accumulator.add();
    optimizer.step();
  };
  return { parameters, optimizer, accumulator, step };
}
const valuesOf = (one: ReturnType<typeof run>): Record<string, number[]> =>
  Object.fromEntries(one.parameters.map((p) => [p.name, [...(p.data as Float32Array)]]));

describe('moments and sums go by name', () => {
  it.each([[['c', 'a', 'b']], [['b', 'c', 'a']], [['a', 'c', 'b']]])('into a run of the order %j', (order) => {
    const first = run(['a', 'b', 'c']);
    for (let t = 0; t < 3; t++) first.step(t);
    const { step: _, ...parts } = first;
    const bytes = encodeTrainingState(parts);
    const second = run(order);
    const { step: __, ...live } = second;
    decodeTrainingState(bytes, live);
    for (const t of [3, 4]) {
      first.step(t);
      second.step(t);
    }
    expect(valuesOf(second)).toEqual(valuesOf(first));
    first.accumulator.apply();
    second.accumulator.apply();
    for (const parameter of second.parameters) {
      const same = first.parameters.find((one) => one.name === parameter.name)!;
      expect(parameter.grad).toEqual(same.grad);
    }
  });

  it('also when the optimizer alone is in the file, and over groups whose options stay with their place', () => {
    const make = (names: string[][]) => {
      const groups = names.map((list) => ({
        params: list.map((name) => new Parameter(new Float32Array(2), [2], { name })),
      }));
      return { groups, optimizer: new AdamW(groups) };
    };
    const first = make([['a', 'b'], ['c']]);
    for (const { params } of first.groups)
      for (const p of params) p.grad = new Float32Array(2).fill(p.name!.charCodeAt(0));
    first.optimizer.paramGroups[0]!.lr = 0.5;
    first.optimizer.paramGroups[1]!.lr = 0.25;
    first.optimizer.step();
    const second = make([['b', 'a'], ['c']]);
    decodeTrainingState(encodeTrainingState({ optimizer: first.optimizer }), { optimizer: second.optimizer });
    const of = (d: ReturnType<AdamW['stateDict']>, i: number): unknown => d.state[i]!.exp_avg;
    const [a, b] = [first.optimizer.stateDict(), second.optimizer.stateDict()];
    expect([of(b, 0), of(b, 1), of(b, 2)]).toEqual([of(a, 1), of(a, 0), of(a, 2)]);
    expect(second.optimizer.paramGroups.map((group) => group.lr)).toEqual([0.5, 0.25]);
  });

  it('names in the groups of the state (param_names, as PyTorch has them) come first, and are renamed with it', () => {
    const first = run(['a', 'b', 'c']);
    first.step(0);
    const dict = first.optimizer.stateDict();
    const named = { ...dict, param_groups: [{ ...dict.param_groups[0]!, param_names: ['c', 'b', 'a'] }] };
    const bytes = encodeTrainingState({ optimizer: { stateDict: () => named, prepareLoad: () => () => {} } });
    const second = run(['b', 'c', 'a']);
    let seen: unknown;
    const { paramGroups } = second.optimizer;
    const part = {
      paramGroups,
      stateDict: () => null,
      prepareLoad(state: unknown) {
        seen = state;
        return second.optimizer.prepareLoad(state as typeof dict);
      },
    };
    decodeTrainingState(bytes, { optimizer: part });
    const [before, after] = [dict.state, second.optimizer.stateDict().state];
    expect([after[0], after[1], after[2]]).toEqual([before[1], before[0], before[2]]);
    expect(seen).toMatchObject({ param_groups: [{ params: [0, 1, 2], param_names: ['b', 'c', 'a'] }] });
  });

  it('a parameter without state stays without, whatever its place', () => {
    const first = run(['a', 'b', 'c']);
    first.parameters[1]!.grad = new Float32Array(6).fill(1);
    first.optimizer.step();
    const second = run(['b', 'c', 'a']);
    second.step(7);
    decodeTrainingState(encodeTrainingState({ optimizer: first.optimizer }), { optimizer: second.optimizer });
    expect(Object.keys(second.optimizer.stateDict().state)).toEqual(['0']);
  });

  it('names that differ are refused, short, and nothing has changed', () => {
    const first = run(['a', 'b', 'c']);
    first.step(0);
    const other = run(['a', 'b', 'd']);
    other.step(5);
    const before = structuredClone([other.optimizer.stateDict(), other.accumulator.stateDict()]);
    const bytes = encodeTrainingState({ optimizer: first.optimizer, accumulator: first.accumulator });
    const message =
      /the (optimizer|accumulator) does not fit: its parameters have other names: "d" only here, "c" only in/;
    expect(() => decodeTrainingState(bytes, { optimizer: other.optimizer })).toThrow(message);
    expect(() => decodeTrainingState(bytes, { accumulator: other.accumulator })).toThrow(message);
    expect([other.optimizer.stateDict(), other.accumulator.stateDict()]).toEqual(before);
    const many = run(
      Array.from({ length: 10_000 }, (_, i) => `${'n'.repeat(100)}${i}`),
      new Array(10_000).fill('x'),
    );
    try {
      decodeTrainingState(bytes, { optimizer: many.optimizer });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(CheckpointError);
      expect((error as Error).message.length).toBeLessThanOrEqual(300);
    }
  });

  it('by position where one side has no names, or not one for each', () => {
    const named = run(['a', 'b']);
    named.step(0);
    for (const names of [
      [undefined, undefined],
      ['a', undefined],
    ]) {
      const live = (run as (n: readonly (string | undefined)[], l: string[]) => ReturnType<typeof run>)(names, [
        'a',
        'b',
      ]);
      decodeTrainingState(encodeTrainingState({ optimizer: named.optimizer }), { optimizer: live.optimizer });
      expect(live.optimizer.stateDict().state).toEqual(named.optimizer.stateDict().state);
      decodeTrainingState(encodeTrainingState({ optimizer: live.optimizer }), { optimizer: named.optimizer });
    }
  });

  it('is refused where two have one name, and it is another than the saved one', () => {
    const named = run(['a', 'b']);
    named.step(0);
    const twins = (run as (n: readonly string[], l: string[]) => ReturnType<typeof run>)(['x', 'x'], ['a', 'b']);
    const bytes = encodeTrainingState({ optimizer: named.optimizer });
    expect(() => decodeTrainingState(bytes, { optimizer: twins.optimizer })).toThrow(/"a" was saved where "x" is here/);
  });
});

describe('names in the file', () => {
  it('two paths never give one: separators in keys are escaped, a part has a place of its own', () => {
    const tensor = (x: number) => ({ dtype: 'float32', shape: [1], data: Float32Array.of(x) });
    const extra = {
      a: { b: tensor(1), 'b/c': tensor(2) },
      'a/b': tensor(3),
      'a~1b': tensor(4),
      'a~b': [tensor(5)],
      a2: { '': tensor(6) },
    };
    expect(decodeTrainingState(encodeTrainingState({ extra }), {})).toEqual(extra);
    const parameter = new Parameter(Float32Array.of(7), [1], { name: 'extra' });
    const bytes = encodeTrainingState({ parameters: [parameter], extra: tensor(8) });
    parameter.data[0] = 0;
    expect(decodeTrainingState(bytes, { parameters: [parameter] })).toEqual(tensor(8));
    expect(parameter.data[0]).toBe(7);
  });

  it('half a surrogate pair is refused at saving: in names and in keys; a text of extra keeps it', () => {
    const parameter = new Parameter(new Float32Array(1), [1], { name: 'w\ud800' });
    expect(() => encodeTrainingState({ parameters: [parameter] })).toThrow(/half a surrogate pair/);
    expect(() => encodeTrainingState({ extra: { 'k\udfff': 1 } })).toThrow(/half a surrogate pair/);
    expect(decodeTrainingState(encodeTrainingState({ extra: ['\ud800', '😀'] }), {})).toEqual(['\ud800', '😀']);
    const optimizer = new AdamW([parameter]);
    expect(() => decodeTrainingState(encodeTrainingState({ optimizer }), { optimizer })).not.toThrow();
  });

  it('integers beyond what a number holds stay what they are', () => {
    const extra = { big: 2n ** 80n, small: -5n };
    expect(decodeTrainingState(encodeTrainingState({ extra }), {})).toEqual(extra);
  });

  it('a hole or undefined in a list is refused, not made null', () => {
    // biome-ignore lint/suspicious/noSparseArray: this is what is tried
    expect(() => encodeTrainingState({ extra: { list: [1, , 3] } })).toThrow('extra/list/1 must be null, a boolean');
    expect(() => encodeTrainingState({ extra: [undefined] })).toThrow('extra/0 must be');
    expect(decodeTrainingState(encodeTrainingState({ extra: { a: undefined, b: 1 } }), {})).toEqual({ b: 1 });
  });

  it('what only its size in memory makes hostile is refused by writer and reader alike', () => {
    const extra = Array.from({ length: 400_000 }, () => ({}));
    expect(() => encodeTrainingState({ extra })).toThrow(/too many objects/);
    expect(() => encodeTrainingState({ extra: extra.slice(0, 20_000) })).not.toThrow();
  });
});

describe('a file of version 0.1.0 before that', () => {
  const bytes = new Uint8Array(
    readFileSync(fileURLToPath(new URL('vectors/training-state/first.safetensors', import.meta.url))),
  );
  it('is read: weights by name, moments and sums by position', () => {
    const weight = new Parameter(new Float32Array(4), [2, 2], { name: 'layer/weight' });
    const bias = new Parameter(new Float32Array(2), [2], { name: 'bias' });
    const optimizer = new AdamW([weight, bias], { lr: 0.5, amsgrad: true });
    const scheduler = getLinearScheduleWithWarmup(optimizer, { numWarmupSteps: 1, numTrainingSteps: 8 });
    const accumulator = new GradientAccumulator([bias, weight]);
    const extra = decodeTrainingState(bytes, { parameters: [bias, weight], optimizer, scheduler, accumulator });
    const table = { dtype: 'int64', shape: [2], data: BigInt64Array.of(7n, -8n) };
    expect(extra).toEqual({ epoch: 3, bad: [Number.NaN, -0], 'a/b': { c: table }, $own: null });
    const { tensors } = decodeSafetensors(bytes);
    expect(weight.data).toEqual(tensors['layer/weight']!.data);
    const { state } = optimizer.stateDict();
    expect(state[0]!.exp_avg).toEqual(tensors['optimizer/state/0/exp_avg']);
    expect(state[1]!.max_exp_avg_sq).toEqual(tensors['optimizer/state/1/max_exp_avg_sq']);
    expect(accumulator.gradients[0]).toEqual(Float32Array.of(3, -0.5));
    expect([scheduler.lastEpoch, state[0]!.step]).toEqual([2, 2]);
  });
});
