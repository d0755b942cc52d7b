/**
 * Progress for people: a bar that redraws itself in a terminal, a plain line now and then
 * everywhere else.
 */

export interface Point {
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly lr: number;
}

/** `1:05`, or `2:01:05`. */
function clock(seconds: number): string {
  const s = Math.round(seconds);
  const parts = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  const shown = parts[0] === 0 ? parts.slice(1) : parts;
  return shown.map((part, i) => (i === 0 ? String(part) : String(part).padStart(2, '0'))).join(':');
}

/** A bar of `width` columns, filled in eighths. */
function bar(fraction: number, width: number): string {
  const eighths = Math.floor(fraction * width * 8);
  const full = Math.floor(eighths / 8);
  const rest = ' ▏▎▍▌▋▊▉'[eighths % 8]!;
  return `${'█'.repeat(full)}${full < width ? rest : ''}`.padEnd(width, ' ');
}

export class Progress {
  readonly #out: NodeJS.WriteStream;
  readonly #live: boolean;
  readonly #started = performance.now();
  readonly #firstStep: number;
  #drawn = Number.NEGATIVE_INFINITY;
  #smooth: number | undefined;

  constructor(out: NodeJS.WriteStream, firstStep: number) {
    this.#out = out;
    // A stream without colours or a width (a pipe, a CI log, TERM=dumb, NO_COLOR) cannot redraw a
    // line.
    this.#live = out.isTTY === true && out.columns > 0 && out.hasColors();
    this.#firstStep = firstStep;
  }

  /** After every step. */
  update(point: Point): void {
    this.#smooth = this.#smooth === undefined ? point.loss : this.#smooth * 0.95 + point.loss * 0.05;
    const { step, steps } = point;
    if (this.#live) {
      const now = performance.now();
      if (now - this.#drawn < 100 && step < steps) return;
      this.#drawn = now;
      const { columns } = this;
      const text = this.#text(point);
      const room = columns - text.length - 4;
      this.#out.write(`\r\x1b[2K${room >= 8 ? `▕${bar(step / steps, room)}▏ ` : ''}${text.slice(0, columns - 1)}`);
    } else if (step % Math.max(1, Math.ceil(steps / 20)) === 0 || step === steps) {
      this.#out.write(`${this.#text(point)}\n`);
    }
  }

  /** Columns for text: those of the terminal, at most 100; 80 where there is none. */
  get columns(): number {
    return this.#live ? Math.min(this.#out.columns, 100) : 80;
  }

  /** A line that stays, above the bar. */
  note(line: string): void {
    this.#out.write(`${this.#live ? '\r\x1b[2K' : ''}${line}\n`);
    this.#drawn = Number.NEGATIVE_INFINITY;
  }

  /** Leaves the bar's line. */
  close(): void {
    if (this.#live && this.#drawn > Number.NEGATIVE_INFINITY) this.#out.write('\n');
  }

  /** What fits: the learning rate and the speed are left out first. */
  #text({ step, steps, lr }: Point): string {
    const seconds = (performance.now() - this.#started) / 1000;
    const rate = (step - this.#firstStep) / seconds;
    const width = String(steps).length;
    const [place, left] = [`${String(step).padStart(width)}/${steps}`, `${clock((steps - step) / rate)} left`];
    const loss = `loss ${this.#smooth!.toFixed(3)}`;
    const full = [place, loss, `lr ${lr.toExponential(1)}`, `${rate.toFixed(0)} steps/s`, left].join('  ');
    return full.length < this.columns ? full : [place, loss, left].join('  ');
  }
}
