/** State dicts that do not fit are refused by name, and a refused one changes nothing. */
import { Adafactor, AdamW, Lion, type Optimizer, Parameter, toBfloat16, toFloat16 } from 'tensorless';
import { describe, expect, it } from 'vitest';
import { model } from './_optimizers.ts';
import { hostile, refuses, trained } from './_refusals.ts';
import { notRecords } from './_wrong-values.ts';

describe.each([
  { name: 'Adafactor', make: (p: Parameter[]): Optimizer => new Adafactor(p), array: 'exp_avg_sq_row', at: 2 },
  { name: 'AdamW', make: (p: Parameter[]): Optimizer => new AdamW(p), array: 'exp_avg', at: 2 },
  { name: 'Lion', make: (p: Parameter[]): Optimizer => new Lion(p), array: 'exp_avg', at: 2 },
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
    ['of another optimizer', 'this is the state of A', other],
    ['with another optimizer’s state only', 'p0', (dict) => void (dict.state = other().state)],
    ['without state', 'key "state" is missing', (dict) => ({ param_groups: dict.param_groups })],
    ['without groups', 'key "param_groups" is missing', (dict) => ({ state: dict.state })],
    ['with a further key', 'unknown key "extra"', (dict) => ({ ...dict, extra: 1 })],
    ['with a __proto__ key', 'unknown key "__proto__"', (dict) => Object.assign(hostile('{"__proto__": {}}'), dict)],
    ['with an array for state', 'state must be an object', (dict) => ({ ...dict, state: [] })],
    ['with an object for groups', 'param_groups must list', (dict) => ({ ...dict, param_groups: {} })],
    ['with no group', 'param_groups must list 1 groups', (dict) => ({ ...dict, param_groups: [] })],
    ['with two groups', 'got 2', (dict) => void dict.param_groups.push(dict.param_groups[0]!)],
    [
      'with null for a group',
      'param_groups[0] must be an object',
      (dict) => void (dict.param_groups = [null] as never),
    ],
    ['of a smaller model', 'params must list 4', (dict) => void (dict.param_groups[0]!.params = [0, 1, 2])],
    ['with no list of parameters', 'params must list 4', (dict) => void (dict.param_groups[0]!.params = 4)],
    ['without the list', 'key "params" is missing', (dict) => void delete dict.param_groups[0]!.params],
    [
      'with a parameter twice',
      'parameter "3" is listed twice',
      (dict) => void (dict.param_groups[0]!.params = [0, 1, 3, 3]),
    ],
    ['with wrong numbers', 'params[0]', (dict) => void (dict.param_groups[0]!.params = [null, 1, 2, 3])],
    [
      'with the names of another model',
      '"q"',
      (dict) => void (dict.param_groups[0]!.param_names = ['q', 'p1', 'p2', 'p3']),
    ],
    [
      'with such names for numbers',
      '"q"',
      (dict) => {
        delete dict.param_groups[0]!.param_names;
        dict.param_groups[0]!.params = ['q', 'p1', 'p2', 'p3'];
      },
    ],
    ['with too few names', 'param_names must list 4', (dict) => void (dict.param_groups[0]!.param_names = ['p0'])],
    [
      'with a name that is none',
      'param_names[1] must be a string',
      (dict) => void (dict.param_groups[0]!.param_names = ['p0', 1, 'p2', 'p3']),
    ],
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
  } else if (name === 'AdamW') {
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

  // Lion's own package counts none.
  if (name !== 'Lion') {
    mutations.push(['without a step', 'p2": key "step" is missing', (dict) => void delete dict.state[at]!.step]);
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

describe('a state dict that fits', () => {
  const weight = (dtype: 'float32' | 'float64' = 'float32'): Parameter =>
    new Parameter(dtype === 'float64' ? new Float64Array(6).fill(1) : new Float32Array(6).fill(1), [2, 3]);
  const stepped = (optimizer: Optimizer, parameter: Parameter): Optimizer => {
    parameter.grad = parameter.data.map(() => 0.5) as Float32Array;
    optimizer.step();
    return optimizer;
  };

  it('of a run without updates takes the state away', () => {
    const parameter = weight();
    const optimizer = stepped(new AdamW([parameter]), parameter);
    optimizer.loadStateDict(new AdamW([weight()]).stateDict());
    expect(optimizer.stateDict().state).toEqual({});
    const fresh = weight();
    parameter.data.set(fresh.data);
    stepped(optimizer, parameter);
    stepped(new AdamW([fresh]), fresh);
    expect(parameter.data).toEqual(fresh.data);
  });

  it.each([
    ['amsgrad', (p: Parameter): Optimizer => new AdamW([p]), true],
    ['beta1', (p: Parameter): Optimizer => new Adafactor([p]), 0.9],
  ] as const)('has the array that %s has asked for since the last step, also when it asks for it no more', (...row) => {
    const [option, make, on] = row;
    const [parameter, twin] = [weight(), weight()];
    const optimizer = stepped(make(parameter), parameter);
    const group = optimizer.paramGroups[0] as Record<string, unknown>;
    const off = group[option];
    group[option] = on;
    // What was saved is loaded, and goes on as the run that was not saved.
    const later = make(twin);
    later.loadStateDict(optimizer.stateDict());
    twin.data.set(parameter.data);
    stepped(optimizer, parameter);
    stepped(later, twin);
    expect(twin.data).toEqual(parameter.data);
    expect(later.stateDict()).toEqual(optimizer.stateDict());
    // As in PyTorch it stays, and counts again when it is asked for again.
    const saved = optimizer.stateDict().state;
    group[option] = off;
    stepped(optimizer, parameter);
    expect(Object.keys(optimizer.stateDict().state[0]!)).toEqual(Object.keys(saved[0]!));
    const last = make(twin);
    last.loadStateDict(optimizer.stateDict());
    twin.data.set(parameter.data);
    group[option] = on;
    (last.paramGroups[0] as Record<string, unknown>)[option] = on;
    stepped(optimizer, parameter);
    stepped(last, twin);
    expect(twin.data).toEqual(parameter.data);
    expect(last.stateDict()).toEqual(optimizer.stateDict());
  });

  it('may hold PyTorch’s own kinds: a step of int64, a 16-bit copy of float32 state', () => {
    const parameter = weight();
    const optimizer = stepped(new AdamW([parameter]), parameter);
    const dict = optimizer.stateDict();
    const entry = dict.state[0]! as Record<string, unknown>;
    entry.step = { dtype: 'int64', shape: [], data: BigInt64Array.of(7n) };
    entry.exp_avg = { dtype: 'bfloat16', shape: [2, 3], data: toBfloat16([1, 2, 3, 4, 5, 6]) };
    entry.exp_avg_sq = { dtype: 'float16', shape: [2, 3], data: toFloat16([1, 2, 3, 4, 5, 6]) };
    optimizer.loadStateDict(dict);
    const loaded = optimizer.stateDict().state[0]!;
    expect(loaded.step).toBe(7);
    for (const key of ['exp_avg', 'exp_avg_sq']) {
      expect(loaded[key]).toEqual({ dtype: 'float32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) });
    }
  });

  it('keeps its weight decay, and is refused where that was coupled', () => {
    const parameter = weight();
    const optimizer = stepped(new AdamW([parameter], { weightDecay: 0.1 }), parameter);
    const dict = optimizer.stateDict();
    expect(dict.param_groups[0]).toMatchObject({ weight_decay: 0.1, decoupled_weight_decay: true });
    optimizer.loadStateDict(dict);
    expect(optimizer.paramGroups[0]!.weightDecay).toBe(0.1);
    dict.param_groups[0]!.decoupled_weight_decay = false;
    expect(() => optimizer.loadStateDict(dict)).toThrow(/decoupled_weight_decay must be true/);
    dict.param_groups[0]!.weight_decay = 0;
    optimizer.loadStateDict(dict);
  });

  it('gives Adafactor’s learning rate back', () => {
    const parameter = weight();
    const optimizer = stepped(new Adafactor([parameter]), parameter);
    const rate = optimizer instanceof Adafactor ? optimizer.effectiveLr(parameter) : undefined;
    const other = weight();
    const resumed = new Adafactor([other]);
    resumed.loadStateDict(optimizer.stateDict());
    expect(rate).toBeGreaterThan(0);
    expect(resumed.effectiveLr(other)).toBe(rate);
  });

  it('of float64 is refused beside float32 weights, and the reverse; a step of text too', () => {
    const [narrow, wide] = [weight(), weight('float64')];
    const [of32, of64] = [stepped(new AdamW([narrow]), narrow), stepped(new AdamW([wide]), wide)];
    expect(() => of32.loadStateDict(of64.stateDict())).toThrow(
      'must be float32 beside a float32 parameter, got float64',
    );
    expect(() => of64.loadStateDict(of32.stateDict())).toThrow(
      'must be float64 beside a float64 parameter, got float32',
    );
    for (const step of [
      { dtype: 'int64', shape: [], data: Float64Array.of(7) },
      { dtype: 'float32', shape: [2], data: Float32Array.of(7, 8) },
      '7',
    ]) {
      const dict = of32.stateDict();
      (dict.state[0]! as Record<string, unknown>).step = step;
      expect(() => of32.loadStateDict(dict)).toThrow(/step must/);
    }
  });
});

describe('groups', () => {
  it('take initialLr and options that are undefined as PyTorch does: the one is kept, the others are left out', () => {
    const parameter = new Parameter(new Float32Array(2));
    const optimizer = new AdamW([{ params: [parameter], initialLr: 0.5, eps: undefined as never }], {
      lr: 0.1,
      betas: undefined as never,
    });
    expect(optimizer.paramGroups[0]).toMatchObject({ lr: 0.1, initialLr: 0.5, eps: 1e-8, betas: [0.9, 0.999] });
    expect(() => new AdamW([{ params: [parameter], initialLr: 'x' as never }])).toThrow('group 0: initialLr must be');
  });
});
