/**
 * The programs in WGSL, made of parts: the arithmetic of a level, the formats of the arrays, and
 * the formulas of a rule, which are those of `loops/`.
 *
 * Every program has its job (whole numbers, then the rule's numbers, in `job`) and the tally of its
 * optimizer: whether this step is to be done, and how many updates of each parameter were left out,
 * which chooses among the rows of numbers.
 */
import { DOUBLE } from './double.ts';
import { type Format, narrowing, readers } from './formats.ts';
import { SINGLE } from './single.ts';

/** Which arithmetic. */
export type Arithmetic = 'double' | 'float32';

/** Words at the beginning of a job. */
export const JOB = {
  /** Elements, and the number of the first of them. */
  length: 0,
  first: 1,
  /** Invocations side by side. */
  width: 2,
  /** Of the step, from 1; of the parameter in it. */
  serial: 3,
  place: 4,
  /** The parameter's place in the tally, how many of its updates were left out at row 0. */
  slot: 5,
  known: 6,
  /** Rows of numbers, and numbers in each. */
  rows: 7,
  count: 8,
  /** Flags; 1: 16-bit weights are rounded at random, with the two words of this key. */
  stochastic: 9,
  key: 10,
  /** Own whole numbers of a program: eight. */
  own: 12,
} as const;
/** Where the numbers begin, two words each. */
export const NUMBERS = 20;

/** A word of a job. */
export type JobWord = keyof typeof JOB;

/** Words at the beginning of a tally; then two for each parameter. */
export const TALLY = {
  /** 1: the step at hand is done. */
  go: 0,
  /** Steps so far; of these left out, and refused. */
  steps: 1,
  skipped: 2,
  refused: 3,
  /** The step that was refused (0: none is to be told), the parameter, the element, its bits. */
  serial: 4,
  place: 5,
  index: 6,
  bits: 7,
  /** For each parameter: updates left out, and the first element that is not finite. */
  slots: 8,
} as const;

const words = (names: Readonly<Record<string, number>>, prefix: string): string =>
  Object.entries(names)
    .map(([name, at]) => `const ${prefix}_${name} = ${at}u;\n`)
    .join('');

/** Number of invocations in a group. */
export const GROUP = 64;

const COMMON: string = `${words(JOB, 'JOB')}${words(TALLY, 'TALLY')}
@group(0) @binding(0) var<storage, read> job: array<u32>;
@group(0) @binding(1) var<storage, read_write> tally: array<atomic<u32>>;
fn at(id: vec3u) -> u32 { return id.y * job[JOB_width] + id.x; }
`;

/** Finds gradients that are not finite. */
export function checkProgram(g: Format): Program {
  const code = (): string => `${COMMON}${readers(null, g)}
@group(1) @binding(0) var<storage, read_write> g: array<u32>;
@compute @workgroup_size(${GROUP}) fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = at(id);
  if (i >= job[JOB_length] || isFinite(read_g(i))) { return; }
  atomicMin(&tally[TALLY_slots + 2u * job[JOB_slot] + 1u], job[JOB_first] + i);
}
`;
  return { name: `check ${g}`, code, arrays: 1 };
}

/** The job of {@link DECIDE} has for each parameter its place in the tally, and one of these. */
export const POLICY = { propagate: 0, skip: 1, throw: 2 } as const;

/** Whether the step is done: one invocation looks at what the checks have found. */
export const DECIDE: Program = {
  name: 'decide',
  arrays: 0,
  code: () => `${COMMON}
@compute @workgroup_size(1) fn main() {
  let count = job[JOB_length];
  var skip = false;
  let refuse = atomicLoad(&tally[TALLY_serial]) != 0u;
  var found = refuse;
  for (var i = 0u; i < count; i = i + 1u) {
    let slot = TALLY_slots + 2u * job[${NUMBERS}u + 2u * i];
    let policy = job[${NUMBERS + 1}u + 2u * i];
    let index = atomicLoad(&tally[slot + 1u]);
    atomicStore(&tally[slot + 1u], 0xffffffffu);
    if (index == 0xffffffffu || policy == ${POLICY.propagate}u) { continue; }
    if (policy == ${POLICY.skip}u) { skip = true; }
    else if (!found) {
      found = true;
      atomicStore(&tally[TALLY_serial], job[JOB_serial]);
      atomicStore(&tally[TALLY_place], i);
      atomicStore(&tally[TALLY_index], index);
    }
  }
  atomicAdd(&tally[TALLY_steps], 1u);
  // After a refused step nothing is done until that has been told.
  if (found) { atomicAdd(&tally[TALLY_refused], 1u); }
  else if (skip) { atomicAdd(&tally[TALLY_skipped], 1u); }
  let go = !found && !skip;
  atomicStore(&tally[TALLY_go], u32(go));
  if (go) { return; }
  for (var i = 0u; i < count; i = i + 1u) { atomicAdd(&tally[TALLY_slots + 2u * job[${NUMBERS}u + 2u * i]], 1u); }
}
`,
};

const TELL = `
  if (atomicLoad(&tally[TALLY_serial]) == job[JOB_serial] && atomicLoad(&tally[TALLY_place]) == job[JOB_place]) {
    let index = atomicLoad(&tally[TALLY_index]) - job[JOB_first];
    for (var k = i; k < i + n; k = k + 1u) {
      if (k == index) { atomicStore(&tally[TALLY_bits], read_g(k)); }
    }
  }`;

