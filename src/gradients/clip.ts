/**
 * Clipping of all gradients together: by their joint norm (Pascanu, Mikolov & Bengio 2013, "On the
 * difficulty of training recurrent neural networks"), or element by element. Adafactor clips its
 * updates by itself; transformers' documentation advises against clipping gradients beside it.
 *
 * @module
 */
import { options as checkedOptions, number } from '../core/check.ts';
import { pow } from '../core/math.ts';
import { label, type Parameter, parametersOf } from '../core/parameter.ts';
import { checkedKernels, type Kernels } from '../engine/kernels.ts';
import { total, type Work } from '../engine/work.ts';
import { formatOf, GradientPasses, one, type Runs } from './gradient-passes.ts';

/** Options of {@link clipGradValue}. */
export interface ClipOptions {
  /**
   * Whose loops do the work: give the optimizer's. Default: the TypeScript loops; the bits are the
   * same.
   */
  kernels?: Kernels;
}

/** Options of {@link clipGradNorm}. */
export interface ClipNormOptions extends ClipOptions {
  /** p of the norm, greater than 0; default 2. Infinity: the largest absolute value. */
  normType?: number;
}

/** Takes every gradient in once. */
function take(where: string, params: Iterable<Parameter>, passes: GradientPasses): void {
  const seen = new Set<Parameter>();
  const parameters = parametersOf(where, params);
  const gradients = parameters.map((parameter, i) => passes.gradientOf(where, parameter, i));
  for (const [i, gradient] of gradients.entries()) {
    const parameter = parameters[i]!;
    if (gradient === null || seen.has(parameter)) continue;
    seen.add(parameter);
    passes.take(label(parameter, i), gradient, gradient, formatOf(gradient, parameter.dtype));
  }
}

/**
 * Scales all gradients in place by min(1, maxNorm / (norm + 1e-6)) of their joint norm, as
 * torch.nn.utils.clip_grad_norm_ does. Parameters without a gradient are left out.
 *
 * @param params - The parameters whose gradients are clipped together.
 * @param maxNorm - Largest norm, at least 0. Infinity: nothing is scaled, only the norm returned,
 * also when it is not finite.
 * @param options - `normType`: p of the norm, greater than 0; default 2. Infinity: the largest
 * absolute value. `kernels`: those of the optimizer, whose loops are faster and give the same bits.
 * @returns The norm before, in double, also of 16-bit gradients (PyTorch rounds it to their
 * format); 0 when there is no gradient.
 * @throws RangeError when the norm is NaN or infinite and maxNorm is not (nothing was scaled), or
 * maxNorm is less than 0, or normType not greater.
 * @throws TypeError when params is not an iterable of Parameters, or a gradient does not fit its
 * parameter.
 */
export function clipGradNorm(params: Iterable<Parameter>, maxNorm: number, options: ClipNormOptions = {}): number {
  const { passes, runs } = clipping('clipGradNorm', params, maxNorm, options);
  try {
    return passes.run(runs);
  } finally {
    passes.dispose();
  }
}

/**
 * {@link clipGradNorm} on all threads of the kernels (`parallelKernels`); with other kernels it is
 * done before this returns. The bits are the same. Gradients that other threads cannot reach are
 * done by the calling one. Until it has settled, the gradients must be left alone.
 *
 * @throws TornStepError when a worker ended while it scaled: it names what may be half scaled.
 * Otherwise as {@link clipGradNorm}.
 */
export async function clipGradNormAsync(
  params: Iterable<Parameter>,
  maxNorm: number,
  options: ClipNormOptions = {},
): Promise<number> {
  const { passes, runs } = clipping('clipGradNormAsync', params, maxNorm, options);
  try {
    return await passes.runAsync(runs);
  } finally {
    passes.dispose();
  }
}

/** What is to be run, after all checks. */
function clipping(
  where: string,
  params: Iterable<Parameter>,
  maxNorm: number,
  options: ClipNormOptions,
): { passes: GradientPasses; runs: Runs<number> } {
  const most = positive(`${where}: maxNorm`, maxNorm, { min: 0 });
  const given = checkedOptions(where, options, ['normType', 'kernels']);
  const p = positive(`${where}: normType`, given.normType === undefined ? 2 : given.normType, { above: 0 });
  const passes = new GradientPasses(checkedKernels(where, given.kernels));
  try {
    take(where, params, passes);
  } catch (error) {
    passes.dispose();
    throw error;
  }
  return { passes, runs: clipRuns(where, passes, most, p) };
}

function* clipRuns(where: string, passes: GradientPasses, most: number, p: number): Runs<number> {
  const norm = yield* normOf(passes.taken, p);
  if (most === Number.POSITIVE_INFINITY) return norm;
  if (!Number.isFinite(norm)) {
    const worst = passes.taken.find((work) => !Number.isFinite(passes.run(normOf([work], p))));
    const what = worst === undefined ? 'several parameters together' : passes.nameOf(worst);
    throw new RangeError(
      `${where}: the norm is ${norm}, because of the gradient of ${what}; nothing was scaled. ` +
        'Leave this batch out, or lower the learning rate',
    );
  }
  const coefficient = most / (norm + 1e-6);
  if (coefficient < 1) yield { pass: 'scale', by: coefficient };
  return norm;
}

/** A number within limits, or Infinity. */
function positive(label: string, value: unknown, limits: { min?: number; above?: number }): number {
  return value === Number.POSITIVE_INFINITY ? value : number(label, value, limits);
}

/** The joint p-norm of these works. */
function* normOf(works: readonly Work[], p: number): Runs<number> {
  if (p === 2 || p === 1) {
    yield { pass: p === 2 ? 'squares' : 'absolutes', works };
    return p === 2 ? Math.sqrt(sumOf(works)) : sumOf(works);
  }
  yield { pass: 'largest', works };
  // NaN is the largest of all, to Math.max as well.
  const largest = works.reduce((before, { sums }) => sums.reduce((a, b) => Math.max(a, b), before), 0);
  if (p === Number.POSITIVE_INFINITY || !(largest > 0 && largest < Number.POSITIVE_INFINITY)) return largest;
  // Of numbers up to 1, so that no power overflows.
  yield { pass: 'powers', by: largest, order: p, works };
  return largest * pow(sumOf(works), 1 / p);
}

function sumOf(works: readonly Work[]): number {
  return works.reduce((before, work) => before + total(work, 0), 0);
}

/**
 * Clamps every gradient element to [-clipValue, clipValue], as torch.nn.utils.clip_grad_value_
 * does: the bounds rounded to the gradient's format, NaN left as it is. Parameters without a
 * gradient are left out.
 *
 * @param params - The parameters whose gradients are clipped.
 * @param clipValue - Largest absolute value, at least 0; Infinity changes nothing but is allowed.
 * @param options - `kernels`: as of {@link clipGradNorm}.
 * @throws TypeError or RangeError when clipValue or params is wrong, or a gradient does not fit its
 * parameter; nothing was clipped.
 */
export function clipGradValue(params: Iterable<Parameter>, clipValue: number, options: ClipOptions = {}): void {
  const where = 'clipGradValue';
  const most = positive(`${where}: clipValue`, clipValue, { min: 0 });
  const passes = new GradientPasses(checkedKernels(where, checkedOptions(where, options, ['kernels']).kernels));
  try {
    take(where, params, passes);
    passes.run(one({ pass: 'clamp', by: most }));
  } finally {
    passes.dispose();
  }
}
