// A call to what paints, in the place of the page's own server.js: there is no network in between, so
// that nothing is silent, and what an answer is to say of a mishap it says itself. Before page.js.

window.sdxsServer = {
  call: (server, name, request) => server[name](request),
  pause: (failures, after = 0) => new Promise((done) => setTimeout(done, Math.max(1000 * after, 250 * 2 ** failures))),
};
