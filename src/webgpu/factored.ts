/**
 * Adafactor in WGSL: the loops of `loops/matrix.ts`, `vector.ts` and `sums.ts`, with every sum in
 * its order, and what comes between them. Each sum is one invocation's; there are many of them.
 * Doubles between the programs are two words.
 */
import { type Format, narrowing, readers } from './formats.ts';
import { type Arithmetic, arithmeticOf, arrayLines, ENTRY, elementMain, type Program, stepLines } from './programs.ts';

/** Own whole numbers of Adafactor's jobs. */
export const OWN_WORDS = [
  'rows',
  'cols',
  'unit', // rows of a block, or elements
  'blocksEach',
  'block', // the first one
  'shiftG', // where the first block begins in the bindings, in elements
  'shiftP',
  'strip', // rows, or elements, of a strip
] as const;

/** Places of the numbers. Place 0 is the step. */
export const NUMBERS_OF = {
  beta2: 1,
  rest2: 2,
  eps1: 3,
  base: 4,
  eps2: 5,
  clip: 6,
  decay: 7,
  beta1: 8,
  rest1: 9,
  length: 10,
  height: 11,
  breadth: 12,
  one: 13,
} as const;

/** Places of what the last step had: doubles. */
export const RESULTS = { rms: 0, rate: 1, keep: 2, scale: 3, drop: 4 } as const;

const DOUBLES: Readonly<Record<Arithmetic, string>> = {
  double: `
fn load(x: vec2u) -> Real { return fromF64(x); }
fn store(a: Real) -> vec2u { return toF64(a); }
`,
  float32: `
fn load(x: vec2u) -> Real { return bitcast<f32>(x.x); }
fn store(a: Real) -> vec2u { return vec2u(bitcast<u32>(a), 0u); }
`,
};

const KEPT: Readonly<Record<Arithmetic, string>> = {
  double: 'fn kept(p: Real, u: Real) -> Real { return sub(mul(load(results[2]), p), u); }\n',
  float32: 'fn kept(p: Real, u: Real) -> Real { return p - (load(results[4]) * p + u); }\n',
};

const BLOCKS = `
fn square(a: Real) -> Real { return mul(a, a); }
fn rowsOf(block: u32) -> u32 { return min(unit(), rows() - (block % blocksEach()) * unit()); }
/** The first row of a block, of all matrices. */
fn rowAt(block: u32) -> u32 { return (block / blocksEach()) * rows() + (block % blocksEach()) * unit(); }
/** The rows of group i of four, of a block: the first one, and how far they are apart. */
fn group(i: u32, count: u32) -> vec2u {
  let k = 4u * i;
  var start = 0u;
  var apart = 1u;
  loop {
    if (far()) { apart = clamp((count - start) / 8u, 1u, 128u); }
    if (k < start + 8u * apart) { break; }
    start = start + 8u * apart;
  }
  return vec2u(start + ((k - start) >> 3u) + ((k - start) & 4u) * apart, apart);
}
/** Element i of lane l of n elements. */
fn lane(i: u32, l: u32, n: u32) -> u32 {
  let stream = select(0u, (n / 64u) * 8u, far());
  return l + select(8u * i, (i & 7u) * stream + (i & 0xfffffff8u), i < stream);
}
fn lanes(n: u32, l: u32) -> u32 { return n / 8u + select(0u, 1u, l < n % 8u); }
`;

const LANES_JOINED = `
fn joined(at: u32) -> Real {
  let a = add(add(load(lanes_p[at]), load(lanes_p[at + 1u])), add(load(lanes_p[at + 2u]), load(lanes_p[at + 3u])));
  let b = add(add(load(lanes_p[at + 4u]), load(lanes_p[at + 5u])), add(load(lanes_p[at + 6u]), load(lanes_p[at + 7u])));
  return add(a, b);
}
`;

/** Programs that read one array of weights or gradients, or none. */
export type FactoredName =
  | 'rowSums'
  | 'colSums'
  | 'rowAverages'
  | 'colAverages'
  | 'means'
  | 'inverses'
  | 'measure'
  | 'weights'
  | 'ratios'
  | 'blockSums'
  | 'flatSums'
  | 'finish'
  | 'rowScales'
  | 'colScales';

