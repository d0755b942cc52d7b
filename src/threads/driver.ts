/**
 * The calling thread's side of `parallelKernels`: its workers, the plans they were told of, and the passes of a step, of which this thread does its
 * share. It never waits for a worker to begin: whatever nobody has claimed it does itself.
 */

import { show } from '../core/check.ts';
import { isShared } from '../core/parameter.ts';
import type { Kernels, Threads } from '../engine/kernels.ts';
import { Engine, foldColumns, foldsColumns, type Task } from '../engine/tasks.ts';
import { adamKinds } from '../optimizers/adam-tasks.ts';
import { factored } from '../optimizers/factored.ts';
import type { Stepper } from '../optimizers/stepper.ts';
import { type KnownPlan, newPlan, tornRanges, wirePlan } from './plan.ts';
import {
  CALLER,
  claim,
  DONE,
  FIRST_WORKER,
  finish,
  holder,
  itemState,
  NEXT,
  NOBODY,
  PASS,
  packArrays,
  runItem,
  SERIAL,
  STEP,
  type StartMessage,
  type StepMessage,
  TO,
  type WireArrays,
  WORDS,
} from './protocol.ts';

/** What is used of a worker: a `Worker` of browsers, Deno or Bun, or of `node:worker_threads`. */
export interface WorkerLike {
  /** Sends a message. */
  postMessage(message: unknown): void;
  /** Ends it at once. */
  terminate(): unknown;
  /** Listens, in Node's manner. */
  on?(event: string, listener: (value: unknown) => void): unknown;
  /** Listens, in the manner of browsers. */
  addEventListener?(event: string, listener: (event: unknown) => void): unknown;
  /** Node: lets the process end although the worker lives. */
  unref?(): unknown;
}

/** Elements of a parameter that may be half updated. */
export interface TornRange {
  /** The parameter, as messages call it. */
  readonly parameter: string;
  /** First element in its data. */
  readonly from: number;
  /** One past the last. */
  readonly to: number;
}

/** A worker ended while it wrote weights: those it names may be half updated, everything else of the step was applied. */
export class TornStepError extends Error {
  /** Always `"TornStepError"`. */
  override readonly name: string = 'TornStepError';
  /** What may be half updated. */
  readonly torn: readonly TornRange[];

  /** @internal */
  constructor(torn: readonly TornRange[]) {
    const ranges = torn.map(({ parameter, from, to }) => `${parameter}, elements ${from} to ${to - 1}`).join('; ');
    super(
      `stepAsync: a worker ended while it wrote ${ranges}. These may be half updated, everything else of this step was applied; ` +
        'go on from the last checkpoint to be exact. The next step works.',
    );
    this.torn = torn;
  }
}

interface Member {
  readonly worker: WorkerLike;
  ready: boolean;
  dead: boolean;
  /** Plans it was told of. */
  readonly plans: Set<number>;
}

/** A step over fewer elements is over before a worker has woken up. */
const LEAST = 2 ** 17;
/** Milliseconds to look at a worker's item without letting the event loop run. */
const SPIN = 1;

/** The part of the runtime that {@link turn} uses; its types differ between Node and browsers. */
interface Turns {
  setImmediate?: (callback: () => void) => void;
  MessageChannel: new () => {
    readonly port1: { onmessage: (() => void) | null; close(): void };
    readonly port2: { postMessage(message: unknown): void };
  };
}

/** One turn of the event loop; a timer would wait for milliseconds. */
function turn(): Promise<void> {
  const { setImmediate, MessageChannel } = globalThis as unknown as Turns;
  return new Promise((resolve) => {
    if (setImmediate !== undefined) setImmediate(resolve);
    else {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    }
  });
}

/** The workers of one `parallelKernels`. */
export class Crew implements Threads {
  readonly #engine: Engine;
  readonly #memory: ArrayBuffer | null;
  readonly #words = new Int32Array(new SharedArrayBuffer(4 * WORDS));
  readonly #members: Member[] = [];
  readonly #createWorker: () => WorkerLike;
  readonly #simdOf: (who: number) => StartMessage['simd'];
  readonly #plans = new WeakMap<Stepper, KnownPlan>();
  /** Optimizers that were dropped without `dispose`. */
  readonly #dropped = new FinalizationRegistry<number>((id) => this.#forgotten.push(id));
  #forgotten: number[] = [];
  #ids = 0;
  #serial = 0;
  #step = 0;
  #replacements = 0;
  #closed = false;
  /** Steps wait for one another. */
  #last: Promise<void> = Promise.resolve();

