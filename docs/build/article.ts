/** The formulas of docs/why-adafactor/index.html. */
import { formula } from './markdown.ts';

const INLINE: Readonly<Record<string, string>> = {
  'tex-sqrt-v': '\\sqrt{V}',
  'tex-v': 'V',
  'tex-g': 'G',
  'tex-g2': 'G^2',
  'tex-r': 'R',
  'tex-c': 'C',
  'tex-vhat': '\\hat V',
  'tex-d': 'd',
  'tex-u-def': 'U = G / \\sqrt{\\hat V}',
  'tex-beta': '\\beta_{2t} = 1 - t^{-0.8}',
};

const DISPLAYED: Readonly<Record<string, string>> = {
  'formula-v': '\\hat V_{ij} = \\frac{R_i \\, C_j}{\\operatorname{mean}(R)}',
  'formula-u': 'U \\leftarrow \\frac{U}{\\max\\!\\left(1,\\; \\operatorname{RMS}(U) / d\\right)}',
};

export const article = (): Record<string, string> => ({
  ...Object.fromEntries(Object.entries(INLINE).map(([name, tex]) => [name, formula(tex, false)])),
  ...Object.fromEntries(
    Object.entries(DISPLAYED).map(([name, tex]) => [name, `<div class="formula">${formula(tex, true)}</div>`]),
  ),
});