interface Text {
  /** Arrays of words, and of doubles. */
  readonly words: readonly string[];
  readonly doubles: readonly string[];
  readonly helpers?: string;
  /** What invocation `i` does. */
  readonly body: string;
}

const TEXTS: Readonly<Record<FactoredName, Text>> = {
  rowSums: {
    words: ['g'],
    doubles: ['row'],
    body: `
  let start = shiftG() + i * cols();
  var even = zero(0u);
  var odd = zero(0u);
  for (var j = 0u; j < cols(); j = j + 1u) {
    let s = square(fromF32(read_g(start + j)));
    var sum = even;
    if ((j & 1u) == 1u) { sum = odd; }
    sum = add(sum, s);
    if ((j & 1u) == 1u) { odd = sum; } else { even = sum; }
  }
  row[rowAt(block()) + i] = store(add(even, odd));
`,
  },
  colSums: {
    words: ['g'],
    doubles: ['part'],
    body: `
  let which = block() + i / cols();
  let j = i % cols();
  let count = rowsOf(which);
  let at = shiftG() + (rowAt(which) - rowAt(block())) * cols() + j;
  var sum = zero(0u);
  for (var k = 0u; k < (count + 3u) / 4u; k = k + 1u) {
    let left = min(count - 4u * k, 4u);
    var rows = group(k, count);
    if (left < 4u) { rows = vec2u(4u * k, 1u); }
    // (q0 + q1) + (q2 + q3), or what is left one after the other.
    var pair = zero(0u);
    var four = zero(0u);
    for (var q = 0u; q < left; q = q + 1u) {
      let s = square(fromF32(read_g(at + (rows.x + q * rows.y) * cols())));
      if (left == 4u && q == 2u) {
        pair = four;
        four = s;
      } else { four = add(four, s); }
    }
    sum = add(sum, add(pair, four));
  }
  part[which * cols() + j] = store(sum);
`,
  },
  rowAverages: {
    words: ['average'],
    doubles: ['row'],
    body: `
  let mean = add(div(load(row[i]), number(breadth)), number(eps1));
  let now = add(mul(number(beta2), fromF32(average[i])), mul(number(rest2), mean));
  average[i] = toF32(now);
  row[i] = store(now);
`,
  },
  colAverages: {
    words: ['average'],
    doubles: ['part', 'col'],
    body: `
  let at = (i / cols()) * blocksEach() * cols() + i % cols();
  var sum = load(part[at]);
  for (var b = 1u; b < blocksEach(); b = b + 1u) { sum = add(sum, load(part[at + b * cols()])); }
  let mean = add(div(sum, number(height)), number(eps1));
  let now = add(mul(number(beta2), fromF32(average[i])), mul(number(rest2), mean));
  average[i] = toF32(now);
  col[i] = store(div(number(one), now));
`,
  },
  means: {
    words: [],
    doubles: ['row', 'mean'],
    body: `
  var sum = zero(0u);
  for (var r = 0u; r < rows(); r = r + 1u) { sum = add(sum, load(row[i * rows() + r])); }
  mean[i] = store(div(sum, number(height)));
`,
  },
  inverses: {
    words: [],
    doubles: ['row', 'mean'],
    body: `
  row[i] = store(div(load(mean[i / rows()]), load(row[i])));
`,
  },
  measure: {
    words: ['g'],
    doubles: ['row', 'col', 'group_u'],
    body: `
  let each = (unit() + 3u) / 4u;
  let which = block() + i / each;
  let k = i % each;
  let count = rowsOf(which);
  if (4u * k >= count) { return; }
  let left = min(count - 4u * k, 4u);
  var rows_ = group(k, count);
  if (left < 4u) { rows_ = vec2u(4u * k, 1u); }
  let start = shiftG() + (rowAt(which) - rowAt(block())) * cols();
  let factor = rowAt(which);
  let colAt = (which / blocksEach()) * cols();
  var even = zero(0u);
  var odd = zero(0u);
  for (var j = 0u; j < cols(); j = j + 1u) {
    var pair = zero(0u);
    var four = zero(0u);
    for (var q = 0u; q < left; q = q + 1u) {
      let r = rows_.x + q * rows_.y;
      let s = mul(square(fromF32(read_g(start + r * cols() + j))), load(row[factor + r]));
      if (left == 4u && q == 2u) {
        pair = four;
        four = s;
      } else { four = add(four, s); }
    }
    let s = mul(add(pair, four), load(col[colAt + j]));
    var sum = even;
    if ((j & 1u) == 1u) { sum = odd; }
    sum = add(sum, s);
    if ((j & 1u) == 1u) { odd = sum; } else { even = sum; }
  }
  group_u[which * each + k] = store(add(even, odd));
`,
  },
  // Of a matrix in rows, of a vector in elements.
  weights: {
    words: ['p'],
    doubles: ['lanes_p'],
    body: `
  let strips = (unit() + strip() - 1u) / strip();
  let which = block() + i / (8u * strips);
  let s = (i / 8u) % strips;
  let wide = select(1u, cols(), matrix());
  let count = select(min(unit(), cols() - which * unit()), rowsOf(which), matrix());
  if (s * strip() >= count) { return; }
  let n = min(strip(), count - s * strip()) * wide;
  let before = select((which - block()) * unit(), rowAt(which) - rowAt(block()), matrix());
  let start = shiftP() + (before + s * strip()) * wide;
  var sum = zero(0u);
  for (var k = 0u; k < lanes(n, i % 8u); k = k + 1u) {
    sum = add(sum, square(fromF32(read_p(start + lane(k, i % 8u, n)))));
  }
  lanes_p[(which * strips + s) * 8u + i % 8u] = store(sum);
`,
  },
  ratios: {
    words: ['g', 'v'],
    doubles: ['lanes_u'],
    body: `
  let strips = (unit() + strip() - 1u) / strip();
  let which = block() + i / (8u * strips);
  let s = (i / 8u) % strips;
  let count = min(unit(), cols() - which * unit());
  if (s * strip() >= count) { return; }
  let n = min(strip(), count - s * strip());
  let start = (which - block()) * unit() + s * strip();
  var sum = zero(0u);
  for (var k = 0u; k < lanes(n, i % 8u); k = k + 1u) {
    let e = start + 8u * k + i % 8u;
    let a = square(fromF32(read_g(shiftG() + e)));
    let second = add(mul(number(beta2), fromF32(v[shiftP() + e])), mul(number(rest2), add(a, number(eps1))));
    sum = add(sum, div(a, second));
  }
  lanes_u[(which * strips + s) * 8u + i % 8u] = store(sum);
`,
  },
  blockSums: {
    words: [],
    doubles: ['group_u', 'lanes_p', 'sums'],
    helpers: LANES_JOINED,
    body: `
  let each = (unit() + 3u) / 4u;
  let count = rowsOf(i);
  var u = zero(0u);
  for (var k = 0u; k < (count + 3u) / 4u; k = k + 1u) { u = add(u, load(group_u[i * each + k])); }
  let strips = (unit() + strip() - 1u) / strip();
  var p = zero(0u);
  for (var s = 0u; s * strip() < count; s = s + 1u) { p = add(p, joined(8u * (i * strips + s))); }
  sums[2u * i] = store(u);
  sums[2u * i + 1u] = store(p);
`,
  },
  // The sum of a vector's blocks of one kind; the shift says of which.
  flatSums: {
    words: [],
    doubles: ['lanes_p', 'sums'],
    helpers: LANES_JOINED,
    body: `
  let count = min(unit(), cols() - i * unit());
  let strips = (unit() + strip() - 1u) / strip();
  var sum = zero(0u);
  for (var s = 0u; s * strip() < count; s = s + 1u) { sum = add(sum, joined(8u * (i * strips + s))); }
  sums[2u * i + shiftG()] = store(sum);
`,
  },
  finish: {
    words: [],
    doubles: ['sums', 'results'],
    helpers: `
fn larger(a: Real, b: Real) -> Real {
  if (isNaN(a) || atLeast(a, b)) { return a; }
  return b;
}
`,
    body: `
  var u = zero(0u);
  var p = zero(0u);
  for (var b = 0u; b < blocksEach(); b = b + 1u) {
    u = add(u, load(sums[2u * b]));
    p = add(p, load(sums[2u * b + 1u]));
  }
  let rms = root(div(p, number(length)));
  var rate = number(base);
  if (scales()) { rate = mul(rate, larger(rms, number(eps2))); }
  let size = div(root(div(u, number(length))), number(clip));
  var scale = rate;
  if (isNaN(size) || !atLeast(number(one), size)) { scale = div(rate, size); }
  let drop = mul(number(decay), rate);
  results[0] = store(rms);
  results[1] = store(rate);
  results[2] = store(sub(number(one), drop));
  results[3] = store(mul(scale, number(rest1)));
  results[4] = store(drop);
`,
  },
  rowScales: {
    words: [],
    doubles: ['row', 'results'],
    body: `
  row[i] = store(mul(root(load(row[i])), load(results[3])));
`,
  },
  colScales: {
    words: [],
    doubles: ['col'],
    body: `
  col[i] = store(root(load(col[i])));
`,
  },
};

