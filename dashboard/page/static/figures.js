// How the AI is doing: agreement with people, how unlike the training images the fields are, how long cases wait.
// Figures without cases; readers who had seen the AI's answer always apart from those who had not.
import { interval, legend, overTime, shareWords, wait } from "./charts.js";
import { byId, h } from "./dom.js";
import { ask } from "./server.js";
import { clock, count, mark, span } from "./words.js";

const WEEKS = 26;
const KINDS = [["unseen", "answered before the AI was shown"], ["seen", "had seen the AI's answer"]];

let asked = null;

/** Fills the pane; `back` leaves it, `menu` opens the menu where there is no list beside it. */
export async function showFigures({ back = null, menu = null }) {
  const mine = (asked = {});
  const box = byId("case");
  const head = h("header", { className: "figures-head" }, back ? h("button", { type: "button", className: "round back", ariaLabel: "Back to the list", onclick: back }, "‹") : null, h("h1", { tabIndex: -1 }, "How the AI is doing"), menu ? h("button", { type: "button", className: "round", ariaLabel: "Menu", onclick: menu }, "⋯") : null);
  box.replaceChildren(h("article", { className: "figures" }, head, h("p", { className: "hint" }, "Loading…")));
  let parts;
  try {
    const { body, kept } = await ask("/api/figures");
    parts = sections(body, kept);
  } catch (error) {
    parts = [h("div", { className: "failed" }, h("p", { role: "alert" }, error.message), h("button", { type: "button", className: "first", onclick: () => showFigures({ back, menu }) }, "Try again"))];
  }
  if (mine === asked && box.querySelector(".figures")) box.firstChild.replaceChildren(head, ...parts);
}

export function leaveFigures() {
  asked = null;
}

function sections(view, kept) {
  const of = `${view.site ? `Site ${view.site}` : "All sites"}, ${kept ? `kept here at ${clock(kept)}` : clock(view.now)}.`;
  return [h("p", { className: "quiet" }, of), agreement(view), drift(view.drift), waiting(view.turnaround)];
}

function section(title, ...children) {
  return h("section", {}, h("h2", {}, title), ...children);
}

// --- agreement ----------------------------------------------------------------------------------

function agreement(view) {
  const kinds = KINDS.map(([kind, words]) => [kind, words, view[kind]]);
  if (kinds.every(([, , one]) => !one.same.total && !one.abstained)) return section("Agreement with people", h("p", { className: "quiet" }, "No case is signed yet: agreement appears with the first signatures."));
  const keys = [...new Map(kinds.flatMap(([, , one]) => one.classes).sort((a, b) => a.place - b.place).map((line) => [line.key, line.words]))];
  const share = (one, key) => one.classes.find((line) => line.key === key)?.share ?? { agreed: 0, total: 0 };
  const row = (name, pick) => h("div", { className: "figure-row" }, h("h4", {}, name), ...kinds.map(([kind, words, one]) =>
    h("div", { className: "figure-line" }, interval(pick(one), kind, `${name}, readers who ${words}`), h("span", { className: "figure-words" }, shareWords(pick(one))))));
  return section("Agreement with people",
    h("p", {}, "How often a person signed what the AI had said. Readers who had seen its answer tell little of the AI: people follow what they are shown."),
    legend(["unseen", "answered before the AI was shown"], ["seen", "had seen the AI's answer"]),
    h("p", { className: "quiet" }, "Dot: the share of cases. Line: its 95 % interval (Wilson). Left: none, right: all."),
    row("All findings", (one) => one.same),
    row("The same urgency", (one) => one.same_urgency),
    h("h3", {}, "By what the person signed"),
    ...keys.map(([key, words]) => row(words, (one) => share(one, key))),
    h("p", { className: "quiet" }, `Not counted, since the AI could not say: ${kinds.map(([, words, one]) => `${count(one.abstained, "case")} whose readers ${words}`).join(", ")}.`),
    ...weekly(kinds),
    ...kinds.filter(([, , one]) => one.counts.length).map(([, words, one]) => confusion(one.counts, words)));
}

