// A page on which pictures cost their visitor something: one is painted when it is ordered, by Enter or a
// button, and at every change for those who switch that on. `page.js` comes first.

window.sdxsLent = (() => {
  const { sdxs } = window;
  let button = null;

  sdxs.live(false);
  document.addEventListener("sdxs:held", () => button && (button.disabled = false));
  document.addEventListener("sdxs:stirred", () => button && (button.disabled = true));

  // Brings lent.html to life.
  function connect(element) {
    const each = element.querySelector("#sdxs-each");
    button = element.querySelector("#sdxs-paint");
    button.disabled = !sdxs.holds;
    button.addEventListener("click", sdxs.order);
    each.addEventListener("change", () => sdxs.live(each.checked));
  }

  // Enter: the fields may have changed just now.
  function entered(known, values) {
    sdxs.changed(known, values);
    sdxs.order();
  }

  return { connect, entered };
})();
