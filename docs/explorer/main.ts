/** The page: choices and files in, curves out. */
import { fitsRate, fitsSteps, MOST_STEPS, readAddress, writeAddress } from './address.ts';
import { COLOURS, chart, shown } from './chart.ts';
import { type Panel, panel } from './panel.ts';
import { difference, type Recorded, readRecorded } from './recorded.ts';
import { code, initialChoice, type Name, rates, SCHEDULES } from './schedules.ts';

const MOST_CURVES = COLOURS.length;
const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const stepsInput = element<HTMLInputElement>('steps');
const lrInput = element<HTMLInputElement>('lr');
const logInput = element<HTMLInputElement>('log');
const probe = element<HTMLInputElement>('probe');
const status = element('status');

/** What two roundings of one rate may differ by, as a part of the largest. */
const EQUAL = 1e-9;

const state = readAddress(MOST_CURVES);
let panels: Panel[] = [];
/** Learning rates of each curve, or why there are none. */
let results: (Float64Array | Error)[] = [];
let recorded: Recorded[] = [];

function compute(): void {
  results = state.curves.map((choice) => {
    try {
      return rates(choice, state.steps, state.lr);
    } catch (error) {
      return error as Error;
    }
  });
}

function draw(): void {
  const place = element('chart');
  const width = Math.max(260, place.clientWidth);
  const step = probe.valueAsNumber;
  const svg = chart({ curves: results, recorded, late: isLate(), steps: state.steps, step, log: state.log, width });
  const scale = svg.scale('x')!;
  const follow = (event: PointerEvent): void => {
    const box = svg.getBoundingClientRect();
    const at = Math.round(Number(scale.invert!(((event.clientX - box.left) / box.width) * width)));
    if (at < 0 || at > state.steps || at === probe.valueAsNumber) return;
    probe.value = String(at);
    draw();
  };
  svg.addEventListener('pointermove', follow);
  svg.addEventListener('pointerdown', follow);
  // The surrounding element has a role and a name; the marks inside would be read one by one.
  svg.setAttribute('aria-hidden', 'true');
  place.replaceChildren(svg);
  element('probe-step').textContent = probe.value;
  element('readout').replaceChildren(
    ...results.flatMap((values, i) => {
      if (values instanceof Error) return [];
      const item = document.createElement('span');
      const swatch = document.createElement('b');
      swatch.textContent = '● ';
      swatch.style.color = COLOURS[i]!;
      swatch.setAttribute('aria-hidden', 'true');
      item.append(swatch, `${SCHEDULES[state.curves[i]!.name].title}: ${shown(values[step] ?? Number.NaN)}`);
      return [item];
    }),
  );
}

/** Whether the record has, at step t, the rate that was used for it: a curve has it at t - 1. */
function isLate(): boolean {
  const points = recorded.flatMap((one) => one.points);
  return results.some((values) => {
    const found = values instanceof Error ? undefined : difference(values, points);
    return found?.before === true && found.relative < EQUAL;
  });
}

function compared(values: Float64Array): string {
  const points = recorded.flatMap((one) => one.points);
  if (points.length === 0) return '';
  const found = difference(values, points);
  if (found === undefined) return 'No recorded step is within these training steps.';
  if (found.relative < EQUAL)
    return `Equal to the recorded rates${found.before ? ', which are those used for each step' : ''}.`;
  return `Off the recorded rates by up to ${shown(found.relative * 100, 2)} % of the largest, at step ${found.step}.`;
}

function showPanels(): void {
  for (const [i, shownPanel] of panels.entries()) {
    const values = results[i]!;
    const wrong = values instanceof Error;
    shownPanel.show(
      code(state.curves[i]!, state.steps, state.lr),
      wrong ? values.message : '',
      wrong ? '' : compared(values),
    );
  }
}

function say(text: string): void {
  status.textContent = text;
  setTimeout(() => {
    if (status.textContent === text) status.textContent = '';
  }, 3000);
}

async function copy(text: string, said: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(said);
  } catch {
    say('The browser does not let this page copy; select the text instead.');
  }
}

/** Beside the field, until the number is a good one; '' for that. */
function complain(input: HTMLInputElement, text: string): void {
  const place = element(`${input.id}-error`);
  place.textContent = text;
  place.hidden = text === '';
  input.setAttribute('aria-invalid', String(text !== ''));
}

