// The rewind strip: the last pictures, each to come back to with all that made it.
//
// They are collected as they are shown; the row of them changes when the hand rests, so that nothing
// moves beside somebody who types or draws. Coming back asks the server nothing. What outlives a reload is
// `shelf.js`'s business; `page.js` comes first, too. Knows nothing of models: a request is any plain
// object with a prompt and a seed.

window.sdxsRewind = (() => {
  const MOST = 30;
  const NEWEST = 8; // stay, however short they were seen
  const PATIENCE_MS = 1000; // for the browser's database, before the page begins without it
  const SURE_MS = 4000; // within which a second click clears
  const ALONE = "Pictures go with this tab: the browser stores nothing.";
  const FULL = "Pictures go with this tab: the browser's storage is full.";

  // At most `most` entries. Fast typing shows forty pictures in two seconds. Who saw a good one flash
  // past stops and looks for it among the last ones, so the newest stay. Of the older ones, what flashed past goes
  // before what somebody rested at: one more burst does not push out the work of an afternoon.
  function trimmed(entries, most = MOST) {
    const left = [...entries];
    while (left.length > most) {
      const flash = left.slice(0, -NEWEST).findIndex(({ rested }) => !rested);
      left.splice(Math.max(flash, 0), 1);
    }
    return left;
  }

  // Whether two requests say the same.
  function alike(one, other) {
    const names = new Set([...Object.keys(one), ...Object.keys(other)]);
    return [...names].every((name) => (one[name] ?? "") === (other[name] ?? ""));
  }

  // What a reloaded page begins with, see `opens` in page.js: the picture that was on show, where the fields
  // and the drawing are still those of its request; else at least the drawing.
  function asItWas({ state, entries }, fields, kept) {
    const drawing = state.drawing ?? "";
    const now = Object.fromEntries(Object.keys(fields).map((name) => [name, kept[name] ?? fields[name].start]));
    const entry = entries.find(({ key }) => key === state.shown);
    const then = entry && { ...Object.fromEntries(Object.keys(fields).map((name) => [name, fields[name].start])), ...entry.request };
    if (then && alike(then, { ...now, drawing })) return { request: entry.request, answer: entry.answer };
    return drawing ? { request: { ...kept, drawing } } : null;
  }

  const label = ({ request }) => `${request.prompt}, seed ${request.seed ?? 0}`;

  let missed = false; // the page began without the shelf, which was late
  let arrived = null;
  const loaded = new Promise((done) => (arrived = done)); // the shelf, or null where there is none
  window.sdxs.opens(async (kept) => {
    const late = new Promise((done) => setTimeout(done, PATIENCE_MS));
    const shelf = await Promise.race([loaded, late]);
    missed = shelf === undefined;
    return shelf ? asItWas(shelf, window.sdxs.fields, kept) : null;
  });

  window.sdxsKeys.add([
    ["Arrows, Enter, Delete", "In Rewind: go to a picture, bring it back, forget it"],
  ]);

  // Brings rewind.html to life. of: what kind of page and model the strip belongs to.
  function connect(element, page, of) {
    const own = (name) => element.querySelector(`#sdxs-${name}`);
    const row = own("strip");
    const cells = new Map(); // key -> its element
    let entries = []; // the oldest first: {key, request, answer, rested}
    let current = null; // the entry on show
    let last = 0; // the newest key
    let shelf = null;
    let trouble = ""; // why nothing is stored, until it has been said

    const opening = window.sdxsShelf.open(`${window.location.pathname} ${of}`);
    opening.then(begin, () => fail(ALONE)).finally(() => arrived(shelf));

    function begin(found) {
      shelf = found;
      row.replaceChildren();
      cells.clear();
      last = Math.max(0, ...found.entries.map(({ key }) => key));
      for (const entry of entries) entry.key = ++last; // was faster than the database
      const before = found.entries.filter((old) => !entries.some(({ request }) => alike(old.request, request)));
      entries = trimmed([...before, ...entries]);
      render();
      if (missed) draw(found.state.drawing);
    }

    // The drawing of a shelf that was late, where nobody has begun another one.
    async function draw(drawing) {
      if (!drawing || !page.canvas || (await page.canvas.snapshot())) return;
      await page.canvas.put(drawing);
      page.drew();
    }

    function fail(why) {
      shelf = null;
      trouble = why;
    }

    document.addEventListener("sdxs:shown", ({ detail: { request, answer, again } }) => {
      const known = entries.find((entry) => alike(entry.request, request));
      if (known && again) {
        current = known;
        return mark(); // the visitor came back to it
      }
      current = { key: ++last, request, answer, rested: known?.rested ?? false };
      entries = trimmed([...entries.filter((entry) => entry !== known), current]);
    });
    document.addEventListener("sdxs:rested", async () => {
      if (current) current.rested = true;
      render();
      await save();
      if (trouble) page.say(trouble, "hint");
      trouble = "";
    });
    window.addEventListener("pagehide", () => save(true));
    document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && save());

    async function save(leaving = false) {
      const drawing = (await page.canvas?.snapshot()) ?? "";
      const state = { drawing, shown: current?.key };
      if (leaving) shelf?.leave(entries, state);
      await shelf?.save(entries, state).catch((error) => fail(error?.name === "QuotaExceededError" ? FULL : ALONE));
    }

    // The row

    function cell(entry) {
      const made = document.createElement("div");
      Object.assign(made, { role: "option", tabIndex: -1, title: label(entry) });
      made.dataset.key = entry.key;
      made.append(Object.assign(new Image(), { src: entry.answer.picture, alt: label(entry), draggable: false }));
      return made;
    }

    function render() {
      const touched = row.matches(":hover") || row.contains(document.activeElement);
      const stays = touched && entries.find(({ key }) => cells.has(key)); // what is seen is not to move
      const before = stays && cells.get(stays.key).getBoundingClientRect().left;
      const keys = new Set(entries.map(({ key }) => key));
      for (const [key, old] of cells)
        if (!keys.has(key)) {
          old.remove();
          cells.delete(key);
        }
      for (const entry of entries)
        if (!cells.has(entry.key)) {
          cells.set(entry.key, cell(entry));
          row.prepend(cells.get(entry.key));
        }
      row.hidden = !entries.length;
      own("forget-all").disabled = row.hidden;
      mark();
      row.scrollLeft = stays ? row.scrollLeft + cells.get(stays.key).getBoundingClientRect().left - before : 0;
    }

    // One of them is on show, and one can be reached by Tab.
    function mark() {
      const shown = cells.get(current?.key);
      const focused = row.contains(document.activeElement) ? document.activeElement : null;
      const reached = focused ?? shown ?? row.firstElementChild;
      for (const one of cells.values()) {
        one.setAttribute("aria-selected", String(one === shown));
        one.tabIndex = one === reached ? 0 : -1;
      }
      own("forget").disabled = !shown;
    }

    const entryOf = (one) => entries.find(({ key }) => key === Number(one?.dataset.key));

    function goTo(one) {
      const entry = entryOf(one);
      if (!entry) return;
      focus(one);
      page.restore(entry.request, entry.answer);
    }

    function focus(one) {
      one.focus({ preventScroll: true }); // which would scroll the page, too
      const [box, view] = [one.getBoundingClientRect(), row.getBoundingClientRect()];
      row.scrollLeft += Math.min(0, box.left - view.left - 4) + Math.max(0, box.right - view.right + 4);
      mark();
    }

    function forget(one) {
      const entry = entryOf(one);
      if (!entry) return;
      const next = one.nextElementSibling ?? one.previousElementSibling;
      const inside = row.contains(document.activeElement);
      entries = entries.filter((other) => other !== entry);
      if (current === entry) current = null;
      render();
      if (inside && next) focus(next);
      save();
    }

    row.addEventListener("click", ({ target }) => goTo(target.closest("[data-key]")));
    row.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const one = event.target.closest("[data-key]");
      const [left, right] = ["previousElementSibling", "nextElementSibling"];
      const turned = getComputedStyle(row).direction === "rtl";
      const act = {
        ArrowLeft: () => goTo(one?.[turned ? right : left]),
        ArrowRight: () => goTo(one?.[turned ? left : right]),
        Home: () => goTo(row.firstElementChild),
        End: () => goTo(row.lastElementChild),
        Enter: () => goTo(one),
        " ": () => goTo(one),
        Delete: () => forget(one),
        Backspace: () => forget(one),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
    own("forget").addEventListener("click", () => forget(cells.get(current?.key)));

    // Clearing cannot be undone: a second click says that it is meant.
    const all = own("forget-all");
    const { textContent: name } = all;
    let sure = 0;
    const calm = () => {
      clearTimeout(sure);
      sure = 0;
      all.textContent = name;
    };
    all.addEventListener("blur", calm);
    all.addEventListener("click", async () => {
      if (!sure) {
        all.textContent = "Sure?";
        sure = setTimeout(calm, SURE_MS);
        return;
      }
      calm();
      entries = [];
      current = null;
      render();
      window.sdxsKept.forget();
      await shelf?.clear().catch(() => fail(ALONE));
      save(); // what is on the canvas
    });
  }

  return { alike, asItWas, connect, trimmed };
})();
