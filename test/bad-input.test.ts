/**
 * Every wrong argument is refused by name, and a refused call changes nothing, of any parameter.
 */
import { Adafactor, type DType, Parameter } from 'tensorless';
import { describe, expect, it, vi } from 'vitest';
import { model, snapshot, weightBits } from './_optimizers.ts';
import { errorOf, hostile, optimizers, refuses, trained } from './_refusals.ts';
import { notGradients, notParameters, notRecords } from './_wrong-values.ts';

describe.each(optimizers)('$name', ({ name, make, options }) => {
  const params = (parameters: unknown): never => parameters as never;

  it.each(Object.entries(options))('refuses wrong values of %s in every place', (key, wrong) => {
    const [optimizer] = trained(make as never);
    const saved = optimizer.stateDict();
    const snake = key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    for (const value of wrong) {
      expect(errorOf(() => make(params(model('float32')), params({ [key]: value }))).message).toMatch(
        `${name}: ${key}`,
      );
      const group = { params: [new Parameter(new Float32Array(2))], [key]: value };
      expect(errorOf(() => make(params([group]))).message).toMatch(`${name}: group 0: ${key}`);
      refuses(optimizer, () => optimizer.addParamGroup(group), `${name}: group 1: ${key}`);

      const live = optimizer.paramGroups[0]!;
      const good = live[key];
      const before = snapshot(optimizer);
      for (const [method, call] of [
        ['step', () => optimizer.step()],
        ['stepParameter', () => optimizer.stepParameter(live.params[1]!)],
      ] as const) {
        live[key] = value;
        const { message } = errorOf(call);
        live[key] = good;
        expect(message).toMatch(`${name}.${method}: paramGroups[0].${key}`);
        expect(snapshot(optimizer)).toEqual(before);
      }
      const entry = { ...saved.param_groups[0]!, [snake]: value } as never;
      const dict = { ...saved, param_groups: [entry] };
      refuses(optimizer, () => optimizer.loadStateDict(dict), `${name}.loadStateDict: param_groups[0]: ${snake}`);
    }
  });

  it('refuses unknown options, with the known ones and the nearest', () => {
    const parameter = new Parameter(new Float32Array(2));
    const { message } = errorOf(() => make(params([parameter]), params({ weight_decay: 1 })));
    expect(message).toMatch(`${name}: unknown option "weight_decay". Did you mean "weightDecay"? Known options: "lr"`);
    expect(errorOf(() => make(params([{ params: [parameter], kernels: {} }]))).message).toMatch(
      'unknown option "kernels"',
    );
    expect(errorOf(() => make(params([parameter]), hostile('{ "__proto__": { "lr": 1 } }'))).message).toMatch(
      'unknown option "__proto__"',
    );
    const [optimizer] = trained(make as never);
    refuses(optimizer, () => optimizer.addParamGroup({ params: [parameter], lrr: 1 }), 'group 1: unknown option "lrr"');
    const group = Object.assign(hostile('{ "__proto__": { "lr": 1 } }') as object, { params: [parameter] });
    refuses(optimizer, () => optimizer.addParamGroup(group), 'group 1: unknown option "__proto__"');
  });

  it('refuses options that are no object, and kernels that are none', () => {
    const parameter = new Parameter(new Float32Array(2));
    for (const wrong of notRecords) {
      expect(errorOf(() => make(params([parameter]), params(wrong))).message).toMatch(
        `${name}: options must be an object`,
      );
    }
    for (const wrong of [null, 1, 'simd', {}, { allocate() {} }, [], () => ({})]) {
      expect(errorOf(() => make(params([parameter]), params({ kernels: wrong }))).message).toMatch(`${name}: kernels`);
    }
    const promised = Promise.resolve({});
    expect(errorOf(() => make(params([parameter]), params({ kernels: promised }))).message).toMatch(/; await it$/);
  });

  it('tells its own refusal of a closure that is asynchronous, not what that is rejected with later', async () => {
    const [optimizer] = trained(make as never);
    const rejected = vi.fn();
    process.on('unhandledRejection', rejected);
    const failing = async (): Promise<never> => {
      throw new Error('no data');
    };
    expect(() => optimizer.step(failing as never)).toThrow('await optimizer.stepAsync(closure)');
    await new Promise((resolve) => setTimeout(resolve, 5));
    process.off('unhandledRejection', rejected);
    expect(rejected).not.toHaveBeenCalled();
  });

  it('refuses what are no parameters', () => {
    const [optimizer] = trained(make as never);
    for (const wrong of notParameters) {
      expect(errorOf(() => make(params(wrong))).message).toMatch(new RegExp(`^${name}: (params|group 0)`));
      refuses(optimizer, () => optimizer.addParamGroup({ params: wrong as never }), `${name}: group 1: params`);
    }
    for (const wrong of [...notRecords, undefined]) {
      refuses(optimizer, () => optimizer.addParamGroup(wrong as never), `${name}: group 1`);
    }
    const [a, b] = [1, 2].map((k) => new Parameter(new Float32Array(2), [2], { name: `w${k}` })) as [
      Parameter,
      Parameter,
    ];
    expect(errorOf(() => make(params([]))).message).toMatch('params holds no Parameter');
    expect(errorOf(() => make(params([{ params: [] }]))).message).toMatch('params holds no Parameter');
    expect(errorOf(() => make(params([a, { params: [b] }]))).message).toMatch(
      'group 0 must be a Parameter among Parameters, or { params } among groups',
    );
    expect(errorOf(() => make(params([a, b, a]))).message).toMatch('parameter "w1" is in this optimizer twice');
    expect(errorOf(() => make(params([{ params: [a] }, { params: [b, a] }]))).message).toMatch('parameter "w1"');
    refuses(optimizer, () => optimizer.addParamGroup({ params: [a, optimizer.paramGroups[0]!.params[2]!] }), '"p2"');
    expect(make(params([a]))).toBeInstanceOf(Object);
    expect(errorOf(() => make(params([new Float32Array(3)]))).message).toMatch('wrap the array: new Parameter');
  });

  it('refuses two parameters over the same memory, also one byte of it', () => {
    const buffer = new ArrayBuffer(64);
    const at = (dtype: DType, offset: number, label: string): Parameter =>
      new Parameter(
        dtype === 'bfloat16' ? new Uint16Array(buffer, offset, 4) : new Float32Array(buffer, offset, 4),
        [4],
        { dtype, name: label },
      );
    const first = at('float32', 0, 'first');
    for (const second of [at('float32', 0, 'second'), at('float32', 12, 'second'), at('bfloat16', 14, 'second')]) {
      expect(errorOf(() => make(params([second, first]))).message).toMatch(
        /parameter "(first|second)" and parameter "(first|second)" share memory/,
      );
      const optimizer = make(params([first]));
      refuses(optimizer, () => optimizer.addParamGroup({ params: [second] }), 'share memory');
    }
    expect(() => make(params([first, at('float32', 16, 'second')]))).not.toThrow();
  });

  it.each(['step', 'stepParameter'] as const)(
    'refuses a wrong gradient in %s, by the name of the parameter',
    (method) => {
      const [optimizer, parameters] = trained(make as never);
      const odd = new Parameter(new Float32Array([1, 2]), [2], { name: 'odd' });
      optimizer.addParamGroup({ params: [odd] });
      const own = odd.data.subarray(0, 2);
      const detached = new Float32Array(2);
      structuredClone(detached, { transfer: [detached.buffer] });
      for (const wrong of [...notGradients, own, detached]) {
        odd.grad = wrong as never;
        const call = method === 'step' ? () => optimizer.step() : () => optimizer.stepParameter(odd);
        refuses(optimizer, call, `${name}.${method}: parameter "odd": grad must`);
      }
      odd.grad = null;
      optimizer.step();
      expect(optimizer.stepCalls).toBe(3);
      expect(parameters).toHaveLength(4);
    },
  );

  it('refuses weights whose memory went to another thread', () => {
    const gone = new Parameter(new Float32Array(2), [2], { name: 'gone' });
    const [optimizer] = trained(make as never);
    optimizer.addParamGroup({ params: [gone] });
    structuredClone(gone.data, { transfer: [gone.data.buffer as ArrayBuffer] });
    gone.grad = new Float32Array(2);
    refuses(optimizer, () => optimizer.step(), 'parameter "gone"', 'transferred');
  });

  it('refuses steps that cannot be taken', () => {
    const [optimizer, parameters] = trained(make as never);
    for (const wrong of [null, 1, 'x', {}, []]) {
      refuses(optimizer, () => optimizer.step(wrong as never), `${name}.step: closure must be a function`);
    }
    refuses(
      optimizer,
      () => optimizer.step((async () => 1) as never),
      `${name}.step: closure must return the loss`,
      'stepAsync',
    );
    const stranger = new Parameter(new Float32Array(2), [2], { name: 'stranger' });
    stranger.grad = new Float32Array(2);
    refuses(optimizer, () => optimizer.stepParameter(stranger), `${name}.stepParameter: parameter "stranger" is not`);
    for (const wrong of [null, undefined, 1, {}, [], new Float32Array(2)]) {
      refuses(optimizer, () => optimizer.stepParameter(wrong as never), `${name}.stepParameter`);
    }
    parameters[1]!.grad = null;
    refuses(optimizer, () => optimizer.stepParameter(parameters[1]!), 'parameter "p1" has no gradient');
    const before = snapshot(optimizer);
    const failing = (): number => {
      throw new Error('no data');
    };
    expect(() => optimizer.step(failing)).toThrow('no data');
    expect(snapshot(optimizer)).toEqual(before);
  });

  it('steps at once in stepAsync without threads, and is locked from the call while a closure is awaited', async () => {
    const [optimizer, parameters] = trained(make as never);
    const before = weightBits(parameters);
    const done = optimizer.stepAsync();
    expect(weightBits(parameters)).not.toEqual(before);
    await done;
    const waits = optimizer.stepAsync(async () => 7);
    for (const call of [() => optimizer.step(), () => optimizer.stateDict(), () => optimizer.dispose()]) {
      expect(call).toThrow('a stepAsync of this optimizer is under way');
    }
    await expect(optimizer.stepAsync()).rejects.toThrow('under way');
    expect(await waits).toBe(7);
    await expect(optimizer.stepAsync(() => Promise.reject(new Error('no data')))).rejects.toThrow('no data');
    optimizer.step();
  });

  it('refuses everything but dispose once it is disposed', () => {
    const [optimizer, parameters] = trained(make as never);
    const saved = optimizer.stateDict();
    const weights = weightBits(parameters);
    optimizer.dispose();
    optimizer.dispose();
    for (const call of [
      () => optimizer.step(),
      () => optimizer.stepParameter(parameters[0]!),
      () => optimizer.stateDict(),
      () => optimizer.loadStateDict(saved),
      () => optimizer.addParamGroup({ params: [new Parameter(new Float32Array(1))] }),
    ]) {
      expect(call).toThrow('this optimizer was disposed');
    }
    expect(weightBits(parameters)).toEqual(weights);
  });
});

describe('Adafactor', () => {
  const parameter = (): Parameter[] => [new Parameter(new Float32Array(2))];

  it.each([
    [{ lr: 1e-3 }, /lr.*relativeStep: true/],
    [{ relativeStep: false }, /lr must be a number with relativeStep: false/],
    [{ relativeStep: false, lr: 1e-3, warmupInit: true }, /warmupInit: true needs relativeStep: true/],
  ])('refuses %o, which contradict each other', (options, message) => {
    expect(errorOf(() => new Adafactor(parameter(), options)).message).toMatch(message);
    expect(errorOf(() => new Adafactor([{ params: parameter(), ...options }])).message).toMatch(message);
    const optimizer = new Adafactor(parameter());
    refuses(optimizer, () => optimizer.addParamGroup({ params: parameter(), ...options }), message);
  });

  it('has no effective learning rate for a stranger', () => {
    const optimizer = new Adafactor(parameter());
    for (const wrong of [parameter()[0], null, undefined, 1, {}]) {
      expect(errorOf(() => optimizer.effectiveLr(wrong as never)).message).toMatch('Adafactor.effectiveLr');
    }
  });
});
