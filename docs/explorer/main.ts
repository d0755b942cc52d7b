/**
 * The page: choices in, curves out. Its whole state is in the address, so that it can be shared and
 * reloaded.
 */
import * as Plot from '@observablehq/plot';
import {
  type Argument,
  argumentsOf,
  type Choice,
  code,
  initialChoice,
  type Name,
  rates,
  SCHEDULES,
} from './schedules.ts';

interface State {
  steps: number;
  lr: number;
  log: boolean;
  curves: Choice[];
}

/** Colours that differ in lightness too, and stand out on light and dark. */
const COLOURS = ['#2f81f7', '#db6d28', '#3fb950', '#a371f7', '#d4a72c', '#f778ba', '#1b7c83', '#8b949e'];
const MOST_CURVES = COLOURS.length;

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const stepsInput = element<HTMLInputElement>('steps');
const lrInput = element<HTMLInputElement>('lr');
const logInput = element<HTMLInputElement>('log');
const probe = element<HTMLInputElement>('probe');
const status = element('status');

function readAddress(): State {
  const state: State = { steps: 1000, lr: 1e-3, log: false, curves: [] };
  const query = new URLSearchParams(location.hash.slice(1));
  const steps = Number(query.get('steps'));
  if (Number.isInteger(steps) && steps >= 2 && steps <= 20000) state.steps = steps;
  const lr = Number(query.get('lr'));
  if (Number.isFinite(lr) && lr > 0) state.lr = lr;
  state.log = query.get('log') === '1';
  for (const text of query.getAll('s').slice(0, MOST_CURVES)) {
    const [name, ...pairs] = text.split(',');
    if (name === undefined || !Object.hasOwn(SCHEDULES, name)) continue;
    const choice = initialChoice(name as Name);
    const given: Record<string, number | string> = { ...choice.arguments };
    for (const pair of pairs) {
      const [key, value] = pair.split(':');
      if (key === undefined || value === undefined || !Object.hasOwn(given, key)) continue;
      given[key] = typeof given[key] === 'number' ? Number(value) : value;
    }
    state.curves.push({ ...choice, arguments: given });
  }
  if (state.curves.length === 0) state.curves.push(initialChoice('linear'), initialChoice('cosine'));
  return state;
}

function writeAddress({ steps, lr, log, curves }: State): void {
  const query = new URLSearchParams({ steps: String(steps), lr: String(lr), ...(log && { log: '1' }) });
  for (const { name, arguments: given } of curves) {
    query.append('s', [name, ...Object.entries(given).map(([key, value]) => `${key}:${value}`)].join(','));
  }
  history.replaceState(null, '', `#${query}`);
}

const state = readAddress();
/** Learning rates of each curve, or why there are none. */
let results: (Float64Array | Error)[] = [];

/** A rate with so many significant digits, the trailing zeros left out. */
function shown(value: number, digits = 6): string {
  if (value === 0) return '0';
  if (value >= 1e-3 && value < 1000) return String(Number(value.toPrecision(digits)));
  const [mantissa, exponent] = value.toExponential(digits - 1).split('e');
  return `${Number(mantissa)}e${exponent}`;
}

function compute(): void {
  results = state.curves.map((choice) => {
    try {
      return rates(choice, state.steps, state.lr);
    } catch (error) {
      return error as Error;
    }
  });
}

/**
 * At most 1,500 points a curve; corners stay, because every step is drawn where there are fewer.
 */
function points(values: Float64Array): { step: number; rate: number }[] {
  const stride = Math.max(1, Math.floor(values.length / 1500));
  const list = [];
  for (let step = 0; step < values.length; step += stride) list.push({ step, rate: values[step]! });
  return list;
}

