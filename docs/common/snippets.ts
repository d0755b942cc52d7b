/** Runs the guides' snippets in the page, and copies them. */
import { printed } from './inspect.ts';

type Log = (...values: unknown[]) => void;
const consoles = new Map<string, Record<'log' | 'warn' | 'error' | 'info', Log>>();
Object.assign(globalThis, { snippetConsole: (id: string) => consoles.get(id) });

let runs = 0;

async function run(code: string, output: HTMLElement): Promise<void> {
  const id = `run-${runs++}`;
  const lines: string[] = [];
  const log: Log = (...values) => {
    lines.push(printed(values));
    output.textContent = lines.join('\n');
  };
  consoles.set(id, { log, warn: log, error: log, info: log });
  output.hidden = false;
  output.classList.remove('failed');
  output.textContent = '…';
  const text = `const console = globalThis.snippetConsole('${id}');\n${code}`;
  const url = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  try {
    await import(/* @vite-ignore */ url);
    if (lines.length === 0) output.textContent = '(nothing printed)';
  } catch (error) {
    output.classList.add('failed');
    output.textContent = [...lines, String(error)].join('\n');
  } finally {
    URL.revokeObjectURL(url);
  }
}

function flash(button: HTMLButtonElement, text: string): void {
  const was = button.textContent;
  button.textContent = text;
  setTimeout(() => (button.textContent = was), 1500);
}

export function enliven(snippet: HTMLElement): void {
  const code = snippet.querySelector('pre')!;
  const copy = snippet.querySelector<HTMLButtonElement>('.copy')!;
  copy.addEventListener('click', () => {
    navigator.clipboard.writeText(code.textContent ?? '').then(
      () => flash(copy, 'Copied'),
      () => flash(copy, 'Not allowed'),
    );
  });
  const button = snippet.querySelector<HTMLButtonElement>('.run');
  if (button === null) return;
  const output = document.createElement('pre');
  output.className = 'output';
  output.hidden = true;
  output.tabIndex = 0;
  output.setAttribute('role', 'status');
  output.setAttribute('aria-label', 'Output');
  snippet.append(output);
  const js = snippet.querySelector('script')!.textContent!.replaceAll('<\\/', '</');
  button.addEventListener('click', async () => {
    button.disabled = true;
    await run(js, output);
    button.disabled = false;
    button.textContent = 'Run again';
  });
}
