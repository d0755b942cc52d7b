/**
 * What every runtime with WebGPU is asked to do: steps on the GPU, bit for bit against the CPU's.
 * The runtime brings devices; a check that fails throws.
 */
import {
  Adafactor,
  AdamW,
  type CommonOptions,
  type DType,
  Lion,
  NonFiniteGradientError,
  type Optimizer,
  Parameter,
  type Params,
  SGD,
  toBfloat16,
  toFloat16,
} from 'tensorless';
import { type WebGPUKernels, webgpuKernels } from 'tensorless/webgpu';
import type { Golden } from '../golden.ts';
import { arithmetic } from './arithmetic.ts';
import { float32Level } from './float32-level.ts';

export type Format = Exclude<DType, 'float64'>;
type Options = CommonOptions & Record<string, unknown>;
type Make = (params: Params, options?: Options) => Optimizer;

/** What a runtime has, and how much is asked of it. */
export interface Given {
  device(): Promise<GPUDevice>;
  /** Leaves out what takes long. */
  readonly short: boolean;
  /** Only rules whose names begin so; '': all, and all else. */
  readonly only: string;
  readonly seed: number;
  /** What PyTorch recorded in float32. */
  readonly goldens: readonly { readonly name: string; readonly golden: Golden }[];
  say(line: string): void;
}

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Zeros, subnormals, and numbers of sizes from 2^low to 2^high. */
export function wild(length: number, random: () => number, low: number, high: number): Float32Array {
  return Float32Array.from({ length }, () => {
    const kind = random();
    if (kind < 0.02) return 0;
    if (kind < 0.03) return -0;
    if (kind < 0.05) return (random() - 0.5) * 2e-40;
    return (random() < 0.5 ? -1 : 1) * (1 + random()) * 2 ** Math.floor(low + random() * (high - low));
  });
}

/** Every rule, with options that reach every formula. */
export const optimizers: Readonly<Record<string, Make>> = {
  AdamW: (params, options) => new AdamW(params, { lr: 0.02, ...options }),
  'AdamW amsgrad': (params, options) => new AdamW(params, { lr: 0.02, amsgrad: true, maximize: true, ...options }),
  'AdamW, beta1 0.2': (params, options) => new AdamW(params, { lr: 0.02, betas: [0.2, 0.99], ...options }),
  'AdamW uncorrected': (params, options) => new AdamW(params, { lr: 0.02, correctBias: false, ...options }),
  Lion: (params, options) => new Lion(params, { lr: 0.02, weightDecay: 0.1, ...options }),
  SGD: (params, options) => new SGD(params, { lr: 0.2, weightDecay: 0.01, maximize: true, ...options }),
  'SGD momentum': (params, options) => new SGD(params, { lr: 1e-3, momentum: 0.98, dampening: 0.5, ...options }),
  Adafactor: (params, options) => new Adafactor(params, options),
  'Adafactor beta1': (params, options) =>
    new Adafactor(params, { lr: 0.02, relativeStep: false, beta1: 0.9, weightDecay: 0.1, ...options }),
  'Adafactor plain': (params, options) =>
    new Adafactor(params, { scaleParameter: false, warmupInit: true, clipThreshold: 0.1, ...options }),
  'SGD nesterov': (params, options) => new SGD(params, { lr: 5e-4, momentum: 0.98, nesterov: true, ...options }),
};

const SHAPES: readonly (readonly number[])[] = [[], [5], [0, 3], [3, 7], [2, 5, 3], [41, 33], [1000]];

export function check(what: string, right: boolean): void {
  if (!right) throw new Error(what);
}

type Numbers = Float32Array | Uint16Array;

/** 16-bit numbers, within what the format holds. */
function rounded(format: Format, numbers: Float32Array): Numbers {
  if (format === 'float32') return numbers;
  if (format === 'bfloat16') return toBfloat16(numbers);
  return toFloat16(numbers.map((x) => Math.max(-60000, Math.min(60000, x))));
}

