// A folder of exported files that is dropped on the page: kept in the browser, and opened from there.
//
// It takes the place of the one before. Files are kept where sw.js finds them; knows nothing of models but
// that sdxs.json is in them.

const KEPT = "sdxs dropped"; // as in sw.js
const PLACE = "dropped/";
const MB = 1e6;

const promised = (object, method) => new Promise((done, failed) => object[method](done, failed));

// [[path, File]] of all that is in a folder.
async function filesOf(folder, path = "") {
  const reader = folder.createReader();
  const found = [];
  for (let some; (some = await promised(reader, "readEntries")).length; )
    for (const entry of some) {
      if (entry.isDirectory) found.push(...(await filesOf(entry, `${path}${entry.name}/`)));
      else found.push([path + entry.name, await promised(entry, "file")]);
    }
  return found;
}

async function keep(folder, say) {
  const files = await filesOf(folder);
  if (!files.some(([path]) => path === "sdxs.json")) return say(`${folder.name} has no sdxs.json: drop a folder that sdxs.export wrote.`, "error");
  if (!window.sdxsKeeps) return say("This browser keeps nothing of the page, so a folder cannot be opened: put it where ?model= can name it.", "error");
  const all = files.reduce((sum, [, { size }]) => sum + size, 0);
  let done = 0;
  await window.caches.delete(KEPT); // there may be no room for both
  try {
    const cache = await window.caches.open(KEPT);
    for (const [path, file] of files) {
      say(`Keeping ${folder.name}: ${Math.round(done / MB)} of ${Math.round(all / MB)} MB.`, "hint");
      await cache.put(new URL(PLACE + path, window.location.href), new Response(file, { headers: { "Content-Length": file.size } }));
      done += file.size;
    }
  } catch (error) {
    await window.caches.delete(KEPT); // half a model is none
    throw error;
  }
  window.location.search = `?model=${PLACE}`;
}

// say: (text, kind), for the visitor.
export function keepFolder(say) {
  document.addEventListener(
    "drop",
    (event) => {
      const entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.());
      const folder = entries.find((entry) => entry?.isDirectory);
      if (!folder) return;
      event.preventDefault();
      event.stopImmediatePropagation(); // no picture file
      document.documentElement.removeAttribute("data-dropping");
      keep(folder, say).catch((error) => say(`${folder.name} could not be kept (${error.message}).`, "error"));
    },
    true,
  );
}
