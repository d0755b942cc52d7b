/**
 * Records the steps of optimizers as commands of a GPU. Nothing is read back in a step: what
 * depends on numbers that only the GPU knows (a gradient that is not finite, and so how many
 * updates there have been) is decided there.
 */
import { show } from '../core/check.ts';
import { isSixteen, type NumericArray } from '../core/dtype.ts';
import { label, type Parameter, sizeOf } from '../core/parameter.ts';
import { AT } from '../engine/work.ts';
import type { ParamGroup } from '../optimizers/param-group.ts';
import type { Rule, Slot } from '../optimizers/rule.ts';
import type { Stepper } from '../optimizers/step.ts';
import { AdafactorStep, RESULT_BYTES, Results, Scratch } from './adafactor-steps.ts';
import { type Home, homeOf } from './arrays.ts';
import { type Active, type Dispatch, partOf, stretches, widthOf } from './dispatch.ts';
import type { Format } from './formats.ts';
import { formulaOf } from './formulas.ts';
import type { GPUDeviceLike, GPUEncoderLike } from './gpu.ts';
import { Plan } from './jobs.ts';
import { Pipelines } from './pipelines.ts';
import { type Arithmetic, checkProgram, DECIDE, elementProgram, JOB, NUMBERS, POLICY } from './programs.ts';
import { begunOf, MOST_PENDING, Tally } from './tally.ts';

/** The GPU's side of optimizers' steps. */
export class Recorder {
  readonly device: GPUDeviceLike;
  readonly level: Arithmetic;
  /** Where commands go in `encode`; else each step is submitted. */
  encoder: GPUEncoderLike | undefined;
  readonly #pipelines: Pipelines;
  /** What the last updates of Adafactor had, by parameter. */
  readonly results: Results;
  readonly #scratch: Scratch;
  readonly #tallies = new Map<Stepper, Tally>();
  /** A fault of commands that were recorded. */
  #fault: Error | undefined;
  #lost: string | undefined;
  #watched: Promise<unknown> = Promise.resolve();

  constructor(device: GPUDeviceLike, level: Arithmetic) {
    this.device = device;
    this.level = level;
    this.#pipelines = new Pipelines(device);
    this.#scratch = new Scratch(device);
    this.results = new Results(device, level);
    device.lost.then(({ reason, message }) => {
      this.#lost = `the GPU device was lost (${reason ?? 'unknown'}): ${message}`;
    });
  }

  /** Refuses everything once the device is lost, and tells what has come up since. */
  check(where: string): void {
    if (this.#lost !== undefined) {
      throw new Error(
        `${where}: ${this.#lost}. What was on it is gone: go on with a new device, from the last state that was saved`,
      );
    }
    const fault = this.#fault;
    this.#fault = undefined;
    if (fault !== undefined) throw fault;
    for (const tally of this.#tallies.values()) {
      const error = tally.told();
      if (error !== undefined) throw error;
    }
  }

  /** Watches what WebGPU has against the commands of `record`, which it tells later. */
  watch(what: (message: string) => Error, record: () => void, undo: () => void = () => {}): void {
    const { device } = this;
    device.pushErrorScope('out-of-memory');
    device.pushErrorScope('validation');
    try {
      record();
    } finally {
      const faults = Promise.all([device.popErrorScope(), device.popErrorScope()]).then(
        (errors) => {
          const error = errors.find((one) => one !== null);
          if (error === undefined || error === null) return;
          undo();
          this.#fault ??= what(error.message);
        },
        () => {},
      );
      this.#watched = Promise.all([this.#watched, faults]);
    }
  }

