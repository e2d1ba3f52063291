// A film of the walk: asked for, watched while it is made, stopped, and saved.
//
// The film is of the picture on show, from its prompt and seed to where it leads. Calls are
// `server.js`'s business, what comes back is class Progress in exports.py. Knows nothing of models.

window.sdxsWalk = (() => {
  const { call } = window.sdxsServer;
  const EVERY_MS = 300;
  const TRIES = 20; // without an answer, one after the other
  const NOWHERE = "Say where to: another prompt, another seed, or both.";
  const READY = "The page goes on while it is made.";
  const SILENT = "The server does not answer; try again in a moment.";
  const visitor = window.crypto.getRandomValues(new Uint32Array(4)).join("-"); // for whom it is

  let film = null; // {element, server, page} and our own elements, once they are there
  let making = 0; // counts films; 0 where none is in the making

  const leads = (request) => [request?.to_prompt, request?.to_seed].some((end) => `${end ?? ""}`.trim());
  const wait = () => new Promise((done) => setTimeout(done, EVERY_MS));

  function say(text, kind = "") {
    if (film.note.textContent !== text) film.note.textContent = text; // read out only when new
    film.note.dataset.kind = kind;
  }

  // What can be done is the matter of the picture on show.
  function look({ detail }) {
    const there = leads(detail.request);
    document.getElementById("sdxs-walk-part")?.toggleAttribute("data-leads", there);
    if (!film) return;
    const before = film.there;
    film.there = there;
    for (const button of film.buttons) button.disabled = !there || making > 0;
    if (!making && before !== there) say(there ? READY : NOWHERE);
  }

  function busy(on) {
    const had = film.element.contains(document.activeElement);
    for (const button of film.buttons) button.disabled = on || !film.there;
    film.progress.hidden = film.stop.hidden = !on;
    if (had) (on ? film.stop : film.buttons[0]).focus(); // a button that is gone keeps no focus
  }

  async function make(format) {
    const { page, server, frames, loop, progress } = film;
    const mine = (making = Date.now());
    const of = Number(frames.value);
    progress.value = 0;
    say(`0 of ${of} frames`);
    busy(true);
    let answer = await call(server, "begin", { visitor, request: page.shown, frames: of, format, loop: loop.checked });
    for (let silent = 0; mine === making && silent < TRIES; ) {
      if (answer.file || (answer.note && !answer.again)) break;
      silent = answer.again ? silent + 1 : 0;
      if (answer.of) {
        progress.value = answer.done / answer.of;
        say(`${answer.done} of ${answer.of} frames`);
      }
      await wait();
      if (mine === making) answer = await call(server, "progress", { visitor });
    }
    if (mine !== making) return; // it was stopped
    making = 0;
    busy(false);
    if (!answer.file) return say(answer.note || SILENT, "error");
    const { href } = await blob(answer.file);
    page.save(href, answer.name);
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
    say(answer.note || `Saved as ${answer.name}`);
  }

  // Some browsers refuse to save a data URL of megabytes.
  async function blob(url) {
    const response = await window.fetch(url);
    return { href: URL.createObjectURL(await response.blob()) };
  }

  function stop() {
    making = 0;
    busy(false);
    say("Stopped.");
    call(film.server, "stop", { visitor });
  }

  function connect(element, server, page) {
    const own = (name) => element.querySelector(`#sdxs-film-${name}`);
    film = { element, server, page, there: false, buttons: [...element.querySelectorAll("button[data-format]")] };
    for (const name of ["frames", "loop", "progress", "note", "stop"]) film[name] = own(name);
    for (const button of film.buttons) button.addEventListener("click", () => make(button.dataset.format));
    film.stop.addEventListener("click", stop);
    look({ detail: { request: page.shown } });
  }

  // The framework's disclosure shows by an arrow alone whether it is open; it may come late.
  function opened(is) {
    const button = document.querySelector("#sdxs-walk-part > button");
    button ? button.setAttribute("aria-expanded", is) : setTimeout(opened, 100, is);
  }

  document.addEventListener("sdxs:shown", look);
  return { connect, opened };
})();
