/**
 * `tensorless/parallel`: the same bits on any number of threads, and what happens when a worker
 * ends.
 */
import { createHash } from 'node:crypto';
import type { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import {
  Adafactor,
  AdamW,
  type CommonOptions,
  type DType,
  GradientAccumulator,
  GreedyLR,
  getLinearScheduleWithWarmup,
  type Kernels,
  NonFiniteGradientError,
  type NumericArray,
  type Optimizer,
  Parameter,
  ReduceLROnPlateau,
} from 'tensorless';
import {
  type ParallelKernels,
  parallelKernels,
  type TornRange,
  TornStepError,
  type WorkerLike,
} from 'tensorless/parallel';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { claim, PASS, type PlanMessage, SERIAL, STEP, TO } from '../src/threads/protocol.ts';
import { FakeWorker, ready } from './_fake-worker.ts';
import { dtypes, optimizers, product, randomArray, randomNumbers } from './_optimizers.ts';
import { createWorker } from './_workers.ts';

/** The same array where all threads reach it. */
function shared(kernels: Kernels, array: NumericArray): NumericArray {
  let there: NumericArray;
  if (array instanceof Uint16Array) there = new Uint16Array(new SharedArrayBuffer(2 * array.length));
  else if (array instanceof Float32Array) there = kernels.allocate('float32', array.length);
  else there = kernels.allocate('float64', array.length);
  there.set(array);
  return there;
}

/**
 * Over 131072 elements, which is what brings the workers in: split matrices, grouped small ones,
 * columns and rows left over, nothing at all.
 */
const shapes: readonly (readonly number[])[] = [
  [300, 401],
  [7],
  [],
  [0, 5],
  [3, 90, 70],
  [200, 5, 6],
  [1, 70_001],
  [70_001, 1],
  [140_003],
  [64, 64],
];

type Make = (params: readonly Parameter[], options: CommonOptions & Record<string, unknown>) => Optimizer;

/** Equal arrays have equal hashes; comparing them number by number takes seconds. */
function hash(...arrays: readonly NumericArray[]): string {
  const all = createHash('sha256');
  for (const { buffer, byteOffset, byteLength } of arrays) all.update(new Uint8Array(buffer, byteOffset, byteLength));
  return all.digest('hex');
}

/** A state dict with hashes for arrays. */
function hashed(optimizer: Optimizer): string {
  return JSON.stringify(optimizer.stateDict(), (_, value) =>
    ArrayBuffer.isView(value) ? hash(value as NumericArray) : value,
  );
}

/** Weights and the gradients of three steps, made once. */
const made = new Map<DType, NumericArray[][]>();
function numbers(dtype: DType): NumericArray[][] {
  let arrays = made.get(dtype);
  if (arrays === undefined) {
    const random = randomNumbers(7);
    arrays = [1, 0.1, 0.1, 0.1].map((scale) =>
      shapes.map((shape) => randomArray(dtype, product(shape), random, scale)),
    );
    made.set(dtype, arrays);
  }
  return arrays;
}

/**
 * The weights (hashed) after a few steps, with kernels (all arrays shared, or all ordinary) or
 * without.
 */
async function trained(make: Make, dtype: DType, kernels: Kernels | null, options = {}, ordinary = false) {
  const place = (array: NumericArray): NumericArray =>
    kernels === null || ordinary ? array.slice() : shared(kernels, array);
  const [data, ...gradients] = numbers(dtype);
  const params = shapes.map((shape, i) => new Parameter(place(data![i]!), shape, { dtype, name: `p${i}` }));
  const optimizer = make(params, { ...options, ...(kernels === null ? {} : { kernels }) });
  for (let step = 0; step < 3; step++) {
    for (const [i, parameter] of params.entries()) parameter.grad = place(gradients[step]![i]!);
    // In the second step some are left out: another plan.
    if (step === 1) for (const parameter of params.slice(0, 3)) parameter.grad = null;
    if (kernels === null) optimizer.step();
    else await optimizer.stepAsync();
  }
  const result = { weights: params.map(({ data }) => hash(data)), state: hashed(optimizer) };
  optimizer.dispose();
  return result;
}

/** By one thread with the TypeScript loops; computed once. */
const alone = new Map<string, Promise<unknown>>();
function trainedAlone(name: string, make: Make, dtype: DType, options = {}): Promise<unknown> {
  const key = `${name} ${dtype}`;
  let result = alone.get(key);
  if (result === undefined) {
    result = trained(make, dtype, null, options);
    alone.set(key, result);
  }
  return result;
}

describe.each([
  { threads: 1, simd: true },
  { threads: 2, simd: true },
  { threads: 3, simd: true },
  { threads: 3, simd: false },
])('$threads threads, simd $simd', ({ threads, simd }) => {
  let kernels: ParallelKernels;
  beforeAll(async () => {
    kernels = await parallelKernels({ threads, simd, createWorker });
  });
  afterAll(() => kernels.close());

  it('are that many', () => {
    expect(kernels.size).toBe(threads);
  });

  it.each(optimizers.flatMap((optimizer) => dtypes.map((dtype) => ({ ...optimizer, dtype }))))(
    '$name over $dtype: the bits of step',
    async ({ name, make, dtype }) => {
      expect(await trained(make, dtype, kernels)).toEqual(await trainedAlone(name, make, dtype));
    },
  );

  it.each(['bfloat16', 'float16'] as const)('stochastic rounding of %s: the bits of step', async (dtype) => {
    const options = { rounding: 'stochastic', seed: 5 };
    const make: Make = (params, given) => new Adafactor(params, given);
    expect(await trained(make, dtype, kernels, options)).toEqual(
      await trainedAlone('stochastic', make, dtype, options),
    );
  });

  it('arrays that are not shared: the bits of step, by the calling thread', async () => {
    const make: Make = (params, given) => new AdamW(params, given);
    expect(await trained(make, 'float32', kernels, {}, true)).toEqual(
      await trainedAlone('AdamW default', make, 'float32'),
    );
  });

  it('step, on the calling thread, goes on where stepAsync was', async () => {
    const weight = new Parameter(shared(kernels, new Float32Array(200_000).fill(1)), [400, 500]);
    const other = new Parameter(new Float32Array(200_000).fill(1), [400, 500]);
    const [here, there] = [new Adafactor([weight], { kernels }), new Adafactor([other])];
    weight.grad = shared(kernels, new Float32Array(200_000).fill(0.5));
    other.grad = new Float32Array(200_000).fill(0.5);
    await here.stepAsync();
    here.step();
    here.stepParameter(weight);
    for (let i = 0; i < 3; i++) there.step();
    expect(hash(weight.data)).toBe(hash(other.data));
    expect(hashed(here)).toBe(hashed(there));
  });
});

describe('stepAsync', () => {
  let kernels: ParallelKernels;
  beforeAll(async () => {
    kernels = await parallelKernels({ threads: 2, createWorker });
  });
  afterAll(() => kernels.close());

  const length = 200_000;
  const parameter = (name?: string): Parameter => {
    const data = kernels.allocate('float32', length).fill(1);
    const one = new Parameter(data, [400, 500], name === undefined ? {} : { name });
    one.grad = kernels.allocate('float32', length).fill(0.25);
    return one;
  };

  it('any shapes, by property', async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
    console.log(`seed ${seed}`);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 700 })), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.constantFrom(...optimizers),
        async (sizes, { make }) => {
          const random = randomNumbers(sizes.length);
          const pairs = sizes.map((shape) => {
            const data = randomArray('float32', product(shape), random);
            const grad = randomArray('float32', product(shape), random);
            const [here, there] = [new Parameter(shared(kernels, data), shape), new Parameter(data, shape)];
            here.grad = shared(kernels, grad);
            there.grad = grad;
            return [here, there] as const;
          });
          const here = make(
            pairs.map(([one]) => one),
            { kernels },
          );
          const there = make(pairs.map(([, one]) => one));
          for (let step = 0; step < 2; step++) {
            await here.stepAsync();
            there.step();
          }
          for (const [a, b] of pairs) expect(hash(a.data)).toBe(hash(b.data));
          here.dispose();
          for (const [a] of pairs) {
            kernels.free(a.data as Float32Array);
            kernels.free(a.grad as Float32Array);
          }
        },
      ),
      { seed, numRuns: 40 },
    );
  });

  it('awaits a closure and returns its loss, with any kernels', async () => {
    const weight = new Parameter(new Float32Array(3).fill(1));
    const optimizer = new AdamW([weight]);
    const loss = await optimizer.stepAsync(async () => {
      weight.grad = new Float32Array(3).fill(1);
      return 0.5;
    });
    expect(loss).toBe(0.5);
    expect(weight.data[0]).toBeLessThan(1);
    expect(await new AdamW([parameter()], { kernels }).stepAsync(() => 2)).toBe(2);
    expect(await optimizer.stepAsync()).toBeUndefined();
    await expect(optimizer.stepAsync(3 as never)).rejects.toThrow(/stepAsync: closure must be a function/);
  });

  it('refuses a scheduler’s step until it has settled, as it reads the learning rates', async () => {
    const optimizer = new AdamW([parameter()], { kernels });
    const schedulers = [getLinearScheduleWithWarmup(optimizer, { numWarmupSteps: 1, numTrainingSteps: 9 })];
    const others = [new ReduceLROnPlateau(optimizer), new GreedyLR(optimizer)];
    const { lr } = optimizer.paramGroups[0]!;
    const under = optimizer.stepAsync();
    for (const one of [...schedulers, ...others])
      expect(() => one.step(1)).toThrow(/^\w+\.step: a stepAsync of this optimizer is under way; await it first$/);
    await under;
    expect(optimizer.paramGroups[0]!.lr).toBe(lr);
    schedulers[0]!.step();
    expect(optimizer.paramGroups[0]!.lr).not.toBe(lr);
  });

  it('refuses a gradient in the memory of another parameter, which others write meanwhile', async () => {
    const [first, second] = [parameter('first'), parameter('second')];
    const optimizer = new AdamW([first, second], { kernels });
    const whole = kernels.allocate('float32', 2 * length);
    for (const grad of [second.data, second.data.subarray(0, length)]) {
      first.grad = grad as Float32Array;
      await expect(optimizer.stepAsync()).rejects.toThrow(
        'parallelKernels: the gradient of parameter "first" shares memory with what is written for parameter "second", ' +
          'maybe meanwhile; give it an array of its own',
      );
      expect(first.data[0]! + second.data[0]!).toBe(2);
      expect(optimizer.stateDict().state).toEqual({});
    }
    // Side by side, and one gradient for both, are as ever.
    const [left, right] = [0, 1].map((i) => new Parameter(whole.subarray(i * length, (i + 1) * length)));
    for (const one of [left!, right!, first]) one.grad = second.grad as Float32Array;
    await optimizer.stepAsync();
    await new AdamW([left!, right!], { kernels }).stepAsync();
    expect(first.data[0]).toBeLessThan(1);
    expect(right!.data[0]).toBeLessThan(0);
    const edge = new AdamW([left!], { kernels });
    left!.grad = right!.data as Float32Array;
    await edge.stepAsync();
    kernels.free(whole);
  });

  it('refuses a non-finite gradient with nothing changed, or leaves the step out', async () => {
    const [good, bad] = [parameter('good'), parameter('bad')];
    (bad.grad as Float32Array)[77_777] = Number.NaN;
    const optimizer = new Adafactor([good, bad], { kernels });
    await expect(optimizer.stepAsync()).rejects.toThrow(NonFiniteGradientError);
    await expect(optimizer.stepAsync()).rejects.toThrow(/"bad".*77777/);
    expect(optimizer.stateDict().state).toEqual({});
    expect(good.data.every((value) => value === 1)).toBe(true);
    optimizer.paramGroups[0]!.nonFinite = 'skip';
    await optimizer.stepAsync();
    expect([optimizer.stepCalls, optimizer.skippedSteps]).toEqual([1, 1]);
    expect(good.data.every((value) => value === 1)).toBe(true);
    optimizer.paramGroups[0]!.nonFinite = 'propagate';
    await optimizer.stepAsync();
    expect(bad.data.some(Number.isNaN)).toBe(true);
  });

  it('has the other methods wait, and says so', async () => {
    const weight = parameter();
    const optimizer = new AdamW([weight], { kernels });
    const step = optimizer.stepAsync();
    await Promise.resolve();
    const under = /AdamW\.\w+: a stepAsync of this optimizer is under way; await it first/;
    expect(() => optimizer.step()).toThrow(under);
    expect(() => optimizer.stepParameter(weight)).toThrow(under);
    expect(() => optimizer.stateDict()).toThrow(under);
    expect(() => optimizer.loadStateDict({ state: {}, param_groups: [] })).toThrow(under);
    expect(() => optimizer.addParamGroup({ params: [parameter()] })).toThrow(under);
    expect(() => optimizer.dispose()).toThrow(under);
    await expect(optimizer.stepAsync()).rejects.toThrow(under);
    await step;
    expect(optimizer.stepCalls).toBe(1);
    optimizer.dispose();
    await expect(optimizer.stepAsync()).rejects.toThrow(/disposed/);
  });

  it('of several optimizers at once: one after the other', async () => {
    const make = (one: Parameter): Optimizer => new Adafactor([one], { kernels });
    const params = [parameter(), parameter(), parameter()];
    const several = params.map(make);
    for (let i = 0; i < 3; i++) await Promise.all(several.map((one) => one.stepAsync()));
    const alone = parameter();
    const optimizer = make(alone);
    for (let i = 0; i < 3; i++) optimizer.step();
    for (const { data } of params) expect(hash(data)).toBe(hash(alone.data));
  });

  it('takes the accumulator’s gradients on all threads: they are shared where the weights are', async () => {
    const weight = parameter();
    const accumulator = new GradientAccumulator([weight]);
    accumulator.add();
    weight.grad = null;
    accumulator.apply();
    expect((weight.grad as unknown as Float32Array).buffer).toBeInstanceOf(SharedArrayBuffer);
    await new Adafactor([weight], { kernels }).stepAsync();
  });

  it('refuses arrays that were freed', async () => {
    const weight = parameter();
    const optimizer = new AdamW([weight], { kernels });
    kernels.free(weight.grad as Float32Array);
    await expect(optimizer.stepAsync()).rejects.toThrow(/freed/);
  });
});