function update(): void {
  probe.max = String(state.steps);
  compute();
  showPanels();
  draw();
  writeAddress(state);
}

function render(): void {
  stepsInput.value = String(state.steps);
  lrInput.value = String(state.lr);
  logInput.checked = state.log;
  complain(stepsInput, '');
  complain(lrInput, '');
  panels = state.curves.map((choice, index) =>
    panel({
      choice,
      index,
      steps: state.steps,
      removable: state.curves.length > 1,
      change(next) {
        state.curves[index] = next;
        update();
      },
      replace(next) {
        state.curves[index] = next;
        render();
        element('curves').querySelectorAll<HTMLSelectElement>('.top select')[index]!.focus();
      },
      remove() {
        state.curves.splice(index, 1);
        render();
        element('add').focus();
      },
      copy: (text) => void copy(text, 'Code copied.'),
    }),
  );
  element('curves').replaceChildren(...panels.map((one) => one.element));
  element<HTMLButtonElement>('add').disabled = state.curves.length >= MOST_CURVES;
  update();
}

stepsInput.addEventListener('change', () => {
  const steps = stepsInput.valueAsNumber;
  const most = MOST_STEPS.toLocaleString('en');
  if (!fitsSteps(steps)) {
    complain(
      stepsInput,
      `Training steps must be a whole number from 2 to ${most}, got ${stepsInput.value || 'nothing'}.`,
    );
    return;
  }
  state.steps = steps;
  render();
});
lrInput.addEventListener('change', () => {
  const lr = lrInput.valueAsNumber;
  if (!fitsRate(lr)) {
    complain(lrInput, `The initial learning rate must be greater than 0, got ${lrInput.value || 'nothing'}.`);
    return;
  }
  state.lr = lr;
  render();
});
logInput.addEventListener('change', () => {
  state.log = logInput.checked;
  update();
});
probe.addEventListener('input', draw);
element('add').addEventListener('click', () => {
  const used = new Set(state.curves.map(({ name }) => name));
  const next = (Object.keys(SCHEDULES) as Name[]).find((name) => !used.has(name)) ?? 'linear';
  state.curves.push(initialChoice(next));
  render();
});
element('share').addEventListener('click', () => void copy(location.href, 'Link copied.'));

/** Shows what files have recorded; steps and rate follow them where they tell. */
async function take(files: Iterable<File>): Promise<void> {
  const errors: string[] = [];
  const read: Recorded[] = [];
  for (const file of files) {
    try {
      read.push(await readRecorded(file));
    } catch (error) {
      const { message } = error as Error;
      errors.push(message.includes(file.name) ? message : `${file.name}: ${message}`);
    }
  }
  const place = element('record-error');
  place.textContent = errors.join(' ');
  place.hidden = errors.length === 0;
  if (read.length === 0) return;
  recorded = read;
  const steps = read.find((one) => one.steps !== undefined)?.steps;
  if (steps !== undefined && fitsSteps(steps)) state.steps = steps;
  const told = read.find((one) => one.lr !== undefined)?.lr;
  const largest = Math.max(...read.flatMap(({ points }) => points.map(({ rate }) => rate)));
  const lr = told ?? largest;
  if (fitsRate(lr)) state.lr = lr;
  const names = read.map(({ name, points }) => `${name} (${points.length} ${points.length === 1 ? 'rate' : 'rates'})`);
  element('recorded').textContent =
    `Circles: ${names.join(', ')}.` +
    (told === undefined ? ' The initial rate is set to the largest recorded; correct it if it was another.' : '');
  render();
}

const drop = element('drop');
for (const name of ['dragenter', 'dragover'] as const)
  addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
addEventListener('dragleave', (event) => {
  if (event.relatedTarget === null) drop.classList.remove('over');
});
addEventListener('drop', (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  void take(event.dataTransfer?.files ?? []);
});
const file = element<HTMLInputElement>('file');
file.addEventListener('change', () => void take(file.files ?? []));
addEventListener('hashchange', () => {
  Object.assign(state, readAddress(MOST_CURVES));
  render();
});
probe.max = String(state.steps);
probe.value = String(Math.round(state.steps / 4));
render();
new ResizeObserver(() => draw()).observe(element('chart'));
