"use strict";
// One chart: a metric of all runs that are shown.

const PLOT_HEIGHT = 224;
const X_NAMES = { step: "step", samples: "samples", hours: "hours of training" };

class MetricChart {
  // `change(changes)` changes the reader's view, after which `draw` is called again.
  constructor(report, chart, change) {
    this.report = report;
    this.name = chart.name;
    this.title = visible(chart.title);
    this.change = change;
    this.plot = null;
    this.isDrawn = false;
    this.cache = new Map();
    this.readout = make("div", { class: "readout", "aria-live": "off" });
    this.area = make("div", {
      class: "plot",
      tabindex: "0",
      role: "application",
      "aria-roledescription": "curve",
      "aria-label": this.title,
      keydown: (event) => this.pressKey(event),
      focus: () => this.readout.setAttribute("aria-live", "polite"),
      blur: () => this.readout.setAttribute("aria-live", "off"),
    });
    const title = make("h3", { title: visible(chart.meaning) }, this.title);
    const unit = make("span", { class: "muted" }, chart.unit);
    this.figure = make("figure", {}, make("figcaption", {}, title, unit), this.area, this.readout);
  }

  // The curves of the runs that are shown: with x and y of all rows, and the smoothed y.
  curves(view) {
    const found = [];
    for (const run of this.report.runs) {
      if (view.hide.includes(run.index)) continue;
      const raw = run.training.metric(this.name);
      const xs = this.kept(`x ${run.index}`, view.x, () => xValues(run, run.training, view.x));
      if (raw === null || xs === null) continue;
      const ys = view.smooth ? this.kept(`y ${run.index}`, view.smooth, () => smoothed(raw, view.smooth)) : raw;
      found.push({ run, xs, ys, raw, evaluated: this.evaluations(run, view) });
    }
    return found;
  }

  // The points of evaluations; null if there are none. The hours of an evaluation are those of its training step.
  evaluations(run, view) {
    const ys = run.evaluations.metric(this.name);
    if (ys === null) return null;
    const training = run.training;
    const along = xValues(run, training, view.x);
    if (view.x !== "hours") return [xValues(run, run.evaluations, view.x), ys];
    const places = run.evaluations.steps.map((step) => Math.min(placeOf(training.steps, step), training.steps.length - 1));
    return along === null ? null : [places.map((place) => along[place]), ys];
  }

  // What was computed before from the same choice of the reader.
  kept(key, choice, compute) {
    const before = this.cache.get(key);
    if (before && before.choice === choice) return before.value;
    const value = compute();
    this.cache.set(key, { choice, value });
    return value;
  }

  draw(view, colours) {
    const width = Math.max(200, this.area.clientWidth);
    this.shown = this.curves(view);
    this.view = view;
    const series = [{}];
    const data = [];
    const add = (xs, ys, options) => {
      const [first, end] = partOf(xs, view.from, view.to);
      data.push(thinned(xs, ys, first, end, width));
      series.push(options);
    };
    for (const { run, xs, ys, raw, evaluated } of this.shown) {
      const stroke = colours[run.colour];
      if (ys !== raw) add(xs, raw, { stroke, width: 1, alpha: 0.25, points: { show: false } });
      add(xs, ys, { stroke, width: 2, dash: run.dash, points: { size: 5, stroke, fill: stroke } });
      if (evaluated) add(...evaluated, { stroke, paths: () => null, points: { show: true, size: 9, width: 2, fill: colours.card } });
    }
    this.show(joined(data), width, series, colours);
    this.isDrawn = true;
    this.tell(null);
    this.describe();
  }

  // Give the plot its data; make it anew if its curves or its colours are others.
  show(data, width, series, colours) {
    const { hide, x, smooth, theme } = this.view;
    const form = JSON.stringify([hide, x, smooth > 0, theme, width, colours]);
    if (this.plot !== null && form === this.form) {
      this.plot.setData(data);
      return;
    }
    this.form = form;
    if (this.plot !== null) this.plot.destroy();
    this.plot = new uPlot(this.options(width, series, colours), data, this.area);
  }

