/** Programs and their arrays, as WebGPU wants them: pipelines, bind groups, numbers of groups. */
import { type Part, widthOf } from './dispatch.ts';
import { COMPUTE, type GPUDeviceLike, type GPUPassLike } from './gpu.ts';
import { GROUP, type Program } from './programs.ts';

/** Makes each pipeline once. */
export class Pipelines {
  readonly #device: GPUDeviceLike;
  readonly #made = new Map<string, object>();
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

  #pipeline({ name, arrays, code }: Program): object {
    let pipeline = this.#made.get(name);
    if (pipeline === undefined) {
      const label = `tensorless ${name}`;
      const module = this.#device.createShaderModule({ label, code: code() });
      const groups = arrays === 0 ? [this.#first] : [this.#first, this.#arrays(arrays)];
      const layout = this.#device.createPipelineLayout({ bindGroupLayouts: groups });
      pipeline = this.#device.createComputePipeline({ label, layout, compute: { module, entryPoint: 'main' } });
      this.#made.set(name, pipeline);
    }
    return pipeline;
  }

  /** Runs a program `count` times, with its job at a place of the jobs. */
  run(
    pass: GPUPassLike,
    program: Program,
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
    pass.setPipeline(this.#pipeline(program));
    pass.setBindGroup(0, parts(this.#first, [{ buffer: jobs, offset: at, size: jobSize }, { buffer: tally }]));
    if (arrays.length > 0) pass.setBindGroup(1, parts(this.#arrays(arrays.length), arrays));
    const groups = Math.ceil(count / GROUP);
    const side = widthOf(device, count) / GROUP;
    pass.dispatchWorkgroups(side, Math.ceil(groups / side));
  }
}
