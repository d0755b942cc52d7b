/**
 * What an optimizer keeps, and that a step in the middle of a run takes no memory that grows with
 * the weights.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Adafactor, AdamW, type DType, Parameter, type StateTensor } from 'tensorless';
import { describe, expect, it } from 'vitest';
import { arrayOf, dtypes } from './_optimizers.ts';

const stateNumbers = (optimizer: Adafactor | AdamW): number =>
  Object.values(optimizer.stateDict().state)
    .flatMap((entry) => Object.values(entry))
    .reduce<number>((sum, value) => sum + (typeof value === 'object' ? (value as StateTensor).data.length : 1), 0);

function trained(
  make: (parameters: Parameter[]) => Adafactor | AdamW,
  shape: number[],
  dtype: DType = 'float32',
): [Adafactor | AdamW, Parameter] {
  const length = shape.reduce((a, b) => a * b, 1);
  const parameter = new Parameter(arrayOf(dtype, new Float32Array(length).fill(1)), shape, { dtype });
  parameter.grad = arrayOf(
    dtype,
    Float32Array.from({ length }, (_, k) => ((k % 13) - 6) / 7),
  );
  const optimizer = make([parameter]);
  optimizer.step();
  return [optimizer, parameter];
}

describe('the state', () => {
  it.each([
    [[64, 48], 64 + 48],
    [[1, 1000], 1001],
    [[1000, 1], 1001],
    [[3, 20, 30], 3 * 50],
    [[2, 3, 4, 5], 6 * 9],
    [[77], 77],
    [[], 1],
  ])(
    'of Adafactor over %j is %i numbers and two scalars: rows and columns, or the whole of a vector',
    (shape, numbers) => {
      expect(stateNumbers(trained((params) => new Adafactor(params), shape)[0])).toBe(numbers + 2);
    },
  );

  it('of AdamW is two numbers a weight and one scalar, of amsgrad three', () => {
    expect(stateNumbers(trained((params) => new AdamW(params), [64, 48])[0])).toBe(2 * 64 * 48 + 1);
    expect(stateNumbers(trained((params) => new AdamW(params, { amsgrad: true }), [64, 48])[0])).toBe(3 * 64 * 48 + 1);
  });
});

/**
 * Bytes of all buffers that are made while `work` runs: every typed array and ArrayBuffer is
 * counted as it is constructed.
 */
function bufferBytes(work: () => void): number {
  let bytes = 0;
  const names = [
    'Float32Array',
    'Float64Array',
    'Uint8Array',
    'Uint16Array',
    'Uint32Array',
    'Int32Array',
    'BigInt64Array',
    'ArrayBuffer',
  ] as const;
  const originals = new Map<string, unknown>(names.map((name) => [name, globalThis[name]]));
  for (const name of names) {
    const original = globalThis[name] as unknown as new (...args: unknown[]) => ArrayBuffer & ArrayBufferView;
    (globalThis as Record<string, unknown>)[name] = new Proxy(original, {
      construct(target, args: unknown[], newTarget) {
        const made = Reflect.construct(
          target,
          args,
          newTarget === (globalThis as Record<string, unknown>)[name] ? target : newTarget,
        ) as ArrayBufferView;
        // A view of memory that is there already takes none.
        if (!(args[0] instanceof ArrayBuffer)) bytes += made.byteLength;
        return made;
      },
    });
  }
  try {
    work();
  } finally {
    for (const [name, original] of originals) (globalThis as Record<string, unknown>)[name] = original;
  }
  return bytes;
}

describe('a steady-state step makes under 64 bytes of buffers, whatever the size', () => {
  const optimizers: [string, (parameters: Parameter[]) => Adafactor | AdamW][] = [
    ['Adafactor', (params) => new Adafactor(params)],
    ['Adafactor with momentum', (params) => new Adafactor(params, { lr: 0.01, relativeStep: false, beta1: 0.9 })],
    ['AdamW', (params) => new AdamW(params)],
  ];
  it.each(optimizers.flatMap(([name, make]) => dtypes.map((dtype) => [name, dtype, make] as const)))(
    '%s, %s',
    (_, dtype, make) => {
      for (const shape of [[16, 16], [300, 700], [100_000], [2, 200, 300]]) {
        const [optimizer] = trained(make, shape, dtype);
        optimizer.step();
        expect(
          bufferBytes(() => optimizer.step()),
          `shape ${shape}`,
        ).toBeLessThan(64);
      }
    },
  );

  it('and the counter counts: a copy of the weights would be seen', () => {
    expect(bufferBytes(() => void new Float32Array(1000))).toBe(4000);
    expect(bufferBytes(() => void new Float32Array([1, 2, 3]))).toBe(12);
  });
});

describe('a gradient that the caller drops after its update', () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;

  it.each(['step', 'stepParameter', 'a refused step'] as const)('is freed: %s', async (method) => {
    const parameter = new Parameter(arrayOf('bfloat16', new Float32Array(4096).fill(1)), [64, 64], {
      dtype: 'bfloat16',
    });
    const optimizer = new AdamW([parameter]);
    const dropped = (() => {
      const gradient = new Uint16Array(4096);
      if (method === 'a refused step') gradient[7] = 0x7fc0;
      parameter.grad = gradient;
      if (method === 'stepParameter') optimizer.stepParameter(parameter);
      else if (method === 'step') optimizer.step();
      else expect(() => optimizer.step()).toThrow('index 7');
      parameter.grad = null;
      return [new WeakRef(gradient), new WeakRef(gradient.buffer)];
    })();
    // A WeakRef's target lives at least until the end of the turn that made it.
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    expect(dropped.map((ref) => ref.deref())).toEqual([undefined, undefined]);
  });
});