  /** The gradient of a parameter, checked. */
  gradient(where: string, parameter: Parameter, index: number): NumericArray {
    const grad = parameter.grad as NumericArray;
    const { data, dtype, shape } = parameter;
    const named = `${where}: ${label(parameter, index)}`;
    const home = homeOf(data);
    if (home === undefined || home.device !== this.device) {
      throw new TypeError(
        `${named}: data must be an array of these kernels, got ${home === undefined ? show(data) : 'one of others'}; ` +
          'make the Parameter of kernels.wrap(buffer), or of kernels.upload(array)',
      );
    }
    const own = homeOf(grad);
    if (own === undefined || own.device !== this.device) {
      throw new TypeError(
        `${named}: grad must be an array of these kernels, got ${own === undefined ? show(grad) : 'one of others'}; ` +
          'set kernels.wrap(buffer), or kernels.upload(array)',
      );
    }
    const fits = own.bytes === 4 || isSixteen(dtype);
    if (!fits || own.length !== sizeOf(shape)) {
      throw new RangeError(
        `${named}: grad must have ${sizeOf(shape)} elements of ${dtype}, got ${own.length} of ${8 * own.bytes} bits`,
      );
    }
    live(named, 'data', home);
    live(named, 'grad', own);
    if (own.buffer !== null && own.buffer === home.buffer && overlap(own, home)) {
      throw new RangeError(`${named}: grad must not share bytes with the parameter's data; give it a range of its own`);
    }
    return grad;
  }

  /** A whole step. */
  step(course: Stepper, slots: readonly Slot[], rule: Rule, memo: unknown): void {
    const where = `${rule.name}.step`;
    this.check(where);
    const tally = this.#tallyOf(course);
    const actives = slots.map((slot, place) => this.#active(tally, rule, slot, place));
    const last = slots.reduce((most, { index }) => Math.max(most, index), 0);
    tally.reserve(last + 1, this.encoder);
    const cleared = actives.filter(({ known, slot }) => known.step !== slot.step || known.since === 0);
    const counts = tally.counts || slots.some(({ work }) => work.numbers[AT.check] === 1);
    if (counts) {
      const pending = actives.find(({ known }) => known.pending >= MOST_PENDING);
      if (pending !== undefined) {
        throw new Error(
          `${where}: ${MOST_PENDING} steps were recorded and none was awaited, so that nobody knows which of them ` +
            'were done; await stepAsync, or kernels.settle(), or set nonFinite: "propagate"',
        );
      }
    }
    const serial = tally.serial + (counts ? 1 : 0);
    for (const { known, slot } of cleared) {
      known.left = known.pending = known.used = known.leftBefore = 0;
      known.step = slot.step;
      known.since = Math.max(1, serial);
      if (rule.savedNumbers !== undefined) this.results.begin(slot, rule.savedNumbers.RMS!);
    }
    const plan = new Plan(this.level);
    const checks: Dispatch[] = counts ? actives.flatMap((active) => this.#checks(plan, active)) : [];
    const decideAt = counts ? this.#decision(plan, serial, actives) : -1;
    const updates = actives.flatMap((active) => this.#updates(plan, serial, rule, active, memo));
    this.watch(
      (message) =>
        new Error(
          `${where}: WebGPU refused the commands, so nothing of that step was done: ${message}. Is every buffer of ` +
            'this device, and none destroyed? The state on the GPU is as it was',
        ),
      () => this.#record(tally, plan, cleared, checks, decideAt, updates),
      () => tally.undo(serial),
    );
    tally.counts = counts;
    tally.serial = serial;
    course.keep();
    course.calls++;
    const knowns = actives.map(({ known }) => known);
    if (counts) tally.record(where, knowns);
    for (const { slot, known, p } of actives) {
      this.results.change(slot);
      slot.step++;
      known.step = slot.step;
      if (known.begunAt >= 0 && slot.work.numbers[known.begunAt] === 1) known.used++;
      p.host = undefined;
      for (const array of Object.values(slot.work.state)) if (array !== null) homeOf(array)!.host = undefined;
    }
    if (counts && this.encoder === undefined) tally.poll().catch(() => {});
  }

  #tallyOf(course: Stepper): Tally {
    let tally = this.#tallies.get(course);
    if (tally === undefined) {
      tally = new Tally(this.device, course);
      this.#tallies.set(course, tally);
    }
    return tally;
  }

  #active(tally: Tally, rule: Rule, slot: Slot, place: number): Active {
    const { work, parameter } = slot;
    const p = homeOf(work.p)!;
    const g = homeOf(work.g)!;
    let known = tally.knowns.get(slot);
    if (known === undefined) {
      for (const { slot: other } of tally.knowns.values()) {
        const home = homeOf(other.work.p)!;
        if (home.buffer !== null && home.buffer === p.buffer && overlap(home, p)) {
          throw new RangeError(
            `${rule.name}: ${label(other.parameter, other.index)} and ${label(parameter, slot.index)} share bytes ` +
              'of a buffer; give each a range of its own, or use one Parameter for both',
          );
        }
      }
      const begunAt = rule.state.find(({ begun }) => begun !== undefined)?.begun ?? -1;
      known = { slot, left: 0, step: -1, pending: 0, begunAt, begun: 0, used: 0, leftBefore: 0, since: 0 };
      tally.knowns.set(slot, known);
    }
    if (known.pending === 0 || known.step !== slot.step) {
      known.begun = known.begunAt < 0 ? 0 : slot.work.numbers[known.begunAt]!;
      known.used = 0;
      known.leftBefore = known.left;
    }
    const pFormat = parameter.dtype as Format;
    return { slot, known, place, p, g, pFormat, gFormat: g.bytes === 4 ? 'float32' : pFormat };
  }

  #checks(plan: Plan, { slot, g, gFormat }: Active): Dispatch[] {
    if (slot.work.numbers[AT.check] !== 1) return [];
    return [...stretches(this.device, g.length)].map(([first, length]) => {
      const jobAt = plan.job({ length, first, width: widthOf(this.device, length), slot: slot.index }, [], 0);
      return { program: checkProgram(gFormat), parts: [partOf(g, first, length)], count: length, jobAt };
    });
  }