const wordsOf = OWN_WORDS.map((name, i) => `fn ${name}() -> u32 { return job[JOB_own + ${i}u]; }\n`).join('');
/** Flags, in the place of `stochastic`, which these programs have no use for. */
export const FLAG = { stochastic: 1, far: 2, matrix: 4, scales: 8 } as const;
const FLAGS = (['far', 'matrix', 'scales'] as const)
  .map((name) => `fn ${name}() -> bool { return (job[JOB_stochastic] & ${FLAG[name]}u) != 0u; }\n`)
  .join('');

const doubleLines = (names: readonly string[], start: number): string =>
  names.map((name, i) => `@group(1) @binding(${start + i}) var<storage, read_write> ${name}: array<vec2u>;\n`).join('');

/** One of these programs; `format` of the weights or gradient that it reads. */
export function factoredProgram(level: Arithmetic, name: FactoredName, format: Format): Program {
  const { words, doubles, helpers = '', body } = TEXTS[name];
  const told = words.includes('g');
  const code = (): string =>
    `${arithmeticOf(level, NUMBERS_OF)}${stepLines(told)}${DOUBLES[level]}${wordsOf}${FLAGS}${BLOCKS}
${arrayLines(words)}${doubleLines(doubles, words.length)}
${words.includes('p') ? readers(format, null) : told ? readers(null, format) : ''}
${helpers}${ENTRY}
  let i = at(id);
  if (i >= job[JOB_length] || !going(i, ${told ? 0 : 1}u)) { return; }${body}}
`;
  return { name: `Adafactor ${name} ${format}`, code, arrays: words.length + doubles.length };
}