/** Bit for bit, but for which NaN it is: that is the engine's. */
function same(what: string, cpu: unknown, gpu: unknown, half = false): void {
  const [a, b] = [cpu as Numbers, gpu as Numbers];
  const words = ({ buffer, byteOffset, length, BYTES_PER_ELEMENT }: Numbers) =>
    BYTES_PER_ELEMENT === 2 ? new Uint16Array(buffer, byteOffset, length) : new Uint32Array(buffer, byteOffset, length);
  const [x, y] = [words(a), words(b)];
  const infinity = x.BYTES_PER_ELEMENT === 4 ? 0x7f800000 : half ? 0x7c00 : 0x7f80;
  const sign = x.BYTES_PER_ELEMENT === 4 ? 0x7fffffff : 0x7fff;
  check(`${what}: ${x.length} and ${y.length} elements`, x.length === y.length);
  for (let i = 0; i < x.length; i++) {
    if (x[i] === y[i] || ((x[i]! & sign) > infinity && (y[i]! & sign) > infinity)) continue;
    throw new Error(`${what}: element ${i} of ${x.length} is ${a[i]} on the CPU and ${b[i]} on the GPU`);
  }
}

/** Weights and states of both, bit for bit. */
async function sameRuns(what: string, kernels: WebGPUKernels, cpu: Optimizer, gpu: Optimizer): Promise<void> {
  const weights = await kernels.read(gpu);
  for (const [i, { data, dtype }] of cpu.parameters.entries()) {
    same(`${what}: weights ${i}`, data, weights[i]!.data, dtype === 'float16');
  }
  const [a, b] = [cpu.stateDict(), gpu.stateDict()];
  check(`${what}: groups`, JSON.stringify(a.param_groups) === JSON.stringify(b.param_groups));
  check(`${what}: entries`, Object.keys(a.state).join() === Object.keys(b.state).join());
  for (const [id, entry] of Object.entries(a.state)) {
    const other = b.state[id]!;
    check(`${what}: keys of ${id}`, Object.keys(entry).join() === Object.keys(other).join());
    for (const [key, value] of Object.entries(entry)) {
      const data = (value as { data?: unknown }).data;
      if (data !== undefined) same(`${what}: ${key} ${id}`, data, (other[key] as { data: unknown }).data);
      else check(`${what}: ${key} ${id}: ${value} and ${other[key]}`, Object.is(value, other[key]));
    }
  }
}

/** One model in memory and on the GPU, and gradients for both. */
export class Pair {
  readonly cpu: Parameter[];
  readonly gpu: Parameter[];
  readonly #random: () => number;
  readonly #kernels: WebGPUKernels;

  constructor(kernels: WebGPUKernels, format: Format, shapes = SHAPES, seed = 7) {
    this.#random = randomNumbers(seed);
    this.#kernels = kernels;
    const data = shapes.map((shape) =>
      rounded(
        format,
        wild(
          shape.reduce((a, b) => a * b, 1),
          this.#random,
          -8,
          4,
        ),
      ),
    );
    const options = (i: number) => ({ dtype: format, name: `weight ${i}` });
    this.cpu = data.map((numbers, i) => new Parameter(numbers.slice() as Float32Array, shapes[i]!, options(i)));
    this.gpu = data.map((numbers, i) => {
      return new Parameter(kernels.upload(numbers as Float32Array), shapes[i]!, options(i));
    });
  }

