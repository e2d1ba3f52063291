// What acts on the picture besides its prompt and may be out of sight, a walk and a template: said on
// the picture, and ended by a click there. `page.js` comes first.

window.sdxsActing = (() => {
  const quoted = (text) => `“${text}”`;
  const to = ({ to_prompt = "", to_seed = "" }) =>
    [`${to_prompt}`.trim() && quoted(`${to_prompt}`.trim()), `${to_seed}`.trim() && `seed ${to_seed}`].filter(Boolean).join(", ");

  // What a click sets back, and what is said of a request; "" where it does not act.
  const ACTS = [
    ["walk", { to_prompt: "", to_seed: "" }, (request) => to(request) && `${Math.round(100 * (request.walk ?? 0.5))} % of the way to ${to(request)}`],
    ["template", { template: "" }, ({ template = "" }) => template],
  ];

  function connect(element, page) {
    const place = element.querySelector("#sdxs-acting");
    const buttons = ACTS.map(([name, ended]) => {
      const button = Object.assign(document.createElement("button"), { type: "button", hidden: true });
      button.append(Object.assign(document.createElement("span"), { dir: "auto" }), Object.assign(document.createElement("b"), { textContent: "×" }));
      button.addEventListener("click", () => page.set(ended));
      button.title = `End the ${name}`;
      button.dataset.name = name;
      return button;
    });
    place.replaceChildren(...buttons);

    function look({ detail: { request } }) {
      ACTS.forEach(([name, , says], at) => {
        const text = says(request ?? {});
        buttons[at].hidden = !text;
        buttons[at].firstChild.textContent = text;
        buttons[at].setAttribute("aria-label", `End the ${name}: ${text}`);
      });
    }
    document.addEventListener("sdxs:shown", look);
    look({ detail: { request: page.shown } });
  }

  return { connect };
})();
