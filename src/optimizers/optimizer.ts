/**
 * What all optimizers share: parameter groups, all-or-nothing steps, state dicts. What tells one
 * from another is its rule.
 *
 * @module
 */
import { options as checkedOptions, show } from '../core/check.ts';
import type { OptimizerStateDict, StateValue } from '../core/dtype.ts';
import { label, type Parameter } from '../core/parameter.ts';
import { liveTensorOf, tensorOf } from '../core/state-dict.ts';
import { checkedKernels } from '../engine/kernels.ts';
import { Members } from './members.ts';
import { GroupOptions } from './options.ts';
import type { ParamGroup, ParamGroupInput, Params } from './param-group.ts';
import type { Rule, Slot } from './rule.ts';
import { StateKeeper } from './state.ts';
import { Stepper } from './step.ts';

/** Base of all optimizers; `O`: the options of this one. */
export abstract class Optimizer<O = object> {
  /**
   * Live groups; their options can be changed between steps. Which parameters they have is fixed:
   * {@link Optimizer.addParamGroup} adds others.
   */
  readonly paramGroups: ParamGroup<O>[];
  /** The options that a group gets where it sets none. */
  readonly defaults: Readonly<Record<string, unknown>>;

  readonly #name: string;
  readonly #options: GroupOptions;
  readonly #members: Members;
  readonly #stepper: Stepper;
  readonly #state: StateKeeper;
  #disposed = false;
  /** A `stepAsync` is under way. */
  #busy = false;

  /** @internal */
  protected constructor(rule: Rule, params: Params<O>, options: unknown) {
    const { kernels, ...given } = checkedOptions(rule.name, options, [...GroupOptions.namesOf(rule), 'kernels']);
    this.#name = rule.name;
    this.#members = new Members(rule.name);
    this.#stepper = new Stepper(rule, checkedKernels(rule.name, kernels));
    this.#options = new GroupOptions(rule, given);
    this.#state = new StateKeeper(rule, this.#options, this.#members, this.#stepper);
    this.defaults = this.#options.defaults;
    this.paramGroups = this.#members.groups as ParamGroup<O>[];
    this.#addGroups(this.#options.readParams(params as Params));
    if (this.#members.slots.length === 0) {
      throw new RangeError(`${rule.name}: params holds no Parameter; give at least one`);
    }
  }

  /** All parameters, in the order of the groups. */
  get parameters(): readonly Parameter[] {
    return this.#members.slots.map(({ parameter }) => parameter);
  }

  /**
   * One update of every parameter that has a gradient. All gradients are checked before the first
   * weight or state is touched, so a refused step changes nothing.
   *
   * @param closure - Called first; computes the gradients and returns the loss.
   * @returns What closure returned.
   * @throws NonFiniteGradientError when a gradient is NaN or infinite and `nonFinite` is `"throw"`.
   * @throws TypeError or RangeError, naming the parameter or option, when a gradient, a group's
   * option or its list of parameters does not fit.
   */
  step(closure?: () => number): number | undefined {
    const where = this.#begin('step', closure);
    const loss = closure?.();
    const promise = loss as { then?: PromiseLike<number>['then'] } | undefined;
    if (typeof promise?.then === 'function') {
      // This refusal is told, not what the promise may be rejected with as well.
      promise.then(undefined, () => {});
      throw new TypeError(
        `${where}: closure must return the loss, got ${show(loss)}; await optimizer.stepAsync(closure)`,
      );
    }
    // The closure may have done anything.
    if (closure !== undefined) this.#checkAlive('step');
    this.#run(where);
    return loss;
  }

