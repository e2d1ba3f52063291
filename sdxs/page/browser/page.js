// What a page does in the browser: ask for pictures while the visitor types or draws, and show them.
//
// One request is on its way, the newest other one waits, and the last one is never lost. Loaded
// before the page, so that no early key is missed; `connect` then brings the stage to life. Calls are
// `server.js`'s business, what outlives a reload is `kept.js`'s, what a picture is called `heard.js`'s,
// who goes before `place.js`'s; all come first. Knows nothing of models or of the framework's own elements: a request is any plain
// object that the server understands, all that made its picture.
//
// Scripts that come later hear what happens by events of the document: "sdxs:shown", a picture is
// there ({request, answer}; `again`: it came back from elsewhere; else `times`, when it was sent and
// received), "sdxs:rested", nothing has been asked for a while ({request} of the picture on show),
// "sdxs:stirred", something is asked for. `restore(request, answer)` brings a request back, with the
// answer that it had, if that is known. `paint` and `show` are for a picture that nobody stirred for.
// After `live(false)` what would be asked for is held ("sdxs:held") until it is ordered: `order()`.
// `opens(find)` has `find(kept)` asked, before anything else is, for what the page begins with.

window.sdxs = (() => {
  const { call, pause } = window.sdxsServer;
  const { keep, kept } = window.sdxsKept;
  const { described } = window.sdxsHeard;
  const place = window.sdxsPlace;
  const SILENT = "The server does not answer; trying again.";
  const NO_FILE = "The server does not answer; try again in a moment.";
  const HELD = "Press Enter, or Paint, for the picture.";
  const REST_MS = 700; // without anything asked for

  const visitor = Math.random().toString(36).slice(2); // this tab: what it waits for, it may drop
  let waiting = null; // the newest request, not yet sent
  let busy = false; // one is on its way
  let living = true; // every change asks for a picture
  let holds = null; // where it does not: the request of the last change, if it was not ordered yet
  let told = false; // a note of the page's own, which answers to earlier requests leave alone
  let standing = ""; // what stays to be said until it is mended, wherever there is no error
  let begun = false; // what the page begins with is there
  let held = {}; // {name: value} of the fields
  const openings = []; // see `opens`
  let shown = null; // the request that the picture on show answers
  let touched = false; // the visitor has written something; until then the welcome picture's prompt counts
  let asked = null; // the request that was last asked for, without a drawing
  let canvas = null; // {snapshot, put, open}, where the page has one, see `follow`
  let fields = {}; // {name: {start, choices}}, in the order of their values
  let bring = null; // has the fields take the values of `coming`
  let coming = null; // {name: value}, on their way into the fields
  let age = 0; // counts what was restored: answers to requests from before come too late
  let resting = 0; // the timer of a hand that rests
  let wake = () => {}; // ends a pause for a server that was silent
  let stage = null; // {element, server} and our own elements, once the page is there
  let arrives = null;
  const present = new Promise((done) => (arrives = done)); // the stage is there
  let opened = null;
  const ready = new Promise((done) => (opened = done)); // it is known what the page begins with

  function say(text, kind) {
    if (stage.note.textContent !== text) stage.note.textContent = text; // read out only when new
    stage.note.dataset.kind = kind;
  }

  const happens = (name, detail) => document.dispatchEvent(new CustomEvent(`sdxs:${name}`, { detail }));

  // Each field of an answer is explained in answers.py, class Answer.
  function show(request, answer, times = null, again = false) {
    const stands = standing && answer.kind !== "error";
    if (!told || answer.kind === "error") stands ? say(standing, "warning") : say(answer.note ?? "", answer.kind ?? "");
    if (!answer.picture) return;
    shown = request;
    for (const name of ["picture", "control", "plain"]) // an old one stays until the new one is ready
      if (stage[name] && answer[name]) stage[name].src = answer[name];
    stage.picture.alt = described(request);
    stage.took.textContent = `${Math.round(answer.ms)} ms`;
    stage.save.disabled = false;
    stage.control?.parentElement.toggleAttribute("hidden", !answer.control);
    stage.plain?.parentElement.toggleAttribute("data-compares", Boolean(answer.plain));
    happens("shown", { request, answer, again, times });
    rest();
  }

  function rest() {
    clearTimeout(resting);
    if (shown && !waiting) resting = setTimeout(() => busy || happens("rested", { request: shown }), REST_MS);
  }

  // Before a silent server is asked again; what the visitor does shortens it.
  async function silence(failures) {
    const stirred = new Promise((done) => (wake = done));
    await Promise.race([pause(failures), Promise.all([pause(0), stirred])]);
  }

  // [what the server says, when it was asked and when it said it]
  async function paint(request) {
    const sent = performance.now();
    const answer = await call(stage.server, "paint", { ...request, visitor });
    return [answer, { sent, received: performance.now() }];
  }

  async function work() {
    if (busy || !stage) return;
    busy = true;
    await ready;
    stage.element.dataset.busy = "";
    let failures = 0;
    while (waiting) {
      let request = waiting;
      const mine = age;
      waiting = null;
      if (canvas) request = { ...request, drawing: await canvas.snapshot() }; // as it is by now
      const ask = () => call(stage.server, "place", { visitor });
      const painted = place.shown(paint(request), ask, stage.place, stage.heard);
      const [{ refused, ...answer }, times] = await painted;
      if (mine !== age) continue;
      if (answer.again) {
        say(answer.note ?? SILENT, "hint");
        await (answer.note ? pause(failures++, answer.after) : silence(failures++));
        waiting ??= request;
      } else {
        failures = 0;
        show(request, answer, times);
        if (refused) await pause(failures); // a camera changes all the time
      }
    }
    busy = false;
    delete stage.element.dataset.busy;
    rest(); // what was dropped meanwhile did not
  }

  function ask(request) {
    if (!living) {
      holds = request;
      happens("held");
      return tell(HELD, "hint");
    }
    now(request);
  }

  function now(request) {
    told = false;
    holds = null;
    waiting = request;
    clearTimeout(resting);
    happens("stirred");
    wake();
    work();
  }

  function order() {
    if (holds) now(holds);
  }

  function live(on) {
    living = on;
    if (on) order();
  }

  // A request as it was, with its drawing, and what it was answered; without that it is asked again.
  // What it does not say is as at first.
  async function restore(request, answer = null) {
    const mine = (age += 1);
    waiting = null;
    told = false;
    touched = true;
    holds = null;
    coming = Object.fromEntries(Object.entries(fields).map(([name, { start }]) => [name, request[name] ?? start]));
    asked = { ...coming };
    if (begun) keep(fields, coming);
    bring?.();
    await canvas?.put(request.drawing ?? "");
    if (mine !== age) return;
    if (!answer) return ask(asked);
    happens("stirred");
    show(request, answer, null, true);
  }

  async function download() {
    stage.save.disabled = true;
    const answer = await call(stage.server, "download", shown);
    stage.save.disabled = false;
    if (!answer.file) return say(answer.note ?? NO_FILE, "error");
    save(answer.file, answer.name);
  }

  function save(url, name) {
    Object.assign(document.createElement("a"), { href: url, download: name }).click();
  }

  // The stage is there: an element with our ids inside, the server's functions, and the request
  // that the welcome picture answers, if there is one.
  function connect(element, server, welcome) {
    const own = (name) => element.querySelector(`#sdxs-${name}`);
    stage = { element, server };
    for (const name of ["note", "picture", "place", "heard", "took", "save", "control", "plain"]) stage[name] = own(name);
    own("divider")?.addEventListener("input", ({ target }) => {
      target.parentElement.style.setProperty("--divider", `${target.value}%`);
    });
    shown = welcome ?? null;
    if (shown) stage.picture.alt = described(shown);
    stage.save.addEventListener("click", download);
    arrives();
    work();
  }

  // Words and examples to click: a click becomes the component's value and its `input` event.
  function chips(element, props, trigger) {
    element.addEventListener("click", (event) => {
      const chip = event.target.closest("button[data-text]");
      if (!chip) return;
      props.value = chip.dataset.text;
      trigger("input");
    });
  }

  // The events of the page. Each gets the values of its inputs and returns those of its outputs;
  // what it returns is a change again, and that asks for the picture.

  // The page is there: what it is opened with, or what the tab had kept, but for what is set already.
  async function begin(known, values) {
    changed(known, values);
    await present;
    const back = kept(fields);
    let found = null;
    for (const find of openings) found ??= await find(back).catch(() => null);
    const names = Object.keys(fields);
    const early = Object.fromEntries(Object.entries(held).filter(([name, value]) => value !== fields[name].start));
    begun = true;
    opened();
    if (!found) {
      keep(fields, { ...held, ...back, ...early });
      return names.map((name) => (Object.hasOwn(early, name) ? undefined : back[name]));
    }
    const { request, answer, note, kind } = found;
    const same = Object.keys(early).every((name) => early[name] === request[name]);
    restore({ ...request, ...early }, same ? answer : null).then(() => note && tell(note, kind));
    return brought();
  }

  // find: of {name: value}, what the tab had kept, {request, answer, note, kind} to begin with, or null;
  // of several that find something the first one counts.
  const opens = (find) => openings.push(find);

  // The element by which values come into the fields: `trigger` has the page ask for them.
  function returns(trigger) {
    bring = () => trigger("input");
    if (coming) bring();
  }
  // Other values for some fields, as if the visitor had set them.
  function set(changes) {
    coming = { ...held, ...changes };
    bring();
  }
  const brought = () => Object.keys(fields).map((name) => coming[name]);

  function changed(known, values) {
    fields = known;
    const names = Object.keys(fields);
    const now = (held = Object.fromEntries(names.map((name, place) => [name, values[place]])));
    if (begun) keep(fields, now);
    touched ||= now.prompt.trim() !== "";
    if (asked && names.every((name) => asked[name] === now[name])) return; // told twice, as while loading
    const other = asked && names.some((name) => name !== "prompt" && asked[name] !== now[name]);
    asked = touched || !shown ? now : { ...now, prompt: shown.prompt };
    if (touched || (shown && other)) ask(asked);
  }

  // The canvas of a page: async snapshot() gives what is on it as a data URL, "" for nothing, async
  // put(url) puts that back without a word, and open(file) a picture from elsewhere; and that it changed.
  const follow = (own) => (canvas = own);
  const drew = () => asked && ask(asked);

  const roll = () => String(Math.floor(Math.random() * 1e6)); // short enough to tell a friend
  const choose = (text) => text;
  const append = (text, prompt) => `${prompt.trimEnd()} ${text}`.trimStart();

  function tell(text, kind) {
    told = true;
    if (stage) say(text, kind);
  }

  function stand(text) {
    standing = text;
    if (stage && text) say(text, "warning");
  }

  return {
    connect, chips, opens, begin, returns, brought, changed, follow, drew, live, order, restore, set, paint, show, visitor,
    save, say: tell, stand, ready,
    roll, choose, append,
    get canvas() { return canvas; },
    get fields() { return fields; },
    get shown() { return shown; },
    get holds() { return holds !== null; },
    get living() { return living; },
    get server() { return stage?.server; },
  };
})();
