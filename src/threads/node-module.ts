interface NodeLike {
  process?: { versions?: { node?: string }; getBuiltinModule?: (name: string) => unknown };
}

/**
 * A module of Node's, which Deno and Bun have too; undefined elsewhere. Not by `import`, which
 * bundlers would follow or warn of.
 */
export function nodeModule<T>(name: 'os' | 'worker_threads'): T | undefined {
  const { process } = globalThis as NodeLike;
  if (process?.versions?.node === undefined) return undefined;
  if (process.getBuiltinModule === undefined) {
    throw new Error(`parallelKernels: threads need Node 20.16 or later, this is ${process.versions.node}`);
  }
  return process.getBuiltinModule(`node:${name}`) as T;
}
