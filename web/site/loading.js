// The bar on the picture while files of the model are on their way.

const MB = 1e6;

// {report, end}: report({path, loaded, total}) as the worker tells it; end(): the model is open.
export function loading() {
  const files = new Map(); // path -> [loaded, total], in bytes
  let opening = true;

  function show(text, part) {
    const element = document.getElementById("sdxs-loading");
    const line = element?.firstChild ?? document.getElementById("sdxs-start");
    if (line) line.textContent = text;
    if (!element) return;
    element.hidden = !text;
    part === null ? element.lastChild.removeAttribute("value") : (element.lastChild.value = part);
  }

  function report({ path, loaded, total }) {
    if (!path) return opening && show("Starting the model", null);
    files.set(path, [loaded, total]);
    const [done, all] = [0, 1].map((at) => [...files.values()].reduce((sum, file) => sum + file[at], 0));
    if (done < all) return show(`Fetching the model: ${Math.round(done / MB)} of ${Math.round(all / MB)} MB`, done / all);
    if (!opening) end();
  }

  function end() {
    opening = false;
    files.clear();
    show("", 0);
  }

  return { report, end };
}
