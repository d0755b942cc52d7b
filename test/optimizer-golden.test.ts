import { Adafactor, type Optimizer, Parameter, type SavedGroup, type StateTensor, type StateValue } from 'tensorless';
import { describe, expect, it } from 'vitest';
import {
  arrayOf,
  camelCase,
  type Golden,
  type GoldenArray,
  goldenClasses,
  goldenNames,
  kindOf,
  numbersOf,
  readGolden,
} from './golden.ts';

/** Runs a recorded case here; `after(step)` sees the parameters after each step. */
function run(golden: Golden, after: (step: number, parameters: Parameter[], optimizer: Optimizer) => void): Optimizer {
  const parameters = golden.params.map(
    ({ name, array }) => new Parameter(arrayOf(array), array.shape, { name, dtype: array.dtype }),
  );
  const optimizer: Optimizer = new goldenClasses[kindOf(golden)](parameters, camelCase(golden.options));
  golden.grads.forEach((row, step) => {
    row.forEach((grad, i) => {
      parameters[i]!.grad = grad === null ? null : arrayOf(grad);
    });
    optimizer.step();
    after(step, parameters, optimizer);
  });
  return optimizer;
}

/** Largest relative difference; magnitudes under `floor` count as `floor`. */
function distance(got: ArrayLike<number>, expected: ArrayLike<number>, floor: number): number {
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(got[i]! - expected[i]!) / Math.max(Math.abs(expected[i]!), floor);
    if (!(d <= largest)) largest = d;
  }
  return largest;
}

/** Root of the mean squared difference to the exact run, over all values of all parameters. */
function rmsError(got: ArrayLike<number>[], exact: ArrayLike<number>[]): number {
  let sum = 0;
  let count = 0;
  exact.forEach((row, i) => {
    for (let k = 0; k < row.length; k++) {
      sum += (got[i]![k]! - row[k]!) ** 2;
      count++;
    }
  });
  return Math.sqrt(sum / count);
}

/**
 * What a faithful implementation shows against PyTorch's own result (see vectors/README.md), per
 * dtype and optimizer.
 */
const tolerance = {
  float64: { Adafactor: 1e-14, AdamW: 1e-14, Lion: 1e-12, SGD: 1e-14 },
  float32: { Adafactor: 1.2e-6, AdamW: 7.2e-6, Lion: 2e-5, SGD: 1e-5 },
};

const ratios: Record<string, number> = {};

