/**
 * Schedulers: what changes the learning rates of an optimizer's groups from step to step. The base
 * class, and `LambdaLR`, which attaches any curve. Semantics are those of
 * `torch.optim.lr_scheduler`:
 *
 * - Construction records every group's `initialLr` (unless it has one) and sets the learning rates
 *   of step 0.
 * - `step()` comes after the optimizer's step and sets the learning rates of the next one.
 * - The learning rates live in the optimizer's groups and are saved with them; a scheduler's state
 *   dict says where it stands.
 *
 * @module
 */
import { integer, show } from '../core/check.ts';
import type { StateValue } from '../core/dtype.ts';
import { checkKeys } from '../core/state-dict.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import type { ParamGroup } from '../optimizers/param-group.ts';
import { atLeast0, type Curve, type CurveOptions, readOptions } from './curve.ts';
import { numbers, perGroup, savedCount, scheduleDict } from './saved.ts';

/** A schedule's options together with what was called in place of its class. */
class Called {
  readonly as: [where: string, o: unknown];

  constructor(where: string, o: unknown) {
    this.as = [where, o];
  }
}

/** The options for a schedule's class, whose messages are then to begin with `where`. @internal */
export function calledAs<O>(where: string, o: unknown): O {
  return new Called(where, o) as O;
}

/**
 * A schedule's class by its name, also where a bundler gave it a short one; a user's own class by
 * that one's.
 */
function nameOf(Schedule: { readonly name: string; readonly kind?: { readonly name: string } }): string {
  return Object.hasOwn(Schedule, 'kind') ? Schedule.kind!.name : Schedule.name;
}

/**
 * How messages begin, and the options: the class's name, unless {@link calledAs} says otherwise.
 * @internal
 */
export function called(Schedule: { readonly name: string }, o: unknown): [where: string, o: unknown] {
  return o instanceof Called ? o.as : [nameOf(Schedule), o];
}

/** A class's factory: the same arguments, without `new`. */
export type ScheduleFactory<C extends new (optimizer: never, o: never) => LRScheduler> = (
  ...args: ConstructorParameters<C>
) => InstanceType<C>;

/** The factory of a class; messages bear the factory's name. @internal */
export function factory<C extends new (optimizer: never, o: never) => LRScheduler>(
  name: string,
  Schedule: C,
): ScheduleFactory<C> {
  // The computed key names the function.
  const make = {
    [name]: (optimizer: never, o?: unknown) => new Schedule(optimizer, calledAs<never>(name, o)) as InstanceType<C>,
  };
  return make[name] as ScheduleFactory<C>;
}

/** Whether this has what a scheduler needs of an optimizer. @internal */
export function isOptimizer(value: unknown): value is Optimizer {
  const given = value as Partial<Optimizer> | null | undefined;
  return Array.isArray(given?.paramGroups) && typeof given.step === 'function';
}

/**
 * Refuses what is not an optimizer, before anything is written to it.
 *
 * @param second - What came after it: where that is the optimizer, the message says so.
 * @internal
 */
export function checkOptimizer(where: string, optimizer: unknown, second?: unknown): Optimizer {
  if (isOptimizer(optimizer)) return optimizer;
  throw new TypeError(
    `${where}: ${
      isOptimizer(second)
        ? 'the optimizer comes first, then the options; the two arguments are swapped'
        : `optimizer must be an Optimizer such as new AdamW(params), got ${show(optimizer)}`
    }`,
  );
}

/**
 * The learning rate of a group that a schedule is to change.
 *
 * @throws RangeError for a relative-step Adafactor, which computes its own and would not look at
 * it.
 * @internal
 */
export function scheduledLr(where: string, group: ParamGroup, index: number): number {
  if ((group as { relativeStep?: boolean }).relativeStep === true) {
    throw new RangeError(
      `${where}: Adafactor computes the lr of group ${index} itself. ` +
        'Use AdafactorSchedule, or give Adafactor { relativeStep: false, lr: 1e-3 }',
    );
  }
  return atLeast0(`${where}: lr of group ${index}`, group.lr);
}

