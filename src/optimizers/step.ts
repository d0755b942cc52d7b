/**
 * The course of a step, the only one: gradients in, pass 0 of all, then all updates or none. `step`
 * runs the passes as they come, `stepAsync` lets an executor run them; what the groups hold has
 * been checked before.
 *
 * Whatever can fail (memory, checks, scratch) comes before the first write to weights or state.
 */
import { isSixteen } from '../core/dtype.ts';
import { checkedGradient, firstNonFinite, NonFiniteGradientError } from '../core/gradient.ts';
import { label, type Parameter, sizeOf } from '../core/parameter.ts';
import { nameHash, streamKey } from '../core/random.ts';
import type { StateArray } from '../core/state-dict.ts';
import { type Course, type Engine, loopsOf } from '../engine/engine.ts';
import { engineOf, type Kernels } from '../engine/kernels.ts';
import { allocateOwn, freeOwn } from '../engine/memory.ts';
import { type Pass, runPass } from '../engine/pass.ts';
import { Room, Strip } from '../engine/strip.ts';
import { AT, cutOf, type Work } from '../engine/work.ts';
import type { ParamGroup } from './param-group.ts';
import { FLUSH_STEPS, type Rule, type Slot } from './rule.ts';

/** One optimizer's steps. */
export class Stepper implements Course {
  /** Calls that were not refused. */
  calls = 0;
  /** Of these, the ones left out for a non-finite gradient. */
  skipped = 0;
  readonly owner: object = this;
  readonly passes: readonly Pass[];
  readonly strip: Strip;
  readonly works: Work[] = [];
  readonly kernels: Kernels;
  pass = -1;
  from = 0;
  to = 0;
  readonly #rule: Rule;
  readonly #engine: Engine;
  readonly #room: Room;
  readonly #memo: unknown;
  /**
   * Slots with a gradient in the step at hand, one for each of the works; kept to allocate nothing.
   */
  readonly #active: Slot[] = [];
  /** State arrays that this step (or load) made, until it has begun to write. */
  readonly #made: { readonly slot: Slot; readonly key: string }[] = [];
  /** The room's strips, as far as they are to stay. */
  #strips: readonly Float32Array[];
  #where = '';
  /** The works that go through the later passes together. */
  #first = 0;
  #last = 0;