describe.each(goldenNames)('%s, as PyTorch recorded it', (name) => {
  const golden = readGolden(name);
  const dtype = golden.params[0]!.array.dtype;
  const kind = kindOf(golden);
  const final: Parameter[] = [];
  const seen: { step: number; values: ArrayLike<number>[]; bits: ArrayLike<number>[] }[] = [];
  const rates: (number | undefined)[][] = [];
  const optimizer = run(golden, (step, parameters, optimizer) => {
    if (golden.checked.includes(step)) {
      seen.push({
        step,
        values: parameters.map((p) => numbersOf(p.data, p.dtype).slice()),
        bits: parameters.map((p) => p.data.slice()),
      });
    }
    if (optimizer instanceof Adafactor) rates.push(parameters.map((p) => optimizer.effectiveLr(p)));
    if (step === golden.grads.length - 1) final.push(...parameters);
  });
  const state = optimizer.stateDict();

  it('gives the recorded weights', () => {
    seen.forEach(({ values, bits }, i) => {
      golden.after[i]!.forEach((expected, j) => {
        if (dtype === 'bfloat16' || dtype === 'float16') {
          expect([...(bits[j] as Uint16Array)]).toEqual([...arrayOf(expected)]);
        } else {
          expect(distance(values[j]!, arrayOf(expected), 1e-3)).toBeLessThanOrEqual(tolerance[dtype][kind]);
        }
      });
    });
  });

  it('gives the recorded state dict, key by key', () => {
    // PyTorch's SGD counts no steps, and has no entry without momentum.
    if (kind === 'SGD') for (const entry of Object.values(state.state)) delete entry.step;
    const entries = Object.entries(state.state).filter(([, entry]) => Object.keys(entry).length > 0);
    expect(entries.map(([index]) => index)).toEqual(Object.keys(golden.state_dict.state));
    for (const [index, entry] of Object.entries(golden.state_dict.state)) {
      const ours = state.state[index]!;
      // lion-pytorch counts no steps.
      const keys = kind === 'Lion' ? ['step', ...Object.keys(entry)] : Object.keys(entry);
      expect(Object.keys(ours)).toEqual(keys);
      for (const [key, value] of Object.entries(entry)) {
        if (typeof value === 'number') expect(ours[key]).toBe(value);
        else if (value.shape.length === 0 && typeof ours[key] === 'number') {
          expect(distance([ours[key]], arrayOf(value), 1e-30)).toBeLessThan(dtype === 'float64' ? 1e-14 : 1e-6);
        } else {
          const tensor = ours[key] as unknown as GoldenArray & { data: Float32Array };
          expect(tensor.dtype).toBe(value.dtype);
          expect(tensor.shape).toEqual(value.shape);
          // Moments cancel: the error is measured against the largest, as it comes from terms of
          // that size.
          const floor = Math.max(...[...arrayOf(value)].map(Math.abs));
          expect(distance(tensor.data, arrayOf(value), floor)).toBeLessThan(dtype === 'float64' ? 1e-14 : 1e-6);
        }
      }
    }
    // The recorded run gave its parameters no names.
    const groups = state.param_groups.map(({ param_names, ...group }) => group);
    expect(JSON.parse(JSON.stringify(groups))).toEqual(golden.state_dict.param_groups);
    expect(Object.keys(groups[0]!)).toEqual(Object.keys(golden.state_dict.param_groups[0]!));
    expect(state.param_groups[0]!.param_names).toEqual(golden.params.map(({ name }) => name));
  });

  it('loads PyTorch’s state dict, 0-d tensors and all, and goes on with it', () => {
    const tensors = (value: GoldenArray | number): StateValue =>
      typeof value === 'number' ? value : { ...value, data: arrayOf(value) };
    const entries = Object.entries(golden.state_dict.state).map(
      ([index, entry]): [string, Record<string, StateValue>] => [
        index,
        Object.fromEntries(Object.entries(entry).map(([key, value]) => [key, tensors(value)])),
      ],
    );
    const theirs = { state: Object.fromEntries(entries), param_groups: golden.state_dict.param_groups as SavedGroup[] };
    const parameters = golden.params.map(
      ({ array }) => new Parameter(arrayOf(array), array.shape, { dtype: array.dtype }),
    );
    const fresh: Optimizer = new goldenClasses[kind](parameters);
    fresh.loadStateDict(theirs);
    const loaded = fresh.stateDict();
    expect(JSON.parse(JSON.stringify(loaded.param_groups))).toEqual(golden.state_dict.param_groups);
    for (const [index, entry] of entries) {
      for (const [key, value] of Object.entries(entry)) {
        const ours = loaded.state[index]![key];
        if (typeof value === 'number') expect(ours).toBe(value);
        else if (typeof ours === 'number') expect(ours).toBe((value as StateTensor).data[0]);
        else expect(ours).toEqual(value);
      }
    }
    for (const parameter of parameters) parameter.grad = parameter.data.slice();
    expect(() => fresh.step()).not.toThrow();
    expect(fresh.stateDict().state[0]!.step).toBe(((loaded.state[0]?.step as number | undefined) ?? 0) + 1);
  });

  if (golden.lr !== undefined)
    it('uses the recorded learning rates', () => {
      golden.lr!.forEach((row, step) => {
        row.forEach((lr, i) => {
          if (lr === null) expect(rates[step]![i]).toBeUndefined();
          // The RMS in it is a float32 there: half an ulp of it, and the drift of the weights.
          else expect(distance([rates[step]![i]!], [lr], 1e-12)).toBeLessThan(dtype === 'float64' ? 1e-14 : 1e-6);
        });
      });
    });

  if (golden.exact !== undefined)
    it('is at least as close to exact arithmetic as PyTorch', () => {
      const exact = golden.exact!.map(arrayOf);
      const theirs = golden.after.at(-1)!.map(arrayOf);
      const ratio =
        rmsError(
          final.map((p) => p.data),
          exact,
        ) / rmsError(theirs, exact);
      // SGD rounds what PyTorch rounds: about once its error.
      if (kind !== 'SGD') ratios[name] = ratio;
      expect(ratio).toBeLessThanOrEqual(1.02);
    });
});

describe('rounding error over all float32 cases but those of SGD', () => {
  it('is on average about 0.8 times that of PyTorch', () => {
    const all = Object.entries(ratios);
    const mean = all.reduce((sum, [, ratio]) => sum + ratio, 0) / all.length;
    const rows = all.map(([name, ratio]) => `  ${name.padEnd(30)} ${ratio.toFixed(3)}`);
    console.log(
      `RMS error to the exact run, as a multiple of PyTorch's:\n${rows.join('\n')}\n  mean ${mean.toFixed(3)}`,
    );
    expect(mean).toBeLessThan(0.82);
  });
});