describe('parallelKernels', () => {
  it.each([
    [{ threads: 0 }, /parallelKernels: threads must be/],
    [{ threads: 33 }, /threads must be/],
    [{ threads: 1.5 }, /threads must be/],
    [{ simd: 1 }, /simd must be/],
    [{ arenaBytes: -1 }, /arenaBytes must be/],
    [{ createWorker: 'x' }, /createWorker must be a function that returns a new Worker, got "x"/],
    [{ createWorker: () => ({}), threads: 2 }, /createWorker must return a new Worker, got an object/],
    [
      {
        createWorker: () => {
          throw new Error('no more workers');
        },
        threads: 2,
      },
      /no more workers/,
    ],
    [{ thread: 2 }, /unknown option "thread".*"threads"/s],
  ])('refuses %j', async (options, message) => {
    await expect(parallelKernels(options as never)).rejects.toThrow(message);
  });

  it.each([true, false])('hands out arrays that all threads reach and takes them back, simd %s', async (simd) => {
    const kernels = await parallelKernels({ threads: 1, simd, arenaBytes: 4096 });
    const small = kernels.allocate('float32', 8);
    const large = kernels.allocate('float64', 10_000);
    for (const array of [small, large]) {
      expect(array.buffer).toBeInstanceOf(SharedArrayBuffer);
      expect(kernels.owns(array)).toBe(true);
      kernels.checkLive(array);
      kernels.free(array);
      expect(kernels.owns(array)).toBe(false);
      expect(() => kernels.checkLive(array)).toThrow(/freed and is still in use/);
      expect(() => kernels.free(array)).toThrow(/freed already/);
    }
    expect(() => kernels.free(new Float32Array(1))).toThrow(/parallelKernels.*one that allocate of these same kernels/);
    expect(() => kernels.allocate('bfloat16' as never, 1)).toThrow(/parallelKernels.*dtype must be/);
    expect(() => kernels.allocate('float32', -1)).toThrow(/length/);
    expect(kernels.fits('float32', 1e6)).toBe(true);
  });

  it('counts the cores, where threads is left out', async () => {
    const kernels = await parallelKernels({ createWorker });
    expect(kernels.size).toBeGreaterThanOrEqual(1);
    expect(kernels.size).toBeLessThanOrEqual(8);
    await kernels.close();
    expect(kernels.size).toBe(1);
  });

  it('says what a page needs, where there is no SharedArrayBuffer', async () => {
    vi.stubGlobal('SharedArrayBuffer', undefined);
    await expect(parallelKernels()).rejects.toThrow(/no SharedArrayBuffer.*Cross-Origin-Opener-Policy/);
    vi.unstubAllGlobals();
  });

  describe('without createWorker', () => {
    afterEach(() => {
      vi.unstubAllGlobals();
      FakeWorker.all.length = 0;
    });
    const browser = (): void => {
      vi.stubGlobal('process', { ...process, versions: {} });
    };

    it('starts the file beside it, in Node with its own workers', async () => {
      // TypeScript here; built, it is JavaScript, which test:runtimes runs.
      const started = parallelKernels({ threads: 2 });
      const takesTypeScript = (process.features as { typescript?: unknown }).typescript !== undefined;
      if (takesTypeScript) await (await started).close();
      else await expect(started).rejects.toThrow(/did not start: .*parallel-worker\.ts/);
    });

    it('elsewhere with the global Worker, as a module', async () => {
      const started: unknown[] = [];
      browser();
      vi.stubGlobal('Worker', function start(url: URL, options: object) {
        started.push(url.href.replace(/.*\//, ''), options);
        return new FakeWorker(ready);
      });
      const kernels = await parallelKernels({ threads: 2 });
      expect(started).toEqual(['parallel-worker.ts', { type: 'module' }]);
      expect(kernels.size).toBe(2);
    });

    it('and without workers says what to use', async () => {
      browser();
      vi.stubGlobal('Worker', undefined);
      await expect(parallelKernels({ threads: 2 })).rejects.toThrow(/this runtime has no workers; use simdKernels/);
    });

    it('a Node without getBuiltinModule is told which one has threads', async () => {
      vi.stubGlobal('process', { ...process, versions: { node: '20.5.0' }, getBuiltinModule: undefined });
      await expect(parallelKernels({ threads: 2 })).rejects.toThrow(
        'parallelKernels: threads need Node 20.16 or later, this is 20.5.0',
      );
    });

    it('what node --input-type was told is not for the worker’s file', async () => {
      const started: unknown[] = [];
      class Worker extends FakeWorker {
        constructor(_: URL, options: object) {
          super(ready);
          started.push(options);
        }
      }
      const getBuiltinModule = (): object => ({ Worker });
      for (const execArgv of [
        ['--input-type=module', '-e', '1'],
        ['--import', 'tsx'],
      ]) {
        vi.stubGlobal('process', { ...process, versions: { node: '22.0.0' }, execArgv, getBuiltinModule });
        await (await parallelKernels({ threads: 2 })).close();
      }
      expect(started).toEqual([{ execArgv: [] }, {}]);
    });

    it('takes one thread where the runtime tells of no cores', async () => {
      browser();
      vi.stubGlobal('navigator', undefined);
      const kernels = await parallelKernels({ createWorker: () => new FakeWorker(ready) });
      expect(kernels.size).toBe(1);
    });
  });

  it.each([
    ['double', 2 ** 17],
    ['float32', 2 ** 18],
  ] as const)('workers are called for a step in %s from %i elements on', async (arithmetic, least) => {
    let told = 0;
    const make = (): WorkerLike => new FakeWorker(ready, () => told++);
    const kernels = await parallelKernels({ threads: 2, arithmetic, createWorker: make });
    for (const [length, called] of [
      [least - 1, false],
      [least, true],
    ] as const) {
      const weight = new Parameter(kernels.allocate('float32', length));
      weight.grad = kernels.allocate('float32', length).fill(1);
      told = 0;
      await new AdamW([weight], { kernels }).stepAsync();
      expect(told > 0, `${length} elements`).toBe(called);
      expect(weight.data.every((value) => value < 0)).toBe(true);
    }
    await kernels.close();
    FakeWorker.all.length = 0;
  });

  it('after close the calling thread works alone', async () => {
    const kernels = await parallelKernels({ threads: 2, createWorker });
    await kernels.close();
    const weight = new Parameter(kernels.allocate('float32', 200_000), [400, 500]);
    weight.grad = kernels.allocate('float32', 200_000).fill(1);
    await new AdamW([weight], { kernels }).stepAsync();
    expect(weight.data.every((value) => value < 0)).toBe(true);
  });
});

describe('a worker that does not start', () => {
  afterEach(() => {
    vi.useRealTimers();
    FakeWorker.all.length = 0;
  });

  it.each<[string, (worker: FakeWorker) => void, RegExp]>([
    ['says why', (worker) => worker.emit('message', 'cannot start: no SIMD'), /did not start: cannot start: no SIMD/],
    ['throws', (worker) => worker.emit('error', new Error('no such file')), /did not start: Error: no such file/],
    ['exits', (worker) => worker.emit('exit', 1), /did not start: exit status 1/],
  ])('%s: a clear error, and the others are ended', async (_, onStart, message) => {
    let made = 0;
    const make = (): WorkerLike => new FakeWorker(made++ === 0 ? ready : onStart);
    await expect(parallelKernels({ threads: 3, createWorker: make })).rejects.toThrow(message);
    expect(FakeWorker.all.every(({ ended }) => ended)).toBe(true);
  });

  it('says nothing: an error after half a minute', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const started = parallelKernels({ threads: 2, createWorker: () => new FakeWorker(() => {}) });
    const refused = expect(started).rejects.toThrow(
      /no answer within 30 s; does createWorker start a module that calls runParallelWorker/,
    );
    // The options are read after a few turns of the event loop.
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    await vi.advanceTimersByTimeAsync(30_000);
    await refused;
  });

  it('speaks as a worker of a browser does', async () => {
    const worker = new FakeWorker(() => {});
    let says: object = { message: 'blocked by a policy' };
    const browser: WorkerLike = {
      postMessage: () => setTimeout(() => worker.emit('error', says)),
      terminate: () => {},
      addEventListener: (event, listener) => worker.on(event, listener),
    };
    await expect(parallelKernels({ threads: 2, createWorker: () => browser })).rejects.toThrow(/blocked by a policy/);
    says = {};
    await expect(parallelKernels({ threads: 2, createWorker: () => browser })).rejects.toThrow(
      /did not start: its script cannot be loaded/,
    );
    const good: WorkerLike = {
      postMessage: () => setTimeout(() => worker.emit('message', { data: 'ready' })),
      terminate: () => {},
      addEventListener: (event, listener) => worker.on(event, listener),
    };
    expect((await parallelKernels({ threads: 2, createWorker: () => good })).size).toBe(2);
  });
});

describe('a worker that ends in the middle of a step', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    FakeWorker.all.length = 0;
  });

  /**
   * Kernels with one worker that takes an item of that pass as soon as it is open, and ends with it
   * in hand.
   */
  async function kernelsWith(pass: number): Promise<ParallelKernels> {
    let plan: PlanMessage | null = null;
    const kernels = await parallelKernels({
      threads: 2,
      createWorker: () =>
        new FakeWorker(ready, (_, message) => {
          if (message.kind === 'plan') plan = message;
        }),
    });
    const [worker] = FakeWorker.all;
    const { words, who } = worker!.start!;
    vi.spyOn(Atomics, 'notify').mockImplementation(() => {
      if (plan === null || worker!.ended || Atomics.load(words, STEP) === 0 || Atomics.load(words, PASS) !== pass)
        return 0;
      const item = claim(words, plan, Atomics.load(words, SERIAL), Atomics.load(words, TO), who);
      expect(item).toBeGreaterThanOrEqual(0);
      worker!.ended = true;
      setTimeout(() => worker!.emit('exit', 137), 5);
      return 0;
    });
    return kernels;
  }

  const weights = (params: readonly Parameter[]): string => hash(...params.map(({ data }) => data));

  const make = (kernels: Kernels | null): [Optimizer, Parameter[]] => {
    const params = ['a', 'b'].map((name) => {
      const data = new Float32Array(200_000).map((_, i) => ((i % 17) - 8) / 9);
      const grad = data.map((value) => value * value - 0.2);
      const place = (array: Float32Array) => (kernels === null ? array : (shared(kernels, array) as Float32Array));
      const parameter = new Parameter(place(data), [400, 500], { name });
      parameter.grad = place(grad);
      return parameter;
    });
    return [new Adafactor(params, kernels === null ? {} : { kernels }), params];
  };

  it.each([0, 1])('in pass %i, which writes no weight: its part is done once more', async (pass) => {
    const warned = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const kernels = await kernelsWith(pass);
    const [optimizer, params] = make(kernels);
    const [reference, expected] = make(null);
    await optimizer.stepAsync();
    reference.step();
    expect(weights(params)).toBe(weights(expected));
    expect(warned.mock.calls.flat().join()).toMatch(/a worker ended \(exit status 137\)/);
    expect(kernels.size).toBe(1);
    await optimizer.stepAsync();
    reference.step();
    expect(weights(params)).toBe(weights(expected));
    // The step started another one.
    await vi.waitFor(() => expect(kernels.size).toBe(2));
    await kernels.close();
  });

  it('in the pass that writes weights: the error names them, all others are applied, the next step works', async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => {});
    const kernels = await kernelsWith(2);
    const [optimizer, params] = make(kernels);
    const [reference, expected] = make(null);
    const before = params[0]!.data.slice();
    const error = await optimizer.stepAsync().then(
      () => null,
      (reason: unknown) => reason,
    );
    reference.step();
    expect(error).toBeInstanceOf(TornStepError);
    const { torn, message } = error as TornStepError;
    expect(torn).toHaveLength(1);
    const [{ parameter, from, to }] = torn as [TornRange];
    expect(message).toContain(`"a", elements ${from} to ${to - 1}.`);
    expect([parameter, from, to > from]).toEqual(['parameter "a"', 0, true]);
    expect(hash(params[1]!.data)).toBe(hash(expected[1]!.data));
    expect(hash(params[0]!.data.subarray(to))).toBe(hash(expected[0]!.data.subarray(to)));
    // It ended before it had written anything.
    expect(hash(params[0]!.data.subarray(0, to))).toBe(hash(before.subarray(0, to)));
    expect(hashed(optimizer)).toBe(hashed(reference));
    (params[0]!.data as Float32Array).set(expected[0]!.data as Float32Array);
    await optimizer.stepAsync();
    reference.step();
    expect(weights(params)).toBe(weights(expected));
    await kernels.close();
  });

  it('where vectors are torn: ranges of their elements, of every parameter that the item was for', async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => {});
    const kernels = await kernelsWith(1);
    const params = [3, 5, 150_000].map((length) => {
      const parameter = new Parameter(kernels.allocate('float32', length));
      parameter.grad = kernels.allocate('float32', length).fill(1);
      return parameter;
    });
    // The third has blocks of 65536 elements, each an item of its own.
    const error = await new AdamW(params, { kernels }).stepAsync().then(
      () => null,
      (reason: unknown) => reason,
    );
    expect((error as TornStepError).torn).toEqual([
      { parameter: 'parameter 0', from: 0, to: 3 },
      { parameter: 'parameter 1', from: 0, to: 5 },
    ]);
  });

  it('where several blocks of a matrix are torn: one range', async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => {});
    const kernels = await kernelsWith(2);
    const parameter = new Parameter(kernels.allocate('float32', 600 * 300), [600, 300]);
    parameter.grad = kernels.allocate('float32', 600 * 300).fill(1);
    const error = await new Adafactor([parameter], { kernels }).stepAsync().catch((reason: unknown) => reason);
    // Blocks of 56 rows, two of them an item.
    expect((error as TornStepError).torn).toEqual([{ parameter: 'parameter 0', from: 0, to: 112 * 300 }]);
  });

  it('and cannot be replaced: the others go on, with a warning', async () => {
    const warned = vi.spyOn(console, 'warn').mockImplementation(() => {});
    let made = 0;
    const kernels = await parallelKernels({
      threads: 2,
      createWorker: () => new FakeWorker(made++ === 0 ? ready : (worker) => worker.emit('exit', 9)),
    });
    FakeWorker.all[0]!.emit('error', 'out of memory');
    const [optimizer, params] = make(kernels);
    const [reference, expected] = make(null);
    for (let step = 0; step < 6; step++) {
      await optimizer.stepAsync();
      reference.step();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(weights(params)).toBe(weights(expected));
    expect(warned.mock.calls.flat().join()).toMatch(/did not start: exit status 9/);
    // Not for ever: three times as often as there are workers.
    expect(made).toBe(4);
  });

  it('is waited for with messages where there is no setImmediate, as in a page', async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => {});
    const kernels = await kernelsWith(0);
    vi.stubGlobal('setImmediate', undefined);
    const [optimizer, params] = make(kernels);
    const [reference, expected] = make(null);
    await optimizer.stepAsync();
    vi.unstubAllGlobals();
    reference.step();
    expect(weights(params)).toBe(weights(expected));
  });

  it('really: workers that are terminated again and again', async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => {});
    const workers: Worker[] = [];
    const kernels = await parallelKernels({
      threads: 3,
      createWorker: () => {
        const worker = createWorker();
        workers.push(worker);
        return worker;
      },
    });
    const [optimizer, params] = make(kernels);
    const [reference, expected] = make(null);
    let torn = 0;
    for (let step = 0; step < 60; step++) {
      const done = optimizer.stepAsync();
      if (step % 10 === 5) void workers.at(-1)!.terminate();
      await done.catch((error: unknown) => {
        expect(error).toBeInstanceOf(TornStepError);
        torn++;
      });
      reference.step();
      if (torn === 0) expect(weights(params)).toBe(weights(expected));
      // That a worker has ended is heard of between steps, when the event loop runs.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(optimizer.stepCalls).toBe(60);
    expect(workers.length).toBeGreaterThan(4);
    await kernels.close();
  });
});
