/** The workers of one `parallelKernels`: hired, lost, replaced, dismissed. */
import { show } from '../core/check.ts';
import { FIRST_WORKER, type Message, type StartMessage } from './protocol.ts';

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

/** One worker. */
export interface Member {
  readonly worker: WorkerLike;
  ready: boolean;
  dead: boolean;
  /** Ends it, with the reason for the warning. */
  lose(why: string): void;
  /** Plans it was told of. */
  readonly plans: Set<number>;
}

/** Ends a worker whatever its `terminate` does. */
function end(worker: WorkerLike): void {
  try {
    Promise.resolve(worker.terminate()).catch(() => {});
  } catch {
    // It is gone, which is what was wanted.
  }
}

/** Milliseconds for a replacement to start. */
const PATIENCE = 30_000;

/** The workers, by their places. */
export class Crew {
  readonly #members: (Member | undefined)[] = [];
  readonly #createWorker: () => WorkerLike;
  readonly #startMessage: (who: number) => StartMessage;
  #replacements = 0;
  #closed = false;

  constructor(createWorker: () => WorkerLike, startMessage: (who: number) => StartMessage) {
    this.#createWorker = createWorker;
    this.#startMessage = startMessage;
  }

  /** Workers that can be given work. */
  get alive(): Member[] {
    return this.#members.filter((member) => member?.ready === true && !member.dead) as Member[];
  }

  /** The worker that claims under this number. */
  member(who: number): Member | undefined {
    return this.#members[who - FIRST_WORKER];
  }

  /** Starts so many workers; rejects, and ends them all, where one does not. */
  async start(workers: number, patience: number): Promise<void> {
    try {
      await Promise.all(Array.from({ length: workers }, (_, i) => this.#hire(i, patience)));
    } catch (error) {
      this.dismiss();
      throw error;
    }
  }

  async #hire(place: number, patience: number): Promise<void> {
    let worker: WorkerLike;
    try {
      worker = this.#createWorker();
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`parallelKernels: createWorker failed: ${why}; it must return a new Worker at every call`, {
        cause,
      });
    }
    const given = worker as Partial<WorkerLike> | null | undefined;
    if (typeof given?.postMessage !== 'function' || typeof given.terminate !== 'function') {
      throw new TypeError(`parallelKernels: createWorker must return a new Worker, got ${show(worker)}`);
    }
    return new Promise((resolve, reject) => {
      const lose = (why: string): void => {
        clearTimeout(timer);
        if (member.dead) return;
        member.dead = true;
        if (!this.#closed && member.ready) {
          console.warn(
            `parallelKernels: a worker ended (${why}); the others go on, and the next step starts a new one`,
          );
        }
        end(worker);
        reject(
          new Error(
            `parallelKernels: a worker did not start: ${why}. ` +
              "Where a bundler has moved the package's files, pass createWorker",
          ),
        );
      };
      const member: Member = { worker, ready: false, dead: false, lose, plans: new Set() };
      this.#members[place] = member;
      const late =
        `no answer within ${patience / 1000} s; does createWorker start a module that calls ` + `runParallelWorker?`;
      const timer = setTimeout(() => lose(late), patience);
      const hear = (answer: unknown): void => {
        clearTimeout(timer);
        if (answer !== 'ready') lose(String(answer));
        else {
          member.ready = true;
          worker.unref?.();
          resolve();
        }
      };
      if (worker.on !== undefined) {
        worker.on('message', hear);
        worker.on('error', (error) => lose(String(error)));
        worker.on('exit', (code) => lose(`exit status ${code}`));
      } else {
        worker.addEventListener?.('message', (event) => hear((event as { data: unknown }).data));
        worker.addEventListener?.('error', (event) =>
          lose((event as { message?: string }).message || 'its script cannot be loaded'),
        );
      }
      try {
        worker.postMessage(this.#startMessage(FIRST_WORKER + place));
      } catch (error) {
        lose(String(error));
      }
    });
  }

  /**
   * Hires anew for workers that ended, though not for ever: something may end every one of them.
   */
  replaceDead(): void {
    for (const [place, member] of this.#members.entries()) {
      if (member?.dead !== true || this.#closed || this.#replacements >= 3 * this.#members.length) continue;
      this.#replacements++;
      // The step at hand does not wait for it.
      this.#hire(place, PATIENCE).catch((error: Error) => console.warn(error.message));
    }
  }

  /** Sends a message to a worker; one that cannot be reached is lost. */
  post(member: Member, message: Message): void {
    try {
      member.worker.postMessage(message);
    } catch (error) {
      member.lose(String(error));
    }
  }

  /** Ends all workers for good. */
  dismiss(): void {
    this.#closed = true;
    for (const member of this.#members) {
      if (member === undefined || member.dead) continue;
      member.dead = true;
      end(member.worker);
    }
  }
}
