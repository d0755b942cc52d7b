/**
 * The calling thread's side of `parallelKernels`: the plans that the workers were told of, and the
 * passes of a step, of which this thread does its share. It knows no rule. It never waits for a
 * worker to begin: whatever nobody has claimed it does itself.
 */
import type { Course, Executor } from '../engine/engine.ts';
import { foldColumns, foldsColumns, runPass } from '../engine/pass.ts';
import type { Work } from '../engine/work.ts';
import type { Arithmetic } from '../simd/module.ts';
import type { Crew } from './crew.ts';
import { columnsOf, type KnownPlan, newArrays, newPlan, ownWorks, type Torn, tornRanges, wireWork } from './plan.ts';
import {
  CALLER,
  claim,
  DONE,
  finish,
  holder,
  itemState,
  NEXT,
  NOBODY,
  PASS,
  PIECE,
  runItem,
  SERIAL,
  STEP,
  TO,
  type WireArrays,
} from './protocol.ts';
import { SharedScratch } from './shared-scratch.ts';

/** Elements of a parameter that may be half updated. */
export interface TornRange {
  /** The parameter, as messages call it. */
  readonly parameter: string;
  /** First element in its data. */
  readonly from: number;
  /** One past the last. */
  readonly to: number;
}

/**
 * A worker ended while it wrote weights: those it names may be half updated, everything else of the
 * step was applied.
 */
export class TornStepError extends Error {
  /** Always `"TornStepError"`. */
  override readonly name: string = 'TornStepError';
  /** What may be half updated. */
  readonly torn: readonly TornRange[];

  /** @internal */
  constructor(torn: readonly TornRange[]) {
    const ranges = torn.map(({ parameter, from, to }) => `${parameter}, elements ${from} to ${to - 1}`).join('; ');
    super(
      `stepAsync: a worker ended while it wrote ${ranges}. These may be half updated, everything else of this step ` +
        'was applied; go on from the last checkpoint to be exact. The next step works.',
    );
    this.torn = torn;
  }
}

/**
 * A step over fewer elements is over before a worker has woken up. Two threads against one, medians
 * of 20 to 25 turns of whole steps (Node 20.20, Intel Xeon of model 207, two cores): at 362²,
 * which is 2^17, 1.3 times as fast in double and 1.6 in TypeScript, 0.6 to 1.0 times in float32; at
 * 512² 1.1 to 1.8 and 1.0 to 1.3; at 256² and less 0.7 to 1.0 in all, but for Adafactor in
 * TypeScript with 1.3.
 */
const LEAST: Readonly<Record<Arithmetic, number>> = { double: 2 ** 17, float32: 2 ** 18 };
/** Looks at a worker's item, about a millisecond, before the event loop may run. */
const LOOKS = 50_000;
/**
 * A worker that has had an item for so many milliseconds is taken for dead: some runtimes do not
 * tell when one ends. Where the clock stands (fake timers), so many turns of the event loop do.
 */
const STUCK = 4_000;
const STUCK_TURNS = 250_000;

/** The part of the runtime that {@link turn} uses; its types differ between Node and browsers. */
interface Turns {
  MessageChannel: new () => {
    readonly port1: { onmessage: (() => void) | null; close(): void };
    readonly port2: { postMessage(message: unknown): void };
  };
}

/**
 * One turn of the event loop. Not by a timer: that would wait for milliseconds, and can be feigned.
 */
