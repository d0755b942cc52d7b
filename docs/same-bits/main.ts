/** The table of hashes, filled as the worker finds them. */
import { recorded } from 'virtual:recorded';
import { CASES, keyOf, SIZES } from './trajectory.ts';
import type { Column, Said } from './worker.ts';

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const again = element<HTMLButtonElement>('again');
const short = (hash: string): string => `${hash.slice(0, 10)}…`;

let names: readonly Column[] = [];
let [equal, done] = [0, 0];

function cell(text: string, title = ''): HTMLTableCellElement {
  const td = document.createElement('td');
  td.textContent = text;
  td.title = title;
  return td;
}

function heading(text: string, scope: string): HTMLTableCellElement {
  const th = document.createElement('th');
  th.scope = scope;
  th.textContent = text;
  return th;
}

function makeTable(): void {
  const head = element('head');
  while (head.children.length > 4) head.lastChild!.remove();
  head.append(...names.map(({ title }) => heading(`This browser, ${title}`, 'col')));
  element('rows').replaceChildren(
    ...CASES.map((one) => {
      const key = keyOf(one);
      const row = document.createElement('tr');
      const hash = recorded.bits[key]!;
      const { steps, shapes } = SIZES[one.size];
      const what = `${shapes.map(([, shape]) => shape.join('×')).join(', ')}; ${steps.toLocaleString('en')} steps`;
      row.append(heading(one.optimizer, 'row'), cell(one.format), cell(what), cell(short(hash), hash));
      for (const { name, keys } of names) {
        const td = keys.includes(key) ? cell('…') : cell('–', 'not compared here');
        td.id = `${key}-${name}`;
        row.append(td);
      }
      return row;
    }),
  );
}

function total(): void {
  const all = names.reduce((sum, { keys }) => sum + keys.length, 0);
  const off = done - equal;
  element('total').className = off > 0 ? 'differs' : equal === all ? 'equal' : '';
  element('total').textContent =
    off > 0
      ? `${off} of ${done} hashes differ from Node’s.`
      : equal === all
        ? `✓ All ${all} hashes are equal to Node’s.`
        : `${equal} of ${all} hashes, all equal so far.`;
}

const handlers: { [K in Said['is']]: (said: Extract<Said, { is: K }>) => void } = {
  engines(said) {
    ({ names } = said);
    element('missing').textContent = said.missing;
    makeTable();
    total();
  },
  hash({ key, engine, hash, milliseconds }) {
    const td = element(`${key}-${engine}`);
    const same = hash === recorded.bits[key];
    done++;
    if (same) equal++;
    td.className = same ? 'equal' : 'differs';
    td.title = hash;
    const time = document.createElement('small');
    time.textContent = ` ${milliseconds.toFixed(0)} ms`;
    td.replaceChildren(`${same ? '✓' : '✗'} ${short(hash)}`, time);
    total();
  },
  done() {
    again.disabled = false;
  },
  failed({ message }) {
    element('error').textContent = message;
    element('error').hidden = false;
    again.disabled = false;
  },
};

function run(): void {
  [equal, done] = [0, 0];
  again.disabled = true;
  element('error').hidden = true;
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  worker.addEventListener('message', ({ data }: MessageEvent<Said>) => {
    (handlers[data.is] as (said: Said) => void)(data);
    if (data.is === 'done') worker.terminate();
  });
}

element('runtime').textContent = recorded.runtime;
element('node').textContent = recorded.runtime;
again.addEventListener('click', run);
run();
