/**
 * What stepAsync sends to its workers grows with the parameters, and is nothing where nothing is new.
 */
import { AdamW, Parameter } from 'tensorless';
import { parallelKernels } from 'tensorless/parallel';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { FakeWorker, ready } from './_fake-worker.ts';

const FEW = 200;
const MANY = 2_000;

/** Exponent of the growth of what is given at {@link FEW} and at {@link MANY}. */
const exponent = (few: number, many: number): number => Math.log(many / few) / Math.log(MANY / FEW);

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
    const few = await sent(FEW);
    const many = await sent(MANY);
    for (const which of ['first', 'again'] as const) {
      expect(exponent(few[which][0]!, many[which][0]!), which).toBeLessThan(1.1);
      expect(many[which][0]! / MANY, `${which}: buffers a parameter`).toBeLessThan(5);
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
