// Picture files that are dropped on a page, pasted, or chosen: what made them comes back.
//
// A file that says nothing of that is opened on the canvas, where the page has one. The newest file
// counts. `page.js`, `pictures.js` and `carried.js` come first. What a file says is read by the server,
// which is sent that alone.

window.sdxsDropped = (() => {
  const { typeOf, refused } = window.sdxsPictures;
  const { carried } = window.sdxsCarried;
  const SILENT = "The server does not answer; try again in a moment.";
  const page = window.sdxs;
  let newest = 0;

  const nameOf = (file) => file.name || "The picture";

  const urlOf = (blob) =>
    new Promise((done) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result);
      reader.readAsDataURL(blob);
    });

  // {said, problem} of a file: what it carries, or null; why it is no picture to be read, or "".
  async function look(file) {
    const bytes = new Uint8Array(await file.slice(0, 12).arrayBuffer().catch(() => new ArrayBuffer(0))); // of a folder
    const type = typeOf(bytes);
    const problem = refused({ name: file.name, size: file.size, type });
    if (problem) return { said: null, problem };
    const said = carried(type, new Uint8Array(await file.arrayBuffer()));
    return { said: said && new Blob([said], { type }), problem };
  }

  async function take(file) {
    const mine = (newest += 1);
    const { said, problem } = await look(file);
    await page.ready; // what the page begins with would take its place
    if (mine !== newest) return;
    let answer = null;
    if (said) answer = await window.sdxsServer.call(page.server, "read", { file: await urlOf(said), name: nameOf(file) });
    if (mine !== newest) return;
    if (answer?.request) {
      await page.restore(answer.request);
      if (answer.note) page.say(answer.note, answer.kind ?? "hint");
    } else if (answer?.again || answer?.refused) page.say(answer.note ?? SILENT, "error");
    else if (page.canvas) page.canvas.open(file);
    else if (answer?.note) page.say(answer.note, answer.kind ?? "hint");
    else page.say(problem || `${nameOf(file)} says nothing of how it was made.`, problem ? "error" : "hint");
  }

  // The button and its chooser, see rewind.html.
  function connect(element) {
    const chooser = element.querySelector("#sdxs-brought");
    element.querySelector("#sdxs-bring").addEventListener("click", () => chooser.click());
    chooser.addEventListener("change", () => {
      if (chooser.files[0]) take(chooser.files[0]);
      chooser.value = ""; // the same one can be chosen again
    });
  }

  const TEXT = "textarea, [contenteditable], input:not([type=radio], [type=checkbox], [type=range])";
  const isText = (target) => target instanceof Element && target.closest(TEXT) !== null;
  const files = (event) => event.dataTransfer?.types.includes("Files");
  const over = (is) => document.documentElement.toggleAttribute("data-dropping", is);

  document.addEventListener("dragover", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    over(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? over(false));
  document.addEventListener("drop", (event) => {
    over(false);
    if (!files(event)) return;
    event.preventDefault(); // wherever it falls: the browser would leave the page for it
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
  document.addEventListener("paste", (event) => {
    const pasted = [...event.clipboardData.files];
    const picture = pasted.find(({ type }) => type.startsWith("image/")) ?? pasted.find(({ type }) => !type);
    const text = isText(event.target) && event.clipboardData.types.includes("text/plain");
    if (!picture || text) return; // office programs hand over a picture of the text, too
    event.preventDefault();
    take(picture);
  });

  return { connect };
})();
