/**
 * Loss and learning rate of a run, one above the other, as an SVG file that is legible on light and
 * dark pages.
 */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { Saved } from './train.ts';

const WIDTH = 720;
const INK = '#1f2328';

function chart(height: number, options: Plot.PlotOptions): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const svg = Plot.plot({
    document,
    width: WIDTH,
    height,
    marginLeft: 56,
    marginBottom: 34,
    marginRight: 20,
    style: { color: INK, fontFamily: 'system-ui, sans-serif', fontSize: '12px', overflow: 'visible' },
    ...options,
  });
  // Thirteen decimals of a coordinate are noise to the eye and to version control.
  return svg.outerHTML.replace(/-?\d+\.\d{4,}/g, (number: string) => String(Math.round(Number(number) * 100) / 100));
}

/** Means over `window` neighbours, so that the trend shows through the batches' noise. */
function smooth(history: Saved['history'], window: number): Saved['history'] {
  return history.map((point, i) => {
    const near = history.slice(Math.max(0, i - window), i + window + 1);
    return { ...point, loss: near.reduce((sum, { loss }) => sum + loss, 0) / near.length };
  });
}

/** The losses' range, widened to halves. */
function range(history: Saved['history']): [number, number] {
  const losses = history.map(({ loss }) => loss);
  return [Math.floor(Math.min(...losses) * 2) / 2, Math.ceil(Math.max(...losses) * 2) / 2];
}

export function picture({ history, options }: Saved, unigram: number): string {
  const x: Plot.ScaleOptions = { domain: [0, options.steps] };
  const loss = chart(230, {
    x: { ...x, label: null },
    y: { label: '↑ loss, nats per letter', grid: true, domain: range(history) },
    marks: [
      Plot.ruleY([unigram], { stroke: '#8250df', strokeDasharray: '4 3' }),
      Plot.text([unigram], {
        x: options.steps,
        y: unigram,
        text: () => 'entropy of single letters',
        textAnchor: 'end',
        dy: -8,
        fill: '#8250df',
      }),
      Plot.dot(history, { x: 'step', y: 'loss', r: 1.2, fill: '#0969da', fillOpacity: 0.45 }),
      Plot.line(smooth(history, 4), { x: 'step', y: 'loss', stroke: '#0969da', strokeWidth: 2 }),
    ],
  });
  const lr = chart(140, {
    x: { ...x, label: 'step →', labelOffset: 34 },
    y: { label: '↑ learning rate', grid: true, ticks: 4, tickFormat: '~g' },
    marks: [Plot.line(history, { x: 'step', y: 'lr', stroke: '#bc4c00', strokeWidth: 2 })],
  });
  const at = (svg: string, y: number): string => svg.replace('<svg ', `<svg y="${y}" `);
  const title = `${options.optimizer}, ${options.schedule} schedule: training a letter model on English words`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="410" viewBox="0 0 ${WIDTH} 410" role="img" aria-label="${title}">
<rect width="${WIDTH}" height="410" rx="8" fill="#ffffff"/>
<text x="56" y="22" font-family="system-ui, sans-serif" font-size="13" font-weight="600" fill="${INK}">${title}</text>
${at(loss, 30)}
${at(lr, 262)}
</svg>
`;
}
