/**
 * What every optimizer promises in every precision. A new optimizer is one line in
 * `_optimizers.ts`.
 */
import { GradientAccumulator, type Optimizer, Parameter } from 'tensorless';
import { describe, expect, it } from 'vitest';
import {
  arrayOf,
  dtypes,
  engineCases,
  exactly,
  model,
  numbersOf,
  optimizers,
  product,
  randomArray,
  randomNumbers,
  setGradients,
  shapes,
  snapshot,
  weightBits,
} from './_optimizers.ts';

const STEPS = 6;

/**
 * Trains with gradients of `derivative`, the learning rate (where there is one) falling linearly to
 * zero.
 */
function descend(
  optimizer: Optimizer,
  parameters: readonly Parameter[],
  steps: number,
  derivative: (weights: ArrayLike<number>, index: number) => Float64Array,
): void {
  const rates = optimizer.paramGroups.map((group) => group.lr);
  for (let step = 0; step < steps; step++) {
    for (const [i, parameter] of parameters.entries()) {
      parameter.grad = arrayOf(parameter.dtype, derivative(numbersOf(parameter.dtype, parameter.data), i));
    }
    optimizer.paramGroups.forEach((group, i) => {
      if (rates[i] !== null) group.lr = rates[i]! * (1 - step / steps);
    });
    optimizer.step();
  }
}

