// A call to the server, and what came of it: its answer, a refusal on the way, or silence.
//
// An HTTP refusal is an answer, too: the same request would be refused again. The framework keeps the
// status of an answer to itself, so what it fetches in a call is looked at. Knows nothing of pages.

window.sdxsServer = (() => {
  const PATIENCE_MS = 120_000; // for an answer: a network that changed under the page gives none
  const PAUSE_MS = { first: 1000, longest: 20_000, asked: 60_000 };
  const FOR_NOW = [408, 425, 429]; // refusals that time alone may mend
  const ANYONE = "The server or a proxy before it";
  const REFUSED = `${ANYONE} refuses`;
  const AWAY = "The server starts anew; this goes on by itself in a moment.";

  // What `send` gives, and what it fetches before it gives that. Who asks is said in a header, too:
  // where many servers answer, what one visitor asks is for one of them.
  function watched(send, visitor = "") {
    const own = window.fetch;
    const seen = {};
    window.fetch = (url, options = {}) => {
      const headers = new Headers(options.headers);
      if (visitor) headers.set("X-Session-ID", visitor);
      const fetched = own.call(window, url, { ...options, headers });
      seen.url = new URL(url, window.location.href);
      fetched.then((response) => (seen.response = response), () => {});
      return fetched;
    };
    try {
      return [send(), seen];
    } finally {
      window.fetch = own;
    }
  }

  // What answers.py, class Answer, says; with `again` to be asked once more after a
  // pause, of `after` seconds at least, with `refused` not before something has changed.
  async function call(server, name, request) {
    let timer;
    const late = new Promise((done) => (timer = setTimeout(done, PATIENCE_MS)));
    const [sent, seen] = watched(() => server[name](request), request.visitor);
    const answer = await Promise.race([sent.catch(() => undefined), late]);
    clearTimeout(timer);
    return answer ?? instead(seen, request);
  }

  // What is said where there is no answer.
  function instead({ url, response }, request) {
    if (!response) return { again: true };
    const { status } = response;
    const here = new URL(".", window.location.href);
    const refused = (note) => ({ note, kind: "error", refused: true });
    if (url.origin === here.origin && !url.pathname.startsWith(here.pathname))
      return refused(`The server is not at ${url.host}/: start it with --root-path ${here.pathname.slice(0, -1)}`);
    if (response.ok && !/json/.test(response.headers.get("content-type")))
      return refused("Something else answers in the server's place, a login perhaps: reload the page.");
    if (status < 400) return { again: true }; // it broke off
    if (status >= 500 || FOR_NOW.includes(status)) {
      const after = Number(response.headers.get("retry-after")) || 0; // not where it is a date
      return { again: true, after, note: status === 503 && after ? AWAY : `${ANYONE} cannot answer just now (${status}).` };
    }
    if (status === 413) {
      const smaller = request.drawing ? "clear the canvas, or open a smaller picture" : "shorten the prompt";
      return refused(`${REFUSED} what is too large (413): ${smaller}.`);
    }
    if ([401, 403, 407].includes(status)) return refused(`${REFUSED} access (${status}): log in, then reload the page.`);
    return refused(`${REFUSED} this request (${status}): change it, or reload the page.`);
  }

  // Waits longer after each failure in a row, as many seconds as it was asked to, and not as long as
  // everybody else.
  function pause(failures, after = 0) {
    const ms = Math.min(PAUSE_MS.longest, PAUSE_MS.first * 2 ** failures) * (0.75 + Math.random() / 2);
    const asked = Math.min(PAUSE_MS.asked, after * 1000) * (1 + Math.random() / 4);
    return new Promise((done) => setTimeout(done, Math.max(ms, asked)));
  }

  return { call, pause };
})();
