/**
 * Memory that runs out: whichever allocation fails, nothing has changed, and nothing that was
 * allocated stays.
 */
import { type Kernels, type OptimizerStateDict, typescriptKernels } from 'tensorless';
import { simdKernels } from 'tensorless/simd';
import { describe, expect, it } from 'vitest';
import { cases, engines, exactly, model, setGradients, snapshot, weightBits } from './_optimizers.ts';

/** Kernels that fail at the allocation `failAt` from now, and know what is allocated. */
interface Failing {
  readonly kernels: Kernels;
  readonly live: Set<object>;
  failAt: number;
}

function failing(own: Kernels): Failing {
  const state: Failing = {
    live: new Set(),
    failAt: Number.POSITIVE_INFINITY,
    kernels: {
      ...own,
      allocate: ((dtype: 'float32', length: number) => {
        if (--state.failAt <= 0) throw new RangeError('out of memory');
        const array = own.allocate(dtype, length);
        state.live.add(array);
        return array;
      }) as Kernels['allocate'],
      fits: () => true,
      owns: (array) => state.live.has(array),
      free: (array) => {
        state.live.delete(array);
        own.free(array);
      },
    },
  };
  return state;
}

const own = [
  { engine: 'typescript', kernels: typescriptKernels },
  { engine: 'simd', kernels: simdKernels({ arenaBytes: 2 ** 20 }) },
] as const;
/** Plain SGD has no state to allocate. */
const stateful = cases.filter(({ name }) => name !== 'SGD');
const all = own.flatMap((one) => stateful.map((each) => ({ ...each, ...one })));

/** Calls with every allocation failing in turn, until one goes through; how many failed. */
async function untilItFits(memory: Failing, call: () => unknown, unchanged: () => void): Promise<number> {
  for (let n = 1; ; n++) {
    memory.failAt = n;
    const before = [...memory.live];
    let failed = false;
    try {
      await call();
    } catch (error) {
      expect(String(error)).toBe('RangeError: out of memory');
      failed = true;
    }
    memory.failAt = Number.POSITIVE_INFINITY;
    if (!failed) return n - 1;
    expect([...memory.live], `what is allocated after failure ${n}`).toEqual(before);
    unchanged();
  }
}

describe.each(all)('$name in $dtype on $engine kernels, out of memory', ({ make, dtype, kernels }) => {
  it.each(['step', 'stepAsync', 'stepParameter'] as const)(
    'in the first %s: nothing has changed, the next one is right',
    async (method) => {
      const memory = failing(kernels);
      const [parameters, expected] = [model(dtype), model(dtype)];
      const [optimizer, reference] = [make(parameters, { kernels: memory.kernels }), make(expected)];
      for (let step = 1; step <= 2; step++) {
        for (const each of [parameters, expected]) setGradients(each, step);
        const matrix = parameters[2]!;
        const before = snapshot(optimizer);
        const call = () => (method === 'stepParameter' ? optimizer.stepParameter(matrix) : optimizer[method]());
        const failures = await untilItFits(memory, call, () => {
          expect(snapshot(optimizer)).toEqual(before);
          expect([optimizer.stepCalls, optimizer.skippedSteps]).toEqual([step - 1, 0]);
        });
        if (step === 1) expect(failures).toBeGreaterThan(0);
        else expect(failures).toBe(0);
        if (method === 'stepParameter') reference.stepParameter(expected[2]!);
        else reference.step();
      }
      expect(weightBits(parameters)).toEqual(weightBits(expected));
      expect(exactly(optimizer.stateDict())).toBe(exactly(reference.stateDict()));
      optimizer.dispose();
      expect(memory.live.size).toBe(0);
    },
  );

  it('while a state is put in place: all of it is there, or none', async () => {
    const source = model(dtype);
    const trained = make(source);
    for (let step = 1; step <= 3; step++) {
      setGradients(source, step);
      trained.step();
    }
    const dict: OptimizerStateDict = structuredClone(trained.stateDict());
    const memory = failing(kernels);
    const parameters = model(dtype);
    const optimizer = make(parameters, { kernels: memory.kernels });
    // Some of the state is there already.
    setGradients(parameters, 9);
    for (const one of parameters.slice(2)) one.grad = null;
    optimizer.step();
    const before = snapshot(optimizer);
    const failures = await untilItFits(
      memory,
      () => optimizer.loadStateDict(dict),
      () => expect(snapshot(optimizer)).toEqual(before),
    );
    expect(failures).toBeGreaterThan(0);
    expect(exactly(optimizer.stateDict())).toBe(exactly(dict));
    // What prepareLoad returns allocates nothing.
    const put = optimizer.prepareLoad(dict);
    memory.failAt = 1;
    put();
    expect(exactly(optimizer.stateDict())).toBe(exactly(dict));
    memory.failAt = Number.POSITIVE_INFINITY;
    // A state that was checked and never put in place gives its room back.
    const fresh = make(model(dtype), { kernels: memory.kernels });
    const held = memory.live.size;
    const never = fresh.prepareLoad(dict);
    expect(memory.live.size).toBeGreaterThan(held);
    const other = fresh.prepareLoad(dict);
    expect(never).toThrow(/was checked before another one; check it again/);
    // A step makes the state first: what is put in place takes its room over.
    const stepped = make(model(dtype), { kernels: memory.kernels });
    const late = stepped.prepareLoad(dict);
    setGradients(stepped.parameters, 1);
    stepped.step();
    late();
    expect(exactly(stepped.stateDict())).toBe(exactly(dict));
    stepped.dispose();
    other();
    for (const one of [optimizer, fresh]) one.dispose();
    expect(memory.live.size).toBe(0);
  });
});