/** Base of all schedulers. Use {@link LambdaLR} for a curve of your own. */
export abstract class LRScheduler {
  /** The optimizer whose groups this scheduler writes to. */
  readonly optimizer: Optimizer;
  /** @internal */
  protected epoch: number;
  /** @internal */
  protected bases: readonly number[];
  /** @internal */
  protected lastLrs: readonly number[];

  /** @internal */
  protected constructor(optimizer: Optimizer, epoch: number, bases: readonly number[], lastLrs: readonly number[]) {
    this.optimizer = optimizer;
    this.epoch = epoch;
    this.bases = Object.freeze([...bases]);
    this.lastLrs = lastLrs;
  }

  /**
   * The step whose learning rates are set: 0 after construction, one more after every `step()`.
   * (PyTorch's name; nothing has to be an epoch.)
   */
  get lastEpoch(): number {
    return this.epoch;
  }

  /** The learning rates that the schedule started from, one per group. */
  get baseLrs(): readonly number[] {
    return this.bases;
  }

  /** The learning rates that this scheduler set last, one per group. */
  getLastLr(): number[] {
    return [...this.lastLrs];
  }

  /**
   * Sets the learning rates of the next step. Call it after `optimizer.step()`.
   *
   * @param metric - What is watched, such as the validation loss: needed by {@link
   * ReduceLROnPlateau} and {@link GreedyLR}, which refuse NaN. The others take none: they go on by
   * one step all the same and say so once, on the console. (PyTorch's `step(epoch)` would jump
   * there; here `lastEpoch` at construction does.)
   */
  abstract step(metric?: number): void;

  /**
   * Everything the future learning rates depend on, as plain data with PyTorch's keys; a curve's
   * own arguments excepted, as in PyTorch.
   */
  abstract stateDict(): Record<string, StateValue>;

  /**
   * Puts a saved state in place: of this library, or PyTorch's of the same kind of schedule. Make
   * the scheduler with the same arguments first.
   *
   * The groups' learning rates are the optimizer's to load; in which order the two are made and
   * loaded does not matter. Only where a group still has the learning rate that this scheduler gave
   * it on construction, it gets the saved one. (In PyTorch a scheduler that is made after the
   * optimizer was loaded leaves the learning rate of step 0 there, for one step.)
   *
   * @throws TypeError or RangeError that names what does not fit; nothing has changed then.
   */
  loadStateDict(stateDict: Record<string, StateValue> | StateValue): void {
    this.prepareLoad(stateDict)();
  }

  /**
   * Checks a state dict as {@link LRScheduler.loadStateDict} does, and returns the function that
   * puts it in place and cannot fail: for loading several objects, all or none.
   */
  abstract prepareLoad(stateDict: Record<string, StateValue> | StateValue): () => void;

  /** How messages call a method of this scheduler. @internal */
  protected at(method: string): string {
    return `${nameOf(this.constructor)}.${method}`;
  }

  /** Refuses a step while the optimizer's is under way: it reads the learning rates. @internal */
  protected checkIdle(): void {
    this.optimizer.checkIdle(this.at('step'));
  }

  /** @internal */
  protected restoreLrs(saved: readonly number[]): void {
    for (const [i, group] of this.optimizer.paramGroups.entries()) {
      const lr = saved[i];
      if (lr !== undefined && group.lr === this.lastLrs[i] && Number.isFinite(lr)) group.lr = lr;
    }
    this.lastLrs = saved;
  }
}

/**
 * Base of the schedulers that look only at how many steps were done: {@link LambdaLR} and {@link
 * AdafactorSchedule}.
 */
export abstract class EpochScheduler extends LRScheduler {
  /** Calls of `step`, construction included. @internal */
  protected stepCount = 1;
  #toldOfArgument = false;

