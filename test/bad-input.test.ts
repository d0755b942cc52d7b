/** Every wrong argument is refused by name, and a refused call changes nothing, of any parameter. */
import {
  Adafactor,
  AdamW,
  clipGradNorm,
  type DType,
  GradientAccumulator,
  NonFiniteGradientError,
  type Optimizer,
  Parameter,
} from 'tensorless';
import { describe, expect, it } from 'vitest';
import { arrayOf, bits, dtypes, exactly, model, setGradients, snapshot, weightBits } from './_optimizers.ts';
import {
  notBooleans,
  notCounts,
  notDecay,
  notFinite,
  notGradients,
  notNonNegative,
  notNumbers,
  notParameters,
  notRecords,
  notStrings,
} from './_wrong-values.ts';

/** The error of a call; fails where there is none, or one that is neither a TypeError nor a RangeError. */
function errorOf(call: () => unknown): Error {
  let error: unknown;
  try {
    call();
  } catch (thrown) {
    error = thrown;
  }
  if (!(error instanceof TypeError || error instanceof RangeError)) {
    throw new Error(`expected a TypeError or RangeError, got ${String(error)}`);
  }
  return error;
}

/** Checks that the call is refused with these words and that the optimizer is as it was. */
function refuses(optimizer: Optimizer, call: () => unknown, ...words: (string | RegExp)[]): void {
  const before = snapshot(optimizer);
  const { message } = errorOf(call);
  for (const word of words) expect(message).toMatch(word);
  expect(snapshot(optimizer)).toEqual(before);
}

/** An optimizer with two steps of state and gradients for the third. */
function trained(make: (parameters: Parameter[]) => Optimizer, dtype: DType = 'float32'): [Optimizer, Parameter[]] {
  const parameters = model(dtype);
  const optimizer = make(parameters);
  for (let step = 1; step <= 3; step++) {
    setGradients(parameters, step);
    if (step < 3) optimizer.step();
  }
  return [optimizer, parameters];
}

const hostile = (text: string): never => JSON.parse(text) as never;
const notPairs = (wrong: readonly unknown[]): unknown[] => [
  null,
  1,
  'ab',
  {},
  [],
  [0.1],
  [0.1, 0.1, 0.1],
  new Float64Array(2),
  ...wrong.flatMap((value) => [
    [value, 0.5],
    [0.5, value],
  ]),
];
const notOneOf = [null, '', 'x', 'Skip', 1, true, {}, ['skip']];
const common = { nonFinite: notOneOf, rounding: notOneOf, seed: notCounts };

const optimizers: {
  name: string;
  make: (parameters: never, options?: never) => Optimizer;
  options: Record<string, readonly unknown[]>;
}[] = [
  {
    name: 'Adafactor',
    make: (parameters, options) => new Adafactor(parameters, options),
    options: {
      lr: notNonNegative,
      eps: notPairs(notNonNegative),
      clipThreshold: [...notNonNegative, 0],
      decayRate: [...notNumbers, ...notFinite, 0.5],
      beta1: notDecay,
      weightDecay: notNonNegative,
      scaleParameter: notBooleans,
      relativeStep: notBooleans,
      warmupInit: notBooleans,
      ...common,
    },
  },
  {
    name: 'AdamW',
    make: (parameters, options) => new AdamW(parameters, options),
    options: {
      lr: [null, ...notNonNegative],
      betas: notPairs(notDecay),
      eps: [null, ...notNonNegative],
      weightDecay: [null, ...notNonNegative],
      correctBias: notBooleans,
      amsgrad: notBooleans,
      maximize: notBooleans,
      ...common,
    },
  },
];

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
    expect(errorOf(() => make(params([]))).message).toMatch('params is empty');
    expect(errorOf(() => make(params([{ params: [] }]))).message).toMatch('params is empty');
    expect(errorOf(() => make(params([a, { params: [b] }]))).message).toMatch('mixes Parameters and groups');
    expect(errorOf(() => make(params([a, b, a]))).message).toMatch('parameter "w1" is in this optimizer twice');
    expect(errorOf(() => make(params([{ params: [a] }, { params: [b, a] }]))).message).toMatch('parameter "w1"');
    refuses(optimizer, () => optimizer.addParamGroup({ params: [a, optimizer.paramGroups[0]!.params[2]!] }), '"p2"');
    expect(make(params([a]))).toBeInstanceOf(Object);
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

