/**
 * Cost grows no faster than the work: what a call does at 2,000 and at 20,000 parameters, as an
 * exponent. Times are ratios of the least of several, so that a slow machine changes nothing; a
 * quadratic one has 2.
 */
import { Adafactor, AdamW, GradientAccumulator, Parameter } from 'tensorless';
import { decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { simdKernels } from 'tensorless/simd';
import { describe, expect, it } from 'vitest';

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
  'decodeTrainingState, by name': (count) => {
    const parameters = parametersOf(count, (i) => `p${i}`);
    const optimizer = new Adafactor(parameters);
    gradients(parameters);
    optimizer.step();
    const bytes = encodeTrainingState({ parameters, optimizer });
    return () => void decodeTrainingState(bytes, { parameters, optimizer });
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
