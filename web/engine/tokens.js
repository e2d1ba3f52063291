// From a prompt to the ids that the text encoder reads, and to the words that do not fit.
//
// As sdxs/tokens.py, on @huggingface/tokenizers, whose class is passed in. Texts are measured in code points,
// as Python does. Knows nothing of networks or files.

const LONGEST_TOKEN = 64; // characters; text beyond this many per place of the window is never read
const SPACE = "[\\p{White_Space}\\x1c-\\x1f]"; // what Python's \s is
const EDGES = new RegExp(`^${SPACE}+|${SPACE}+$`, "gu");
const WORD = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu; // CLIP's
// By what `tokenizers` splits before it takes bytes; the library has JavaScript's \s, which is another.
const BYTE_LEVEL =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

const letters = (text) => Array.from(text);
const strip = (text) => text.replace(EDGES, "");
const squeeze = (text) => text.replace(new RegExp(`${SPACE}+`, "gu"), " ");
const encodable = (text) => text.replace(/\p{Surrogate}/gu, "?"); // half an emoji

// Finds any of these texts, the longest first, as a group.
function anyOf(texts) {
  const escaped = texts.sort((a, b) => b.length - a.length).map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  return new RegExp(`(${escaped.join("|") || "(?!)"})`, "u");
}

export class PromptReader {
  #tokenizer;
  #lowers; // the tokenizer reads in lower case
  #vectors;
  #special; // finds tokens that are read before anything else
  #added; // finds the other added tokens

  // json: a CLIP tokenizer, parsed, as Python's `tokenizers` writes it; pad: the id that it pads with; length: the
  // window of the text encoder.
  constructor(Tokenizer, json, { pad, length }) {
    this.pad = pad;
    this.length = length;
    this.#tokenizer = new Tokenizer(json, {});
    const { pre_tokenizer: split, normalizer, added_tokens_map: named } = this.#tokenizer;
    for (const part of [split, ...(split?.tokenizers ?? [])]) if (part?.byte_encoder) part.pattern = BYTE_LEVEL;
    const normalizers = [normalizer, ...(normalizer?.normalizers ?? [])];
    this.#lowers = normalizers.some((part) => part?.config.type === "Lowercase");
    const added = json.added_tokens;
    this.#vectors = vectors(added.map((token) => token.content), length);
    for (const { content, normalized } of added) // or what is written in capitals would be named so
      if (normalized && this.#lower(content) !== content) named.delete(content);
    const those = (late) => added.filter((token) => token.normalized === late).map((token) => token.content);
    this.#special = anyOf(those(false));
    this.#added = anyOf(those(true).map((content) => this.#lower(content)));
  }

  // As many ids as the window has: start, as many tokens as fit, end, padding.
  ids(prompt) {
    let ids = this.#encode(this.#expanded(this.#readable(prompt))).ids;
    if (ids.length > this.length) ids = [...ids.slice(0, this.length - 1), ids.at(-1)];
    return [...ids, ...Array(this.length - ids.length).fill(this.pad)];
  }

  // The end of the prompt that does not fit, from the start of a word, in Unicode's NFC; "" if all fits.
  cutOff(prompt) {
    let text = encodable(prompt);
    const readable = this.#readable(prompt);
    if (!text.startsWith(readable)) text = squeeze(text); // white space was shortened to read on
    const unread = text.slice(readable.length);
    const expanded = this.#expanded(readable).normalize("NFC");
    if (this.#encode(expanded).ids.length <= this.length) return strip(unread);
    let rest = expanded.slice(this.#firstLost(expanded)) + unread;
    for (const [token, all] of this.#vectors) rest = rest.replaceAll(all, token);
    return strip(rest);
  }

  // Where in the text the word begins that does not fit as a whole; of one endless word, the part that does not.
  #firstLost(text) {
    const room = this.length - 2; // places beside start and end
    let taken = 0;
    for (const { word, places } of this.#words(text)) {
      const tokens = this.#tokenizer.tokenize(word);
      if (taken + tokens.length > room) return places[taken ? 0 : within(word, tokens.slice(0, room))];
      taken += tokens.length;
    }
    return text.length;
  }

  // The words of a text as the tokenizer reads them, and of each of their UTF-16 units the place in the text.
  *#words(text) {
    let begin = 0;
    for (const [turn, section] of text.split(this.#special).entries()) {
      const places = [];
      let read = "";
      for (let at = begin; at < begin + section.length; ) {
        const letter = String.fromCodePoint(text.codePointAt(at));
        const as = turn % 2 ? letter : this.#lower(letter);
        read += as;
        places.push(...Array(as.length).fill(at));
        at += letter.length;
      }
      begin += section.length;
      if (turn % 2) yield { word: read, places };
      else for (const { 0: word, index } of this.#split(read)) yield { word, places: places.slice(index) };
    }
  }

  *#split(read) {
    let begin = 0;
    for (const [turn, section] of read.split(this.#added).entries()) {
      if (turn % 2) yield { 0: section, index: begin };
      else for (const { 0: word, index } of section.matchAll(WORD)) yield { 0: word, index: begin + index };
      begin += section.length;
    }
  }

  #lower(text) {
    return this.#lowers ? text.toLowerCase() : text;
  }

  // JavaScript's lower case of a capital sigma depends on what is around it, that of `tokenizers` does not.
  #encode(text, options) {
    return this.#tokenizer.encode(this.#lowers ? text.replaceAll("Σ", "σ") : text, options);
  }

  // The beginning of a prompt: enough to fill the window, little enough to be quick.
  #readable(prompt) {
    const most = LONGEST_TOKEN * this.length;
    const text = encodable(prompt);
    return text.length <= most || letters(text).length <= most ? text : letters(squeeze(text)).slice(0, most).join("");
  }

  // With all tokens of an embedding of several vectors where its first one is named.
  #expanded(text) {
    if (!this.#vectors.size) return text;
    for (const token of new Set(this.#encode(text, { add_special_tokens: false }).tokens)) {
      if (!this.#vectors.has(token)) continue;
      text = text.replaceAll(token, this.#vectors.get(token));
      text = letters(text).slice(0, LONGEST_TOKEN * this.length).join(""); // they may hold one another
    }
    return text;
  }
}

// Embeddings of several vectors (textual inversion, arXiv 2208.01618), which have one token each: "<cat>" ->
// "<cat> <cat>_1 <cat>_2"; of each no more than `most` can be read.
function vectors(added, most) {
  const all = new Set(added);
  const found = new Map();
  for (const token of all) {
    const names = [token];
    while (names.length < most && all.has(`${token}_${names.length}`)) names.push(`${token}_${names.length}`);
    if (names.length > 1) found.set(token, names.join(" "));
  }
  return found;
}

// How many UTF-16 units of a word its first tokens, of a character a byte, take up: whole code points.
function within(word, tokens) {
  let bytes = tokens.join("").length;
  let at = 0;
  for (const letter of word) {
    bytes -= new TextEncoder().encode(letter).length;
    if (bytes < 0) break;
    at += letter.length;
  }
  return at;
}

// The end of a prompt that does not fit into the windows of a checkpoint's text encoders; "" if all fits.
export const cutOff = (readers, prompt) =>
  readers.map((reader) => reader.cutOff(prompt)).reduce((a, b) => (letters(b).length > letters(a).length ? b : a));
