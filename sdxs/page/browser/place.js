// How many pictures go before the one that a visitor waits for: seen on the picture, and heard once.
//
// Asked each second, from the first one on; who waits less sees nothing of it. A picture that is being
// made for long is said to be: a depth network, say, is read before its first. Comes before page.js.

window.sdxsPlace = (() => {
  const EVERY_MS = 1000;
  const LONG = 3; // times without anybody before
  const SLOW = "Still painting: the first picture of a kind takes longer";

  const said = (before) => (before ? `${before} picture${before === 1 ? "" : "s"} before yours` : "");
  const wait = () => new Promise((done) => setTimeout(done, EVERY_MS));

  // What `painted` comes to. Until then `ask()` gives an answer that may have the place, see class
  // Answer; line is where it stands, heard where it is read out.
  async function shown(painted, ask, line, heard) {
    let waits = true;
    async function watch() {
      for (let text = "", told = "", turn = 0; await wait(), waits; ) {
        const answer = await ask();
        if (!waits) return;
        turn = answer.before ? 0 : turn + 1;
        text = said(answer.before) || (turn < LONG ? "" : SLOW);
        line.textContent = text;
        line.hidden = !text;
        if (!told && text) heard.textContent = told = text;
      }
    }
    watch();
    try {
      return await painted;
    } finally {
      waits = false;
      line.hidden = true;
    }
  }

  return { shown };
})();
