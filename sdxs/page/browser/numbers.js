// Where the time of a picture goes: the server's stages, the network, this browser.
//
// Of each picture a few times are noted; what they come to is worked out only while the panel is open,
// and at most a few times a second. Knows nothing of models: the server's stages are what it measured.

window.sdxsNumbers = (() => {
  const MOST = 100; // pictures that count
  const EVERY_MS = 250; // between two looks at the numbers
  const PAUSE_MS = 1000; // without a picture: what is before it was another burst
  const BURST_MS = 5000; // in which pictures a second are counted
  const LIMITS = {
    waiting: "Waiting for other visitors takes",
    drawing: "Reading the drawing takes",
    model: "The model takes",
    encoding: "Encoding the picture takes",
    network: "The network takes",
    browser: "This browser takes",
  };

  // The stages of a picture in ms. times: when it was sent, received and painted.
  function stages(server, { sent, received, painted }) {
    const there = Object.values(server).reduce((sum, ms) => sum + ms, 0);
    // two clocks of limited resolution: what they disagree by is no time
    return { ...server, network: Math.max(0, received - sent - there), browser: painted - received };
  }

  // The smallest value that a share of the values does not exceed.
  function percentile(values, share) {
    const sorted = [...values].sort((one, other) => one - other);
    return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  }

  // Pictures a second in the last burst; undefined for a single one. moments: when each was painted.
  function rate(moments) {
    let first = moments.length - 1;
    const last = moments[first];
    while (first > 0 && moments[first] - moments[first - 1] < PAUSE_MS && last - moments[first - 1] <= BURST_MS) first -= 1;
    const seconds = (last - moments[first]) / 1000;
    return seconds > 0 ? (moments.length - 1 - first) / seconds : undefined;
  }

  function limit(found, all) {
    const [name, ms] = Object.entries(found).reduce((most, one) => (one[1] > most[1] ? one : most));
    const share = 2 * ms > all ? "most of it" : "the largest part";
    return `${LIMITS[name]} ${share}: ${Math.round(ms)} of ${Math.round(all)} ms.`;
  }

  function connect(element) {
    const button = element.querySelector("#sdxs-live");
    const panel = element.querySelector("#sdxs-numbers");
    const words = element.querySelector("#sdxs-limit");
    const cells = [...panel.querySelectorAll("[data-number]")];
    const pictures = []; // {server, times}, the last hundred
    let coming = null; // the picture that is not yet painted
    let next = 0; // the timer of the next look

    function look() {
      next = 0;
      if (panel.hidden || !pictures.length) return;
      const { server, times } = pictures.at(-1);
      const found = stages(server, times);
      const totals = pictures.map(({ times: { sent, painted } }) => painted - sent);
      const all = totals.at(-1);
      const values = { ...found, all, p50: percentile(totals, 0.5), p95: percentile(totals, 0.95) };
      const pace = rate(pictures.map(({ times }) => times.painted));
      for (const cell of cells) {
        const { number } = cell.dataset;
        const text = number === "rate" ? pace?.toFixed(1) : values[number]?.toFixed(0);
        if (cell.textContent !== (text ?? "–")) cell.textContent = text ?? "–";
      }
      words.textContent = limit(found, all);
    }

    function open(wide) {
      panel.hidden = !wide;
      button.setAttribute("aria-expanded", String(wide));
      look();
    }

    document.addEventListener("sdxs:shown", ({ detail: { answer, times } }) => {
      coming = times && answer.stages ? { server: answer.stages, times } : null;
    });
    element.querySelector("#sdxs-picture").addEventListener("load", () => {
      const one = coming;
      coming = null;
      if (!one || document.hidden) return; // a hidden tab paints nothing
      requestAnimationFrame(() => {
        pictures.push({ server: one.server, times: { ...one.times, painted: performance.now() } });
        if (pictures.length > MOST) pictures.shift();
        if (!panel.hidden) next ||= setTimeout(look, EVERY_MS);
      });
    });
    button.addEventListener("click", () => open(panel.hidden));
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || panel.hidden) return;
      open(false);
      button.focus();
    });
    document.addEventListener("pointerdown", ({ target }) => {
      if (!panel.hidden && !panel.parentElement.contains(target)) open(false);
    });
  }

  return { connect, stages, percentile, rate, limit };
})();
