/** The page of the live demo: options in, pictures and words out; the work is done in worker.ts. */
import * as Plot from '@observablehq/plot';
import { DEFAULTS, type RunOptions, type Saved, SCHEDULES, type ScheduleName } from '../examples/words/train.ts';
import type { Command, Report } from './messages.ts';

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const form = element<HTMLFormElement>('options');
const pause = element<HTMLButtonElement>('pause');
const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
const send = (command: Command): void => worker.postMessage(command);

let history: Saved['history'] = [];
let unigram = 0;
let options: RunOptions = DEFAULTS;
let note = '';

for (const name of Object.keys(SCHEDULES)) element<HTMLSelectElement>('schedule').add(new Option(name, name));

function showOptions({ steps, seed, optimizer, schedule }: RunOptions): void {
  element<HTMLInputElement>('steps').value = String(steps);
  element<HTMLInputElement>('seed').value = String(seed);
  element<HTMLSelectElement>('optimizer').value = optimizer;
  element<HTMLSelectElement>('schedule').value = schedule;
}

function draw(): void {
  const place = element('loss');
  const shared: Plot.PlotOptions = {
    width: Math.max(320, Math.min(1100, place.clientWidth)),
    marginLeft: 56,
    style: { background: 'transparent', fontSize: '12px', overflow: 'visible' },
  };
  const x: Plot.ScaleOptions = { domain: [0, options.steps], label: null };
  place.replaceChildren(
    Plot.plot({
      ...shared,
      height: 240,
      x,
      y: { label: '↑ loss, nats per letter', grid: true },
      marks: [
        Plot.ruleY([unigram], { stroke: 'currentColor', strokeDasharray: '4 3', strokeOpacity: 0.6 }),
        Plot.text([unigram], { y: unigram, frameAnchor: 'right', text: () => 'entropy of single letters', dy: -8 }),
        Plot.dot(history, { x: 'step', y: 'loss', r: 1.5, fill: '#2f81f7', fillOpacity: 0.5 }),
        Plot.line(
          history,
          Plot.windowY({ k: 9, strict: false }, { x: 'step', y: 'loss', stroke: '#2f81f7', strokeWidth: 2 }),
        ),
      ],
    }),
  );
  element('rate').replaceChildren(
    Plot.plot({
      ...shared,
      height: 140,
      x: { ...x, label: 'step →' },
      marginBottom: 36,
      y: { label: '↑ learning rate', grid: true, ticks: 4, tickFormat: '~g' },
      marks: [Plot.line(history, { x: 'step', y: 'lr', stroke: '#db6d28', strokeWidth: 2 })],
    }),
  );
}

let drawing = false;
function drawSoon(): void {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

const handlers: { [K in Report['is']]: (report: Extract<Report, { is: K }>) => void } = {
  idle() {
    element('line').textContent = 'Press “Start anew”.';
  },
  begun(report) {
    ({ history, unigram, options } = report);
    showOptions(options);
    const resumed =
      report.resumedAt > 0 && report.resumedAt < options.steps ? `, went on after step ${report.resumedAt}` : '';
    note = ` (${report.kernels} kernels${resumed})`;
    element('result').hidden = true;
    element('error').hidden = true;
    pause.disabled = false;
    pause.textContent = 'Pause';
    element<HTMLProgressElement>('progress').max = options.steps;
    draw();
  },
  progress({ step, loss, lr, stepsPerSecond, points }) {
    history = [...history, ...points];
    element<HTMLProgressElement>('progress').value = step;
    const left = Math.round((options.steps - step) / stepsPerSecond);
    element('line').textContent =
      `step ${step} of ${options.steps}, loss ${loss.toFixed(3)}, learning rate ${lr.toExponential(1)}, ` +
      `${stepsPerSecond.toFixed(0)} steps/s, ${left} s left${note}`;
    drawSoon();
  },
  paused({ step }) {
    pause.textContent = 'Go on';
    element('line').textContent = `Paused and saved after step ${step}.`;
  },
  done({ before, after, words, bytes, weights, hash }) {
    pause.disabled = true;
    element<HTMLProgressElement>('progress').value = options.steps;
    element('line').textContent = `Done: ${options.steps} steps${note}.`;
    element('held-out').textContent =
      `${before.toFixed(3)} before, ${after.toFixed(3)} after, in nats per letter; entropy of single letters ` +
      `${unigram.toFixed(3)}`;
    element('words').textContent =
      `${words.join(', ')}${words.some((word) => word.endsWith('*')) ? ' (*: exists)' : ''}`;
    element('state').textContent =
      `${bytes.toLocaleString('en')} bytes for ${weights.toLocaleString('en')} weights; AdamW holds ` +
      `${(8 * weights).toLocaleString('en')}`;
    element('hash').textContent = hash;
    element('result').hidden = false;
    draw();
  },
  failed({ message }) {
    const error = element('error');
    error.textContent = message;
    error.hidden = false;
    pause.disabled = true;
  },
};

worker.addEventListener('message', ({ data }: MessageEvent<Report>) => {
  (handlers[data.is] as (report: Report) => void)(data);
});
form.addEventListener('submit', (event) => {
  event.preventDefault();
  send({
    do: 'start',
    options: {
      steps: element<HTMLInputElement>('steps').valueAsNumber,
      seed: element<HTMLInputElement>('seed').valueAsNumber,
      optimizer: element<HTMLSelectElement>('optimizer').value as RunOptions['optimizer'],
      schedule: element<HTMLSelectElement>('schedule').value as ScheduleName,
    },
  });
});
pause.addEventListener('click', () => send({ do: pause.textContent === 'Pause' ? 'pause' : 'continue' }));
new ResizeObserver(() => drawSoon()).observe(element('loss'));
showOptions(DEFAULTS);
send({ do: 'go' });
