// Eight seeds of the picture on show, to choose from.
//
// The strip has the block of eight that the seed is of, so that choosing one of them moves nothing. It
// is painted when the hand has rested longer than the final picture takes, by itself only where that is
// quick, and not while it is folded away. Seeds are text and BigInt: most are beyond a number's digits.

window.sdxsVariety = (() => {
  const { call } = window.sdxsServer;
  const SIZE = 8;
  const REST_MS = 600; // beyond the rest that page.js tells of
  const QUICK_MS = 1000; // for all of them
  const FOLDED = "sdxs variety folded"; // in this browser's storage, for later visits, too
  const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -SIZE, End: SIZE };

  let seed = ""; // the one that was chosen last

  function block(seed) {
    const first = (BigInt(seed) / BigInt(SIZE)) * BigInt(SIZE);
    return Array.from({ length: SIZE }, (_, place) => String(first + BigInt(place)));
  }

  // What the pictures of a strip depend on.
  function facts({ seed, final, compare, ...others }) {
    return JSON.stringify([block(seed)[0], others]);
  }

  function remembered() {
    try {
      return window.localStorage.getItem(FOLDED) !== null;
    } catch {
      return false; // forbidden
    }
  }

  function remember(folded) {
    try {
      folded ? window.localStorage.setItem(FOLDED, "") : window.localStorage.removeItem(FOLDED);
    } catch {} // forbidden, or full
  }

  window.sdxsKeys.add([["Arrows, Enter", "In Eight seeds: go to a seed, choose it"]]);

  // Brings variety.html to life. trigger: tells the framework that a seed was chosen.
  function connect(element, server, trigger, page) {
    const fold = element.querySelector("details");
    const group = element.querySelector("[role=group]");
    const frames = [...group.children];
    const more = element.querySelector("#sdxs-vary");
    let painted = null; // facts of what is painted, or being painted
    let turn = 0; // counts what was asked for; an answer from before comes too late
    let resting = 0;
    let ms = Infinity; // of the last picture

    // The seeds of a block, and which of them is on show.
    function mark(request) {
      const seeds = block(request.seed);
      const current = seeds.indexOf(String(BigInt(request.seed)));
      group.toggleAttribute("data-old", painted !== facts(request));
      const other = frames[0].dataset.seed !== seeds[0];
      if (other) clear();
      frames.forEach((frame, place) => {
        frame.setAttribute("aria-pressed", String(place === current));
        if (other) {
          frame.dataset.seed = seeds[place];
          frame.title = frame.firstChild.textContent = `seed ${seeds[place]}`;
        }
        if (other || !group.contains(document.activeElement)) frame.tabIndex = place === current ? 0 : -1;
      });
    }

    function clear() {
      painted = null;
      for (const { lastChild } of frames) lastChild.removeAttribute("src");
    }

    async function paint(byHand) {
      const request = page.shown;
      const mine = (turn += 1);
      painted = facts(request);
      more.hidden = true;
      group.setAttribute("aria-busy", "true");
      const answer = await call(server, "variety", { ...request, visitor: page.visitor });
      if (mine !== turn) return;
      group.removeAttribute("aria-busy");
      if (answer.pictures) {
        group.removeAttribute("data-old");
        for (const frame of frames) frame.lastChild.src = answer.pictures[frame.dataset.seed];
        return;
      }
      clear();
      more.hidden = false;
      if (byHand) page.say(answer.note ?? "The server does not answer; try again in a moment.", answer.kind ?? "hint");
    }

    function rest() {
      if (!fold.open || !page.shown || painted === facts(page.shown)) return;
      if (page.living && SIZE * ms <= QUICK_MS) return paint(false);
      clear();
      more.hidden = false;
    }

    // What is on its way is of no use any more.
    function stir() {
      clearTimeout(resting);
      if (!group.hasAttribute("aria-busy")) return;
      turn += 1;
      painted = null;
      group.removeAttribute("aria-busy");
    }

    document.addEventListener("sdxs:stirred", stir);
    document.addEventListener("sdxs:shown", ({ detail: { request, answer } }) => {
      if (!request.final) ms = answer.ms; // a strip is of drafts
      mark(request);
      if (page.living && fold.open && !frames.some(({ lastChild }) => lastChild.src) && SIZE * ms <= QUICK_MS) more.hidden = true;
    });
    document.addEventListener("sdxs:rested", () => {
      clearTimeout(resting);
      resting = setTimeout(rest, REST_MS);
    });

    fold.open = !remembered();
    fold.addEventListener("toggle", () => {
      remember(!fold.open);
      fold.open ? rest() : stir();
    });
    more.addEventListener("click", () => {
      const focused = document.activeElement === more;
      paint(true);
      if (focused) frames.find((frame) => frame.tabIndex === 0)?.focus(); // the button is gone
    });
    group.addEventListener("click", ({ target }) => {
      const frame = target.closest("button");
      if (!frame?.dataset.seed) return;
      for (const other of frames) other.tabIndex = other === frame ? 0 : -1;
      seed = frame.dataset.seed;
      trigger("input");
    });
    group.addEventListener("keydown", (event) => {
      const here = frames.indexOf(document.activeElement);
      const columns = getComputedStyle(group).gridTemplateColumns.split(" ").length;
      const step = { ...STEPS, ArrowUp: -columns, ArrowDown: columns }[event.key];
      if (here < 0 || !step) return;
      event.preventDefault();
      const there = Math.abs(step) === SIZE ? (step < 0 ? 0 : SIZE - 1) : here + step;
      if (!frames[there]) return;
      frames[here].tabIndex = -1;
      frames[there].tabIndex = 0;
      frames[there].focus();
    });
    if (page.shown) mark(page.shown);
    else more.disabled = true;
    document.addEventListener("sdxs:shown", () => (more.disabled = false), { once: true });
  }

  return { connect, chosen: () => seed, block, facts };
})();
