// Words of a prompt that the model does not know, and near ones in their place.
//
// `lexicon` makes of what a checkpoint lists (phrases by heading, fillers, near ones) what `unknown`
// reads a prompt with; no server is asked. `connect` brings unknown.html to life: the line is there
// at once for words that are finished, for the last one when the hand rests. Knows nothing of models.

window.sdxsWords = (() => {
  const REST_MS = 700;
  const MOST = { words: 8, near: 3, letters: 24, read: 4000 }; // of a prompt, in a line, in a word
  const THINGS = "things";
  const DESCRIBE = ["colours", "sizes"];
  const ARTICLES = ["a", "an", "the"];
  const WORD = /[\p{L}\p{M}\p{N}]+(?:['’]\p{L}+)*/gu;

  const plain = (word) => word.normalize("NFC").toLowerCase().replaceAll("’", "'");
  const wordsOf = (phrase) => phrase.match(WORD)?.map(plain) ?? [];

  // How many letters are wrong, missing, too many or changed about.
  function distance(one, other) {
    const rows = [[...Array(other.length + 1).keys()]];
    for (let i = 1; i <= one.length; i++) {
      rows[i] = [i];
      for (let j = 1; j <= other.length; j++) {
        const same = one[i - 1] === other[j - 1] ? 0 : 1;
        rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + same);
        if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1])
          rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
    return rows[one.length][other.length];
  }

  // A few of a list, from all over it.
  const some = (list) => {
    const third = (place) => Math.floor((place * MOST.near) / list.length);
    return list.filter((_, place) => third(place) !== third(place - 1));
  };

  function lexicon({ words, fillers, near }) {
    const phrases = Object.values(words).flat().map(wordsOf);
    const passing = new Set([...ARTICLES, ...fillers]);
    const next = new Map(); // the beginning of a phrase -> the words that end one
    const pairs = new Set();
    for (const phrase of phrases) {
      for (let place = 1; place < phrase.length; place++) pairs.add(`${phrase[place - 1]} ${phrase[place]}`);
      const last = phrase.at(-1);
      const head = phrase.slice(0, -1).join(" ");
      if (head && !passing.has(last)) next.set(head, [...(next.get(head) ?? []), last]);
    }
    return {
      known: new Set([...phrases.flat(), ...passing]),
      speaking: phrases.map((phrase) => phrase.at(-1)).filter((word) => word && !passing.has(word)),
      relations: new Set((words.relations ?? []).map((phrase) => wordsOf(phrase).at(-1))),
      describing: new Set(DESCRIBE.flatMap((heading) => words[heading] ?? [])),
      things: words[THINGS] ?? [],
      colours: words[DESCRIBE[0]] ?? [],
      near: new Map(Object.entries(near)),
      next,
      pairs,
    };
  }

  // A word without the ending of a plural, in the ways that there are.
  const singulars = (word) =>
    [[/s$/, ""], [/es$/, ""], [/ies$/, "y"], [/'s$/, ""]].flatMap(([end, by]) => (end.test(word) ? [word.replace(end, by)] : []));

  // [{word, start, end, near, more}] of a prompt, in its order, each word once; more: `near` is some
  // of the words that there are.
  function unknown(prompt, lexicon) {
    const { known, near, pairs, next } = lexicon;
    const whole = ({ 0: word, index }) => index + word.length < MOST.read || prompt.length <= MOST.read;
    const found = [...prompt.slice(0, MOST.read).matchAll(WORD)].filter(whole).map(({ 0: word, index }) => ({
      word,
      plain: plain(word),
      start: index,
      end: index + word.length,
    }));
    for (const [place, each] of found.entries()) {
      each.before = found[place - 1];
      each.apart = !each.before || !/^[\s-]*$/.test(prompt.slice(each.before.end, each.start)); // a comma, say
      if (each.before) each.before.after = each.apart ? null : each;
    }
    const ahead = (each) => (each.apart ? null : each.before);
    const paired = (one, other) => one && other && pairs.has(`${one.plain} ${other.plain}`);
    for (const each of found)
      each.known =
        known.has(each.plain) &&
        (!near.has(each.plain) || paired(each, each.after) || paired(ahead(each), each));

    const isThing = (word) => lexicon.things.includes(word);
    const noun = ({ plain: word, known }) => {
      if (isThing(word) || near.get(word)?.some(isThing)) return true;
      return !known && !near.has(word) && !/(ing|ed|s)$/.test(word);
    };
    const qualifies = ({ after }) => Boolean(after) && (lexicon.describing.has(after.plain) || noun(after));
    const named = (each) => {
      const before = ahead(each);
      if (!before) return true;
      const word = before.plain;
      const article = ARTICLES.includes(word) || near.get(word)?.some((other) => ARTICLES.includes(other));
      return article || lexicon.describing.has(word) || lexicon.relations.has(word) || (!before.known && qualifies(before));
    };
    // What ends the phrase that the words before begin.
    const ending = (each) => {
      const words = [];
      let offered = [];
      for (let before = ahead(each); before && words.length < 3; before = ahead(before)) {
        words.unshift(before.plain);
        offered = next.get(words.join(" ")) ?? offered;
      }
      return qualifies(each) ? [] : offered;
    };
    const spelled = (word) => {
      const most = word.length < 4 ? 0 : word.length < 7 ? 1 : 2;
      const close = lexicon.speaking
        .map((other) => [other, other.startsWith(word) && word.length > 2 ? 0 : distance(word, other)])
        .filter(([, far]) => far <= most);
      return close.sort(([, one], [, other]) => one - other).map(([other]) => other);
    };
    const offered = (each) => {
      const word = each.plain;
      if (word.length > MOST.letters) return [];
      const single = singulars(word);
      const one = single.filter((other) => lexicon.speaking.includes(other));
      if (one.length) return one;
      const kin = [word, ...single].flatMap((other) => near.get(other) ?? []);
      const endings = ending(each);
      const fit = endings.length ? kin.filter((other) => !lexicon.things.includes(other)) : kin;
      if (fit.length) return fit;
      const close = near.has(word) ? [] : spelled(word);
      return close.length ? close : endings;
    };
    // Where nothing comes near: the words of the kind that fits its place.
    const kind = (each) => {
      if (/\p{N}|ing$/u.test(each.plain)) return [];
      return qualifies(each) ? lexicon.colours : named(each) ? lexicon.things : [];
    };

    const told = new Map();
    for (const each of found) {
      if (each.known || told.has(each.plain)) continue;
      const { word, start, end } = each;
      const few = [...new Set(offered(each))].slice(0, MOST.near);
      const all = few.length ? few : kind(each);
      told.set(each.plain, { word, start, end, near: few.length ? few : some(all), more: all.length > MOST.near });
    }
    return [...told.values()];
  }

  // A prompt with another word in an unknown one's place, and the article that it takes.
  function replaced(prompt, { word, start, end }, by) {
    const capital = /^\p{Lu}/u.test(word);
    const other = capital ? by[0].toUpperCase() + by.slice(1) : by;
    const head = prompt.slice(0, start).replace(/\b(an?)(\s+)$/i, (_, article, space) => {
      const right = /^[aeiou]/i.test(by) ? "an" : "a";
      return (article[0] === "A" ? `A${right.slice(1)}` : right) + space;
    });
    return head + other + prompt.slice(end);
  }

  let tell = () => {}; // of the element that is there
  let prompt = "";

  // The line: `props.lexicon` is what the checkpoint lists; a click on a near word becomes the
  // component's value and its `input` event.
  function connect(element, props, trigger) {
    const words = lexicon(props.lexicon);
    const [line, heard] = ["unknown", "unknown-heard"].map((name) => element.querySelector(`#sdxs-${name}`));
    let shown = "[]";
    let timer = 0;
    function show(found) {
      if (JSON.stringify(found) === shown) return;
      shown = JSON.stringify(found);
      line.replaceChildren(...found.map(written));
    }
    function written(each) {
      const part = document.createElement("span");
      const name = Object.assign(document.createElement("span"), { textContent: `${each.word}?`, dir: "auto" });
      part.append(name);
      for (const other of each.near) {
        const button = Object.assign(document.createElement("button"), { type: "button", textContent: other });
        button.setAttribute("aria-label", `${other} instead of ${each.word}`);
        button.addEventListener("click", () => {
          line.focus({ preventScroll: true }); // the button goes
          props.value = replaced(prompt, each, other);
          trigger("input");
        });
        part.append(button);
      }
      if (each.more) part.append("…");
      return part;
    }
    tell = () => {
      const found = unknown(prompt, words).slice(0, MOST.words);
      show(found.filter(({ end }) => end < prompt.length));
      clearTimeout(timer);
      timer = setTimeout(() => {
        show(found);
        const text = found.length ? `Not known: ${found.map(({ word }) => word).join(", ")}.` : "";
        if (heard.textContent !== text) heard.textContent = text;
      }, REST_MS);
    };
    tell();
  }

  function read(text) {
    prompt = text;
    tell();
  }

  return { connect, read, lexicon, unknown, replaced, distance };
})();
