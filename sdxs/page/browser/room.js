// The room that the picture has, and the canvas with it: all of the screen, or what a phone's keyboard
// leaves of the window.
//
// A browser that gives no element the screen, as on an iPhone, gives it the window. Knows nothing of
// requests; sizes are room.css's business.

window.sdxsRoom = (() => {
  // The height that can be seen, however far the page is zoomed in.
  const view = window.visualViewport;
  const measure = () =>
    document.documentElement.style.setProperty("--sdxs-height", `${Math.round(view.height * view.scale)}px`);
  view?.addEventListener("resize", measure);
  if (view) measure();

  // Brings the button in stage.html to life.
  function connect(element) {
    const button = element.querySelector("#sdxs-full");
    const whole = () => element.closest(".sdxs-drawn") ?? element.querySelector(".sdxs-stage");
    let full = false;
    let entered = false; // the screen: leaving it may still be under way when it is asked for again

    function fill(on) {
      if (on === full) return;
      full = on;
      entered = false;
      document.documentElement.toggleAttribute("data-full", on);
      whole().toggleAttribute("data-fills", on);
      button.setAttribute("aria-pressed", String(on));
      if (on) whole().requestFullscreen?.().catch(() => {}); // it has the window all the same
      else if (document.fullscreenElement) document.exitFullscreen();
    }

    const toggle = () => fill(!full);
    button.addEventListener("click", toggle);
    document.addEventListener("fullscreenchange", () => {
      if (document.fullscreenElement) entered = true;
      else if (entered) fill(false);
    });
    document.addEventListener("keydown", ({ key }) => {
      if (key === "Escape" && !document.querySelector("dialog[open]")) fill(false);
    });
    window.sdxsKeys.on("F", "The picture on the whole screen, and back", toggle);
    window.sdxsKeys.add([["Esc", "Leaves the whole screen"]]);
  }

  return { connect };
})();