describe.each(engineCases)('$name in $dtype on $engine kernels', ({ make, dtype, oneSize }) => {
  it('converges on a quadratic, in every rank', () => {
    const parameters = model(dtype);
    const targets = model(dtype, 2).map((target) => Float64Array.from(numbersOf(dtype, target.data)));
    const loss = (): number[] =>
      parameters.map((parameter, i) => {
        const now = numbersOf(dtype, parameter.data);
        return targets[i]!.reduce((sum, target, k) => sum + (now[k]! - target) ** 2, 0) / targets[i]!.length;
      });
    const before = loss();
    descend(make(parameters), parameters, 2000, (now, i) => targets[i]!.map((target, k) => now[k]! - target));
    loss().forEach((after, i) => {
      // bfloat16 stops where an update is half an ulp of the weight: with lr 0.02, within about 0.1
      // of the target.
      expect(Math.sqrt(after)).toBeLessThan(dtype === 'bfloat16' ? 0.1 : 0.01 * Math.sqrt(before[i]!) + 0.005);
    });
  });

  it.skipIf(oneSize)('converges on the Rosenbrock function', () => {
    // Rows (x, y) of (1 - x)² + 100 (y - x²)²; the only minimum, 0, is at (1, 1).
    const starts = [-0.5, 0.5, 0.2, -0.3, 1.5, 1.2, 0.6, 1.1];
    const value = (xy: ArrayLike<number>): number => {
      let sum = 0;
      for (let k = 0; k < xy.length; k += 2) sum += (1 - xy[k]!) ** 2 + 100 * (xy[k + 1]! - xy[k]! ** 2) ** 2;
      return sum;
    };
    const slope = (xy: ArrayLike<number>): Float64Array => {
      const result = new Float64Array(xy.length);
      for (let k = 0; k < xy.length; k += 2) {
        const across = xy[k + 1]! - xy[k]! ** 2;
        result[k] = -2 * (1 - xy[k]!) - 400 * across * xy[k]!;
        result[k + 1] = 200 * across;
      }
      return result;
    };
    const parameters = [
      new Parameter(arrayOf(dtype, starts), [4, 2], { dtype }),
      new Parameter(arrayOf(dtype, starts), [8], { dtype }),
    ];
    const before = value(starts);
    descend(make(parameters), parameters, 3000, slope);
    for (const parameter of parameters) {
      const after = value(numbersOf(dtype, parameter.data));
      expect(after / before).toBeLessThan(dtype === 'float32' || dtype === 'float64' ? 1e-3 : 3e-3);
    }
  });

  it('keeps arrays, dtypes and shapes, of weights and of state', () => {
    const parameters = model(dtype);
    const arrays = parameters.map((parameter) => parameter.data);
    const optimizer = make(parameters);
    for (let step = 1; step <= 2; step++) {
      setGradients(parameters, step);
      optimizer.step();
    }
    for (const [i, parameter] of parameters.entries()) {
      expect(parameter.data).toBe(arrays[i]);
      expect(parameter.dtype).toBe(dtype);
      expect(parameter.shape).toEqual(shapes[i]);
    }
    const { state } = optimizer.stateDict();
    expect(Object.keys(state)).toEqual(['0', '1', '2', '3']);
    for (const entry of Object.values(state)) {
      expect(entry.step).toBe(2);
      for (const value of Object.values(entry)) {
        if (typeof value === 'number') continue;
        const tensor = value as unknown as { dtype: string; shape: number[]; data: Float32Array };
        expect(tensor.dtype).toBe(dtype === 'float64' ? 'float64' : 'float32');
        expect(tensor.data).toHaveLength(product(tensor.shape));
      }
    }
  });

  it.each(['nearest', 'stochastic'] as const)(
    'continues from its state dict to the same bits at every cut, rounding %s',
    (rounding) => {
      const options = { rounding, seed: 3, weightDecay: 0.1 };
      const whole = model(dtype);
      const optimizer = make(whole, options);
      const cuts: { state: unknown; weights: Parameter['data'][] }[] = [];
      for (let step = 1; step <= STEPS; step++) {
        // Taken while the run goes on: a dict that shared memory with the optimizer would change
        // under it.
        cuts.push({ state: optimizer.stateDict(), weights: whole.map(({ data }) => data.slice()) });
        setGradients(whole, step);
        if (step === 3) whole[1]!.grad = null;
        optimizer.step();
      }
      cuts.forEach(({ state, weights }, cut) => {
        const again = model(dtype, 99);
        again.forEach((parameter, i) => {
          parameter.data.set(weights[i]!);
        });
        // Made with other options: those of the run are in the state dict.
        const resumed = make(again, { weightDecay: 0.5, seed: 9 });
        resumed.loadStateDict(structuredClone(state) as ReturnType<Optimizer['stateDict']>);
        expect(exactly(resumed.stateDict())).toBe(exactly(state));
        for (let step = cut + 1; step <= STEPS; step++) {
          setGradients(again, step);
          if (step === 3) again[1]!.grad = null;
          resumed.step();
        }
        expect(weightBits(again)).toEqual(weightBits(whole));
        expect(exactly(resumed.stateDict())).toBe(exactly(optimizer.stateDict()));
      });
    },
  );

  it('changes nothing in a step without gradients', () => {
    const parameters = model(dtype);
    const optimizer = make(parameters, { weightDecay: 0.1 });
    for (let step = 0; step < 2; step++) {
      const before = snapshot(optimizer);
      optimizer.step();
      expect(snapshot(optimizer)).toEqual(before);
      setGradients(parameters, 1);
      optimizer.step();
      optimizer.zeroGrad();
    }
    expect(parameters.every(({ grad }) => grad === null)).toBe(true);
  });

  it('leaves a parameter without a gradient and its state alone while the others move', () => {
    const [first, second] = model(dtype).slice(1) as [Parameter, Parameter];
    const optimizer = make([first, second], { weightDecay: 0.1 });
    setGradients([first, second], 1);
    optimizer.step();
    const before = { weights: weightBits([first]), state: exactly(optimizer.stateDict().state[0]) };
    const moved = weightBits([second]);
    setGradients([first, second], 2);
    first.grad = null;
    optimizer.step();
    expect(weightBits([first])).toEqual(before.weights);
    expect(exactly(optimizer.stateDict().state[0])).toBe(before.state);
    expect(weightBits([second])).not.toEqual(moved);
  });

  it('trains groups as separate optimizers would', () => {
    const together = model(dtype);
    const apart = model(dtype);
    const joint = make([
      { params: together.slice(0, 2), weightDecay: 0.3 },
      { params: together.slice(2), weightDecay: 0 },
    ]);
    const single = [make(apart.slice(0, 2), { weightDecay: 0.3 }), make(apart.slice(2), { weightDecay: 0 })];
    for (let step = 1; step <= STEPS; step++) {
      setGradients(together, step);
      setGradients(apart, step);
      joint.step();
      for (const optimizer of single) optimizer.step();
    }
    expect(weightBits(together)).toEqual(weightBits(apart));
    expect(joint.paramGroups.map((group) => group.weightDecay)).toEqual([0.3, 0]);
    const saved = joint.stateDict();
    expect(saved.param_groups.map((group) => [group.weight_decay, group.params])).toEqual([
      [0.3, [0, 1]],
      [0, [2, 3]],
    ]);
  });

  it('gives the bits of step() when parameters are stepped alone, in any order', () => {
    const reference = model(dtype);
    const alone = model(dtype);
    const options = { rounding: 'stochastic', seed: 5 } as const;
    const one = make(reference, options);
    const other = make(alone, options);
    for (let step = 1; step <= STEPS; step++) {
      setGradients(reference, step);
      setGradients(alone, step);
      one.step();
      if (step % 3 === 0) other.step();
      else {
        const order = step % 2 === 0 ? [...alone].reverse() : [alone[2]!, alone[0]!, alone[3]!, alone[1]!];
        for (const parameter of order) {
          other.stepParameter(parameter);
          parameter.grad = null;
        }
        if (step % 2 === 0) other.step();
      }
    }
    expect(weightBits(alone)).toEqual(weightBits(reference));
    expect(exactly(other.stateDict())).toBe(exactly(one.stateDict()));
  });

  it('takes a group in the middle of a run, whose parameters start anew', () => {
    const parameters = model(dtype);
    const optimizer = make(parameters.slice(0, 2));
    const early = make(model(dtype).slice(0, 2));
    const reference = early.paramGroups[0]!.params;
    const late = model(dtype).slice(2);
    const fresh = make(late, { weightDecay: 0.2 });
    for (let step = 1; step <= STEPS; step++) {
      if (step === 4) optimizer.addParamGroup({ params: parameters.slice(2), weightDecay: 0.2 });
      setGradients(parameters, step);
      setGradients(reference, step);
      late.forEach((parameter, i) => {
        parameter.grad = parameters[i + 2]!.grad;
      });
      optimizer.step();
      early.step();
      if (step >= 4) fresh.step();
    }
    expect(weightBits(parameters)).toEqual(weightBits([...reference, ...late]));
    expect(Object.values(optimizer.stateDict().state).map((entry) => entry.step)).toEqual([6, 6, 3, 3]);
  });

  it('steps on accumulated gradients as on their mean', () => {
    const accumulated = model(dtype);
    const direct = model(dtype);
    const optimizer = make(accumulated);
    const reference = make(direct);
    const accumulator = new GradientAccumulator(accumulated);
    const random = randomNumbers(4);
    for (let step = 0; step < 3; step++) {
      // Four equal batches: 3g may be rounded, 4g is exact again, and so is the mean.
      const grads = direct.map(({ data }) => randomArray(dtype, data.length, random));
      for (let batch = 0; batch < 4; batch++) {
        accumulated.forEach((parameter, i) => {
          parameter.grad = grads[i]!.slice();
        });
        accumulator.add();
      }
      direct.forEach((parameter, i) => {
        parameter.grad = grads[i]!;
      });
      accumulator.apply();
      optimizer.step();
      reference.step();
      accumulator.reset();
    }
    expect(weightBits(accumulated)).toEqual(weightBits(direct));
  });

  it('returns the loss of a closure that it calls before the update', () => {
    const parameters = model(dtype);
    const reference = model(dtype);
    const optimizer = make(parameters);
    const plain = make(reference);
    setGradients(reference, 1);
    plain.step();
    const loss = optimizer.step(() => {
      setGradients(parameters, 1);
      return 0.25;
    });
    expect(loss).toBe(0.25);
    expect(weightBits(parameters)).toEqual(weightBits(reference));
    expect(optimizer.stepCalls).toBe(1);
    expect(plain.step()).toBeUndefined();
  });

  it('takes empty parameters', () => {
    const parameters = [
      new Parameter(arrayOf(dtype, []), [0], { dtype }),
      new Parameter(arrayOf(dtype, []), [0, 3], { dtype }),
      new Parameter(arrayOf(dtype, []), [3, 0], { dtype }),
      new Parameter(arrayOf(dtype, [1, 2]), [2], { dtype }),
    ];
    const optimizer = make(parameters);
    for (let step = 1; step <= 2; step++) {
      setGradients(parameters, step);
      optimizer.step();
    }
    expect([...numbersOf(dtype, parameters[3]!.data)].every(Number.isFinite)).toBe(true);
    const again = make(parameters);
    again.loadStateDict(structuredClone(optimizer.stateDict()));
    expect(exactly(again.stateDict())).toBe(exactly(optimizer.stateDict()));
  });
});

