"use strict";
// The tables, the notes and the hints.

// With more runs than this a table has a row for each run.
const MOST_COLUMNS = 6;

// A table of lines with a name and a cell for each run; turned round if there are many runs.
function runsTable(caption, corner, runs, lines) {
  const names = runs.map((run) => run.name);
  if (runs.length <= MOST_COLUMNS) return makeTable(caption, [corner, ...names], lines);
  const rows = names.map((name, index) => [name, ...lines.map((line) => line[index + 1])]);
  return makeTable(caption, ["run", ...lines.map((line) => line[0])], rows);
}

function showRuns(report) {
  const { runs } = report;
  const told = [
    ["state", (run) => run.state],
    ["job", (run) => run.job],
    ["name", (run) => run.label],
    ["tags", (run) => run.tags.join(", ")],
    ["note", (run) => run.note],
    ["directory", (run) => run.path],
  ].filter(([, value]) => runs.some((run) => value(run)));
  const rows = runs.map((run) => [run.name, ...told.map(([, value]) => visible(value(run) || "-"))]);
  byId("runs-table").replaceChildren(makeTable("Runs", ["run", ...told.map(([name]) => name)], rows));
}

function showSummary(report) {
  byId("summary-table").replaceChildren(runsTable("Results", "metric", report.runs, report.summary));
  byId("how").textContent = `Speed: ${report.how}.`;
}

function showNotes(report) {
  const told = report.runs.filter((run) => run.notes.length);
  byId("notes").replaceChildren(
    ...told.map((run) => {
      const items = run.notes.map((text) => make("li", {}, visible(text)));
      return make("div", { class: "note" }, make("strong", {}, make("bdi", {}, run.name)), make("ul", {}, ...items));
    }),
  );
}

function showHints(report) {
  const hints = report.runs.flatMap((run) => run.hints.map((hint) => ({ run, hint })));
  if (!hints.length) return;
  const shown = hints.map(({ run, hint }) =>
    make(
      "div",
      { class: "hint" },
      make("p", {}, make("strong", {}, make("bdi", {}, run.name), ": "), visible(hint.text)),
      make("p", { class: "muted" }, visible(`${hint.advice}; healthy is ${hint.healthy} (${hint.source})`)),
    ),
  );
  byId("hints").replaceChildren(make("h3", {}, "Hints"), ...shown);
}

function showSettings(report) {
  const { differing, common } = report.settings;
  const text = (value) => (value === null ? "-" : visible(value));
  const lines = Object.entries(differing).map(([key, values]) => [visible(key), ...values.map(text)]);
  const parts = [];
  if (lines.length) parts.push(runsTable("What differs", "setting", report.runs, lines));
  else if (report.runs.length > 1) parts.push(make("p", {}, "No setting differs."));
  const rows = Object.entries(common).map(([key, value]) => [visible(key), visible(value)]);
  if (rows.length) {
    const caption = report.runs.length > 1 ? "The same in all runs" : "All settings";
    const summary = make("summary", {}, `${caption} (${counted(rows.length)})`);
    parts.push(make("details", {}, summary, makeTable(caption, ["setting", "value"], rows)));
  }
  if (!parts.length) parts.push(make("p", {}, "There is no args.json and no plan.json, so no settings are known."));
  byId("settings-tables").replaceChildren(...parts);
}
