/** One run in IndexedDB: the bytes of its checkpoint. */

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open('tensorless-demo', 1);
    request.onupgradeneeded = () => request.result.createObjectStore('runs');
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

export async function save(bytes: Uint8Array): Promise<void> {
  await transact('readwrite', (store) => store.put(bytes, 'run'));
}

export async function load(): Promise<Uint8Array | undefined> {
  return transact('readonly', (store) => store.get('run') as IDBRequest<Uint8Array | undefined>);
}