/** What becomes of a weight: a matrix's by the factors, a vector's by its second moment. */
export function applyProgram(level: Arithmetic, p: Format, g: Format, matrix: boolean, momentum: boolean): Program {
  const words = ['p', 'g', ...(matrix ? [] : ['v']), ...(momentum ? ['m'] : [])];
  const doubles = matrix ? ['row', 'col', 'results'] : ['results'];
  const step = matrix
    ? `
  let e = job[JOB_first] + i;
  let r = e / cols();
  let u = mul(mul(g, load(row[r])), load(col[(r / rows()) * cols() + e % cols()]));`
    : `
  let second = add(mul(number(beta2), fromF32(v[i])), mul(number(rest2), add(square(g), number(eps1))));
  v[i] = toF32(second);
  let u = mul(div(g, root(second)), load(results[3]));`;
  const moment = `
  let y = add(mul(number(beta1), fromF32(m[i])), u);
  m[i] = toF32(y);
  return kept(p, y);`;
  const element = `
fn element(i: u32, p: Real, g: Real) -> Real {${step}${momentum ? moment : '\n  return kept(p, u);'}
}
`;
  const code = (): string =>
    `${arithmeticOf(level, NUMBERS_OF)}${stepLines(true)}${DOUBLES[level]}${wordsOf}${FLAGS}${BLOCKS}
${arrayLines(words)}${doubleLines(doubles, words.length)}${readers(p, g)}${narrowing(p)}${KEPT[level]}
${element}${elementMain(p)}`;
  return { name: `Adafactor apply ${p} ${g} ${matrix} ${momentum}`, code, arrays: words.length + doubles.length };
}
