/**
 * Which parameters an optimizer has: in order, by parameter, in their groups. Groups are live, so
 * their structure is looked at before each use.
 */
import { show } from '../core/check.ts';
import type { NumericArray } from '../core/dtype.ts';
import { label, Parameter } from '../core/parameter.ts';
import { overlap } from '../core/typed-array.ts';
import type { Work } from '../engine/work.ts';
import type { ParamGroup } from './param-group.ts';
import type { Slot } from './rule.ts';

/** The parameters of one optimizer. */
export class Members {
  /** Live groups. */
  readonly groups: ParamGroup[] = [];
  /** In the order of the groups. */
  readonly slots: Slot[] = [];
  readonly #name: string;
  readonly #slotOf = new Map<Parameter, Slot>();
  readonly #memory = new Memories();
  /** The groups as they were made, and how many parameters each has. */
  readonly #made: { readonly group: ParamGroup; readonly count: number }[] = [];
  /** How many parameters have a name. */
  readonly #named = new Map<string, number>();

  /** `name`: the optimizer's class, for messages. */
  constructor(name: string) {
    this.#name = name;
  }

  /** What the optimizer knows of a parameter. */
  find(parameter: Parameter): Slot | undefined {
    return this.#slotOf.get(parameter);
  }

  /** {@link Members.find}, or a RangeError. */
  get(where: string, parameter: Parameter): Slot {
    const slot = this.#slotOf.get(parameter);
    if (slot !== undefined) return slot;
    const what = parameter instanceof Parameter ? label(parameter) : show(parameter);
    throw new RangeError(`${where}: ${what} is not a parameter of this optimizer; add it with addParamGroup`);
  }

  /** Adds groups of new parameters, all or none; `makeWork` may fail. */
  add(groups: readonly ParamGroup[], makeWork: (parameter: Parameter) => Work): void {
    const parameters = groups.flatMap(({ params }) => params);
    const clash = this.#memory.clash(parameters);
    if (clash !== undefined) {
      const first = this.slots.length;
      const [a, b] = clash.map((one) => label(one, this.find(one)?.index ?? first + parameters.indexOf(one)));
      throw new RangeError(
        `${this.#name}: ${a} and ${b} share memory; give each an array of its own, or tie them by using one Parameter`,
      );
    }
    const works = parameters.map(makeWork);
    this.#memory.add(parameters);
    let at = 0;
    for (const group of groups) {
      const groupIndex = this.groups.length;
      for (const [place, parameter] of group.params.entries()) {
        const { name } = parameter;
        const occurrence = name === undefined ? 0 : (this.#named.get(name) ?? 0) + 1;
        if (name !== undefined) this.#named.set(name, occurrence);
        const slot: Slot = {
          parameter,
          index: this.slots.length,
          group,
          groupIndex,
          place,
          occurrence,
          work: works[at++]!,
          step: 0,
          arrays: new Map(),
          bound: -1,
        };
        this.slots.push(slot);
        this.#slotOf.set(parameter, slot);
      }
      this.groups.push(group);
      this.#made.push({ group, count: group.params.length });
    }
  }

  /** Whether every parameter has a name that no other has. */
  get named(): boolean {
    return this.#named.size === this.slots.length;
  }

  /** Refuses groups whose structure is not as they were made. */
  check(where: string): void {
    const { groups, slots } = this;
    if (groups.length !== this.#made.length) throw this.#changed(where);
    let index = 0;
    for (let i = 0; i < groups.length; i++) {
      const { group, count } = this.#made[i]!;
      const { params } = group;
      if (groups[i] !== group || params.length !== count) throw this.#changed(where);
      for (let j = 0; j < count; j++) if (params[j] !== slots[index++]!.parameter) throw this.#changed(where);
    }
  }

  /**
   * {@link Members.check} of where a group is added: one look, so that groups added one by one cost
   * no more than together. What else has changed is refused by the next step.
   */
  checkEnd(where: string): void {
    if (this.groups.length !== this.#made.length || this.groups.at(-1) !== this.#made.at(-1)?.group) {
      throw this.#changed(where);
    }
  }

  /** {@link Members.check} for one parameter. */
  checkOne(where: string, { parameter, group, groupIndex, place }: Slot): void {
    const { groups } = this;
    const whole = groups.length === this.#made.length && group.params.length === this.#made[groupIndex]!.count;
    if (!whole || groups[groupIndex] !== group || group.params[place] !== parameter) throw this.#changed(where);
  }

  /** Names the first place where the groups are not as they were made. */
  #changed(where: string): RangeError {
    const repair = 'groups are fixed: put everything back, add with addParamGroup, or make a new optimizer';
    const at = (text: string): RangeError => new RangeError(`${where}: ${text}; ${repair}`);
    const { groups, slots } = this;
    for (const [i, { group, count }] of this.#made.entries()) {
      if (groups[i] !== group) return at(`paramGroups[${i}] is not the group that was made`);
      const first = slots.findIndex(({ groupIndex }) => groupIndex === i);
      for (let j = 0; j < Math.max(count, group.params.length); j++) {
        const was = j < count ? slots[first + j]! : undefined;
        const is = group.params[j];
        if (is === was?.parameter) continue;
        const came = is instanceof Parameter ? label(is, this.find(is)?.index) : show(is);
        const here = `paramGroups[${i}].params[${j}]`;
        if (was === undefined) return at(`${here} was added: ${came}`);
        const missed = label(was.parameter, was.index);
        return at(is === undefined ? `${missed} is missing at ${here}` : `${here} was ${missed} and is ${came}`);
      }
    }
    return at(`paramGroups has ${groups.length} groups instead of ${this.#made.length}`);
  }
}

type Stretch = readonly [from: number, to: number, parameter: Parameter];

/**
 * Which bytes the parameters take, to find two that share one. Per buffer, sorted runs of doubling
 * length (Bentley & Saxe 1980, "Decomposable searching problems"), so that parameters that are added
 * one by one cost no more than logarithmic time each.
 */
class Memories {
  readonly #runs = new Map<ArrayBufferLike, Stretch[][]>();