  options(width, series, colours) {
    const axis = { stroke: colours.muted, grid: { stroke: colours.grid, width: 1 }, ticks: { stroke: colours.grid, width: 1, size: 4 } };
    const values = (plot, splits, _axis, _space, increment) => splits.map((value) => tickText(value, increment));
    return {
      width,
      height: PLOT_HEIGHT,
      legend: { show: false },
      padding: [8, 12, 0, 0],
      cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: "report", setSeries: false }, points: { show: false }, bind: { dblclick: () => () => this.change({ from: null, to: null }) } },
      scales: {
        x: { time: false, range: (plot, low, high) => this.xRange(low, high) },
        y: { range: (plot, low, high) => yRange(low, high) },
      },
      axes: [
        { ...axis, values, size: 30, space: 70, ...(this.view.x === "hours" ? {} : { incrs: WHOLE }) },
        { ...axis, values, size: (plot, texts) => 14 + 7.2 * Math.max(2, ...(texts || []).map((text) => text.length)) },
      ],
      series,
      hooks: {
        setSelect: [(plot) => this.select(plot)],
        setCursor: [(plot) => this.tell(plot.cursor.left >= 0 ? plot.posToVal(plot.cursor.left, "x") : null)],
        draw: [(plot) => this.markRestarts(plot, colours)],
      },
    };
  }

  xRange(low, high) {
    const { from, to } = this.view;
    const [first, last] = [from ?? low, to ?? high];
    return first < last ? [first, last] : [first - 1, first + 1];
  }

  // Zoom to what was dragged over.
  select(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.change({ from: plot.posToVal(left, "x"), to: plot.posToVal(left + width, "x") });
  }

  // A vertical line where a new attempt began.
  markRestarts(plot, colours) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.setLineDash([2, 4]);
    ctx.lineWidth = 1.5 * devicePixelRatio;
    for (const { run, xs } of this.shown) {
      ctx.strokeStyle = colours[run.colour];
      for (const step of run.restarts) {
        const place = placeOf(run.training.steps, step);
        if (place >= xs.length) continue;
        const x = plot.valToPos(xs[place], "x", true);
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
      }
    }
    ctx.restore();
  }

  // The values at a place on the x axis, below the curve; null: the last values.
  tell(x) {
    const parts = [];
    for (const { run, xs, ys } of this.shown) {
      const place = nearest(xs, ys, x === null ? Infinity : x);
      if (place < 0) continue;
      const at = X_NAMES[this.view.x].split(" ")[0];
      const text = `${run.short} ${shortNumber(ys[place])} at ${at} ${shortNumber(xs[place])}`;
      parts.push(make("span", { class: run.colour }, make("span", { class: "dot", "aria-hidden": "true" }), make("span", { class: "value" }, text)));
    }
    this.readout.replaceChildren(...(parts.length ? parts : ["no values"]));
  }

  // What a reader who does not see the curve hears.
  describe() {
    const parts = this.shown.map(({ run, xs, ys, raw }) => {
      const [low, high] = this.kept(`range ${run.index}`, null, () => rangeOf(raw));
      const last = nearest(xs, ys, Infinity);
      if (last < 0) return `${run.name}: no values`;
      const again = run.restarts.length ? `, restarted at step ${run.restarts.join(", ")}` : "";
      return `${run.name}: last ${shortNumber(ys[last])}, from ${shortNumber(low)} to ${shortNumber(high)}${again}`;
    });
    this.area.setAttribute("aria-label", `${this.title} by ${X_NAMES[this.view.x]}. ${parts.join(". ")}`);
  }

  pressKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.plot === null) return;
    const { min, max } = this.plot.scales.x;
    const middle = this.plot.cursor.left >= 0 ? this.plot.posToVal(this.plot.cursor.left, "x") : (min + max) / 2;
    const width = max - min;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") this.moveCursor(event.key === "ArrowLeft" ? -1 : 1, event.shiftKey);
    else if (event.key === "+" || event.key === "=") this.change({ from: middle - width / 4, to: middle + width / 4 });
    else if (event.key === "-") this.change({ from: middle - width, to: middle + width });
    else if (event.key === "0" || event.key === "Escape") this.change({ from: null, to: null });
    else return;
    event.preventDefault();
  }

  // Move the cursor to the next point of the first curve, or by a tenth of the plot.
  moveCursor(direction, isFar) {
    if (!this.shown.length) return;
    const { plot } = this;
    const wide = plot.over.clientWidth;
    const [xs] = plot.data;
    const here = plot.cursor.left >= 0 ? plot.posToVal(plot.cursor.left, "x") : direction > 0 ? -Infinity : Infinity;
    let left;
    if (isFar) left = Math.max(0, plot.cursor.left) + (direction * wide) / 10;
    else {
      const margin = (plot.scales.x.max - plot.scales.x.min) / wide / 2;
      const place = direction > 0 ? placeOf(xs, here + margin) : placeOf(xs, here - margin) - 1;
      if (place < 0 || place >= xs.length) return;
      left = plot.valToPos(xs[place], "x");
    }
    plot.setCursor({ left: Math.min(wide, Math.max(0, left)), top: plot.over.clientHeight / 2 });
  }

  resize() {
    if (this.plot !== null && Math.abs(this.plot.width - this.area.clientWidth) > 1) this.plot.setSize({ width: Math.max(200, this.area.clientWidth), height: PLOT_HEIGHT });
  }
}

// The range of the y axis: a twentieth more than the values need.
function yRange(low, high) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const more = low === high ? Math.abs(low) / 10 || 0.5 : (high - low) / 20;
  return [low - more, high + more];
}

// The text of a tick, with as many digits as the distance between ticks needs: 2.5 needs one, 20 none.
function tickText(value, increment) {
  const power = Math.floor(Math.log10(increment) + 1e-9);
  const isWhole = Math.abs(increment / 10 ** power - Math.round(increment / 10 ** power)) < 1e-6;
  const last = isWhole ? power : power - 1;
  if (increment < 0.0005) {
    if (value === 0) return "0";
    const digits = Math.floor(Math.log10(Math.abs(value)) + 1e-9) - last;
    return value.toExponential(Math.min(6, Math.max(0, digits))).replace("e+", "e");
  }
  return fixedNumber(value, Math.max(0, -last));
}

// The distances between ticks of an axis of steps or samples, which are whole numbers.
const WHOLE = Array.from({ length: 15 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();
