/**
 * What a closure does to its own optimizer is right, or refused: the state of the world is looked
 * at after it.
 */
import { Parameter } from 'tensorless';
import { describe, expect, it } from 'vitest';
import { engineCases, exactly, model, setGradients, snapshot, weightBits } from './_optimizers.ts';

describe.each(engineCases)('a closure of $name in $dtype on $engine kernels', ({ make, dtype }) => {
  /** Two optimizers with a step behind them and gradients for the next. */
  const pair = () =>
    [0, 1].map(() => {
      const parameters = model(dtype);
      const optimizer = make(parameters);
      setGradients(parameters, 1);
      optimizer.step();
      setGradients(parameters, 2);
      return { optimizer, parameters };
    }) as [One, One];
  type One = { optimizer: ReturnType<typeof make>; parameters: Parameter[] };

  it('that disposes: the step is refused, the weights are as they were', () => {
    const [{ optimizer, parameters }] = pair();
    const before = weightBits(parameters);
    const disposes = (): number => {
      optimizer.dispose();
      return 0;
    };
    expect(() => optimizer.step(disposes)).toThrow(/step: this optimizer was disposed; make a new one/);
    expect(weightBits(parameters)).toEqual(before);
    expect(() => optimizer.stateDict()).toThrow(/disposed/);
  });

  it('that adds a group: its parameters are stepped too', () => {
    const [one, two] = pair();
    const [more, other] = [model(dtype, 5), model(dtype, 5)];
    for (const each of [more, other]) setGradients(each, 3);
    one.optimizer.step(() => {
      one.optimizer.addParamGroup({ params: more });
      return 0;
    });
    two.optimizer.addParamGroup({ params: other });
    two.optimizer.step();
    expect(weightBits([...one.parameters, ...more])).toEqual(weightBits([...two.parameters, ...other]));
    expect(exactly(one.optimizer.stateDict())).toBe(exactly(two.optimizer.stateDict()));
  });

  it('that loads: the step goes on from what was loaded', () => {
    const [one, two] = pair();
    const parameters = model(dtype, 3);
    const source = make(parameters);
    for (let step = 4; step < 7; step++) {
      setGradients(parameters, step);
      source.step();
    }
    const dict = source.stateDict();
    one.optimizer.step(() => {
      one.optimizer.loadStateDict(dict);
      return 0;
    });
    two.optimizer.loadStateDict(dict);
    two.optimizer.step();
    expect(weightBits(one.parameters)).toEqual(weightBits(two.parameters));
    expect(exactly(one.optimizer.stateDict())).toBe(exactly(two.optimizer.stateDict()));
    // A state that was checked before the step is refused after it, or put in place whole.
    const put = one.optimizer.prepareLoad(dict);
    one.optimizer.step();
    put();
    expect(exactly(one.optimizer.stateDict())).toBe(exactly(dict));
  });

  it('that steps: one step after the other', () => {
    const [one, two] = pair();
    one.optimizer.step(() => {
      one.optimizer.step();
      setGradients(one.parameters, 3);
      one.optimizer.stepParameter(one.parameters[2]!);
      setGradients(one.parameters, 4);
      return 0;
    });
    two.optimizer.step();
    setGradients(two.parameters, 3);
    two.optimizer.stepParameter(two.parameters[2]!);
    setGradients(two.parameters, 4);
    two.optimizer.step();
    expect(weightBits(one.parameters)).toEqual(weightBits(two.parameters));
    expect(exactly(one.optimizer.stateDict())).toBe(exactly(two.optimizer.stateDict()));
    expect(one.optimizer.stepCalls).toBe(two.optimizer.stepCalls);
  });

  it('that begins a stepAsync: refused while it is under way, or both are done', async () => {
    const [{ optimizer, parameters }] = pair();
    let inner: Promise<unknown> | undefined;
    const before = snapshot(optimizer);
    expect(() =>
      optimizer.step(() => {
        inner = optimizer.stepAsync(async () => 0);
        return 0;
      }),
    ).toThrow(/step: a stepAsync of this optimizer is under way; await it first/);
    await inner;
    expect(snapshot(optimizer)).not.toEqual(before);
    expect(optimizer.stepCalls).toBe(2);
    setGradients(parameters, 3);
    optimizer.step();
    expect(optimizer.stepCalls).toBe(3);
  });

  it('that throws or breaks the groups: nothing has changed', () => {
    const [{ optimizer, parameters }, two] = pair();
    const before = snapshot(optimizer);
    const fails = (): number => {
      throw new Error('no data');
    };
    expect(() => optimizer.step(fails)).toThrow('no data');
    expect(snapshot(optimizer)).toEqual(before);
    const { params } = optimizer.paramGroups[0]!;
    const breaks = (): number => {
      params.reverse();
      return 0;
    };
    expect(() => optimizer.step(breaks)).toThrow(/put it back/);
    params.reverse();
    expect(snapshot(optimizer)).toEqual(before);
    expect(() =>
      optimizer.step(() => {
        optimizer.paramGroups[0]!.lr = -1;
        return 0;
      }),
    ).toThrow(/paramGroups\[0\]\.lr must be/);
    optimizer.paramGroups[0]!.lr = two.optimizer.paramGroups[0]!.lr;
    expect(snapshot(optimizer)).toEqual(before);
    optimizer.step(() => {
      for (const one of parameters) one.grad = null;
      return 0;
    });
    expect(weightBits(parameters)).toEqual(weightBits(two.parameters));
  });

  it('of stepAsync refuses everything that is not only looked at, and the step is right', async () => {
    const [one, two] = pair();
    const { optimizer } = one;
    const dict = optimizer.stateDict();
    const under = /a stepAsync of this optimizer is under way; await it first/;
    for (const closure of [refusals, async () => refusals()]) {
      await optimizer.stepAsync(closure);
      two.optimizer.step();
      expect(weightBits(one.parameters)).toEqual(weightBits(two.parameters));
    }
    expect(exactly(optimizer.stateDict())).toBe(exactly(two.optimizer.stateDict()));

    function refusals(): number {
      expect(() => optimizer.dispose()).toThrow(under);
      expect(() => optimizer.step()).toThrow(under);
      expect(() => optimizer.stepParameter(one.parameters[0]!)).toThrow(under);
      expect(() => optimizer.loadStateDict(dict)).toThrow(under);
      expect(() => optimizer.stateDict()).toThrow(under);
      expect(() => optimizer.addParamGroup({ params: [new Parameter(new Float32Array(1))] })).toThrow(under);
      return 0;
    }
  });
});
