import { Adafactor, AdamW, type DType, fromBfloat16, GradientAccumulator, Parameter, toBfloat16 } from 'tensorless';
import { describe, expect, it } from 'vitest';
import {
  arrayOf,
  bits,
  dtypes,
  exactly,
  model,
  numbersOf,
  randomArray,
  randomNumbers,
  setGradients,
  weightBits,
} from './_optimizers.ts';

/** Least squares on rows x with targets y: the mean gradient of the examples from `first` on. */
function leastSquares(weights: ArrayLike<number>, first: number, count: number): Float64Array {
  const width = weights.length;
  const gradient = new Float64Array(width);
  for (let example = first; example < first + count; example++) {
    const random = randomNumbers(example);
    const x = Float64Array.from({ length: width }, random);
    let error = -random();
    for (let k = 0; k < width; k++) error += x[k]! * weights[k]!;
    for (let k = 0; k < width; k++) gradient[k]! += (x[k]! * error) / count;
  }
  return gradient;
}

function distance(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, largest] = [0, 0];
  for (let k = 0; k < expected.length; k++) {
    difference = Math.max(difference, Math.abs(got[k]! - expected[k]!));
    largest = Math.max(largest, Math.abs(expected[k]!));
  }
  return difference / largest;
}

function zeros(dtype: DType, length: number, name: string): Parameter {
  return new Parameter(arrayOf(dtype, new Float64Array(length)), [length], { dtype, name });
}

describe('k batches accumulated', () => {
  const width = 10;
  const weights = Float64Array.from({ length: width }, randomNumbers(9));

  it.each([
    ['float32', 2 ** -22],
    ['float64', 2 ** -50],
  ] as const)('equal one batch of k times the size, to rounding (%s)', (dtype, limit) => {
    const p = zeros(dtype, width, 'w');
    const accumulator = new GradientAccumulator([p]);
    for (let batch = 0; batch < 16; batch++) {
      p.grad = arrayOf(dtype, leastSquares(weights, 8 * batch, 8));
      accumulator.add();
    }
    expect(accumulator.step).toBe(16);
    accumulator.apply();
    expect(distance(p.grad as Float32Array, leastSquares(weights, 0, 128))).toBeLessThan(limit);
  });

  it('train as one batch of k times the size does', () => {
    const [accumulated, whole] = [zeros('float64', width, 'w'), zeros('float64', width, 'w')];
    for (const make of [(p: Parameter) => new Adafactor([p]), (p: Parameter) => new AdamW([p])]) {
      const [one, other] = [make(accumulated), make(whole)];
      const accumulator = new GradientAccumulator([accumulated]);
      for (let step = 0; step < 10; step++) {
        for (let batch = 0; batch < 4; batch++) {
          accumulated.grad = leastSquares(accumulated.data, 32 * step + 8 * batch, 8);
          accumulator.add();
        }
        accumulator.apply();
        accumulator.reset();
        whole.grad = leastSquares(whole.data, 32 * step, 32);
        one.step();
        other.step();
      }
      expect(distance(accumulated.data, whole.data)).toBeLessThan(1e-9);
    }
  });

  it('lose nothing in 16 bits, as the sums are float32; sums in bfloat16 would', () => {
    const count = 512;
    const p = zeros('bfloat16', width, 'w');
    const accumulator = new GradientAccumulator([p]);
    const exact = new Float64Array(width);
    let narrow: Float32Array = new Float32Array(width);
    for (let batch = 0; batch < count; batch++) {
      // As gradients of examples that agree on the direction: their mean far from zero.
      const random = randomNumbers(batch);
      const bits16 = toBfloat16(Float64Array.from({ length: width }, () => 0.75 + 0.2 * random()));
      p.grad = bits16;
      accumulator.add();
      fromBfloat16(bits16).forEach((g, k) => {
        exact[k]! += g / count;
      });
      narrow = fromBfloat16(toBfloat16(narrow.map((sum, k) => sum + fromBfloat16(bits16)[k]!)));
    }
    p.grad = null;
    accumulator.apply();
    const ours = distance(p.grad as unknown as Float32Array, exact);
    const theirs = distance(
      narrow.map((sum) => sum / count),
      exact,
    );
    console.log(
      `mean of ${count} bfloat16 gradients, relative error: sums in float32 ${ours.toExponential(1)}, in ` +
        `bfloat16 ${theirs.toFixed(2)}`,
    );
    expect(ours).toBeLessThan(1e-6);
    // A bfloat16 sum of 256 has an ulp of 2: gradients under 1 no longer move it.
    expect(theirs).toBeGreaterThan(0.25);
  });
});

