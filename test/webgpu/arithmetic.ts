/** The doubles that WGSL makes of whole numbers, against JavaScript's, in random cases of all kinds. */
import { DOUBLE } from '../../src/webgpu/double.ts';
import { check, type Given, randomNumbers } from './suite.ts';

const CASES = 1 << 16;
const RESULTS = ['a + b', 'a - b', 'a * b', 'a / b', 'root of a', 'float32 of a and b', 'a from float32', 'a >= b'];

const CODE = `${DOUBLE}
@group(0) @binding(0) var<storage, read> x: array<vec2u>;
@group(0) @binding(1) var<storage, read_write> y: array<vec2u>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  let a = fromF64(x[2u * i]);
  let b = fromF64(x[2u * i + 1u]);
  let at = 8u * i;
  y[at] = toF64(add(a, b));
  y[at + 1u] = toF64(sub(a, b));
  y[at + 2u] = toF64(mul(a, b));
  y[at + 3u] = toF64(div(a, b));
  y[at + 4u] = toF64(root(a));
  y[at + 5u] = vec2u(toF32(a), toF32(b));
  y[at + 6u] = toF64(fromF32(x[2u * i].x));
  y[at + 7u] = vec2u(u32(atLeast(a, b)), u32(isPositive(a)) + 2u * u32(isNegative(a)));
}
`;

const SPECIAL = [
  0,
  1,
  Infinity,
  NaN,
  5e-324,
  2 ** -1022,
  2 ** -1022 - 2 ** -1074,
  Number.MAX_VALUE,
  1 + 2 ** -52,
  1 - 2 ** -53,
  1.5 * 2 ** -1022,
  (2 - 2 ** -23) * 2 ** 127,
  (2 - 2 ** -24) * 2 ** 127,
  2 ** -149,
  2 ** -150,
  1.0000000000000002 * 2 ** -150,
  2 ** -126,
  2 ** -126 - 2 ** -149,
];

/** Numbers near what may go wrong: any bits, ends of the range, squares, halves of a float32's ulp. */
function fill(numbers: Float64Array, random: () => number): void {
  const words = new Uint32Array(numbers.buffer);
  const word = (): number => Math.floor(random() * 2 ** 32) >>> 0;
  const below = (n: number): number => Math.floor(random() * n);
  const sign = (): number => (random() < 0.5 ? -1 : 1);
  const put = (i: number, kind: number): void => {
    const near = (exponent: number): void => {
      words[2 * i] = word() & -(1 << below(32));
      words[2 * i + 1] = (word() & 0x800fffff) | (exponent << 20);
    };
    if (kind === 0) words.set([word(), word()], 2 * i);
    else if (kind === 1) numbers[i] = sign() * SPECIAL[below(SPECIAL.length)]!;
    else if (kind === 2) numbers[i] = sign() * Math.fround((1 + random()) * 2 ** (below(40) - 60));
    else if (kind === 3) near(1000 + below(60));
    else if (kind === 4) near(below(80));
    else if (kind === 5) numbers[i] = (below(2 ** 26) + 1) ** 2 * 4 ** (below(200) - 100);
    else if (kind === 6)
      numbers[i] = sign() * (below(2 ** 24) + 0.5 + (below(3) - 1) * 2 ** -20) * 2 ** (below(300) - 180);
    else numbers[i] = sign() * (1 + (below(5) - 2) * 2 ** -52) * 2 ** (below(6) - 3);
  };
  for (let i = 0; i < numbers.length; i += 2) {
    const kind = below(8);
    put(i, kind);
    put(i + 1, random() < 0.3 ? below(8) : kind);
    const change = below(10);
    if (change === 0) {
      // Nearly the same, or nearly the opposite.
      words[2 * i + 2] = words[2 * i]! + below(9) - 4;
      words[2 * i + 3] = words[2 * i + 1]! ^ (random() < 0.5 ? 0x80000000 : 0);
    } else if (change === 1) numbers[i + 1] = Math.fround(numbers[i + 1]!);
  }
}

export async function arithmetic(device: GPUDevice, rounds: number, seed: number, say: Given['say']): Promise<void> {
  const module = device.createShaderModule({ code: CODE });
  const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  const { STORAGE, COPY_DST, COPY_SRC, MAP_READ } = GPUBufferUsage;
  const given = device.createBuffer({ size: 16 * CASES, usage: STORAGE | COPY_DST });
  const made = device.createBuffer({ size: 64 * CASES, usage: STORAGE | COPY_SRC });
  const staging = device.createBuffer({ size: 64 * CASES, usage: MAP_READ | COPY_DST });
  const entries = [given, made].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const random = randomNumbers(seed);
  const numbers = new Float64Array(2 * CASES);
  const singles = new Float32Array(numbers.buffer);
  for (let round = 0; round < rounds; round++) {
    fill(numbers, random);
    device.queue.writeBuffer(given, 0, numbers);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(CASES / 64);
    pass.end();
    encoder.copyBufferToBuffer(made, 0, staging, 0, 64 * CASES);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const bytes = staging.getMappedRange().slice(0);
    staging.unmap();
    const [results, words] = [new Float64Array(bytes), new Uint32Array(bytes)];
    const float = new Float32Array(2);
    const floatWords = new Uint32Array(float.buffer);
    for (let i = 0; i < CASES; i++) {
      const [a, b] = [numbers[2 * i]!, numbers[2 * i + 1]!];
      float.set([a, b]);
      const bits = [0, 1].map((k) => (Number.isNaN(float[k]!) ? 0x7fc00000 : floatWords[k]!));
      const signs = (a > 0 ? 1 : 0) + (a < 0 ? 2 : 0);
      const wanted = [a + b, a - b, a * b, a / b, Math.sqrt(a)];
      const right = [
        ...wanted.map((x, k) => Object.is(x, results[8 * i + k])),
        bits.every((x, k) => x === words[16 * i + 10 + k]),
        Object.is(singles[4 * i], results[8 * i + 6]),
        words[16 * i + 14] === Number(a >= b) && words[16 * i + 15] === signs,
      ];
      const wrong = right.indexOf(false);
      check(`${RESULTS[wrong]} for a = ${a}, b = ${b} (seed ${seed}) is ${results[8 * i + wrong]}`, wrong < 0);
    }
  }
  for (const buffer of [given, made, staging]) buffer.destroy();
  say(`${rounds * CASES} random cases of each operation: JavaScript's bits (seed ${seed})`);
}