it.each(engines.filter(({ engine }) => engine === 'simd'))(
  'an arena of no room: state goes into ordinary arrays ($engine)',
  () => {
    for (const { make, dtype } of cases) {
      const [parameters, expected] = [model(dtype), model(dtype)];
      const [optimizer, reference] = [make(parameters, { kernels: simdKernels({ arenaBytes: 64 }) }), make(expected)];
      for (let step = 1; step <= 2; step++) {
        for (const each of [parameters, expected]) setGradients(each, step);
        optimizer.step();
        reference.step();
      }
      expect(weightBits(parameters)).toEqual(weightBits(expected));
      optimizer.dispose();
    }
  },
);

it('a refused first step leaves the arena as free as it was', () => {
  for (const { make, dtype } of stateful) {
    const kernels = simdKernels({ arenaBytes: 2 ** 16 });
    /** The largest array that there is room for. */
    const room = (): number => {
      let [low, high] = [0, 2 ** 14 + 1];
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (kernels.fits('float32', middle)) low = middle;
        else high = middle;
      }
      return low;
    };
    const parameters = model(dtype);
    const optimizer = make(parameters, { kernels });
    const before = room();
    setGradients(parameters, 1);
    parameters[3]!.grad![7] = dtype === 'bfloat16' || dtype === 'float16' ? 0x7fff : Number.NaN;
    expect(() => optimizer.step()).toThrow(/NaN/);
    expect(room(), `after NaN, ${dtype}`).toBe(before);
    parameters[3]!.grad = new Float32Array(1) as never;
    expect(() => optimizer.step()).toThrow(/grad must/);
    expect(room(), `after a wrong gradient, ${dtype}`).toBe(before);
    setGradients(parameters, 1);
    optimizer.step();
    expect(room()).toBeLessThan(before);
    optimizer.dispose();
    expect(room()).toBe(before);
  }
});

it.each(all)('a state that was checked and never put in place leaves no trace ($name, $dtype, $engine)', (one) => {
  const { make, dtype, kernels } = one;
  const source = model(dtype);
  const trained = make(source);
  setGradients(source, 1);
  trained.step();
  const dict = trained.stateDict();
  const [parameters, expected] = [model(dtype), model(dtype)];
  const [optimizer, reference] = [make(parameters, { kernels }), make(expected, { kernels })];
  // A load of nothing leaves no trace either: what comes first is again a momentum's first update.
  optimizer.loadStateDict(optimizer.stateDict());
  optimizer.prepareLoad(dict);
  expect(exactly(optimizer.stateDict())).toBe(exactly(reference.stateDict()));
  for (let step = 2; step <= 3; step++) {
    for (const each of [parameters, expected]) setGradients(each, step);
    optimizer.step();
    reference.step();
    optimizer.prepareLoad(dict);
  }
  expect(weightBits(parameters)).toEqual(weightBits(expected));
  expect(exactly(optimizer.stateDict())).toBe(exactly(reference.stateDict()));
  for (const each of [optimizer, reference]) each.dispose();
});
