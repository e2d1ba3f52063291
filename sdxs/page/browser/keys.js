// Single keys that do something wherever the visitor is, but for where text is written; and the list
// of them, which "?" opens and in which they can be switched off: who speaks to a computer, or hits keys
// without meaning to, needs that.
//
// `on(key, says, act)` adds one; `add([[keys, says], …])` adds to the list what works by itself in its place.
// Knows nothing of what keys do.

window.sdxsKeys = (() => {
  const KEPT = "sdxs keys";
  const TEXT = "textarea, select, [contenteditable], input:not([type=radio], [type=checkbox], [type=range])";
  const rows = []; // [keys, what they do], in the order of the list
  const acts = new Map(); // key -> what it does
  let list = null; // the dialog, once the page is there
  let active = true;
  try {
    active = window.localStorage.getItem(KEPT) !== "off";
  } catch {} // forbidden

  const isText = (target) => target instanceof Element && target.closest(TEXT) !== null;

  function add(more) {
    rows.push(...more);
    if (list) write();
  }

  function on(key, says, act) {
    acts.set(key.toLowerCase(), act);
    add([[key, says]]);
  }

  function write() {
    const table = list.querySelector("dl");
    const element = (name, textContent) => Object.assign(document.createElement(name), { textContent });
    table.replaceChildren(
      ...rows.map(([keys, says]) => {
        const row = element("div", "");
        row.append(element("dt", keys), element("dd", says));
        return row;
      }),
    );
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return;
    const act = acts.get(event.key.toLowerCase());
    if (!act || !active || isText(event.target) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    act();
  });

  // Brings head.html to life.
  function connect(element) {
    list = element.querySelector("#sdxs-keys-list");
    const opener = element.querySelector("#sdxs-keys");
    const open = () => list.showModal();
    opener.addEventListener("click", open);
    list.addEventListener("click", ({ target }) => target === list && list.close()); // beside it
    const choice = list.querySelector("input");
    choice.checked = active;
    choice.addEventListener("change", () => {
      active = choice.checked;
      try {
        window.localStorage.setItem(KEPT, active ? "on" : "off");
      } catch {} // forbidden: until the page is left, then
    });
    on("?", "This list", open);
    write();
  }

  return { on, add, connect };
})();
