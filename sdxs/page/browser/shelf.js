// Where the strip of a tab is kept: in the browser's own database, so that it outlives a reload and a restart.
//
// Each tab has a strip of its own; a new tab takes over the one whose tab was closed last. A lock held as
// long as the tab is open says which are closed; where a browser has no locks (a page without https), a
// tab knows its strip by its own storage alone. Knows nothing of pages or of what is in an entry, but for
// its `key`, a number that grows. Whoever calls deals with a storage that is forbidden or full.

window.sdxsShelf = (() => {
  const NAME = "sdxs";
  const CLOSED = 6; // strips of closed tabs that are kept, at most
  const OWN_MS = 300; // for the lock of a page that is just being left

  const locks = window.navigator?.locks;

  // The tab's own storage, which a browser may forbid, and which may be full.
  const tab = {
    get(name) {
      try {
        return JSON.parse(window.sessionStorage.getItem(name));
      } catch {
        return null;
      }
    },
    set(name, value) {
      try {
        window.sessionStorage.setItem(name, JSON.stringify(value));
        return true;
      } catch {
        return false;
      }
    },
  };
  const lockOf = (id) => `sdxs strip ${id}`;
  const picturesOf = (id) => window.IDBKeyRange.bound([id], [id, []]);

  const result = (request) =>
    new Promise((done, failed) => {
      request.onsuccess = () => done(request.result);
      request.onerror = () => failed(request.error);
    });
  const complete = (transaction) =>
    new Promise((done, failed) => {
      transaction.oncomplete = done;
      transaction.onabort = () => failed(transaction.error);
    });

  function database() {
    const request = window.indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("strips", { keyPath: "id" });
      request.result.createObjectStore("pictures", { keyPath: ["strip", "key"] });
    };
    return result(request);
  }

  // Whether a strip is this tab's from here on.
  function taken(id, options) {
    if (!locks) return true;
    return new Promise((done) => {
      const hold = (lock) => {
        done(Boolean(lock));
        return lock && new Promise(() => {}); // until the tab is closed
      };
      locks.request(lockOf(id), options, hold).catch(() => done(false));
    });
  }

  // Those of these strips whose tabs are closed, as far as that is known; the newest first.
  async function closed(strips) {
    if (!locks) return [];
    const held = new Set((await locks.query()).held.map(({ name }) => name));
    return strips.filter(({ id }) => !held.has(lockOf(id))).sort((one, other) => other.used - one.used);
  }

  // {id, own}: the strip of this tab; own: that it had before a reload.
  async function claim(scope, strips) {
    const name = `sdxs strip ${scope}`;
    let id = tab.get(name);
    const own = Boolean(id) && (await taken(id, { signal: AbortSignal.timeout(OWN_MS) })); // else the tab is a copy
    if (!own) {
      id = null;
      for (const strip of await closed(strips.filter((strip) => strip.scope === scope)))
        if (!id && (await taken(strip.id, { ifAvailable: true }))) id = strip.id;
      id ??= Array.from(window.crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("-");
      await taken(id, { ifAvailable: true });
    }
    tab.set(name, id);
    return { id, own };
  }

  const unique = (entries) => [...new Map(entries.map((entry) => [entry.key, entry])).values()].sort((one, other) => one.key - other.key);

  // The strip of this tab, of what is shown by such a page: `entries`, the oldest first; `state`, what was
  // saved with them by this tab, or {}; and how to change it.
  async function open(scope) {
    const base = await database();
    const strips = await result(base.transaction("strips").objectStore("strips").getAll());
    const { id, own } = await claim(scope, strips);
    const found = await result(base.transaction("pictures").objectStore("pictures").getAll(picturesOf(id)));
    let written = new Set(found.map(({ key }) => key));
    const stored = new Set(written); // for certain

    // A page that is left may not see its last transaction through: what that wrote is in the tab, too.
    const lastly = `sdxs strip ${id} at last`;
    const left = (own && tab.get(lastly)) || null;
    tab.set(lastly, null);
    function leave(entries, state) {
      const unsure = entries.filter(({ key }) => !stored.has(key));
      const keys = entries.map(({ key }) => key);
      tab.set(lastly, { keys, state, entries: unsure }) || tab.set(lastly, { keys, state, entries: [] });
    }

    async function change(act) {
      const transaction = base.transaction(["strips", "pictures"], "readwrite");
      act(transaction.objectStore("strips"), transaction.objectStore("pictures"));
      transaction.commit?.(); // the page may be about to go
      await complete(transaction);
    }

    const drop = (gone) =>
      change((strips, pictures) => {
        for (const { id } of gone) {
          strips.delete(id);
          pictures.delete(picturesOf(id));
        }
      });

    // From here on the strip is these entries; of those that were saved before, nothing is written.
    async function save(entries, state) {
      const keys = new Set(entries.map(({ key }) => key));
      await change((strips, pictures) => {
        for (const key of written) if (!keys.has(key)) pictures.delete([id, key]);
        for (const entry of entries) if (!written.has(entry.key)) pictures.put({ strip: id, ...entry });
        strips.put({ id, scope, used: Date.now(), state });
        written = keys;
      });
      for (const key of keys) stored.add(key);
    }

    // Nothing is kept any more, nor of closed tabs: the next one would show it.
    async function clear() {
      const others = await result(base.transaction("strips").objectStore("strips").getAll());
      written = new Set();
      tab.set(lastly, null);
      await drop([{ id }, ...(await closed(others))]);
    }

    const old = (await closed(strips.filter((strip) => strip.id !== id))).slice(CLOSED);
    if (old.length) drop(old).catch(() => {}); // a storage that fails says so when something is saved
    const before = found.map(({ strip, ...entry }) => entry);
    const state = own ? (strips.find((strip) => strip.id === id)?.state ?? {}) : {};
    const entries = left ? [...before, ...left.entries].filter(({ key }) => left.keys.includes(key)) : before;
    return { entries: unique(entries), state: left?.state ?? state, save, leave, clear };
  }

  return { open };
})();
