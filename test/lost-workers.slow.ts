/**
 * Workers that stop without a word, under real and feigned clocks, and createWorkers that fail: a
 * step settles, and nothing is left.
 */
import { createHash } from 'node:crypto';
import { Adafactor, AdamW, Parameter } from 'tensorless';
import { type ParallelKernels, parallelKernels, TornStepError } from 'tensorless/parallel';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { claim, PASS, type PlanMessage, SERIAL, STEP, TO } from '../src/threads/protocol.ts';
import { FakeWorker, ready } from './_fake-worker.ts';
import { bits } from './_optimizers.ts';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  FakeWorker.all.length = 0;
});

/** Kernels with one worker that takes an item of that pass and is never heard of again. */
async function silentIn(pass: number): Promise<ParallelKernels> {
  let plan: PlanMessage | null = null;
  const kernels = await parallelKernels({
    threads: 2,
    createWorker: () =>
      new FakeWorker(ready, (_, message) => {
        if (message.kind === 'plan') plan = message;
      }),
  });
  const { words, who } = FakeWorker.all[0]!.start!;
  let silent = false;
  vi.spyOn(Atomics, 'notify').mockImplementation(() => {
    if (plan === null || silent || Atomics.load(words, STEP) === 0 || Atomics.load(words, PASS) !== pass) return 0;
    silent = true;
    expect(claim(words, plan, Atomics.load(words, SERIAL), Atomics.load(words, TO), who)).toBeGreaterThanOrEqual(0);
    return 0;
  });
  return kernels;
}

/** An optimizer on these kernels and one on the usual ones, over the same weights and gradients. */
function both(kernels: ParallelKernels, make: (params: Parameter[], options: object) => Adafactor | AdamW) {
  return [kernels, null].map((own) => {
    const parameter = new Parameter(
      own === null ? new Float32Array(200_000) : own.allocate('float32', 200_000),
      [400, 500],
      { name: 'w' },
    );
    parameter.data.forEach((_, k, data) => {
      data[k] = ((k % 17) - 8) / 9;
    });
    const gradient = own === null ? new Float32Array(200_000) : own.allocate('float32', 200_000);
    parameter.grad = gradient.map((_, k) => ((k % 13) - 6) / 7) as Float32Array<ArrayBuffer>;
    if (own !== null) {
      gradient.set(parameter.grad);
      parameter.grad = gradient;
    }
    return { parameter, optimizer: make([parameter], own === null ? {} : { kernels: own }) };
  }) as [One, One];
}
const hash = ({ parameter }: One): string => createHash('sha256').update(bits(parameter.data)).digest('hex');
interface One {
  readonly parameter: Parameter<Float32Array>;
  readonly optimizer: Adafactor | AdamW;
}

describe('a worker that stops without an event', () => {
  const clocks = ['a real clock', 'a clock feigned before', 'a clock feigned after'] as const;
  it.each([
    [clocks[0], 1],
    [clocks[1], 1],
    [clocks[2], 0],
  ] as const)(
    'under %s, in pass %i: the step settles in seconds',
    async (clock, pass) => {
      const warned = vi.spyOn(console, 'warn').mockImplementation(() => {});
      const { hrtime } = process;
      const began = hrtime.bigint();
      if (clock === clocks[1]) vi.useFakeTimers();
      const kernels = await silentIn(pass);
      if (clock === clocks[2]) vi.useFakeTimers();
      const [ours, theirs] = both(kernels, (params, options) => new AdamW(params, options));
      const error: unknown = await ours.optimizer.stepAsync().then(
        () => null,
        (reason: unknown) => reason,
      );
      theirs.optimizer.step();
      if (pass === 0) {
        // It wrote nothing: its part was done once more.
        expect(error).toBeNull();
        expect(hash(ours)).toBe(hash(theirs));
      } else {
        expect(error).toBeInstanceOf(TornStepError);
        const [{ parameter, from, to }] = (error as TornStepError).torn as [
          { parameter: string; from: number; to: number },
        ];
        expect([parameter, to > from]).toEqual(['parameter "w"', true]);
        const rest = (data: Float32Array): number[] => [...data.subarray(0, from), ...data.subarray(to)];
        expect(rest(ours.parameter.data).join() === rest(theirs.parameter.data).join()).toBe(true);
      }
      expect(warned.mock.calls.flat().join()).toMatch(/a worker ended \(no sign of life for 4 s\)/);
      expect(FakeWorker.all[0]!.ended).toBe(true);
      expect(Number(hrtime.bigint() - began) / 1e9).toBeLessThan(20);
      // The next step works.
      vi.useRealTimers();
      ours.parameter.data.set(theirs.parameter.data);
      ours.optimizer.loadStateDict(theirs.optimizer.stateDict());
      await ours.optimizer.stepAsync();
      theirs.optimizer.step();
      expect(hash(ours)).toBe(hash(theirs));
      await kernels.close();
    },
    30_000,
  );

  it('where steps of several optimizers wait for one another, all are done', async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => {});
    const kernels = await silentIn(0);
    const pairs = [0, 1].map(() => both(kernels, (params, options) => new Adafactor(params, options)));
    await Promise.all(pairs.map(([ours]) => ours.optimizer.stepAsync()));
    for (const [ours, theirs] of pairs) {
      theirs.optimizer.step();
      expect(hash(ours)).toBe(hash(theirs));
    }
    await kernels.close();
  }, 30_000);
});

