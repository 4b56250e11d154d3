"use strict";
// What the reader has chosen. It is kept in the part of the address after #, so a reload or a copied address keeps it.

const DEFAULTS = {
  theme: "", // "light" or "dark"; empty: as the system
  x: "step", // or "samples", "hours"
  smooth: 0,
  from: null, // the zoomed part of the x axis; null: until its end
  to: null,
  hide: [], // numbers of the runs that are not drawn
  run: "", // the completions: of one run, or empty for all
  step: "",
  sort: "",
  find: "",
  page: 1,
  paused: false, // while the report is still being written: do not reload
  y: null, // how far the page was scrolled before it reloaded
  focus: "",
};

function viewOf(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const view = { ...DEFAULTS, hide: [] };
  for (const [name, text] of given) {
    if (!Object.hasOwn(DEFAULTS, name)) continue;
    if (name === "hide") view.hide = text.split(",").filter(Boolean).map(Number).filter(Number.isInteger);
    else if (["smooth", "from", "to", "page", "y"].includes(name)) {
      if (text !== "" && Number.isFinite(Number(text))) view[name] = Number(text);
    } else if (name === "paused") view.paused = text === "true";
    else view[name] = text;
  }
  if (!["step", "samples", "hours"].includes(view.x)) view.x = DEFAULTS.x;
  if (!["light", "dark"].includes(view.theme)) view.theme = "";
  if (view.from !== null && view.to !== null && view.from >= view.to) view.from = view.to = null;
  view.smooth = Math.min(0.99, Math.max(0, view.smooth));
  view.page = Math.max(1, Math.floor(view.page));
  return view;
}

function fragmentOf(view) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(view)) {
    const text = value === null ? "" : String(value);
    if (text !== "" && text !== String(DEFAULTS[name])) given.set(name, text);
  }
  return given.toString();
}

function keepView(view) {
  const fragment = fragmentOf(view);
  history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
}

let keepTimer = 0;

// The same a moment later: while a slider is dragged, browsers would refuse so many changes of the address.
function keepViewSoon(view) {
  clearTimeout(keepTimer);
  keepTimer = setTimeout(() => keepView(view), 200);
}
