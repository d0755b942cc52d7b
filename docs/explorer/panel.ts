/** One schedule's panel: its name, its arguments, its code, and how far it is from what was recorded. */
import { COLOURS } from './chart.ts';
import { type Argument, argumentsOf, type Choice, initialChoice, type Name, SCHEDULES } from './schedules.ts';

export interface Panel {
  readonly element: HTMLElement;
  /** After a change of anything: the code, what is wrong, how far from the record. */
  show(code: string, error: string, compared: string): void;
}

export interface PanelOptions {
  readonly choice: Choice;
  readonly index: number;
  readonly steps: number;
  readonly removable: boolean;
  /** Another argument of the same schedule. */
  change(choice: Choice): void;
  /** Another schedule. */
  replace(choice: Choice): void;
  remove(): void;
  copy(text: string): void;
}

function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
): HTMLElementTagNameMap[K] {
  return Object.assign(document.createElement(tag), properties);
}

function argumentRow(
  id: string,
  argument: Argument,
  value: number | string,
  steps: number,
  update: (value: number | string) => void,
): HTMLElement {
  const row = make('div', { className: 'argument' });
  const label = make('label', { htmlFor: id, textContent: argument.name });
  if (argument.choices !== undefined) {
    const select = make('select', { id });
    for (const choice of argument.choices) select.add(new Option(choice, choice, false, choice === value));
    select.addEventListener('change', () => update(select.value));
    row.append(label, select);
    return row;
  }
  const [least, most, step] = argument.range!;
  const slider = make('input', { id, type: 'range' });
  Object.assign(slider, { min: String(least), max: String(most === 'steps' ? steps : most), step: String(step) });
  slider.value = String(value);
  const exact = make('input', { type: 'number', step: 'any', value: String(value), id: `${id}-exact` });
  exact.setAttribute('aria-label', `${argument.name}, exact`);
  slider.addEventListener('input', () => {
    exact.value = slider.value;
    update(slider.valueAsNumber);
  });
  exact.addEventListener('input', () => {
    // An empty field is NaN, which the schedule refuses by name.
    update(exact.valueAsNumber);
    if (Number.isFinite(exact.valueAsNumber)) slider.value = exact.value;
  });
  row.append(label, slider, exact);
  return row;
}

export function panel(options: PanelOptions): Panel {
  const { choice, index, steps } = options;
  const element = make('fieldset');
  const top = make('div', { className: 'top' });
  const swatch = make('span', { className: 'swatch' });
  swatch.style.background = COLOURS[index]!;
  const select = make('select');
  select.setAttribute('aria-label', `Schedule ${index + 1}`);
  for (const [name, { title }] of Object.entries(SCHEDULES))
    select.add(new Option(title, name, false, name === choice.name));
  select.addEventListener('change', () => options.replace(initialChoice(select.value as Name)));
  top.append(swatch, select);
  if (options.removable) {
    const remove = make('button', { type: 'button', textContent: 'Remove' });
    remove.setAttribute('aria-label', `Remove schedule ${index + 1}`);
    remove.addEventListener('click', () => options.remove());
    top.append(remove);
  }
  let given = choice.arguments;
  const rows = argumentsOf(choice.name).map((argument) =>
    argumentRow(`a${index}-${argument.name}`, argument, given[argument.name]!, steps, (value) => {
      given = { ...given, [argument.name]: value };
      options.change({ ...choice, arguments: given });
    }),
  );
  const error = make('p', { className: 'error', hidden: true });
  error.setAttribute('role', 'alert');
  const compared = make('p', { className: 'compared', hidden: true });
  const text = make('pre', { tabIndex: 0 });
  text.setAttribute('role', 'group');
  text.setAttribute('aria-label', `Code of schedule ${index + 1}`);
  const button = make('button', { type: 'button', textContent: 'Copy the code' });
  button.addEventListener('click', () => options.copy(text.textContent ?? ''));
  element.append(make('legend', { textContent: `Schedule ${index + 1}` }), top, ...rows, error, compared, text, button);
  return {
    element,
    show(code, wrong, distance) {
      text.textContent = code;
      error.textContent = wrong;
      error.hidden = wrong === '';
      compared.textContent = distance;
      compared.hidden = distance === '';
    },
  };
}
