/**
 * The part of WebGPU that is used here, so that no types have to be installed: every runtime's
 * `GPUDevice` and `GPUBuffer` fit.
 *
 * @module
 */

/** A `GPUBuffer`. */
export interface GPUBufferLike {
  /** Bytes. */
  readonly size: number;
  /** Bits of `GPUBufferUsage`. */
  readonly usage: number;
  /** Frees the memory, once the commands that were submitted are done. */
  destroy(): void;
  /** Makes the bytes readable. */
  mapAsync(mode: number): Promise<unknown>;
  /** The bytes of a mapped buffer. */
  getMappedRange(): ArrayBuffer;
  /** The end of `mapAsync`. */
  unmap(): void;
}

/** A `GPUComputePassEncoder`. */
export interface GPUPassLike {
  /** Chooses the program. */
  setPipeline(pipeline: object): void;
  /** Chooses its arrays. */
  setBindGroup(index: number, group: object | null): void;
  /** Runs it. */
  dispatchWorkgroups(x: number, y?: number): void;
  /** The end of the pass. */
  end(): void;
}

/** A `GPUCommandEncoder`. */
export interface GPUEncoderLike {
  /** Begins a pass. */
  beginComputePass(): GPUPassLike;
  /** Copies bytes. */
  copyBufferToBuffer(from: object, fromAt: number, to: object, toAt: number, size: number): void;
  /** Zeros bytes. */
  clearBuffer(buffer: object, at?: number, size?: number): void;
  /** The commands, to be submitted. */
  finish(): object;
}

/** A `GPUDevice`. */
export interface GPUDeviceLike {
  /** What it is made for. */
  readonly limits: {
    /** Bytes that one binding may have. */
    readonly maxStorageBufferBindingSize: number;
    /** Bytes that one buffer may have. */
    readonly maxBufferSize: number;
    /** What a binding's offset must be a multiple of, in bytes. */
    readonly minStorageBufferOffsetAlignment: number;
    /** Workgroups of one dispatch, in each direction. */
    readonly maxComputeWorkgroupsPerDimension: number;
    /** Arrays that one program may have. */
    readonly maxStorageBuffersPerShaderStage: number;
  };
  /** Takes commands. */
  readonly queue: {
    /** Runs what was recorded. */
    submit(commands: object[]): unknown;
    /** Copies bytes from here into a buffer. */
    writeBuffer(buffer: object, at: number, data: ArrayBuffer, from?: number, size?: number): unknown;
  };
  /** Settles when the device is lost. */
  readonly lost: Promise<{
    /** `destroyed`, or `unknown`. */
    readonly reason?: string | undefined;
    /** What happened, in words. */
    readonly message: string;
  }>;
  // What is made is told as WebGPU says it; types that name a descriptor's parts fit no GPUDevice.
  /** Makes memory. */
  createBuffer(descriptor: object): GPUBufferLike;
  /** Makes a program's text known. */
  createShaderModule(descriptor: object): object;
  /** Makes the form of a bind group. */
  createBindGroupLayout(descriptor: object): object;
  /** Makes the form of a program's arrays. */
  createPipelineLayout(descriptor: object): object;
  /** Makes a program. */
  createComputePipeline(descriptor: object): object;
  /** Makes a choice of arrays. */
  createBindGroup(descriptor: object): object;
  /** Begins commands. */
  createCommandEncoder(): GPUEncoderLike;
  /** Begins to watch for errors. */
  pushErrorScope(filter: 'validation' | 'out-of-memory' | 'internal'): void;
  /** The first error since then. */
  popErrorScope(): Promise<{
    /** What went wrong, in words. */
    readonly message: string;
  } | null>;
}

/** Bits of `GPUBufferUsage`. */
export const USAGE = { mapRead: 1, copySource: 4, copyTarget: 8, storage: 128 } as const;
/** `GPUMapMode.READ`. */
export const READ = 1;
/** `GPUShaderStage.COMPUTE`. */
export const COMPUTE = 4;
