"use strict";
// Making elements. Texts become text nodes, never HTML.

function byId(id) {
  return document.getElementById(id);
}

// An element with attributes and children. An attribute of null or false is left out; a function is a listener.
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// A short line in a run's colour and style, for the legend.
function lineSample(run) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", `line ${run.colour}`);
  svg.setAttribute("viewBox", "0 0 32 12");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "line");
  for (const [name, value] of Object.entries({ x1: 0, y1: 6, x2: 32, y2: 6 })) line.setAttribute(name, value);
  if (run.dash.length) line.setAttribute("stroke-dasharray", run.dash.join(" "));
  svg.append(line);
  return svg;
}

// A table that scrolls sideways by itself. `rows`: the first cell of each is its heading.
function makeTable(caption, header, rows) {
  const head = make("tr", {}, ...header.map((text) => make("th", { scope: "col" }, make("bdi", {}, text))));
  const lines = rows.map((row) => {
    const cells = row.slice(1).map((text) => make("td", {}, make("bdi", {}, text)));
    return make("tr", {}, make("th", { scope: "row" }, make("bdi", {}, row[0])), ...cells);
  });
  const table = make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...lines));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table);
}