  /**
   * {@link Optimizer.step}, on all threads of the kernels (`parallelKernels`); with other kernels,
   * and no closure, it is done before this returns. The bits are those of `step`. Until it has
   * settled, gradients and weights must be left alone, and the optimizer's other methods refuse.
   *
   * @param closure - Called first; computes the gradients and returns the loss, or a promise of it.
   * @returns What closure returned.
   * @throws TornStepError when a worker ended while it wrote weights: it names them; everything
   * else was applied. Otherwise as `step`.
   */
  async stepAsync(closure?: () => number | Promise<number>): Promise<number | undefined> {
    const where = this.#begin('stepAsync', closure);
    this.#busy = true;
    try {
      const loss = closure === undefined ? undefined : await closure();
      this.#activateAll(where);
      const { executor } = this.#stepper;
      this.#stepper.begin(where);
      if (executor === undefined) this.#stepper.run();
      else await executor.run(this.#stepper);
      return loss;
    } finally {
      this.#stepper.end();
      this.#busy = false;
    }
  }

  /**
   * One update of this parameter alone: call it as soon as its gradient is ready, then drop the
   * gradient and reuse its memory. In any order, mixed with `step`, the bits are those of `step`.
   *
   * @throws RangeError when the parameter is not one of this optimizer's, or has no gradient;
   * otherwise as `step`.
   */
  stepParameter(parameter: Parameter): void {
    const where = this.#begin('stepParameter');
    const slot = this.#members.get(where, parameter);
    this.#members.checkOne(where, slot);
    this.#options.checkLive(where, slot.group, slot.groupIndex);
    if (parameter.grad === null) {
      throw new RangeError(`${where}: ${label(parameter, slot.index)} has no gradient; set its grad first`);
    }
    this.#run(where, slot);
  }

  /** Calls of `step` and `stepParameter` that were not refused, left out or not; not saved. */
  get stepCalls(): number {
    return this.#stepper.calls;
  }

  /** Steps (or `stepParameter` calls) left out so far for `nonFinite: "skip"`; not saved. */
  get skippedSteps(): number {
    return this.#stepper.skipped;
  }

  /** Sets every parameter's `grad` to null. */
  zeroGrad(): void {
    for (const { parameter } of this.#members.slots) parameter.grad = null;
  }

  /**
   * Adds a group, also in the middle of a run; its parameters start without state.
   *
   * @throws TypeError or RangeError when an option is wrong, or a parameter is in a group already
   * or shares memory with one.
   */
  addParamGroup(group: ParamGroupInput<O>): void {
    this.#members.checkEnd(this.#begin('addParamGroup'));
    this.#addGroups([group]);
  }

  /**
   * Gives the memory back that the kernels hold for the state; the optimizer is unusable
   * afterwards.
   */
  dispose(): void {
    if (this.#disposed) return;
    this.#checkAlive('dispose');
    this.#disposed = true;
    this.#state.forget();
    this.#stepper.dispose(this.#members.slots);
  }

  /**
   * The whole state as plain data with PyTorch's keys, detached from the live state. A parameter
   * without an update has no entry. Where every parameter has a name of its own, groups carry them
   * as `param_names`, as PyTorch's do.
   */
  stateDict(): OptimizerStateDict {
    this.#members.check(this.#begin('stateDict'));
    return this.#state.save(tensorOf);
  }

  /**
   * The state dict with the live arrays themselves, for a file that is written without a copy.
   *
   * @internal
   */
  liveStateDict(): OptimizerStateDict {
    this.#members.check(this.#begin('stateDict'));
    return this.#state.save(liveTensorOf);
  }

  /**
   * Puts a saved state in place: step counts, moments, and the groups' options. Takes this
   * library's state dicts and PyTorch's of the same optimizer, with 0-d tensors wherever a number
   * stands.
   *
   * Where all parameters have names of their own on both sides, state goes by name; else by
   * position, and a name that differs there is refused. Options of a saved group go to the live
   * group in its place; keys that are not options are kept in the live group and saved again.
   *
   * @throws TypeError or RangeError that names what does not fit; the optimizer is then as it was.
   */
  loadStateDict(stateDict: OptimizerStateDict | StateValue): void {
    this.prepareLoad(stateDict)();
  }

  /**
   * Checks a state dict as {@link Optimizer.loadStateDict} does, and returns the function that puts
   * it in place, allocates nothing and cannot fail: for loading several objects, all or none.
   *
   * @param options - `adopt`: the dict's arrays are nobody else's, and may become the live ones.
   * @internal
   */
  prepareLoad(stateDict: OptimizerStateDict | StateValue, options: { adopt?: boolean } = {}): () => void {
    const alive = this.#begin('loadStateDict');
    this.#members.check(alive);
    return this.#state.prepare(alive, stateDict, options.adopt === true);
  }

  /** What this optimizer knows of a parameter; refuses one that is not its own. @internal */
  protected slotOf(where: string, parameter: Parameter): Slot<ParamGroup<O>> {
    return this.#members.get(where, parameter) as Slot<ParamGroup<O>>;
  }

  /** Where a call stands, for its messages; refuses it where the optimizer cannot be used now. */
  #begin(method: string, closure?: unknown): string {
    this.#checkAlive(method);
    const where = `${this.#name}.${method}`;
    if (closure === undefined || typeof closure === 'function') return where;
    throw new TypeError(`${where}: closure must be a function that returns the loss, got ${show(closure)}`);
  }

  #checkAlive(method: string): void {
    if (this.#disposed) throw new Error(`${this.#name}.${method}: this optimizer was disposed; make a new one`);
    this.checkIdle(`${this.#name}.${method}`);
  }

  /** Refuses while a `stepAsync` is under way. @internal */
  checkIdle(where: string): void {
    if (this.#busy) throw new Error(`${where}: a stepAsync of this optimizer is under way; await it first`);
  }

  /** A step on the calling thread, of one parameter or of all that have a gradient. */
  #run(where: string, only?: Slot): void {
    try {
      if (only === undefined) this.#activateAll(where);
      else this.#stepper.activate(where, only);
      this.#stepper.begin(where);
      this.#stepper.run();
    } finally {
      this.#stepper.end();
    }
  }

  /** Every parameter that has a gradient, after the check of its group. */
  #activateAll(where: string): void {
    this.#members.check(where);
    const { groups, slots } = this.#members;
    for (let i = 0; i < groups.length; i++) this.#options.checkLive(where, groups[i]!, i);
    for (const slot of slots) if (slot.parameter.grad !== null) this.#stepper.activate(where, slot);
  }

  /** Adds all groups or, when one is refused, none. */
  #addGroups(inputs: readonly unknown[]): void {
    const first = this.paramGroups.length;
    const groups = inputs.map((input, i) => this.#options.readInput(input, first + i));
    this.#members.add(groups, this.#stepper.makeWork);
  }
}
