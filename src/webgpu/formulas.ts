/**
 * The formulas of the elementwise rules in WGSL, each beside the loop whose operations and order it
 * has. Names of numbers are those of the rule.
 */
import type { Work } from '../engine/work.ts';
import type { Rule } from '../optimizers/rule.ts';
import type { Formula } from './programs.ts';

const read = (name: string): string => `fromF32(${name}[i])`;

/** `loops/adam.ts`; `after`: the decay comes after the update; `swapped`: β₁ is below one half. */
function adam(largest: boolean, climb: boolean, after: boolean, swapped: boolean): Formula {
  return {
    state: { exp_avg: 'm', exp_avg_sq: 'v', ...(largest && { max_exp_avg_sq: 'largest' }) },
    text: `
fn element(i: u32, p: Real, g: Real) -> Real {
  let a = ${climb ? 'negated(g)' : 'g'};
  let before = ${read('m')};
  let way = sub(a, before);
  let first = ${swapped ? 'sub(a, mul(complement(rest1), way))' : 'add(before, mul(number(rest1), way))'};
  let second = averagedSquare(beta2, rest2, ${read('v')}, a);
  m[i] = toF32(first);
  v[i] = toF32(second);
${largest ? LARGEST : '  let most = second;'}
  let u = div(mul(number(scale), first), add(root(most), number(eps)));
  ${after ? 'return decayed(keepAfter, sub(p, u), zero(0u));' : 'return decayed(keepBefore, p, u);'}
}
`,
  };
}

/** NaN stays NaN. */
const LARGEST = `  let sofar = ${read('largest')};
  var most = second;
  if (isNaN(sofar) || atLeast(sofar, second)) { most = sofar; }
  largest[i] = toF32(most);`;

/** `loops/sign-momentum.ts`. */
const lion: Formula = {
  state: { exp_avg: 'm' },
  text: `
fn element(i: u32, p: Real, g: Real) -> Real {
  let moment = ${read('m')};
  let direction = add(mul(number(beta1), moment), mul(number(rest1), g));
  m[i] = toF32(add(mul(number(beta2), moment), mul(number(rest2), g)));
  var step = zero(0u);
  if (isPositive(direction)) { step = number(lr); }
  if (isNegative(direction)) { step = negated(number(lr)); }
  return decayed(keep, p, step);
}
`,
};

/** `loops/momentum.ts`. */
function sgd(momentum: boolean, nesterov: boolean, climb: boolean): Formula {
  const moment = `
  let moment = add(mul(number(momentum), ${read('m')}), mul(number(rest), a));
  m[i] = toF32(moment);`;
  const step = nesterov ? 'add(a, mul(number(ahead), moment))' : momentum ? 'moment' : 'a';
  return {
    state: momentum ? { momentum_buffer: 'm' } : {},
    text: `
fn element(i: u32, p: Real, g: Real) -> Real {
  let a = add(${climb ? 'negated(g)' : 'g'}, mul(number(decay), p));${momentum ? moment : ''}
  return sub(p, mul(number(lr), ${step}));
}
`,
  };
}

/**
 * The formula for a work as its rule has prepared it, by its name.
 *
 * @throws TypeError for a rule that has none.
 */
export function formulaOf(
  { state, numbers }: Work,
  { name: rule, places = {} }: Rule,
): { readonly name: string; readonly formula: Formula } {
  const value = (name: string): number => numbers[places[name]!]!;
  if (rule === 'AdamW') {
    const largest = state.max_exp_avg_sq !== null;
    const climb = value('sign') === -1;
    const after = value('keepAfter') !== 1;
    const swapped = value('rest1') > 0.5;
    return { name: `AdamW ${largest} ${climb} ${after} ${swapped}`, formula: adam(largest, climb, after, swapped) };
  }
  if (rule === 'Lion') return { name: 'Lion', formula: lion };
  if (rule !== 'SGD') throw new TypeError(`webgpuKernels: ${rule} has no formula for a GPU; use other kernels`);
  const momentum = state.momentum_buffer !== null;
  const nesterov = momentum && value('nesterov') === 1;
  const climb = value('sign') === -1;
  return { name: `SGD ${momentum} ${nesterov} ${climb}`, formula: sgd(momentum, nesterov, climb) };
}
