/** What a NaN or infinite gradient does, by policy. */
import {
  Adafactor,
  AdamW,
  type DType,
  Lion,
  NonFiniteGradientError,
  type Optimizer,
  Parameter,
  type StateTensor,
} from 'tensorless';
import { describe, expect, it } from 'vitest';
import { arrayOf, bits, dtypes, exactly, model, setGradients, snapshot, weightBits } from './_optimizers.ts';
import { trained } from './_refusals.ts';

describe('nonFinite', () => {
  const makers = [
    { name: 'Adafactor', make: (p: Parameter[], o: object): Optimizer => new Adafactor(p, o) },
    { name: 'AdamW', make: (p: Parameter[], o: object): Optimizer => new AdamW(p, o) },
    { name: 'Lion', make: (p: Parameter[], o: object): Optimizer => new Lion(p, { lr: 0.1, ...o }) },
  ];
  const cases = makers.flatMap((maker) => dtypes.map((dtype) => ({ ...maker, dtype })));
  const wrongs = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

  function prepared(
    make: (p: Parameter[], o: object) => Optimizer,
    dtype: DType,
    options: object,
  ): [Optimizer, Parameter[]] {
    return trained((parameters) => make(parameters, options), dtype);
  }

  /** Puts a value into the gradient of one parameter. */
  function spoil(parameter: Parameter, index: number, value: number): void {
    const grad = parameter.grad as Float32Array;
    grad[index] = arrayOf(parameter.dtype, [value])[0]!;
  }

  it.each(cases)(
    '"throw" names the parameter and the element and changes nothing ($name, $dtype)',
    ({ name, make, dtype }) => {
      for (const index of [0, 7]) {
        for (const value of wrongs) {
          for (const at of [2, 3]) {
            const [optimizer, parameters] = prepared(make, dtype, {});
            spoil(parameters[at]!, index, value);
            const before = snapshot(optimizer);
            for (const [method, call] of [
              ['step', () => optimizer.step()],
              ['stepParameter', () => optimizer.stepParameter(parameters[at]!)],
            ] as const) {
              expect(call).toThrow(NonFiniteGradientError);
              expect(call).toThrow(
                `${name}.${method}: the gradient of parameter "p${at}" is ${value} at index ${index}`,
              );
              expect(call).toThrow(
                expect.objectContaining({ parameter: `p${at}`, index, name: 'NonFiniteGradientError' }) as never,
              );
            }
            expect(snapshot(optimizer)).toEqual(before);
            expect(optimizer.skippedSteps).toBe(0);
            expect(optimizer.stepCalls).toBe(2);
          }
        }
      }
    },
  );

  it.each(makers)('"throw" refuses numbers whose squares overflow ($name)', ({ make }) => {
    const parameter = new Parameter(new Float64Array([1, 2]), [2]);
    const optimizer = make([parameter], {});
    parameter.grad = new Float64Array([1, 1e200]);
    const before = snapshot(optimizer);
    expect(() => optimizer.step()).toThrow(/parameter 0 is 1e\+200 at index 1, whose square is not finite/);
    expect(snapshot(optimizer)).toEqual(before);
    parameter.grad = new Float64Array([1e154, 1.1e154]);
    const again = snapshot(optimizer);
    expect(() => optimizer.step()).toThrow(
      /1\.1e\+154 at index 1, the largest of numbers whose squares have no finite sum/,
    );
    expect(snapshot(optimizer)).toEqual(again);
  });

  it.each(cases)('"skip" leaves the whole step out and counts it ($name, $dtype)', ({ make, dtype }) => {
    const [optimizer, parameters] = prepared(make, dtype, { nonFinite: 'skip' });
    spoil(parameters[3]!, 4, Number.NaN);
    const before = snapshot(optimizer);
    expect(optimizer.step(() => 3)).toBe(3);
    expect(snapshot(optimizer)).toEqual(before);
    expect([optimizer.skippedSteps, optimizer.stepCalls]).toEqual([1, 3]);
    setGradients(parameters, 3);
    optimizer.step();
    expect([optimizer.skippedSteps, optimizer.stepCalls]).toEqual([1, 4]);
    expect(snapshot(optimizer)).not.toEqual(before);
  });

  it.each(cases)('"skip" in stepParameter leaves that parameter out ($name, $dtype)', ({ make, dtype }) => {
    const [optimizer, parameters] = prepared(make, dtype, { nonFinite: 'skip' });
    spoil(parameters[2]!, 0, Number.POSITIVE_INFINITY);
    const [before, state] = [weightBits(parameters), optimizer.stateDict().state];
    for (const parameter of parameters) optimizer.stepParameter(parameter);
    const after = weightBits(parameters);
    expect(after.map((weights, i) => weights === before[i])).toEqual([false, false, true, false]);
    expect(exactly(optimizer.stateDict().state[2])).toBe(exactly(state[2]));
    expect(optimizer.skippedSteps).toBe(1);
  });

  const spreading = cases.filter(({ name }) => name !== 'Lion');
  it.each(dtypes)('"propagate": the sign of NaN is 0, as PyTorch’s; the moment is NaN (Lion, %s)', (dtype) => {
    const parameter = new Parameter(arrayOf(dtype, [1, 1]), { dtype });
    const optimizer = new Lion([parameter], { lr: 0.5, weightDecay: 0.5, nonFinite: 'propagate' });
    for (const expected of [
      [0.75, 1.25],
      [0.5625, 1.4375],
    ]) {
      parameter.grad = arrayOf(dtype, [Number.NaN, -1]);
      optimizer.step();
      expect(bits(parameter.data)).toBe(bits(arrayOf(dtype, expected)));
    }
    const { data } = optimizer.stateDict().state[0]!.exp_avg as StateTensor;
    expect([data[0], Number.isFinite(data[1])]).toEqual([Number.NaN, true]);
    for (const [gradient, expected] of [
      [Number.POSITIVE_INFINITY, 0.25],
      [Number.NEGATIVE_INFINITY, 1.25],
    ] as const) {
      const other = new Parameter(arrayOf(dtype, [1]), { dtype });
      other.grad = arrayOf(dtype, [gradient]);
      new Lion([other], { lr: 0.5, weightDecay: 0.5, nonFinite: 'propagate' }).step();
      expect(bits(other.data)).toBe(bits(arrayOf(dtype, [expected])));
    }
  });

  it.each(spreading)('"propagate" lets it through, as PyTorch does ($name, $dtype)', ({ make, dtype }) => {
    const [optimizer, parameters] = prepared(make, dtype, { nonFinite: 'propagate' });
    const before = bits(parameters[2]!.data);
    spoil(parameters[2]!, 5, Number.NaN);
    optimizer.step();
    expect(optimizer.skippedSteps).toBe(0);
    expect(bits(parameters[2]!.data)).not.toBe(before);
    const element = new Parameter(parameters[2]!.data, [12], { dtype });
    element.grad = parameters[2]!.data.slice();
    // The weight is a NaN now: seen as a gradient it is refused.
    expect(() => make([element], {}).step()).toThrow(NonFiniteGradientError);
  });

  it.each(makers)('is an option of the group ($name)', ({ name, make }) => {
    const parameters = model('float32');
    const optimizer = make(parameters.slice(0, 2), { nonFinite: 'propagate' });
    optimizer.addParamGroup({ params: parameters.slice(2), nonFinite: 'skip' });
    setGradients(parameters, 1);
    spoil(parameters[1]!, 0, Number.NaN);
    optimizer.step();
    expect(optimizer.skippedSteps).toBe(0);
    if (name !== 'Lion') expect((parameters[1]!.data as Float32Array)[0]).toBeNaN();
    spoil(parameters[3]!, 0, Number.NaN);
    optimizer.step();
    expect(optimizer.skippedSteps).toBe(1);
    optimizer.paramGroups[0]!.nonFinite = 'throw';
    // One group throws, the other would skip: nothing is changed, and nothing is counted.
    expect(() => optimizer.step()).toThrow(NonFiniteGradientError);
    expect(optimizer.skippedSteps).toBe(1);
  });
});

it('where only the sum of squares overflows, the largest element is named', () => {
  const parameter = new Parameter(new Float64Array(3), [3], { name: 'w' });
  parameter.grad = Float64Array.of(1e154, -1.2e154, 1e154);
  expect(() => new AdamW([parameter]).step()).toThrow(/gradient of parameter "w" is -1.2e\+154 at index 1/);
});