  /** The learning rates of a step; writes nothing. @internal */
  protected abstract lrsAt(step: number): number[];

  /** Writes them to the groups. @internal */
  protected abstract write(lrs: readonly number[]): void;

  /** Groups may have been added since construction. @internal */
  protected checkGroups(): void {
    const groups = this.optimizer.paramGroups.length;
    if (groups === this.bases.length) return;
    throw new RangeError(
      `${this.at('step')}: the optimizer has ${groups} groups, but had ${this.bases.length}. ` +
        `Give the new group an initialLr and make a new scheduler with { lastEpoch: ${this.epoch} }`,
    );
  }

  /** What stands for a group's curve in the state dict. @internal */
  protected savedCurve(): StateValue {
    return null;
  }

  override step(metric?: number): void {
    const { optimizer } = this;
    this.checkIdle();
    this.checkGroups();
    const lrs = this.lrsAt(this.epoch + 1);
    // null is Python's None.
    if ((metric ?? null) !== null && !this.#toldOfArgument) {
      this.#toldOfArgument = true;
      console.warn(
        `${this.at('step')}() takes no argument, got ${show(metric)}: goes on by one step. ` +
          'To jump make a new one with { lastEpoch }.',
      );
    }
    if (this.stepCount === 1 && optimizer.stepCalls === 0) {
      console.warn(
        `${this.at('step')}(): the learning rate of step ${this.epoch} is never used. ` +
          'Call optimizer.step() first, then scheduler.step().',
      );
    }
    this.write(lrs);
    this.epoch++;
    this.stepCount++;
    this.lastLrs = lrs;
  }

  override stateDict(): Record<string, StateValue> {
    return {
      base_lrs: [...this.bases],
      last_epoch: this.epoch,
      _step_count: this.stepCount,
      _is_initial: false,
      _get_lr_called_within_step: false,
      _last_lr: [...this.lastLrs],
      lr_lambdas: this.bases.map(() => this.savedCurve()),
    };
  }

  override prepareLoad(stateDict: Record<string, StateValue> | StateValue): () => void {
    const where = this.at('loadStateDict');
    const dict = scheduleDict(where, stateDict, 'lr_lambdas');
    // The optional ones are PyTorch's own bookkeeping; older releases write verbose.
    const flags = ['_is_initial', '_get_lr_called_within_step', 'verbose'];
    checkKeys(where, dict, ['base_lrs', 'last_epoch', '_step_count', '_last_lr', 'lr_lambdas'], flags);
    const groups = this.optimizer.paramGroups.length;
    const bases = Object.freeze(numbers(`${where}: base_lrs`, dict.base_lrs, groups, atLeast0));
    const epoch = savedCount(`${where}: last_epoch`, dict.last_epoch);
    const stepCount = savedCount(`${where}: _step_count`, dict._step_count, 1);
    const lastLrs = this.checkLastLrs(`${where}: _last_lr`, dict._last_lr, groups);
    perGroup(`${where}: lr_lambdas`, dict.lr_lambdas, groups);
    return () => {
      this.bases = bases;
      this.epoch = epoch;
      this.stepCount = stepCount;
      this.restoreLrs(lastLrs);
    };
  }

  /** @internal */
  protected checkLastLrs(label: string, value: unknown, groups: number): number[] {
    return numbers(label, value, groups, atLeast0);
  }
}

/** Options of {@link LambdaLR} and of every schedule with a curve. */
export interface LastEpochOptions {
  /**
   * The step that was reached, when a schedule is continued or replaced in the middle of a run: the
   * learning rates are set for the step after it, and every group must have its `initialLr`.
   * Default -1: a new run.
   */
  lastEpoch?: number;
}

/** The check and default of {@link LastEpochOptions}. @internal */
export const LAST_EPOCH: CurveOptions<LastEpochOptions> = {
  lastEpoch: [(label, value) => integer(label, value, { min: -1 }), -1],
};

