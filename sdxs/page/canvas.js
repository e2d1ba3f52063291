// A canvas to draw on: its tools, the hand and the keyboard, pictures opened onto it, a camera.
//
// What is on it is `drawing.js`'s business, which comes first. Knows nothing of models, servers or
// the framework. `connect(element, listener)` brings canvas.html to life; `listener` has
// `follow(snapshot)`, told once how to get the drawing as a data URL, `drew()`, told of every change,
// `save(url, name)` for a download, and `say(text, kind)` for what a visitor should read.

window.sdxsCanvas = (() => {
  const { drawing, lineWidth, onCanvas } = window.sdxsDrawing;
  const LARGEST_FILE = 50e6; // bytes
  const LARGEST_AREA = 64e6; // pixels
  const KINDS = ["image/png", "image/jpeg", "image/webp"];
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  // Brings canvas.html to life.
  function connect(element, listener) {
    const own = (name) => element.querySelector(`#sdxs-${name}`);
    const canvas = own("drawing");
    const cursor = own("cursor");
    const file = own("file");
    const tools = { tool: "pen", brush: "middle" };
    const keyboard = { x: canvas.width / 2, y: canvas.height / 2 };
    const page = drawing(canvas, () => {
      own("undo").setAttribute("aria-disabled", String(!page.past));
      own("redo").setAttribute("aria-disabled", String(!page.future));
      cursor.toggleAttribute("data-down", page.drawn);
      if (!cursor.hidden) own("pen").textContent = page.drawn ? "Pen down" : "Pen up";
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

    // The pen: one at a time, the first finger counts
    let pen = null;
    const at = (event) => onCanvas(event, canvas.getBoundingClientRect(), canvas);
    canvas.addEventListener("pointerdown", (event) => {
      if (pen !== null || !event.isPrimary || (event.button !== 0 && event.button !== 5)) return;
      event.preventDefault(); // no text is selected
      canvas.focus({ preventScroll: true });
      canvas.toggleAttribute("data-by-hand", true); // whoever draws by hand sees where
      cursor.hidden = true;
      camera.stop();
      pen = event.pointerId;
      canvas.setPointerCapture(pen);
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
        pen = null;
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
    own("keep").addEventListener("click", () => listener.save(canvas.toDataURL("image/png"), "drawing.png"));

    // Pictures from elsewhere: chosen, dropped, pasted; the newest counts
    let opening = 0;
    async function open(picture) {
      if (!picture) return;
      const mine = (opening += 1);
      try {
        const problem = refused(picture) || refused(picture, await sides(picture));
        if (mine !== opening) return;
        if (problem) return listener.say(problem, "error");
        const bitmap = await createImageBitmap(picture);
        if (mine === opening) {
          camera.stop();
          page.keep();
          page.show(bitmap);
        }
        bitmap.close();
      } catch {
        if (mine === opening) listener.say(`${nameOf(picture)} cannot be opened: it is damaged.`, "error");
      }
    }
    own("open").addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      open(file.files[0]);
      file.value = ""; // the same one can be chosen again
    });
    const files = (event) => event.dataTransfer?.types.includes("Files");
    document.addEventListener("dragover", (event) => files(event) && event.preventDefault());
    document.addEventListener("drop", (event) => {
      if (!files(event)) return;
      event.preventDefault(); // wherever it falls: the browser would leave the page for it
      open(event.dataTransfer.files[0]);
    });
    document.addEventListener("paste", (event) => {
      const picture = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
      const text = isText(event.target) && event.clipboardData.types.includes("text/plain");
      if (!picture || text) return; // office programs hand over a picture of the text, too
      event.preventDefault();
      open(picture);
    });

    listener.follow(page.snapshot);
  }

  const TEXT = "textarea, [contenteditable], input:not([type=radio], [type=checkbox], [type=range])";
  const isText = (target) => target instanceof Element && target.closest(TEXT) !== null;

  const nameOf = (file) => file.name || "The picture";

  // The sides of a picture in a file; it is not decoded for that.
  async function sides(file) {
    const image = new Image();
    const url = URL.createObjectURL(file);
    try {
      await new Promise((done, failed) => Object.assign(image, { onload: done, onerror: failed, src: url }));
      return { width: image.naturalWidth, height: image.naturalHeight };
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  // Why a file is not opened, or ""; `size` as far as it is known.
  function refused(file, size) {
    if (!KINDS.includes(file.type)) return `${nameOf(file)} is no PNG, JPEG or WebP picture.`;
    if (file.size > LARGEST_FILE) return `${nameOf(file)} has more than ${LARGEST_FILE / 1e6} MB: save it smaller.`;
    if (size && size.width * size.height > LARGEST_AREA)
      return `${nameOf(file)} has ${size.width} × ${size.height} pixels: at most ${LARGEST_AREA / 1e6} megapixels are read.`;
    return "";
  }

  // A camera that keeps the newest frame on the canvas, until it is stopped; `button` toggles it.
  function watch(page, listener, button) {
    let stream = null;
    let asked = 0; // a visitor may stop it before it began

    function stop() {
      asked += 1;
      button.setAttribute("aria-pressed", "false");
      stream?.getTracks().forEach((track) => track.stop());
      stream = null;
    }

    async function start() {
      const mine = (asked += 1);
      button.setAttribute("aria-pressed", "true");
      const video = document.createElement("video");
      let opened = null;
      const close = () => opened?.getTracks().forEach((track) => track.stop());
      try {
        opened = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } } });
        if (mine !== asked) return close();
        stream = opened; // from here on it can be stopped
        Object.assign(video, { srcObject: opened, muted: true, playsInline: true });
        await video.play();
      } catch (error) {
        close();
        if (mine !== asked) return;
        stop();
        return listener.say(unseen(error), "error");
      }
      if (mine !== asked) return;
      const [track] = stream.getVideoTracks();
      const mirror = track.getSettings().facingMode !== "environment";
      page.keep();
      track.addEventListener("ended", stop);
      const next = video.requestVideoFrameCallback?.bind(video) ?? requestAnimationFrame;
      const frame = () => {
        if (mine !== asked) return;
        // as a picture: a video's own width and height are those of its element
        Object.assign(video, { width: video.videoWidth, height: video.videoHeight });
        page.show(video, { cover: true, mirror });
        next(frame);
      };
      frame();
    }

    button.addEventListener("click", () => (button.getAttribute("aria-pressed") === "true" ? stop() : start()));
    return { stop };
  }

  // Why there is no camera.
  function unseen(error) {
    if (!navigator.mediaDevices) return "A camera can only be used on a page with https, or on this machine's own address.";
    if (error.name === "NotAllowedError") return "The camera is not allowed for this page: allow it in the browser, then try again.";
    if (error.name === "NotFoundError") return "There is no camera on this machine.";
    return "The camera could not be started: another program may be using it.";
  }

  return { connect, refused };
})();