describe.each([
  { name: 'Adafactor', make: (p: Parameter[]): Optimizer => new Adafactor(p), array: 'exp_avg_sq_row', at: 2 },
  { name: 'AdamW', make: (p: Parameter[]): Optimizer => new AdamW(p), array: 'exp_avg', at: 2 },
])('$name.loadStateDict', ({ name, make, array, at }) => {
  type Dict = { state: Record<string, Record<string, unknown>>; param_groups: Record<string, unknown>[] };
  type Tensor = { dtype: unknown; shape: unknown; data: unknown };
  const where = `${name}.loadStateDict`;
  const tensor = (dict: Dict): Tensor => dict.state[at]![array] as Tensor;
  const other = (): Dict => {
    const wrong = name === 'AdamW' ? new Adafactor(model('float32')) : new AdamW(model('float32'));
    for (const parameter of wrong.paramGroups[0]!.params)
      parameter.grad = new Float32Array(parameter.data.length).fill(1);
    wrong.step();
    return wrong.stateDict() as unknown as Dict;
  };
  const mutations: [title: string, message: string | RegExp, mutate: (dict: Dict) => unknown][] = [
    ['of another optimizer', 'unknown key', other],
    ['with another optimizer’s state only', 'p0', (dict) => void (dict.state = other().state)],
    ['without state', 'key "state" is missing', (dict) => ({ param_groups: dict.param_groups })],
    ['without groups', 'key "param_groups" is missing', (dict) => ({ state: dict.state })],
    ['with a further key', 'unknown key "extra"', (dict) => ({ ...dict, extra: 1 })],
    ['with a __proto__ key', 'unknown key "__proto__"', (dict) => Object.assign(hostile('{"__proto__": {}}'), dict)],
    ['with an array for state', 'state must be an object', (dict) => ({ ...dict, state: [] })],
    ['with an object for groups', 'param_groups must be an array', (dict) => ({ ...dict, param_groups: {} })],
    ['with no group', 'param_groups must be an array of 1', (dict) => ({ ...dict, param_groups: [] })],
    ['with two groups', 'got 2', (dict) => void dict.param_groups.push(dict.param_groups[0]!)],
    [
      'with null for a group',
      'param_groups[0] must be an object',
      (dict) => void (dict.param_groups = [null] as never),
    ],
    ['of a smaller model', 'params must list 4', (dict) => void (dict.param_groups[0]!.params = [0, 1, 2])],
    ['with no list of parameters', 'params must list 4', (dict) => void (dict.param_groups[0]!.params = 4)],
    ['without the list', 'key "params" is missing', (dict) => void delete dict.param_groups[0]!.params],
    ['with a parameter twice', '3 is listed twice', (dict) => void (dict.param_groups[0]!.params = [0, 1, 3, 3])],
    ['with wrong numbers', 'params[0]', (dict) => void (dict.param_groups[0]!.params = [null, 1, 2, 3])],
    ['with the names of another model', '"q"', (dict) => void (dict.param_groups[0]!.params = ['q', 'p1', 'p2', 'p3'])],
    ['without an option', 'key "weight_decay" is missing', (dict) => void delete dict.param_groups[0]!.weight_decay],
    ['with an unknown option', 'unknown key "weightDecay"', (dict) => void (dict.param_groups[0]!.weightDecay = 1)],
    ['with a wrong initial rate', 'initial_lr', (dict) => void (dict.param_groups[0]!.initial_lr = 'x')],
    [
      'with a __proto__ option',
      'unknown key "__proto__"',
      (dict) => void (dict.param_groups = [Object.assign(hostile('{"__proto__": {}}'), dict.param_groups[0])]),
    ],
    ['with the state of a fifth parameter', 'no group lists', (dict) => void (dict.state[4] = dict.state[0]!)],
    [
      'with the state of __proto__',
      'state has an entry "__proto__"',
      (dict) => void (dict.state = Object.assign(hostile('{"__proto__": {}}'), dict.state)),
    ],
    [
      'with null for an entry',
      'state of parameter "p2" must be an object',
      (dict) => void (dict.state[at] = null as never),
    ],
    ['without an array', `"p2": key "${array}" is missing`, (dict) => void delete dict.state[at]![array]],
    ['without a step', 'p2": key "step" is missing', (dict) => void delete dict.state[at]!.step],
    ['with an unknown array', 'p2": unknown key "exp_avg_sqr"', (dict) => void (dict.state[at]!.exp_avg_sqr = 1)],
    [
      'with a __proto__ array',
      'unknown key "__proto__"',
      (dict) => void (dict.state[at] = Object.assign(hostile('{"__proto__": {}}'), dict.state[at])),
    ],
    ['with a number for an array', `p2": ${array} must be a tensor`, (dict) => void (dict.state[at]![array] = 1)],
    ['with a bare array', `${array} must be a tensor`, (dict) => void (dict.state[at]![array] = tensor(dict).data)],
    ['of another shape', `${array} must have shape`, (dict) => void (tensor(dict).shape = [7, 1])],
    ['of another rank', `${array} must have shape`, (dict) => void (tensor(dict).shape as number[]).push(1)],
    ['without a shape', `${array} must have shape`, (dict) => void delete (tensor(dict) as Partial<Tensor>).shape],
    [
      'of another precision',
      'must be float32 beside',
      (dict) => void Object.assign(tensor(dict), { dtype: 'float64', data: new Float64Array(12) }),
    ],
    ['with a wrong dtype', 'floating-point', (dict) => void (tensor(dict).dtype = 'bfloat16')],
    [
      'of integers',
      'floating-point',
      (dict) => void Object.assign(tensor(dict), { dtype: 'int64', data: new BigInt64Array(12) }),
    ],
    ['with too few elements', 'elements', (dict) => void (tensor(dict).data = new Float32Array(2))],
    [
      'with a proxy for data',
      'must be a tensor',
      (dict) => void (tensor(dict).data = new Proxy(new Float32Array(3), {})),
    ],
    ...[-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '3', 3n, null, true, [], {}].map(
      (step) =>
        [
          `with step ${String(step)} in the last parameter`,
          'p3": step',
          (dict: Dict) => void (dict.state[3]!.step = step),
        ] as [string, string, (dict: Dict) => unknown],
    ),
    [
      'with a step of two elements',
      'p3": step',
      (dict) => void (dict.state[3]!.step = { dtype: 'float32', shape: [2], data: new Float32Array(2) }),
    ],
  ];
  if (name === 'Adafactor') {
    mutations.push(['with a wrong RMS', 'p3": RMS', (dict) => void (dict.state[3]!.RMS = '1')]);
    mutations.push([
      'with lr and without either',
      'lr must be',
      (dict) => void (dict.param_groups[0]!.relative_step = false),
    ]);
    mutations.push([
      'with momentum but no moments',
      '"exp_avg" is missing',
      (dict) => void (dict.param_groups[0]!.beta1 = 0.9),
    ]);
  } else {
    mutations.push([
      'with amsgrad but no maxima',
      '"max_exp_avg_sq" is missing',
      (dict) => void (dict.param_groups[0]!.amsgrad = true),
    ]);
    mutations.push([
      'of Adam',
      'coupled weight decay',
      (dict) => void (dict.param_groups[0]!.decoupled_weight_decay = false),
    ]);
    mutations.push(['with a wrong flag', 'foreach', (dict) => void (dict.param_groups[0]!.foreach = 'no')]);
  }

  it.each(mutations)('refuses a state dict %s', (_, message, mutate) => {
    const [optimizer] = trained(make);
    const dict = structuredClone(optimizer.stateDict()) as unknown as Dict;
    // Everything else in it differs from what is there, so that a half-loaded dict shows.
    for (const entry of Object.values(dict.state)) {
      entry.step = 17;
      for (const value of Object.values(entry)) {
        if (typeof value === 'object') (value as { data: Float32Array }).data.fill(0.5);
      }
    }
    dict.param_groups[0]!.weight_decay = 0.77;
    const wrong = mutate(dict) ?? dict;
    refuses(optimizer, () => optimizer.loadStateDict(wrong as never), where, message);
  });

  it('refuses what is no state dict', () => {
    const [optimizer] = trained(make);
    for (const wrong of [...notRecords, undefined]) {
      refuses(optimizer, () => optimizer.loadStateDict(wrong as never), `${where}: the state dict must be an object`);
    }
  });
});

