/**
 * What the tests of refused input share: how an error is looked at, and the optimizers with wrong
 * values for each of their options.
 */
import { Adafactor, AdamW, type DType, Lion, type Optimizer, type Parameter } from 'tensorless';
import { expect } from 'vitest';
import { model, setGradients, snapshot } from './_optimizers.ts';
import { notBooleans, notCounts, notDecay, notFinite, notNonNegative, notNumbers } from './_wrong-values.ts';
/**
 * The error of a call; fails where there is none, or one that is neither a TypeError nor a
 * RangeError.
 */
export function errorOf(call: () => unknown): Error {
  let error: unknown;
  try {
    call();
  } catch (thrown) {
    error = thrown;
  }
  if (!(error instanceof TypeError || error instanceof RangeError)) {
    throw new Error(`expected a TypeError or RangeError, got ${String(error)}`);
  }
  return error;
}

/** Checks that the call is refused with these words and that the optimizer is as it was. */
export function refuses(optimizer: Optimizer, call: () => unknown, ...words: (string | RegExp)[]): void {
  const before = snapshot(optimizer);
  const { message } = errorOf(call);
  for (const word of words) expect(message).toMatch(word);
  expect(snapshot(optimizer)).toEqual(before);
}

/** An optimizer with two steps of state and gradients for the third. */
export function trained(
  make: (parameters: Parameter[]) => Optimizer,
  dtype: DType = 'float32',
): [Optimizer, Parameter[]] {
  const parameters = model(dtype);
  const optimizer = make(parameters);
  for (let step = 1; step <= 3; step++) {
    setGradients(parameters, step);
    if (step < 3) optimizer.step();
  }
  return [optimizer, parameters];
}

export const hostile = (text: string): never => JSON.parse(text) as never;
export const notPairs = (wrong: readonly unknown[]): unknown[] => [
  null,
  1,
  'ab',
  {},
  [],
  [0.1],
  [0.1, 0.1, 0.1],
  new Float64Array(2),
  ...wrong.flatMap((value) => [
    [value, 0.5],
    [0.5, value],
  ]),
];
export const notOneOf = [null, '', 'x', 'Skip', 1, true, {}, ['skip']];
export const common = { nonFinite: notOneOf, rounding: notOneOf, seed: notCounts };

export const optimizers: {
  name: string;
  make: (parameters: never, options?: never) => Optimizer;
  options: Record<string, readonly unknown[]>;
}[] = [
  {
    name: 'Adafactor',
    make: (parameters, options) => new Adafactor(parameters, options),
    options: {
      lr: notNonNegative,
      eps: notPairs(notNonNegative),
      clipThreshold: [...notNonNegative, 0],
      decayRate: [...notNumbers, ...notFinite, 0.5],
      beta1: notDecay,
      weightDecay: notNonNegative,
      scaleParameter: notBooleans,
      relativeStep: notBooleans,
      warmupInit: notBooleans,
      ...common,
    },
  },
  {
    name: 'AdamW',
    make: (parameters, options) => new AdamW(parameters, options),
    options: {
      lr: [null, ...notNonNegative],
      betas: notPairs(notDecay),
      eps: [null, ...notNonNegative],
      weightDecay: [null, ...notNonNegative],
      correctBias: notBooleans,
      amsgrad: notBooleans,
      maximize: notBooleans,
      ...common,
    },
  },
  {
    name: 'Lion',
    make: (parameters, options) => new Lion(parameters, options),
    options: {
      lr: [null, ...notNonNegative],
      betas: notPairs(notDecay),
      weightDecay: [null, ...notNonNegative],
      ...common,
    },
  },
];
