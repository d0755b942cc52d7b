/**
 * Wrong arrays for parameters, clipping and accumulation are refused by name, and change nothing.
 */
import { clipGradNorm, GradientAccumulator, Parameter } from 'tensorless';
import { describe, expect, it } from 'vitest';
import { exactly, model, setGradients } from './_optimizers.ts';
import { errorOf, hostile } from './_refusals.ts';
import {
  notCounts,
  notFinite,
  notGradients,
  notNonNegative,
  notNumbers,
  notParameters,
  notRecords,
  notStrings,
} from './_wrong-values.ts';

describe('Parameter', () => {
  it.each([
    null,
    undefined,
    1,
    'x',
    {},
    [1, 2],
    1n,
    () => 1,
    new Int32Array(2),
    new Uint8Array(2),
    new BigInt64Array(2),
  ])('refuses %o for data', (...wrong) => {
    const data = wrong.length > 1 ? wrong : wrong[0];
    expect(errorOf(() => new Parameter(data as never, undefined, { name: 'w' })).message).toMatch(
      'Parameter "w": data must be',
    );
  });

  it('refuses wrong shapes', () => {
    for (const shape of [null, 4, '4', () => [4], new Int32Array([2, 2])]) {
      expect(errorOf(() => new Parameter(new Float32Array(4), shape as never)).message).toMatch(
        'shape must be an array',
      );
    }
    for (const dim of [...notNumbers, ...notFinite, -1, 1.5, 2 ** 53]) {
      expect(errorOf(() => new Parameter(new Float32Array(4), [dim as never, 4])).message).toMatch('shape[0] must be');
    }
    expect(errorOf(() => new Parameter(new Float32Array(4), [3, 2])).message).toMatch(
      '[3, 2] has 6 elements but data has 4',
    );
    expect(errorOf(() => new Parameter(new Float32Array(4), [])).message).toMatch('has 1 elements but data has 4');
  });

  it('refuses dtypes that do not fit the data', () => {
    expect(errorOf(() => new Parameter(new Uint16Array(2))).message).toMatch(
      'dtype of a Uint16Array must be bfloat16 or float16',
    );
    expect(errorOf(() => new Parameter(new Uint16Array(2), [2], { dtype: 'float32' })).message).toMatch(
      'dtype of a Uint16Array must be bfloat16 or float16',
    );
    expect(errorOf(() => new Parameter(new Float32Array(2), [2], { dtype: 'bfloat16' })).message).toMatch(
      'dtype of a Float32Array must be float32',
    );
    for (const dtype of ['fp16', 'Float32', '', null, 1, {}]) {
      expect(errorOf(() => new Parameter(new Float32Array(2), [2], { dtype: dtype as never })).message).toMatch(
        'dtype of a Float32Array must be float32',
      );
    }
  });

  it('refuses wrong names and options', () => {
    for (const name of notStrings) {
      expect(errorOf(() => new Parameter(new Float32Array(2), [2], { name: name as never })).message).toMatch(
        'name must be a string',
      );
    }
    for (const wrong of [null, 1, 'name', true]) {
      expect(errorOf(() => new Parameter(new Float32Array(2), [2], wrong as never)).message).toMatch(
        'options must be an object',
      );
    }
    for (const wrong of [{ nam: 'w' }, hostile('{"__proto__": {}}')]) {
      expect(errorOf(() => new Parameter(new Float32Array(2), [2], wrong as never)).message).toMatch('unknown option');
    }
  });
});

describe('clipGradNorm', () => {
  it('refuses a wrong maxNorm and wrong parameters by name', () => {
    const parameter = new Parameter(new Float32Array(2), [2], { name: 'w' });
    parameter.grad = new Float32Array([3, 4]);
    // Infinity asks for the norm.
    const notNorms = notNonNegative.filter((wrong) => wrong !== Number.POSITIVE_INFINITY);
    for (const wrong of [null, undefined, ...notNorms]) {
      expect(errorOf(() => clipGradNorm([parameter], wrong as never)).message).toMatch('clipGradNorm: maxNorm');
    }
    for (const wrong of [...notParameters, parameter]) {
      expect(errorOf(() => clipGradNorm(wrong as never, 1)).message).toMatch('clipGradNorm: params');
    }
    for (const wrong of notGradients) {
      const odd = new Parameter(new Float32Array(2), [2], { name: 'odd' });
      odd.grad = wrong as never;
      expect(errorOf(() => clipGradNorm([parameter, odd], 1)).message).toMatch(
        'clipGradNorm: parameter "odd": grad must',
      );
    }
    expect(parameter.grad).toEqual(new Float32Array([3, 4]));
  });
});