function draw(): void {
  const chart = element('chart');
  const marks: Plot.Markish[] = [Plot.ruleX([probe.valueAsNumber], { stroke: 'currentColor', strokeOpacity: 0.4 })];
  for (const [i, values] of results.entries()) {
    if (values instanceof Error) continue;
    const data = points(values).filter(({ rate }) => !state.log || rate > 0);
    marks.push(Plot.line(data, { x: 'step', y: 'rate', stroke: COLOURS[i]!, strokeWidth: 2 }));
    const rate = values[probe.valueAsNumber];
    if (rate !== undefined && (!state.log || rate > 0)) {
      marks.push(Plot.dot([{ step: probe.valueAsNumber, rate }], { x: 'step', y: 'rate', fill: COLOURS[i]!, r: 4 }));
    }
  }
  const svg = Plot.plot({
    width: Math.max(320, Math.min(1100, chart.clientWidth)),
    height: Math.max(240, Math.min(420, chart.clientWidth * 0.5)),
    marginLeft: 64,
    marginBottom: 36,
    style: { background: 'transparent', fontSize: '12px', overflow: 'visible' },
    x: { label: 'step →', domain: [0, state.steps] },
    y: {
      label: '↑ learning rate',
      grid: true,
      type: state.log ? 'log' : 'linear',
      ...(state.log ? {} : { zero: true }),
      tickFormat: (value: number) => shown(value, 3),
      ticks: 6,
    },
    marks,
  });
  svg.addEventListener('pointermove', ((event: PointerEvent) => {
    const box = svg.getBoundingClientRect();
    const scale = (svg as unknown as Plot.Plot).scale('x')!;
    const x = ((event.clientX - box.left) / box.width) * Number(svg.getAttribute('width'));
    const step = Math.round(Number(scale.invert!(x)));
    if (step < 0 || step > state.steps || step === probe.valueAsNumber) return;
    probe.value = String(step);
    draw();
  }) as EventListener);
  // The surrounding element has a role and a name; the marks inside would be read one by one.
  svg.setAttribute('aria-hidden', 'true');
  chart.replaceChildren(svg);
  element('probe-step').textContent = probe.value;
  const readout = element('readout');
  readout.replaceChildren(
    ...results.flatMap((values, i) => {
      if (values instanceof Error) return [];
      const item = document.createElement('span');
      const swatch = document.createElement('b');
      swatch.textContent = '● ';
      swatch.style.color = COLOURS[i]!;
      swatch.setAttribute('aria-hidden', 'true');
      item.append(swatch, `${SCHEDULES[state.curves[i]!.name].title}: ${shown(values[probe.valueAsNumber]!)}`);
      return [item];
    }),
  );
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

function argumentRow(index: number, argument: Argument, update: (value: number | string) => void): HTMLElement {
  const row = document.createElement('div');
  row.className = 'argument';
  const id = `a${index}-${argument.name}`;
  const label = document.createElement('label');
  label.htmlFor = id;
  label.textContent = argument.name;
  const value = state.curves[index]!.arguments[argument.name]!;
  if (argument.choices !== undefined) {
    const select = document.createElement('select');
    select.id = id;
    for (const choice of argument.choices) select.add(new Option(choice, choice, false, choice === value));
    select.addEventListener('change', () => update(select.value));
    row.append(label, select);
    return row;
  }
  const [least, most, step] = argument.range!;
  const slider = document.createElement('input');
  Object.assign(slider, {
    id,
    type: 'range',
    min: String(least),
    max: String(most === 'steps' ? state.steps : most),
    step: String(step),
  });
  slider.value = String(value);
  const output = document.createElement('output');
  output.htmlFor = id;
  output.textContent = String(value);
  slider.addEventListener('input', () => {
    output.textContent = String(slider.valueAsNumber);
    update(slider.valueAsNumber);
  });
  row.append(label, slider, output);
  return row;
}

function panel(choice: Choice, index: number): HTMLElement {
  const field = document.createElement('fieldset');
  const legend = document.createElement('legend');
  legend.textContent = `Schedule ${index + 1}`;
  const top = document.createElement('div');
  top.className = 'top';
  const swatch = document.createElement('span');
  swatch.className = 'swatch';
  swatch.style.background = COLOURS[index]!;
  const select = document.createElement('select');
  select.setAttribute('aria-label', `Schedule ${index + 1}`);
  for (const [name, { title }] of Object.entries(SCHEDULES))
    select.add(new Option(title, name, false, name === choice.name));
  select.addEventListener('change', () => {
    state.curves[index] = initialChoice(select.value as Name);
    render();
    element('curves').querySelectorAll<HTMLSelectElement>('.top select')[index]!.focus();
  });
  top.append(swatch, select);
  if (state.curves.length > 1) {
    const remove = document.createElement('button');
    remove.type = 'button';
    remove.textContent = 'Remove';
    remove.setAttribute('aria-label', `Remove schedule ${index + 1}`);
    remove.addEventListener('click', () => {
      state.curves.splice(index, 1);
      render();
      element('add').focus();
    });
    top.append(remove);
  }
  const text = document.createElement('pre');
  text.tabIndex = 0;
  text.setAttribute('aria-label', `Code of schedule ${index + 1}`);
  const error = document.createElement('p');
  error.className = 'error';
  error.setAttribute('role', 'alert');
  const show = (): void => {
    const result = results[index];
    error.textContent = result instanceof Error ? result.message : '';
    error.hidden = !(result instanceof Error);
    text.textContent = code(state.curves[index]!, state.steps, state.lr);
  };
  const rows = argumentsOf(choice.name).map((argument) =>
    argumentRow(index, argument, (value) => {
      const current = state.curves[index]!;
      state.curves[index] = { ...current, arguments: { ...current.arguments, [argument.name]: value } };
      compute();
      show();
      draw();
      writeAddress(state);
    }),
  );
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = 'Copy the code';
  button.addEventListener('click', () => void copy(text.textContent ?? '', 'Code copied.'));
  show();
  field.append(legend, top, ...rows, error, text, button);
  return field;
}

function render(): void {
  stepsInput.value = String(state.steps);
  lrInput.value = String(state.lr);
  logInput.checked = state.log;
  probe.max = String(state.steps);
  compute();
  element('curves').replaceChildren(...state.curves.map(panel));
  element<HTMLButtonElement>('add').disabled = state.curves.length >= MOST_CURVES;
  draw();
  writeAddress(state);
}

stepsInput.addEventListener('change', () => {
  const steps = stepsInput.valueAsNumber;
  if (Number.isInteger(steps) && steps >= 2 && steps <= 20000) state.steps = steps;
  else say('Training steps must be a whole number from 2 to 20,000.');
  render();
});
lrInput.addEventListener('change', () => {
  const lr = lrInput.valueAsNumber;
  if (Number.isFinite(lr) && lr > 0) state.lr = lr;
  else say('The learning rate must be greater than 0.');
  render();
});
logInput.addEventListener('change', () => {
  state.log = logInput.checked;
  render();
});
probe.addEventListener('input', draw);
element('add').addEventListener('click', () => {
  const used = new Set(state.curves.map(({ name }) => name));
  const next = (Object.keys(SCHEDULES) as Name[]).find((name) => !used.has(name)) ?? 'linear';
  state.curves.push(initialChoice(next));
  render();
});
element('share').addEventListener('click', () => void copy(location.href, 'Link copied.'));
addEventListener('hashchange', () => {
  Object.assign(state, readAddress());
  render();
});
new ResizeObserver(() => draw()).observe(element('chart'));
probe.value = String(Math.round(state.steps / 4));
render();
probe.value = String(Math.round(state.steps / 4));
draw();
