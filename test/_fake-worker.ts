/** Workers whose doings are a test's own. */
import type { WorkerLike } from 'tensorless/parallel';
import type { Message, StartMessage } from '../src/threads/protocol.ts';

/** A worker in name only: what it does with a message is the test's. */
export class FakeWorker implements WorkerLike {
  static readonly all: FakeWorker[] = [];
  readonly #listeners = new Map<string, ((value: unknown) => void)[]>();
  start: StartMessage | null = null;
  ended = false;
  readonly #onStart: (worker: FakeWorker) => void;
  readonly #onMessage: (worker: FakeWorker, message: Message) => void;

  constructor(
    onStart: (worker: FakeWorker) => void,
    onMessage: (worker: FakeWorker, message: Message) => void = () => {},
  ) {
    this.#onStart = onStart;
    this.#onMessage = onMessage;
    FakeWorker.all.push(this);
  }
  postMessage(message: unknown): void {
    if (this.start === null) {
      this.start = message as StartMessage;
      // Not by a timer, as tests feign those.
      queueMicrotask(() => this.#onStart(this));
    } else this.#onMessage(this, message as Message);
  }
  terminate(): void {
    this.ended = true;
  }
  on(event: string, listener: (value: unknown) => void): void {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
  }
  emit(event: string, value: unknown): void {
    for (const listener of this.#listeners.get(event) ?? []) listener(value);
  }
}

export const ready = (worker: FakeWorker): void => worker.emit('message', 'ready');
