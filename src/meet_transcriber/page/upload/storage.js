/* Uploads and recordings in progress, stored in IndexedDB so that they survive the tab. */

const NAME = "meet-transcriber";

/** @type {Promise<IDBDatabase>|null} */
let opened = null;

function open() {
  opened ??= new Promise((done, failed) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("uploads", { keyPath: "id" });
      request.result.createObjectStore("recordings", { keyPath: "id" });
      request.result.createObjectStore("chunks", { autoIncrement: true }).createIndex("of", "of");
    };
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
  return opened;
}

async function asked(store, mode, ask) {
  const transaction = (await open()).transaction(store, mode);
  const request = ask(transaction.objectStore(store));
  return new Promise((done, failed) => {
    transaction.oncomplete = () => done(request.result);
    transaction.onerror = transaction.onabort = () => failed(transaction.error);
  });
}

/** @param {"uploads"|"recordings"} store @returns {Promise<any[]>} */
export const all = (store) => asked(store, "readonly", (each) => each.getAll());

/** @param {"uploads"|"recordings"} store @param {string} id @returns {Promise<any>} undefined if there is none. */
export const get = (store, id) => asked(store, "readonly", (each) => each.get(id));

/** @param {"uploads"|"recordings"} store @param {{id: string}} value */
export const put = (store, value) => asked(store, "readwrite", (each) => each.put(value));

/** @param {"uploads"|"recordings"} store @param {string} id */
export const remove = (store, id) => asked(store, "readwrite", (each) => each.delete(id));

/** @param {string} recording @param {Blob} data Its next second. */
export const addChunk = (recording, data) => asked("chunks", "readwrite", (each) => each.add({ of: recording, data }));

/** @param {string} recording @returns {Promise<Blob[]>} */
export async function chunks(recording) {
  const found = await asked("chunks", "readonly", (each) => each.index("of").getAll(recording));
  return found.map((each) => each.data);
}

/** @param {string} recording */
export async function removeRecording(recording) {
  const keys = await asked("chunks", "readonly", (each) => each.index("of").getAllKeys(recording));
  for (const key of keys) await asked("chunks", "readwrite", (each) => each.delete(key));
  await remove("recordings", recording);
}

/**
 * Run something in one tab at a time. Pages from plain HTTP have no locks, so there it just runs.
 * @param {string} name
 * @param {() => Promise<void>} act
 * @returns {Promise<boolean>} Whether this tab ran it.
 */
export async function withLock(name, act) {
  if (!navigator.locks) return act().then(() => true);
  return navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
    if (lock) await act();
    return lock !== null;
  });
}

/** @returns {string} A unique id. */
export function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
