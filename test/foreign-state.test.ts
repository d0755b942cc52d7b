/**
 * State dicts from elsewhere: other names' order, other releases, other libraries' keys, other
 * kinds. PyTorch takes all that is taken here.
 */
import {
  Adafactor,
  AdamW,
  Lion,
  type Optimizer,
  type OptimizerStateDict,
  Parameter,
  type StateValue,
} from 'tensorless';
import { describe, expect, it } from 'vitest';
import {
  cases,
  exactly,
  optimizers,
  product,
  randomArray,
  randomNumbers,
  setGradients,
  weightBits,
} from './_optimizers.ts';
import { errorOf, refuses } from './_refusals.ts';

type Dict = { state: Record<string, Record<string, StateValue>>; param_groups: Record<string, StateValue>[] };
const copy = (dict: OptimizerStateDict): Dict => structuredClone(dict) as unknown as Dict;
const load = (optimizer: Optimizer, dict: Dict): void => optimizer.loadStateDict(dict as unknown as StateValue);

/**
 * Parameters of these names, all of one shape so that a mistaken order shows in nothing but the
 * numbers.
 */
function parametersOf(names: readonly (string | undefined)[], dtype: Parameter['dtype'] = 'float32'): Parameter[] {
  return names.map((name, i) => {
    const seed = name === undefined ? i : name.charCodeAt(0);
    const options = name === undefined ? { dtype } : { dtype, name };
    return new Parameter(randomArray(dtype, 6, randomNumbers(seed)), [2, 3], options);
  });
}
/** Gradients that depend on name and step. */
function gradientsByName(parameters: readonly Parameter[], step: number): void {
  for (const parameter of parameters) {
    const random = randomNumbers(100 * step + (parameter.name ?? '').charCodeAt(0));
    parameter.grad = randomArray(parameter.dtype, product(parameter.shape), random);
  }
}
const weightsByName = (parameters: readonly Parameter[]): unknown =>
  Object.fromEntries(parameters.map((one) => [one.name, weightBits([one])[0]]));

describe.each(cases)('state by name ($name, $dtype)', ({ make, dtype }) => {
  const orders = [
    ['a', 'b', 'c', 'd'],
    ['d', 'b', 'a', 'c'],
  ] as const;
  const step = (optimizer: Optimizer, parameters: readonly Parameter[], number: number): void => {
    gradientsByName(parameters, number);
    optimizer.step();
  };

  it('goes to the parameter of that name, whatever the order; the run goes on bit for bit', () => {
    const [first, second] = orders.map((names) => parametersOf(names, dtype)) as [Parameter[], Parameter[]];
    const options = { rounding: 'stochastic', seed: 3 } as const;
    const [whole, later] = [make(first, options), make(second, options)];
    for (let number = 1; number <= 3; number++) step(whole, first, number);
    for (const one of second) one.data.set(first.find(({ name }) => name === one.name)!.data);
    const dict = whole.stateDict();
    expect(dict.param_groups[0]!.param_names).toEqual(orders[0]);
    later.loadStateDict(dict);
    expect(later.stateDict().param_groups[0]!.param_names).toEqual(orders[1]);
    for (let number = 4; number <= 6; number++) {
      step(whole, first, number);
      step(later, second, number);
    }
    expect(weightsByName(second)).toEqual(weightsByName(first));
    // And back again.
    whole.loadStateDict(later.stateDict());
    expect(exactly(whole.stateDict())).toBe(exactly(dictOf(whole)));
    step(whole, first, 7);
    step(later, second, 7);
    expect(weightsByName(second)).toEqual(weightsByName(first));
  });
  const dictOf = (optimizer: Optimizer): OptimizerStateDict => optimizer.stateDict();

  it('goes across groups by name; options stay with the groups’ order', () => {
    const first = parametersOf(['a', 'b', 'c', 'd'], dtype);
    const [a, b, c, d] = first as [Parameter, Parameter, Parameter, Parameter];
    const whole = make(
      [
        { params: [a, b], lr: 0.1 },
        { params: [c, d], lr: 0.2 },
      ].map((group) => relative(make, group)),
    );
    step(whole, first, 1);
    const second = parametersOf(['d', 'a', 'b', 'c'], dtype);
    const later = make([{ params: second.slice(0, 2) }, { params: second.slice(2) }]);
    later.loadStateDict(whole.stateDict());
    expect(later.paramGroups.map(({ lr }) => lr)).toEqual(whole.paramGroups.map(({ lr }) => lr));
    const [of, at] = [whole.stateDict().state, later.stateDict().state];
    for (const [i, name] of ['d', 'a', 'b', 'c'].entries()) {
      expect(exactly(at[i])).toBe(exactly(of['abcd'.indexOf(name)]));
    }
  });

  it('is refused where names do not all match, naming those', () => {
    const optimizer = make(parametersOf(['a', 'b', 'c', 'd'], dtype));
    setGradients(optimizer.parameters, 1);
    optimizer.step();
    const other = make(parametersOf(['a', 'b', 'x', 'd'], dtype));
    setGradients(other.parameters, 1);
    other.step();
    refuses(
      optimizer,
      () => optimizer.loadStateDict(other.stateDict()),
      /loadStateDict: "x" was saved but is not here/,
      '"c"',
    );
  });

  it('goes by position where one side has no names; a name that differs there is refused', () => {
    const named = parametersOf(['a', 'b'], dtype);
    const [source, bare] = [make(named), make(parametersOf([undefined, undefined], dtype))];
    setGradients(named, 1);
    source.step();
    bare.loadStateDict(source.stateDict());
    expect(bare.stateDict().param_groups[0]).not.toHaveProperty('param_names');
    expect(exactly(bare.stateDict().state)).toBe(exactly(source.stateDict().state));
    const half = make(parametersOf(['b', undefined], dtype));
    refuses(half, () => half.loadStateDict(source.stateDict()), '"a" was saved where "b" is here; names must match');
    const twice = make(parametersOf(['a', 'a'], dtype));
    expect(twice.stateDict().param_groups[0]).not.toHaveProperty('param_names');
    refuses(twice, () => twice.loadStateDict(source.stateDict()), '"b" was saved where "a" is here');
  });
});

