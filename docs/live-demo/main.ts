/** The page of the live demo: buttons in, pictures and words out; the work is done in worker.ts. */
import { recorded } from 'virtual:recorded';
import { type RunOptions, type Saved, SCHEDULES, type ScheduleName } from '../examples/words/train.ts';
import { type Drawing, lossChart, rateChart } from './charts.ts';
import type { Engine, EngineName } from './engines.ts';
import type { Command, Cut, Report } from './messages.ts';
import { PAGE_DEFAULTS, type Sample, same } from './words.ts';

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const input = (id: string): HTMLInputElement => element<HTMLInputElement>(id);
const pause = element<HTMLButtonElement>('pause');
const kill = element<HTMLButtonElement>('kill');
const again = element<HTMLButtonElement>('again');

type Phase = 'starting' | 'training' | 'paused' | 'killed' | 'done';

interface State {
  phase: Phase;
  options: RunOptions;
  engine: EngineName;
  step: number;
  saved: number;
  history: Saved['history'];
  lost: Saved['history'];
  samples: Sample[];
  cuts: readonly Cut[];
  unigram: number;
}

const state: State = {
  phase: 'starting',
  options: PAGE_DEFAULTS,
  engine: 'simd',
  step: 0,
  saved: 0,
  history: [],
  lost: [],
  samples: [],
  cuts: [],
  unigram: 0,
};
let engines: readonly Engine[] = [];
let worker: Worker;
const send = (command: Command): void => worker.postMessage(command);

for (const name of Object.keys(SCHEDULES)) element<HTMLSelectElement>('schedule').add(new Option(name, name));

