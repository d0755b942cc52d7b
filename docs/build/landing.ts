/** The parts of the landing page that are computed: the picture of a run, figures, code. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { bundle } from '../../bench/size.ts';
import { MODELS, stateNumbers } from '../../bench/t5.ts';
import { coloured, runnable, snippet } from './markdown.ts';
import type { Recorded, RecordedRun } from './recorded.ts';
import { escaped } from './shell.ts';

const CODE = `import { Adafactor, getLinearScheduleWithWarmup, Parameter } from 'tensorless';

const weight = new Parameter(Float32Array.of(3, -2, 1, 0.5, -1, 2), [2, 3]);
const optimizer = new Adafactor([weight], { lr: 0.1, relativeStep: false, scaleParameter: false });
const scheduler = getLinearScheduleWithWarmup(optimizer, { numWarmupSteps: 20, numTrainingSteps: 200 });

for (let step = 0; step < 200; step++) {
  weight.grad = weight.data.map((w) => 2 * w); // your gradient; here of the sum of squares
  optimizer.step();
  scheduler.step();
}
console.log(weight.data.every((w) => Math.abs(w) < 1e-4)); // true
`;

/** Means over neighbours, so that the trend shows through the batches' noise. */
const smooth = (history: RecordedRun['history']): RecordedRun['history'] =>
  history.map((point, i) => {
    const near = history.slice(Math.max(0, i - 2), i + 3);
    return { ...point, loss: near.reduce((sum, { loss }) => sum + loss, 0) / near.length };
  });

/** The loss of a run, with the moment at which it was killed and the one from which it went on. */
function chart({ history, unigram, options }: RecordedRun, { at, resumedAt }: Recorded['killed']): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const top = Math.max(...history.map(({ loss }) => loss));
  const svg = Plot.plot({
    document,
    width: 480,
    height: 290,
    marginLeft: 38,
    marginBottom: 38,
    style: { background: 'none', color: 'var(--ink)', fontSize: '13px', overflow: 'visible' },
    x: { label: 'step →', domain: [0, options.steps], ticks: 5 },
    y: { label: '↑ loss, nats per letter', domain: [1.9, Math.ceil(top * 5) / 5], ticks: 5 },
    marks: [
      Plot.ruleY([unigram], { stroke: 'var(--soft)', strokeDasharray: '4 4' }),
      Plot.text([unigram], {
        x: options.steps,
        y: unigram,
        text: () => 'guessing single letters',
        textAnchor: 'end',
        dy: -9,
        fill: 'var(--soft)',
      }),
      Plot.dot(history, { x: 'step', y: 'loss', r: 1.5, fill: 'var(--accent)', fillOpacity: 0.45 }),
      Plot.line(smooth(history), { x: 'step', y: 'loss', stroke: 'var(--accent)', strokeWidth: 2.5 }),
      Plot.ruleX([at], { stroke: 'var(--red)', strokeWidth: 2 }),
      Plot.text([at], {
        x: at,
        frameAnchor: 'top',
        text: () => `killed at ${at}`,
        textAnchor: 'start',
        dx: 7,
        dy: 4,
        fill: 'var(--red)',
      }),
      Plot.text([at], {
        x: at,
        frameAnchor: 'top',
        text: () => `resumed from ${resumedAt}`,
        textAnchor: 'start',
        dx: 7,
        dy: 22,
        fill: 'var(--green)',
      }),
      Plot.ruleX([resumedAt], { stroke: 'var(--green)', strokeWidth: 2 }),
    ],
  });
  svg.setAttribute('aria-hidden', 'true');
  return svg.outerHTML.replace(/-?\d+\.\d{3,}/g, (number) => String(Math.round(Number(number) * 100) / 100));
}

const count = (n: number): string => n.toLocaleString('en');
const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(bytes < 10_000 ? 1 : 0)} kB`;

/** What fills the {{places}} of docs/index.html. */
export async function landing({ runs, killed, runtime }: Recorded): Promise<Record<string, string>> {
  const [adafactor, adamw] = runs as [RecordedRun, RecordedRun];
  const rows = adafactor.samples
    .filter(({ step }, i, all) => i === 0 || i === all.length - 1 || [25, 50, 100, 200].includes(step))
    .map(({ step, words }) => `<li><b>${step}</b> <span>${words.slice(0, 3).map(escaped).join(' ')}</span></li>`);
  const t5 = stateNumbers(MODELS['T5-base']!);
  const { bytes } = await bundle(`export { Adafactor, getLinearScheduleWithWarmup, Parameter } from 'tensorless';`);
  return {
    chart: chart(adafactor, killed),
    words: rows.join('\n'),
    'killed-at': String(killed.at),
    'resumed-at': String(killed.resumedAt),
    hash: adafactor.hash,
    'hash-resumed': killed.hash,
    weights: count(adafactor.weights),
    state: kilobytes(adafactor.stateBytes),
    'state-adamw': kilobytes(adamw.stateBytes),
    't5-adafactor': `${((t5.adafactor * 4) / 1e6).toFixed(1)} MB`,
    't5-adamw': `${((t5.adamw * 4) / 1e9).toFixed(1)} GB`,
    size: `${(bytes / 1000).toFixed(0)} kB`,
    runtime,
    code: snippet(await coloured(CODE, 'ts'), 'ts', await runnable(CODE)),
  };
}
