/**
 * What can be said of `tensorless/webgpu` without a GPU, on a device that only takes notes; the bits
 * are compared by `npm run test:webgpu`.
 */
import { AdamW, clipGradNorm, GradientAccumulator, Parameter, typescriptKernels } from 'tensorless';
import { encodeTrainingState } from 'tensorless/checkpoint';
import { simdKernels } from 'tensorless/simd';
import { type GPUBufferLike, type GPUDeviceLike, webgpuKernels } from 'tensorless/webgpu';
import { describe, expect, it } from 'vitest';

const STORAGE = 128;

/** A device that writes down what it is asked to do, and computes nothing. */
function noted() {
  const notes: string[] = [];
  const programs: string[] = [];
  const pass = { setPipeline() {}, setBindGroup() {}, dispatchWorkgroups: () => void notes.push('dispatch'), end() {} };
  const buffer = (size: number, usage: number): GPUBufferLike => ({
    size,
    usage,
    destroy: () => void notes.push('destroy'),
    mapAsync: async () => {},
    getMappedRange: () => new ArrayBuffer(size),
    unmap() {},
  });
  const device: GPUDeviceLike = {
    limits: {
      maxStorageBufferBindingSize: 2 ** 27,
      maxBufferSize: 2 ** 28,
      minStorageBufferOffsetAlignment: 256,
      maxComputeWorkgroupsPerDimension: 65535,
      maxStorageBuffersPerShaderStage: 8,
    },
    queue: { submit: () => notes.push('submit'), writeBuffer: () => notes.push('write') },
    lost: new Promise(() => {}),
    createBuffer: (descriptor) => {
      const { size, usage } = descriptor as { size: number; usage: number };
      return buffer(size, usage);
    },
    createShaderModule: (descriptor) => {
      programs.push((descriptor as { code: string }).code);
      return {};
    },
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createComputePipeline: () => ({}),
    createBindGroup: () => ({}),
    createCommandEncoder: () => ({
      beginComputePass: () => pass,
      copyBufferToBuffer() {},
      clearBuffer() {},
      finish: () => ({}),
    }),
    pushErrorScope() {},
    popErrorScope: async () => null,
  };
  return { device, notes, programs, buffer };
}

const message = (call: () => unknown): string => {
  try {
    call();
  } catch (error) {
    return (error as Error).message;
  }
  return 'nothing was thrown';
};

