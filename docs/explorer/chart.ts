/** The plot of the explorer: curves, the step under the rule, what was recorded. */
import * as Plot from '@observablehq/plot';
import type { Recorded } from './recorded.ts';

/** Colours that differ in lightness too, and stand out on light and dark. */
export const COLOURS = ['#2f81f7', '#db6d28', '#2da44e', '#a371f7', '#bf8700', '#d6409f', '#1b7c83', '#768390'];

/** Of the plot inside its picture; the slider beneath has the same (style.css). */
export const MARGIN = { left: 64, right: 20 };

export interface Drawing {
  readonly curves: readonly (Float64Array | Error)[];
  readonly recorded: readonly Recorded[];
  /** Whether the record has a step's rate one step later than the curves. */
  readonly late: boolean;
  readonly steps: number;
  readonly step: number;
  readonly log: boolean;
  readonly width: number;
}

/** A rate with so many significant digits, the trailing zeros left out. */
export function shown(value: number, digits = 6): string {
  if (value === 0) return '0';
  if (value >= 1e-3 && value < 1000) return String(Number(value.toPrecision(digits)));
  const [mantissa, exponent] = value.toExponential(digits - 1).split('e');
  return `${Number(mantissa)}e${exponent}`;
}

/** At most 1,500 points a curve; corners stay, because every step is drawn where there are fewer. */
function points(values: Float64Array): { step: number; rate: number }[] {
  const stride = Math.max(1, Math.floor(values.length / 1500));
  const list = [];
  for (let step = 0; step < values.length; step += stride) list.push({ step, rate: values[step]! });
  return list;
}

/** Powers of ten that the positive rates span: at most nine lines. */
function powers(rates: readonly number[]): number[] {
  const logs = rates.filter((rate) => rate > 0).map(Math.log10);
  const [least, most] = [Math.floor(Math.min(...logs)), Math.ceil(Math.max(...logs))];
  const stride = Math.max(1, Math.ceil((most - least) / 8));
  return Array.from({ length: Math.floor((most - least) / stride) + 1 }, (_, i) => 10 ** (least + i * stride));
}

export function chart({ curves, recorded, late, steps, step, log, width }: Drawing): SVGSVGElement & Plot.Plot {
  const fits = ({ rate }: { rate: number }): boolean => !log || rate > 0;
  const marks: Plot.Markish[] = [Plot.ruleX([step], { stroke: 'currentColor', strokeOpacity: 0.45 })];
  const rates: number[] = [];
  for (const [i, values] of curves.entries()) {
    if (values instanceof Error) continue;
    const data = points(values).filter(fits);
    for (const { rate } of data) rates.push(rate);
    marks.push(Plot.line(data, { x: 'step', y: 'rate', stroke: COLOURS[i]!, strokeWidth: 2 }));
    const now = [{ step, rate: values[step] ?? Number.NaN }].filter(fits);
    marks.push(Plot.dot(now, { x: 'step', y: 'rate', fill: COLOURS[i]!, r: 4 }));
  }
  for (const { points: own } of recorded) {
    const data = own.filter(fits).map(({ step: at, rate }) => ({ step: late ? at - 1 : at, rate }));
    for (const { rate } of data) rates.push(rate);
    const style = { stroke: 'currentColor', strokeWidth: 1.25, ariaLabel: () => 'recorded' };
    marks.push(Plot.dot(data, { x: 'step', y: 'rate', r: data.length === 1 ? 6 : 3, symbol: 'circle', ...style }));
  }
  return Plot.plot({
    width,
    height: Math.round(Math.max(240, Math.min(420, width * 0.5))),
    marginLeft: MARGIN.left,
    marginRight: MARGIN.right,
    marginBottom: 36,
    style: { background: 'transparent', fontSize: '12px', overflow: 'visible' },
    x: { label: 'step →', domain: [0, steps], ticks: Math.max(3, Math.min(10, Math.floor(width / 80))) },
    y: {
      label: '↑ learning rate',
      grid: true,
      type: log ? 'log' : 'linear',
      ticks: log && rates.some((rate) => rate > 0) ? powers(rates) : 6,
      ...(log ? {} : { zero: true }),
      tickFormat: (value: number) => shown(value, 3),
    },
    marks,
  }) as SVGSVGElement & Plot.Plot;
}
