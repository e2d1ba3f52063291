// A link that holds all that made a picture, and what opens it.
//
// All is in the fragment, which no server sees: the fields that are not as at first, by their names, the
// checkpoint, and a drawing as its grey pixels. A photo is never in it. Whoever made a link is a stranger:
// what is not known here is left out. `page.js` comes first. Knows nothing of models.

window.sdxsLinks = (() => {
  const LONGEST = 1e6; // characters of a fragment
  const LARGEST = 2 ** 21; // pixels of a drawing
  const NEARLY = 2; // of 255, as some browsers blur what a page reads of a canvas
  const COPIED = "The link is copied.";
  const UNCOPIED = "This page may not copy; here is the link.";
  const LACKS = "It holds all but the photo.";

  const short = (text) => (text.length > 60 ? `${text.slice(0, 59)}…` : text);

  // The fragment of a request; pixels: what `pack` makes of its drawing.
  function encode(request, fields, checkpoint, pixels = "") {
    const said = new URLSearchParams();
    for (const [name, { start }] of Object.entries(fields)) {
      const value = request[name] ?? start;
      if (value !== start || name === "prompt" || name === "seed") said.set(name, value);
    }
    if (pixels) said.set("drawing", pixels);
    if (checkpoint) said.set("checkpoint", checkpoint);
    return String(said);
  }

  // A field's value from its text; undefined where it cannot be one.
  function valued(text, { start, choices }) {
    const value = typeof start === "number" ? Number(text.trim() || NaN) : typeof start === "boolean" ? text === "true" : text;
    const possible = choices ? choices.includes(value) : typeof value !== "number" || Number.isFinite(value);
    return possible ? value : undefined;
  }

  // {request, pixels, checkpoint, left} of a fragment, left: names that say nothing here; null for a
  // fragment that is none of ours.
  function decode(fragment, fields) {
    if (fragment.length > LONGEST) return null;
    const { drawing = "", checkpoint = "", ...said } = Object.fromEntries(new URLSearchParams(fragment));
    const request = {};
    const left = [];
    for (const [name, text] of Object.entries(said)) {
      const value = Object.hasOwn(fields, name) ? valued(text, fields[name]) : undefined;
      value === undefined ? left.push(name) : (request[name] = value);
    }
    const ours = drawing || checkpoint || Object.keys(request).length;
    return ours ? { request, pixels: drawing, checkpoint, left } : null;
  }

  // Bytes through a stream that packs or unpacks; more than `most` come of none that is ours.
  async function through(bytes, stream, most) {
    const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
    const parts = [];
    for (let size = 0, step; !(step = await reader.read()).done; parts.push(step.value)) {
      size += step.value.length;
      if (size > most) throw new RangeError("too many bytes");
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  }

  // Grey pixels as text for a link: "512x512." and the pixels, packed.
  async function pack({ width, height, grey }) {
    const bytes = await through(grey, new CompressionStream("deflate-raw"), Infinity);
    const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    return `${width}x${height}.${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
  }

  // The same pixels; null for a text that is none of ours.
  async function unpack(text) {
    const [, width, height, packed] = /^(\d{1,4})x(\d{1,4})\.([\w-]+)$/.exec(text) ?? [];
    const size = width * height;
    if (!size || size > LARGEST) return null;
    try {
      const bytes = Uint8Array.from(atob(packed.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
      const grey = await through(bytes, new DecompressionStream("deflate-raw"), size);
      return grey.length === size ? { width: +width, height: +height, grey } : null;
    } catch {
      return null; // damaged, or this browser cannot
    }
  }

  const sheet = (width, height) => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    return [canvas, canvas.getContext("2d", { willReadFrequently: true })];
  };

  // The grey pixels of a drawing, a data URL; null for a photo.
  async function pixelsOf(url) {
    if (!url.startsWith("data:image/png")) return null;
    const picture = await createImageBitmap(await (await fetch(url)).blob());
    const { width, height } = picture;
    const [, context] = sheet(width, height);
    context.drawImage(picture, 0, 0);
    picture.close();
    const { data } = context.getImageData(0, 0, width, height); // RGBA of each pixel
    const grey = new Uint8Array(width * height);
    for (let at = 0; at < grey.length; at += 1) {
      const [red, green, blue] = data.subarray(4 * at, 4 * at + 3);
      if (Math.max(Math.abs(red - green), Math.abs(blue - green)) > NEARLY) return null;
      grey[at] = green;
    }
    return { width, height, grey };
  }

  // The drawing of grey pixels, a data URL.
  function drawingOf({ width, height, grey }) {
    const [canvas, context] = sheet(width, height);
    const image = context.createImageData(width, height);
    grey.forEach((value, at) => image.data.set([value, value, value, 255], 4 * at));
    context.putImageData(image, 0, 0);
    return canvas.toDataURL("image/png");
  }

  // {request, note, kind} of the address's fragment, which is taken out of it; null where it has none of ours.
  async function opened(fields, here, canvas) {
    const { hash, pathname, search } = window.location;
    const found = hash.length > 1 && decode(hash.slice(1), fields);
    if (!found) return null;
    window.history.replaceState(window.history.state, "", pathname + search); // a reload keeps what is set by then
    const { request, pixels, checkpoint, left } = found;
    const drawn = pixels && canvas && (await unpack(pixels));
    if (drawn) request.drawing = drawingOf(drawn);
    if (pixels && !drawn) left.push("drawing");
    const notes = [];
    if (checkpoint && here && checkpoint !== here) notes.push(`This link was made with ${short(checkpoint)}; here ${here} paints.`);
    if (left.length) notes.push(`Not known here and left out of the link: ${short(left.join(", "))}.`);
    return { request, note: notes.join(" "), kind: notes.length ? "warning" : "" };
  }

  let arrived = null;
  const connected = new Promise((done) => (arrived = done)); // the checkpoint's name
  const read = async () => opened(window.sdxs.fields, await connected, window.sdxs.canvas);
  window.sdxs.opens(read);

  // Brings the button of stage.html to life.
  function connect(element, page, checkpoint) {
    const copy = element.querySelector("#sdxs-copy");
    const field = element.querySelector("#sdxs-link");
    arrived(checkpoint);
    document.addEventListener("sdxs:shown", () => {
      copy.disabled = false;
      field.hidden = true; // it was that of another picture
    });
    window.addEventListener("hashchange", async () => {
      const found = await read();
      if (!found) return;
      await page.restore(found.request);
      if (found.note) page.say(found.note, found.kind);
    });
    copy.addEventListener("click", async () => {
      const request = page.shown;
      const { drawing } = request;
      const pixels = drawing && (await pixelsOf(drawing).then((found) => found && pack(found)).catch(() => null));
      const link = new URL(window.location.href);
      link.hash = encode(request, page.fields, checkpoint, pixels ?? "");
      const lacks = drawing && !pixels;
      try {
        await window.navigator.clipboard.writeText(link.href);
        page.say(lacks ? `${COPIED} ${LACKS}` : COPIED, "hint");
      } catch {
        page.say(lacks ? `${UNCOPIED} ${LACKS}` : UNCOPIED, "hint"); // no https, or forbidden
        field.value = link.href;
        field.hidden = false;
        field.focus();
        field.select();
      }
    });
    field.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape") return;
      field.hidden = true;
      copy.focus();
    });
  }

  return { connect, decode, encode, pack, unpack };
})();
