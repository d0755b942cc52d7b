/**
 * Cost grows no faster than the work: what a call does at 2,000 and at 20,000 parameters, as an
 * exponent. Times are ratios of the least of several, so that a slow machine changes nothing; a
 * quadratic one has 2.
 */
import { AdamW, GradientAccumulator, Parameter } from 'tensorless';
import { parallelKernels } from 'tensorless/parallel';
import { simdKernels } from 'tensorless/simd';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { FakeWorker, ready } from './_fake-worker.ts';

const FEW = 2_000;
const MANY = 20_000;
const MOST = 1.5;

/** Exponent of the growth of what `time` gives at {@link FEW} and at {@link MANY}. */
const exponent = (few: number, many: number): number => Math.log(many / few) / Math.log(MANY / FEW);

/** Milliseconds of so many calls of what `prepare` returns, the least of several runs. */
function timeOf(prepare: () => () => void, runs: number, times = 1): number {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run++) {
    const calls = Array.from({ length: times }, prepare);
    const began = performance.now();
    for (const call of calls) call();
    least = Math.min(least, performance.now() - began);
  }
  return least;
}

const parametersOf = (count: number, name?: (i: number) => string): Parameter<Float32Array>[] =>
  Array.from(
    { length: count },
    (_, i) => new Parameter(new Float32Array(1), name === undefined ? {} : { name: name(i) }),
  );
/** As slices of one buffer: what shares memory is looked for among them. */
function slicesOf(count: number): Parameter<Float32Array>[] {
  const whole = new Float32Array(count);
  return Array.from({ length: count }, (_, i) => new Parameter(whole.subarray(i, i + 1)));
}
const gradients = (parameters: readonly Parameter<Float32Array>[]): void => {
  for (const one of parameters) one.grad = Float32Array.of(1);
};

const works: Record<string, (count: number) => () => void> = {
  'addParamGroup, one by one': (count) => {
    const [first, ...others] = parametersOf(count);
    const optimizer = new AdamW([first!]);
    return () => {
      for (const one of others.slice(0, count)) optimizer.addParamGroup({ params: [one] });
    };
  },
  'a constructor of slices of one buffer': (count) => {
    const parameters = slicesOf(count);
    return () => void new AdamW(parameters);
  },
  'stochastic rounding with names': (count) => {
    const parameters = Array.from(
      { length: count },
      (_, i) => new Parameter(new Uint16Array(1), { dtype: 'bfloat16', name: `layers.${i}.weight` }),
    );
    const optimizer = new AdamW(parameters, { rounding: 'stochastic' });
    for (const one of parameters) one.grad = Float32Array.of(1);
    optimizer.step();
    return () => void optimizer.step();
  },
  'a step with SIMD, gradients in fresh views': (count) => {
    const kernels = simdKernels({ arenaBytes: 64 * 4 * MANY });
    const whole = kernels.allocate('float32', 2 * count);
    const parameters = Array.from({ length: count }, (_, i) => new Parameter(whole.subarray(i, i + 1)));
    const optimizer = new AdamW(parameters, { kernels });
    gradients(parameters);
    optimizer.step();
    parameters.forEach((one, i) => {
      one.grad = whole.subarray(count + i, count + i + 1);
    });
    return () => void optimizer.step();
  },
  'new GradientAccumulator': (count) => {
    const parameters = parametersOf(count, (i) => `p${i}`);
    return () => void new GradientAccumulator(parameters);
  },
  'stateDict and loadStateDict, by name': (count) => {
    const parameters = parametersOf(count, (i) => `p${i}`);
    const optimizer = new AdamW(parameters);
    gradients(parameters);
    optimizer.step();
    return () => optimizer.loadStateDict(optimizer.stateDict());
  },
  'stepParameter of each': (count) => {
    const parameters = parametersOf(count);
    const optimizer = new AdamW(parameters);
    gradients(parameters);
    return () => {
      for (const one of parameters) optimizer.stepParameter(one);
    };
  },
};

describe('time', () => {
  it.each(Object.keys(works))('of %s', (name) => {
    const work = works[name]!;
    // As often as there is as much to do: what is warm, and what is in the caches, is then alike.
    const times = MANY / FEW;
    const few = timeOf(() => work(FEW), 1, times) / times;
    let many = timeOf(() => work(MANY), 1);
    // Once more where another program may have been in the way.
    if (exponent(few, many) > MOST)
      many = Math.min(
        many,
        timeOf(() => work(MANY), 2),
      );
    console.log(`${name}: ${exponent(few, many).toFixed(2)}`);
    expect(exponent(few, many)).toBeLessThanOrEqual(MOST);
  });
});

describe('what stepAsync sends to a worker', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    FakeWorker.all.length = 0;
  });

  /**
   * Buffers of all messages, in all and in the largest of them, and how many messages there are.
   */
  async function sent(count: number): Promise<{ first: number[]; again: number[]; same: number[] }> {
    let seen: unknown[] = [];
    const kernels = await parallelKernels({
      threads: 2,
      simd: false,
      createWorker: () => new FakeWorker(ready, (_, message) => void seen.push(message)),
    });
    const parameters = Array.from(
      { length: count },
      () => new Parameter(kernels.allocate('float32', Math.ceil((2 ** 17 + 1) / count))),
    );
    const optimizer = new AdamW(parameters, { kernels });
    const step = async (fresh: boolean): Promise<number[]> => {
      seen = [];
      for (const one of fresh ? parameters : []) one.grad = kernels.allocate('float32', one.data.length);
      await optimizer.stepAsync();
      const each = seen.map(buffersIn);
      return [each.reduce((sum, one) => sum + one, 0), Math.max(...each), seen.length];
    };
    const result = { first: await step(true), again: await step(true), same: await step(false) };
    await kernels.close();
    return result;
  }

  it('grows with the parameters, in messages of few buffers: cloning is quadratic in those', async () => {
    const few = await sent(FEW / 10);
    const many = await sent(MANY / 10);
    for (const which of ['first', 'again'] as const) {
      expect(exponent(few[which][0]!, many[which][0]!), which).toBeLessThan(1.1);
      expect(many[which][0]! / (MANY / 10), `${which}: buffers a parameter`).toBeLessThan(5);
      expect(many[which][1], `${which}: buffers of a message`).toBeLessThan(400);
    }
    expect(many.same[2], 'messages of a step in which nothing is new').toBe(1);
    expect(many.same[0]).toBe(few.same[0]);
  });
});

/** Different SharedArrayBuffers in a message. */
function buffersIn(message: unknown): number {
  const buffers = new Set<unknown>();
  const visit = (value: unknown): void => {
    if (ArrayBuffer.isView(value)) buffers.add(value.buffer);
    else if (typeof value === 'object' && value !== null) for (const one of Object.values(value)) visit(one);
  };
  visit(message);
  return buffers.size;
}
