/**
 * What the GPU finds out about the steps of one optimizer, and what is known of it here: whether a
 * gradient was not finite, and so how many updates each parameter really had. It is heard of later
 * than the steps are recorded.
 */
import { NonFiniteGradientError } from '../core/gradient.ts';
import type { Slot } from '../optimizers/rule.ts';
import type { Stepper } from '../optimizers/step.ts';
import { type GPUBufferLike, type GPUDeviceLike, type GPUEncoderLike, READ, USAGE } from './gpu.ts';
import { TALLY } from './programs.ts';

/** What is known of one parameter's updates. */
export interface Known {
  readonly slot: Slot;
  /** Updates left out, as far as has been heard. */
  left: number;
  /** The slot's step as it was left; where it has another one, a state was loaded. */
  step: number;
  /** Updates that were recorded and not heard of. */
  pending: number;
  /** Where the number is that tells whether an array of the state has begun; -1: there is none. */
  readonly begunAt: number;
  /** That number when last nothing was pending, the updates of the array since, and `left` then. */
  begun: number;
  used: number;
  leftBefore: number;
  /** The step from which on this holds. */
  since: number;
}

interface Recorded {
  readonly serial: number;
  readonly where: string;
  readonly knowns: readonly Known[];
}

/** Whether the late array has begun, where so many more updates were left out than is known. */
export function begunOf({ begun, used, left, leftBefore }: Known, more: number): number {
  if (begun !== 0) return begun;
  return used - (left - leftBefore) - more > 0 ? 1 : 0;
}

/** Steps that may be recorded before one of them is heard of. */
export const MOST_PENDING = 1000;

/** The tally of one optimizer. */
export class Tally {
  readonly knowns: Map<Slot, Known> = new Map();
  /** Steps that are counted on the GPU: all from the first one on that checks a gradient. */
  serial = 0;
  counts = false;
  buffer: GPUBufferLike;
  capacity = 0;
  /** A refusal that has not been told. */
  error: Error | undefined;
  readonly #device: GPUDeviceLike;
  readonly #stepper: Stepper;
  #records: Recorded[] = [];
  #skipped = 0;
  #refused = 0;
  #staging: GPUBufferLike | undefined;
  #polling: Promise<void> | undefined;

  constructor(device: GPUDeviceLike, stepper: Stepper) {
    this.#device = device;
    this.#stepper = stepper;
    this.buffer = this.#make(64);
  }

  #make(capacity: number): GPUBufferLike {
    this.capacity = capacity;
    const words = new Uint32Array(TALLY.slots + 2 * capacity);
    for (let i = TALLY.slots + 1; i < words.length; i += 2) words[i] = 0xffffffff;
    words[TALLY.go] = 1;
    const usage = USAGE.storage | USAGE.copySource | USAGE.copyTarget;
    const buffer = this.#device.createBuffer({ label: 'tensorless tally', size: words.byteLength, usage });
    this.#device.queue.writeBuffer(buffer, 0, words.buffer);
    return buffer;
  }

  /** Makes room, in the order of the commands that go to `into`. */
  reserve(slots: number, into: GPUEncoderLike | undefined): void {
    if (slots <= this.capacity) return;
    const old = this.buffer;
    const size = 4 * (TALLY.slots + 2 * this.capacity);
    this.buffer = this.#make(2 ** Math.ceil(Math.log2(slots)));
    const encoder = into ?? this.#device.createCommandEncoder();
    encoder.copyBufferToBuffer(old, 0, this.buffer, 0, size);
    if (into === undefined) this.#device.queue.submit([encoder.finish()]);
    this.#staging = undefined;
  }

  /** Whether steps were recorded that have not been heard of. */
  get pending(): boolean {
    return this.#records.length > 0;
  }

  /** Notes a step that was recorded. */
  record(where: string, knowns: readonly Known[]): void {
    this.#records.push({ serial: this.serial, where, knowns });
    for (const known of knowns) known.pending++;
  }

  /** The commands of this step will never run: WebGPU refused them. */
  undo(serial: number): void {
    const at = this.#records.findIndex((one) => one.serial === serial);
    if (at < 0) return;
    const [record] = this.#records.splice(at, 1);
    this.#stepper.calls--;
    for (const known of record!.knowns) {
      if (known.since > serial) continue;
      known.pending--;
      if (known.slot.step === known.step) known.slot.step--;
      known.step--;
    }
  }

  /** Asks the GPU what has become of the steps that were submitted. */
  poll(): Promise<void> {
    this.#polling ??= this.#hear().finally(() => {
      this.#polling = undefined;
    });
    return this.#polling;
  }

  async #hear(): Promise<void> {
    const size = 4 * (TALLY.slots + 2 * this.capacity);
    const staging = this.#staging ?? this.#device.createBuffer({ size, usage: USAGE.mapRead | USAGE.copyTarget });
    this.#staging = staging;
    const encoder = this.#device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.buffer, 0, staging, 0, size);
    this.#device.queue.submit([encoder.finish()]);
    await staging.mapAsync(READ);
    const words = new Uint32Array(staging.getMappedRange().slice(0));
    staging.unmap();
    this.#take(words);
  }

  #take(words: Uint32Array): void {
    const steps = words[TALLY.steps]!;
    const refusal = words[TALLY.serial]!;
    if (refusal !== 0 && this.error === undefined) {
      const record = this.#records.find(({ serial }) => serial === refusal);
      const slot = record?.knowns[words[TALLY.place]!]?.slot;
      if (slot !== undefined) {
        const value = new Float32Array(words.buffer, 4 * TALLY.bits, 1)[0]!;
        this.error = new NonFiniteGradientError(record!.where, slot.parameter, slot.index, words[TALLY.index]!, value);
      }
    }
    while (this.#records.length > 0 && this.#records[0]!.serial <= steps) {
      const { knowns, serial } = this.#records.shift()!;
      for (const known of knowns) if (known.since <= serial) known.pending--;
    }
    const skipped = words[TALLY.skipped]!;
    const refused = words[TALLY.refused]!;
    this.#stepper.skipped += skipped - this.#skipped;
    this.#stepper.calls -= refused - this.#refused;
    this.#skipped = skipped;
    this.#refused = refused;
    for (const known of this.knowns.values()) {
      if (known.since > steps) continue;
      const left = words[TALLY.slots + 2 * known.slot.index]!;
      const more = left - known.left;
      known.left = left;
      if (known.slot.step !== known.step) continue;
      known.slot.step -= more;
      known.step -= more;
      if (known.begunAt < 0 || known.pending > 0) continue;
      const { numbers } = known.slot.work;
      numbers[known.begunAt] = begunOf(known, 0);
    }
  }

  /** The refusal that is to be told now, if there is one; from here on steps are done again. */
  told(): Error | undefined {
    const { error } = this;
    this.error = undefined;
    if (error !== undefined) this.#device.queue.writeBuffer(this.buffer, 4 * TALLY.serial, new ArrayBuffer(4));
    return error;
  }

  /** Gives the memory back. */
  destroy(): void {
    this.buffer.destroy();
    this.#staging?.destroy();
  }
}
