/**
 * A run of 300 MB, kept in the origin's private file system and in IndexedDB piece by piece
 * (large-run.test.ts).
 */
import { AdamW, Parameter } from 'tensorless';
import { type ByteSource, blobSource, readTrainingState, writeTrainingState } from 'tensorless/checkpoint';

const LENGTH = 25_000_000 / 4;

function make(fill: number) {
  const parameters = ['a', 'b', 'c', 'd'].map((name) => {
    return new Parameter(new Float32Array(LENGTH).fill(fill), [LENGTH / 50, 50], { name });
  });
  return { parameters, optimizer: new AdamW(parameters) };
}
type Run = ReturnType<typeof make>;

function trained(): Run {
  const run = make(1);
  for (const [i, parameter] of run.parameters.entries()) {
    parameter.grad = new Float32Array(LENGTH).fill(i + 1);
    run.optimizer.stepParameter(parameter);
    parameter.grad = null;
  }
  return run;
}

function same(a: Run, b: Run): boolean {
  const [x, y] = [a.optimizer.stateDict().state, b.optimizer.stateDict().state];
  return a.parameters.every((parameter, i) => {
    const other = b.parameters[i]!.data;
    const [p, q] = [x[i]!.exp_avg_sq, y[i]!.exp_avg_sq] as { data: Float32Array }[];
    return parameter.data.every((value, k) => value === other[k]) && p!.data.every((value, k) => value === q!.data[k]);
  });
}

async function privateFiles(run: Run): Promise<number> {
  const folder = await navigator.storage.getDirectory();
  const file = await folder.getFileHandle('run.safetensors', { create: true });
  const stream = await file.createWritable();
  const sink = { write: (bytes: Uint8Array) => stream.write(bytes as BufferSource) };
  await writeTrainingState({ ...run, extra: { kept: 'here' } }, sink, { snapshot: false });
  await stream.close();
  const blob = await file.getFile();
  const other = make(0);
  const extra = await readTrainingState<{ kept: string }>(blobSource(blob), other, { inPlace: true });
  if (extra.kept !== 'here' || !same(run, other)) throw new Error('the private file system gave another run');
  await folder.removeEntry('run.safetensors');
  return blob.size;
}

const asked = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function database(run: Run): Promise<number> {
  const opening = indexedDB.open('run', 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore('pieces');
  const db = await asked(opening);
  const starts: number[] = [];
  let size = 0;
  const sink = {
    async write(bytes: Uint8Array) {
      starts.push(size);
      // A copy: a clone of the view would take along all that it is a view of.
      const store = db.transaction('pieces', 'readwrite').objectStore('pieces');
      await asked(store.put(new Uint8Array(bytes), size));
      size += bytes.length;
    },
  };
  await writeTrainingState(run, sink, { snapshot: false });
  const source: ByteSource = {
    size,
    async read(offset, into) {
      let index = starts.findLastIndex((start) => start <= offset);
      for (let done = 0; done < into.length; index++) {
        const start = starts[index]!;
        const store = db.transaction('pieces').objectStore('pieces');
        const piece = (await asked(store.get(start))) as Uint8Array;
        const part = piece.subarray(offset + done - start).subarray(0, into.length - done);
        into.set(part, done);
        done += part.length;
      }
    },
  };
  const other = make(0);
  await readTrainingState(source, other, { inPlace: true });
  if (!same(run, other)) throw new Error('IndexedDB gave another run');
  db.close();
  return size;
}

Object.assign(globalThis, {
  async largeRun() {
    const run = trained();
    return { files: await privateFiles(run), database: await database(run) };
  },
});
