// Small drawings of shares, days and waits. Places are per cent of the drawing, so that it fits any width; whatever is
// drawn also stands beside it as words or in a table. It knows no case.
import { h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

function part(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter(Boolean));
  return element;
}

/** More points than this have no dots of their own: the line alone is read. */
const DOTTED = 30;

const pc = (share) => `${(share * 100).toFixed(2)}%`;

/** A share as people may see it: never "100 %". */
export function shareWord(share) {
  if (share > 0.99) return ">99 %";
  if (share < 0.01) return "<1 %";
  return `${Math.round(share * 100)} %`;
}

/** "12 of 14", with its interval. */
export function shareWords({ agreed, total, low, high }) {
  return total ? `${agreed} of ${total} (${shareWord(low)} to ${shareWord(high)})` : "no case";
}

function drawing(height, label, ...children) {
  return part("svg", { class: "chart", height, width: "100%", role: "img", "aria-label": label }, ...children);
}

/** A dot with its interval on a line from none to all; `kind` is "unseen" or "seen". */
export function interval(share, kind, label) {
  const marks = [0, 0.25, 0.5, 0.75, 1].map((at) => part("line", { class: "chart-grid", x1: pc(at), x2: pc(at), y1: 0, y2: 22 }));
  if (!share.total) return drawing(22, `${label}: no case`, ...marks);
  const at = share.agreed / share.total;
  return drawing(22, `${label}: ${shareWords(share)}`, ...marks,
    part("line", { class: `chart-range ${kind}`, x1: pc(share.low), x2: pc(share.high), y1: 11, y2: 11 }),
    mark(kind, pc(at), 11));
}

/** Round where the AI had not been seen, square where it had: never told by colour alone. */
function mark(kind, x, y, size = 6) {
  if (kind !== "seen") return part("circle", { class: `chart-dot ${kind}`, cx: x, cy: y, r: size });
  const square = part("rect", { class: `chart-dot ${kind}`, x: -size, y: -size, width: 2 * size, height: 2 * size });
  return part("svg", { x, y, overflow: "visible" }, square);
}

/** What a mark means. */
export function legend(...entries) {
  return h("p", { className: "chart-legend" }, ...entries.map(([kind, words]) =>
    h("span", {}, part("svg", { class: "chart-sample", width: 28, height: 16, "aria-hidden": "true" }, part("line", { class: `chart-range ${kind}`, x1: 0, x2: 28, y1: 8, y2: 8 }), kind.includes("line") ? null : mark(kind, 14, 8, 5)), words)));
}

/** Several lines over one axis of days. A line is { kind, points: [{ day, value, low, high, label }] }; values from 0
 *  to 1. `rules` are [value, words]; `changes` are [day, words]. */
export function overTime(label, lines, { height = 180, rules = [], changes = [], ends = ["0", "all"] } = {}) {
  const days = lines.flatMap((line) => line.points.map((point) => Date.parse(point.day)));
  const first = Math.min(...days);
  const long = Math.max(...days) - first;
  const x = (day) => (long ? 0.03 + (0.94 * (Date.parse(day) - first)) / long : 0.5);
  const y = (value) => 0.06 + 0.88 * (1 - value);
  const children = [];
  for (const value of [0, 0.25, 0.5, 0.75, 1]) children.push(part("line", { class: "chart-grid", x1: 0, x2: "100%", y1: pc(y(value)), y2: pc(y(value)) }));
  for (const [value] of rules) children.push(part("line", { class: "chart-rule", x1: 0, x2: "100%", y1: pc(y(value)), y2: pc(y(value)) }));
  for (const [day] of changes) children.push(part("line", { class: "chart-change", x1: pc(x(day)), x2: pc(x(day)), y1: 0, y2: "100%" }));
  for (const { kind, points } of lines) {
    points.forEach((point, n) => {
      const before = points[n - 1];
      if (point.low !== undefined) children.push(part("line", { class: `chart-range ${kind}`, x1: pc(x(point.day)), x2: pc(x(point.day)), y1: pc(y(point.low)), y2: pc(y(point.high)) }));
      if (before) children.push(part("line", { class: `chart-line ${kind}`, x1: pc(x(before.day)), y1: pc(y(before.value)), x2: pc(x(point.day)), y2: pc(y(point.value)) }));
    });
    if (points.length > DOTTED) continue;
    for (const point of points) {
      const dot = mark(kind, pc(x(point.day)), pc(y(point.value)), 4.5);
      dot.append(part("title", {}, point.label));
      children.push(dot);
    }
  }
  const iso = (at) => new Date(at).toISOString().slice(0, 10);
  return h("figure", { className: lines.some((line) => line.points[0]?.low !== undefined) ? "over-time pair" : "over-time" },
    h("div", { className: "chart-frame" }, h("span", { className: "chart-end top" }, ends[1]), h("span", { className: "chart-end bottom" }, ends[0]), drawing(height, label, ...children)),
    h("figcaption", { className: "chart-days" }, h("span", {}, iso(first)), long ? h("span", {}, iso(first + long)) : null));
}

const SHORTEST_S = 1;
const LONGEST_S = 30 * 86400;
const place = (seconds) => Math.log(Math.min(LONGEST_S, Math.max(SHORTEST_S, seconds)) / SHORTEST_S) / Math.log(LONGEST_S / SHORTEST_S);
/** Times with a mark on a wait's line. */
export const WAIT_MARKS = [[1, "1 s"], [60, "1 min"], [3600, "1 h"], [86400, "1 d"], [30 * 86400, "30 d"]];

/** From the median (dot) to nine in ten (end of the line), each step ten times and more the one before. */
export function wait({ cases, median_s: median, p90_s: p90 }, label) {
  const marks = WAIT_MARKS.map(([at]) => part("line", { class: "chart-grid", x1: pc(place(at)), x2: pc(place(at)), y1: 0, y2: 22 }));
  if (!cases) return drawing(22, `${label}: no case`, ...marks);
  return drawing(22, label, ...marks, part("line", { class: "chart-range unseen", x1: pc(place(median)), x2: pc(place(p90)), y1: 11, y2: 11 }), mark("unseen", pc(place(median)), 11));
}