  /** Two parameters that share memory, one of them of these. */
  clash(parameters: readonly Parameter[]): [Parameter, Parameter] | undefined {
    const added = new Map<ArrayBufferLike, Stretch[]>();
    for (const parameter of parameters) {
      const { buffer, byteLength } = parameter.data;
      if (byteLength === 0) continue;
      const stretch = stretchOf(parameter.data, parameter);
      for (const run of this.#runs.get(buffer) ?? []) {
        const other = overlapping(run, stretch);
        if (other !== undefined) return [other[2], parameter];
      }
      const others = added.get(buffer);
      if (others === undefined) added.set(buffer, [stretch]);
      else others.push(stretch);
    }
    for (const run of added.values()) {
      run.sort((a, b) => a[0] - b[0]);
      for (let i = 1; i < run.length; i++) {
        const [a, b] = [run[i - 1]![2], run[i]![2]];
        if (overlap(a.data, b.data)) return [a, b];
      }
    }
    return undefined;
  }

  add(parameters: readonly Parameter[]): void {
    for (const parameter of parameters) {
      const { buffer, byteLength } = parameter.data;
      if (byteLength === 0) continue;
      let runs = this.#runs.get(buffer);
      if (runs === undefined) {
        runs = [];
        this.#runs.set(buffer, runs);
      }
      let run: Stretch[] = [stretchOf(parameter.data, parameter)];
      while (runs.length > 0 && runs.at(-1)!.length <= run.length) run = merged(runs.pop()!, run);
      runs.push(run);
    }
  }
}

function stretchOf({ byteOffset, byteLength }: NumericArray, parameter: Parameter): Stretch {
  return [byteOffset, byteOffset + byteLength, parameter];
}

/** A stretch of a sorted run, none of which overlap, that has a byte of this one. */
function overlapping(run: readonly Stretch[], [from, to]: Stretch): Stretch | undefined {
  let low = 0;
  let high = run.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (run[middle]![1] > from) high = middle;
    else low = middle + 1;
  }
  const found = run[low];
  return found !== undefined && found[0] < to ? found : undefined;
}

function merged(a: readonly Stretch[], b: readonly Stretch[]): Stretch[] {
  const result: Stretch[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const first = j === b.length || (i < a.length && a[i]![0] <= b[j]![0]);
    result.push(first ? a[i++]! : b[j++]!);
  }
  return result;
}