/** A group whose rate is its own, also of an Adafactor that computes one. */
function relative(make: (typeof optimizers)[number]['make'], group: { params: Parameter[]; lr: number }): never {
  const computes = make(parametersOf(['z'])).paramGroups[0]!.relativeStep === true;
  return (computes ? { ...group, relativeStep: false, scaleParameter: false } : group) as never;
}

/** An optimizer with a step behind it. */
function stepped<T extends Optimizer>(make: (params: Parameter[]) => T): T {
  const parameters = parametersOf(['a', 'b']);
  const optimizer = make(parameters);
  gradientsByName(parameters, 1);
  optimizer.step();
  return optimizer;
}

describe('groups of older releases', () => {
  it.each(['maximize', 'amsgrad', 'foreach', 'capturable', 'differentiable', 'fused', 'decoupled_weight_decay'])(
    'of AdamW without %s stand for its default',
    (key) => {
      const optimizer = stepped((params) => new AdamW(params));
      const dict = copy(optimizer.stateDict());
      const whole = copy(optimizer.stateDict());
      delete dict.param_groups[0]![key];
      load(optimizer, dict);
      expect(exactly(optimizer.stateDict())).toBe(exactly(whole));
    },
  );

  it('of transformers’ AdamW: correct_bias says where the bias is corrected, and comes back', () => {
    const optimizer = stepped((params) => new AdamW(params));
    const { lr, betas, eps, weight_decay, params } = copy(optimizer.stateDict()).param_groups[0]!;
    for (const correct_bias of [true, false]) {
      const group = { lr, betas, eps, weight_decay, correct_bias, params } as Record<string, StateValue>;
      load(optimizer, { state: {}, param_groups: [group] });
      expect(optimizer.paramGroups[0]!.correctBias).toBe(correct_bias);
      const [saved] = optimizer.stateDict().param_groups;
      expect(saved!.correct_bias ?? true).toBe(correct_bias);
      optimizer.loadStateDict(optimizer.stateDict());
      expect(optimizer.paramGroups[0]!.correctBias).toBe(correct_bias);
    }
  });

  it('keep their own requirements: without lr they are refused', () => {
    const optimizer = stepped((params) => new AdamW(params));
    const dict = copy(optimizer.stateDict());
    delete dict.param_groups[0]!.lr;
    refuses(optimizer, () => load(optimizer, dict), 'key "lr" is missing');
  });
});

