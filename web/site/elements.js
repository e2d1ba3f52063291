// Elements, a line each.

// An element with properties and children.
export function h(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