describe.each(optimizers)('$name with several dtypes at once', ({ make }) => {
  it('gives every parameter the bits that it has alone', () => {
    const mixed = dtypes.flatMap((dtype) => model(dtype));
    const optimizer = make(mixed);
    const alone = dtypes.map((dtype) => model(dtype));
    const optimizers = alone.map((parameters) => make(parameters));
    for (let step = 1; step <= STEPS; step++) {
      alone.forEach((parameters, i) => {
        setGradients(parameters, step);
        setGradients(mixed.slice(4 * i, 4 * i + 4), step);
      });
      optimizer.step();
      for (const each of optimizers) each.step();
    }
    expect(weightBits(mixed)).toEqual(alone.flatMap(weightBits));
  });

  it.each(['bfloat16', 'float16'] as const)('takes float32 gradients beside %s weights', (dtype) => {
    const narrow = model(dtype);
    const wide = model(dtype);
    const one = make(narrow);
    const other = make(wide);
    for (let step = 1; step <= STEPS; step++) {
      setGradients(narrow, step);
      wide.forEach((parameter, i) => {
        parameter.grad = Float32Array.from(numbersOf(dtype, narrow[i]!.grad as Uint16Array));
      });
      one.step();
      other.step();
    }
    expect(weightBits(wide)).toEqual(weightBits(narrow));
  });

  it.each(dtypes)('gives the bits that a large %s parameter has in one piece, wherever it lies in memory', (dtype) => {
    // Larger than one block and one strip; an odd offset leaves 16-bit arrays unaligned for pairs.
    const random = randomNumbers(8);
    const [rows, cols] = [300, 70];
    const values = randomArray(dtype, rows * cols, random);
    const grads = [0, 1].map(() => randomArray(dtype, rows * cols, random));
    const shifted = (array: Parameter['data']): Parameter['data'] => {
      const room = new (array.constructor as typeof Uint16Array)(array.length + 1);
      room.set(array as Uint16Array, 1);
      return room.subarray(1);
    };
    const aligned = new Parameter(values.slice(), [rows, cols], { dtype });
    const offset = new Parameter(shifted(values), [rows, cols], { dtype });
    const options = { rounding: 'stochastic' } as const;
    const [one, other] = [make([aligned], options), make([offset], options)];
    for (const grad of grads) {
      aligned.grad = grad;
      offset.grad = shifted(grad);
      one.step();
      other.step();
    }
    expect(weightBits([offset])).toEqual(weightBits([aligned]));
  });
});