describe.each(optimizers)('keys that are no options of $name', ({ make }) => {
  const foreign: Record<string, StateValue> = {
    max_lr: 0.5,
    min_lr: 1e-6,
    // Keys of other optimizers, and of users: SAM's rho, decay from layer to layer.
    rho: 0.05,
    lr_decay: 0.65,
    centered: false,
    lambd: 1,
    max_momentum: 0.95,
    base_momentum: 0.85,
    swa_lr: 0.05,
    lr_scale: 0.75,
    name: 'head',
    layer_ids: [1, 2, { deep: [null, true] }],
    mask: { dtype: 'float32', shape: [2], data: Float32Array.of(1, 0) },
  };

  it('stay in the live group under the very key they came with, and are saved again', () => {
    const optimizer = stepped((params) => make(params));
    const dict = copy(optimizer.stateDict());
    Object.assign(dict.param_groups[0]!, structuredClone(foreign));
    load(optimizer, dict);
    for (const [key, value] of Object.entries(foreign)) {
      expect(optimizer.paramGroups[0]![key as 'name'], key).toEqual(value);
      expect(optimizer.stateDict().param_groups[0]![key], key).toEqual(value);
    }
    // Copies: neither the dict given nor the one that was saved is the live one.
    (dict.param_groups[0]!.layer_ids as StateValue[])[0] = 9;
    (optimizer.stateDict().param_groups[0]!.layer_ids as StateValue[])[0] = 8;
    expect(optimizer.stateDict().param_groups[0]!.layer_ids).toEqual(foreign.layer_ids);
    expect(() => optimizer.step()).not.toThrow();
    // A user's change is saved, and a load takes away what it does not have.
    (optimizer.paramGroups[0] as unknown as Record<string, unknown>).swa_lr = 0.1;
    const saved = optimizer.stateDict();
    expect(saved.param_groups[0]!.swa_lr).toBe(0.1);
    load(optimizer, copy(stepped((params) => make(params)).stateDict()));
    expect(optimizer.stateDict().param_groups[0]).not.toHaveProperty('swa_lr');
    expect(optimizer.paramGroups[0]).not.toHaveProperty('max_lr');
    optimizer.loadStateDict(saved);
    expect(optimizer.stateDict()).toEqual(saved);
  });

  it('but saved spellings of options are not such keys: no step has looked at them', () => {
    const optimizer = stepped((params) => make(params));
    const whole = optimizer.stateDict();
    Object.assign(optimizer.paramGroups[0]!, { weight_decay: 0.5, initial_lr: 7, param_names: ['x', 'y'] });
    expect(optimizer.stateDict()).toEqual(whole);
  });

  it('and the names of prototypes are refused, or are data', () => {
    const optimizer = stepped((params) => make(params));
    for (const key of ['constructor', 'toString', 'hasOwnProperty']) {
      const dict = copy(optimizer.stateDict());
      dict.param_groups[0]![key] = 1;
      load(optimizer, dict);
      expect(optimizer.stateDict().param_groups[0]![key]).toBe(1);
      load(optimizer, copy(stepped((params) => make(params)).stateDict()));
    }
    const dict = copy(optimizer.stateDict());
    Object.defineProperty(dict.param_groups[0], '__proto__', { value: { lr: 1 }, enumerable: true });
    refuses(optimizer, () => load(optimizer, dict), '__proto__');
  });
});

describe.each(optimizers)('numbers in 0-d tensors ($name)', ({ make }) => {
  const tensor = (x: number | boolean): StateValue =>
    typeof x === 'boolean'
      ? { dtype: 'bool', shape: [], data: Uint8Array.of(Number(x)) }
      : { dtype: 'float64', shape: [], data: Float64Array.of(x) };

  it('are numbers wherever one stands: alone, in a list, as a flag, as the initial rate', () => {
    const optimizer = stepped((params) => make(params, { weightDecay: 0.25 }));
    const whole = copy(optimizer.stateDict());
    whole.param_groups[0]!.initial_lr = 0.5;
    const dict = structuredClone(whole);
    const [group] = dict.param_groups;
    let turned = 0;
    for (const [key, value] of Object.entries(group!)) {
      if (['params', 'param_names', 'foreach', 'fused'].includes(key)) continue;
      const inList = (x: StateValue): StateValue => (typeof x === 'number' || typeof x === 'boolean' ? tensor(x) : x);
      const before = group![key];
      group![key] = Array.isArray(value) ? value.map(inList) : inList(value);
      if (group![key] !== before) turned++;
    }
    for (const entry of Object.values(dict.state)) entry.step = tensor(entry.step as number);
    expect(turned).toBeGreaterThan(3);
    load(optimizer, dict);
    expect(optimizer.stateDict()).toEqual(whole);
  });

  it('of two elements are refused', () => {
    const optimizer = stepped((params) => make(params));
    const dict = copy(optimizer.stateDict());
    dict.param_groups[0]!.weight_decay = { dtype: 'float64', shape: [2], data: Float64Array.of(1, 2) };
    refuses(
      optimizer,
      () => load(optimizer, dict),
      /param_groups\[0\]: weight_decay must be a number or a tensor with one/,
    );
  });
});