  #decision(plan: Plan, serial: number, actives: readonly Active[]): number {
    const at = plan.job({ length: actives.length, serial }, [], 2 * actives.length);
    for (const { slot, place } of actives) {
      plan.words[at + NUMBERS + 2 * place] = slot.index;
      plan.words[at + NUMBERS + 2 * place + 1] = POLICY[slot.group.nonFinite as keyof typeof POLICY];
    }
    return at;
  }

  /** The rows of a work's numbers: as many updates later as were perhaps left out. */
  #rows(plan: Plan, at: number, count: number, rule: Rule, { slot, known }: Active, memo: unknown): void {
    const { work } = slot;
    const { numbers } = work;
    const updates = slot.step;
    for (let more = count - 1; more >= 0; more--) {
      // From here on it is as if so many updates more had been left out.
      slot.step = updates + 1 - more;
      if (known.begunAt >= 0) numbers[known.begunAt] = begunOf(known, more);
      if (slot.step > 0) rule.before(slot as Slot<ParamGroup>, 1, memo);
      const row = at + 2 * more * numbers.length;
      plan.words[row] = slot.step;
      for (let k = 1; k < numbers.length; k++) plan.number(row + 2 * k, numbers[k]!);
    }
    slot.step = updates;
  }

  #updates(plan: Plan, serial: number, rule: Rule, active: Active, memo: unknown): readonly Dispatch[] {
    const { slot, known, place, p, g, pFormat, gFormat } = active;
    const { work } = slot;
    const { numbers } = work;
    if (rule.name === 'Adafactor') {
      const results = { buffer: this.results.of(slot), offset: 0, size: RESULT_BYTES };
      return new AdafactorStep(this.device, this.level, plan, serial, active).plan(this.#scratch, results);
    }
    const rows = known.pending + 1;
    const job = {
      serial,
      place,
      slot: slot.index,
      known: known.left,
      rows,
      count: numbers.length,
      stochastic: numbers[AT.stochastic]!,
      key: numbers[AT.key0]!,
    };
    const words = 2 * rows * numbers.length;
    // Once for all stretches; what is remembered is of use also where there is none.
    const from = plan.length;
    const numbersAt = plan.job({}, [], words) + NUMBERS;
    this.#rows(plan, numbersAt, rows, rule, active, memo);
    const row = plan.words.slice(numbersAt, numbersAt + words);
    plan.length = from;
    const { name, formula } = formulaOf(work, rule);
    const arrays = [p, g, ...Object.keys(formula.state).map((key) => homeOf(work.state[key])!)];
    const program = elementProgram(this.level, pFormat, gFormat, rule.places!, name, formula);
    const each = pFormat === 'float32' ? 1 : 2;
    return [...stretches(this.device, p.length)].map(([first, length]) => {
      const count = Math.ceil(length / each);
      const jobAt = plan.job({ ...job, length, first, width: widthOf(this.device, count) }, [], words);
      plan.words[jobAt + JOB.key + 1] = numbers[AT.key1]!;
      plan.words.set(row, jobAt + NUMBERS);
      return { program, parts: arrays.map((home) => partOf(home, first, length)), count, jobAt };
    });
  }

  #record(
    tally: Tally,
    plan: Plan,
    cleared: readonly Active[],
    checks: readonly Dispatch[],
    decideAt: number,
    updates: readonly Dispatch[],
  ): void {
    const { device } = this;
    const encoder = this.encoder ?? device.createCommandEncoder();
    for (const { slot } of cleared) encoder.clearBuffer(tally.buffer, 4 * (8 + 2 * slot.index), 4);
    const size = Math.max(256, 4 * plan.length);
    const jobs = device.createBuffer({ label: 'tensorless jobs', size, usage: 128, mappedAtCreation: true });
    new Uint32Array(jobs.getMappedRange()).set(plan.words.subarray(0, plan.length));
    jobs.unmap();
    const pass = encoder.beginComputePass();
    const run = ({ program, parts, count, jobAt }: Dispatch): void => {
      this.#pipelines.run(pass, program, jobs, 4 * jobAt, size - 4 * jobAt, tally.buffer, parts, count);
    };
    for (const one of checks) run(one);
    if (decideAt >= 0) run({ program: DECIDE, parts: [], count: 1, jobAt: decideAt });
    for (const one of updates) run(one);
    pass.end();
    if (this.encoder !== undefined) return;
    device.queue.submit([encoder.finish()]);
    jobs.destroy();
  }

  /** Waits until all that was submitted is done, and tells what has come up. */
  async settle(where: string, only?: Stepper): Promise<void> {
    this.check(where);
    for (const [stepper, tally] of this.#tallies) {
      if (!tally.pending || (only !== undefined && stepper !== only)) continue;
      try {
        // One that is under way may have begun before the last step.
        await tally.poll();
        if (tally.pending) await tally.poll();
      } catch (error) {
        if (this.#lost === undefined) await Promise.resolve();
        this.check(where);
        throw error;
      }
    }
    await this.#watched;
    this.check(where);
  }

  /** Whether steps were recorded whose commands have not been submitted. */
  get pending(): boolean {
    return [...this.#tallies.values()].some(({ pending }) => pending);
  }

  /** Forgets an optimizer. */
  forget(owner: object): void {
    const tally = this.#tallies.get(owner as Stepper);
    if (tally === undefined) return;
    tally.destroy();
    this.results.forget(tally.knowns.keys());
    this.#tallies.delete(owner as Stepper);
  }
}

/** Refuses an array that cannot be used any more. */
export function live(where: string, what: string, home: Home): void {
  if (home.freed) throw new Error(`${where}: ${what} was freed and is still in use; free an array after its last step`);
  if (home.fault !== undefined) throw new Error(`${where}: ${what} cannot be used: ${home.fault}`);
}

/** Whether two ranges of one buffer share a byte. */
function overlap(a: Home, b: Home): boolean {
  return a.offset < b.offset + b.size && b.offset < a.offset + a.size;
}