  constructor(
    kernels: Kernels,
    memory: ArrayBuffer | null,
    createWorker: () => WorkerLike,
    simdOf: (who: number) => StartMessage['simd'],
  ) {
    this.#engine = new Engine(kernels, { ...factored, ...adamKinds });
    this.#memory = memory;
    this.#createWorker = createWorker;
    this.#simdOf = simdOf;
  }

  /** Threads that work now: this one and the workers that are alive. */
  get size(): number {
    return 1 + this.#members.filter(({ ready, dead }) => ready && !dead).length;
  }

  /** Starts so many workers; rejects, and ends them all, where one does not. */
  async start(workers: number, patience: number): Promise<void> {
    try {
      await Promise.all(Array.from({ length: workers }, (_, i) => this.#hire(i, patience)));
    } catch (error) {
      this.#dismiss();
      throw error;
    }
  }

  async #hire(place: number, patience: number): Promise<void> {
    const worker = this.#createWorker();
    const given = worker as Partial<WorkerLike> | null | undefined;
    if (typeof given?.postMessage !== 'function' || typeof given.terminate !== 'function') {
      throw new TypeError(`parallelKernels: createWorker must return a new Worker, got ${show(worker)}`);
    }
    const member: Member = { worker, ready: false, dead: false, plans: new Set() };
    this.#members[place] = member;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () =>
          lose(`no answer within ${patience / 1000} s; does createWorker start a module that calls runParallelWorker?`),
        patience,
      );
      const lose = (why: string): void => {
        clearTimeout(timer);
        if (member.dead) return;
        member.dead = true;
        if (!this.#closed && member.ready) {
          console.warn(
            `parallelKernels: a worker ended (${why}); the others go on, and the next step starts a new one`,
          );
        }
        worker.terminate();
        reject(
          new Error(
            `parallelKernels: a worker did not start: ${why}. Where a bundler has moved the package's files, pass createWorker`,
          ),
        );
      };
      const hear = (answer: unknown): void => {
        clearTimeout(timer);
        if (answer === 'ready') {
          member.ready = true;
          worker.unref?.();
          resolve();
        } else lose(String(answer));
      };
      if (worker.on !== undefined) {
        worker.on('message', hear);
        worker.on('error', (error) => lose(String(error)));
        worker.on('exit', (code) => lose(`exit status ${code}`));
      } else {
        worker.addEventListener?.('message', (event) => hear((event as { data: unknown }).data));
        worker.addEventListener?.('error', (event) => lose((event as { message?: string }).message ?? 'error'));
      }
      const message: StartMessage = {
        words: this.#words,
        who: FIRST_WORKER + place,
        simd: this.#simdOf(FIRST_WORKER + place),
      };
      worker.postMessage(message);
    });
  }

  #dismiss(): void {
    this.#closed = true;
    for (const { worker } of this.#members) worker.terminate();
    for (const member of this.#members) member.dead = true;
  }

  /** Ends the workers, after the step at hand. */
  async close(): Promise<void> {
    await this.#last;
    this.#dismiss();
  }

  async step(stepper: Stepper, where: string): Promise<void> {
    const before = this.#last;
    let release = (): void => {};
    this.#last = new Promise((resolve) => {
      release = resolve;
    });
    await before;
    const { active, formula } = stepper;
    const torn: { task: Task; from: number; to: number }[] = [];
    try {
      this.#replaceDead();
      for (const slot of active) stepper.begin(slot);
      // The plan knows the state's arrays.
      for (const slot of active) formula.bind(slot, stepper.stateOf);
      const plan = this.#planOf(
        stepper,
        active.map(({ task }) => task),
      );
      const helped = plan.elements >= LEAST && this.size > 1;
      if (helped) this.#announce(plan);
      await this.#pass(plan, 0, 0, active.length, helped, torn);
      if (stepper.accepts(where)) {
        for (const slot of active) stepper.advance(slot);
        for (const [from, to] of plan.batches) {
          for (let pass = 1; pass < formula.passes; pass++) {
            for (let i = from; i < to; i++) formula.prepare(active[i]!, pass);
            await this.#pass(plan, pass, from, to, helped, torn);
          }
        }
      }
    } finally {
      Atomics.store(this.#words, STEP, 0);
      this.#nextSerial();
      release();
    }
    if (torn.length > 0) {
      throw new TornStepError(torn.map(({ task, from, to }) => ({ parameter: stepper.describe(task), from, to })));
    }
  }

  forget(owner: Stepper): void {
    const plan = this.#plans.get(owner);
    if (plan === undefined) return;
    this.#plans.delete(owner);
    this.#dropped.unregister(owner);
    this.#forgotten.push(plan.id);
  }

  /** A worker that ended is replaced, though not for ever: something may end every one of them. */
  #replaceDead(): void {
    for (const [place, member] of this.#members.entries()) {
      if (!member.dead || this.#closed || this.#replacements >= 3 * this.#members.length) continue;
      this.#replacements++;
      // The step at hand does not wait for it.
      this.#hire(place, 30_000).catch((error: Error) => console.warn(error.message));
    }
  }

  #nextSerial(): void {
    this.#serial = (this.#serial + 1) & 0x1ffffff;
    Atomics.store(this.#words, SERIAL, this.#serial);
    Atomics.notify(this.#words, SERIAL);
  }

  #planOf(owner: Stepper, tasks: readonly Task[]): KnownPlan {
    const own = tasks.map(
      ({ p, g, m, v, largest }) => ![p, g, m, v, largest].every((array) => array === null || isShared(array)),
    );
    const known = this.#plans.get(owner);
    if (
      known !== undefined &&
      known.tasks.length === tasks.length &&
      known.tasks.every((task, i) => task === tasks[i] && known.own[i] === own[i])
    ) {
      return known;
    }
    this.forget(owner);
    const plan = newPlan(++this.#ids, tasks, own);
    this.#plans.set(owner, plan);
    this.#dropped.register(owner, plan.id, owner);
    return plan;
  }

  /** Tells the workers that a step begins, and what they do not know of it yet. */
  #announce(plan: KnownPlan): void {
    this.#step = (this.#step % 0x7fffffff) + 1;
    Atomics.store(this.#words, STEP, this.#step);
    const changes: [number, WireArrays][] = [];
    for (const [i, task] of plan.tasks.entries()) {
      const { g, m, v, largest } = task;
      const sent = plan.sent[i];
      if (sent !== undefined && sent[0] === g && sent[1] === m && sent[2] === v && sent[3] === largest) continue;
      plan.sent[i] = [g, m, v, largest];
      if (!plan.own[i]) changes.push([i, packArrays(task, this.#memory)]);
    }
    const forget = this.#forgotten;
    this.#forgotten = [];
    for (const { worker, ready, dead, plans } of this.#members) {
      if (dead || !ready) continue;
      const news = !plans.has(plan.id);
      plans.add(plan.id);
      for (const id of forget) plans.delete(id);
      const message: StepMessage = {
        step: this.#step,
        id: plan.id,
        plan: news ? wirePlan(plan, this.#memory) : null,
        changes: news ? [] : changes,
        forget,
      };
      worker.postMessage(message);
    }
  }

  async #pass(
    plan: KnownPlan,
    pass: number,
    from: number,
    to: number,
    helped: boolean,
    torn: { task: Task; from: number; to: number }[],
  ): Promise<void> {
    const first = plan.firstItem[from]!;
    const last = plan.firstItem[to]!;
    if (helped) this.#open(plan, pass, first, last);
    for (let i = from; i < to; i++) if (plan.own[i]) this.#engine.run(plan.tasks[i]!, pass);
    if (!helped) for (let item = first; item < last; item++) runItem(this.#engine, plan, pass, item);
    else {
      const serial = this.#serial;
      for (let item = 0; item >= 0; ) {
        item = claim(this.#words, plan, serial, last, CALLER);
        if (item >= 0) {
          runItem(this.#engine, plan, pass, item);
          finish(plan, serial, item);
        }
      }
      await this.#await(plan, pass, first, last, torn);
    }
    if (pass > 0) return;
    for (let i = from; i < to; i++) {
      const task = plan.tasks[i]!;
      if (plan.own[i] || !foldsColumns(task, pass)) continue;
      task.colFactor.fill(0);
      for (let block = 0; block < task.blocks; block++) foldColumns(task, block, plan.columns[i]!, block * task.cols);
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
  async #await(
    plan: KnownPlan,
    pass: number,
    first: number,
    last: number,
    torn: { task: Task; from: number; to: number }[],
  ): Promise<void> {
    const serial = this.#serial;
    const free = itemState(serial, NOBODY);
    const until = performance.now() + SPIN;
    for (let item = first; item < last; item++) {
      for (;;) {
        const state = Atomics.load(plan.states, item);
        const who = holder(state);
        if (who === DONE) break;
        if (who === NOBODY) {
          if (Atomics.compareExchange(plan.states, item, free, itemState(serial, CALLER)) !== free) continue;
          runItem(this.#engine, plan, pass, item);
          finish(plan, serial, item);
        } else if (this.#members[who - FIRST_WORKER]!.dead) {
          // Only the weights and what is updated with them cannot be done once more.
          const task = plan.tasks[plan.taskOf[plan.items[item]!]!]!;
          if (pass === (task.kind === 'adam' ? 1 : 2)) torn.push(...tornRanges(plan, item));
          else runItem(this.#engine, plan, pass, item);
          finish(plan, serial, item);
        } else if (performance.now() > until) await turn();
      }
    }
  }
}