describe.each(optimizers)('an empty group beside others ($name)', ({ make }) => {
  it('is made, added, saved and loaded', () => {
    const [a, b] = parametersOf(['a', 'b']) as [Parameter, Parameter];
    const optimizer = make([{ params: [] }, { params: [a] }]);
    optimizer.addParamGroup({ params: [], weightDecay: 0.5 });
    optimizer.addParamGroup({ params: b });
    const [c, d] = parametersOf(['a', 'b']) as [Parameter, Parameter];
    const twin = make([c, d]);
    for (let step = 1; step <= 2; step++) {
      for (const each of [
        [a, b],
        [c, d],
      ])
        gradientsByName(each, step);
      optimizer.step();
      twin.step();
    }
    expect(weightBits([a, b])).toEqual(weightBits([c, d]));
    const dict = optimizer.stateDict();
    expect(dict.param_groups.map(({ params, param_names }) => [params, param_names])).toEqual([
      [[], []],
      [[0], ['a']],
      [[], []],
      [[1], ['b']],
    ]);
    const again = make([{ params: [] }, { params: [a] }, { params: [] }, { params: [b] }]);
    again.loadStateDict(dict);
    expect(exactly(again.stateDict())).toBe(exactly(dict));
    // But an optimizer without any parameter is a mistake.
    expect(() => make([{ params: [] }])).toThrow(/params holds no Parameter/);
    expect(() => make([])).toThrow(/params holds no Parameter/);
  });
});

describe('the state of torch.optim.Adam', () => {
  /** Without decay Adam is AdamW. */
  const adam = (weight_decay: number): Dict => {
    const dict = copy(stepped((params) => new AdamW(params, { weightDecay: 0 })).stateDict());
    Object.assign(dict.param_groups[0]!, { weight_decay, decoupled_weight_decay: false });
    return dict;
  };

  it('is taken without decay; a decay that is set later is AdamW’s, and so is what is saved', () => {
    const optimizer = stepped((params) => new AdamW(params));
    load(optimizer, adam(0));
    expect(optimizer.stateDict().param_groups[0]!.decoupled_weight_decay).toBe(true);
    optimizer.paramGroups[0]!.weightDecay = 0.1;
    const saved = optimizer.stateDict();
    expect(saved.param_groups[0]).toMatchObject({ weight_decay: 0.1, decoupled_weight_decay: true });
    optimizer.loadStateDict(saved);
    expect(exactly(optimizer.stateDict())).toBe(exactly(saved));
  });

  it('is refused with decay, where the two differ', () => {
    const optimizer = stepped((params) => new AdamW(params));
    refuses(optimizer, () => load(optimizer, adam(0.1)), 'decoupled_weight_decay must be true', 'Adam with coupled');
  });
});

describe.each(optimizers)('an entry without anything in it ($name)', ({ make }) => {
  it('is what PyTorch leaves where somebody has looked for state: no update yet', () => {
    const optimizer = stepped((params) => make(params));
    const dict = copy(optimizer.stateDict());
    dict.state[1] = {};
    load(optimizer, dict);
    const { state } = optimizer.stateDict();
    expect(Object.keys(state)).toEqual(['0']);
    expect(exactly(state[0])).toBe(exactly(dict.state[0]));
  });
});

describe.each(optimizers)('names made of digits, as an nn.ParameterList has them ($name)', ({ make }) => {
  it('are names where state is keyed by them', () => {
    const parameters = parametersOf(['1', '0']);
    const optimizer = make(parameters);
    gradientsByName(parameters, 1);
    optimizer.step();
    const dict = copy(optimizer.stateDict());
    const { param_names: names, ...group } = dict.param_groups[0]!;
    const state = { '1': dict.state[0]!, '0': dict.state[1]! };
    const later = make(parametersOf(['0', '1']));
    load(later, { state, param_groups: [{ ...group, params: names! }] });
    expect(exactly(later.stateDict().state[1])).toBe(exactly(dict.state[0]));
    expect(exactly(later.stateDict().state[0])).toBe(exactly(dict.state[1]));
  });
});

