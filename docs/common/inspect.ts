/** Values as Node's console shows them, as far as the guides' snippets go. */

const WIDTH = 76;

function entries(value: object): [string, string][] {
  return Object.entries(value).map(([key, part]) => [
    /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key) ? key : `'${key}'`,
    inspect(part),
  ]);
}

const wrapped = (open: string, parts: readonly string[], close: string): string => {
  if (parts.length === 0) return open + close;
  const line = `${open} ${parts.join(', ')} ${close}`;
  if (line.length <= WIDTH && !line.includes('\n')) return line;
  return `${open}\n  ${parts.map((part) => part.replaceAll('\n', '\n  ')).join(',\n  ')}\n${close}`;
};

/** One value inside others: strings are quoted. */
export function inspect(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'bigint') return `${value}n`;
  if (Object.is(value, -0)) return '-0';
  if (typeof value === 'function') return `[Function: ${value.name || '(anonymous)'}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  if (Array.isArray(value)) return wrapped('[', value.map(inspect), ']');
  const name: string = value.constructor?.name ?? 'Object';
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    const list = value as unknown as ArrayLike<number | bigint>;
    const shown = Array.from(list as ArrayLike<unknown>)
      .slice(0, 100)
      .map(inspect);
    if (list.length > 100) shown.push(`... ${list.length - 100} more items`);
    return wrapped(`${name}(${list.length}) [`, shown, ']');
  }
  if (value instanceof Map)
    return wrapped(
      `Map(${value.size}) {`,
      [...value].map(([key, part]) => `${inspect(key)} => ${inspect(part)}`),
      '}',
    );
  const parts = entries(value).map(([key, part]) => `${key}: ${part}`);
  return wrapped(name === 'Object' ? '{' : `${name} {`, parts, '}');
}

/** What `console.log(...values)` prints. */
export const printed = (values: readonly unknown[]): string =>
  values.map((value) => (typeof value === 'string' ? value : inspect(value))).join(' ');
