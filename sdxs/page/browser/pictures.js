// Pictures from elsewhere: what a file holds, and a camera.
//
// What a file is called and what type it claims to be says little; its first bytes count. Knows
// nothing of what becomes of a picture.

window.sdxsPictures = (() => {
  const LARGEST_FILE = 50e6; // bytes
  const LARGEST_AREA = 64e6; // pixels
  const HEADS = [
    ["image/png", /^\x89PNG\r\n\x1a\n/],
    ["image/jpeg", /^\xff\xd8\xff/],
    ["image/webp", /^RIFF[^]{4}WEBP/],
  ];
  const HEAD = 12; // bytes

  const nameOf = (file) => file.name || "The picture";

  // The type of a file by its first bytes; "" for what is no picture that is read.
  function typeOf(bytes) {
    const head = String.fromCharCode(...bytes);
    return HEADS.find(([, pattern]) => pattern.test(head))?.[0] ?? "";
  }

  // A file as {bitmap}, or {problem}: why it is not opened.
  async function read(file) {
    const head = await file.slice(0, HEAD).arrayBuffer().catch(() => new ArrayBuffer(0)); // of a folder
    const picture = new File([file], file.name, { type: typeOf(new Uint8Array(head)) });
    try {
      const problem = refused(picture) || refused(picture, await sides(picture));
      return problem ? { problem } : { bitmap: await createImageBitmap(picture) };
    } catch {
      return { problem: `${nameOf(file)} cannot be opened: it is damaged.` };
    }
  }

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

  // Why a file of this type is not opened, or ""; `size` as far as it is known.
  function refused(file, size) {
    if (!file.type) return `${nameOf(file)} is no PNG, JPEG or WebP picture.`;
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

  return { read, refused, typeOf, watch };
})();