describe.each(optimizers)('a state dict that went through JSON ($name)', ({ make }) => {
  it('is taken, or refused by that name with the repair', () => {
    const optimizer = stepped((params) => make(params));
    const dict = JSON.parse(JSON.stringify(optimizer.stateDict())) as Dict;
    // Where there are no arrays nothing is lost.
    const arrays = Object.values(dict.state).some((entry) =>
      Object.values(entry).some((one) => typeof one === 'object'),
    );
    if (!arrays) return load(optimizer, dict);
    refuses(optimizer, () => load(optimizer, dict), /JSON/, /structuredClone|encodeTrainingState/);
    expect(errorOf(() => load(optimizer, dict)).message.length).toBeLessThan(300);
  });
});

describe('the state of another kind is refused by its name', () => {
  const newer = {
    maximize: false,
    foreach: null,
    capturable: false,
    differentiable: false,
    decoupled_weight_decay: false,
  };
  const groups: Record<string, Record<string, StateValue>> = {
    SGD: { lr: 0.1, momentum: 0, dampening: 0, weight_decay: 0, nesterov: false, maximize: false },
    'torch.optim.Adafactor': { lr: 0.01, beta2_decay: -0.8, eps: [null, 0.001], d: 1, weight_decay: 0, foreach: null },
    'torch.optim.NAdam': {
      ...newer,
      lr: 0.1,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weight_decay: 0,
      momentum_decay: 0.004,
    },
    'torch.optim.RAdam': { ...newer, lr: 0.1, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0 },
    'torch.optim.Muon': { lr: 0.1, weight_decay: 0.1, momentum: 0.95, nesterov: true, eps: 1e-7, ns_steps: 5 },
    'torch.optim.Adagrad': { lr: 0.1, lr_decay: 0, eps: 1e-10, weight_decay: 0, initial_accumulator_value: 0 },
    'torch.optim.Adadelta': { lr: 1, rho: 0.9, eps: 1e-6, weight_decay: 0, foreach: null },
    'torch.optim.RMSprop': { lr: 0.1, alpha: 0.99, eps: 1e-8, momentum: 0, centered: false, weight_decay: 0 },
    "Adafactor (transformers')": copy(stepped((params) => new Adafactor(params)).stateDict()).param_groups[0]!,
    AdamW: copy(stepped((params) => new AdamW(params)).stateDict()).param_groups[0]!,
    Lion: copy(stepped((params) => new Lion(params)).stateDict()).param_groups[0]!,
  };
  const own: Record<string, Optimizer> = {
    "Adafactor (transformers')": stepped((params) => new Adafactor(params)),
    AdamW: stepped((params) => new AdamW(params)),
    Lion: stepped((params) => new Lion(params)),
  };

  it.each(Object.keys(own).flatMap((into) => Object.keys(groups).flatMap((of) => (of === into ? [] : [[of, into]]))))(
    '%s into %s',
    (of, into) => {
      const optimizer = own[into!]!;
      const dict: Dict = { state: {}, param_groups: [{ ...groups[of!], params: [0, 1] }] };
      // RAdam's groups have all that Lion needs, and eps.
      const told = of === 'torch.optim.RAdam' && into === 'Lion' ? /state of (AdamW|torch.optim.RAdam), not of/ : of!;
      refuses(optimizer, () => load(optimizer, dict), 'this is the state of ', told);
    },
  );

  it('Adamax into AdamW: only the parameters’ state tells', () => {
    const optimizer = own.AdamW!;
    const { lr, betas, eps, weight_decay } = groups.AdamW!;
    const array = (): StateValue => ({ dtype: 'float32', shape: [2, 3], data: new Float32Array(6) });
    const entry = { step: 1, exp_avg: array(), exp_inf: array() };
    const group = { lr, betas, eps, weight_decay, maximize: false, foreach: null, params: [0, 1] };
    const dict = { state: { 0: entry }, param_groups: [group] } as unknown as Dict;
    refuses(optimizer, () => load(optimizer, dict), 'this is the state of torch.optim.Adamax, not of AdamW');
  });

  it.each(Object.keys(own))('a scheduler’s, or a whole checkpoint, into %s', (into) => {
    const optimizer = own[into]!;
    const scheduler = { base_lrs: [0.1], last_epoch: 3, _step_count: 4, _last_lr: [0.1], T_max: 10, eta_min: 0 };
    refuses(
      optimizer,
      () => load(optimizer, scheduler as never),
      'state dict of CosineAnnealingLR; load it into one of that kind',
    );
    const whole = { epoch: 1, model: {}, optimizer: optimizer.stateDict() };
    refuses(optimizer, () => load(optimizer, whole as never), 'whole checkpoint; load its entry "optimizer"');
  });
});
