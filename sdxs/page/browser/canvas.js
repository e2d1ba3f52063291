// A canvas to draw on: its tools, the hand and the keyboard, pictures opened onto it, a camera.
//
// What is on it is `drawing.js`'s business, where pictures come from `pictures.js`'s; both come first.
// Knows nothing of models, servers or the framework. `connect(element, listener)` brings canvas.html to
// life; `listener` has `follow({snapshot, put, open})`, told once how to get the drawing as a data URL, or ""
// where there is none or the browser hides it, how to put one back, how to open a file, `drew()`, told of every change, `save(url, name)` for a download,
// `say(text, kind)` for what a visitor should read, and `stand(text)` for what stays true until "".

window.sdxsCanvas = (() => {
  const KEYS = [
    ["Arrows", "On the canvas: move the pen, with Shift in longer steps"],
    ["Space", "On the canvas: lower and lift the pen"],
    ["P, E", "On the canvas: pen, eraser"],
    ["Ctrl+Z, Ctrl+Y", "Undo and redo on the canvas"],
  ];
  const { drawing, legible, lineWidth, onCanvas } = window.sdxsDrawing;
  const { read, watch } = window.sdxsPictures;
  const PINCH_MS = 400; // within which a second finger says that the first one did not mean to draw
  const HIDDEN = "This browser hides the canvas from the page, against fingerprinting: allow it for this site, then draw on.";
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  // Brings canvas.html to life.
  function connect(element, listener) {
    const own = (name) => element.querySelector(`#sdxs-${name}`);
    const canvas = own("drawing");
    const cursor = own("cursor");
    const file = own("file");
    const tools = { tool: "pen", brush: "middle" };
    const keyboard = { x: canvas.width / 2, y: canvas.height / 2 };
    let quiet = false; // what changes is known
    let given = ""; // the data URL that the drawing came from, while it is that
    const page = drawing(canvas, () => {
      own("undo").setAttribute("aria-disabled", String(!page.past));
      own("redo").setAttribute("aria-disabled", String(!page.future));
      cursor.toggleAttribute("data-down", page.drawn);
      if (!cursor.hidden) own("pen").textContent = page.drawn ? "Pen down" : "Pen up";
      canvas.parentElement.toggleAttribute("data-drawn", !page.blank);
      if (quiet) return;
      given = "";
      listener.drew();
    });
    const camera = watch(page, listener, own("camera"));
    const wide = (event) => lineWidth(tools.brush, event, canvas.width);

    function choose(kind, name) {
      tools[kind] = name;
      for (const button of element.querySelectorAll(`[data-${kind}]`))
        button.setAttribute("aria-pressed", String(button.dataset[kind] === name));
      if (!cursor.hidden && kind === "tool") own("pen").textContent = name === "pen" ? "Pen" : "Eraser";
    }

    // Whether the browser lets the page see what is drawn; asked again with every stroke while it does not
    let seen = false;
    let looked = null;
    async function look() {
      seen = await legible(canvas);
      listener.stand(seen ? "" : HIDDEN);
    }
    const lookAgain = async () => {
      if (seen) return;
      await (looked = look());
      if (seen) listener.drew();
    };

    // The pen: one at a time. The first finger counts, and gives way to a pen, because it is a palm then;
    // a second finger soon after it makes it a pinch
    let pen = null;
    let finger = null; // when it came, where the pen is one
    const at = (event) => onCanvas(event, canvas.getBoundingClientRect(), canvas);
    const takeBack = () => {
      pen = finger = null;
      page.revoke();
    };
    canvas.addEventListener("pointerdown", (event) => {
      const touches = event.pointerType === "touch";
      const pinches = touches && event.timeStamp - finger < PINCH_MS;
      if (finger !== null && (pinches || event.pointerType === "pen")) takeBack();
      if (pen !== null || !event.isPrimary || (event.button !== 0 && event.button !== 5)) return;
      event.preventDefault(); // no text is selected
      canvas.focus({ preventScroll: true });
      canvas.toggleAttribute("data-by-hand", true); // whoever draws by hand sees where
      cursor.hidden = true;
      camera.stop();
      pen = event.pointerId;
      finger = touches ? event.timeStamp : null;
      canvas.setPointerCapture(pen);
      lookAgain();
      page.press(event.button === 5 ? "eraser" : tools.tool, at(event), wide(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId !== pen) return;
      const steps = event.getCoalescedEvents?.() ?? [];
      for (const step of steps.length ? steps : [event]) page.drag(at(step), wide(step));
      page.changed();
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
      canvas.addEventListener(end, (event) => {
        if (event.pointerId !== pen) return;
        if (end === "pointercancel" && finger !== null) return takeBack(); // the system found a palm
        pen = finger = null;
        page.lift();
      });

    // The keyboard: arrows move a pen that Space lowers and lifts
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const arrow = ARROWS[event.key];
      const key = event.key.toLowerCase();
      if (pen !== null && (arrow || key === " ")) return event.preventDefault(); // the hand draws
      canvas.toggleAttribute("data-by-hand", false);
      cursor.hidden = false;
      if (arrow) {
        const step = ((event.shiftKey ? 32 : 8) * canvas.width) / 512;
        keyboard.x = Math.max(0, Math.min(canvas.width, keyboard.x + step * arrow[0]));
        keyboard.y = Math.max(0, Math.min(canvas.height, keyboard.y + step * arrow[1]));
        if (page.drawn) {
          page.drag({ ...keyboard }, wide(event));
          page.changed();
        }
      } else if (key === " ") {
        camera.stop();
        if (page.drawn && !event.repeat) page.lift();
        else if (!event.repeat) page.press(tools.tool, { ...keyboard }, wide(event)); // held down, it counts once
      } else if (event.key === "Escape") page.lift();
      else if (key === "p") choose("tool", "pen");
      else if (key === "e") choose("tool", "eraser");
      else return;
      event.preventDefault();
      cursor.style.left = `${(100 * keyboard.x) / canvas.width}%`;
      cursor.style.top = `${(100 * keyboard.y) / canvas.height}%`;
    });
    canvas.addEventListener("blur", () => {
      canvas.toggleAttribute("data-by-hand", false);
      cursor.hidden = true;
      if (pen === null) page.lift();
    });
    document.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey || isText(event.target)) return;
      const key = event.key.toLowerCase();
      const back = key === "z" && !event.shiftKey;
      if (!back && key !== "y" && key !== "z") return;
      event.preventDefault();
      leave(back ? page.undo : page.redo);
    });

    // Buttons
    const leave = (then) => {
      camera.stop();
      then();
    };
    element.addEventListener("click", (event) => {
      const { tool, brush } = event.target.closest("button")?.dataset ?? {};
      if (tool) choose("tool", tool);
      if (brush) choose("brush", brush);
    });
    for (const step of ["undo", "redo", "clear"])
      own(step).addEventListener("click", () => leave(page[step]));
    own("clear").addEventListener("click", () => choose("tool", "pen")); // there is nothing to erase
    own("keep").addEventListener("click", () => listener.save(canvas.toDataURL("image/png"), "drawing.png"));

    // Pictures from elsewhere: chosen here, or handed over; the newest counts
    let opening = 0;
    async function open(picture) {
      if (!picture) return;
      const mine = (opening += 1);
      const { bitmap, problem } = await read(picture);
      if (mine === opening && problem) listener.say(problem, "error");
      if (mine === opening && bitmap) {
        camera.stop();
        page.keep();
        page.show(bitmap);
      }
      bitmap?.close();
    }
    own("open").addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      open(file.files[0]);
      file.value = ""; // the same one can be chosen again
    });

    looked = look();
    listener.follow({
      snapshot: async () => {
        await looked;
        return !seen || page.blank ? "" : given || page.snapshot();
      },
      open,
      // A drawing that was there before, as a step that can be undone; the listener knows of it.
      put: async (url) => {
        const damaged = () => null; // as a file from elsewhere may hold it
        const picture = url && (await createImageBitmap(await (await fetch(url)).blob()).catch(damaged));
        camera.stop();
        if (!picture && page.blank) return;
        quiet = true;
        page.keep();
        picture ? page.show(picture, { photo: /^data:image\/jpeg/.test(url) }) : page.wipe();
        quiet = false;
        given = url;
        picture?.close?.();
      },
    });
  }

  const TEXT = "textarea, [contenteditable], input:not([type=radio], [type=checkbox], [type=range])";
  const isText = (target) => target instanceof Element && target.closest(TEXT) !== null;

  return { connect, KEYS };
})();
