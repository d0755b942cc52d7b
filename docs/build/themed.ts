/**
 * Pictures for light and dark pages: the fixed colours of a drawn SVG become variables that follow
 * the reader's colour scheme, on the site and on any host that shows the file.
 */

/** What is drawn on white, and the same on black. */
const PAIRS: readonly (readonly [name: string, light: string, dark: string])[] = [
  ['paper', '#ffffff', '#0f1318'],
  ['ink', '#1f2328', '#e6eaf0'],
  ['blue', '#0969da', '#58a6ff'],
  ['orange', '#bc4c00', '#f0883e'],
  ['green', '#1a7f37', '#3fb950'],
  ['violet', '#8250df', '#b083f0'],
  ['red', '#cf222e', '#ff7b72'],
  ['grey', '#59636e', '#9198a1'],
];

/** An SVG with the colours above as variables; one that follows the scheme already stays as it is. */
export function themed(svg: string): string {
  if (svg.includes('prefers-color-scheme')) return svg;
  const used = PAIRS.filter(([, light]) => svg.includes(light));
  const values = (index: 1 | 2): string => used.map((pair) => `--${pair[0]}:${pair[index]}`).join(';');
  const style = `<style>svg{${values(1)}}@media(prefers-color-scheme:dark){svg{${values(2)}}}</style>`;
  const body = used.reduce((text, [name, light]) => text.replaceAll(light, `var(--${name})`), svg);
  return body.replaceAll('--plot-background: white', '--plot-background: transparent').replace(/>/, `>\n${style}`);
}
