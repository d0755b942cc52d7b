/**
 * The programs of an Adafactor step and their jobs: the passes of `optimizers/adafactor.ts`, and
 * the O(rows + cols) arithmetic between them, all on the GPU.
 */
import { isSixteen } from '../core/dtype.ts';
import { power } from '../core/math.ts';
import type { Parameter } from '../core/parameter.ts';
import { AT, type Cut } from '../engine/work.ts';
import { isFar, STRIP_LENGTH, stripRows } from '../loops/blocks.ts';
import type { AdafactorOptions } from '../optimizers/adafactor.ts';
import type { ParamGroup } from '../optimizers/param-group.ts';
import type { Slot } from '../optimizers/rule.ts';
import { Home, homeOf } from './arrays.ts';
import {
  type Active,
  type Dispatch,
  mostElements,
  type Part,
  partAround,
  partOf,
  stretches,
  widthOf,
} from './dispatch.ts';
import { download } from './download.ts';
import { applyProgram, type FactoredName, FLAG, factoredProgram, NUMBERS_OF, type OWN_WORDS } from './factored.ts';
import type { Format } from './formats.ts';
import { type GPUBufferLike, type GPUDeviceLike, USAGE } from './gpu.ts';
import type { Plan } from './jobs.ts';
import { type Arithmetic, JOB, NUMBERS } from './programs.ts';

const COUNT = 1 + Object.keys(NUMBERS_OF).length;
/** Bytes of a parameter's results: what is remembered of its last update. */
export const RESULT_BYTES = 256;

/** What parameters' last updates had: of the state it is the weights' root mean square. */
export class Results {
  readonly #device: GPUDeviceLike;
  readonly #level: Arithmetic;
  readonly #buffers = new Map<Slot, GPUBufferLike>();
  readonly #places = new Map<Slot, number>();

  constructor(device: GPUDeviceLike, level: Arithmetic) {
    this.#device = device;
    this.#level = level;
  }

  /** A parameter's buffer. */
  of(slot: Slot): GPUBufferLike {
    let buffer = this.#buffers.get(slot);
    if (buffer === undefined) {
      const usage = USAGE.storage | USAGE.copySource | USAGE.copyTarget;
      buffer = this.#device.createBuffer({ label: 'tensorless results', size: RESULT_BYTES, usage });
      this.#buffers.set(slot, buffer);
    }
    return buffer;
  }

  /** Where a run begins, or goes on from a loaded state: the number that is in memory holds. */
  begin(slot: Slot, place: number): void {
    this.#places.set(slot, place);
    const value = slot.work.numbers[place]!;
    const bytes = this.#level === 'double' ? Float64Array.of(value) : Float32Array.of(value, 0);
    this.#device.queue.writeBuffer(this.of(slot), 0, bytes.buffer as ArrayBuffer);
  }

  /** From here on only the GPU knows the number. */
  change(slot: Slot): void {
    const place = this.#places.get(slot);
    if (place === undefined) return;
    // Without elements it is 0. The rate, beside it, is computed from it when it is asked for.
    slot.work.numbers[place] = slot.parameter.data.length === 0 ? 0 : Number.NaN;
    slot.work.numbers[place + 1] = Number.NaN;
  }

