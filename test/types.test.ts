/**
 * What users write compiles without casts, and what they misspell does not: `tsc -p test` reads the
 * second half, which never runs.
 */
import { Adafactor, AdamW, type GradientOf, Lion, type Optimizer, Parameter, type ParamGroup } from 'tensorless';
import { expect, expectTypeOf, it } from 'vitest';

it('a parameter has the type of its array, an optimizer that of its options', () => {
  const w = new Parameter(new Float32Array(6), [2, 3], { name: 'w' });
  const h = new Parameter(new Uint16Array(2), { dtype: 'bfloat16' });
  const d = new Parameter(new Float64Array(2), { name: 'bias' });
  expectTypeOf(w).toExtend<Parameter<Float32Array>>();
  expectTypeOf(d.data).toExtend<Float64Array>();
  expectTypeOf(h.grad).toEqualTypeOf<GradientOf<Uint16Array<ArrayBuffer>> | null>();
  w.grad = new Float32Array(6);
  h.grad = new Float32Array(2);
  h.grad = new Uint16Array(2);
  d.grad = new Float64Array(2);
  const first: number | undefined = w.grad?.[0];
  const sum: number = w.data.reduce((x, y) => x + y, 0);
  const adamw = new AdamW([{ params: w, weightDecay: 0, name: 'head' }, { params: [] }, { params: new Set([h]) }]);
  expectTypeOf(adamw.paramGroups[0]!.betas).toEqualTypeOf<readonly [number, number]>();
  expectTypeOf(adamw.paramGroups[0]!.lr).toEqualTypeOf<number | null>();
  const adafactor = new Adafactor([{ params: [w], lr: 1e-3, relativeStep: false }], { beta1: null, seed: 1 });
  expectTypeOf(adafactor.paramGroups[0]!.beta1).toEqualTypeOf<number | null>();
  const lion = new Lion([d], { lr: 1e-4, betas: [0.9, 0.99], weightDecay: 0.1, rounding: 'stochastic' });
  // Any of them is an Optimizer, and its groups' parameters are Parameters.
  const all: readonly Optimizer[] = [adamw, adafactor, lion];
  const groups: readonly ParamGroup[] = all.flatMap(({ paramGroups }) => paramGroups);
  expectTypeOf(all[0]!.parameters).toEqualTypeOf<readonly Parameter[]>();
  const loss: number | undefined = lion.step(() => 0.5);
  for (const one of all) one.loadStateDict(one.stateDict());
  expect([first, sum, loss, groups.length]).toEqual([0, 0, 0.5, 5]);
  expect(mistakes).toBeTypeOf('function');
});

/** Each of these lines is an error of the compiler's; `tsc` complains of one that is none. */
function mistakes(w: Parameter<Float32Array>, h: Parameter<Uint16Array>, d: Parameter<Float64Array>): void {
  // @ts-expect-error a misspelt option in a group
  new AdamW([{ params: [w], weigthDecay: 0 }]);
  // @ts-expect-error an option of another optimizer in a group
  new Adafactor([{ params: [w], betas: [0.9, 0.99] }]);
  // @ts-expect-error an option of another optimizer
  new Lion([w], { eps: 1e-8 });
  // @ts-expect-error PyTorch's spelling
  new AdamW([w], { weight_decay: 0.1 });
  // @ts-expect-error one beta
  new Lion([w], { betas: [0.9] });
  // @ts-expect-error kernels are the optimizer's, not a group's
  new AdamW([{ params: [w], kernels: undefined }]);
  // @ts-expect-error no such policy
  new AdamW([w], { nonFinite: 'ignore' });
  // @ts-expect-error an array is no parameter
  new AdamW([new Float32Array(2)]);
  // @ts-expect-error no such format
  new Parameter(new Uint16Array(2), { dtype: 'float8' });
  // @ts-expect-error a list of numbers
  new Parameter([1, 2]);
  // @ts-expect-error the data is fixed
  w.data = new Float32Array(6);
  // @ts-expect-error so is the shape
  w.shape = [6];
  // @ts-expect-error a gradient of another precision
  d.grad = new Float32Array(2);
  // @ts-expect-error numbers beside bits are float32
  h.grad = new Float64Array(2);
  // @ts-expect-error the list of groups is fixed
  new AdamW([w]).paramGroups = [];
}