  constructor(rule: Rule, kernels: Kernels) {
    this.#rule = rule;
    this.passes = rule.passes;
    this.kernels = kernels;
    this.#engine = engineOf(kernels);
    this.#room = new Room(kernels);
    this.#strips = this.#room.strips;
    this.strip = new Strip(loopsOf(this.#engine, rule.loops), this.#engine.sixteen ?? null, this.#room);
    this.#memo = rule.memo?.();
  }

  /** What `stepAsync` runs a step with, if there is anything. */
  get executor(): Engine['executor'] {
    return this.#engine.executor;
  }

  /** A parameter's work, with its scratch memory. */
  readonly makeWork = ({ data, shape, dtype }: Parameter): Work => {
    const rule = this.#rule;
    const cut = cutOf(shape, data.length, rule.matrices && shape.length >= 2);
    const scratch = (length: number): Float64Array => this.#engine.scratch?.(length) ?? new Float64Array(length);
    const own: Record<string, Float64Array> = {};
    for (const [key, length] of Object.entries(rule.own?.(cut) ?? {})) own[key] = scratch(length);
    return {
      rule: rule.name,
      dtype,
      cut,
      numbers: scratch(rule.numbers),
      sums: scratch(rule.sums * cut.blocks),
      sumsEach: rule.sums,
      own,
      p: data,
      g: data,
      state: Object.fromEntries(rule.state.map(({ key }) => [key, null])),
    };
  };

  /**
   * Takes a parameter into the step at hand.
   *
   * @throws TypeError or RangeError when its gradient does not fit, Error when an array was freed.
   */
  activate(where: string, slot: Slot): void {
    const { work, parameter, index } = slot;
    const { kernels } = this;
    const check = this.#engine.device?.gradient ?? checkedGradient;
    work.g = check(where, parameter, index)!;
    this.#active.push(slot);
    this.works.push(work);
    // Before anything is allocated, as that may take the place of an array that was freed.
    if (work.p.BYTES_PER_ELEMENT !== 2) kernels.checkLive?.(work.p as StateArray);
    if (work.g.BYTES_PER_ELEMENT !== 2) kernels.checkLive?.(work.g as StateArray);
  }

  /**
   * Makes everything ready for the active parameters; nothing that was allocated stays if it fails.
   */
  begin(where: string): void {
    this.#where = where;
    this.pass = -1;
    this.from = this.to = this.#first = this.#last = 0;
    let group: ParamGroup | undefined;
    let use = 0;
    for (const slot of this.#active) {
      if (slot.group !== group) {
        group = slot.group;
        use = this.useOf(group);
      }
      this.#ready(slot, use);
    }
  }

  #ready(slot: Slot, use: number): void {
    const { work, group } = slot;
    const { numbers, dtype } = work;
    numbers[AT.check] = group.nonFinite === 'propagate' ? 0 : 1;
    numbers[AT.exact] = this.#rule.exact?.(group, work.cut) ? 1 : 0;
    numbers[AT.step] = slot.step + 1;
    numbers[AT.stochastic] = 0;
    if (isSixteen(dtype) && group.rounding === 'stochastic') {
      numbers[AT.stochastic] = 1;
      const { name } = slot.parameter;
      // A named parameter has the stream of its name, wherever in the list it stands.
      const stream = name === undefined ? slot.index : nameHash(name);
      numbers.set(streamKey(group.seed as number, stream, slot.occurrence), AT.key0);
    }
    if (slot.bound !== use) this.#bind(slot, use);
    if (this.#engine.device === undefined) this.strip.reserve(work);
  }

  /** Which rows of the rule's state a group's options ask for, a bit each. */
  useOf(group: ParamGroup): number {
    let use = 0;
    const { state } = this.#rule;
    for (let i = 0; i < state.length; i++) if (state[i]!.when?.(group) ?? true) use |= 1 << i;
    return use;
  }

  /** Gives the work its state arrays, allocated where there are none yet. */
  #bind(slot: Slot, use: number): void {
    const { work, parameter } = slot;
    for (const [i, { key, shape }] of this.#rule.state.entries()) {
      const needed = (use & (1 << i)) === 0 ? null : shape(parameter.shape, work.cut);
      work.state[key] = needed && this.arrayOf(slot, key, sizeOf(needed));
    }
    slot.bound = use;
  }

  /**
   * A state array, allocated where there is none yet; until {@link Stepper.keep} it may be taken
   * back.
   */
  arrayOf(slot: Slot, key: string, length: number): StateArray {
    let array = slot.arrays.get(key);
    if (array === undefined) {
      array = allocateOwn(this.kernels, slot.work.dtype === 'float64' ? 'float64' : 'float32', length);
      slot.arrays.set(key, array);
      this.#made.push({ slot, key });
    }
    return array;
  }

  /** A state array as it is saved. */
  read(array: StateArray): StateArray {
    return this.#engine.device?.read(array) ?? array;
  }

  /** What was allocated is there to stay. */
  keep(): void {
    while (this.#made.length > 0) this.#made.pop();
    this.#strips = this.#room.strips;
  }

  /** All passes on the calling thread, a parameter at a time: it is still in the caches. */
  run(): void {
    const { device } = this.#engine;
    if (device !== undefined) device.step(this, this.#active, this.#rule, this.#memo);
    else while (this.next(alone)) runPass(this.strip, this.passes[this.pass]!, this.works[this.from]!);
  }

  next(reach: (pass: number, from: number) => number): boolean {
    const { works } = this;
    if (this.pass < 1) {
      this.pass = 0;
      this.from = this.to;
      if (this.from < works.length) {
        this.to = reach(0, this.from);
        for (let i = this.from; i < this.to; i++) this.#engine.keep?.(works[i]!.g);
        return true;
      }
      if (!this.#accepts()) return false;
      this.pass = this.passes.length;
    } else this.pass++;
    if (this.pass === this.passes.length) {
      this.#first = this.#last;
      if (this.#first === works.length) return false;
      this.#last = reach(1, this.#first);
      this.pass = 1;
      for (let i = this.#first; i < this.#last; i++) this.#advance(this.#active[i]!);
    }
    this.from = this.#first;
    this.to = this.#last;
    for (let i = this.from; i < this.to; i++) this.#rule.before(this.#active[i]!, this.pass, this.#memo);
    return true;
  }

  /**
   * After pass 0 of all: counts the step and tells whether it is to be done; throws where a
   * gradient is to be refused.
   */
  #accepts(): boolean {
    let skip = false;
    for (const { work, group, parameter, index } of this.#active) {
      const policy = (group as { nonFinite?: string }).nonFinite;
      if (policy === 'propagate' || Number.isFinite(this.#rule.gradientSum(work))) continue;
      if (policy !== 'skip') {
        const [at, value] = firstNonFinite(work.g, parameter.dtype === 'float16');
        throw new NonFiniteGradientError(this.#where, parameter, index, at, value);
      }
      skip = true;
    }
    if (this.calls++ === 0 && this.works.length === 0) {
      console.warn(`${this.#where}: no parameter has a gradient`);
    }
    if (skip) {
      this.skipped++;
      return false;
    }
    // From here on it is written.
    this.keep();
    return true;
  }

  #advance(slot: Slot): void {
    const { work } = slot;
    // Others may have taken its place since pass 0. The weights are read in every later pass.
    this.#engine.keep?.(work.g);
    if (this.passes.length > 2) this.#engine.keep?.(work.p);
    slot.step++;
    if (slot.step % FLUSH_STEPS === 0) this.#flush(slot);
  }

  /**
   * Puts 0 for what has decayed, before an update: what that one writes is not touched. In double,
   * subnormal float32 numbers are normal ones (1.0 to 1.1 times as long, every optimizer).
   */
  #flush({ work }: Slot): void {
    const wide = work.dtype === 'float64';
    for (const { key, negligible } of this.#rule.state) {
      const below = wide ? negligible?.float64 : negligible?.float32;
      const array = work.state[key];
      if (below === undefined || !array) continue;
      if (wide) sink(array, below);
      else this.#engine.flush?.(array as Float32Array, below);
    }
  }

  /** Forgets the gradients, what the engine keeps of them, and what a refused step allocated. */
  end(): void {
    this.#engine.forget?.();
    // One by one: setting a length is a call into the runtime (50 ns in V8).
    for (let work = this.works.pop(); work !== undefined; work = this.works.pop()) work.g = work.p;
    while (this.#active.length > 0) this.#active.pop();
    for (let made = this.#made.pop(); made !== undefined; made = this.#made.pop()) this.drop(made.slot, made.key);
    if (this.#room.strips === this.#strips) return;
    this.#room.dispose();
    this.#strips = this.#room.strips;
  }

  /** Gives a state array back. */
  drop(slot: Slot, key: string): void {
    freeOwn(this.kernels, slot.arrays.get(key)!);
    slot.arrays.delete(key);
    slot.work.state[key] = null;
    slot.bound = -1;
  }

  describe(work: number): string {
    const { parameter, index } = this.#active[work]!;
    return label(parameter, index);
  }

  /** Gives all memory back. */
  dispose(slots: readonly Slot[]): void {
    this.#engine.executor?.forget(this);
    this.#room.dispose();
    for (const slot of slots) for (const key of [...slot.arrays.keys()]) this.drop(slot, key);
  }
}

function alone(_pass: number, from: number): number {
  return from + 1;
}

function sink(moment: StateArray, below: number): void {
  for (let k = 0; k < moment.length; k++) if (Math.abs(moment[k]!) < below) moment[k] = 0;
}
