/** Bars as an SVG that is light or dark as its reader's system is. */

export interface Group {
  readonly title: string;
  /** `own`: this library's. */
  readonly rows: readonly { readonly label: string; readonly value: number; readonly own: boolean }[];
}

const WIDTH = 760;
const LEFT = 260;
const RIGHT = 60;
const ROW = 24;
const HEAD = 34;

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** Groups of bars one below the other, of one scale, the least of each group first. */
export function bars(groups: readonly Group[], show: (value: number) => string): string {
  const most = Math.max(...groups.flatMap(({ rows }) => rows.map(({ value }) => value)));
  let y = 12;
  const lines: string[] = [];
  for (const { title, rows } of groups) {
    lines.push(`  <text class="title" x="12" y="${y + 16}">${escaped(title)}</text>`);
    y += HEAD;
    for (const { label, value, own } of rows.toSorted((a, b) => a.value - b.value)) {
      const width = Math.max(2, ((WIDTH - LEFT - RIGHT) * value) / most).toFixed(1);
      const kind = own ? 'own' : 'other';
      lines.push(
        `  <text class="label ${kind}" x="${LEFT - 8}" y="${y + 15}">${escaped(label)}</text>`,
        `  <rect class="${kind}" x="${LEFT}" y="${y + 2}" width="${width}" height="${ROW - 6}" rx="2"/>`,
        `  <text class="value" x="${(LEFT + Number(width) + 6).toFixed(1)}" y="${y + 15}">${show(value)}</text>`,
      );
      y += ROW;
    }
    y += 14;
  }
  const told = groups.map(({ title, rows }) => {
    const least = rows.toSorted((a, b) => a.value - b.value).map(({ label, value }) => `${label} ${show(value)}`);
    return `${title}: ${least.join(', ')}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" role="img"
  aria-label="${escaped(told.join('. ')).replaceAll('"', '&quot;')}">
  <style>
    svg { color-scheme: light dark; background: #fff; }
    text { font-family: system-ui, sans-serif; font-size: 13px; fill: #1f2328; }
    .title { font-size: 14px; font-weight: 600; }
    .label { text-anchor: end; }
    text.own { font-weight: 600; }
    text.other { fill: #59636e; }
    rect.own { fill: #0969da; }
    rect.other { fill: #afb8c1; }
    @media (prefers-color-scheme: dark) {
      svg { background: #0d1117; }
      text { fill: #f0f6fc; }
      text.other { fill: #9198a1; }
      rect.own { fill: #4493f8; }
      rect.other { fill: #656c76; }
    }
  </style>
${lines.join('\n')}
</svg>
`;
}
