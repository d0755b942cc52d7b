import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const json = <T>(path: string): T => JSON.parse(readFileSync(`${root}${path}`, 'utf8')) as T;
interface Package {
  version: string;
  license: string;
  type: string;
  sideEffects: boolean;
  dependencies?: object;
  exports: Record<string, string | { types: string; default: string }>;
}
const npm = json<Package>('package.json');
const jsr = json<{ version: string; license: string; exports: Record<string, string> }>('jsr.json');
const subpaths = Object.keys(npm.exports).filter((path) => path !== './package.json');

describe('the package', () => {
  it('has no dependency, no side effects, and is ESM', () => {
    expect(npm.dependencies).toBeUndefined();
    expect(npm.sideEffects).toBe(false);
    expect(npm.type).toBe('module');
  });

  it('has the same version, license and modules on npm and JSR', () => {
    expect(jsr.version).toBe(npm.version);
    expect(jsr.license).toBe(npm.license);
    expect(Object.keys(jsr.exports)).toEqual(subpaths);
    for (const path of subpaths) {
      const name = path === '.' ? 'index' : path.slice(2);
      expect(jsr.exports[path]).toBe(`./src/${name}.ts`);
      expect(npm.exports[path]).toEqual({ types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` });
      expect(existsSync(`${root}src/${name}.ts`)).toBe(true);
    }
  });

  it('is documented: typedoc reads every module', () => {
    const { entryPoints } = json<{ entryPoints: string[] }>('typedoc.json');
    expect([...entryPoints].sort()).toEqual(
      Object.values(jsr.exports)
        .map((path) => path.slice(2))
        .sort(),
    );
  });

  it('has an entry for its version, or for what is to come, in the changelog', () => {
    expect(readFileSync(`${root}CHANGELOG.md`, 'utf8')).toMatch(
      new RegExp(`## \\[(Unreleased|${npm.version.replaceAll('.', '\\.')})\\]`),
    );
  });

  it('evaluates no text as code, anywhere', () => {
    for (const name of readdirSync(`${root}src`).filter((file) => file.endsWith('.ts'))) {
      expect(readFileSync(`${root}src/${name}`, 'utf8'), name).not.toMatch(/\beval\(|new Function\(|\bFunction\(/);
    }
  });
});
