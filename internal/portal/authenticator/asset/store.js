// What this device keeps, in the browser's own database: accounts with their keys, and codes.
// Keys are CryptoKeys that no script can read, this one included. The service worker has this
// file too.
"use strict";

const store = {
  // open returns the database. A browser that keeps nothing, as in a private window, fails here.
  open() {
    this.opened ??= new Promise((good, bad) => {
      const asked = indexedDB.open("countersign", 1);
      asked.onupgradeneeded = () => {
        asked.result.createObjectStore("accounts", { keyPath: "device" });
        asked.result.createObjectStore("codes", { keyPath: "id" });
      };
      asked.onsuccess = () => {
        asked.result.onversionchange = () => asked.result.close();
        asked.result.onclose = () => { this.opened = undefined; };
        good(asked.result);
      };
      asked.onerror = () => bad(asked.error);
      asked.onblocked = () => bad(new Error("blocked"));
    }).catch((e) => { this.opened = undefined; throw e; });
    return this.opened;
  },

  async act(kind, mode, what) {
    const db = await this.open();
    return new Promise((good, bad) => {
      const work = db.transaction(kind, mode, { durability: "strict" });
      const asked = what(work.objectStore(kind));
      work.oncomplete = () => good(asked.result);
      work.onabort = work.onerror = () => bad(work.error);
    });
  },

  all(kind) { return this.act(kind, "readonly", (s) => s.getAll()); },
  put(kind, one) { return this.act(kind, "readwrite", (s) => s.put(one)); },
  remove(kind, id) { return this.act(kind, "readwrite", (s) => s.delete(id)); },
};