function weekly(kinds) {
  const lines = kinds.map(([kind, words, one]) => ({ kind, points: one.weeks.slice(-WEEKS).map(({ monday, share }) => ({ day: monday, value: share.agreed / share.total, low: share.low, high: share.high, label: `week of ${monday}, readers who ${words}: ${shareWords(share)}` })) })).filter((line) => line.points.length);
  if (!lines.length) return [];
  const rows = kinds.flatMap(([, words, one]) => one.weeks.slice(-WEEKS).map(({ monday, share }) => [monday, words, shareWords(share)])).sort();
  return [h("h3", {}, "By week"), overTime("Agreement by week", lines, { ends: ["none", "all"] }), table(["Week of", "Readers who", "Agreed"], rows)];
}

function confusion(counts, words) {
  return table(["The AI said", "The person signed", "Cases"], counts.map((one) => [one.ai, one.person, String(one.cases)]), `What was said, readers who ${words}`);
}

// --- drift --------------------------------------------------------------------------------------

function drift(days) {
  const scored = days.filter((day) => day.median !== null);
  if (!scored.length) return section("How unlike the training images", h("p", { className: "quiet" }, "No field with a score yet."));
  const line = (kind, pick, word) => ({ kind, points: scored.map((day) => ({ day: day.day, value: pick(day) / 100, label: `${day.day}: ${word} ${Math.round(pick(day))}, ${count(day.fields, "field")}` })) });
  const changes = days.slice(1).flatMap((day, n) => (String(day.bundles) === String(days[n].bundles) ? [] : [[day.day, day.bundles.join(", ")]]));
  const foreign = days.reduce((sum, day) => sum + day.foreign, 0);
  const fields = days.reduce((sum, day) => sum + day.fields, 0);
  return section("How unlike the training images",
    h("p", {}, "Each field has a score: farther than so many of 100 calibration images. Where nothing has moved, half of a day's fields lie below 50 and nine in ten below 90 (dashed). Lines that stay high say that something moved, not what: stain, optics, patients."),
    legend(["unseen line-p90", "nine in ten of a day's fields"], ["unseen line", "half of them"]),
    overTime("Score of each day's fields", [line("unseen line-p90", (day) => day.p90, "nine in ten below"), line("unseen line", (day) => day.median, "half below")], { rules: [[0.5], [0.9]], changes, ends: ["like", "unlike"] }),
    changes.length ? h("p", { className: "quiet" }, `Upright lines: another bundle answers. ${changes.map(([day, words]) => `${day}: ${words}`).join("; ")}`) : null,
    h("p", {}, `${foreign} of ${count(fields, "field")} were refused as unlike the training images.`),
    table(["Day", "Fields", "Half below", "Nine in ten below", "Refused"], days.map((day) => [day.day, String(day.fields), ...[day.median, day.p90].map((value) => (value === null ? "" : String(Math.round(value)))), String(day.foreign)])));
}

// --- turnaround ---------------------------------------------------------------------------------

function waiting(lines) {
  if (!lines.length) return section("How long cases wait", h("p", { className: "quiet" }, "No case yet."));
  const words = (one) => (one.cases ? `half within ${span(one.median_s)}, nine in ten within ${span(one.p90_s)} (${count(one.cases, "case")})` : "no case");
  return section("How long cases wait",
    h("p", {}, "From the record of a case's first field to the first person who opened it, and to the signature. Dot: half of the cases; end of the line: nine in ten. Marks: a second, a minute, an hour, a day, thirty days."),
    ...lines.map((line) => h("div", { className: "figure-row", data: { kind: line.urgency } }, h("h4", {}, mark(line.urgency), line.unread ? h("span", { className: "quiet" }, ` ${line.unread} not opened yet`) : null),
      ...["opened", "signed"].map((stage) => h("div", { className: "figure-line" }, wait(line[stage], `${stage}: ${words(line[stage])}`), h("span", { className: "figure-words" }, `${stage}: ${words(line[stage])}`))))));
}

function table(heads, rows, title = "As a table") {
  return h("details", {}, h("summary", {}, title), h("div", { className: "table-box", tabIndex: 0, role: "group", ariaLabel: title }, h("table", {},
    h("thead", {}, h("tr", {}, ...heads.map((one) => h("th", { scope: "col" }, one)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((one) => h("td", {}, one))))))));
}
