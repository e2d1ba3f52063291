// The page's own html files, filled: {{name}}, {{#if}}, {{#unless}} and {{#each}}, as they stand there.

const TAG = /\{\{(#(if|unless|each) )?(\/(?:if|unless|each))?([\w.]*)\}\}/g;
const SIGNS = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

export const escaped = (text) => String(text ?? "").replace(/[&<>"']/g, (sign) => SIGNS[sign]);

function value(path, scope) {
  const steps = path.split(".");
  return steps.reduce((found, step) => (step === "this" ? found.this : found?.[step]), scope);
}

// [parts, where they end]: texts, and {kind, path, parts} for what depends on something.
function parsed(template, start) {
  const parts = [];
  let at = start;
  const tag = new RegExp(TAG);
  tag.lastIndex = start;
  for (let found; (found = tag.exec(template)); at = tag.lastIndex) {
    parts.push(template.slice(at, found.index));
    const [, , kind, end, path] = found;
    if (end) return [parts, tag.lastIndex];
    let inner = [];
    if (kind) [inner, tag.lastIndex] = parsed(template, tag.lastIndex);
    parts.push({ kind, path, parts: inner });
  }
  return [[...parts, template.slice(at)], template.length];
}

function written(parts, scope) {
  return parts
    .map((part) => {
      if (typeof part === "string") return part;
      const found = value(part.path, scope);
      if (part.kind === "each") return (found ?? []).map((one) => written(part.parts, { ...scope, this: one })).join("");
      if (part.kind === "if") return found ? written(part.parts, scope) : "";
      if (part.kind === "unless") return found ? "" : written(part.parts, scope);
      return escaped(found);
    })
    .join("");
}

// An element that holds a filled template. id: of that element.
export function element(template, scope, id) {
  const made = document.createElement("div");
  made.id = id;
  made.innerHTML = written(parsed(template, 0)[0], scope);
  return made;
}