  /** Gradients of step `t`; 16-bit weights have some of both kinds. */
  gradients(t: number, change: (numbers: Float32Array, i: number) => void = () => {}): void {
    for (const [i, one] of this.cpu.entries()) {
      const numbers = wild(one.data.length, this.#random, t % 3 === 0 ? -60 : -20, t % 5 === 4 ? 40 : 4);
      change(numbers, i);
      const given = i % 2 === 1 ? rounded(one.dtype as Format, numbers) : numbers;
      if (this.gpu[i]!.grad !== null) this.#kernels.free(this.gpu[i]!.grad as Float32Array);
      one.grad = given as Float32Array;
      this.gpu[i]!.grad = this.#kernels.upload(given as Float32Array);
    }
  }
}

async function rules(kernels: WebGPUKernels, chosen: Readonly<Record<string, Make>>, say: Given['say']): Promise<void> {
  for (const [name, make] of Object.entries(chosen)) {
    const formats: readonly Format[] = /^(AdamW|SGD nesterov|Adafactor beta1)$/.test(name)
      ? ['float32', 'bfloat16', 'float16']
      : ['float32'];
    for (const format of formats) {
      for (const rounding of format === 'float32' ? (['nearest'] as const) : (['nearest', 'stochastic'] as const)) {
        const what = `${name}, ${format}, ${rounding}`;
        const pair = new Pair(kernels, format);
        const cpu = make(pair.cpu, { rounding, seed: 5 });
        const gpu = make(pair.gpu, { rounding, seed: 5, kernels });
        const begun = performance.now();
        for (let t = 0; t < 12; t++) {
          pair.gradients(t);
          cpu.step();
          if (t === 5) await gpu.stepAsync();
          else gpu.step();
        }
        await sameRuns(what, kernels, cpu, gpu);
        say(`${what}: the same bits (${Math.round(performance.now() - begun)} ms)`);
        gpu.dispose();
      }
    }
  }
}

/** From the CPU to the GPU and back at every cut: the hash of a run that stayed on the CPU. */
async function cuts(kernels: WebGPUKernels, chosen: Readonly<Record<string, Make>>, say: Given['say']): Promise<void> {
  const steps = 6;
  for (const [name, make] of Object.entries(chosen)) {
    const whole = new Pair(kernels, 'float32', [[3, 7], [9]]);
    const reference = make(whole.cpu);
    for (let t = 0; t < steps; t++) {
      whole.gradients(t);
      reference.step();
    }
    for (let cut = 0; cut <= steps; cut++) {
      const pair = new Pair(kernels, 'float32', [[3, 7], [9]]);
      let [cpu, gpu] = [make(pair.cpu), make(pair.gpu, { kernels })];
      for (let t = 0; t < steps; t++) {
        if (t === cut) {
          gpu.loadStateDict(cpu.stateDict());
          for (const [i, { data }] of pair.cpu.entries()) pair.gpu[i]!.data.set(data as Float32Array);
        }
        pair.gradients(t);
        if (t < cut || t > cut + 2) cpu.step();
        else gpu.step();
        if (t === cut + 2) {
          const weights = await kernels.read(gpu);
          cpu = make(pair.cpu);
          cpu.loadStateDict(gpu.stateDict());
          for (const [i, { data }] of weights.entries()) pair.cpu[i]!.data.set(data as Float32Array);
          gpu = make(pair.gpu, { kernels });
        }
      }
      if (cut + 2 >= steps && cut < steps) {
        await sameRuns(`${name}, cut at ${cut}, ended on the GPU`, kernels, reference, gpu);
        continue;
      }
      for (const [i, { data }] of pair.cpu.entries()) same(`${name}, cut at ${cut}`, whole.cpu[i]!.data, data);
    }
    say(`${name}: from CPU to GPU and back at every cut, the same bits`);
  }
}

/** More elements than invocations fit side by side; where they would take minutes, that is told. */
async function tenMillion(kernels: WebGPUKernels, say: Given['say']): Promise<void> {
  const few = new Pair(kernels, 'float32', [[1e5]]);
  const probe = new AdamW(few.gpu, { kernels });
  few.gradients(1);
  const before = performance.now();
  await probe.stepAsync();
  const seconds = (performance.now() - before) / 10;
  if (seconds > 60)
    return say(`AdamW, 1e7 elements: skipped, they would take ${Math.round(seconds)} s on this adapter`);
  const begun = performance.now();
  const pair = new Pair(kernels, 'float32', [[1e7]]);
  const [cpu, gpu] = [new AdamW(pair.cpu), new AdamW(pair.gpu, { kernels })];
  pair.gradients(1);
  cpu.step();
  gpu.step();
  await sameRuns('1e7 elements', kernels, cpu, gpu);
  gpu.dispose();
  for (const { data, grad } of pair.gpu) for (const one of [data, grad]) kernels.free(one as Float32Array);
  say(`AdamW, 1e7 elements: the same bits (${Math.round(performance.now() - begun)} ms)`);
}

async function longRun(kernels: WebGPUKernels, steps: number, say: Given['say']): Promise<void> {
  const pair = new Pair(kernels, 'float32', [[5, 9]]);
  const [cpu, gpu] = [new AdamW(pair.cpu), new AdamW(pair.gpu, { kernels })];
  for (let t = 0; t < steps; t++) {
    pair.gradients(t);
    cpu.step();
    gpu.step();
    if (t % 50 === 49) await kernels.settle();
  }
  await sameRuns(`${steps} steps`, kernels, cpu, gpu);
  say(`AdamW, ${steps} steps: the same bits`);
}

/** Gradients that are not finite, in steps that are recorded without an await. */
async function nonFinite(kernels: WebGPUKernels, make: Make, name: string, say: Given['say']): Promise<void> {
  const bad = new Set([0, 3, 4]);
  const spoil = (t: number) => (numbers: Float32Array, i: number) => {
    if (bad.has(t) && i === 1) numbers[3] = Number.NaN;
    if (bad.has(t) && i === 0) numbers[t] = -Infinity;
  };
  const shapes = [[3, 7], [9]];
  const pair = new Pair(kernels, 'float32', shapes);
  const [cpu, gpu] = [make(pair.cpu, { nonFinite: 'skip' }), make(pair.gpu, { nonFinite: 'skip', kernels })];
  for (let t = 0; t < 8; t++) {
    pair.gradients(t, spoil(t));
    cpu.step();
    gpu.step();
  }
  await sameRuns(`${name}, skip`, kernels, cpu, gpu);
  check(`${name}: skipped ${gpu.skippedSteps}, calls ${gpu.stepCalls}`, gpu.skippedSteps === 3 && gpu.stepCalls === 8);

  const other = new Pair(kernels, 'float32', shapes);
  const [a, b] = [make(other.cpu), make(other.gpu, { kernels })];
  const told: string[] = [];
  for (let t = 0; t < 8; t++) {
    other.gradients(t, spoil(t));
    try {
      a.step();
    } catch (error) {
      told.push((error as Error).message);
    }
    await b.stepAsync().catch((error) => {
      check(`${name}: ${error}`, error instanceof NonFiniteGradientError && error.message === told.at(-1));
      told.pop();
    });
  }
  check(`${name}: all refusals were told`, told.length === 0 && b.stepCalls === 5);
  await sameRuns(`${name}, throw`, kernels, a, b);

  // Nothing is done from the refused step on until that has been told.
  const last = new Pair(kernels, 'float32', shapes);
  const [c, d] = [make(last.cpu), make(last.gpu, { kernels })];
  for (let t = 1; t < 6; t++) {
    last.gradients(t, spoil(t));
    if (t < 3) c.step();
    d.step();
    if (t === 5) {
      const error = await kernels.settle().catch((reason) => reason);
      check(`${name}: ${error}`, error instanceof NonFiniteGradientError && error.parameter === 'weight 0');
      check(`${name}: ${error.message}`, error.index === 3 && error.message.includes('-Infinity'));
    }
  }
  await sameRuns(`${name}, told late`, kernels, c, d);
  last.gradients(1);
  c.step();
  d.step();
  await sameRuns(`${name}, after it was told`, kernels, c, d);

  const wide = new Pair(kernels, 'float32', shapes);
  const [e, f] = [make(wide.cpu, { nonFinite: 'propagate' }), make(wide.gpu, { nonFinite: 'propagate', kernels })];
  for (let t = 0; t < 3; t++) {
    wide.gradients(t, spoil(t));
    e.step();
    f.step();
  }
  await sameRuns(`${name}, propagate`, kernels, e, f);
  say(`${name}: gradients that are not finite, by every policy`);
}

/** States that are loaded while nobody knows yet what has become of the steps; steps of some parameters. */
async function inBetween(kernels: WebGPUKernels, make: Make, name: string, say: Given['say']): Promise<void> {
  const pair = new Pair(kernels, 'float32', [[3, 7], [9], [2, 2]]);
  const options = { nonFinite: 'skip' } as const;
  const [cpu, gpu] = [make(pair.cpu.slice(0, 2), options), make(pair.gpu.slice(0, 2), { ...options, kernels })];
  const spoil = (numbers: Float32Array, i: number) => {
    if (i === 0) numbers[1] = Number.NaN;
  };
  pair.gradients(0);
  cpu.step();
  gpu.step();
  const saved = cpu.stateDict();
  for (let t = 1; t < 5; t++) {
    pair.gradients(t, t % 2 === 0 ? spoil : undefined);
    cpu.step();
    gpu.step();
    if (t !== 2) continue;
    for (const one of [cpu, gpu]) one.loadStateDict(saved);
    for (const one of [cpu, gpu]) one.addParamGroup({ params: [one === cpu ? pair.cpu[2]! : pair.gpu[2]!] });
  }
  pair.gradients(6);
  cpu.stepParameter(pair.cpu[1]!);
  gpu.stepParameter(pair.gpu[1]!);
  const both = new Pair(kernels, 'float32', [[3, 7], [9], [2, 2]], 11);
  both.gradients(0);
  for (const [i, one] of both.cpu.entries()) {
    pair.cpu[i]!.grad = i === 1 ? null : (one.grad as Float32Array);
    pair.gpu[i]!.grad = i === 1 ? null : both.gpu[i]!.grad;
  }
  cpu.step();
  gpu.step();
  await sameRuns(`${name}, in between`, kernels, cpu, gpu);
  check(`${name}: ${gpu.stepCalls} calls, ${gpu.skippedSteps} left out`, gpu.stepCalls === cpu.stepCalls);
  check(`${name}: skipped`, gpu.skippedSteps === cpu.skippedSteps);
  say(`${name}: states loaded and groups added in between`);
}

/** A device whose bindings are small. */
function small(device: GPUDevice, bytes: number): GPUDevice {
  const { limits } = device;
  const own: Record<string, unknown> = {};
  for (const name of [
    'createBuffer',
    'createShaderModule',
    'createBindGroupLayout',
    'createPipelineLayout',
    'createComputePipeline',
    'createBindGroup',
    'createCommandEncoder',
    'pushErrorScope',
    'popErrorScope',
  ] as const) {
    own[name] = (...args: unknown[]) => (device[name] as (...all: unknown[]) => unknown)(...args);
  }
  return {
    ...own,
    queue: device.queue,
    lost: device.lost,
    limits: {
      maxStorageBufferBindingSize: bytes,
      maxBufferSize: limits.maxBufferSize,
      minStorageBufferOffsetAlignment: limits.minStorageBufferOffsetAlignment,
      maxComputeWorkgroupsPerDimension: 3,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
    },
  } as unknown as GPUDevice;
}

async function split(device: GPUDevice, chosen: Readonly<Record<string, Make>>, say: Given['say']): Promise<void> {
  const kernels = webgpuKernels(small(device, 4096));
  for (const [name, make] of Object.entries(chosen)) {
    for (const format of name === 'AdamW' ? (['float32', 'bfloat16'] as const) : (['float32'] as const)) {
      const pair = new Pair(kernels, format, [[2501], [1023, 3], [7, 1500]]);
      const rounding = 'stochastic';
      const [cpu, gpu] = [make(pair.cpu, { rounding }), make(pair.gpu, { kernels, rounding })];
      for (let t = 0; t < 3; t++) {
        pair.gradients(t);
        cpu.step();
        gpu.step();
      }
      await sameRuns(`${name}, ${format}, over several bindings`, kernels, cpu, gpu);
      const other = pair.gpu[1]!;
      const numbers = wild(3 * 1023, randomNumbers(1), 0, 1);
      numbers[2050] = Number.NaN;
      other.grad = kernels.upload(numbers);
      const error = await gpu.stepAsync().catch((reason) => reason);
      check(`${name}: ${error}`, error instanceof NonFiniteGradientError && error.index === 2050);
    }
  }
  say(`arrays larger than a binding, in several: the same bits`);
}

/** Adafactor over several bindings, with sums by streams, and in 16 bits by strips. */
async function large(device: GPUDevice, say: Given['say']): Promise<void> {
  const kernels = webgpuKernels(small(device, 280_000));
  for (const format of ['float32', 'bfloat16'] as const) {
    const begun = performance.now();
    const pair = new Pair(kernels, format, format === 'float32' ? [[70_001], [530, 511]] : [[20_001], [100, 211]]);
    const [cpu, gpu] = [new Adafactor(pair.cpu), new Adafactor(pair.gpu, { kernels })];
    for (let t = 0; t < 2; t++) {
      pair.gradients(t);
      cpu.step();
      gpu.step();
    }
    await sameRuns(`Adafactor, ${format}, large`, kernels, cpu, gpu);
    say(
      `Adafactor, ${format}, large, over several bindings: the same bits (${Math.round(performance.now() - begun)} ms)`,
    );
  }
}

/** Buffers of the user's own, ranges of one, commands on an encoder of the user's. */
async function ownBuffers(device: GPUDevice, kernels: WebGPUKernels, say: Given['say']): Promise<void> {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffer = device.createBuffer({ size: 4096, usage });
  const pair = new Pair(kernels, 'float32', [[4, 5], [33]]);
  const gpu = pair.gpu.map(({ data, shape, name }, i) => {
    const one = new Parameter(kernels.wrap(buffer, 'float32', data.length, { offset: 512 * i }), shape, {
      name: name!,
    });
    one.data.set(pair.cpu[i]!.data as Float32Array);
    one.grad = kernels.wrap(buffer, 'float32', data.length, { offset: 2048 + 512 * i });
    return one;
  });
  const [cpu, on] = [new AdamW(pair.cpu), new AdamW(gpu, { kernels })];
  for (let t = 0; t < 4; t++) {
    pair.gradients(t);
    for (const [i, one] of gpu.entries()) one.grad!.set(pair.cpu[i]!.grad as Float32Array);
    cpu.step();
    const encoder = device.createCommandEncoder();
    kernels.encode(encoder, () => on.step());
    device.queue.submit([encoder.finish()]);
  }
  await sameRuns('ranges of one buffer, on an own encoder', kernels, cpu, on);
  say('ranges of one buffer, on an encoder of the user: the same bits');
}

function message(record: () => unknown): string {
  try {
    record();
  } catch (error) {
    return (error as Error).message;
  }
  return 'nothing was thrown';
}

async function refusals({ device: another, say }: Given, device: GPUDevice, kernels: WebGPUKernels): Promise<void> {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const expect = (what: string, found: string, wanted: RegExp): void => check(`${what}: ${found}`, wanted.test(found));
  const plain = device.createBuffer({ size: 64, usage: GPUBufferUsage.COPY_DST });
  const buffer = device.createBuffer({ size: 64, usage });
  expect(
    'usage',
    message(() => kernels.wrap(plain, 'float32', 4)),
    /must have the usage STORAGE/,
  );
  expect(
    'size',
    message(() => kernels.wrap(buffer, 'float32', 17)),
    /need 68 bytes, but the buffer has 64/,
  );
  expect(
    'offset',
    message(() => kernels.wrap(buffer, 'float32', 1, { offset: 4 })),
    /offset must be a multiple of/,
  );
  const weight = new Parameter(kernels.upload(Float32Array.of(1, 2, 3)), { name: 'w' });
  const optimizer = new AdamW([weight], { kernels });
  weight.grad = Float32Array.of(1, 2, 3);
  expect(
    'a gradient in memory',
    message(() => optimizer.step()),
    /parameter "w": grad must be an array of these kernels/,
  );
  weight.grad = kernels.upload(Float32Array.of(1, 2));
  expect(
    'a short gradient',
    message(() => optimizer.step()),
    /grad must have 3 elements of float32, got 2/,
  );
  const elsewhere = new AdamW([weight]);
  weight.grad = kernels.upload(Float32Array.of(1, 2, 3));
  expect(
    'other kernels',
    message(() => elsewhere.step()),
    /is on a GPU: it is for optimizers with the webgpuKernels/,
  );
  const inMemory = new Parameter(new Float32Array(3));
  inMemory.grad = new Float32Array(3);
  const mixed = new AdamW([inMemory], { kernels });
  expect(
    'weights in memory',
    message(() => mixed.step()),
    /data must be an array of these kernels, got Float32Array/,
  );
  await optimizer.stepAsync();
  expect(
    'state',
    message(() => optimizer.stateDict()),
    /the state is on the GPU; await kernels\.read\(optimizer\)/,
  );
  const before = (await kernels.stateDict(optimizer)).state[0]!.exp_avg as { data: Float32Array };
  kernels.free(weight.grad as Float32Array);
  expect(
    'freed',
    message(() => optimizer.step()),
    /grad was freed and is still in use/,
  );

  // What only the GPU knows is told at the next await; the state is still there.
  const gone = device.createBuffer({ size: 64, usage });
  weight.grad = kernels.wrap(gone, 'float32', 3);
  gone.destroy();
  const destroyed = await optimizer.stepAsync().catch((error) => String(error));
  expect('destroyed', String(destroyed), /WebGPU refused the commands, so nothing of that step was done/);
  const foreign = await another();
  weight.grad = kernels.wrap(foreign.createBuffer({ size: 64, usage }), 'float32', 3);
  optimizer.step();
  const refused = await kernels.settle().catch((error) => String(error));
  expect('of another device', String(refused), /WebGPU refused the commands/);
  const dict = await kernels.stateDict(optimizer);
  const after = dict.state[0]!.exp_avg as { data: Float32Array };
  check('the state is as it was', dict.state[0]!.step === 1 && optimizer.stepCalls === 1);
  same('the state is as it was', before.data, after.data);

  const lost = await another();
  const last = webgpuKernels(lost);
  const one = new Parameter(last.upload(Float32Array.of(1)));
  one.grad = last.upload(Float32Array.of(1));
  const losing = new AdamW([one], { kernels: last });
  await losing.stepAsync();
  lost.destroy();
  await lost.lost;
  await Promise.resolve();
  expect(
    'lost',
    message(() => losing.step()),
    /the GPU device was lost .*from the last state that was saved/,
  );
  foreign.destroy();
  say('wrong buffers and a lost device are told');
}

/** All of it. */
export async function suite(given: Given): Promise<void> {
  const { say, short, only, seed, goldens } = given;
  const device = await given.device();
  const errors: string[] = [];
  device.addEventListener?.('uncapturederror', (event) =>
    errors.push((event as GPUUncapturedErrorEvent).error.message),
  );
  await arithmetic(device, short ? 1 : 16, seed, say);
  const kernels = webgpuKernels(device);
  const some = (...names: string[]) => Object.fromEntries(names.map((name) => [name, optimizers[name]!]));
  await rules(kernels, Object.fromEntries(Object.entries(optimizers).filter(([name]) => name.startsWith(only))), say);
  if (only === '' || only === 'float32') await float32Level(device, goldens, say);
  if (only !== '') return;
  await cuts(kernels, some('AdamW', 'SGD momentum', 'Adafactor'), say);
  await nonFinite(kernels, optimizers.AdamW!, 'AdamW', say);
  await nonFinite(kernels, optimizers.Adafactor!, 'Adafactor', say);
  await nonFinite(kernels, optimizers['SGD momentum']!, 'SGD momentum', say);
  for (const name of ['AdamW', 'Adafactor', 'SGD momentum']) await inBetween(kernels, optimizers[name]!, name, say);
  await split(device, some('AdamW', 'Lion'), say);
  await large(device, say);
  await ownBuffers(device, kernels, say);
  await refusals(given, device, kernels);
  if (!short) await tenMillion(kernels, say);
  await longRun(kernels, short ? 60 : 500, say);
  check(`WebGPU said: ${errors[0]}`, errors.length === 0);
  device.destroy();
}
