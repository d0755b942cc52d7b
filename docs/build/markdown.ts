/** Guides as HTML: formulas typeset, code coloured, tables that scroll in themselves. */
import { existsSync, statSync } from 'node:fs';
import { dirname, posix } from 'node:path';
import { transform } from 'esbuild';
import MarkdownIt from 'markdown-it';
import { createHighlighter, type Highlighter } from 'shiki';
import temml from 'temml';
import { type Guide, ROOT } from './guides.ts';
import { escaped, up } from './shell.ts';

export interface Heading {
  readonly level: number;
  readonly id: string;
  readonly text: string;
}

/** A guide's section, for the search: the text under one heading. */
export interface Section extends Heading {
  readonly body: string;
}

export interface Rendered {
  readonly html: string;
  readonly sections: readonly Section[];
  /** First sentences, for the description. */
  readonly lead: string;
  readonly runs: boolean;
  readonly formulas: boolean;
}

/** What a rendering meets on its way: files that the site has to hold. */
export interface Met {
  /** Pictures, by their path below the project's root. */
  readonly pictures: Set<string>;
  /** Files of the project that a guide links to. */
  readonly sources: Set<string>;
}

const LANGUAGES = ['ts', 'js', 'python', 'sh', 'json', 'html', 'http', 'css'];
const ALIASES: Readonly<Record<string, string>> = {
  typescript: 'ts',
  javascript: 'js',
  bash: 'sh',
  shell: 'sh',
  console: 'sh',
  jsonc: 'json',
  cts: 'ts',
  mjs: 'js',
};

/** What a snippet may import to be run in the page. */
const RUNNABLE = /^tensorless(\/(checkpoint|parallel|safetensors|simd|torch|webgpu))?$/;

let highlighter: Promise<Highlighter> | undefined;
const colours = (): Promise<Highlighter> =>
  (highlighter ??= createHighlighter({
    themes: ['github-light-default', 'github-dark-default'],
    langs: LANGUAGES,
  }));

/** Code in colour, for both schemes. */
export async function coloured(code: string, language: string): Promise<string> {
  const name = ALIASES[language] ?? language;
  const html = (await colours()).codeToHtml(code.trimEnd(), {
    lang: LANGUAGES.includes(name) ? name : 'text',
    themes: { light: 'github-light-default', dark: 'github-dark-default' },
    defaultColor: 'light-dark()',
    cssVariablePrefix: '--s-',
  });
  // One colour a token is enough, and comments have to be legible on grey.
  return html
    .replace(/background-color:[^;]+;/, '')
    .replace(/;--s-[a-z-]+:[^;"]+/g, '')
    .replaceAll('#6E7781', '#59636E')
    .replaceAll('#8B949E', '#9198A1');
}

/** The anchor that the usual host gives a heading. */
export const slug = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

/** A formula as MathML. */
export const formula = (tex: string, displayMode: boolean): string =>
  temml.renderToString(tex, { displayMode, throwOnError: true });

/** No line begins with the comma or the full stop that follows a formula. */
export const kept = (html: string): string =>
  html.replace(/(<math(?:(?!<math).)*?<\/math>)([.,;:)’]+)/gs, '<span class="nowrap">$1$2</span>');

/** `$...$` in a line, `$$...$$` over several: as the usual host reads them. */
function mathematics(md: MarkdownIt): void {
  md.inline.ruler.before('escape', 'formula', (state, silent) => {
    const match = /^\$(?!\s)((?:\\.|[^$\\])+?)(?<!\s)\$(?!\d)/.exec(state.src.slice(state.pos));
    if (match === null) return false;
    if (!silent) state.push('formula', 'math', 0).content = match[1]!;
    state.pos += match[0].length;
    return true;
  });
  md.block.ruler.before('fence', 'formulas', (state, start, end, silent) => {
    const line = (n: number): string => state.src.slice(state.bMarks[n]! + state.tShift[n]!, state.eMarks[n]);
    if (line(start).trim() !== '$$') return false;
    let last = start + 1;
    while (last < end && line(last).trim() !== '$$') last++;
    if (last >= end) return false;
    if (silent) return true;
    const token = state.push('formulas', 'math', 0);
    token.block = true;
    token.content = state.getLines(start + 1, last, state.tShift[start]!, false);
    state.line = last + 1;
    return true;
  });
  md.renderer.rules.formula = (tokens, i) => formula(tokens[i]!.content, false);
  md.renderer.rules.formulas = (tokens, i) =>
    `<div class="formula" tabindex="0" role="group" aria-label="Formula">${formula(tokens[i]!.content, true)}</div>\n`;
}

/** JavaScript of a snippet that a page can run; undefined where it needs more than this library. */
export async function runnable(code: string): Promise<string | undefined> {
  const imported = [...code.matchAll(/from '([^']+)'|import\('([^']+)'\)/g)].map(([, a, b]) => a ?? b!);
  if (imported.length === 0 || !imported.every((name) => RUNNABLE.test(name))) return undefined;
  if (!code.includes('console.log')) return undefined;
  return (await transform(code, { loader: 'ts', format: 'esm', target: 'es2022' })).code;
}