describe('GradientAccumulator', () => {
  function filled(): { accumulator: GradientAccumulator; parameters: Parameter[]; state: () => string } {
    const parameters = model('float32');
    const accumulator = new GradientAccumulator(parameters);
    setGradients(parameters, 1);
    accumulator.add();
    return {
      accumulator,
      parameters,
      state: () => exactly([accumulator.stateDict(), parameters.map(({ grad }) => grad)]),
    };
  }

  it('refuses what are no parameters', () => {
    const parameter = new Parameter(new Float32Array(2), [2], { name: 'w' });
    for (const wrong of [...notParameters, parameter, []]) {
      expect(errorOf(() => new GradientAccumulator(wrong as never)).message).toMatch('GradientAccumulator: params');
    }
    expect(errorOf(() => new GradientAccumulator([parameter, parameter])).message).toMatch('"w" is given twice');
  });

  it.each(['add', 'apply'] as const)('refuses a wrong gradient in %s, and adds or writes none', (method) => {
    const odd = new Parameter(new Float32Array(2), [2], { name: 'odd' });
    const fine = new Parameter(new Float32Array(2), [2], { name: 'fine' });
    const accumulator = new GradientAccumulator([fine, odd]);
    fine.grad = new Float32Array([1, 2]);
    accumulator.add();
    fine.grad = new Float32Array([7, 7]);
    for (const wrong of notGradients) {
      odd.grad = wrong as never;
      const before = exactly(accumulator.stateDict());
      const { message } = errorOf(() => accumulator[method]());
      expect(message).toMatch(`GradientAccumulator.${method}: parameter "odd": grad must`);
      expect(exactly(accumulator.stateDict())).toBe(before);
      expect(fine.grad).toEqual(new Float32Array([7, 7]));
    }
  });

  it('refuses wrong options of apply, and to apply nothing', () => {
    const { accumulator, state } = filled();
    const before = state();
    for (const wrong of notRecords) {
      expect(errorOf(() => accumulator.apply(wrong as never)).message).toMatch('GradientAccumulator.apply: options');
    }
    for (const wrong of ['max', '', 1, true, {}, 'Mean']) {
      expect(errorOf(() => accumulator.apply({ reduction: wrong as never })).message).toMatch(
        'apply: reduction must be one of',
      );
    }
    expect(errorOf(() => accumulator.apply({ reducton: 'sum' } as never)).message).toMatch('Did you mean "reduction"?');
    expect(state()).toBe(before);
    accumulator.reset();
    expect(errorOf(() => accumulator.apply()).message).toMatch('nothing was added');
  });

  it('refuses state dicts that do not fit and keeps its sums', () => {
    const { accumulator, state } = filled();
    const saved = accumulator.stateDict() as unknown as { step: number; gradients: object[] };
    const last = saved.gradients[3]!;
    const before = state();
    const wrong: [unknown, string][] = [
      ...[...notRecords, undefined].map((value): [unknown, string] => [value, 'the state dict must be an object']),
      [{ gradients: saved.gradients }, 'key "step" is missing'],
      [{ step: 1 }, 'key "gradients" is missing'],
      [{ ...saved, extra: 1 }, 'unknown key "extra"'],
      [Object.assign(hostile('{"__proto__": {}}'), saved), 'unknown key "__proto__"'],
      ...[null, ...notCounts].map((value): [unknown, string] => [{ ...saved, step: value }, 'step']),
      [{ ...saved, step: 0 }, 'step is 0'],
      [{ ...saved, gradients: {} }, 'gradients must list 4'],
      [{ ...saved, gradients: saved.gradients.slice(1) }, 'gradients must list 4'],
      ...[
        1,
        'x',
        {},
        [],
        { ...last, shape: [30] },
        { ...last, dtype: 'float64' },
        { ...last, data: new Float32Array(3) },
      ].map((value): [unknown, string] => [
        { step: 5, gradients: [null, null, null, value] },
        'the sum of parameter "p3"',
      ]),
    ];
    for (const [dict, message] of wrong) {
      const error = errorOf(() => accumulator.loadStateDict(dict as never));
      expect(error.message).toMatch('GradientAccumulator.loadStateDict');
      expect(error.message).toMatch(message);
      expect(state()).toBe(before);
    }
  });
});
