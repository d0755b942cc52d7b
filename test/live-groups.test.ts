/**
 * Groups are live objects, and parameters are held by name: what is changed in them is right, or
 * refused by name at the next call.
 */
import { Parameter } from 'tensorless';
import { describe, expect, it } from 'vitest';
import { optimizers, snapshot } from './_optimizers.ts';

type Make = (typeof optimizers)[number]['make'];

/** Two groups of two parameters, with gradients and a step behind them. */
function twoGroups(make: Make) {
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => {
    const parameter = new Parameter(new Float32Array(4).fill(1), [2, 2], { name });
    parameter.grad = Float32Array.of(1, -2, 3, -4);
    return parameter;
  }) as [Parameter, Parameter, Parameter, Parameter];
  const optimizer = make([{ params: [a, b] }, { params: [c, d], weightDecay: 0.5 }]);
  optimizer.step();
  return { optimizer, a, b, c, d };
}
type Two = ReturnType<typeof twoGroups>;

const changes: [what: string, change: (two: Two) => void, message: RegExp][] = [
  [
    'swapped',
    ({
      optimizer: {
        paramGroups: [g],
      },
      a,
      b,
    }) => void g!.params.splice(0, 2, b, a),
    /parameter "a" is not at paramGroups\[0\]\.params\[0\] any more/,
  ],
  [
    'removed',
    ({
      optimizer: {
        paramGroups: [g],
      },
    }) => void g!.params.pop(),
    /parameter "b" is not at paramGroups\[0\]\.params\[1\] any more/,
  ],
  [
    'listed twice',
    ({
      optimizer: {
        paramGroups: [g],
      },
      a,
    }) => void g!.params.push(a),
    /parameter "a" was put into a group/,
  ],
  [
    'put in place of another',
    ({
      optimizer: {
        paramGroups: [g],
      },
      a,
    }) => void (g!.params[1] = a),
    /parameter "b" is not at paramGroups\[0\]\.params\[1\] any more/,
  ],
  [
    'added',
    ({
      optimizer: {
        paramGroups: [g],
      },
    }) => void g!.params.push(new Parameter(new Float32Array(1), { name: 'new' })),
    /parameter "new" was put into a group/,
  ],
  [
    'no parameter',
    ({
      optimizer: {
        paramGroups: [g],
      },
    }) => void (g!.params[0] = { data: 1 } as never),
    /parameter "a" is not at paramGroups\[0\]\.params\[0\] any more/,
  ],
  [
    'moved to another group',
    ({
      optimizer: {
        paramGroups: [g, h],
      },
    }) => void h!.params.push(g!.params.pop()!),
    /parameter "b" is not at paramGroups\[0\]\.params\[1\] any more/,
  ],
  [
    'in another array',
    ({
      optimizer: {
        paramGroups: [g],
      },
      a,
      b,
    }) => void (g!.params = [b, a]),
    /parameter "a" is not at paramGroups\[0\]\.params\[0\] any more/,
  ],
  [
    'gone with its group',
    ({ optimizer }) => void optimizer.paramGroups.pop(),
    /paramGroups\[1\] is not the group that was made/,
  ],
  [
    'in groups in another order',
    ({ optimizer }) => void optimizer.paramGroups.reverse(),
    /paramGroups\[0\] is not the group that was made/,
  ],
  [
    'in a group that was not made by addParamGroup',
    ({ optimizer }) => void optimizer.paramGroups.push({ ...optimizer.paramGroups[0]!, params: [] }),
    /paramGroups\[2\] is not the group that was made/,
  ],
  [
    'in a copy of its group',
    ({ optimizer }) => void (optimizer.paramGroups[0] = { ...optimizer.paramGroups[0]! }),
    /paramGroups\[0\] is not the group that was made/,
  ],
];

