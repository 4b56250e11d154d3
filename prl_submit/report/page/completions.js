"use strict";
// The browser of completions: chosen by run and step, searched, sorted, and shown a page at a time.

const PAGE = 20;
// Of a longer text the begin is shown, and a button shows all of it.
const SHOWN = 1500;

class Completions {
  // `all`: the columns of each run.
  constructor(report, all, view, keep) {
    this.report = report;
    this.view = view;
    this.keep = keep;
    this.all = all;
    this.runs = report.runs.filter((run) => all[run.index].step.length);
    if (!this.runs.length) return;
    this.makeControls();
    this.update();
  }

  // The runs whose completions are looked through.
  chosenRuns() {
    const chosen = this.runs.filter((run) => String(run.index) === this.view.run);
    return chosen.length ? chosen : this.runs;
  }

  makeControls() {
    const choice = (id, label, changed) => {
      const select = make("select", { id, change: () => changed(select.value) });
      return [select, make("label", {}, label, select)];
    };
    const [runs, runsLabel] = choice("choose-run", "Run", (run) => this.change({ run, step: "" }));
    const [steps, stepsLabel] = choice("choose-step", "Step", (step) => this.change({ step }));
    const [sort, sortLabel] = choice("choose-sort", "Sorted", (order) => this.change({ sort: order }));
    runs.append(make("option", { value: "" }, "all runs"), ...this.runs.map((run) => make("option", { value: run.index }, run.name)));
    const orders = [["", "as generated"], ["high", "highest reward first"], ["low", "lowest reward first"], ["long", "longest first"], ["short", "shortest first"]];
    const functions = new Set(this.runs.flatMap((run) => Object.keys(this.all[run.index].rewards)));
    for (const name of functions) orders.push([`high:${name}`, `highest ${visible(name)} first`], [`low:${name}`, `lowest ${visible(name)} first`]);
    sort.append(...orders.map(([value, text]) => make("option", { value }, text)));
    this.previousStep = make("button", { type: "button", click: () => this.moveStep(-1) }, "Earlier step");
    this.nextStep = make("button", { type: "button", click: () => this.moveStep(1) }, "Later step");
    this.find = make("input", { type: "search", id: "find", autocomplete: "off", input: () => this.findSoon() });
    Object.assign(this, { chosenRun: runs, chosenStep: steps, chosenSort: sort });
    const parts = [runsLabel, stepsLabel, this.previousStep, this.nextStep, sortLabel, make("label", {}, "Search", this.find)];
    byId("completion-controls").replaceChildren(...(this.runs.length > 1 ? parts : parts.slice(1)));
    this.find.value = this.view.find;
  }

  findSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.change({ find: this.find.value }), 150);
  }

  change(changes) {
    Object.assign(this.view, { page: 1 }, changes);
    this.keep();
    this.update();
  }

  moveStep(direction) {
    const place = this.view.step === "" ? (direction > 0 ? -1 : this.steps.length) : this.steps.indexOf(Number(this.view.step));
    const step = this.steps[place + direction];
    if (step !== undefined) this.change({ step: String(step) });
  }

  // Fill the list of steps of the chosen runs.
  showSteps() {
    const key = this.chosenRuns().map((run) => run.index).join();
    if (key !== this.stepsOf) {
      this.stepsOf = key;
      const steps = new Set(this.chosenRuns().flatMap((run) => this.all[run.index].step));
      this.steps = [...steps].sort((one, other) => one - other);
      const options = this.steps.map((step) => make("option", { value: step }, String(step)));
      this.chosenStep.replaceChildren(make("option", { value: "" }, "all steps"), ...options);
    }
    if (this.view.step !== "" && !this.steps.includes(Number(this.view.step))) this.view.step = "";
    this.chosenRun.value = this.chosenRuns().length === 1 && this.runs.length > 1 ? this.view.run : "";
    this.chosenStep.value = this.view.step;
    this.chosenSort.value = this.view.sort;
    if (this.chosenSort.selectedIndex < 0) this.chosenSort.value = this.view.sort = "";
    const place = this.steps.indexOf(Number(this.view.step));
    this.previousStep.disabled = this.view.step !== "" && place <= 0;
    this.nextStep.disabled = this.view.step !== "" && place === this.steps.length - 1;
  }

  // The completions that are chosen and hold what is searched, in the chosen order: each with its run and its place.
  found() {
    const step = this.view.step === "" ? null : Number(this.view.step);
    const wanted = this.pattern("i");
    const found = [];
    for (const run of this.chosenRuns()) {
      const columns = this.all[run.index];
      const promptsFit = wanted === null ? null : columns.prompts.map((text) => wanted.test(text));
      for (let place = 0; place < columns.step.length; place++) {
        if (step !== null && columns.step[place] !== step) continue;
        if (wanted !== null && !promptsFit[columns.prompt[place]] && !wanted.test(columns.completion[place])) continue;
        found.push({ run, place, value: this.sortValue(columns, place) });
      }
    }
    if (this.view.sort) found.sort((one, other) => one.value - other.value);
    return found;
  }

  // The number by which a completion is sorted, the smallest first; those without the reward stand last.
  sortValue(columns, place) {
    const [order, ...name] = this.view.sort.split(":");
    if (order === "long") return -columns.completion[place].length;
    if (order === "short") return columns.completion[place].length;
    const values = name.length ? columns.rewards[name.join(":")] : columns.reward;
    const value = values ? values[place] : null;
    if (value === null || value === undefined) return Infinity;
    return order === "high" ? -value : value;
  }

  pattern(flags) {
    const text = this.view.find.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    return text === "" ? null : new RegExp(text, flags);
  }

  update() {
    this.showSteps();
    this.chosen = this.found();
    this.showPage();
  }

  showPage() {
    const { chosen, view } = this;
    const pages = Math.max(1, Math.ceil(chosen.length / PAGE));
    view.page = Math.min(view.page, pages);
    const first = (view.page - 1) * PAGE;
    const shown = chosen.slice(first, first + PAGE);
    const total = this.chosenRuns().reduce((sum, run) => sum + this.all[run.index].step.length, 0);
    const range = shown.length ? `${counted(first + 1)} to ${counted(first + shown.length)} of ` : "";
    byId("completion-status").textContent = `${range}${counted(chosen.length)} completions${chosen.length === total ? "" : `, chosen from ${counted(total)}`}`;
    byId("completion-list").replaceChildren(...shown.map((one) => this.item(one)));
    this.showPager(pages);
  }

  showPager(pages) {
    const turn = (page) => {
      this.view.page = page;
      this.keep();
      this.showPage();
      byId("completion-status").scrollIntoView({ block: "nearest" });
    };
    const button = (id, text, page) => make("button", { type: "button", id, disabled: page < 1 || page > pages, click: () => turn(page) }, text);
    const { page } = this.view;
    const field = make("input", { type: "number", id: "page", min: "1", max: pages, value: page, change: () => turn(Math.min(pages, Math.max(1, Math.floor(Number(field.value)) || 1))) });
    const parts = [button("previous-page", "Previous", page - 1), make("label", {}, "Page", field, `of ${counted(pages)}`), button("next-page", "Next", page + 1)];
    const focused = document.activeElement && document.activeElement.id;
    byId("completion-pager").replaceChildren(...(pages > 1 ? parts : []));
    const again = focused && byId("completion-pager").querySelector(`#${CSS.escape(focused)}`);
    if (again) (again.disabled ? field : again).focus({ preventScroll: true });
  }

  item({ run, place }) {
    const columns = this.all[run.index];
    const title = `${this.report.runs.length > 1 ? `${run.name}, ` : ""}step ${columns.step[place]}, completion ${columns.number[place]}`;
    const told = [["reward", columns.reward[place]], ...Object.entries(columns.rewards).map(([name, values]) => [visible(name), values[place]]), ["advantage", columns.advantage[place]]];
    const rewards = told.filter(([, value]) => value !== null && value !== undefined);
    const list = make("dl", { class: "rewards" }, ...rewards.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, shortNumber(value)))));
    const sides = make("div", { class: "sides" }, this.side("Prompt", columns.prompts[columns.prompt[place]]), this.side("Completion", columns.completion[place]));
    return make("li", {}, make("h3", {}, make("bdi", {}, title)), rewards.length ? list : null, sides);
  }

  // A text with its heading. Of a long prompt its end is shown, of a long completion its begin.
  side(title, text) {
    const box = make("pre", { dir: "auto" });
    const isPrompt = title === "Prompt";
    const part = isPrompt ? `… ${text.slice(-SHOWN)}` : `${text.slice(0, SHOWN)} …`;
    const isLong = text.length > SHOWN + 100;
    const fill = (isWhole) => box.replaceChildren(...this.marked(visible(isWhole || !isLong ? text : part)));
    const wanted = this.pattern("i");
    const isHidden = isLong && wanted !== null && wanted.test(text) && !wanted.test(part);
    fill(isHidden);
    const more = make("button", { type: "button", "aria-expanded": String(isHidden), click: () => {
      const isWhole = more.getAttribute("aria-expanded") !== "true";
      more.setAttribute("aria-expanded", String(isWhole));
      fill(isWhole);
    } }, `All ${counted(text.length)} characters`);
    return make("div", {}, make("h4", {}, title), box, isLong ? more : null);
  }

  // The text in pieces, of which those that were searched are marked.
  marked(text) {
    const wanted = this.pattern("gi");
    if (wanted === null) return [text];
    const pieces = [];
    let end = 0;
    for (const match of text.matchAll(wanted)) {
      pieces.push(text.slice(end, match.index), make("mark", {}, match[0]));
      end = match.index + match[0].length;
    }
    return [...pieces, text.slice(end)];
  }
}
