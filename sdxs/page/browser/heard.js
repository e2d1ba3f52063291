// What is heard instead of seen: what a picture is called, and that it is there, once the hand rests.
//
// Comes before page.js, which calls pictures by `described`.

window.sdxsHeard = (() => {
  const LONGEST = 300; // characters of a prompt that is read out

  // A request in words: its prompt, and what else made the picture.
  function described({ prompt, seed, style, template, drawing }) {
    const letters = [...prompt.slice(0, 2 * LONGEST).trim()]; // no half of one
    const text = letters.length > LONGEST ? `${letters.slice(0, LONGEST).join("")}…` : letters.join("");
    const more = [`seed ${seed ?? 0}`];
    if (style) more.push(`style ${style}`);
    if (template) more.push(`template ${template}`);
    if (drawing) more.push("drawing followed");
    return `${text} (${more.join(", ")})`;
  }

  // Brings the line in stage.html to life that is only heard.
  function connect(element) {
    const line = element.querySelector("#sdxs-heard");
    document.addEventListener("sdxs:rested", ({ detail }) => {
      const text = `Painted: ${described(detail.request)}`;
      if (line.textContent !== text) line.textContent = text;
    });
  }

  return { connect, described };
})();