describe('webgpuKernels', () => {
  it('refuses what is no device, a promise of one, and unknown options', () => {
    const { device } = noted();
    expect(message(() => webgpuKernels(null as never))).toMatch(/device must be a GPUDevice, got null/);
    expect(message(() => webgpuKernels(Promise.resolve(device) as never))).toMatch(/; await it$/);
    expect(message(() => webgpuKernels(device, { arithmetic: 'half' as never }))).toMatch(/arithmetic must be/);
    expect(message(() => webgpuKernels(device, { level: 1 } as never))).toMatch(/level/);
  });

  it('refuses buffers, ranges and arrays that do not fit, by name', () => {
    const { device, buffer } = noted();
    const kernels = webgpuKernels(device);
    const whole = buffer(64, STORAGE);
    expect(message(() => kernels.wrap({} as never, 'float32', 1))).toMatch(/buffer must be a GPUBuffer, got/);
    expect(message(() => kernels.wrap(buffer(64, 8), 'float32', 1))).toMatch(/must have the usage STORAGE, got 8/);
    expect(message(() => kernels.wrap(whole, 'float64' as never, 1))).toMatch(/dtype must be/);
    expect(message(() => kernels.wrap(whole, 'float32', -1))).toMatch(/length must be/);
    expect(message(() => kernels.wrap(whole, 'float32', 17))).toMatch(/need 68 bytes, but the buffer has 64/);
    expect(message(() => kernels.wrap(buffer(6, STORAGE), 'float16', 3))).toMatch(/word for itself.* need 8 bytes/);
    expect(message(() => kernels.wrap(whole, 'float32', 1, { offset: 4 }))).toMatch(/multiple of 256/);
    expect(message(() => kernels.upload(new Float64Array(1) as never))).toMatch(/array must be a Float32Array, or/);
    expect(message(() => kernels.allocate('float64', 1))).toMatch(/a GPU has no float64/);
    expect(message(() => kernels.allocate('float32', 2 ** 30))).toMatch(/at most 268435456 bytes/);
    expect(message(() => kernels.rangeOf(new Float32Array(1)))).toMatch(/array must be one of these kernels/);
    const array = kernels.allocate('float32', 3);
    expect(kernels.rangeOf(array)).toMatchObject({ offset: 0, size: 12 });
    expect(message(() => array.set([1, 2, 3, 4]))).toMatch(/4 numbers from 0 do not fit into 3/);
    expect(message(() => array.set(kernels.allocate('float32', 1)))).toMatch(/must be in memory/);
    const halves = kernels.upload(new Uint16Array(5));
    expect(message(() => halves.set([1, 2, 3], 1))).toMatch(/in pairs/);
    kernels.free(array);
    expect(message(() => kernels.free(array))).toMatch(/was freed already/);
    expect(message(() => array.set([1]))).toMatch(/was freed and is still in use/);
    expect(message(() => kernels.free(kernels.wrap(whole, 'float32', 1)))).toMatch(/over a buffer of yours/);
  });

  it('makes arrays that look like typed arrays, and tell whoever reads them where the numbers are', () => {
    const { device } = noted();
    const kernels = webgpuKernels(device);
    const array = kernels.upload(Float32Array.of(1, 2, 3));
    expect(array.length).toBe(3);
    const reads = [
      () => array.buffer,
      () => array.slice(),
      () => array.fill(1),
      () => [...array],
      () => array.map(Number),
    ];
    for (const read of reads) {
      expect(message(read)).toMatch(/is on a GPU: .* await kernels\.read\(array\)/);
    }
    const weight = new Parameter(array);
    const parameters = [weight];
    weight.grad = kernels.upload(Float32Array.of(1, 2, 3));
    for (const other of [typescriptKernels, simdKernels()]) {
      expect(message(() => new AdamW(parameters, { kernels: other }).step())).toMatch(/is on a GPU/);
    }
    expect(message(() => clipGradNorm(parameters, 1))).toMatch(/is on a GPU/);
    expect(message(() => new GradientAccumulator(parameters).add({ weight: 1 }))).not.toBe('nothing was thrown');
    const inMemory = new Parameter(new Float32Array(3));
    inMemory.grad = new Float32Array(3);
    expect(message(() => new AdamW([inMemory], { kernels }).step())).toMatch(/data must be an array of these kernels/);
    const optimizer = new AdamW(parameters, { kernels });
    expect(message(() => encodeTrainingState({ parameters, optimizer }))).not.toBe('nothing was thrown');
  });

  it('refuses two parameters that share bytes, and a gradient in its parameter', () => {
    const { device, buffer } = noted();
    const kernels = webgpuKernels(device);
    const shared = buffer(1024, STORAGE);
    const [a, b] = [0, 256].map((offset) => new Parameter(kernels.wrap(shared, 'float32', 100, { offset })));
    for (const one of [a!, b!]) one.grad = kernels.allocate('float32', 100);
    const optimizer = new AdamW([a!, b!], { kernels });
    expect(message(() => optimizer.step())).toMatch(/parameter 0 and parameter 1 share bytes/);
    const c = new Parameter(kernels.wrap(shared, 'float32', 100));
    c.grad = kernels.wrap(shared, 'float32', 100, { offset: 256 });
    expect(message(() => new AdamW([c], { kernels }).step())).toMatch(/must not share bytes with the parameter's data/);
    expect(optimizer.stepCalls).toBe(0);
  });

  it('submits a step of its own, and records into an encoder that it is given', async () => {
    const { device, notes, programs } = noted();
    const kernels = webgpuKernels(device);
    const weight = new Parameter(kernels.allocate('float32', 6), [2, 3]);
    weight.grad = kernels.allocate('float32', 6);
    const optimizer = new AdamW([weight], { kernels, nonFinite: 'propagate' });
    optimizer.step();
    notes.length = 0;
    optimizer.step();
    expect(notes).toEqual(['dispatch', 'submit', 'destroy']);
    notes.length = 0;
    expect(kernels.encode(device.createCommandEncoder(), () => optimizer.step())).toBe(undefined);
    expect(notes).toEqual(['dispatch']);
    // The program was made once.
    expect(programs).toHaveLength(1);
    expect(message(() => optimizer.stateDict())).toMatch(/await kernels\.read\(optimizer\) first/);
    const [copy] = await kernels.read(optimizer);
    expect(copy!.data).toEqual(new Float32Array(6));
    expect(Object.keys(optimizer.stateDict().state[0]!)).toEqual(['step', 'exp_avg', 'exp_avg_sq']);
    optimizer.step();
    expect(message(() => optimizer.stateDict())).toMatch(/await kernels\.read\(optimizer\) first/);
  });

  it('asks for an await before nobody knows any more which steps were done', () => {
    const { device } = noted();
    const kernels = webgpuKernels(device);
    const weight = new Parameter(kernels.allocate('float32', 1));
    weight.grad = kernels.allocate('float32', 1);
    const optimizer = new AdamW([weight], { kernels });
    for (let step = 0; step < 1000; step++) optimizer.step();
    expect(message(() => optimizer.step())).toMatch(/1000 steps were recorded and none was awaited/);
  });
});
