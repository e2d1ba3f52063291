// What has to be there before a page is: said in one line where it is not.
//
// First of all scripts, and no module: where modules do not load it still says why. The service worker
// (sw.js) keeps the files, and its answers have the headers that give WebAssembly its threads; a page
// that came without them is loaded once more. Knows nothing of models or of what is on a page.

(() => {
  const RELOADED = "sdxs reloaded"; // of the tab: for the headers' sake, once
  const PATIENCE_MS = 15_000; // for a service worker's first files
  const FILE = "A page that is opened as a file may not read its model: serve the folder, as by python -m http.server, and open that address.";
  const NONE = "This browser has no WebAssembly, or it is switched off: the page cannot paint here. Another browser can.";
  const OLD = "This browser's WebAssembly has no SIMD: the page cannot paint here. A browser of 2021 or later can.";
  const BROKEN = "The page's own files do not load: reload it when there is a network.";
  const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const shade = () => document.documentElement.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", shade);
  shade();

  let broken = false; // a script did not come
  window.addEventListener("error", ({ target }) => (broken ||= target instanceof HTMLScriptElement), true);

  function lacking() {
    if (broken) return BROKEN;
    if (window.location.protocol === "file:") return FILE;
    if (typeof WebAssembly !== "object") return NONE;
    return WebAssembly.validate(Uint8Array.from(SIMD)) ? "" : OLD;
  }

  // Whether a service worker answers for this page.
  async function served() {
    const { serviceWorker } = navigator;
    if (!serviceWorker) return false;
    let decide = null;
    const decided = new Promise((done) => (decide = done));
    setTimeout(decide, PATIENCE_MS, false);
    serviceWorker.addEventListener("controllerchange", () => decide(true), { once: true });
    const registered = ({ active, installing }) => {
      if (serviceWorker.controller || active) decide(Boolean(serviceWorker.controller)); // else a reload past it
      installing?.addEventListener("statechange", () => installing.state === "redundant" && decide(false));
    };
    serviceWorker.register("sw.js", { updateViaCache: "none" }).then(registered, () => decide(false)); // forbidden
    return decided;
  }

  // Whether the page is loaded anew for its threads' sake. A tab that may not remember that is not.
  function reloads() {
    try {
      if (window.crossOriginIsolated || window.sessionStorage.getItem(RELOADED)) return false;
      window.sessionStorage.setItem(RELOADED, "1");
      if (!window.sessionStorage.getItem(RELOADED)) return false;
    } catch {
      return false; // forbidden
    }
    window.location.reload();
    return true;
  }

  async function start() {
    const line = document.getElementById("sdxs-start");
    const problem = lacking();
    if (problem) return Object.assign(line, { textContent: problem }).setAttribute("role", "alert");
    window.sdxsKeeps = await served();
    if (window.sdxsKeeps && reloads()) return;
    await import("./app.js").catch((error) => {
      console.error(error);
      line.textContent = BROKEN;
    });
  }

  document.addEventListener("DOMContentLoaded", start);
})();
