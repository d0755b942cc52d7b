/** Programs and their arrays, as WebGPU wants them: pipelines, bind groups, numbers of groups. */
import { COMPUTE, type GPUDeviceLike, type GPUPassLike } from './gpu.ts';
import { GROUP } from './programs.ts';

/** A range of a buffer. */
export interface Part {
  readonly buffer: object;
  readonly offset: number;
  readonly size: number;
}

interface Program {
  readonly code: () => string;
  readonly arrays: number;
  pipeline?: object;
}

/** Makes each pipeline once. */
export class Pipelines {
  readonly #device: GPUDeviceLike;
  readonly #programs = new Map<string, Program>();
  /** Forms of the second group, by its number of arrays; of the first one. */
  readonly #forms = new Map<number, object>();
  readonly #first: object;

  constructor(device: GPUDeviceLike) {
    this.#device = device;
    this.#first = this.#form(['read-only-storage', 'storage']);
  }

  #form(types: readonly string[]): object {
    const entries = types.map((type, binding) => ({ binding, visibility: COMPUTE, buffer: { type } }));
    return this.#device.createBindGroupLayout({ entries });
  }

  #arrays(count: number): object {
    let form = this.#forms.get(count);
    if (form === undefined) {
      form = this.#form(Array.from({ length: count }, () => 'storage'));
      this.#forms.set(count, form);
    }
    return form;
  }

  /** Makes a program known by its name, which it returns. */
  name(name: string, code: () => string, arrays: number): string {
    if (!this.#programs.has(name)) this.#programs.set(name, { code, arrays });
    return name;
  }

  #pipeline(name: string): object {
    const program = this.#programs.get(name)!;
    if (program.pipeline === undefined) {
      const label = `tensorless ${name}`;
      const module = this.#device.createShaderModule({ label, code: program.code() });
      const groups = program.arrays === 0 ? [this.#first] : [this.#first, this.#arrays(program.arrays)];
      const layout = this.#device.createPipelineLayout({ bindGroupLayouts: groups });
      program.pipeline = this.#device.createComputePipeline({ label, layout, compute: { module, entryPoint: 'main' } });
    }
    return program.pipeline;
  }

  /** Invocations side by side where there are so many in all. */
  width(count: number): number {
    const most = this.#device.limits.maxComputeWorkgroupsPerDimension;
    return Math.min(Math.ceil(count / GROUP), most) * GROUP;
  }

  /** Runs a program `count` times, with its job at a place of the jobs. */
  run(
    pass: GPUPassLike,
    name: string,
    jobs: object,
    at: number,
    jobSize: number,
    tally: object,
    arrays: readonly Part[],
    count: number,
  ): void {
    const device = this.#device;
    const parts = (layout: object, given: readonly { buffer: object; offset?: number; size?: number }[]): object =>
      device.createBindGroup({ layout, entries: given.map((resource, binding) => ({ binding, resource })) });
    const pipeline = this.#pipeline(name);
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, parts(this.#first, [{ buffer: jobs, offset: at, size: jobSize }, { buffer: tally }]));
    if (arrays.length > 0) pass.setBindGroup(1, parts(this.#arrays(arrays.length), arrays));
    const groups = Math.ceil(count / GROUP);
    const side = this.width(count) / GROUP;
    pass.dispatchWorkgroups(side, Math.ceil(groups / side));
  }
}