describe.each(optimizers)('a parameter in $name', ({ make }) => {
  it.each(changes)(
    'that is %s is refused by every call, by name; put back, all goes on',
    async (_, change, message) => {
      const { optimizer, ...parameters } = twoGroups(make);
      const twin = twoGroups(make);
      const dict = optimizer.stateDict();
      const groups = [...optimizer.paramGroups];
      const lists = groups.map(({ params }) => params);
      const members = lists.map((params) => [...params]);
      const before = snapshot(optimizer);
      change({ optimizer, ...parameters });
      const calls: [string, () => unknown][] = [
        ['step', () => optimizer.step()],
        ['stateDict', () => optimizer.stateDict()],
        ['loadStateDict', () => optimizer.loadStateDict(dict)],
      ];
      for (const [method, call] of calls) {
        expect(call, method).toThrow(message);
        expect(call, method).toThrow(new RegExp(`^\\w+\\.${method}: .*; put it back: add with addParamGroup`));
      }
      await expect(optimizer.stepAsync()).rejects.toThrow(message);
      optimizer.paramGroups.splice(0, optimizer.paramGroups.length, ...groups);
      for (const [i, group] of groups.entries()) {
        group.params = lists[i]!;
        group.params.splice(0, group.params.length, ...members[i]!);
      }
      expect(snapshot(optimizer)).toEqual(before);
      optimizer.step();
      twin.optimizer.step();
      expect(snapshot(optimizer)).toEqual(snapshot(twin.optimizer));
    },
  );

  it('that was moved is refused by the step after addParamGroup, which looks at the number of groups alone', () => {
    const { optimizer } = twoGroups(make);
    optimizer.paramGroups[0]!.params.reverse();
    optimizer.addParamGroup({ params: [new Parameter(new Float32Array(2))] });
    expect(() => optimizer.step()).toThrow(/parameter "a" is not at paramGroups\[0\]\.params\[0\] any more/);
    optimizer.paramGroups.pop();
    expect(() => optimizer.addParamGroup({ params: [new Parameter(new Float32Array(2))] })).toThrow(/put it back/);
  });

  it('alone is refused by stepParameter where its own place is not as it was', () => {
    const { optimizer, a, b, c } = twoGroups(make);
    const before = snapshot(optimizer);
    optimizer.paramGroups[0]!.params.reverse();
    for (const one of [a, b])
      expect(() => optimizer.stepParameter(one)).toThrow(/stepParameter: parameter .* is not at paramGroups/);
    optimizer.paramGroups[0]!.params.reverse();
    expect(snapshot(optimizer)).toEqual(before);
    optimizer.stepParameter(c);
    expect(snapshot(optimizer)).not.toEqual(before);
  });
});

describe('what a parameter holds', () => {
  it('is fixed but for the gradient, also where no type forbids it', () => {
    const data = new Float32Array(4);
    const parameter = new Parameter(data, [2, 2], { name: 'w' });
    const shape = [...parameter.shape];
    for (const [key, value] of Object.entries({ data: new Float32Array(4), shape: [4], dtype: 'float16', name: 'v' })) {
      expect(() => Object.assign(parameter, { [key]: value }), key).toThrow(TypeError);
      expect(() => Object.defineProperty(parameter, key, { value }), key).toThrow(TypeError);
      expect(() => Reflect.deleteProperty(parameter, key) || expect.fail(), key).toThrow();
    }
    expect(() => Object.assign(parameter.shape, { 0: 1 })).toThrow(TypeError);
    expect(() => (parameter.shape as number[]).push(1)).toThrow(TypeError);
    expect([parameter.data, parameter.shape, parameter.dtype, parameter.name]).toEqual([data, shape, 'float32', 'w']);
    expect(parameter.data).toBe(data);
    shape[0] = 7;
    expect(parameter.shape).toEqual([2, 2]);
  });

  it.each(optimizers)('is refused where its array was transferred or resized ($name)', ({ make }) => {
    const other = new Parameter(new Float32Array(3).fill(1), { name: 'other' });
    const data = new Float32Array(4).fill(1);
    const parameter = new Parameter(data, { name: 'w' });
    const optimizer = make([other, parameter]);
    for (const one of [other, parameter]) one.grad = new Float32Array(one.data.length).fill(1);
    optimizer.step();
    structuredClone(data.buffer, { transfer: [data.buffer] });
    const weights = [...other.data];
    const refused = /parameter "w": grad must have 4 elements .* beside data of 0; was its buffer transferred/;
    expect(() => optimizer.step()).toThrow(refused);
    expect(() => optimizer.stepParameter(parameter)).toThrow(refused);
    expect([...other.data]).toEqual(weights);
    expect(optimizer.stepCalls).toBe(1);
    // A buffer that can be resized: Node 20 has them.
    const Buffer = ArrayBuffer as unknown as new (n: number, o: object) => ArrayBuffer & { resize(n: number): void };
    const buffer = new Buffer(16, { maxByteLength: 32 });
    const resized = new Parameter(new Float32Array(buffer), { name: 'r' });
    resized.grad = new Float32Array(4);
    const second = make([resized]);
    buffer.resize(32);
    expect(() => second.step()).toThrow(/parameter "r": grad must have 4 elements .* got 4 beside data of 8/);
    resized.grad = new Float32Array(8);
    expect(() => second.step()).toThrow(/parameter "r": grad must have 4 elements/);
  });
});
