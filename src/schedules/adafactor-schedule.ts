/**
 * The learning rates that a relative-step Adafactor computes itself, in the form of a scheduler.
 *
 * @module
 */
import { options, show } from '../core/check.ts';
import type { Adafactor } from '../optimizers/adafactor.ts';
import { atLeast0 } from './curve.ts';
import { numbers } from './saved.ts';
import { called, checkOptimizer, EpochScheduler, factory, type ScheduleFactory } from './scheduler.ts';

/** Options of {@link AdafactorSchedule}. */
export interface AdafactorScheduleOptions {
  /** What is reported before the first step, at least 0; default 0. */
  initialLr?: number;
}

/**
 * Reports the learning rates that {@link Adafactor} computes itself, for logging and for training
 * loops that want a scheduler: per group the `effectiveLr` of its first parameter that was updated,
 * and `initialLr` before the first step. It steers nothing.
 *
 * A relative-step group's `lr`, which Adafactor does not look at, gets the reported value, as in
 * transformers. The `lr` of a group with `relativeStep: false` is left alone; there transformers'
 * class would set it to `initialLr`, so that nothing is learned.
 *
 * Source: transformers `AdafactorSchedule`, which reports `initial_lr` again while the gradients
 * are cleared; this one does not look at gradients.
 *
 * @example
 * ```ts
 * const optimizer = new Adafactor(params, { warmupInit: true });
 * const scheduler = new AdafactorSchedule(optimizer);
 * optimizer.step();
 * scheduler.step();
 * console.log(scheduler.getLastLr());
 * ```
 */
export class AdafactorSchedule extends EpochScheduler {
  /** @internal */
  declare readonly optimizer: Adafactor;
  readonly #initialLr: number;

  /**
   * @param optimizer - The Adafactor.
   * @param o - See {@link AdafactorScheduleOptions}.
   * @throws TypeError or RangeError when the optimizer is not an Adafactor, or an option does not
   * fit.
   */
  constructor(optimizer: Adafactor, o: AdafactorScheduleOptions = {}) {
    const [where, all] = called(new.target, o);
    const groups = checkOptimizer(where, optimizer, all).paramGroups;
    if (typeof optimizer.effectiveLr !== 'function') {
      throw new TypeError(
        `${where}: optimizer must be an Adafactor, which computes its own learning rates, got ${show(optimizer)}; ` +
          'any other optimizer takes ConstantSchedule or another schedule with a curve',
      );
    }
    const initialLr = atLeast0(`${where}: initialLr`, options(where, all, ['initialLr']).initialLr ?? 0);
    super(optimizer, 0, new Array(groups.length).fill(initialLr), []);
    this.#initialLr = initialLr;
    this.lastLrs = this.lrsAt();
    this.write(this.lastLrs);
  }

  /** @internal */
  protected override lrsAt(): number[] {
    return this.optimizer.paramGroups.map((group, i) => {
      for (const parameter of group.params) {
        const lr = this.optimizer.effectiveLr(parameter);
        if (lr !== undefined) return lr;
      }
      return this.bases[i]!;
    });
  }

  /**
   * A NaN, from weights that are NaN, is reported but not written: the optimizer would refuse to go
   * on with it. @internal
   */
  protected override write(lrs: readonly number[]): void {
    for (const [i, group] of this.optimizer.paramGroups.entries()) {
      const lr = lrs[i]!;
      if (group.relativeStep === true && Number.isFinite(lr)) group.lr = lr;
    }
  }

  /** A new group is reported like the others. @internal */
  protected override checkGroups(): void {
    const missing = this.optimizer.paramGroups.length - this.bases.length;
    if (missing > 0) this.bases = Object.freeze([...this.bases, ...new Array<number>(missing).fill(this.#initialLr)]);
  }

  /** @internal */
  protected override checkLastLrs(label: string, value: unknown, groups: number): number[] {
    return numbers(label, value, groups, (_, lr) => lr);
  }

  /** @internal */
  protected override restoreLrs(saved: readonly number[]): void {
    this.write(saved);
    this.lastLrs = saved;
  }
}

/** {@link AdafactorSchedule} as transformers `get_adafactor_schedule` makes it. */
export const getAdafactorSchedule: ScheduleFactory<typeof AdafactorSchedule> = /* @__PURE__ */ factory(
  'getAdafactorSchedule',
  AdafactorSchedule,
);