function turn(): Promise<void> {
  const { MessageChannel } = globalThis as unknown as Turns;
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** On one thread the order of the works tells which values of such a gradient count. */
function sharedMessage(one: string, other: string): string {
  return (
    `parallelKernels: the gradient of ${one} shares memory with what is written for ${other}, maybe meanwhile; ` +
    'give it an array of its own'
  );
}

/** Runs the passes of steps on the calling thread and a crew of workers. */
export class Driver implements Executor {
  readonly #crew: Crew;
  readonly #words: Int32Array;
  readonly #memory: ArrayBuffer | null;
  readonly #least: number;
  readonly #plans = new WeakMap<object, KnownPlan>();
  /** Room for the column sums of each block of a work; kept, as plans come and go. */
  readonly #columns = new WeakMap<Work, Float64Array>();
  readonly #scratch = new SharedScratch();
  /** Optimizers that were dropped without `dispose`. */
  readonly #dropped = new FinalizationRegistry<number>((id) => this.#forgotten.push(id));
  readonly #now: () => number = performance.now.bind(performance);
  #forgotten: number[] = [];
  #ids = 0;
  #serial = 0;
  #step = 0;
  /** Steps wait for one another. */
  #last: Promise<void> = Promise.resolve();

  constructor(crew: Crew, words: Int32Array, memory: ArrayBuffer | null, level: Arithmetic) {
    this.#crew = crew;
    this.#words = words;
    this.#memory = memory;
    this.#least = LEAST[level];
  }

  /** Ends the workers, after the step at hand. */
  async close(): Promise<void> {
    await this.#last;
    this.#crew.dismiss();
  }

  async run(course: Course): Promise<void> {
    const before = this.#last;
    let release = (): void => {};
    this.#last = new Promise((resolve) => {
      release = resolve;
    });
    await before;
    const torn: Torn[] = [];
    try {
      this.#crew.replaceDead();
      const plan = this.#planOf(course);
      const helped = plan.elements >= this.#least && this.#crew.alive.length > 0;
      if (helped) this.#announce(plan, course);
      const all = course.works.length;
      while (course.next((pass, from) => (pass === 0 ? all : plan.batchEnd[from]!))) {
        await this.#pass(course, plan, helped, torn);
      }
    } finally {
      Atomics.store(this.#words, STEP, 0);
      this.#nextSerial();
      release();
    }
    if (torn.length === 0) return;
    throw new TornStepError(torn.map(({ work, from, to }) => ({ parameter: course.describe(work), from, to })));
  }

  forget(owner: object): void {
    const plan = this.#plans.get(owner);
    if (plan === undefined) return;
    this.#plans.delete(owner);
    this.#dropped.unregister(owner);
    this.#forgotten.push(plan.id);
  }

  #nextSerial(): void {
    this.#serial = (this.#serial + 1) & 0x1ffffff;
    Atomics.store(this.#words, SERIAL, this.#serial);
    Atomics.notify(this.#words, SERIAL);
  }

  #planOf(course: Course): KnownPlan {
    const { owner, works, passes } = course;
    const own = works.map(ownWorks);
    const known = this.#plans.get(owner);
    const same = (work: Work, i: number): boolean => work === works[i] && known!.own[i] === own[i];
    if (known !== undefined && known.works.length === works.length && known.works.every(same)) return known;
    this.forget(owner);
    const columns = works.map((work) => {
      let room = this.#columns.get(work);
      if (room === undefined) {
        room = this.#scratch.take(columnsOf(passes, work));
        this.#columns.set(work, room);
      }
      return room;
    });
    const plan = newPlan(++this.#ids, course, own, columns);
    this.#plans.set(owner, plan);
    this.#dropped.register(owner, plan.id, owner);
    return plan;
  }

  /** Tells the workers that a step begins, and what they do not know of it yet. */
  #announce(plan: KnownPlan, course: Course): void {
    const { id } = plan;
    const changes: [number, WireArrays][] = [];
    for (let i = 0; i < plan.works.length; i++) {
      const { g } = plan.works[i]!;
      const other = plan.sent[i]?.[0] === g ? i : (plan.written.sharing(g) ?? i);
      if (other !== i) throw new RangeError(sharedMessage(course.describe(i), course.describe(other)));
    }
    this.#step = (this.#step % 0x7fffffff) + 1;
    Atomics.store(this.#words, STEP, this.#step);
    for (let i = 0; i < plan.works.length; i++) {
      const arrays = newArrays(plan, i, this.#memory);
      if (arrays !== null) changes.push([i, arrays]);
    }
    const forget = this.#forgotten;
    this.#forgotten = [];
    for (const member of this.#crew.alive) {
      for (const old of forget) member.plans.delete(old);
      if (!member.plans.has(id)) {
        member.plans.add(id);
        const { rule, firstUnit, workOf, items, states } = plan;
        this.#crew.post(member, { kind: 'plan', id, rule, firstUnit, workOf, items, states });
        for (let first = 0; first < plan.works.length; first += PIECE) {
          const works = plan.works.slice(first, first + PIECE).map((_, i) => wireWork(plan, first + i, this.#memory));
          this.#crew.post(member, { kind: 'works', id, first, works });
        }
      } else {
        for (let first = 0; first < changes.length; first += PIECE) {
          this.#crew.post(member, { kind: 'arrays', id, changes: changes.slice(first, first + PIECE) });
        }
      }
      this.#crew.post(member, { kind: 'step', step: this.#step, id, forget });
    }
  }

  async #pass(course: Course, plan: KnownPlan, helped: boolean, torn: Torn[]): Promise<void> {
    const { from, to, strip, works } = course;
    const pass = course.passes[course.pass]!;
    const first = plan.firstItem[from]!;
    const last = plan.firstItem[to]!;
    if (helped) this.#open(plan, course.pass, first, last);
    for (let i = from; i < to; i++) if (plan.own[i]) runPass(strip, pass, works[i]!);
    if (!helped) for (let item = first; item < last; item++) runItem(strip, pass, plan, item);
    else {
      const serial = this.#serial;
      for (let item = 0; item >= 0; ) {
        item = claim(this.#words, plan, serial, last, CALLER);
        if (item >= 0) {
          runItem(strip, pass, plan, item);
          finish(plan, serial, item);
        }
      }
      await this.#await(course, plan, first, last, torn);
    }
    for (let i = from; i < to; i++) {
      const work = works[i]!;
      if (plan.own[i] || !foldsColumns(pass, work)) continue;
      work.own[pass.columnSums!]!.fill(0);
      for (let block = 0; block < work.cut.blocks; block++) {
        foldColumns(pass, work, block, plan.columns[i]!, block * work.cut.cols);
      }
    }
  }

  /** Lets everyone claim the items of a pass. */
  #open(plan: KnownPlan, pass: number, first: number, last: number): void {
    const free = itemState((this.#serial + 1) & 0x1ffffff, NOBODY);
    for (let item = first; item < last; item++) Atomics.store(plan.states, item, free);
    Atomics.store(this.#words, PASS, pass);
    Atomics.store(this.#words, NEXT, first);
    Atomics.store(this.#words, TO, last);
    this.#nextSerial();
  }

  /** Until every item is done; those that nobody has, or that a dead worker had, are done here. */
  async #await(course: Course, plan: KnownPlan, first: number, last: number, torn: Torn[]): Promise<void> {
    const pass = course.passes[course.pass]!;
    const serial = this.#serial;
    const free = itemState(serial, NOBODY);
    let looks = 0;
    for (let item = first; item < last; item++) {
      let turns = 0;
      let since = 0;
      for (;;) {
        const who = holder(Atomics.load(plan.states, item));
        if (who === DONE) break;
        const member = this.#crew.member(who);
        if (who === NOBODY) {
          if (Atomics.compareExchange(plan.states, item, free, itemState(serial, CALLER)) !== free) continue;
          runItem(course.strip, pass, plan, item);
          finish(plan, serial, item);
        } else if (member?.dead !== false) {
          // A pass that writes is not idempotent: its items cannot be redone.
          if (pass.writes) torn.push(...tornRanges(plan, item));
          else runItem(course.strip, pass, plan, item);
          finish(plan, serial, item);
        } else if (looks < LOOKS) looks++;
        else {
          if (turns++ === 0) since = this.#now();
          await turn();
          const waited = this.#now() - since;
          if (waited > STUCK || turns > STUCK_TURNS) member.lose(`no sign of life for ${STUCK / 1000} s`);
        }
      }
    }
  }
}