describe('GradientAccumulator', () => {
  it.each(dtypes)('writes the mean, or the sum, and keeps its sums until reset (%s)', (dtype) => {
    const p = zeros(dtype, 2, 'w');
    const accumulator = new GradientAccumulator([p]);
    for (const value of [1, 2, 6]) {
      p.grad = arrayOf(dtype, [value, -value]);
      accumulator.add();
    }
    const target = p.grad!;
    accumulator.apply();
    // Into the array that was there, in its own format.
    expect(p.grad).toBe(target);
    expect([...numbersOf(dtype, target as Float32Array)]).toEqual([3, -3]);
    accumulator.apply({ reduction: 'sum' });
    expect([...numbersOf(dtype, target as Float32Array)]).toEqual([9, -9]);
    expect([...accumulator.gradients[0]!]).toEqual([9, -9]);
    expect(accumulator.gradients[0]).toBeInstanceOf(dtype === 'float64' ? Float64Array : Float32Array);
    accumulator.reset();
    expect(accumulator.step).toBe(0);
    expect(accumulator.gradients).toEqual([null]);
    p.grad = arrayOf(dtype, [5, 5]);
    accumulator.add();
    accumulator.apply();
    expect([...numbersOf(dtype, p.grad as Float32Array)]).toEqual([5, 5]);
  });

  it('counts a batch without a gradient in the mean, and leaves null where no batch had one', () => {
    const [a, b] = [zeros('float32', 1, 'a'), zeros('float32', 1, 'b')];
    const accumulator = new GradientAccumulator([a, b]);
    a.grad = new Float32Array([6]);
    accumulator.add();
    a.grad = null;
    accumulator.add();
    b.grad = null;
    accumulator.add();
    accumulator.apply();
    expect([...(a.grad as unknown as Float32Array)]).toEqual([2]);
    expect(b.grad).toBeNull();
    expect(accumulator.gradients[1]).toBeNull();
  });

  it('makes a float32 gradient beside 16-bit weights where there is none', () => {
    const p = zeros('float16', 1, 'w');
    p.grad = new Float32Array([2 ** -30]);
    const accumulator = new GradientAccumulator([p]);
    accumulator.add();
    p.grad = null;
    accumulator.apply();
    expect(p.grad).toEqual(new Float32Array([2 ** -30]));
  });

  it.each([
    ['another parameter’s gradient', (p: Parameter[]) => p[0]!.grad],
    ['a part of it', (p: Parameter[]) => (p[0]!.grad as Float32Array).subarray(0)],
    ['another parameter’s weights', (p: Parameter[]) => p[0]!.data],
    ['a sum', (_: Parameter[], sums: readonly unknown[]) => sums[0]],
  ] as const)('gives a gradient array of its own to one that shares memory with %s', (_, shared) => {
    const parameters = [0, 1].map(() => new Parameter(Float32Array.of(5, 5)));
    const [a, b] = parameters as [Parameter, Parameter];
    const accumulator = new GradientAccumulator(parameters);
    for (const weight of [1, 3]) {
      a.grad = Float32Array.of(1, weight);
      b.grad = Float32Array.of(2, weight);
      accumulator.add();
    }
    const kept = a.grad;
    b.grad = shared(parameters, accumulator.gradients) as Float32Array;
    accumulator.apply();
    expect([...a.grad!, ...b.grad!]).toEqual([1, 2, 2, 2]);
    expect(a.grad).toBe(kept);
    expect([...a.data, ...b.data]).toEqual([5, 5, 5, 5]);
    expect(accumulator.gradients.map((sum) => [...sum!])).toEqual([
      [2, 4],
      [4, 4],
    ]);
  });

  it('does not hold on to the gradients it has added', () => {
    const p = zeros('float32', 2, 'w');
    const gradient = new Float32Array([1, 2]);
    p.grad = gradient;
    const accumulator = new GradientAccumulator([p]);
    accumulator.add();
    gradient.fill(100);
    expect([...accumulator.gradients[0]!]).toEqual([1, 2]);
  });

  it.each(dtypes)('is cut in the middle of a window and goes on to the same bits (%s)', (dtype) => {
    const build = (): { parameters: Parameter[]; optimizer: AdamW; accumulator: GradientAccumulator } => {
      const parameters = model(dtype);
      return { parameters, optimizer: new AdamW(parameters), accumulator: new GradientAccumulator(parameters) };
    };
    const run = ({ parameters, optimizer, accumulator }: ReturnType<typeof build>, from: number, to: number): void => {
      for (let batch = from; batch < to; batch++) {
        setGradients(parameters, batch);
        if (batch % 3 === 1) parameters[1]!.grad = null;
        accumulator.add();
        if (batch % 4 === 3) {
          accumulator.apply();
          optimizer.step();
          accumulator.reset();
        }
      }
    };
    const whole = build();
    run(whole, 0, 12);
    for (let cut = 0; cut < 12; cut++) {
      const before = build();
      run(before, 0, cut);
      const saved = structuredClone({
        optimizer: before.optimizer.stateDict(),
        accumulator: before.accumulator.stateDict(),
        weights: before.parameters.map(({ data }) => data),
      });
      const after = build();
      after.optimizer.loadStateDict(saved.optimizer);
      after.accumulator.loadStateDict(saved.accumulator);
      after.parameters.forEach((parameter, i) => {
        parameter.data.set(saved.weights[i]!);
      });
      expect(exactly(after.accumulator.stateDict())).toBe(exactly(saved.accumulator));
      run(after, cut, 12);
      expect(weightBits(after.parameters)).toEqual(weightBits(whole.parameters));
    }
  });

  it('gives and takes state that is not its own memory', () => {
    const p = zeros('float32', 3, 'w');
    const accumulator = new GradientAccumulator([p]);
    p.grad = randomArray('float32', 3, randomNumbers(1));
    accumulator.add();
    const saved = accumulator.stateDict();
    const before = exactly(saved);
    accumulator.add();
    expect(exactly(saved)).toBe(before);
    accumulator.loadStateDict(saved);
    accumulator.add();
    accumulator.add();
    expect(exactly(saved)).toBe(before);
    const sums = bits(accumulator.gradients[0]!);
    expect(sums).not.toBe(bits(p.grad as Float32Array));
  });
});