/** Where a link of a guide leads on the site; `met` learns of what it needs there. */
function target(guide: Guide, link: string, guides: readonly Guide[], met: Met): string {
  if (/^[a-z]+:/.test(link) || link.startsWith('#')) return link;
  const [path, hash] = link.split('#') as [string, string?];
  const file = posix.join(dirname(guide.source), path);
  const anchor = hash === undefined ? '' : `#${hash}`;
  if (file === 'README.md') return `${up(guide.url)}${anchor}`;
  const other = guides.find(({ source }) => source === file);
  if (other !== undefined) return `${up(guide.url)}${other.url}${anchor}`;
  if (!existsSync(ROOT + file)) throw new Error(`${guide.source} links to ${link}, which is not there.`);
  if (/\.(svg|png|gif)$/.test(file)) {
    met.pictures.add(file);
    return `${up(guide.url)}pictures/${file}`;
  }
  if (statSync(ROOT + file).isDirectory()) throw new Error(`${guide.source} links to the folder ${link}.`);
  met.sources.add(file);
  return `${up(guide.url)}source/${file}.html`;
}

/** One guide; `guides` are all, to which it may link. */
export async function rendered(guide: Guide, guides: readonly Guide[], met: Met): Promise<Rendered> {
  const md = new MarkdownIt({ html: true, linkify: false, typographer: false }).use(mathematics);
  const tokens = md.parse(guide.markdown, {});
  const sections: Section[] = [];
  const seen = new Map<string, number>();
  let [runs, formulas, lead, table] = [false, false, '', ''];
  for (const [i, token] of tokens.entries()) {
    const inline = tokens[i + 1];
    if (token.type === 'heading_open') {
      const text = inline!.children!.map(({ content }) => content).join('');
      const base = slug(inline!.content.replace(/[`*]/g, ''));
      const count = seen.get(base) ?? 0;
      seen.set(base, count + 1);
      const id = count === 0 ? base : `${base}-${count}`;
      token.attrSet('id', id);
      table = text;
      sections.push({ level: Number(token.tag.slice(1)), id, text, body: '' });
    } else if (token.type === 'inline') {
      for (const child of token.children ?? []) {
        if (child.type === 'formula') formulas = true;
        const link = child.attrGet('href');
        if (link !== null) child.attrSet('href', target(guide, link, guides, met));
        const source = child.attrGet('src');
        if (source !== null) {
          child.attrSet('src', target(guide, source, guides, met));
          child.attrSet('loading', 'lazy');
        }
      }
      const words = (token.children ?? []).map(({ type, content }) => (type === 'softbreak' ? ' ' : content)).join('');
      if (lead === '' && tokens[i - 1]?.type === 'paragraph_open') lead = words;
      const last = sections.at(-1);
      if (last !== undefined && tokens[i - 1]?.type !== 'heading_open')
        sections[sections.length - 1] = { ...last, body: `${last.body} ${words}`.trim() };
    } else if (token.type === 'formulas') formulas = true;
    else if (token.type === 'table_open') token.meta = table;
    else if (token.type === 'th_open' && inline!.content === '') {
      // A heading that says nothing is none.
      token.tag = 'td';
      tokens[i + 2]!.tag = 'td';
    } else if (token.type === 'fence') {
      const language = token.info.trim();
      const js = language === 'ts' ? await runnable(token.content) : undefined;
      if (js !== undefined) runs = true;
      token.meta = snippet(await coloured(token.content, language || 'text'), language, js);
      const last = sections.at(-1);
      if (last !== undefined)
        sections[sections.length - 1] = { ...last, body: `${last.body} ${token.content.replace(/\s+/g, ' ')}` };
    }
  }
  md.renderer.rules.fence = (all, i) => all[i]!.meta;
  md.renderer.rules.table_open = (all, i) =>
    `<div class="table" tabindex="0" role="group" aria-label="Table: ${escaped(all[i]!.meta)}"><table>`;
  md.renderer.rules.table_close = () => '</table></div>';
  md.renderer.rules.heading_open = (all, i) =>
    all[i]!.tag === 'h1' ? '<h1>' : `<${all[i]!.tag} id="${all[i]!.attrGet('id')}">`;
  md.renderer.rules.heading_close = (all, i) => {
    const id = all[i - 2]?.attrGet('id');
    const anchor = `<a class="anchor" href="#${id}" aria-label="Link to this section">#</a>`;
    return `${all[i]!.tag === 'h1' ? '' : anchor}</${all[i]!.tag}>\n`;
  };
  return {
    html: kept(md.renderer.render(tokens, md.options, {})),
    sections,
    lead: firstSentences(lead),
    runs,
    formulas,
  };
}

/** Coloured code with its buttons; `js` is what Run runs. */
export function snippet(html: string, language: string, js: string | undefined): string {
  const run =
    js === undefined
      ? ''
      : `<button type="button" class="run">Run</button><script type="text/plain">${js.replaceAll('</', '<\\/')}</script>`;
  const code = html.replace('<pre ', `<pre role="group" aria-label="${language || 'text'} code" `);
  return `<div class="snippet">${code}<div class="tools">${run}<button type="button" class="copy">Copy</button></div></div>\n`;
}

/** As many whole sentences as fit into 160 characters, at least one. */
function firstSentences(text: string): string {
  const sentences = text.match(/[^.:!?]+(?:[.:!?](?!\s|$)[^.:!?]*)*[.:!?]?/g) ?? [text];
  let out = '';
  for (const sentence of sentences) {
    if (out !== '' && (out + sentence).length > 160) break;
    out += sentence;
  }
  return out.trim().replace(/:$/, '.');
}
