/** One run in IndexedDB: the bytes of its checkpoint, and what the page shows beside. */
import type { Cut } from './messages.ts';
import type { Sample } from './words.ts';

export interface Stored {
  readonly bytes: Uint8Array;
  readonly samples: readonly Sample[];
  readonly cuts: readonly Cut[];
  /** A paused run stays paused when the page is opened again. */
  readonly paused: boolean;
}

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open('tensorless-demo', 2);
    request.onupgradeneeded = () => {
      if (request.result.objectStoreNames.contains('runs')) request.result.deleteObjectStore('runs');
      request.result.createObjectStore('runs');
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function transact<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction('runs', mode, { durability: 'strict' });
      const request = work(transaction.objectStore('runs'));
      // The request's success is not yet the transaction's: only then is it stored.
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

export async function save(run: Stored): Promise<void> {
  await transact('readwrite', (store) => store.put(run, 'run'));
}

export async function load(): Promise<Stored | undefined> {
  return transact('readonly', (store) => store.get('run') as IDBRequest<Stored | undefined>);
}
