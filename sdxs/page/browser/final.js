// The picture of a hand that rests, in the place of its draft.
//
// Where the decoder is left open, a page drafts with the tiny one; when nothing is asked for a while,
// the same request is made once more as `final`, see answers.py. It is no work of `page.js`'s: what is
// asked meanwhile does not wait for it, and the server drops it while it waits.

(() => {
  const { pause } = window.sdxsServer;
  let stirred = 0; // how often something was asked for

  async function finish(draft) {
    const mine = stirred;
    const request = { ...draft, final: true };
    for (let failures = 0; mine === stirred; failures += 1) {
      const [{ refused, ...answer }, times] = await window.sdxs.paint(request);
      if (mine !== stirred) return;
      if (!answer.again) return window.sdxs.show(request, answer, times);
      await pause(failures);
    }
  }

  document.addEventListener("sdxs:stirred", () => (stirred += 1));
  document.addEventListener("sdxs:rested", ({ detail: { request } }) => {
    if (window.sdxs.living && request.decoder === "" && !request.final) finish(request);
  });
})();
