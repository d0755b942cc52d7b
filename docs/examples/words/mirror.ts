/**
 * Parameters on a GPU, of a model whose gradients are computed here: gradients go there at every
 * step, the new weights come back.
 */
import { type Kernels, type Optimizer, Parameter } from 'tensorless';
import type { WebGPUKernels } from 'tensorless/webgpu';

export const onGPU = (kernels: Kernels): kernels is WebGPUKernels => kernels.name === 'webgpu';

export class Mirror {
  /** Those on the GPU, for the optimizer. */
  readonly parameters: readonly Parameter[];
  readonly #kernels: WebGPUKernels;
  readonly #here: readonly Parameter[];

  /** `here`: the parameters in memory, which are float32. */
  constructor(kernels: WebGPUKernels, here: readonly Parameter[]) {
    this.#kernels = kernels;
    this.#here = here;
    this.parameters = here.map(({ data, shape, name }) => {
      const there = new Parameter(kernels.upload(data as Float32Array), shape, { name: name! });
      there.grad = kernels.upload(new Float32Array(data.length));
      return there;
    });
  }

  /** Writes the weights to the GPU: after a checkpoint was loaded, say. */
  write(): void {
    for (const [i, { data }] of this.#here.entries()) this.parameters[i]!.data.set(data as Float32Array);
  }

  /** Reads weights and state: from here to the next step all that saves them works. */
  async read(optimizer: Optimizer): Promise<void> {
    const read = await this.#kernels.read(optimizer);
    for (const [i, { data }] of this.#here.entries()) data.set(read[i]!.data as Float32Array);
  }

  /** A step with the gradients that are here. */
  async step(optimizer: Optimizer): Promise<void> {
    for (const [i, { grad }] of this.#here.entries()) this.parameters[i]!.grad!.set(grad as Float32Array);
    optimizer.step();
    await this.read(optimizer);
  }

  /** Gives the GPU's memory back. */
  free(): void {
    for (const { data, grad } of this.parameters) {
      this.#kernels.free(data as Float32Array);
      this.#kernels.free(grad as Float32Array);
    }
  }
}
