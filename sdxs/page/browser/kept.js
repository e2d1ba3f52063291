// What a visitor set, kept for a reload of the same tab.
//
// In the tab's own storage, which a browser may forbid: then nothing is kept, and nothing is said.
// Knows nothing of pages or servers: a field has a `start`, and `choices` where there are only these.

window.sdxsKept = (() => {
  const NAME = `sdxs ${window.location.pathname}`; // there may be others on the host

  // {field: value} of what is not as it was at first.
  function keep(fields, values) {
    const set = Object.entries(values).filter(([name, value]) => value !== fields[name].start);
    try {
      window.sessionStorage.setItem(NAME, JSON.stringify(Object.fromEntries(set)));
    } catch {} // forbidden, or full
  }

  // The same, as far as there is still such a field and such a choice.
  function kept(fields) {
    let found = {};
    try {
      found = JSON.parse(window.sessionStorage.getItem(NAME)) ?? {};
    } catch {} // forbidden, or not ours
    const known = ([name, value]) =>
      Object.hasOwn(fields, name) &&
      typeof value === typeof fields[name].start &&
      (!fields[name].choices || fields[name].choices.includes(value));
    return Object.fromEntries(Object.entries(found).filter(known));
  }

  function forget() {
    try {
      window.sessionStorage.removeItem(NAME);
    } catch {} // forbidden
  }

  return { keep, kept, forget };
})();
