// The service worker: keeps the site's files, so that it opens at once and offline, and gives its answers
// the headers that a page needs for threads, where the host has none to set.
//
// A file is kept under its path and its sha256, as the build wrote them below: a new build fetches what it
// changed and nothing else. Knows nothing of what is in a file.

const FILES = {}; // path -> sha256, see build.py
const KEPT = "sdxs files";
const DROPPED = "sdxs dropped"; // folders, see site/folder.js
const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};
const LATER = /^(model|engine\/runtime)\//; // what is kept when a page has begun
const PATIENCE_MS = 30_000; // with a host that sends nothing
const OPTIONAL = /webgpu|jspi/; // and of this, what a page asks for

const here = new URL(self.registration.scope);
const keyOf = (path) => new URL(`${path}?${FILES[path]}`, here);

function isolated(response) {
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATED)) headers.set(name, value);
  const { status, statusText, body } = response;
  return status < 200 || status === 304 || status === 204 ? response : new Response(body, { status, statusText, headers });
}

async function digest(bytes) {
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(sum, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Whether a file is kept from now on: not where it is another than the build's, or there is no room.
async function keep(path, bytes, headers) {
  try {
    if ((await digest(bytes)) !== FILES[path]) return false;
    await (await caches.open(KEPT)).put(keyOf(path), new Response(bytes, { headers }));
    return true;
  } catch {
    return false; // storage is forbidden or full
  }
}

const kept = (path) => caches.open(KEPT).then((cache) => cache.match(keyOf(path))).catch(() => undefined);

// What a host answers, told at once, and kept when all of it is here: whether it is. Given up where nothing
// comes for a while, as those who want the file wait for it.
async function fetched(path, request, options, tell = () => {}) {
  const stop = new AbortController();
  let timer = 0;
  const comes = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stop.abort(), PATIENCE_MS);
  };
  try {
    comes();
    const response = await fetch(request, { ...options, signal: stop.signal });
    tell(response.ok ? response.clone() : response);
    if (!response.ok) return false;
    const parts = [];
    for (const reader = response.body.getReader(); ; ) {
      comes();
      const { done, value } = await reader.read();
      if (done) return await keep(path, await new Blob(parts).arrayBuffer(), response.headers);
      parts.push(value);
    }
  } finally {
    clearTimeout(timer);
  }
}

// A file is asked for once, whoever wants it: the next in line, of any page or build, finds it kept.
const inTurn = (path, job) => navigator.locks.request(keyOf(path).href, job);

// Whether a file is kept by now; fails where there is no network.
const have = (path) =>
  inTurn(path, async () => Boolean(await kept(path)) || fetched(path, new URL(path, here), { cache: "no-cache" }));

async function every(paths) {
  let all = true;
  for (const path of paths) all = (await have(path).catch(() => true)) && all; // offline it is for another time
  return all;
}

async function forget() {
  const cache = await caches.open(KEPT);
  const current = new Set(Object.keys(FILES).map((path) => keyOf(path).href));
  for (const { url } of await cache.keys()) if (!current.has(url)) await cache.delete(url);
}

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(Promise.all(Object.keys(FILES).filter((path) => !LATER.test(path)).map(have)));
});
self.addEventListener("activate", (event) => {
  event.waitUntil(forget().catch(() => {}).then(() => self.clients.claim()));
});
self.addEventListener("message", (event) => {
  const paths = Object.keys(FILES).filter((path) => !OPTIONAL.test(path));
  if (event.data === "keep") event.waitUntil(every(paths).then((all) => event.source.postMessage({ kept: all })));
});

async function answer(event, path) {
  const dropped = path.startsWith("dropped/") && (await (await caches.open(DROPPED)).match(new URL(path, here)));
  if (dropped) return isolated(dropped);
  if (!FILES[path]) return isolated(await fetch(event.request));
  return new Promise((answered, failed) => {
    const tell = (response) => answered(isolated(response));
    // not waited for by the event: browsers end what takes one five minutes, but not an answer that is being read
    inTurn(path, async () => {
      const found = await kept(path);
      found ? tell(found) : await fetched(path, event.request, {}, tell);
    }).catch(failed);
  });
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || !url.href.startsWith(here.href)) return;
  const path = decodeURIComponent(url.pathname.slice(here.pathname.length)) || "index.html";
  event.respondWith(answer(event, path));
});