  /** Reads the numbers of these parameters. */
  async read(parameters: readonly Parameter[]): Promise<void> {
    const slots = [...this.#places.keys()].filter((slot) => parameters.includes(slot.parameter));
    const asked = slots.filter(({ parameter }) => parameter.data.length > 0);
    const homes = asked.map((slot) => new Home(this.#device, this.of(slot), 0, 2, 4, false));
    for (const [i, pair] of (await download(this.#device, homes)).entries()) {
      const number = this.#level === 'double' ? new Float64Array(pair.buffer)[0]! : pair[0]!;
      asked[i]!.work.numbers[this.#places.get(asked[i]!)!] = number;
    }
  }

  /** Gives memory back. */
  forget(slots: Iterable<Slot>): void {
    for (const slot of slots) {
      this.#buffers.get(slot)?.destroy();
      this.#buffers.delete(slot);
      this.#places.delete(slot);
    }
  }
}

/** Doubles from program to program of one parameter; the next one uses the same room. */
export class Scratch {
  readonly #device: GPUDeviceLike;
  readonly #buffers = new Map<string, GPUBufferLike>();

  constructor(device: GPUDeviceLike) {
    this.#device = device;
  }

  /** Room for so many doubles. */
  part(name: string, length: number): Part {
    const size = Math.max(256, 8 * length);
    const { maxStorageBufferBindingSize: most } = this.#device.limits;
    if (size > most) {
      throw new RangeError(
        `webgpuKernels: Adafactor needs ${size} bytes for the ${name} sums of a parameter, but the device binds ` +
          `${most} at once; ` +
          'ask for a larger maxStorageBufferBindingSize, or cut the parameter',
      );
    }
    let buffer = this.#buffers.get(name);
    if (buffer === undefined || buffer.size < size) {
      // The old one goes when the commands that use it are gone.
      buffer = this.#device.createBuffer({ label: `tensorless ${name}`, size, usage: USAGE.storage });
      this.#buffers.set(name, buffer);
    }
    return { buffer, offset: 0, size };
  }
}

/** The options of a group of Adafactor, whose slots are all that come here. */
function optionsOf(group: ParamGroup): ParamGroup<AdafactorOptions> {
  return group as never;
}

/** One parameter's part of a step. */
export class AdafactorStep {
  readonly #device: GPUDeviceLike;
  readonly #level: Arithmetic;
  readonly #plan: Plan;
  readonly #active: Active;
  readonly #serial: number;
  readonly #cut: Cut;
  readonly #strip: number;
  #flags: number;
  readonly #found: Dispatch[] = [];
  #numbersAt = -1;

  constructor(device: GPUDeviceLike, level: Arithmetic, plan: Plan, serial: number, active: Active) {
    this.#device = device;
    this.#level = level;
    this.#plan = plan;
    this.#serial = serial;
    this.#active = active;
    const { work, group } = active.slot;
    const { cut } = work;
    this.#cut = cut;
    const wide = !isSixteen(work.dtype);
    this.#strip = wide ? cut.unit : cut.matrix ? stripRows(cut.cols) : STRIP_LENGTH;
    const far = cut.matrix && wide && isFar(cut.rows, cut.cols);
    this.#flags = (cut.matrix ? FLAG.matrix : 0) | (far ? FLAG.far : 0);
    if (optionsOf(group).scaleParameter) this.#flags |= FLAG.scales;
  }

  /** Adds a program that runs `count` times. */
  #add(
    name: FactoredName | 'apply',
    parts: readonly Part[],
    count: number,
    format: Format,
    { block = 0, shiftG = 0, shiftP = 0, first = 0, length = count }: Readonly<Record<string, number>> = {},
  ): void {
    const { slot, known, place, pFormat, gFormat } = this.#active;
    const { work } = slot;
    const { rows, cols, unit, blocksEach, blocks } = this.#cut;
    const apply = name === 'apply';
    const program = apply
      ? applyProgram(this.#level, pFormat, gFormat, this.#cut.matrix, work.state.exp_avg !== null)
      : factoredProgram(this.#level, name, format);
    const own: Record<(typeof OWN_WORDS)[number], number> = {
      rows,
      cols,
      unit,
      blocksEach: name === 'finish' ? blocks : blocksEach,
      block,
      shiftG,
      shiftP,
      strip: this.#strip,
    };
    const count_ = known.pending + 1;
    const job = {
      length,
      first,
      width: widthOf(this.#device, count),
      serial: this.#serial,
      place,
      slot: slot.index,
      known: known.left,
      rows: count_,
      count: COUNT,
      stochastic: this.#flags | (apply ? work.numbers[AT.stochastic]! : 0),
      key: work.numbers[AT.key0]!,
    };
    const words = 2 * COUNT * count_;
    const jobAt = this.#plan.job(job, Object.values(own), words);
    this.#plan.words[jobAt + JOB.key + 1] = work.numbers[AT.key1]!;
    const at = jobAt + NUMBERS;
    if (this.#numbersAt < 0) this.#rows(at, count_);
    else this.#plan.words.copyWithin(at, this.#numbersAt, this.#numbersAt + words);
    this.#numbersAt = at;
    this.#found.push({ program, parts, count, jobAt });
  }

  /** The numbers of a step, with so many updates before it that were left out. */
  #rows(at: number, count: number): void {
    const { slot } = this.#active;
    const group = optionsOf(slot.group);
    const { length } = slot.parameter.data;
    const { rows, cols } = this.#cut;
    for (let more = 0; more < count; more++) {
      const step = slot.step + 1 - more;
      if (step < 1) continue;
      const beta2 = step === 1 ? 0 : 1 - power(step, group.decayRate);
      const least = group.warmupInit ? 1e-6 * step : 1e-2;
      const base = group.relativeStep ? Math.min(least, 1 / Math.sqrt(step)) : (group.lr ?? 0);
      const numbers: Record<keyof typeof NUMBERS_OF, number> = {
        beta2,
        rest2: 1 - beta2,
        eps1: group.eps[0],
        base,
        eps2: group.eps[1],
        clip: group.clipThreshold,
        decay: group.weightDecay,
        beta1: group.beta1 ?? 0,
        rest1: group.beta1 === null ? 1 : 1 - group.beta1,
        length,
        height: rows,
        breadth: cols,
        one: 1,
      };
      const row = at + 2 * more * COUNT;
      this.#plan.words[row] = step;
      for (const [name, value] of Object.entries(numbers)) {
        this.#plan.number(row + 2 * NUMBERS_OF[name as keyof typeof NUMBERS_OF], value);
      }
    }
  }

  /** Runs of whole blocks that fit a binding: the first one, how many, and their elements. */
  *#blocks(): Generator<readonly [first: number, count: number, from: number, length: number]> {
    const { matrix, rows, cols, unit, blocksEach, blocks, lead } = this.#cut;
    const begins = (block: number): number => {
      if (block === blocks) return lead * rows * cols;
      if (!matrix) return block * unit;
      return (Math.floor(block / blocksEach) * rows + (block % blocksEach) * unit) * cols;
    };
    const most = mostElements(this.#device) - 256;
    let first = 0;
    while (first < blocks) {
      const from = begins(first);
      let low = first + 1;
      let high = blocks;
      while (low < high) {
        const middle = Math.ceil((low + high) / 2);
        if (begins(middle) - from <= most) low = middle;
        else high = middle - 1;
      }
      if (begins(low) - from > most) {
        throw new RangeError(
          `webgpuKernels: ${begins(low) - from} elements of a parameter have to be bound at once, but the device ` +
            `binds ${most}; ask for a larger maxStorageBufferBindingSize, or cut the parameter`,
        );
      }
      yield [first, low - first, from, begins(low) - from];
      first = low;
    }
  }

  /** All programs of the step. */
  plan(scratch: Scratch, results: Part): readonly Dispatch[] {
    if (this.#active.p.length === 0) return [];
    if (this.#cut.matrix) this.#matrix(scratch, results);
    else this.#vector(scratch, results);
    return this.#found;
  }

  #matrix(scratch: Scratch, results: Part): void {
    const { slot, g, gFormat, pFormat, p } = this.#active;
    const { state } = slot.work;
    const { lead, rows, cols, unit, blocks } = this.#cut;
    const row = scratch.part('row', lead * rows);
    const col = scratch.part('column', lead * cols);
    const part = scratch.part('partial', blocks * cols);
    const mean = scratch.part('mean', lead);
    const groups = Math.ceil(unit / 4);
    const group = scratch.part('group', blocks * groups);
    const strips = Math.ceil(unit / this.#strip);
    const lanes = scratch.part('lane', blocks * strips * 8);
    const sums = scratch.part('block', blocks * 2);
    for (const [block, count, from, length] of this.#blocks()) {
      const [view, shiftG] = partAround(g, from, length);
      this.#add('rowSums', [view, row], length / cols, gFormat, { block, shiftG });
      this.#add('colSums', [view, part], count * cols, gFormat, { block, shiftG });
    }
    const words = 'float32';
    const r = homeOf(state.exp_avg_sq_row)!;
    const c = homeOf(state.exp_avg_sq_col)!;
    this.#add('rowAverages', [partOf(r, 0, r.length), row], r.length, words);
    this.#add('colAverages', [partOf(c, 0, c.length), part, col], c.length, words);
    this.#add('means', [row, mean], lead, words);
    this.#add('inverses', [row, mean], lead * rows, words);
    for (const [block, count, from, length] of this.#blocks()) {
      const [view, shiftG] = partAround(g, from, length);
      this.#add('measure', [view, row, col, group], count * groups, gFormat, { block, shiftG });
      const [weights, shiftP] = partAround(p, from, length);
      this.#add('weights', [weights, lanes], count * strips * 8, pFormat, { block, shiftP });
    }
    this.#add('blockSums', [group, lanes, sums], blocks, words);
    this.#add('finish', [sums, results], 1, words);
    this.#add('rowScales', [row, results], lead * rows, words);
    this.#add('colScales', [col], lead * cols, words);
    this.#apply([row, col, results], []);
  }

  #vector(scratch: Scratch, results: Part): void {
    const { slot, g, gFormat, pFormat, p } = this.#active;
    const { unit, blocks } = this.#cut;
    const v = homeOf(slot.work.state.exp_avg_sq)!;
    const strips = Math.ceil(unit / this.#strip);
    const lanes = scratch.part('lane', blocks * strips * 8);
    const sums = scratch.part('block', blocks * 2);
    const words = 'float32';
    for (const [block, count, from, length] of this.#blocks()) {
      const [gradient, shiftG] = partAround(g, from, length);
      const [second, shiftP] = partAround(v, from, length);
      this.#add('ratios', [gradient, second, lanes], count * strips * 8, gFormat, { block, shiftG, shiftP });
    }
    this.#add('flatSums', [lanes, sums], blocks, words);
    for (const [block, count, from, length] of this.#blocks()) {
      const [weights, shiftP] = partAround(p, from, length);
      this.#add('weights', [weights, lanes], count * strips * 8, pFormat, { block, shiftP });
    }
    this.#add('flatSums', [lanes, sums], blocks, words, { shiftG: 1 });
    this.#add('finish', [sums, results], 1, words);
    this.#apply([results], ['exp_avg_sq']);
  }

  #apply(doubles: readonly Part[], keys: readonly string[]): void {
    const { slot, p, g, pFormat } = this.#active;
    const { state } = slot.work;
    const arrays = [...keys, ...(state.exp_avg === null ? [] : ['exp_avg'])].map((key) => homeOf(state[key])!);
    const each = pFormat === 'float32' ? 1 : 2;
    for (const [first, length] of stretches(this.#device, p.length)) {
      const parts = [p, g, ...arrays].map((home) => partOf(home, first, length));
      this.#add('apply', [...parts, ...doubles], Math.ceil(length / each), pFormat, { first, length });
    }
  }
}
