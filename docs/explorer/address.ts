/** The explorer's whole state, as its address has it: to be shared and reloaded. */
import { type Choice, initialChoice, type Name, SCHEDULES } from './schedules.ts';

export interface State {
  steps: number;
  lr: number;
  log: boolean;
  curves: Choice[];
}

export const MOST_STEPS = 20_000;
export const fitsSteps = (steps: number): boolean => Number.isInteger(steps) && steps >= 2 && steps <= MOST_STEPS;
export const fitsRate = (lr: number): boolean => Number.isFinite(lr) && lr > 0;

export function readAddress(mostCurves: number): State {
  const state: State = { steps: 1000, lr: 1e-3, log: false, curves: [] };
  const query = new URLSearchParams(location.hash.slice(1));
  const steps = Number(query.get('steps'));
  if (fitsSteps(steps)) state.steps = steps;
  const lr = Number(query.get('lr'));
  if (fitsRate(lr)) state.lr = lr;
  state.log = query.get('log') === '1';
  for (const text of query.getAll('s').slice(0, mostCurves)) {
    const [name, ...pairs] = text.split(',');
    if (name === undefined || !Object.hasOwn(SCHEDULES, name)) continue;
    const choice = initialChoice(name as Name);
    const given: Record<string, number | string> = { ...choice.arguments };
    for (const pair of pairs) {
      const [key, value] = pair.split(':');
      if (key === undefined || value === undefined || !Object.hasOwn(given, key)) continue;
      given[key] = typeof given[key] === 'number' ? Number(value) : value;
    }
    state.curves.push({ ...choice, arguments: given });
  }
  if (state.curves.length === 0) state.curves.push(initialChoice('linear'), initialChoice('cosine'));
  return state;
}

export function writeAddress({ steps, lr, log, curves }: State): void {
  const query = new URLSearchParams({ steps: String(steps), lr: String(lr), ...(log && { log: '1' }) });
  for (const { name, arguments: given } of curves) {
    query.append('s', [name, ...Object.entries(given).map(([key, value]) => `${key}:${value}`)].join(','));
  }
  history.replaceState(null, '', `#${query}`);
}
