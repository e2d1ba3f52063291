// What is drawn on a canvas: strokes of a pen or an eraser, pictures, and the steps back.
//
// Ink on white paper, as pixels: what is on the canvas is what counts, wherever it came from. Steps
// back are canvases, too, so that a browser which hides what is on one draws them all the same. Knows
// nothing of pages, events, models or servers.

window.sdxsDrawing = (() => {
  const PAPER = "#ffffff";
  const INK = "#101010";
  const BRUSHES = { thin: 5, middle: 10, thick: 18 }; // widths for a canvas of 512 pixels
  const MEMORY = 64 * 2 ** 20; // bytes of drawings kept to go back to

  // Drawings to go back to and forward again, the oldest forgotten beyond `most`.
  function history(most) {
    const past = [];
    const future = [];
    let ended = []; // what the last drawing kept made an end of
    const step = (from, to, now) => {
      if (!from.length) return null;
      to.push(now);
      return from.pop();
    };
    return {
      keep(drawing) {
        past.push(drawing);
        if (past.length > most) past.shift();
        ended = future.splice(0);
      },
      // The last drawing kept, as if it never had been.
      revoke() {
        future.push(...ended.splice(0));
        return past.pop();
      },
      undo: (now) => step(past, future, now),
      redo: (now) => step(future, past, now),
      get past() { return past.length; },
      get future() { return future.length; },
    };
  }

  const memorable = (width, height) => Math.max(8, Math.min(50, Math.floor(MEMORY / (4 * width * height))));

  // How wide a line is, in canvas pixels. A pen's pressure counts; a mouse reports a half always.
  function lineWidth(brush, { pointerType, pressure }, width) {
    const pressed = pointerType === "pen" && pressure > 0 ? 0.35 + 1.3 * pressure : 1;
    return (BRUSHES[brush] * pressed * width) / 512;
  }

  // Where an event of the window lies on the canvas; `box` is where the window shows the canvas.
  const onCanvas = ({ clientX, clientY }, box, { width, height }) => ({
    x: ((clientX - box.left) * width) / box.width,
    y: ((clientY - box.top) * height) / box.height,
  });

  // The rectangle [x, y, width, height] in which a picture lies whole, or which it covers.
  function placed(picture, { width, height }, cover) {
    const scales = [width / picture.width, height / picture.height];
    const scale = cover ? Math.max(...scales) : Math.min(...scales);
    const size = [picture.width * scale, picture.height * scale];
    return [(width - size[0]) / 2, (height - size[1]) / 2, ...size];
  }

  // A line that grows point by point and runs through each of them. The eraser is twice as wide as a
  // pen, so that it takes a line's soft edges along.
  function stroke(context, tool, start, width) {
    let last = start;
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = context.fillStyle = tool === "eraser" ? PAPER : INK;
    const wideOf = (wide) => (tool === "eraser" ? 2 * wide : wide);
    const move = (point, wide) => {
      context.lineWidth = wideOf(wide);
      context.beginPath();
      context.moveTo(last.x, last.y);
      context.lineTo(point.x, point.y);
      context.stroke();
      last = point;
    };
    context.beginPath(); // a dot: a line of no length is drawn as nothing
    context.arc(start.x, start.y, wideOf(width) / 2, 0, 2 * Math.PI);
    context.fill();
    return { move };
  }

  // Whether a page may see what is on a canvas: some browsers put noise or nothing in its place, so that
  // nobody is known again by it. A little noise does no harm.
  async function legible({ ownerDocument }) {
    const canvas = Object.assign(ownerDocument.createElement("canvas"), { width: 64, height: 64 });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const shades = [PAPER, INK].map((colour, half) => {
      context.fillStyle = colour;
      context.fillRect(32 * half, 0, 32, 64);
      return parseInt(colour.slice(1, 3), 16);
    });
    const image = new Image();
    const src = canvas.toDataURL("image/png");
    try {
      await new Promise((done, failed) => Object.assign(image, { onload: done, onerror: failed, src }));
    } catch {
      return false; // there was nothing in it
    }
    context.clearRect(0, 0, 64, 64);
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, 64, 64); // RGBA of each pixel
    const wrong = data.filter((value, at) => at % 4 < 3 && Math.abs(value - shades[(at >> 7) & 1]) > 64);
    return wrong.length < data.length / 10;
  }

  // What a canvas holds, and how it is changed; `changed` is called after each change.
  function drawing(canvas, changed) {
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const { width, height } = canvas;
    const kept = history(memorable(width, height));
    let photo = false; // something of many colours lies on the canvas
    let blank = true; // nothing does
    let line = null; // the stroke in the making

    const now = () => {
      const sheet = canvas.cloneNode();
      sheet.getContext("2d", { willReadFrequently: true }).drawImage(canvas, 0, 0);
      return { sheet, photo, blank };
    };
    const paper = () => {
      context.fillStyle = PAPER;
      context.fillRect(0, 0, width, height);
      photo = false;
      blank = true;
    };
    const become = (then) => {
      if (!then) return;
      context.drawImage(then.sheet, 0, 0);
      ({ photo, blank } = then);
      changed();
    };
    const back = (step) => {
      lift();
      become(step(now()));
    };
    const keep = () => kept.keep(now());

    function press(tool, point, wide) {
      lift();
      if (blank && tool === "eraser") return;
      keep();
      line = stroke(context, tool, point, wide);
      blank = false;
      changed();
    }
    const drag = (point, wide) => line?.move(point, wide);
    function lift() {
      if (!line) return;
      line = null;
      changed();
    }
    // The stroke in the making was never meant: all is as before it.
    function revoke() {
      if (!line) return;
      line = null;
      become(kept.revoke());
    }

    // An empty sheet.
    function wipe() {
      lift();
      paper();
      changed();
    }

    paper();
    return {
      press, drag, lift, revoke, keep, changed,
      get drawn() { return line !== null; },
      get blank() { return blank; },
      get past() { return kept.past; },
      get future() { return kept.future; },
      undo: () => back(kept.undo),
      redo: () => back(kept.redo),
      wipe,
      clear() {
        lift();
        keep();
        wipe();
      },
      // A picture takes the place of the drawing. mirror: as in a looking glass; photo: it has many
      // colours.
      show(picture, { cover = false, mirror = false, photo: many = true } = {}) {
        lift();
        paper();
        context.save();
        if (mirror) context.setTransform(-1, 0, 0, 1, width, 0);
        context.drawImage(picture, ...placed(picture, canvas, cover));
        context.restore();
        photo = many;
        blank = false;
        changed();
      },
      // Lines keep every pixel; photos would be far too large that way.
      snapshot: () => (photo ? canvas.toDataURL("image/jpeg", 0.92) : canvas.toDataURL("image/png")),
    };
  }

  return { drawing, history, legible, memorable, lineWidth, onCanvas, placed, stroke };
})();