describe('nonFinite', () => {
  const makers = [
    { name: 'Adafactor', make: (p: Parameter[], o: object): Optimizer => new Adafactor(p, o) },
    { name: 'AdamW', make: (p: Parameter[], o: object): Optimizer => new AdamW(p, o) },
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

  it.each(cases)('"propagate" lets it through, as PyTorch does ($name, $dtype)', ({ make, dtype }) => {
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

  it.each(makers)('is an option of the group ($name)', ({ make }) => {
    const parameters = model('float32');
    const optimizer = make(parameters.slice(0, 2), { nonFinite: 'propagate' });
    optimizer.addParamGroup({ params: parameters.slice(2), nonFinite: 'skip' });
    setGradients(parameters, 1);
    spoil(parameters[1]!, 0, Number.NaN);
    optimizer.step();
    expect([optimizer.skippedSteps, (parameters[1]!.data as Float32Array)[0]]).toEqual([0, Number.NaN]);
    spoil(parameters[3]!, 0, Number.NaN);
    optimizer.step();
    expect(optimizer.skippedSteps).toBe(1);
    optimizer.paramGroups[0]!.nonFinite = 'throw';
    // One group throws, the other would skip: nothing is changed, and nothing is counted.
    expect(() => optimizer.step()).toThrow(NonFiniteGradientError);
    expect(optimizer.skippedSteps).toBe(1);
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

describe('Parameter', () => {
  it('refuses data of other types', () => {
    const arrays = [new Int32Array(2), new Uint8Array(2), new BigInt64Array(2), new DataView(new ArrayBuffer(8))];
    const wrong = [null, undefined, 1, 'x', {}, [1, 2], 1n, () => 1, ...arrays, new Proxy(new Float32Array(2), {})];
    for (const data of wrong) {
      const { message } = errorOf(() => new Parameter(data as never, undefined, { name: 'w' }));
      expect(message).toMatch('Parameter "w": data must be');
    }
  });

  it('refuses wrong shapes', () => {
    for (const shape of [null, 4, '4', {}, new Int32Array([2, 2])]) {
      expect(errorOf(() => new Parameter(new Float32Array(4), shape as never)).message).toMatch(
        'shape must be an array',
      );
    }
    for (const dim of [...notNumbers, ...notFinite, -1, 1.5, 2 ** 53]) {
      expect(errorOf(() => new Parameter(new Float32Array(4), [dim as never, 4])).message).toMatch('shape[0] must be');
    }
    expect(errorOf(() => new Parameter(new Float32Array(4), [3, 2])).message).toMatch(
      '[3, 2] has 6 elements but data has 4',
    );
    expect(errorOf(() => new Parameter(new Float32Array(4), [])).message).toMatch('has 1 elements but data has 4');
  });

  it('refuses dtypes that do not fit the data', () => {
    expect(errorOf(() => new Parameter(new Uint16Array(2))).message).toMatch('dtype must say which');
    expect(errorOf(() => new Parameter(new Uint16Array(2), [2], { dtype: 'float32' })).message).toMatch(
      'dtype must say which',
    );
    expect(errorOf(() => new Parameter(new Float32Array(2), [2], { dtype: 'bfloat16' })).message).toMatch(
      'does not fit',
    );
    for (const dtype of ['fp16', 'Float32', '', null, 1, {}]) {
      expect(errorOf(() => new Parameter(new Float32Array(2), [2], { dtype: dtype as never })).message).toMatch(
        'dtype must be one of',
      );
    }
  });

  it('refuses wrong names and options', () => {
    for (const name of notStrings) {
      expect(errorOf(() => new Parameter(new Float32Array(2), [2], { name: name as never })).message).toMatch(
        'name must be a string',
      );
    }
    for (const wrong of [null, 1, 'name', true]) {
      expect(errorOf(() => new Parameter(new Float32Array(2), [2], wrong as never)).message).toMatch(
        'options must be an object',
      );
    }
    for (const wrong of [{ nam: 'w' }, hostile('{"__proto__": {}}')]) {
      expect(errorOf(() => new Parameter(new Float32Array(2), [2], wrong as never)).message).toMatch('unknown option');
    }
  });
});

describe('clipGradNorm', () => {
  it('refuses a wrong maxNorm and wrong parameters by name', () => {
    const parameter = new Parameter(new Float32Array(2), [2], { name: 'w' });
    parameter.grad = new Float32Array([3, 4]);
    for (const wrong of [null, undefined, ...notNonNegative]) {
      expect(errorOf(() => clipGradNorm([parameter], wrong as never)).message).toMatch('clipGradNorm: maxNorm');
    }
    for (const wrong of [...notParameters, parameter]) {
      expect(errorOf(() => clipGradNorm(wrong as never, 1)).message).toMatch('clipGradNorm: params');
    }
    for (const wrong of notGradients) {
      const odd = new Parameter(new Float32Array(2), [2], { name: 'odd' });
      odd.grad = wrong as never;
      expect(errorOf(() => clipGradNorm([parameter, odd], 1)).message).toMatch(
        'clipGradNorm: parameter "odd": grad must',
      );
    }
    expect(parameter.grad).toEqual(new Float32Array([3, 4]));
  });
});

describe('GradientAccumulator', () => {
  function filled(): { accumulator: GradientAccumulator; parameters: Parameter[]; state: () => string } {
    const parameters = model('float32');
    const accumulator = new GradientAccumulator(parameters);
    setGradients(parameters, 1);
    accumulator.add();
    return {
      accumulator,
      parameters,
      state: () => exactly([accumulator.stateDict(), parameters.map(({ grad }) => grad)]),
    };
  }

  it('refuses what are no parameters', () => {
    const parameter = new Parameter(new Float32Array(2), [2], { name: 'w' });
    for (const wrong of [...notParameters, parameter, []]) {
      expect(errorOf(() => new GradientAccumulator(wrong as never)).message).toMatch('GradientAccumulator: params');
    }
    expect(errorOf(() => new GradientAccumulator([parameter, parameter])).message).toMatch('"w" is given twice');
  });

  it.each(['add', 'apply'] as const)('refuses a wrong gradient in %s, and adds or writes none', (method) => {
    const odd = new Parameter(new Float32Array(2), [2], { name: 'odd' });
    const fine = new Parameter(new Float32Array(2), [2], { name: 'fine' });
    const accumulator = new GradientAccumulator([fine, odd]);
    fine.grad = new Float32Array([1, 2]);
    accumulator.add();
    fine.grad = new Float32Array([7, 7]);
    for (const wrong of notGradients) {
      odd.grad = wrong as never;
      const before = exactly(accumulator.stateDict());
      const { message } = errorOf(() => accumulator[method]());
      expect(message).toMatch(`GradientAccumulator.${method}: parameter "odd": grad must`);
      expect(exactly(accumulator.stateDict())).toBe(before);
      expect(fine.grad).toEqual(new Float32Array([7, 7]));
    }
  });

  it('refuses wrong options of apply, and to apply nothing', () => {
    const { accumulator, state } = filled();
    const before = state();
    for (const wrong of notRecords) {
      expect(errorOf(() => accumulator.apply(wrong as never)).message).toMatch('GradientAccumulator.apply: options');
    }
    for (const wrong of ['max', '', 1, true, {}, 'Mean']) {
      expect(errorOf(() => accumulator.apply({ reduction: wrong as never })).message).toMatch(
        'apply: reduction must be one of',
      );
    }
    expect(errorOf(() => accumulator.apply({ reducton: 'sum' } as never)).message).toMatch('Did you mean "reduction"?');
    expect(state()).toBe(before);
    accumulator.reset();
    expect(errorOf(() => accumulator.apply()).message).toMatch('nothing was added');
  });

  it('refuses state dicts that do not fit and keeps its sums', () => {
    const { accumulator, state } = filled();
    const saved = accumulator.stateDict() as unknown as { step: number; gradients: object[] };
    const last = saved.gradients[3]!;
    const before = state();
    const wrong: [unknown, string][] = [
      ...[...notRecords, undefined].map((value): [unknown, string] => [value, 'the state dict must be an object']),
      [{ gradients: saved.gradients }, 'key "step" is missing'],
      [{ step: 1 }, 'key "gradients" is missing'],
      [{ ...saved, extra: 1 }, 'unknown key "extra"'],
      [Object.assign(hostile('{"__proto__": {}}'), saved), 'unknown key "__proto__"'],
      ...[null, ...notCounts].map((value): [unknown, string] => [{ ...saved, step: value }, 'step']),
      [{ ...saved, step: 0 }, 'step is 0'],
      [{ ...saved, gradients: {} }, 'gradients must list 4'],
      [{ ...saved, gradients: saved.gradients.slice(1) }, 'gradients must list 4'],
      ...[
        1,
        'x',
        {},
        [],
        { ...last, shape: [30] },
        { ...last, dtype: 'float64' },
        { ...last, data: new Float32Array(3) },
      ].map((value): [unknown, string] => [
        { step: 5, gradients: [null, null, null, value] },
        'the sum of parameter "p3"',
      ]),
    ];
    for (const [dict, message] of wrong) {
      const error = errorOf(() => accumulator.loadStateDict(dict as never));
      expect(error.message).toMatch('GradientAccumulator.loadStateDict');
      expect(error.message).toMatch(message);
      expect(state()).toBe(before);
    }
  });
});