describe('weights of batches', () => {
  it.each(dtypes)('make the mean that of all tokens together (%s)', (dtype) => {
    // Means over 3, 1 and 4 tokens: transformers' pull request 34191 mended the mean of means.
    const means = [
      [1, 2],
      [5, -2],
      [3, 0.5],
    ];
    const counts = [3, 1, 4];
    const parameter = new Parameter(arrayOf(dtype, [0, 0]), [2], { dtype });
    const accumulator = new GradientAccumulator([parameter]);
    for (const [i, mean] of means.entries()) {
      parameter.grad = arrayOf(dtype, mean);
      accumulator.add({ weight: counts[i]! });
    }
    accumulator.apply();
    expect([...numbersOf(dtype, parameter.grad as Float32Array)]).toEqual([(3 + 5 + 12) / 8, (6 - 2 + 2) / 8]);
    accumulator.apply({ reduction: 'sum' });
    expect([...numbersOf(dtype, parameter.grad as Float32Array)]).toEqual([20, 6]);
  });

  it('of 1 give the bits of none, whatever came first', () => {
    const make = (): [Parameter, GradientAccumulator] => {
      const parameter = new Parameter(new Float32Array(5), { name: 'w' });
      return [parameter, new GradientAccumulator([parameter])];
    };
    const [[a, one], [b, two]] = [make(), make()];
    for (let step = 0; step < 4; step++) {
      a.grad = Float32Array.from({ length: 5 }, (_, k) => Math.sin(7 * step + k));
      b.grad = Float32Array.from(a.grad);
      one.add();
      two.add({ weight: 1 });
    }
    expect(two.stateDict()).toEqual(one.stateDict());
  });

  it('are saved and counted on; a dict without them counts 1 a batch', () => {
    const make = (): [Parameter, GradientAccumulator] => {
      const parameter = new Parameter(new Float32Array(1), { name: 'w' });
      parameter.grad = Float32Array.of(2);
      return [parameter, new GradientAccumulator([parameter])];
    };
    const [, first] = make();
    first.add({ weight: 3 });
    const [parameter, next] = make();
    next.loadStateDict(first.stateDict());
    next.add({ weight: 1 });
    next.apply();
    expect(parameter.grad![0]).toBe(2);
    const { weight, ...old } = first.stateDict() as Record<string, never>;
    expect(weight).toBe(3);
    next.loadStateDict(old);
    next.add();
    next.apply();
    expect(parameter.grad![0]).toBe(4);
  });

  it('that are wrong, or sum to 0 for a mean, are refused with nothing added', () => {
    const parameter = new Parameter(new Float32Array(1));
    parameter.grad = Float32Array.of(2);
    const accumulator = new GradientAccumulator([parameter]);
    for (const weight of [-1, Number.NaN, Number.POSITIVE_INFINITY, '1', null])
      expect(() => accumulator.add({ weight: weight as number })).toThrow('add: weight must be');
    expect(() => accumulator.add({ wieght: 1 } as object)).toThrow('Did you mean "weight"');
    expect(accumulator.step).toBe(0);
    accumulator.add({ weight: 0 });
    expect(() => accumulator.apply()).toThrow('the weights of all batches sum to 0');
    accumulator.apply({ reduction: 'sum' });
    expect(parameter.grad![0]).toBe(0);
  });
});

describe('sums find their parameters', () => {
  const make = (names: (string | undefined)[]): [Parameter[], GradientAccumulator] => {
    const parameters = names.map((name) => new Parameter(new Float32Array(1), name === undefined ? {} : { name }));
    for (const [i, parameter] of parameters.entries()) parameter.grad = Float32Array.of(i + 1);
    return [parameters, new GradientAccumulator(parameters)];
  };

  it('by name, whatever the order', () => {
    const [, saved] = make(['a', 'b', 'c']);
    saved.add();
    const [, other] = make(['c', 'a', 'b']);
    other.loadStateDict(saved.stateDict());
    expect(other.gradients.map((sum) => sum![0])).toEqual([3, 1, 2]);
  });

  it('by position where one side has none; other names are refused, with nothing changed', () => {
    const [, saved] = make(['a', 'b']);
    saved.add();
    const [, bare] = make([undefined, undefined]);
    bare.loadStateDict(saved.stateDict());
    expect(bare.gradients.map((sum) => sum![0])).toEqual([1, 2]);
    const [, other] = make(['a', 'x']);
    expect(() => other.loadStateDict(saved.stateDict())).toThrow('"b" was saved but is not here, and "x" is here');
    expect(other.step).toBe(0);
  });
});
