/** The API's pages: typedoc's contents in this site's frame. */
import {
  Application,
  type DeclarationReflection,
  DefaultTheme,
  DefaultThemeRenderContext,
  JSX,
  PageEvent,
  type ProjectReflection,
  type Reflection,
  ReflectionKind,
  type RenderTemplate,
  type Router,
} from 'typedoc';
import { ROOT } from './guides.ts';
import type { Entry } from './search-index.ts';
import { escaped, FOOTER, head, header, NAME, up } from './shell.ts';

/** The import path of a module: `tensorless/simd`. */
const importPath = (module: Reflection): string => (module.name === 'index' ? NAME : `${NAME}/${module.name}`);

/** The modules, the main one first. */
const modules = (project: ProjectReflection): DeclarationReflection[] =>
  [...(project.children ?? [])].sort((a, b) => (importPath(a) < importPath(b) ? -1 : 1));

const moduleOf = (reflection: Reflection): Reflection | undefined => {
  let at: Reflection | undefined = reflection;
  while (at !== undefined && !at.kindOf(ReflectionKind.Module)) at = at.parent;
  return at;
};

const plain = (parts: readonly { text: string }[] | undefined): string =>
  (parts ?? [])
    .map(({ text }) => text)
    .join('')
    .replace(/^```[\s\S]*?^```$/gm, '')
    .replaceAll('`', '')
    .replace(/\s+/g, ' ')
    .trim();

const summary = (reflection: Reflection): string => {
  const own = plain(reflection.comment?.summary);
  if (own !== '') return own;
  const [signature] = (reflection as DeclarationReflection).signatures ?? [];
  return plain(signature?.comment?.summary);
};

