// Calls functions of web/site: [[module, name, arguments], …] as JSON on stdin, [result or {error}, …] on stdout.
// Bytes are {bytes: base64}.

import { readFileSync } from "node:fs";

const site = new URL("../../web/site/", import.meta.url);
const revived = (_, value) => (typeof value?.bytes === "string" ? new Uint8Array(Buffer.from(value.bytes, "base64")) : value);
const plain = (value) => (value instanceof Uint8Array ? { bytes: Buffer.from(value).toString("base64") } : value);

const results = [];
for (const [module, name, given] of JSON.parse(readFileSync(0, "utf8"), revived)) {
  const { [name]: called } = await import(new URL(module, site));
  try {
    results.push(plain(await called(...given)) ?? null);
  } catch (error) {
    results.push({ error: error.message });
  }
}
process.stdout.write(JSON.stringify(results));
