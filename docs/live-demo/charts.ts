/** Loss and learning rate of the run, with the moments at which it was cut. */
import * as Plot from '@observablehq/plot';
import type { Saved } from '../examples/words/train.ts';
import type { Cut } from './messages.ts';

export interface Drawing {
  readonly history: Saved['history'];
  /** Points that a kill has lost; the run goes through them once more. */
  readonly lost: Saved['history'];
  readonly cuts: readonly Cut[];
  readonly steps: number;
  readonly unigram: number;
  readonly width: number;
}

const ACCENT = 'var(--accent)';

function shared(width: number): Plot.PlotOptions {
  return {
    width,
    marginLeft: 48,
    marginRight: 12,
    style: { background: 'transparent', fontSize: '12px', overflow: 'visible' },
  };
}

/** From a loss that knows nothing to one that a long run reaches: the axis does not jump. */
const RANGE = [1.9, 3.5] as const;

function range(history: Saved['history']): [number, number] {
  const losses = history.map(({ loss }) => loss).filter(Number.isFinite);
  return [Math.min(RANGE[0], ...losses), Math.max(RANGE[1], ...losses)];
}

export function lossChart({ history, lost, cuts, steps, unigram, width }: Drawing): Element {
  return Plot.plot({
    ...shared(width),
    height: Math.round(width / 2),
    x: { domain: [0, steps], label: null },
    y: { label: '↑ loss, nats per letter', grid: true, domain: range([...history, ...lost]), ticks: 5 },
    marks: [
      unigram > 0
        ? [
            Plot.ruleY([unigram], { stroke: 'currentColor', strokeDasharray: '4 3', strokeOpacity: 0.6 }),
            Plot.text([unigram], { y: unigram, frameAnchor: 'right', text: () => 'guessing single letters', dy: -8 }),
          ]
        : [],
      Plot.dot(lost, { x: 'step', y: 'loss', r: 3.5, stroke: 'var(--red)', strokeOpacity: 0.8 }),
      Plot.dot(history, { x: 'step', y: 'loss', r: 1.5, fill: ACCENT, fillOpacity: 0.5 }),
      Plot.line(
        history,
        Plot.windowY({ k: 5, strict: false }, { x: 'step', y: 'loss', stroke: ACCENT, strokeWidth: 2.5 }),
      ),
      Plot.ruleX(
        cuts.flatMap(({ at }) => at ?? []),
        { stroke: 'var(--red)', strokeWidth: 2, ariaLabel: () => 'killed' },
      ),
      Plot.ruleX(cuts, { x: 'from', stroke: 'var(--green)', strokeWidth: 2, ariaLabel: () => 'resumed' }),
      Plot.text(cuts.slice(-1), {
        x: 'from',
        frameAnchor: 'top',
        textAnchor: 'start',
        dx: 6,
        dy: 2,
        fill: 'var(--green)',
        text: ({ from }: Cut) => `resumed from ${from}`,
      }),
    ],
  });
}

export function rateChart({ history, steps, width }: Drawing): Element {
  return Plot.plot({
    ...shared(width),
    height: Math.round(width / 4.2),
    marginBottom: 34,
    x: { domain: [0, steps], label: 'step →' },
    y: { label: '↑ learning rate', grid: true, ticks: 3, tickFormat: '~g', zero: true },
    marks: [Plot.line(history, { x: 'step', y: 'lr', stroke: 'var(--orange)', strokeWidth: 2 })],
  });
}
