// A call to the server without one: what is asked again, what is not, and after which pause. Run by
// test_scripts.py.

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const test = require("node:test");
const vm = require("node:vm");

// A page at `here`, whose server answers each request with `fetched`, a promise of a response.
function world(fetched, here = "https://pictures.example/sdxs/", at = "https://pictures.example/sdxs/") {
  const pauses = [];
  const sent = []; // the headers of each request
  const fetch = (_, options) => (sent.push(options.headers), fetched);
  const window = { fetch, location: { href: here } };
  const setTimeout = (act, ms) => ms < 100_000 && (pauses.push(ms), act());
  const clearTimeout = () => {};
  const Calm = Object.assign(Object.create(Math), { random: () => 0.5 });
  for (const name of ["min", "max"]) Calm[name] = Math[name];
  const context = vm.createContext({ window, setTimeout, clearTimeout, URL, Headers, Math: Calm });
  const file = join(__dirname, "..", "..", "sdxs", "page", "browser", "server.js");
  vm.runInContext(readFileSync(file, "utf8"), context, "server.js");
  const server = {
    async paint() { // as the framework does
      try {
        const response = await window.fetch(`${at}gradio_api/component_server/`, { headers: { "Content-Type": "a/b" } });
        if (!response.ok) throw Error("no");
        return await response.json();
      } catch {}
    },
  };
  const own = window.fetch;
  const asked = (request = {}) => window.sdxsServer.call(server, "paint", request);
  return { window, own, pauses, sent, asked };
}

const response = (status, type = "application/json", body = { note: "hello" }, more = {}) =>
  Promise.resolve({ status, ok: status < 300, headers: new Headers({ "content-type": type, ...more }),
    json: () => (type.includes("json") ? Promise.resolve(body) : Promise.reject(new SyntaxError())) });

test("an answer is handed on, and the framework's fetch is as it was", async () => {
  const { window, own, asked } = world(response(200));
  assert.equal((await asked()).note, "hello");
  assert.equal(window.fetch, own);
});

test("who asks is said in a header, and the framework's own headers stay", async () => {
  const { sent, asked } = world(response(200));
  await asked({ visitor: "a-tab" });
  await asked();
  assert.deepEqual(sent.map((headers) => headers.get("x-session-id")), ["a-tab", null]);
  assert.deepEqual(sent.map((headers) => headers.get("content-type")), ["a/b", "a/b"]);
});

test("a refusal is an answer", async () => {
  for (const status of [400, 401, 403, 404, 407, 413, 422]) {
    const answer = await world(response(status)).asked();
    assert.ok(answer.refused && !answer.again && answer.note.includes(`(${status})`), String(status));
  }
  const { note } = await world(response(413)).asked({ drawing: "data:image/png;base64," });
  assert.match(note, /clear the canvas/);
});

test("silence, and what time may mend, is asked again", async () => {
  for (const status of [408, 425, 429, 500, 502, 503, 504])
    assert.equal((await world(response(status)).asked()).again, true, String(status));
  assert.equal((await world(Promise.reject(new TypeError("Failed to fetch"))).asked()).again, true);
  const broken = { status: 200, ok: true, headers: new Headers({ "content-type": "application/json" }),
    json: () => Promise.reject(new SyntaxError()) }; // cut short
  assert.equal((await world(Promise.resolve(broken)).asked()).again, true);
});

test("a login page is no answer, and a server elsewhere on the host is named", async () => {
  assert.match((await world(response(200, "text/html")).asked()).note, /Something else answers/);
  const root = "https://pictures.example/";
  const { note } = await world(response(404, "text/html"), `${root}sdxs/`, root).asked();
  assert.match(note, /start it with --root-path \/sdxs$/);
});

test("pauses grow up to a limit", async () => {
  const { window, pauses } = world(response(200));
  for (let failures = 0; failures < 7; failures += 1) await window.sdxsServer.pause(failures);
  assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16000, 20000, 20000]);
});

test("a server that says when to come again is believed, within reason", async () => {
  const asked = (status, after) => world(response(status, "text/plain", {}, { "retry-after": after })).asked();
  const away = await asked(503, "5");
  assert.deepEqual([away.again, away.after], [true, 5]);
  assert.match(away.note, /goes on by itself/);
  assert.match((await asked(429, "7")).note, /\(429\)/);
  assert.equal((await asked(503, "Wed, 21 Oct 2026 07:28:00 GMT")).after, 0);
  const { window, pauses } = world(response(200));
  for (const [failures, after] of [[0, 8], [5, 8], [0, 3600]]) await window.sdxsServer.pause(failures, after);
  assert.deepEqual(pauses, [9000, 20000, 67500]);
});