function draw(): void {
  const { history, lost, cuts, options, unigram } = state;
  const width = Math.max(260, element('loss').clientWidth);
  const drawing: Drawing = { history, lost, cuts, steps: options.steps, unigram, width };
  element('loss').replaceChildren(lossChart(drawing));
  element('rate').replaceChildren(rateChart(drawing));
  for (const svg of document.querySelectorAll('.chart > *')) svg.setAttribute('aria-hidden', 'true');
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

const known = new Set<string>();

function showWords(): void {
  const items = state.samples.map(({ step, words }, i) => {
    const item = document.createElement('li');
    if (i === state.samples.length - 1 && state.phase !== 'done') item.className = 'latest';
    const number = document.createElement('b');
    number.textContent = String(step);
    const list = document.createElement('span');
    for (const word of words) {
      const one = document.createElement('span');
      one.textContent = word || '·';
      if (known.has(word)) {
        one.className = 'exists';
        one.title = 'an English word';
      }
      list.append(one, ' ');
    }
    item.append(number, list);
    return item;
  });
  element('words').replaceChildren(...items);
}

const SAID: Readonly<Record<Phase, (state: State) => string>> = {
  starting: () => 'Reading the words…',
  training: ({ step, options, saved }) => `step ${step} of ${options.steps}, saved after ${saved}`,
  paused: ({ step }) => `Paused and saved after step ${step}.`,
  killed: ({ step, saved }) => `Killed at step ${step}. Its last save is after step ${saved}.`,
  done: ({ options }) => `Done: ${options.steps} steps.`,
};

function show(): void {
  const { phase, step, options } = state;
  element('line').textContent = SAID[phase](state);
  const bar = element<HTMLProgressElement>('progress');
  bar.max = options.steps;
  bar.value = step;
  pause.textContent = phase === 'paused' ? 'Go on' : 'Pause';
  pause.disabled = phase !== 'training' && phase !== 'paused';
  kill.textContent = phase === 'killed' ? 'Resume' : 'Kill';
  kill.disabled = phase !== 'training' && phase !== 'killed';
  again.disabled = phase === 'starting' || phase === 'killed';
}

/** Node's hash of this very run, if the site has it. */
function expected(): string | undefined {
  return recorded.runs.find((run) => same(run.options, state.options))?.hash;
}

function showExpected(): void {
  const hash = expected();
  const { seed, steps, optimizer, schedule } = state.options;
  element('node-name').textContent =
    hash === undefined ? 'Node: to compare, run this' : `${recorded.runtime}, when this site was built`;
  element('node-hash').textContent =
    hash ?? `npm run demo -- --steps ${steps} --seed ${seed} --optimizer ${optimizer} --schedule ${schedule}`;
  element('hash').textContent = 'not finished yet';
  element('verdict').textContent = '';
  element('held-out').textContent = '';
}

function showOptions({ steps, seed, optimizer, schedule }: RunOptions): void {
  input('steps').value = String(steps);
  input('seed').value = String(seed);
  element<HTMLSelectElement>('optimizer').value = optimizer;
  element<HTMLSelectElement>('schedule').value = schedule;
}

function showEngines(): void {
  const field = element('engines');
  for (const label of field.querySelectorAll('label')) label.remove();
  for (const { name, title, note, available } of engines) {
    const label = document.createElement('label');
    const radio = document.createElement('input');
    Object.assign(radio, { type: 'radio', name: 'engine', value: name, disabled: !available });
    radio.checked = name === state.engine;
    label.title = note;
    label.append(radio, title);
    radio.addEventListener('change', () => {
      state.engine = name;
      localStorage.setItem('engine', name);
      if (state.phase !== 'killed') send({ do: 'engine', engine: name });
      else showNote();
    });
    field.append(label);
  }
  showNote();
}

function showNote(): void {
  const own = engines.find(({ name }) => name === state.engine);
  const missing = engines.filter(({ available }) => !available).map(({ title, note }) => `${title}: ${note}`);
  element('engine-note').textContent = [own === undefined ? '' : `${own.title}: ${own.note}`, ...missing].join(' ');
}

const milliseconds = (value: number): string => `${value < 10 ? value.toFixed(2) : value.toFixed(1)} ms`;
const bytes = (value: number): string => `${value.toLocaleString('en')} bytes`;

const handlers: { [K in Report['is']]: (report: Extract<Report, { is: K }>) => void } = {
  engines(report) {
    ({ engines } = report);
    showEngines();
  },
  begun({ options, history, samples, cuts, unigram, step, engine, weights, paused, existing }) {
    // What a kill has lost stays to be seen, and the run goes through it again.
    const lost = state.phase === 'killed' ? state.history.filter((point) => point.step >= step) : state.lost;
    Object.assign(state, { options, history, samples: [...samples], cuts, unigram, step, saved: step, engine });
    state.lost = step === 0 ? [] : lost;
    state.phase = paused ? 'paused' : 'training';
    for (const word of existing) known.add(word);
    element('error').hidden = true;
    element('adamw').textContent = bytes(8 * weights);
    showOptions(options);
    showEngines();
    showExpected();
    showWords();
    show();
    draw();
  },
  progress(report) {
    for (const word of report.existing) known.add(word);
    state.history = [...state.history, ...report.points];
    state.step = report.step;
    element('now-loss').textContent = report.loss.toFixed(3);
    element('now-rate').textContent = report.lr.toExponential(1);
    element('speed').textContent = report.stepsPerSecond.toFixed(0);
    element('optimizer-time').textContent = milliseconds(report.optimizerMilliseconds);
    element('state').textContent = bytes(report.bytes);
    if (report.samples.length > 0) {
      state.samples.push(...report.samples);
      showWords();
    }
    show();
    drawSoon();
  },
  saved({ step }) {
    state.saved = step;
    show();
  },
  paused({ step }) {
    Object.assign(state, { phase: 'paused', step, saved: step });
    show();
  },
  done({ before, after, bytes: size, hash }) {
    Object.assign(state, { phase: 'done', step: state.options.steps });
    element('held-out').textContent =
      `On words it has never seen: loss ${before.toFixed(3)} before, ${after.toFixed(3)} now, in nats per letter.`;
    element('state').textContent = bytes(size);
    element('hash').textContent = hash;
    const node = expected();
    const verdict = element('verdict');
    verdict.textContent = node === undefined ? '' : node === hash ? '✓ Equal to the last bit.' : '✗ They differ.';
    verdict.className = node === hash ? 'equal' : 'differs';
    showWords();
    show();
    draw();
  },
  failed({ message }) {
    const error = element('error');
    error.textContent = message;
    error.hidden = false;
  },
};

function start(killedAt?: number): void {
  worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  worker.addEventListener('message', ({ data }: MessageEvent<Report>) => {
    (handlers[data.is] as (report: Report) => void)(data);
  });
  worker.addEventListener('error', ({ message }) => handlers.failed({ is: 'failed', message }));
  send({ do: 'go', engine: state.engine, ...(killedAt !== undefined && { killedAt }) });
}

pause.addEventListener('click', () => {
  if (state.phase === 'paused') {
    state.phase = 'training';
    show();
    send({ do: 'continue' });
  } else send({ do: 'pause' });
});
kill.addEventListener('click', () => {
  if (state.phase === 'killed') {
    start(state.step);
    return;
  }
  worker.terminate();
  state.phase = 'killed';
  show();
});
again.addEventListener('click', () => send({ do: 'start', options: state.options }));
element('options').addEventListener('submit', (event) => {
  event.preventDefault();
  const options: RunOptions = {
    steps: input('steps').valueAsNumber,
    seed: input('seed').valueAsNumber,
    optimizer: element<HTMLSelectElement>('optimizer').value as RunOptions['optimizer'],
    schedule: element<HTMLSelectElement>('schedule').value as ScheduleName,
  };
  if (state.phase === 'killed') {
    start();
    send({ do: 'start', options });
  } else send({ do: 'start', options });
});
new ResizeObserver(() => drawSoon()).observe(element('loss'));
const wanted = localStorage.getItem('engine');
if (wanted !== null) state.engine = wanted as EngineName;
showOptions(PAGE_DEFAULTS);
showExpected();
draw();
start();
