"use strict";
// The data of the report: blocks of JSON in the page, in which columns of numbers are base64.

const COLOURS = 6;
const DASHES = [[], [9, 4], [2, 3], [12, 3, 2, 3]];

function readBlock(id) {
  const block = byId(id);
  return block === null ? null : JSON.parse(block.textContent);
}

function decodeBytes(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// The value in a block that is compressed.
async function unpacked(block) {
  const bytes = new Blob([decodeBytes(block.textContent)]).stream();
  return new Response(bytes.pipeThrough(new DecompressionStream("gzip"))).json();
}

// The completions of a run in columns; empty columns if it has none. They come in parts, so that the page stays quick.
async function readCompletions(run) {
  const all = { step: [], number: [], prompt: [], prompts: [], completion: [], reward: [], advantage: [], rewards: {} };
  for (const block of document.querySelectorAll(`script.completions-${run}`)) {
    const part = await unpacked(block);
    const begin = all.step.length;
    const prompts = all.prompts.length;
    for (const place of part.prompt) all.prompt.push(place + prompts);
    for (const name of ["step", "number", "prompts", "completion", "reward", "advantage"]) for (const value of part[name]) all[name].push(value);
    for (const [name, values] of Object.entries(part.rewards)) {
      all.rewards[name] ||= new Array(begin).fill(null);
      while (all.rewards[name].length < begin) all.rewards[name].push(null);
      for (const value of values) all.rewards[name].push(value);
    }
    block.remove();
  }
  return all;
}

// Columns by step. A metric is decoded when it is first asked for.
function decodeColumns(columns) {
  const decoded = new Map();
  return {
    steps: new Float64Array(decodeBytes(columns.steps).buffer),
    hours: new Float64Array(decodeBytes(columns.hours).buffer),
    metric(name) {
      if (!decoded.has(name)) {
        const text = columns.metrics[name];
        decoded.set(name, text === undefined ? null : new Float32Array(decodeBytes(text).buffer));
      }
      return decoded.get(name);
    },
  };
}

// Names of runs that no two have: runs of several folders may have one name.
function uniqueNames(names) {
  const seen = new Map();
  return names.map((name) => {
    const count = (seen.get(name) || 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name} (${count})`;
  });
}

function loadReport() {
  const data = readBlock("report-data");
  const names = uniqueNames(data.runs.map((run) => visible(run.name)));
  data.runs.forEach((run, index) => {
    run.index = index;
    run.name = names[index];
    run.colour = `colour${index % COLOURS}`;
    run.dash = DASHES[(index + Math.floor(index / COLOURS)) % DASHES.length];
    run.training = decodeColumns(run.training);
    run.evaluations = decodeColumns(run.evaluations);
  });
  return data;
}
