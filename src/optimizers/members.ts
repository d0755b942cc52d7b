/**
 * Which parameters an optimizer has: in order, by parameter, in their groups. Groups are live, so
 * their structure is looked at before each use.
 */
import { show } from '../core/check.ts';
import { Occupied } from '../core/occupied.ts';
import { label, Parameter } from '../core/parameter.ts';
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
  readonly #memory = new Occupied<Parameter>();
  /** The groups as they were made, and how many parameters each has. */
  readonly #made: { readonly group: ParamGroup; readonly count: number }[] = [];
  /** How many parameters have a name. */
  readonly #named = new Map<string, number>();

  /** `name`: the optimizer's class, for messages. */
  constructor(name: string) {
    this.#name = name;
  }

  /** What the optimizer knows of a parameter. */
  get(where: string, parameter: Parameter): Slot {
    const slot = this.#slotOf.get(parameter);
    if (slot !== undefined) return slot;
    throw new RangeError(
      `${where}: ${nameOf(parameter)} is not a parameter of this optimizer; add it with addParamGroup`,
    );
  }

  /** Adds groups of new parameters, all or none; `makeWork` may fail. */
  add(groups: readonly ParamGroup[], makeWork: (parameter: Parameter) => Work): void {
    const parameters = groups.flatMap(({ params }) => params);
    const first = this.slots.length;
    const places = new Map(parameters.map((parameter, i) => [parameter, first + i]));
    const called = (one: Parameter): string => label(one, this.#slotOf.get(one)?.index ?? places.get(one));
    const twice = parameters.find((one, i) => this.#slotOf.has(one) || places.get(one) !== first + i);
    if (twice !== undefined) {
      throw new RangeError(`${this.#name}: ${called(twice)} is in this optimizer twice; name it once`);
    }
    const works = parameters.map(makeWork);
    const clash = this.#memory.addAll(parameters.map((one) => [one.data, one]));
    if (clash !== undefined) {
      throw new RangeError(
        `${this.#name}: ${clash.map(called).join(' and ')} share memory; ` +
          'give each an array of its own, or use one Parameter for both',
      );
    }
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
    const { groups } = this;
    const made = this.#made;
    const other = [...groups, undefined].findIndex((group, i) => group !== made[i]?.group);
    const lost = this.slots.find(({ parameter, group, place }) => group.params[place] !== parameter);
    const more = made.flatMap(({ group, count }) => group.params.slice(count));
    let what = `${nameOf(more[0])} was put into a group`;
    if (other >= 0) what = `paramGroups[${other}] is not the group that was made`;
    else if (lost !== undefined) {
      const { parameter, index, groupIndex, place } = lost;
      what = `${label(parameter, index)} is not at paramGroups[${groupIndex}].params[${place}] any more`;
    }
    return new RangeError(`${where}: ${what}; put it back: add with addParamGroup, or make a new optimizer`);
  }
}

/** How messages call what stands in a group. */
function nameOf(value: unknown): string {
  return value instanceof Parameter ? label(value) : show(value);
}