describe('createWorker', () => {
  const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

  it('that throws for one of several: its error, and none is left', async () => {
    let made = 0;
    const started = parallelKernels({
      threads: 4,
      createWorker: () => {
        if (++made === 2) throw new TypeError('no more threads');
        return new FakeWorker(ready);
      },
    });
    await expect(started).rejects.toThrow(
      /createWorker failed: no more threads; it must return a new Worker at every call/,
    );
    await expect(started).rejects.toMatchObject({ cause: { message: 'no more threads' } });
    expect(FakeWorker.all.length).toBeGreaterThan(0);
    expect(FakeWorker.all.every(({ ended }) => ended)).toBe(true);
    await settled();
  });

  it.each([null, undefined, 1, {}, { postMessage() {} }])(
    'that gives %o for one of several: named, and none is left',
    async (odd) => {
      let made = 0;
      const createWorker = (): FakeWorker => (++made === 2 ? (odd as never) : new FakeWorker(ready));
      await expect(parallelKernels({ threads: 3, createWorker })).rejects.toThrow(
        /createWorker must return a new Worker, got/,
      );
      expect(FakeWorker.all.every(({ ended }) => ended)).toBe(true);
      await settled();
    },
  );

  it.each<[string, () => unknown]>([
    ['rejects', () => Promise.reject(new Error('gone'))],
    [
      'throws',
      () => {
        throw new Error('gone');
      },
    ],
  ])('whose terminate %s: nobody hears of it', async (_, terminate) => {
    let made = 0;
    const createWorker = (): FakeWorker => {
      const worker = new FakeWorker(++made === 3 ? (one) => one.emit('exit', 1) : ready);
      worker.terminate = terminate as () => void;
      return worker;
    };
    // Rejections that nobody handles fail the run.
    await expect(parallelKernels({ threads: 4, createWorker })).rejects.toThrow(/did not start: exit status 1/);
    made = 10;
    const kernels = await parallelKernels({ threads: 2, createWorker });
    await kernels.close();
    await settled();
  });

  it('that throws when a worker is to be replaced: a warning, and the others go on', async () => {
    const warned = vi.spyOn(console, 'warn').mockImplementation(() => {});
    let made = 0;
    const kernels = await parallelKernels({
      threads: 2,
      createWorker: () => {
        if (made++ > 0) throw new Error('no more threads');
        return new FakeWorker(ready);
      },
    });
    FakeWorker.all[0]!.emit('error', 'out of memory');
    const [ours, theirs] = both(kernels, (params, options) => new AdamW(params, options));
    await ours.optimizer.stepAsync();
    theirs.optimizer.step();
    expect(hash(ours)).toBe(hash(theirs));
    await settled();
    expect(warned.mock.calls.flat().join()).toMatch(/createWorker failed: no more threads/);
    await kernels.close();
  });
});
