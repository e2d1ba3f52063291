// What a visitor can meet. Each message is one line without a final stop, and names the thing and the remedy.
//
// kind: "unsupported" what the browser lacks, "missing" a file, "damaged" a file that is not what it should be,
// "memory", "input" a request that cannot be carried out, "nothing" a drawing without a line, "failed" the rest.

export class EngineError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

const SHORTAGE = /out of memory|bad_alloc|bad allocation|failed to allocate|allocation failed|array.?buffer length/i;

// What a library threw, in the place of which `what` stands for a visitor.
export function blamed(error, what) {
  if (error instanceof EngineError || error?.name === "AbortError") return error;
  const said = oneLine(error?.message ?? String(error));
  if (SHORTAGE.test(said) || (error instanceof RangeError && /memory|array buffer|typed array/i.test(said)))
    return new EngineError("memory", `${what}: there is not enough memory; close other tabs, or take a smaller model`);
  return new EngineError("failed", `${what} (${said})`);
}

export const oneLine = (text, most = 200) => {
  const line = String(text).replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
};