/**
 * Attaches a curve to an optimizer: the learning rate of a group is its `initialLr` times the curve
 * at the number of steps done.
 *
 * The curve itself is not part of the state dict, as in PyTorch: make the scheduler with the same
 * curve, then load.
 *
 * Source: `torch.optim.lr_scheduler.LambdaLR`.
 *
 * @example Two groups, one of them kept constant
 * ```ts
 * const decay = linearWithWarmup({ numWarmupSteps: 100, numTrainingSteps: 1000 });
 * const scheduler = new LambdaLR(optimizer, [decay, constant()]);
 * optimizer.step();
 * scheduler.step();
 * ```
 */
export class LambdaLR extends EpochScheduler {
  readonly #curves: readonly Curve[];

  /**
   * @param optimizer - Its groups' learning rates are the initial ones, unless they have an
   * `initialLr` from an earlier scheduler.
   * @param curve - One curve for all groups, or an array with one per group.
   * @param o - See {@link LastEpochOptions}.
   * @throws TypeError or RangeError when an argument does not fit, a group has no learning rate (a
   * relative-step Adafactor), the curve returns something else than a finite number of at least 0,
   * or an `initialLr` is missing beside `lastEpoch`. Nothing has changed then.
   */
  constructor(optimizer: Optimizer, curve: Curve | readonly Curve[], o: LastEpochOptions = {}) {
    const [where, all] = called(new.target, o);
    const groups = checkOptimizer(where, optimizer, curve).paramGroups;
    const { lastEpoch } = readOptions<LastEpochOptions>(where, LAST_EPOCH, all);
    const bases = groups.map((group, i) => {
      const lr = scheduledLr(where, group, i);
      if (group.initialLr !== undefined) return atLeast0(`${where}: initialLr of group ${i}`, group.initialLr);
      if (lastEpoch === -1) return lr;
      throw new RangeError(
        `${where}: lastEpoch: ${lastEpoch} needs an initialLr in group ${i}: ` +
          `load the optimizer's state dict first, or leave lastEpoch out`,
      );
    });
    super(optimizer, lastEpoch + 1, bases, []);
    this.#curves = checkCurves(where, curve, groups.length);
    const lrs = this.lrsAt(this.epoch);
    for (const [i, group] of groups.entries()) group.initialLr = bases[i]!;
    this.write(lrs);
    this.lastLrs = lrs;
  }

  /**
   * PyTorch saves the attributes of a curve that is an object, and null for a plain function. The
   * schedules of transformers are objects without attributes, but for the constant one.
   * @internal
   */
  protected override savedCurve(): StateValue {
    return this.constructor === LambdaLR ? null : {};
  }

  /** @internal */
  protected override lrsAt(step: number): number[] {
    const where = `${nameOf(this.constructor)}: at step ${step} the curve of group`;
    return this.bases.map((base, i) => base * atLeast0(`${where} ${i}`, this.#curves[i]!(step)));
  }

  /** @internal */
  protected override write(lrs: readonly number[]): void {
    for (const [i, group] of this.optimizer.paramGroups.entries()) {
      // At the second step: once, and what the first one had set is known.
      if (this.stepCount === 2 && i === 0 && group.lr !== this.lastLrs[i]) {
        console.warn(`${this.at('step')}(): overwrites an lr set elsewhere`);
      }
      group.lr = lrs[i]!;
    }
  }
}

function checkCurves(where: string, curve: unknown, groups: number): Curve[] {
  const curves: unknown[] = Array.isArray(curve) ? curve : new Array(groups).fill(curve);
  if (curves.length === groups && curves.every((item) => typeof item === 'function')) return curves as Curve[];
  throw new TypeError(
    `${where}: curve must be a function from step to factor, or an array of ${groups}, ` +
      `one per group of the optimizer, got ${show(curve)}`,
  );
}
