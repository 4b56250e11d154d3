"use strict";
// From columns to the points of a curve: pure functions.

// Where a run's rows stand on the x axis; null if that is not known for this run.
function xValues(run, columns, axis) {
  if (axis === "samples") {
    return run.samples_per_step === null ? null : columns.steps.map((step) => step * run.samples_per_step);
  }
  const values = axis === "hours" ? columns.hours : columns.steps;
  return values.length && Number.isFinite(values[values.length - 1]) ? values : null;
}

// Values smoothed as TensorBoard does it: an exponential mean, corrected at its begin. NaN stays NaN.
function smoothed(values, weight) {
  if (!weight) return values;
  const result = new Float32Array(values.length);
  let mean = 0;
  let share = 1;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (!Number.isFinite(value)) {
      result[i] = NaN;
      continue;
    }
    mean = mean * weight + value * (1 - weight);
    share *= weight;
    result[i] = mean / (1 - share);
  }
  return result;
}

// The first place in sorted values whose value is at least `wanted`.
function placeOf(values, wanted) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

// The first place and the place behind the last one of a part of the axis, with a neighbour on each side. An end may be null.
function partOf(xs, from, to) {
  const first = from === null ? 0 : Math.max(0, placeOf(xs, from) - 1);
  return [first, to === null ? xs.length : Math.min(xs.length, placeOf(xs, to) + 1)];
}

// The points from `first` until `end` as two arrays. If there are many more than `width` pixels can show, the lowest
// and the highest of each group of neighbours, so no peak is lost.
function thinned(xs, ys, first, end, width) {
  const found = [[], []];
  const add = (place) => {
    found[0].push(xs[place]);
    found[1].push(ys[place]);
  };
  const size = end - first > 4 * width ? (end - first) / width : 0;
  for (let begin = first, group = 1; begin < end; group++) {
    const stop = size ? Math.min(end, Math.max(begin + 1, Math.floor(first + group * size))) : begin + 1;
    let low = -1;
    let high = -1;
    for (let i = begin; i < stop; i++) {
      if (!Number.isFinite(ys[i])) continue;
      if (low < 0 || ys[i] < ys[low]) low = i;
      if (high < 0 || ys[i] > ys[high]) high = i;
    }
    if (low >= 0) add(Math.min(low, high));
    if (high >= 0 && high !== low) add(Math.max(low, high));
    begin = stop;
  }
  return found;
}

// Curves with x values of their own as uPlot takes them: all x values, and for each curve its y value or undefined.
function joined(curves) {
  const all = new Set();
  for (const [xs] of curves) for (const x of xs) all.add(x);
  const axis = Float64Array.from(all).sort();
  const places = new Map();
  axis.forEach((x, place) => places.set(x, place));
  return [
    axis,
    ...curves.map(([xs, ys]) => {
      const column = new Array(axis.length);
      for (let i = 0; i < xs.length; i++) column[places.get(xs[i])] = ys[i];
      return column;
    }),
  ];
}

// The place of the finite value that is nearest to a place on the axis; -1 if there is none.
function nearest(xs, ys, wanted) {
  const start = placeOf(xs, wanted);
  for (let away = 0; away <= xs.length; away++) {
    const before = start - 1 - away;
    const after = start + away;
    const left = before >= 0 && Number.isFinite(ys[before]) ? before : -1;
    const right = after < xs.length && Number.isFinite(ys[after]) ? after : -1;
    if (left >= 0 && right >= 0) return wanted - xs[left] <= xs[right] - wanted ? left : right;
    if (left >= 0 || right >= 0) return Math.max(left, right);
  }
  return -1;
}

// The lowest and the highest of the finite values.
function rangeOf(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}