/** Whether the step is done; if not, programs that `tell` note the number why it was refused. */
export function stepLines(tell: boolean): string {
  return `
fn going(i: u32, n: u32) -> bool {
  if (atomicLoad(&tally[TALLY_go]) == 1u) {
    let left = min(atomicLoad(&tally[TALLY_slots + 2u * job[JOB_slot]]) - job[JOB_known], job[JOB_rows] - 1u);
    numbersAt = ${NUMBERS}u + 2u * left * job[JOB_count];
    return true;
  }${tell ? TELL : ''}
  return false;
}
`;
}

/** A number of the rule, and 1 minus it, which in float32 is exact where it is near 1. */
const NUMBER: Readonly<Record<Arithmetic, string>> = {
  double: `
fn number(k: u32) -> Real { return fromF64(vec2u(job[numbersAt + 2u * k], job[numbersAt + 2u * k + 1u])); }
fn complement(k: u32) -> Real { return sub(fromF64(vec2u(0u, 0x3ff00000u)), number(k)); }
/** keep p - u */
fn decayed(keep: u32, p: Real, u: Real) -> Real { return sub(mul(number(keep), p), u); }
/** beta v + rest a a */
fn averagedSquare(beta: u32, rest: u32, v: Real, a: Real) -> Real {
  return add(mul(number(beta), v), mul(mul(number(rest), a), a));
}
`,
  // One rounding is as large as the weight's last place, those of the differences are small.
  float32: `
fn number(k: u32) -> Real { return bitcast<f32>(job[numbersAt + 2u * k]); }
fn complement(k: u32) -> Real { return bitcast<f32>(job[numbersAt + 2u * k + 1u]); }
fn decayed(keep: u32, p: Real, u: Real) -> Real { return p - (bitcast<f32>(job[numbersAt + 2u * keep + 1u]) * p + u); }
fn averagedSquare(beta: u32, rest: u32, v: Real, a: Real) -> Real { return v + number(rest) * (a * a - v); }
`,
};

/** Arithmetic of a level, and the job's numbers by their names and places. */
export function arithmeticOf(level: Arithmetic, numbers: Readonly<Record<string, number>>): string {
  const names = Object.entries(numbers).map(([name, k]) => `const ${name} = ${k}u;\n`);
  return `${level === 'double' ? DOUBLE : SINGLE}${COMMON}var<private> numbersAt: u32;
${NUMBER[level]}${names.join('')}`;
}

/** `var` lines of arrays in the second group. */
export function arrayLines(names: readonly string[]): string {
  return names.map((name, i) => `@group(1) @binding(${i}) var<storage, read_write> ${name}: array<u32>;\n`).join('');
}

/** What a rule does with one element. */
export interface Formula {
  /** Its state arrays by their key, and their names in `element`. */
  readonly state: Readonly<Record<string, string>>;
  /** `fn element(i: u32, p: Real, g: Real) -> Real`: the new weight; state is read and written. */
  readonly text: string;
}

/** Writes a new weight of 16 bits; `before` is the word that had two. */
const STORE_TWO = `
fn half(x: Real, i: u32, r: vec2u) -> u32 {
  let bits = toF32(x);
  if ((job[JOB_stochastic] & 1u) == 1u) { return random(bits, r[i & 1u]) & 0xffffu; }
  return nearest(bits) & 0xffffu;
}
fn randomBits(i: u32) -> vec2u {
  if ((job[JOB_stochastic] & 1u) == 0u) { return vec2u(0u); }
  // The step is a number too, as it depends on what was left out.
  return threefry(vec2u(job[JOB_key], job[JOB_key + 1u]), vec2u((job[JOB_first] + i) >> 1u, job[numbersAt]));
}
`;

/** The beginning of a program. */
export const ENTRY: string = `@compute @workgroup_size(${GROUP}) fn main(@builtin(global_invocation_id) id: vec3u) {`;

/** Calls `element` for each weight, or for both of a word. */
export function elementMain(p: Format): string {
  if (p === 'float32') {
    return `${ENTRY}
  let i = at(id);
  if (i >= job[JOB_length] || !going(i, 1u)) { return; }
  p[i] = toF32(element(i, fromF32(read_p(i)), fromF32(read_g(i))));
}
`;
  }
  return `${STORE_TWO}${ENTRY}
  let i = 2u * at(id);
  let n = min(job[JOB_length] - min(i, job[JOB_length]), 2u);
  if (n == 0u || !going(i, n)) { return; }
  let r = randomBits(i);
  var word = p[i >> 1u];
  for (var k = 0u; k < n; k = k + 1u) {
    let x = half(element(i + k, fromF32(read_p(i + k)), fromF32(read_g(i + k))), k, r);
    word = (word & (0xffff0000u >> (16u * k))) | (x << (16u * k));
  }
  p[i >> 1u] = word;
}
`;
}

/** A program, and how many arrays it has. */
export interface Program {
  /** Tells it from others. */
  readonly name: string;
  code(): string;
  readonly arrays: number;
}

/** The program of an elementwise rule. */
export function elementProgram(
  level: Arithmetic,
  p: Format,
  g: Format,
  numbers: Readonly<Record<string, number>>,
  name: string,
  { state, text }: Formula,
): Program {
  const arrays = ['p', 'g', ...Object.values(state)];
  const code = (): string =>
    arithmeticOf(level, numbers) +
    stepLines(true) +
    arrayLines(arrays) +
    readers(p, g) +
    narrowing(p) +
    text +
    elementMain(p);
  return { name: `${name} ${p} ${g}`, code, arrays: arrays.length };
}
