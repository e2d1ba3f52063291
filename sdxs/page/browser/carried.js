// What a picture file carries beside its pixels, as far as it may say how the picture was made.
//
// Looked at in the browser, so that a photo never leaves it: the server is to see no pixels, and nothing
// of a file that says nothing. Knows what files are made of, nothing of what the words mean.

window.sdxsCarried = (() => {
  const LARGEST = 4e6; // bytes of all that is carried
  const STEPS = /S\0?t\0?e\0?p\0?s\0?:/; // every text of parameters has that, in whatever letters of one or two bytes
  const KEY = "parameters"; // of a PNG's text, as all programs call it
  const TEXTS = ["tEXt", "iTXt", "zTXt", "eXIf"];

  const text = (bytes) => new TextDecoder("latin1").decode(bytes);
  const says = (bytes) => STEPS.test(text(bytes));
  const binary = (letters) => Uint8Array.from(letters, (letter) => letter.charCodeAt(0));

  // A single pixel in the place of all others: what reads the file may want one.
  const PNG = {
    IHDR: binary(atob("AAAADUlIRFIAAAABAAAAAQgAAAAAOn6bVQ==")),
    IDAT: binary(atob("AAAACklEQVR42mNgAAAAAgAB5Sfe/A==")),
    IEND: binary(atob("AAAAAElFTkSuQmCC")),
  };
  const WEBP = [
    binary(atob("VlA4WAoAAAAMAAAAAAAAAAAA")), // VP8X: EXIF and XMP follow
    binary(atob("VlA4TAkAAAAvAAAAAIiI/gcA")), // VP8L
  ];

  function joined(parts) {
    const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  // Each reads a kind of file: the parts to keep, and whether one of them says something.

  function png(bytes, view) {
    const parts = [bytes.subarray(0, 8), PNG.IHDR];
    let found = false;
    for (let at = 8; at + 12 <= bytes.length; ) {
      const size = view.getUint32(at);
      const [name, end] = [text(bytes.subarray(at + 4, at + 8)), at + 12 + size];
      const body = bytes.subarray(at + 8, end - 4);
      if (TEXTS.includes(name)) parts.push(bytes.subarray(at, end));
      if (TEXTS.includes(name)) found ||= name === "eXIf" ? says(body) : text(body.subarray(0, KEY.length + 1)) === `${KEY}\0`;
      at = end;
    }
    return { parts: [...parts, PNG.IDAT, PNG.IEND], found };
  }

  function jpeg(bytes, view) {
    const parts = [bytes.subarray(0, 2)];
    let found = false;
    for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; ) {
      const marker = bytes[at + 1];
      if (marker === 0xff) {
        at += 1; // padding
        continue;
      }
      const end = at + 2 + view.getUint16(at + 2);
      const kept = (marker & 0xf0) !== 0xe0 || marker === 0xe1; // of what programs add, EXIF and XMP
      if (kept) parts.push(bytes.subarray(at, end));
      if (marker === 0xe1) found ||= says(bytes.subarray(at, end));
      if (marker === 0xda) break; // pixels follow
      at = end;
    }
    return { parts: [...parts, Uint8Array.of(0xff, 0xd9)], found };
  }

  function webp(bytes, view) {
    const chunks = [];
    let found = false;
    for (let at = 12; at + 8 <= bytes.length; ) {
      const size = view.getUint32(at + 4, true);
      const [name, end] = [text(bytes.subarray(at, at + 4)), at + 8 + size + (size % 2)];
      if (["EXIF", "XMP "].includes(name)) chunks.push(bytes.subarray(at, end));
      if (name === "EXIF") found ||= says(bytes.subarray(at, end));
      at = end;
    }
    const body = joined([binary("WEBP"), ...WEBP, ...chunks]);
    const head = new Uint8Array(8);
    head.set(binary("RIFF"));
    new DataView(head.buffer).setUint32(4, body.length, true);
    return { parts: [head, body], found };
  }

  const KINDS = { "image/png": png, "image/jpeg": jpeg, "image/webp": webp };

  // A file of the same kind without its pixels, its bytes; null where nothing says how it was made.
  function carried(type, bytes) {
    const read = KINDS[type];
    if (!read) return null;
    const { parts, found } = read(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    const file = found ? joined(parts) : null;
    return file && file.length <= LARGEST ? file : null;
  }

  return { carried };
})();
