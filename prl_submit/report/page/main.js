"use strict";
// Shows the report.

function main() {
  const report = loadReport();
  const view = viewOf(location.hash);
  const keep = () => keepViewSoon(view);
  nameShortly(report.runs);
  showTheme(view);
  byId("title").textContent = report.runs.map((run) => run.name).slice(0, 4).join(", ") + (report.runs.length > 4 ? ` and ${report.runs.length - 4} more` : "");
  byId("footer").textContent = `Made by prl-submit ${report.version}. This file holds all its data and makes no request.`;
  showRuns(report);
  showNotes(report);
  showSummary(report);
  showHints(report);
  showSettings(report);
  const charts = new Charts(report, view, keep);
  listenToTheme(view, charts, keep);
  listenToPrinting(view, charts);
  listenToLinks();
  showWritten(report, view, keep);
  addEventListener("DOMContentLoaded", () => showCompletions(report, view, keep));
}

// The completions stand behind the script in the file, and many of them take a while.
async function showCompletions(report, view, keep) {
  const status = byId("completion-status");
  status.textContent = "The completions are being read…";
  const all = [];
  for (const run of report.runs) all.push(await readCompletions(run.index));
  const completions = new Completions(report, all, view, keep);
  if (!completions.runs.length) status.textContent = "This report has no completions.";
  restorePlace(view, keep);
  document.documentElement.dataset.ready = "true";
}

// Short names for the lines below the curves: `v25` of `v25-20261122-210000`, if no two are the same.
function nameShortly(runs) {
  const short = runs.map((run) => run.name.replace(/^(v\d+)-\d{8}-\d{6}(?= |$)/, "$1"));
  const isUnique = new Set(short).size === runs.length;
  runs.forEach((run, index) => (run.short = isUnique ? short[index] : run.name));
}

const DARK = matchMedia("(prefers-color-scheme: dark)");

function showTheme(view) {
  const theme = view.theme || (DARK.matches ? "dark" : "light");
  document.documentElement.dataset.theme = theme;
  byId("theme").setAttribute("aria-pressed", String(theme === "dark"));
}

function listenToTheme(view, charts, keep) {
  const show = () => {
    showTheme(view);
    charts.newTheme();
  };
  DARK.addEventListener("change", show);
  byId("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    view.theme = theme === (DARK.matches ? "dark" : "light") ? "" : theme;
    keep();
    show();
  });
}

// Paper is white, and has all charts.
function listenToPrinting(view, charts) {
  const paper = matchMedia("print");
  const change = (isPrinting) => {
    if (isPrinting) document.documentElement.dataset.theme = "light";
    else showTheme(view);
    charts.drawAll();
  };
  paper.addEventListener("change", () => change(paper.matches));
  addEventListener("beforeprint", () => change(true));
  addEventListener("afterprint", () => change(paper.matches));
}

// Links to sections must not replace the view, which is in the same part of the address.
function listenToLinks() {
  for (const link of document.querySelectorAll("nav a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const section = byId(link.hash.slice(1));
      section.scrollIntoView();
      section.querySelector("h2").focus({ preventScroll: true });
    });
  }
}

// When the report was written. While it is being written anew, it loads itself again and keeps the reader's place.
function showWritten(report, view, keep) {
  const line = byId("written");
  line.append(`Written ${report.written_at}.`);
  if (report.reload_s === null) return;
  const button = make("button", { type: "button", id: "pause", click: () => {
    view.paused = !view.paused;
    keep();
    tell();
  } });
  const text = make("span");
  const tell = () => {
    text.textContent = view.paused ? " The runs go on; this page does not load itself again. " : ` The runs go on; this page loads itself again every ${report.reload_s} s. `;
    button.textContent = view.paused ? "Load again by itself" : "Pause";
  };
  tell();
  line.append(text, button);
  setInterval(() => {
    if (view.paused || document.hidden || !getSelection().isCollapsed) return;
    view.y = Math.round(scrollY);
    view.focus = document.activeElement.id || "";
    keepView(view);
    location.reload();
  }, report.reload_s * 1000);
}

function restorePlace(view, keep) {
  const element = view.focus ? byId(view.focus) : null;
  if (element) element.focus({ preventScroll: true });
  if (view.y !== null) {
    scrollTo({ top: view.y, behavior: "instant" });
    view.y = null;
    view.focus = "";
    keep();
  }
}

main();
