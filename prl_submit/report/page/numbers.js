"use strict";
// Numbers and texts as they are shown.

const FORMATS = new Map();

// A number with so many digits behind the point.
function fixedNumber(value, digits) {
  if (!FORMATS.has(digits)) FORMATS.set(digits, new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  return FORMATS.get(digits).format(value);
}

// A number with about three digits: 1,234  35.3  0.0163  1e-6.
function shortNumber(value) {
  if (!Number.isFinite(value)) return "-";
  const size = Math.abs(value);
  if (size >= 1000 && size < 1e9) return fixedNumber(value, 0);
  if (size !== 0 && (size < 0.001 || size >= 1e9)) return value.toExponential(2).replace(/\.?0*e\+?/, "e");
  return String(Number(value.toPrecision(size >= 100 ? 4 : 3)));
}

// A whole number with separators.
function counted(value) {
  return fixedNumber(value, 0);
}

const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

// A text in which control characters, and those that change the direction of writing, are seen.
function visible(text) {
  const shown = text.replace(CONTROLS, (char) => {
    const code = char.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
  });
  return shown.replace(/[\ud800-\udfff]/gu, "\ufffd");
}