class Context extends DefaultThemeRenderContext {
  override defaultLayout = (
    template: RenderTemplate<PageEvent<Reflection>>,
    page: PageEvent<Reflection>,
  ): JSX.Element => {
    const { model, project } = page;
    const url = `api/${page.url}`;
    const module = moduleOf(model);
    const title = model.isProject()
      ? 'API'
      : model === module
        ? importPath(module)
        : `${model.name}: ${module ? importPath(module) : NAME}`;
    const what = summary(model).slice(0, 200) || 'types, arguments, defaults and errors.';
    const description = `${title}: ${what}`;
    const raw = (html: string): JSX.Element => JSX.createElement(JSX.Raw, { html });
    const assets = ['style.css', 'highlight.css'].map(
      (name) => `<link rel="stylesheet" href="${up(page.url)}assets/${name}">`,
    );
    const lines = head({ url, title, description });
    const styled = lines.replace('<link rel="stylesheet"', `${assets.join('\n')}\n<link rel="stylesheet"`);
    return JSX.createElement(
      'html',
      { lang: 'en' },
      JSX.createElement('head', null, raw(styled)),
      JSX.createElement(
        'body',
        { class: 'api' },
        raw(header({ url, title, description })),
        JSX.createElement(
          'div',
          { class: 'columns' },
          JSX.createElement('div', { class: 'side' }, raw(this.#sidebar(project, model))),
          JSX.createElement(
            'main',
            { id: 'main', class: 'prose' },
            ...(model.isProject() ? [] : [this.header(page)]),
            model.isProject() ? raw(this.#front(project)) : template(page),
          ),
          model.isProject()
            ? JSX.createElement('div', { class: 'contents' })
            : JSX.createElement('nav', { class: 'contents', 'aria-label': 'On this page' }, this.pageNavigation(page)),
        ),
        raw(FOOTER),
      ),
    );
  };

  /** All modules, and what the current one exports. */
  #sidebar(project: ProjectReflection, model: Reflection): string {
    const current = moduleOf(model);
    const link = (to: Reflection, text: string): string =>
      `<a href="${this.urlTo(to)}"${to === model ? ' aria-current="page"' : ''}>${escaped(text)}</a>`;
    const lists = modules(project).map((module) => {
      const own = (module.children ?? []).map((child) => `<li>${link(child, child.name)}</li>`);
      return `<li>${link(module, importPath(module))}${module === current ? `<ul>${own.join('')}</ul>` : ''}</li>`;
    });
    return `<button type="button" class="sidebar-open" aria-expanded="false" aria-controls="sidebar">API</button>
<nav id="sidebar" class="sidebar" aria-label="API"><h2>Imports</h2><ul>${lists.join('')}</ul></nav>`;
  }

  /** The first page: every import path with what it is for. */
  #front(project: ProjectReflection): string {
    const rows = modules(project).map((module) => {
      const names = (module.children ?? []).filter(
        ({ kind }) => kind !== ReflectionKind.Interface && kind !== ReflectionKind.TypeAlias,
      );
      const links = names.map((child) => `<a href="${this.urlTo(child)}"><code>${escaped(child.name)}</code></a>`);
      return `<h2 id="${module.name}"><a href="${this.urlTo(module)}"><code>${importPath(module)}</code></a></h2>
${this.markdown(module.comment?.getShortSummary(true) ?? [])}<p class="names">${links.join(' ')}</p>`;
    });
    return `<h1>API</h1><p>Every import path, and what it exports. Types stand on the pages of their modules.</p>${rows.join('')}`;
  }
}

class Theme extends DefaultTheme {
  override getRenderContext(page: PageEvent<Reflection>): DefaultThemeRenderContext {
    return new Context(this.router, this, page, this.application.options);
  }
}

/** Headings without a missing level, and nothing to press inside of what is pressed. */
export function mended(html: string): string {
  let previous = 1;
  const open: number[] = [];
  return html
    .replace(/<summary\b.*?<\/summary>/gs, (summary) => summary.replace(/<a\b[^>]*tsd-anchor-icon.*?<\/a>/gs, ''))
    .replace(/<(\/?)h([1-6])\b/g, (_, slash: string, level: string) => {
      if (slash !== '') return `</h${open.pop()}`;
      previous = Math.min(Number(level), previous + 1);
      open.push(previous);
      return `<h${previous}`;
    });
}

/** What the search finds in the API. */
function entries(project: ProjectReflection, router: Router): Entry[] {
  const { Class, Function: Func, Interface, TypeAlias, Variable, Method, Accessor, Property } = ReflectionKind;
  return project
    .getReflectionsByKind(Class | Func | Interface | TypeAlias | Variable | Method | Accessor | Property)
    .filter((reflection) => router.hasUrl(reflection) && isNamed(reflection))
    .map((reflection) => {
      const inside = reflection.parent!.kindOf(ReflectionKind.Module);
      const kind = ReflectionKind.singularString(reflection.kind).toLowerCase();
      return {
        kind: 'api' as const,
        title: inside ? reflection.name : `${reflection.parent!.name}.${reflection.name}`,
        section: `${kind} of ${importPath(moduleOf(reflection)!)}`,
        url: `api/${router.getFullUrl(reflection)}`,
        text: summary(reflection),
      };
    });
}

/** Writes the API; returns what the search finds in it. */
export async function writeApi(site: string): Promise<Entry[]> {
  const options = { options: `${ROOT}typedoc.json`, theme: 'site', readme: 'none', includeHierarchySummary: false };
  const app = await Application.bootstrapWithPlugins(options);
  app.renderer.defineTheme('site', Theme);
  const project = await app.convert();
  if (project === undefined) throw new Error('typedoc found errors; see above');
  let found: Entry[] | undefined;
  app.renderer.on(PageEvent.END, (page) => {
    // The addresses are known while pages are written, and no longer.
    found ??= entries(project, app.renderer.router!);
    page.contents = mended(page.contents ?? '');
  });
  await app.generateDocs(project, `${site}api`);
  if (app.logger.hasErrors() || found === undefined) throw new Error('typedoc found errors; see above');
  return found;
}

/** Exports and their own members; not what they inherit, nor fields of nested object types. */
function isNamed(reflection: Reflection): boolean {
  const { parent } = reflection;
  if (parent === undefined || moduleOf(reflection) === undefined) return false;
  if (parent.kindOf(ReflectionKind.Module)) return true;
  return (
    parent.kindOf(ReflectionKind.Class | ReflectionKind.Interface) &&
    !(reflection as DeclarationReflection).inheritedFrom
  );
}
