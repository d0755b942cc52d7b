/** The article's experiments: memory to count, a gradient to drag, a clip to watch. */
import { MODELS, stateNumbers } from '../../bench/t5.ts';
import { COLS, Experiment, likeIt, type Matrix, type Outlook, PATTERNS, ROWS } from './experiment.ts';

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const range = (id: string): HTMLInputElement => element<HTMLInputElement>(id);

const count = (n: number): string => n.toLocaleString('en');
const shown = (value: number): string =>
  value === 0 ? '0' : Math.abs(value) < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
function bytes(n: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  let [value, unit] = [n, 0];
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${value >= 100 || unit === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

function bar(label: string, part: number, text: string, past = false): HTMLElement {
  const row = document.createElement('div');
  row.className = past ? 'bar-row past' : 'bar-row';
  const [name, place, fill, said] = ['span', 'span', 'i', 'span'].map((tag) => document.createElement(tag));
  name!.textContent = label;
  said!.textContent = text;
  fill!.style.width = `${Math.max(0, Math.min(1, part)) * 100}%`;
  place!.append(fill!);
  row.append(name!, place!, said!);
  return row;
}

/** 1 to 16,384 in 29 steps. */
const side = (position: number): number => Math.round(2 ** (position / 2));

function showMemory(): void {
  const [rows, cols] = [side(range('rows').valueAsNumber), side(range('cols').valueAsNumber)];
  element('rows-out').textContent = count(rows);
  element('cols-out').textContent = count(cols);
  const [adamw, adafactor] = [2 * rows * cols, rows + cols];
  const most = Math.max(adamw, adafactor);
  element('bars').replaceChildren(
    bar('AdamW', adamw / most, bytes(4 * adamw)),
    bar('Adafactor', adafactor / most, bytes(4 * adafactor)),
  );
  element('memory-said').textContent =
    `${count(rows)} × ${count(cols)} weights: AdamW keeps ${count(adamw)} numbers, Adafactor ${count(adafactor)}, ` +
    `${shown(adamw / adafactor)} times ${adamw >= adafactor ? 'fewer' : 'as many'}.`;
}

function showModels(): void {
  element('models').replaceChildren(
    ...Object.entries(MODELS).map(([name, config]) => {
      const { weights, adamw, adafactor } = stateNumbers(config);
      const row = document.createElement('tr');
      const texts = [name, `${(weights / 1e6).toFixed(0)} M`, bytes(4 * adamw), bytes(4 * adafactor)];
      for (const text of [...texts, count(Math.round(adamw / adafactor))])
        row.append(Object.assign(document.createElement('td'), { textContent: text }));
      return row;
    }),
  );
}

let experiment = new Experiment();
let gradient: Matrix = Object.values(PATTERNS)[0]!();
let selected = 0;

/** Blue below zero, orange above; violet for what has no sign. */
function paint(cell: HTMLElement, value: number, most: number, sign: boolean): void {
  const part = most === 0 ? 0 : Math.sqrt(Math.min(1, Math.abs(value) / most));
  const colour = sign ? (value < 0 ? 'var(--accent)' : 'var(--orange)') : 'var(--violet)';
  cell.style.background = `color-mix(in oklab, ${colour} ${(part * 100).toFixed(1)}%, var(--paper))`;
}

function makeGrid(id: string, rows: number, cols: number): HTMLElement[] {
  const grid = element(id);
  grid.style.setProperty('--cols', String(cols));
  const cells = Array.from({ length: rows * cols }, () => document.createElement('div'));
  grid.replaceChildren(...cells);
  return cells;
}

const cells = {
  g: makeGrid('g', ROWS, COLS),
  r: makeGrid('r', ROWS, 1),
  c: makeGrid('c', 1, COLS),
  v: makeGrid('v', ROWS, COLS),
  exact: makeGrid('exact', ROWS, COLS),
  u: makeGrid('u', ROWS, COLS),
};

const most = (values: Matrix): number => values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
const threshold = (): number => range('threshold').valueAsNumber;
const scaled = (): Matrix => gradient.map((value) => value * 10 ** range('scale').valueAsNumber);

function showCell(outlook: Outlook): void {
  const [row, col] = [Math.floor(selected / COLS), selected % COLS];
  const at = (values: Matrix): string => shown(values[selected]!);
  element('cell').textContent =
    `Row ${row + 1}, column ${col + 1}: G ${at(scaled())}, R ${shown(outlook.r[row]!)}, C ${shown(outlook.c[col]!)}, ` +
    `V̂ ${at(outlook.estimate)}, V ${at(outlook.exact)}, U ${at(outlook.update)}`;
  for (const grid of [cells.g, cells.v, cells.exact, cells.u])
    for (const [i, cell] of grid.entries()) cell.classList.toggle('here', i === selected);
}

function showClip({ rms, clipped }: Outlook): void {
  const d = threshold();
  element('scale-out').textContent = shown(10 ** range('scale').valueAsNumber);
  element('threshold-out').textContent = d.toFixed(1);
  const full = Math.max(rms, d, clipped) * 1.05;
  element('rms').replaceChildren(
    bar('Before', rms / full, shown(rms), rms > d),
    bar('Threshold', d / full, d.toFixed(1)),
    bar('After', clipped / full, shown(clipped)),
  );
  element('clip-said').textContent =
    rms > d * (1 + 1e-9)
      ? `The update is divided by ${shown(rms / d)}.`
      : 'The update is below the threshold: the clip leaves it as it is.';
}

function show(): void {
  const now = scaled();
  const outlook = experiment.look(now, threshold());
  const { r, c, estimate, exact, update, beta } = outlook;
  const largest = Math.max(most(estimate), most(exact));
  const rows: readonly (readonly [HTMLElement[], Matrix, number, boolean])[] = [
    [cells.g, gradient, Math.max(1, most(gradient)), true],
    [cells.r, r, most(r), false],
    [cells.c, c, most(c), false],
    [cells.v, estimate, largest, false],
    [cells.exact, exact, largest, false],
    [cells.u, update, Math.max(2, most(update)), true],
  ];
  for (const [grid, values, full, sign] of rows)
    for (const [i, cell] of grid.entries()) paint(cell, values[i]!, full, sign);
  for (const [i, cell] of cells.g.entries()) {
    cell.setAttribute('aria-valuenow', String(Number(gradient[i]!.toFixed(2))));
  }
  const total = exact.reduce((sum, value) => sum + value, 0);
  const off = exact.reduce((sum, value, i) => sum + Math.abs(value - estimate[i]!), 0) / (total || 1);
  element('fit').textContent =
    off < 1e-6
      ? 'V̂ is V, exactly.'
      : `V̂ misplaces ${(off * 50).toFixed(off < 0.02 ? 2 : 1)} % of V; its sums are right.`;
  element('moment').textContent =
    `Step ${experiment.steps + 1}: the past counts for ${(beta * 100).toFixed(1)} %. ` +
    `Kept for ${ROWS} × ${COLS} weights: ${ROWS + COLS} numbers; AdamW keeps ${2 * ROWS * COLS}.`;
  showCell(outlook);
  showClip(outlook);
}

function set(i: number, value: number): void {
  gradient = gradient.slice();
  gradient[i] = Math.max(-1, Math.min(1, value));
  show();
}

function select(i: number, focus = false): void {
  cells.g[selected]!.tabIndex = -1;
  selected = i;
  cells.g[i]!.tabIndex = 0;
  if (focus) cells.g[i]!.focus({ preventScroll: true });
}

function makeDraggable(): void {
  const grid = element('g');
  grid.setAttribute('role', 'group');
  grid.setAttribute('aria-label', 'Gradient: arrow keys move, plus and minus change a cell');
  for (const [i, cell] of cells.g.entries()) {
    cell.setAttribute('role', 'slider');
    cell.setAttribute('aria-label', `Row ${Math.floor(i / COLS) + 1}, column ${(i % COLS) + 1}`);
    cell.setAttribute('aria-valuemin', '-1');
    cell.setAttribute('aria-valuemax', '1');
    cell.tabIndex = i === 0 ? 0 : -1;
    cell.addEventListener('pointerdown', (event) => {
      event.preventDefault();
      select(i, true);
      cell.setPointerCapture(event.pointerId);
      const [from, value] = [event.clientY, gradient[i]!];
      const move = ({ clientY }: PointerEvent): void => set(i, value + (from - clientY) / 80);
      cell.addEventListener('pointermove', move);
      cell.addEventListener('pointerup', () => cell.removeEventListener('pointermove', move), { once: true });
      show();
    });
    cell.addEventListener('keydown', (event) => {
      const moves: Readonly<Record<string, number>> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -COLS, ArrowDown: COLS };
      const change: Readonly<Record<string, number>> = { '+': 0.1, '=': 0.1, PageUp: 0.1, '-': -0.1, PageDown: -0.1 };
      const to = i + (moves[event.key] ?? 0);
      if (event.key in change) set(i, gradient[i]! + change[event.key]!);
      else if (event.key in moves && to >= 0 && to < ROWS * COLS) {
        select(to, true);
        show();
      } else return;
      event.preventDefault();
    });
  }
  for (const others of [cells.v, cells.exact, cells.u])
    for (const [i, cell] of others.entries())
      cell.addEventListener('pointerenter', () => {
        select(i);
        show();
      });
}

for (const [name, make] of Object.entries(PATTERNS)) {
  const button = Object.assign(document.createElement('button'), { type: 'button', textContent: name });
  button.addEventListener('click', () => {
    gradient = make();
    show();
  });
  element('patterns').append(button);
}
element('step').addEventListener('click', () => {
  experiment.take(scaled());
  show();
});
element('many').addEventListener('click', () => {
  for (let i = 0; i < 10; i++) experiment.take(likeIt(scaled(), experiment.steps));
  show();
});
element('reset').addEventListener('click', () => {
  experiment = new Experiment();
  show();
});
for (const id of ['rows', 'cols']) range(id).addEventListener('input', showMemory);
for (const id of ['scale', 'threshold']) range(id).addEventListener('input', show);
range('rows').value = '20';
range('cols').value = '20';
makeDraggable();
showMemory();
showModels();
show();
