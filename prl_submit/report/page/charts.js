"use strict";
// All charts, and the controls above them. A chart is drawn when it comes into view.

// The colours that the style sheet gives in the present theme, for the canvas.
function themeColours() {
  const probe = make("span");
  document.body.append(probe);
  const read = (className, property) => {
    probe.className = className;
    probe.style.color = property ? `var(${property})` : "";
    return getComputedStyle(probe).color;
  };
  const found = { muted: read("", "--muted"), grid: read("", "--grid"), card: read("", "--card") };
  for (let i = 0; i < COLOURS; i++) found[`colour${i}`] = read(`colour${i}`, "");
  probe.remove();
  return found;
}

class Charts {
  constructor(report, view, keep) {
    this.report = report;
    this.view = view;
    this.keep = keep;
    this.colours = themeColours();
    this.inView = new Set();
    this.isAsked = false;
    this.all = report.charts.map((chart) => new MetricChart(report, chart, (changes) => this.change(changes)));
    const byFigure = new Map(this.all.map((chart) => [chart.figure, chart]));
    this.watcher = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const chart = byFigure.get(entry.target);
        if (entry.isIntersecting) this.inView.add(chart);
        else this.inView.delete(chart);
      }
      this.redraw(false);
    }, { rootMargin: "300px" });
    this.sizes = new ResizeObserver(() => this.all.forEach((chart) => chart.resize()));
    byId("charts").replaceChildren(...this.all.map((chart) => chart.figure));
    this.all.forEach((chart) => this.watcher.observe(chart.figure));
    this.sizes.observe(byId("charts"));
    this.makeControls();
    this.showView();
  }

  // Draw the charts in view: those that were not drawn since the last change, or all of them.
  redraw(isChanged) {
    if (isChanged) this.all.forEach((chart) => (chart.isDrawn = false));
    if (this.isAsked) return;
    this.isAsked = true;
    requestAnimationFrame(() => {
      this.isAsked = false;
      for (const chart of this.inView) if (!chart.isDrawn) chart.draw(this.view, this.colours);
    });
  }

  // Draw all charts at once, also those out of view: for printing, and after the theme has changed.
  drawAll() {
    this.colours = themeColours();
    this.all.forEach((chart) => chart.draw(this.view, this.colours));
  }

  change(changes) {
    Object.assign(this.view, changes);
    this.keep();
    this.showView();
    this.redraw(true);
  }

  newTheme() {
    this.colours = themeColours();
    this.redraw(true);
  }

  makeControls() {
    const { runs, settings } = this.report;
    const differing = Object.entries(settings.differing);
    const toggles = runs.map((run) => {
      const title = differing.slice(0, 12).map(([key, values]) => visible(`${key} ${values[run.index] ?? "-"}`)).join("\n");
      const name = make("span", { class: "name" }, make("bdi", {}, run.name));
      return make("button", { type: "button", title, "aria-pressed": "true", click: () => this.toggle(run) }, lineSample(run), name);
    });
    this.toggles = toggles;
    const legend = make("div", { class: "runs", role: "group", "aria-label": "Runs that are drawn" }, ...toggles);
    this.axes = Object.keys(X_NAMES).map((axis) => {
      const isKnown = runs.some((run) => xValues(run, run.training, axis) !== null);
      const choice = make("input", { type: "radio", name: "x", value: axis, disabled: !isKnown, change: () => this.change({ x: axis, from: null, to: null }) });
      return { axis, choice, label: make("label", {}, choice, X_NAMES[axis]) };
    });
    const by = make("fieldset", {}, make("legend", {}, "Along"), ...this.axes.map(({ label }) => label));
    this.smooth = make("input", { type: "range", id: "smoothing", min: "0", max: "0.99", step: "0.01", input: () => this.change({ smooth: Number(this.smooth.value) }) });
    this.smoothText = make("output", { for: "smoothing" });
    const smoothing = make("label", {}, "Smoothing", this.smooth, this.smoothText);
    this.from = this.makeBound("from");
    this.to = this.makeBound("to");
    this.reset = make("button", { type: "button", id: "reset-zoom", click: () => this.change({ from: null, to: null }) }, "Show everything");
    byId("curve-controls").replaceChildren(legend, by, smoothing, make("label", {}, "From", this.from), make("label", {}, "to", this.to), this.reset);
  }

  // A field with an end of the zoomed part.
  makeBound(name) {
    const pressed = (event) => event.key === "Enter" && this.zoomByFields();
    return make("input", { type: "number", step: "any", id: `zoom-${name}`, change: () => this.zoomByFields(), keydown: pressed });
  }

  // An empty field means that the axis is not cut on this side.
  zoomByFields() {
    const bound = (field) => (field.value === "" ? null : Number(field.value));
    const [from, to] = [bound(this.from), bound(this.to)];
    if (from === null || to === null || from < to) this.change({ from, to });
    else this.showView();
  }

  toggle(run) {
    const hide = this.view.hide.includes(run.index) ? this.view.hide.filter((index) => index !== run.index) : [...this.view.hide, run.index];
    this.change({ hide });
  }

  // Make the controls say what is shown.
  showView() {
    const { view, report } = this;
    report.runs.forEach((run, index) => this.toggles[index].setAttribute("aria-pressed", String(!view.hide.includes(index))));
    this.axes.forEach(({ axis, choice }) => (choice.checked = axis === view.x));
    this.smooth.value = String(view.smooth);
    this.smoothText.textContent = view.smooth.toFixed(2);
    const round = (value) => (value === null ? "" : String(Number(value.toPrecision(6))));
    this.from.value = round(view.from);
    this.to.value = round(view.to);
    this.reset.disabled = view.from === null && view.to === null;
    const unknown = report.runs.filter((run) => xValues(run, run.training, view.x) === null && run.training.steps.length);
    const names = unknown.map((run) => run.name).join(", ");
    byId("curve-note").textContent = unknown.length ? `Not drawn by ${X_NAMES[view.x]}, because that is not known of: ${names}` : "";
  }
}
